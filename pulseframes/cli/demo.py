"""Commands to try things out: the data dictionary, a demo, and a server of simulated sessions."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

import pulseframes as pf
from pulseframes.cli.app import app, examples
from pulseframes.cli.output import info

if TYPE_CHECKING:
    import polars as pl

    from pulseframes.simulator import Fault, Simulator

#: The tables of the data dictionary; Typer cannot read a list of literals.
DescribedTable = StrEnum("DescribedTable", "sessions page_views errors design")

#: Terminals with fewer columns show less of the data dictionary.
_ALL_COLUMNS: Final = 90
#: The details that the demo downloads, and the evenings on which it extends the sample of its report.
_DETAILS: Final = 25
EVENINGS: Final = 3
#: The client's limit, if the simulator has none.
_NO_LIMIT: Final = 1_000_000

_SLOW_PAGES: Final = """
    SELECT regexp_replace(page, '[0-9]+|[?].*', '*') AS page, COUNT(*) AS views,
           MEDIAN(loading_time_ms) AS median_ms, MAX(loading_time_ms) AS slowest_ms
    FROM page_views GROUP BY 1 ORDER BY views DESC LIMIT 8
"""


@app.command(rich_help_panel="Try it", epilog=examples("schema page_views", "schema --format json"))
def schema(
    tables: Annotated[
        list[DescribedTable] | None,
        typer.Argument(metavar="TABLE", help="sessions, page_views, errors or design; all by default."),
    ] = None,
    schema_format: Annotated[
        Literal["table", "markdown", "json"], typer.Option("--format", "-f", help="Output format.")
    ] = "table",
) -> None:
    """Print the data dictionary: type, unit, source and meaning of each column. Costs no call."""
    from pulseframes.tables import DICTIONARY, dictionary

    chosen = [DICTIONARY[name] for name in tables or DICTIONARY]
    if schema_format == "json":
        typer.echo(dictionary.as_json(chosen))
        return
    for table in chosen:
        if schema_format == "markdown":
            typer.echo(f"**{table.name}**: {table.description}\n\n{dictionary.as_markdown(table)}\n")
        else:
            _print_entries(table.name, table.description, dictionary.entries(table))


def _print_entries(name: str, description: str, entries: list[dict[str, object]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140)
    step = 1 if console.width >= _ALL_COLUMNS else 5  # only the column and what it is
    grid = Table(title=f"{name}: {description}", title_justify="left", box=box.SIMPLE)
    for heading in ("column", "type", "null?", "JSON", "in", "what it is")[::step]:
        grid.add_column(heading, overflow="fold", no_wrap=heading == "column")
    for entry in entries:
        kind = f"{entry['type']}, {entry['unit']}" if entry["unit"] else entry["type"]
        null = "yes" if entry["nullable"] else "key" if entry["key"] else "no"
        cells = (
            entry["column"],
            kind,
            null,
            entry["json_path"] or "",
            entry["answers"] or "lake",
            entry["description"],
        )
        grid.add_row(*map(str, cells[::step]))
    console.print(grid)


@app.command(rich_help_panel="Try it", epilog=examples("simulate", "simulate --port 0 --sessions 1000 --daily-limit 0"))
def simulate(
    port: Annotated[int, typer.Option(help="Port on this machine; 0 picks a free one.", min=0, max=65535)] = 8765,
    sessions: Annotated[int, typer.Option(help="Number of sessions before now.", min=0)] = 20_000,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed simulates the same sessions.")] = 1,
    days: Annotated[int, typer.Option(help="Number of days with sessions.", min=1)] = 28,
    daily_limit: Annotated[int, typer.Option(help="Calls a day; 0 for no limit.", min=0)] = 50,
    faults: Annotated[
        Path | None, typer.Option(help="JSON file with faults to inject.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Serve simulated sessions on this machine as the Pulse API does. Ctrl-C stops it."""
    import secrets
    import time

    from pulseframes.client import ENV_API_KEY, ENV_BASE_URL, ENV_CLIENT_ID, ENV_CLIENT_SECRET, ENV_DAILY_LIMIT
    from pulseframes.simulator import Simulator

    # A new key for each start, so that cached responses of other simulated sessions are not reused.
    key = f"simulator-{secrets.token_hex(8)}"
    simulator = Simulator(
        sessions=sessions, seed=seed, days=days, daily_limit=daily_limit or None, port=port, api_key=key
    )
    for fault in _load_faults(faults):
        simulator.faults.add(fault)
    try:
        simulator.start()
    except OSError as problem:
        message = f"cannot listen on port {port}: {problem.strerror}. Use 0 for a free port."
        raise typer.BadParameter(message, param_hint="--port") from None
    with simulator:
        typer.echo(f"export {ENV_BASE_URL}={simulator.url}")
        typer.echo(f"export {ENV_API_KEY}={simulator.api_key}")
        typer.echo(f"export {ENV_CLIENT_ID}={simulator.client_id}")
        typer.echo(f"export {ENV_CLIENT_SECRET}={simulator.client_secret}")
        typer.echo(f"export {ENV_DAILY_LIMIT}={daily_limit or _NO_LIMIT}")
        sys.stdout.flush()
        info(
            f"Serving {sessions:,} simulated sessions of the last {days} days. Set these variables in another terminal. Press Ctrl-C to stop."
        )
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            info(f"{simulator.calls:,} calls answered.")


