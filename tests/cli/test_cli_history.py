"""`plan --history`: how much history the calls of some days can save."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from analysis.test_sample import download
from conftest import NOW, Run, set_environment

import pulseframes as pf
from pulseframes.simulator import Simulator
from pulseframes.windows import Window


@pytest.fixture(scope="module")
def shop() -> Iterator[Simulator]:
    with Simulator(sessions=1_000, now=NOW, daily_limit=None) as running:
        yield running


@pytest.fixture(scope="module")
def sampled(shop: Simulator, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    """A day of November, with a sample."""
    folder = tmp_path_factory.mktemp("sampled")
    with shop.client() as client:
        pf.sync(folder, "2026-11-10", "2026-11-19", details=25, client=client)
    return pf.Lake(folder)


@pytest.fixture
def lake(shop: Simulator, sampled: pf.Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pf.Lake:
    """The same, with an account of 50 calls a day."""
    monkeypatch.chdir(tmp_path)
    set_environment(monkeypatch, shop)
    return sampled


def test_the_calls_of_some_days_are_divided_over_the_months(lake: pf.Lake, shop: Simulator, run: Run) -> None:
    code, out, _ = run("plan", lake.location, "--from", "2026-10-23", "--to", "2026-11-19", "--history", "3", "--json")
    assert code == 0
    plan = json.loads(out)
    history = plan["history"]
    assert (history["days"], history["measure"]) == (3, "median(loading_time_ms)")
    searches = sum(window["calls"] for window in plan["windows"])
    assert history["details"] == plan["calls_left"] + 2 * 50 - 3 - searches
    months = {row["month"]: row for row in history["months"]}
    assert [*months] == ["2026-10", "2026-11"]
    assert sum(row["details"] for row in months.values()) == pytest.approx(history["details"], abs=1)
    known = len(shop.summaries(shop.begin, datetime(2026, 11, 19, tzinfo=UTC)))
    assert sum(row["sessions"] for row in months.values()) == pytest.approx(known, abs=2)
    assert (months["2026-10"]["details_in_lake"], months["2026-11"]["details_in_lake"]) == (0, 25)
    forecast = pf.plan_precision(lake, by=None)
    for row in months.values():
        assert row["within"] == forecast.within_after(row["details"] + row["details_in_lake"])


@pytest.fixture
def all_read(lake: pf.Lake, shop: Simulator, tmp_path: Path) -> pf.Lake:
    """A lake of all days until two hours ago, with a sample of 60; the next sync reads the last day again."""
    del lake
    made, read_at = pf.Lake(tmp_path / "all"), NOW - timedelta(hours=2)
    made.write(shop.summaries(shop.begin, read_at), fetched_at=read_at)
    with made.locked() as state:
        state.coverage.add(Window(shop.begin, read_at), read_at, timedelta(days=1))
        made.save_state()
    download(made, shop, 60, shop.begin, read_at)
    return made


def test_a_part_that_is_read_again_counts_once(all_read: pf.Lake, shop: Simulator, run: Run) -> None:
    plan = json.loads(run("plan", all_read.location, "--from", "2026-10-23", "--history", "3", "--json")[1])
    assert plan["windows"][0]["sessions"] > 30
    sessions = sum(row["sessions"] for row in plan["history"]["months"])
    assert sessions == pytest.approx(len(shop.summaries(shop.begin, NOW)), abs=3)


def test_details_fall_only_to_the_window_and_add_to_those_in_the_lake(
    all_read: pf.Lake, shop: Simulator, run: Run
) -> None:
    start = datetime(2026, 11, 12, tzinfo=UTC)
    options = ("plan", all_read.location, "--from", "2026-11-12", "--history", "3")
    history = json.loads(run(*options, "--json")[1])["history"]
    [november] = history["months"]
    assert november["sessions"] == pytest.approx(len(shop.summaries(start, NOW)), abs=3)
    assert november["details"] == history["details"] > 0
    since = all_read.sessions().filter(pl.col("session_start") >= start, pl.col("detail_fetched_at").is_not_null())
    in_lake = len(since.collect())
    assert november["details_in_lake"] == in_lake > 0
    forecast = pf.plan_precision(all_read, by=None)
    assert november["within"] == forecast.within_after(history["details"] + in_lake)
    assert f"{history['details']} details and {in_lake} in the lake, median" in run(*options)[1]


def test_the_text_names_months_details_and_intervals(lake: pf.Lake, run: Run) -> None:
    _, out, err = run(
        "plan", lake.location, "--from", "2026-10-23", "--history", "3", "--measure", "median(loading_time_ms)"
    )
    text = out + err
    assert "History: 3 days of 50 calls list all sessions and download " in text
    assert "2026-10: " in text
    assert ", median(loading_time_ms) ±" in text


def test_without_a_sample_there_are_details_and_no_intervals(lake: pf.Lake, run: Run) -> None:
    del lake
    _, out, err = run("plan", "new", "--from", "2026-11-01", "--history", "3")
    assert "To forecast intervals, download a few dozen details first" in out + err


def test_without_a_count_nothing_is_guessed(lake: pf.Lake, run: Run) -> None:
    del lake
    _, out, err = run("plan", "new", "--from", "2026-11-01", "--history", "3", "--no-probe")
    assert "History: unknown, because the sessions have not been counted." in out + err


@pytest.mark.parametrize("other", [("--precision", "10%"), ("--details", "20")])
def test_one_forecast_at_a_time(lake: pf.Lake, run: Run, other: tuple[str, str]) -> None:
    code, _, err = run("plan", lake.location, "--from", "2026-11-01", "--history", "3", *other)
    assert code == 2
    assert "--history" in err
