"""Commands that download sessions and their details, and that show the quota."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import pulseframes as pf
from pulseframes._text import plural
from pulseframes.cli.app import app, examples
from pulseframes.cli.files import Destination, ids_in, tables_output
from pulseframes.cli.options import AsJson, Last, OutputFile, PrintFormat, Refresh, TableName, window
from pulseframes.cli.output import (
    alert,
    counted_client,
    info,
    print_frame,
    print_quota,
    progress_bar,
)


@app.command(
    rich_help_panel="Fetch",
    epilog=examples(
        "search 2026-11-01 2026-11-08 --country NZ -o week.parquet",
        "search --last 7d --limit 20",
        "search 2026-11-01 2026-11-08 -f csv | tail -n +2 | cut -d, -f1",
    ),
)
def search(
    date_from: Annotated[
        str | None,
        typer.Argument(
            metavar="FROM",
            help="Start of the window: a date or time in UTC, yesterday, or 7d (7 days before today).",
            show_default=False,
        ),
    ] = None,
    date_to: Annotated[
        str | None,
        typer.Argument(
            metavar="TO", help="End of the window, such as today; it is not part of the window.", show_default=False
        ),
    ] = None,
    last: Last = None,
    user_identifier: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    country: Annotated[list[str] | None, typer.Option(help="Only this country, two letters; may be repeated.")] = None,
    user_type: Annotated[str | None, typer.Option(help="Only this type of user.")] = None,
    refresh: Refresh = False,
    skip: Annotated[int, typer.Option(help="Skip the first sessions of the server's list.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Maximum number of sessions to return.")] = None,
    output: OutputFile = None,
    text_format: PrintFormat = "table",
) -> None:
    """List the sessions of a time window: one call for every 500 sessions that are not cached."""
    start, end = window(last, date_from, date_to, other="FROM or TO")
    if start is None or end is None:
        raise typer.BadParameter("give FROM and TO, such as 2026-11-01 2026-11-08, or --last 7d.", param_hint="FROM TO")
    destination = Destination.of(output, text_format)
    with counted_client() as client, progress_bar(client) as progress:
        try:
            sessions = pf.search_sessions(
                start,
                end,
                user_identifier=user_identifier,
                country=country or None,
                user_type=user_type,
                skip=skip,
                limit=limit,
                client=client,
                refresh=refresh,
                progress=progress,
            )
        except pf.PulseError as problem:
            destination.write(None if problem.partial is None or problem.partial.is_empty() else problem.partial)
            if problem.partial is not None:
                destination.write_rejected(problem.rejected if isinstance(problem, pf.SchemaViolation) else None)
            raise
    destination.write(sessions)
    destination.write_rejected(None)
    if sessions.is_empty():
        from pulseframes.query import parse_instant

        conditions = {"country": ", ".join(country or ()), "user": user_identifier, "user type": user_type}
        filters = "".join(f" for {name} {value}" for name, value in conditions.items() if value)
        beyond = f" after the first {skip:,}" if skip else ""
        first, after = (
            f"{parse_instant(name, moment):%Y-%m-%d %H:%M}" for name, moment in (("FROM", start), ("TO", end))
        )
        future = ", which is in the future" if parse_instant("FROM", start) > client.clock() else ""
        info(
            f"No sessions between {first.removesuffix(' 00:00')} and {after.removesuffix(' 00:00')}{future}{filters}{beyond}."
        )


@app.command(
    rich_help_panel="Fetch",
    epilog=examples(
        "details --ids-from week.parquet --limit 20 -o week", "details 3112576962600745828 --table page_views"
    ),
)
def details(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID", help="Session ids.", show_default=False)] = None,
    ids_from: Annotated[Path | None, typer.Option(help="A file written by `search`, whose session ids to add.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of details to download: the first ones.", min=1)
    ] = None,
    refresh: Refresh = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder to write the tables to, also s3://bucket/folder."
        ),
    ] = None,
    file_format: Annotated[
        Literal["parquet", "csv", "ndjson"], typer.Option("--as", help="Format of these files.")
    ] = "parquet",
    table: Annotated[TableName, typer.Option(help="Table to print, if there is no --output.")] = "sessions",
    text_format: PrintFormat = "table",
) -> None:
    """Download sessions with their page views and errors: one call for each session that is not cached.

    Ids that the server does not know are listed on stderr; the exit code is 0 even if it knows none.
    """
    from pulseframes.query import DetailQuery
    from pulseframes.tables import TABLES

    wanted = DetailQuery.parse([*(ids or []), *ids_in(ids_from)]).ids[:limit]
    if not wanted and ids_from is None:
        raise typer.BadParameter("no session id: pass some, or a file with --ids-from.", param_hint="ID")
    write_tables = None if output is None else tables_output(output, file_format)

    def write(frames: pf.SessionFrames) -> None:
        if write_tables is None:
            print_frame(frames.tables()[table], text_format)
        else:
            write_tables(frames)

    if not wanted:
        info(f"{ids_from} has no sessions, so there is nothing to download.")
        sessions, page_views, errors = (table.empty() for table in TABLES.values())
        write(pf.SessionFrames(sessions, page_views, errors))
        return
    info(f"At most {plural(len(wanted), 'call')}, plus one if a session key is needed.")
    with counted_client() as client, progress_bar(client) as progress:
        try:
            frames = pf.session_details(wanted, client=client, refresh=refresh, progress=progress)
        except pf.PulseError as problem:
            received = problem.partial
            if received is not None and not (received.sessions.is_empty() and received.rejected.is_empty()):
                write(received)
            elif output is not None:
                alert(f"No data was received, so nothing was written to {output}.")
            raise
    write(frames)


@app.command(rich_help_panel="Fetch", epilog=examples("quota", "quota --json --last 0 | jq .left"))
def quota(
    last: Annotated[int, typer.Option(help="Number of recent calls to show.", min=0)] = 10,
    as_json: AsJson = False,
) -> None:
    """Show how many calls are left, when the next one is possible, and the last calls. Costs no call."""
    with pf.PulseClient() as client:
        print_quota(client.quota(), client.application, client.last_calls(last), as_json=as_json)
