"""``--last``: the last whole days, in place of the two ends of a window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Run, client_of, set_environment

import pulseframes as pf
from pulseframes.simulator import Simulator


@pytest.fixture(scope="module")
def present() -> Iterator[Simulator]:
    """A simulator on a running clock."""
    with Simulator(sessions=200, days=14, daily_limit=None) as running:
        yield running


@pytest.fixture
def shop(present: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Simulator:
    set_environment(monkeypatch, present)
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "10000")
    monkeypatch.chdir(tmp_path)
    return present


def windows(simulator: Simulator, before: int) -> set[tuple[str, str]]:
    """Return the windows that searches since a call have asked for."""
    queries = [request.query for request in simulator.requests[before:] if request.path.endswith("/sessions")]
    return {(query["dateFrom"], query["dateTo"]) for query in queries}


def days_ago(days: int) -> str:
    day = datetime.now(UTC).date() - timedelta(days=days)
    return f"{day}T00:00:00Z"


@pytest.mark.parametrize(
    "line", [("search", "--last", "7d"), ("sync", "lake", "--last", "7d"), ("plan", "lake", "--last", "7d")]
)
def test_the_last_days_are_whole_days_up_to_today(shop: Simulator, run: Run, line: tuple[str, ...]) -> None:
    before = shop.calls
    code, _, err = run(*line)
    assert code == 0, err
    assert windows(shop, before) == {(days_ago(7), days_ago(0))}


def test_the_same_command_on_the_same_day_costs_nothing(shop: Simulator, run: Run) -> None:
    assert run("search", "--last", "3d")[0] == 0
    before = shop.calls
    assert run("search", "3d", "today")[0] == 0
    assert shop.calls == before


def test_a_lake_is_asked_about_the_last_days(shop: Simulator, run: Run) -> None:
    with client_of(shop) as client:
        pf.sync("lake", "10d", "today", details=12, client=client)
    sessions = pf.Lake("lake").sql(f"select count(*) from sessions where session_start >= '{days_ago(4)}'").item()
    code, out, err = run("estimate", "lake", "count()", "--of", "sessions", "--last", "4d", "-f", "csv")
    assert code == 0, err
    assert float(out.splitlines()[1].split(",")[1]) == sessions > 0
    code, _, err = run("report", "lake", "-o", "week.html", "--last", "4d")
    assert code == 0, err
    assert re.search(rf"{sessions:,} sessions", Path("week.html").read_text())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("search", "2026-11-01", "2026-11-08", "--last", "7d"), "--last: not together with FROM or TO."),
        (("search", "2026-11-01", "--last", "7d"), "--last: not together with FROM or TO."),
        (("sync", "lake", "--from", "2026-11-01", "--last", "7d"), "--last: not together with --from or --to."),
        (("plan", "lake", "--to", "2026-11-01", "--last", "7d"), "--last: not together with --from or --to."),
        (("estimate", "lake", "count()", "--to", "today", "--last", "7d"), "--last: not together with --from or --to."),
        (("report", "lake", "-o", "x.html", "--from", "9d", "--last", "7d"), "--last: not together with --from"),
        (("search", "--last", "7"), "--last: '7' is not a number of days, such as 7d."),
        (("search", "--last", "0d"), "--last: '0d' is not a number of days, such as 7d."),
        (("search", "--last", "week"), "--last: 'week' is not a number of days, such as 7d."),
        (("search",), "FROM TO: give FROM and TO, such as 2026-11-01 2026-11-08, or --last 7d."),
        (("search", "2026-11-01"), "FROM TO: give FROM and TO, such as 2026-11-01 2026-11-08, or --last 7d."),
        (("sync", "lake"), "--from: required, such as --from 2026-11-01, or --last 7d."),
    ],
)
def test_a_window_that_is_given_twice_wrongly_or_not_at_all_is_wrong_usage(
    shop: Simulator, run: Run, line: tuple[str, ...], said: str
) -> None:
    before = shop.calls
    code, _, err = run(*line)
    assert (code, shop.calls) == (2, before)
    assert said in re.sub(r"[\s│]+", " ", err)


def test_an_empty_search_names_the_days_that_it_meant(shop: Simulator, run: Run) -> None:
    del shop
    _, _, err = run("search", "--last", "2d", "--country", "ZZ")
    assert f"No sessions between {days_ago(2)[:10]} and {days_ago(0)[:10]} for country ZZ." in err
