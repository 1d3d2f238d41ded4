"""``Simulator.client()``: a client that is ready to use."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from conftest import NOW

import pulseframes as pf
from pulseframes.simulator import Simulator


def test_it_searches_by_the_clock_and_within_the_limit_of_the_simulator() -> None:
    with Simulator(sessions=60, now=NOW, daily_limit=2) as simulator, simulator.client() as client:
        assert len(pf.search_sessions("2026-11-01", "2026-11-10", client=client)) > 0
        with pytest.raises(pf.QuotaExhausted) as caught:
            pf.search_sessions("2026-11-10", "2026-11-11", client=client)
        assert caught.value.resets_at is not None
        simulator.advance(caught.value.resets_at - NOW + timedelta(minutes=2))
        pf.search_sessions("2026-11-10", "2026-11-11", client=client)
        assert simulator.calls == client.calls_spent


@pytest.mark.parametrize(("limit", "calls"), [(None, 1_000_000), (7, 7), (0, 1)])
def test_its_limit_is_that_of_the_simulator(limit: int | None, calls: int) -> None:
    with Simulator(sessions=1, now=NOW, daily_limit=limit) as simulator, simulator.client() as client:
        assert client.quota().limit == calls


def test_it_keeps_nothing_on_disk_unless_it_is_given_a_home(tmp_path: Path) -> None:
    with Simulator(sessions=1, now=NOW) as simulator:
        with simulator.client() as client:
            assert client.journal.path is None
        with simulator.client(home=tmp_path / "journal", daily_limit=9) as client:
            pf.search_sessions("2026-11-01", "2026-11-02", client=client)
            assert (client.quota().limit, client.journal.path) == (9, tmp_path / "journal" / "journal.sqlite")
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_it_starts_the_server() -> None:
    simulator = Simulator(sessions=5, now=NOW)
    with simulator.client() as client:
        assert len(pf.search_sessions(simulator.begin, simulator.now, client=client)) == 5
    simulator.stop()


def test_a_wrong_setting_is_named() -> None:
    with Simulator(sessions=1, now=NOW) as simulator:
        with pytest.raises(pf.InvalidQuery, match="daily_limit must be a whole number of at least 1, not 0"):
            simulator.client(daily_limit=0)
        with pytest.raises(TypeError, match="dayly_limit"):
            simulator.client(dayly_limit=5)
