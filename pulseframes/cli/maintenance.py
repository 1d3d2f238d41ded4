"""Commands that maintain the journal and a lake: erase, rebuild and export."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import pulseframes as pf
from pulseframes._text import counted, plural
from pulseframes.cli.app import FAILED, app, examples
from pulseframes.cli.options import AsJson, OptionalLakeArgument, StorageOptions, open_lake, parse_options
from pulseframes.cli.output import alert, info, print_json, say

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")]


@app.command(
    rich_help_panel="Maintenance",
    epilog=examples("forget lake --user jane@example.com", "forget lake --user jane@example.com --yes --json"),
)
def forget(
    user: Annotated[str, typer.Option(help="The user's identifier on the site, e-mail address, or Raygun user id.")],
    lake: OptionalLakeArgument = None,
    yes: Yes = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Erase a user from a lake and the journal: sessions, page views, errors and raw responses. Costs no call."""
    from pulseframes.erasure.person import Person

    place = None if lake is None else open_lake(lake, storage_option)
    Person.named(user)  # raises if it is empty
    _warn_without_journal()
    _confirm(f"Erase all data of user {user!r} from {_places(lake)}?", yes=yes)
    _report(pf.forget(place, user), as_json=as_json)


@app.command(
    rich_help_panel="Maintenance", epilog=examples("retain lake --days 90", "retain lake --days 90 --yes --json")
)
def retain(
    days: Annotated[int, typer.Option(help="Keep this many days.", min=1)],
    lake: OptionalLakeArgument = None,
    yes: Yes = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Delete data older than a number of days from a lake and the journal. Costs no call."""
    place = None if lake is None else open_lake(lake, storage_option)
    _warn_without_journal()
    _confirm(f"Delete all data older than {plural(days, 'day')} from {_places(lake)}?", yes=yes)
    _report(pf.retain(place, days), as_json=as_json)


def _warn_without_journal() -> None:
    """Warn if a journal, which may exist all the same, is out of reach."""
    from pulseframes.client import ENV_HOME, IN_MEMORY

    if pf.Settings().folder is None:
        alert(
            f"warning: {ENV_HOME}={IN_MEMORY} names no journal, so none is searched. If one was kept elsewhere, set {ENV_HOME} to its folder."
        )


def _places(lake: str | None) -> str:
    return "the journal" if lake is None else f"the lake {lake!r} and the journal"


def _confirm(question: str, *, yes: bool) -> None:
    """Have the user confirm a deletion."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("required without a terminal. Nothing was removed.", param_hint="--yes")
    # Typer's own prompt would print on stdout, where JSON may have to go.
    say(f"{question} This cannot be undone. [y/N]: ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        alert("Nothing was removed.")
        raise typer.Exit(FAILED)


def _report(removed: pf.Forgotten, *, as_json: bool) -> None:
    info(str(removed))
    if as_json:
        print_json(removed.as_dict())


@app.command(
    rich_help_panel="Maintenance",
    epilog=examples(
        "replay -o everything", "replay --from 2026-11-01 --to 2026-11-08 -o week --json", "replay --lake lake"
    ),
)
def replay(
    directory: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write the tables to.")] = None,
    lake: Annotated[
        str | None,
        typer.Option(
            metavar="LAKE", help="Instead of -o: a lake, to put back what it has lost of the windows that it covers."
        ),
    ] = None,
    date_from: Annotated[str, typer.Option("--from", help="Use responses fetched from this time on.")] = "2000-01-01",
    date_to: Annotated[str, typer.Option("--to", help="Use responses fetched before this time.")] = "9999-01-01",
    application: Annotated[
        str | None, typer.Option(help="Application to replay, if the journal holds more than one.")
    ] = None,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild all tables from the journal, offline. Costs no call."""
    from pulseframes.fetch.replay import replay_journal, restore_lake

    if (directory is None) == (lake is None):
        raise typer.BadParameter("name a folder with -o, or a lake with --lake.", param_hint="--output")
    if directory is None:
        assert lake is not None  # noqa: S101  one of the two is given
        written = restore_lake(open_lake(lake, storage_option))
        parts = [
            (rows.new, name.removesuffix("s").replace("_", " "), "put back") for name, rows in written.rows.items()
        ]
        parts += [(written.rows["sessions"].updated, "session", "updated")]
        info(f"{lake}: {counted(*parts)}.")
        if as_json:
            print_json(asdict(written) | {"days": sorted(written.days)})
        return
    result = replay_journal(directory, date_from=date_from, date_to=date_to, application=application)
    for path in result.paths:
        rows = f": {plural(result.rows[path.stem], 'row')}" if path.stem in result.rows else ""
        info(f"Wrote {path}{rows}.")
    for call_id in result.malformed:
        alert(f"warning: skipped the response of call {call_id}, which is not the documented JSON.")
    info(f"{plural(result.calls, 'response')} read, {plural(result.rejected, 'row')} rejected.")
    if as_json:
        print_json(asdict(result))


@app.command(
    rich_help_panel="Maintenance",
    epilog=examples("export-raw raw", "export-raw s3://bucket/raw --from yesterday --json"),
)
def export_raw(
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="A folder, or s3://bucket/prefix (also gs:// and az://).")
    ],
    date_from: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Export the days from this one on.", show_default="all")
    ] = None,
    date_to: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Export the days before this one.", show_default="all")
    ] = None,
    application: Annotated[
        str | None, typer.Option(help="Application to export, if the journal holds more than one.")
    ] = None,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Write the journal's raw responses, which hold personal data, to Parquet files for a cluster. Costs no call."""
    options = parse_options(storage_option)
    report = pf.export_raw(destination, date_from, date_to, application=application, storage_options=options)
    info(str(report))
    if as_json:
        print_json(report.as_dict())
