"""Commands that remove people and old days from a lake and the journal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from pulseframes._text import plural
from pulseframes.cli.app import FAILED, app, examples
from pulseframes.cli.options import AsJson
from pulseframes.cli.output import note, print_json, say
from pulseframes.cli.places import OptionalLake, StorageOptions, open_lake

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(
    rich_help_panel="Lake",
    epilog=examples("forget lake --user jane@example.com", "forget lake --user jane@example.com --yes --json"),
)
def forget(
    user: Annotated[
        str, typer.Option(help="The identifier that the site gave the user, an e-mail address, or the user id.")
    ],
    lake: OptionalLake = None,
    yes: Yes = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Remove a user from a lake and the journal: sessions, page views, errors and raw answers. Costs no call."""
    place = None if lake is None else open_lake(lake, storage_option)
    _ask(f"Remove all that is known of user {user!r} from {_places(lake)}? It cannot be undone.", yes=yes)
    from pulseframes.erasure.forget import forget as forget_user

    forgotten = forget_user(place, user)
    _tell(forgotten.as_dict(), str(forgotten), as_json=as_json)


@app.command(
    rich_help_panel="Lake",
    epilog=examples("retain lake --days 90", "retain lake --days 90 --yes --json"),
)
def retain(
    days: Annotated[int, typer.Option(help="How many of the last days stay.", min=1)],
    lake: OptionalLake = None,
    yes: Yes = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than some days from a lake and the journal. Costs no call."""
    place = None if lake is None else open_lake(lake, storage_option)
    _ask(f"Remove all that is older than {plural(days, 'day')} from {_places(lake)}? It cannot be undone.", yes=yes)
    from pulseframes.erasure.forget import retain as retain_days

    retained = retain_days(place, days)
    _tell(retained.as_dict(), str(retained), as_json=as_json)


def _places(lake: str | None) -> str:
    return "the journal" if lake is None else f"the lake {lake} and the journal"


def _ask(question: str, *, yes: bool) -> None:
    """Have the user agree to what cannot be undone."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "nothing was removed: there is no terminal to ask at, so this must be said.", param_hint="--yes"
        )
    # Typer's own question would put a space on stdout, where JSON may have to go.
    typer.echo(f"{question} [y/N]: ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        say("Nothing was removed.")
        raise typer.Exit(FAILED)


def _tell(document: Mapping[str, object], text: str, *, as_json: bool) -> None:
    """Say on stderr what was removed, and print it for programs."""
    note(text)
    if as_json:
        print_json(document)
