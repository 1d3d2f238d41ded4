"""Commands that ask the API: sessions, their details, and how many calls are left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulseframes._text import plural
from pulseframes.cli.app import app, examples
from pulseframes.cli.options import AsJson, PrintFormat, TableName
from pulseframes.cli.output import (
    FileFormat,
    Sink,
    TextFormat,
    check_places,
    counted_client,
    ids_in,
    note,
    print_frame,
    print_quota,
    progress_bar,
)

if TYPE_CHECKING:
    from pulseframes.tables.frames import SessionFrames


@app.command(
    rich_help_panel="Ask",
    epilog=examples(
        "search 2026-11-01 2026-11-08 --country NZ -o week.parquet",
        "search 2026-11-01T09:00 2026-11-01T10:00 --limit 20",
        "search 2026-11-01 2026-11-08 -f ndjson | jq -r .session_id",
    ),
)
def search(
    date_from: Annotated[str, typer.Argument(metavar="FROM", help="Start of the window: a date, or a time in UTC.")],
    date_to: Annotated[str, typer.Argument(metavar="TO", help="End of the window: a date, or a time in UTC.")],
    user_identifier: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    country: Annotated[list[str] | None, typer.Option(help="Only this country, two letters; may be repeated.")] = None,
    user_type: Annotated[str | None, typer.Option(help="Only this type of user.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again what is kept.")] = False,
    skip: Annotated[int, typer.Option(help="Leave out so many sessions of the server's list.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Give so many sessions at most.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: NAME.parquet, NAME.csv or NAME.ndjson.")
    ] = None,
    text_format: PrintFormat = TextFormat.TABLE,
) -> None:
    """Find the sessions of a time window: one call for every 500 of them that are not kept already."""
    from pulseframes.errors import PulseError, SchemaViolation
    from pulseframes.fetch.sessions import search_sessions

    put = Sink(output, text_format)
    with counted_client() as client, progress_bar(client) as progress:
        try:
            sessions = search_sessions(
                date_from,
                date_to,
                user_identifier=user_identifier,
                country=country or None,
                user_type=user_type,
                skip=skip,
                limit=limit,
                client=client,
                refresh=refresh,
                progress=progress,
            )
        except PulseError as problem:
            put(problem.partial, rejected=problem.rejected if isinstance(problem, SchemaViolation) else None)
            raise
    put(sessions)


@app.command(
    rich_help_panel="Ask",
    epilog=examples(
        "details --ids-from week.parquet --limit 20 -o week", "details 3112576962600745828 --table page_views"
    ),
)
def details(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID", help="Session ids.", show_default=False)] = None,
    ids_from: Annotated[
        Path | None, typer.Option(help="A file written by `search`: take its session ids as well.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Get so many details at most: the first ones.", min=1)] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again what is kept.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write the tables to.")] = None,
    file_format: Annotated[FileFormat, typer.Option("--as", help="What to write there.")] = FileFormat.PARQUET,
    table: Annotated[TableName, typer.Option(help="What to print where there is no --output.")] = TableName.SESSIONS,
    text_format: PrintFormat = TextFormat.TABLE,
) -> None:
    """Get sessions with their page views and errors: one call for each of them that is not kept already."""
    from pulseframes.errors import PulseError
    from pulseframes.fetch.sessions import session_details
    from pulseframes.query import DetailQuery

    wanted = DetailQuery.parse([*(ids or []), *ids_in(ids_from)]).ids[:limit]
    if not wanted:
        raise typer.BadParameter("no session id: give some, or --ids-from a file that has some.", param_hint="ID")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        check_places(output / f"{name}.{file_format}" for name in TableName)

    def put(frames: SessionFrames) -> None:
        if output is None:
            print_frame(frames.tables()[table], text_format, table)
            return
        for path in frames.write(output, file_format):
            note(f"{path} written.")

    note(f"{plural(len(wanted), 'call')} at most, and one more if a session key has to be fetched.")
    with counted_client() as client, progress_bar(client) as progress:
        try:
            frames = session_details(wanted, client=client, refresh=refresh, progress=progress)
        except PulseError as problem:
            if problem.partial is not None:
                put(problem.partial)
            raise
    put(frames)


@app.command(rich_help_panel="Ask", epilog=examples("quota", "quota --json --last 0 | jq .left"))
def quota(
    last: Annotated[int, typer.Option(help="How many of the last calls to show.", min=0)] = 10,
    as_json: AsJson = False,
) -> None:
    """Show how many calls are left, when the next one is, and the last calls. Costs no call."""
    from pulseframes.client import PulseClient

    with PulseClient() as client:
        print_quota(client.quota(), client.last_calls(last), as_json=as_json)
