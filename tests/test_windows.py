"""Windows and coverage, compared with plain sets of hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
from hypothesis import given, strategies as st

from pulseframes.windows import Coverage, Window, subtract, union

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def at(hour: int) -> datetime:
    return START + hour * HOUR


def hours(windows: list[Window]) -> set[int]:
    return {hour for window in windows for hour in range(100) if window.start <= at(hour) < window.end}


windows = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda ends: Window(at(min(ends)), at(max(ends))))


@given(st.lists(windows), st.lists(windows))
def test_windows_are_joined_and_subtracted_like_sets_of_hours(some: list[Window], others: list[Window]) -> None:
    joined, rest = union(some), subtract(some, others)
    assert hours(joined) == hours(some)
    assert hours(rest) == hours(some) - hours(others)
    for result in (joined, rest):
        assert all(one.end <= two.start for one, two in pairwise(result))
        assert all(window.start < window.end for window in result)


@given(st.lists(st.tuples(windows, st.integers(0, 200)), max_size=6), st.integers(0, 50))
def test_only_windows_that_were_read_before_they_had_settled_are_fetched_again(
    readings: list[tuple[Window, int]], look_back: int
) -> None:
    coverage, settled, ever = Coverage(), set(), set()
    readings.sort(key=lambda reading: reading[1])  # as time goes by
    for window, read_at in readings:
        if window.start < window.end:
            coverage.add(window, at(read_at), look_back * HOUR)
            settled |= {hour for hour in hours([window]) if at(hour) < at(read_at - look_back)}
            ever |= hours([window])
    assert hours(coverage.windows()) == ever
    assert hours(coverage.settled(look_back * HOUR)) == settled
    to_fetch = coverage.to_fetch(Window(at(0), at(100)), at(1_000), look_back * HOUR)
    assert hours(to_fetch) == set(range(100)) - settled
    assert msgspec.json.decode(msgspec.json.encode(coverage), type=Coverage) == coverage


def test_a_window_that_was_read_a_moment_ago_is_not_fetched_again() -> None:
    coverage = Coverage()
    coverage.add(Window(at(0), at(48)), at(48), DAY)
    soon, later = at(48) + timedelta(minutes=14), at(48) + timedelta(minutes=16)
    assert coverage.to_fetch(Window(at(0), at(48)), soon, DAY) == []
    assert coverage.to_fetch(Window(at(0), at(48)), later, DAY) == [Window(at(24), at(48))]


def test_a_session_that_can_still_change_is_fetched_by_itself_after_its_window_has_settled() -> None:
    coverage = Coverage()
    coverage.add(Window(at(0), at(48)), at(96), DAY)
    assert coverage.to_fetch(Window(at(0), at(48)), at(97), DAY, [at(3), at(60)]) == [
        Window(at(3), at(3) + timedelta.resolution)
    ]


def test_windows_that_have_settled_are_joined_so_that_a_year_of_syncs_stays_small() -> None:
    coverage = Coverage()
    for day in range(365):
        end = START + (day + 1) * DAY
        for window in coverage.to_fetch(Window(START, end), end, DAY):
            coverage.add(window, end, DAY)
    assert len(coverage.reads) == 2
    assert coverage.windows() == [Window(START, START + 365 * DAY)]
    coverage.remove(Window(START, START + DAY))
    assert coverage.windows() == [Window(START + DAY, START + 365 * DAY)]
