"""`plan --history`: how much history the calls of some days can save."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import NOW, Run, set_environment

import pulseframes as pf
from pulseframes.simulator import Simulator


@pytest.fixture(scope="module")
def shop() -> Iterator[Simulator]:
    with Simulator(sessions=1_000, now=NOW, daily_limit=None) as running:
        yield running


@pytest.fixture(scope="module")
def sampled(shop: Simulator, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    """A day of November, with a sample."""
    folder = tmp_path_factory.mktemp("sampled")
    with shop.client() as client:
        pf.sync(folder, "2026-11-18", "2026-11-19", details=25, client=client)
    return pf.Lake(folder)


@pytest.fixture
def lake(shop: Simulator, sampled: pf.Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pf.Lake:
    """The same, with an account of 50 calls a day."""
    monkeypatch.chdir(tmp_path)
    set_environment(monkeypatch, shop)
    return sampled


def test_the_calls_of_some_days_are_divided_over_the_months(lake: pf.Lake, run: Run) -> None:
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
    known = sum(window["sessions"] for window in plan["windows"]) + len(lake.sessions().collect())
    assert sum(row["sessions"] for row in months.values()) == pytest.approx(known, abs=2)
    more, fewer = months["2026-11"], months["2026-10"]
    assert (more["within"] < fewer["within"]) == (more["details"] > fewer["details"])


def test_the_text_names_months_details_and_intervals(lake: pf.Lake, run: Run) -> None:
    _, out, err = run(
        "plan", lake.location, "--from", "2026-10-23", "--history", "3", "--measure", "p75(loading_time_ms)"
    )
    text = out + err
    assert "History: 3 days of 50 calls list all sessions and download " in text
    assert "2026-10: " in text
    assert ", p75(loading_time_ms) ±" in text


def test_without_a_sample_there_are_details_and_no_intervals(lake: pf.Lake, run: Run) -> None:
    del lake
    _, out, err = run("plan", "new", "--from", "2026-11-01", "--history", "3")
    assert "To forecast intervals, download a few dozen details first" in out + err


def test_without_a_count_nothing_is_guessed(lake: pf.Lake, run: Run) -> None:
    del lake
    _, out, err = run("plan", "new", "--from", "2026-11-01", "--history", "3", "--no-probe")
    assert "History: unknown" in out + err


def test_one_forecast_at_a_time(lake: pf.Lake, run: Run) -> None:
    code, _, err = run("plan", lake.location, "--from", "2026-11-01", "--history", "3", "--precision", "10%")
    assert code == 2
    assert "--history" in err