def _load_faults(path: Path | None) -> list[Fault]:
    if path is None:
        return []
    from pulseframes.simulator import load_faults

    try:
        return load_faults(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise typer.BadParameter(f"{path}: {problem}", param_hint="--faults") from None


@app.command(rich_help_panel="Try it", epilog=examples("demo", "demo --report report.html"))
def demo(
    report: Annotated[
        Path | None, typer.Option(help="Also build a report of the simulated sessions in this file.", dir_okay=False)
    ] = None,
) -> None:
    """Show a search, details and a query on simulated sessions: no account, no network, 15 seconds (a minute with --report)."""
    from pulseframes.simulator import Simulator

    if report is not None:
        from pulseframes.reports import writable

        writable(report)  # rather fail now than after a minute
    today = datetime.now(UTC).date()
    week_ago = today - timedelta(days=7)
    with Simulator() as simulator, simulator.client() as client:
        print(f"A simulator of the Pulse API runs at {simulator.url}. It allows 50 calls a day.\n")
        _show_queries(client, week_ago, today)
        if report is not None:
            _show_report(simulator, client, week_ago, today, report)
    print("""With your own account (Raygun Enterprise):

    pulseframes login    # asks for the API key (application settings), client ID and secret (plan settings, Consumers)
    pulseframes search --last 7d -o week.parquet
    pulseframes details --ids-from week.parquet --limit 20 -o week

Without one: `pulseframes simulate` serves simulated sessions, `pulseframes schema` describes every column.""")


def _show_queries(client: pf.PulseClient, week_ago: date, today: date) -> None:
    """Search a week, download some details and query them."""
    import polars as pl

    print(f'>>> sessions = pf.search_sessions("{week_ago}", "{today}")')
    sessions = pf.search_sessions(week_ago, today, client=client)
    _print(sessions.select("session_id", "session_start", "country", "browser_name", "page_view_count"))
    print(f"{len(sessions):,} sessions for {client.calls_spent} calls: 1 to authenticate, 1 for every 500 sessions.\n")

    before = client.calls_spent
    print(f'>>> details = pf.session_details(sessions["session_id"].sample({_DETAILS}, seed=1))')
    details = pf.session_details(sessions["session_id"].sample(_DETAILS, seed=1), client=client)
    print(details)
    _print(details.page_views.head(5))
    _print(details.errors.head(5))
    print(f"{client.calls_spent - before} calls, 1 for each session.\n")

    print(f'>>> pl.SQLContext(page_views=details.page_views).execute("""{_SLOW_PAGES}""", eager=True)')
    _print(pl.SQLContext(page_views=details.page_views).execute(_SLOW_PAGES, eager=True))
    print(f"Spent: {client.calls_spent} of the day's 50 calls. Querying DataFrames costs none.\n")


def _show_report(simulator: Simulator, client: pf.PulseClient, week_ago: date, today: date, path: Path) -> None:
    """Sync a lake on some evenings, and build its report."""
    from pulseframes.reports import NEEDED

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"A report needs {', '.join(missing)}: python -m pip install 'pulseframes[report]'\n")
        return
    with TemporaryDirectory() as lake:
        for evening in range(1, EVENINGS + 1):
            simulator.advance(days=1, hours=1)
            print(f'Evening {evening}:\n>>> pf.sync("lake", "{week_ago}", "{today}", details=45, design="pageviews")')
            synced = pf.sync(lake, week_ago, today, details=45, design="pageviews", client=client)
            print(f"{synced.sample}\n{synced.calls_spent} calls spent, {synced.calls_saved} saved by the journal.")
            if evening == 1:
                print(
                    "Its search was paid for again: a list read less than 24 hours after its window ended may have changed."
                )
            if not synced.finished:
                print("The day's 50 calls ran out before it had 45 details; the next evening's sync resumes there.")
            print()
        print(f'>>> pf.report("lake", "{path}", title="A simulated shop")')
        pf.report(lake, path, title="A simulated shop")
    print(f"{path.absolute().as_uri()} is the report: open it in a browser. Building it cost no call.\n")


def _print(frame: pl.DataFrame) -> None:
    from pulseframes.cli.tables import frame_as_text

    print(frame_as_text(frame, hint=""))
