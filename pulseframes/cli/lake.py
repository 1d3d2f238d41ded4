"""Commands for a lake: plan what it will cost, sync it, ask it questions, and remove people and old days from it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pulseframes.cli.entry import FAILED, QUOTA_EXHAUSTED, app, examples
from pulseframes.cli.options import AsJson, PrintFormat
from pulseframes.terminal import Sink, TextFormat, counted_client, note, plural, print_json, progress_bar, say

if TYPE_CHECKING:
    from pulseframes.lake import Lake
    from pulseframes.privacy import PrivacyPolicy

WHERE = "A folder, or s3://bucket/prefix (gs:// and az://, too)."

LakePlace = Annotated[str, typer.Argument(metavar="LAKE", help=WHERE, show_default=False)]
OptionalLake = Annotated[
    str | None, typer.Argument(metavar="LAKE", help=f"{WHERE} The journal alone, if left out.", show_default=False)
]
StorageOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="For s3:// only, such as aws_region=...; may be repeated. What is not given is taken from the environment, "
        "where secrets belong.",
    ),
]
From = Annotated[str, typer.Option("--from", metavar="DATE", help="Start of the window: a date, or a time in UTC.")]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="DATE", help="End of the window: a date, or a time in UTC; now, if left out."),
]
Details = Annotated[
    str, typer.Option(metavar="N|all", help="Get the details of so many sessions as well, or of all; one call each.")
]
LookBack = Annotated[
    int,
    typer.Option(metavar="HOURS", help="Read so much before what is there again, for late changes.", min=0, max=87_600),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "plan lake --from 2026-11-01",
        "plan lake --from 2026-11-01 --details all --no-probe --json",
        "plan s3://bucket/lake --from 2026-11-01 --to 2026-11-08",
    ),
)
def plan(
    lake: LakePlace,
    date_from: From,
    date_to: To = None,
    details: Details = "0",
    look_back: LookBack = 24,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="Spend no call on counting sessions: say less, or estimate.")
    ] = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Say what a sync would cost in calls and days. Costs one call at most, besides a session key; none with --no-probe."""
    wanted = _how_many(details)
    place = _open(lake, storage_option)
    from pulseframes.planning import plan as make_plan

    with counted_client() as client:
        planned = make_plan(
            place,
            date_from,
            date_to,
            details=wanted,
            look_back=timedelta(hours=look_back),
            client=client,
            probe=not no_probe,
        )
    if as_json:
        print_json(planned.as_dict())
    else:
        typer.echo(str(planned))


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "sync lake --from 2026-11-01",
        "sync lake --from 2026-11-01 --privacy personal=drop",
        "sync s3://bucket/lake --from 2026-11-01 --details 20 --json",
    ),
)
def sync(
    lake: LakePlace,
    date_from: From,
    date_to: To = None,
    details: Details = "0",
    look_back: LookBack = 24,
    privacy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS_OR_COLUMN=ACTION",
            help="What is done to personal data before it is written: personal=pseudonymise, ip_address=truncate, "
            "page=strip_query; may be repeated. Settled when the lake is made.",
        ),
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again what is kept.")] = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Bring a lake up to date: read what is new or may have changed, in as few calls as there can be.

    When no call is left, what had come is in the lake, the exit code is 3, and the same command goes on later.
    """
    wanted = _how_many(details)
    place = _open(lake, storage_option, privacy=_policy(privacy))
    from pulseframes.errors import PulseError
    from pulseframes.syncing import sync as run_sync

    stopped = "Stopped: what had come is in the lake or the journal; run the same command again and it goes on."
    with counted_client(stopped) as client, progress_bar(client) as progress:
        try:
            report = run_sync(
                place,
                date_from,
                date_to,
                details=wanted,
                look_back=timedelta(hours=look_back),
                client=client,
                progress=progress,
                refresh=refresh,
            )
        except PulseError as problem:
            if problem.partial is not None:
                note(str(problem.partial))
            raise
    (note if report.finished else say)(str(report))  # when to come back is what a user must know
    if as_json:
        print_json(report.as_dict())
    if not report.finished:
        raise typer.Exit(QUOTA_EXHAUSTED)


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        'sql lake "select country, count(*) from sessions group by all"',
        'sql lake "select * from page_views" -o page_views.parquet',
        'sql lake "select distinct page from page_views" -f csv | sort',
    ),
)
def sql(
    lake: LakePlace,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="In DuckDB's SQL.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: NAME.parquet, NAME.csv or NAME.ndjson.")
    ] = None,
    text_format: PrintFormat = TextFormat.TABLE,
    storage_option: StorageOptions = None,
) -> None:
    """Ask a lake a question: the tables are sessions, page_views, errors and rejected. Costs no call."""
    put = Sink(output, text_format, table=None)
    frame = _open(lake, storage_option).sql(query)
    from polars.exceptions import PolarsError

    try:
        put(frame)
    except PolarsError as problem:  # CSV has no lists, to name one
        raise typer.BadParameter(f"The result cannot be written in this format: {problem}") from None


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
    place = None if lake is None else _open(lake, storage_option)
    _ask(f"Remove all that is known of user {user!r} from {_places(lake)}? It cannot be undone.", yes=yes)
    from pulseframes.forgetting import forget as forget_user

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
    place = None if lake is None else _open(lake, storage_option)
    _ask(f"Remove all that is older than {plural(days, 'day')} from {_places(lake)}? It cannot be undone.", yes=yes)
    from pulseframes.forgetting import retain as retain_days

    retained = retain_days(place, days)
    _tell(retained.as_dict(), str(retained), as_json=as_json)


def _open(place: str, storage_options: list[str] | None, *, privacy: PrivacyPolicy | None = None) -> Lake:
    """Name a lake; nothing is read or made yet."""
    options = {}
    for option in storage_options or []:
        key, equals, value = option.partition("=")
        if not key or not equals:
            # Only the part before the sign is shown: the other one may be a secret.
            raise typer.BadParameter(f"{key!r} is not like aws_region=...", param_hint="--storage-option")
        options[key] = value
    from pulseframes.lake import Lake

    return Lake(place, privacy=privacy, storage_options=options or None)


def _policy(rules: Iterable[str] | None) -> PrivacyPolicy | None:
    """Read the privacy rules; none leave it to the lake."""
    if not rules:
        return None
    from pulseframes.privacy import PrivacyPolicy

    return PrivacyPolicy.parse(rules)


def _how_many(details: str) -> int | Literal["all"]:
    """Read the number of details that are wanted."""
    if details == "all":
        return "all"
    if details.isascii() and details.isdigit():
        return int(details)
    raise typer.BadParameter(f"{details!r} is neither a whole number from 0 nor all.", param_hint="--details")


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
