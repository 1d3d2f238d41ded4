"""After forget or retain, no search, sync, plan or report calls the remaining sessions complete."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import Run, client_of, settings_of
from hypothesis import given, settings, strategies as st

import pulseframes as pf
from pulseframes.simulator import Simulator
from pulseframes.tables import SESSIONS

NOW = datetime(2026, 11, 17, tzinfo=UTC)
WEEK = (datetime(2026, 11, 9, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC))
HOURS = int((WEEK[1] - WEEK[0]) / timedelta(hours=1))


@pytest.fixture(scope="module")
def shop() -> Iterator[Simulator]:
    """About 1,500 sessions in the week: three pages and more."""
    with Simulator(sessions=6_000, seed=3, now=NOW, daily_limit=None) as running:
        yield running


@pytest.fixture(scope="module")
def home(shop: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with the week, and a lake of it."""
    folder = tmp_path_factory.mktemp("deletion")
    with client_of(shop, changes={"home": folder / "home"}, clock=lambda: NOW) as client:
        pf.sync(folder / "lake", *WEEK, client=client)
    return folder


@pytest.fixture
def kept(home: Path, tmp_path: Path) -> Path:
    shutil.copytree(home, tmp_path / "kept")
    return tmp_path / "kept"


def client_at(shop: Simulator, folder: Path, now: datetime = NOW) -> pf.PulseClient:
    return client_of(shop, changes={"home": folder / "home"}, clock=lambda: now)


def delete(folder: Path, shop: Simulator, *, user: str | None, days: int, lake: bool) -> None:
    of_lake, options = folder / "lake" if lake else None, settings_of(shop, home=folder / "home")
    if user is None:
        pf.retain(of_lake, days, settings=options, clock=lambda: NOW)
    else:
        pf.forget(of_lake, user, settings=options)


def a_user(shop: Simulator, number: int) -> str:
    """A user with sessions in the week."""
    named = shop.summaries(*WEEK)["user_identifier"].drop_nulls().unique().sort()
    return str(named[number % len(named)])


@settings(max_examples=8)
@given(
    user=st.none() | st.integers(0, 10_000),
    days=st.integers(2, 7),
    hours=st.tuples(st.integers(0, HOURS), st.integers(0, HOURS)).filter(lambda ends: ends[0] != ends[1]),
    whole=st.booleans(),
    in_lake=st.booleans(),
)
def test_a_result_is_complete_only_if_it_has_what_the_server_has(
    shop: Simulator,
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    user: int | None,
    days: int,
    hours: tuple[int, int],
    whole: bool,
    in_lake: bool,
) -> None:
    folder = tmp_path_factory.mktemp("example") / "kept"
    shutil.copytree(home, folder)
    delete(folder, shop, user=None if user is None else a_user(shop, user), days=days, lake=in_lake)
    start, end = WEEK if whole else (WEEK[0] + timedelta(hours=min(hours)), WEEK[0] + timedelta(hours=max(hours)))
    truth = shop.summaries(start, end)["session_id"].sort()
    with client_at(shop, folder) as client, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = pf.search_sessions(start, end, client=client)
        has_all = found["session_id"].sort().equals(truth)
        assert pf.certificate(found).complete == has_all
        assert any(issubclass(warning.category, pf.IncompleteWarning) for warning in warned) != has_all
        again = pf.search_sessions(start, end, client=client, refresh=True)
        assert pf.certificate(again).complete
        assert again["session_id"].sort().equals(truth)


@pytest.mark.parametrize("user", [None, 3], ids=["retain", "forget"])
def test_a_new_lake_its_plan_and_its_report_say_what_was_deleted_from_the_journal(
    shop: Simulator, kept: Path, user: int | None
) -> None:
    delete(kept, shop, user=None if user is None else a_user(shop, user), days=4, lake=False)
    with client_at(shop, kept) as client:
        with pytest.warns(pf.IncompleteWarning, match="deleted from the journal by `forget` or `retain`"):
            report = pf.sync(kept / "new", *WEEK, client=client)
        assert report.incomplete
        assert "Incomplete: 2026-11-09 00:00 to 2026-11-16 00:00 UTC." in str(report)
        plan = pf.plan(kept / "new", *WEEK, client=client)
        assert (plan.calls, plan.incomplete) == (0, report.incomplete)
        assert "Incomplete: 2026-11-09 00:00 to 2026-11-16 00:00 UTC. A refresh downloads it again." in str(plan)
        with pytest.warns(pf.IncompleteWarning, match="lacks sessions of 2026-11-09 00:00 to 2026-11-16 00:00 UTC"):
            page = pf.report(kept / "new", None)
        for figure in (lambda: pf.estimate(kept / "new", "count()"), lambda: pf.traffic(kept / "new", every="1d")):
            with pytest.warns(pf.IncompleteWarning, match="lacks sessions of"):
                figure()
        assert "all sessions that the server counted were downloaded" not in page
        assert "Sessions missing" in page
    with client_at(shop, kept, NOW + timedelta(hours=1)) as client:
        pf.sync(kept / "new", *WEEK, client=client, refresh=True)
        assert "all sessions that the server counted were downloaded" in pf.report(kept / "new", None)


def test_a_lake_from_which_a_person_was_deleted_says_of_which_days(shop: Simulator, kept: Path) -> None:
    user = a_user(shop, 5)
    days = shop.summaries(*WEEK).filter(user_identifier=user)["session_start"].dt.date().unique()
    delete(kept, shop, user=user, days=0, lake=True)
    incomplete = pf.Lake(kept / "lake").state().incomplete
    covered = {start.date() + timedelta(days=day) for start, end in incomplete for day in range((end - start).days)}
    assert covered == set(days)
    with pytest.warns(pf.IncompleteWarning, match="lacks sessions of"):
        page = pf.report(kept / "lake", None)
    assert "Sessions missing" in page
    assert "counted, all sessions" not in page


def test_a_command_prints_the_same_warning_once(shop: Simulator, kept: Path, run: Run) -> None:
    delete(kept, shop, user=a_user(shop, 5), days=0, lake=True)
    code, _, said = run("report", kept / "lake", "-o", kept / "r.html")
    assert code == 0
    assert said.count("lacks sessions of") == 1


def test_a_report_of_a_lake_that_was_only_written_to_does_not_call_it_complete(tmp_path: Path) -> None:
    lake = pf.Lake(tmp_path / "lake")
    lake.write(pl.DataFrame([{"session_id": 1, "session_start": WEEK[0]}], schema=SESSIONS.schema))
    page = pf.report(lake, None)
    assert "unknown: the lake was written to, but never synced" in page
    assert "counted, all sessions" not in page
