"""The main job on made-up sessions: search a week, get details, ask a question of them, say what it cost; then a report."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from pulseframes.cli.tables import as_text
from pulseframes.client import (
    ENV_API_KEY,
    ENV_CLIENT_ID,
    ENV_CLIENT_SECRET,
    IN_MEMORY,
    Credentials,
    PulseClient,
    Settings,
)
from pulseframes.fetch.sessions import search_sessions, session_details
from pulseframes.fetch.sync import sync
from pulseframes.reports import NEEDED, report as make_report
from pulseframes.simulator import Simulator
from pulseframes.tables.frames import SessionFrames

DETAILS: Final = 25
#: How many evenings' calls the report is made of.
EVENINGS: Final = 3

SLOW_PAGES: Final = """
    SELECT regexp_replace(page, '[0-9]+|[?].*', '*') AS page, COUNT(*) AS views,
           MEDIAN(loading_time_ms) AS median_ms, MAX(loading_time_ms) AS slowest_ms
    FROM page_views GROUP BY 1 ORDER BY views DESC LIMIT 8
"""


def run(report: Path | None = None) -> None:
    """Run the demo; it prints to stdout.

    Parameters
    ----------
    report : Path or None
        The file to write a report to, besides; None writes no file.
    """
    today = datetime.now(UTC).date()
    week_ago = today - timedelta(days=7)
    with Simulator() as simulator, _client_of(simulator) as client:
        print(
            f"A simulator of the Pulse API runs at {simulator.url}. Its visitors are made up; it allows 50 calls a day.\n"
        )

        print(f'>>> sessions = pf.search_sessions("{week_ago}", "{today}")')
        sessions = search_sessions(week_ago, today, client=client)
        print(as_text(sessions.select("session_id", "session_start", "country", "browser_name", "page_view_count")))
        print(
            f"{len(sessions)} sessions for {client.calls_spent} calls: 1 to authenticate, 1 for every 500 sessions.\n"
        )

        before = client.calls_spent
        print(f'>>> details = pf.session_details(sessions["session_id"].sample({DETAILS}, seed=1))')
        details = session_details(sessions["session_id"].sample(DETAILS, seed=1), client=client)
        print(details)
        print(as_text(details.page_views.head(5)))
        print(as_text(details.errors.head(5)))
        print(f"{client.calls_spent - before} calls, 1 for each session.\n")

        print('>>> pl.SQLContext(page_views=details.page_views).execute("""' + SLOW_PAGES + '""", eager=True)')
        print(as_text(_slow_pages(details)))
        print(f"Spent: {client.calls_spent} of the day's 50 calls. A query over frames costs none.\n")
        if report is not None:
            _report(simulator, client, week_ago, today, report)
    print(_next_steps(week_ago.isoformat(), today.isoformat()))


def _client_of(simulator: Simulator) -> PulseClient:
    credentials = Credentials(simulator.api_key, simulator.client_id, simulator.client_secret)
    settings = Settings(base_url=simulator.url, home=IN_MEMORY)
    return PulseClient(credentials, settings=settings, clock=lambda: simulator.now)


def _report(simulator: Simulator, client: PulseClient, week_ago: date, today: date, path: Path) -> None:
    """Sync a lake on some evenings, and make its report."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"A report needs {', '.join(missing)}, not installed here: python -m pip install 'pulseframes[report]'\n")
        return
    with TemporaryDirectory() as lake:
        for evening in range(1, EVENINGS + 1):
            simulator.advance(days=1, hours=1)
            print(f'Evening {evening}:\n>>> pf.sync("lake", "{week_ago}", "{today}", details=45, design="pageviews")')
            done = sync(lake, week_ago, today, details=45, design="pageviews", client=client)
            print(f"{done.sample}\n{done.calls_spent} calls spent, {done.calls_saved} saved by the journal.\n")
        print(f'>>> pf.report("lake", "{path}", title="A made-up shop")')
        make_report(lake, path, title="A made-up shop")
    print(f"{path.absolute().as_uri()} is a page to open in a browser. A report costs no call.\n")


def _slow_pages(details: SessionFrames) -> pl.DataFrame:
    return pl.SQLContext(page_views=details.page_views).execute(SLOW_PAGES, eager=True)


def _next_steps(date_from: str, date_to: str) -> str:
    return f"""With your own account (Raygun Enterprise):

    export {ENV_API_KEY}=...        # the application's settings
    export {ENV_CLIENT_ID}=...      # plan settings, Consumers, Register Application
    export {ENV_CLIENT_SECRET}=...
    pulseframes search {date_from} {date_to} -o week.parquet
    pulseframes details --ids-from week.parquet --limit 20 -o week

Without one: `pulseframes simulate` serves the made-up sessions, `pulseframes schema` describes every column."""
