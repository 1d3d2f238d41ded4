"""Pages of a list: as few as possible, requested again where they are wrong, and cut into windows where they are too many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st
from support.moving_server import START, WEEK, MovingServer

from pulseframes import InvalidQuery, QuotaExhausted, ServerError
from pulseframes.fetch.chain import Page
from pulseframes.fetch.pagination import PATIENCE, SMALLEST_PAGE, ListReader, Reading
from pulseframes.query import SearchQuery
from pulseframes.windows import Window

DAY = timedelta(days=1)


def read(server: MovingServer, query: SearchQuery = WEEK, *, repair_calls: int = 6) -> Reading:
    reader = ListReader(server, query, repair_calls=repair_calls)
    for _ in reader.pages():
        pass
    return reader.reading


class ChangingServer(MovingServer):
    """A server that something happens to before each page but the first."""

    def __init__(self, count: int, *events: Callable[[MovingServer], object]) -> None:
        super().__init__([*range(1, count + 1)])
        self.events = [*events]

    def paid_page(self, query: SearchQuery, skip: int, size: int) -> Page:
        if self.asked and self.events:
            self.events.pop(0)(self)
        return super().paid_page(query, skip, size)


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (500, 1), (501, 2), (999, 2), (1_234, 3), (5_200, 11)])
def test_a_list_that_stands_still_is_read_in_one_page_per_500_sessions(count: int, pages: int) -> None:
    server = MovingServer([*range(count)])
    reading = read(server)
    assert len(server.asked) == pages
    assert [*reading.starts] == server.sessions
    assert (reading.complete, reading.declared, reading.repaired) == (True, count, 0)


@pytest.mark.parametrize(("settled", "pages"), [(True, 2), (False, 3)])
def test_pages_of_a_settled_list_overlap_only_if_that_costs_nothing(settled: bool, pages: int) -> None:
    server = MovingServer([*range(1_000)], settled=settled)
    assert read(server).complete
    assert len(server.asked) == pages


@pytest.mark.parametrize(
    ("event", "calls"),
    [
        (lambda server: server.insert(0, 3), 4),
        (lambda server: server.insert(1_234, 3), 3),
        (lambda server: server.delete(10, 2), 4),
        (lambda server: (server.delete(1_200, 2), server.insert(0, 2)), 4),
        (lambda server: (server.delete(3), server.insert(1_233)), 4),
        (lambda server: setattr(server, "fault", "empty"), 4),
        (lambda server: setattr(server, "fault", "repeat"), 4),
        (lambda server: setattr(server, "fault", "drop"), 4),
    ],
    ids=[
        "arrivals at the front",
        "arrivals at the end",
        "deleted rows that were read",
        "as many at the front as at the end were deleted",
        "as many at the end as were deleted",
        "an empty page",
        "the page before, again",
        "a page without one of its rows",
    ],
)
def test_one_change_or_fault_costs_one_call_at_most(event: Callable[[MovingServer], object], calls: int) -> None:
    server = ChangingServer(1_234, event)
    reading = read(server)
    assert reading.complete
    assert set(server.sessions) <= reading.starts.keys()
    assert len(server.asked) == calls


def test_a_session_that_is_counted_and_never_sent_is_missed_wherever_it_is() -> None:
    for place in range(0, 1_000, 50):
        server = MovingServer([*range(1_000)], hidden={place}, settled=True)
        reading = read(server)
        assert (reading.complete, reading.declared, reading.distinct) == (False, 1_000, 999)
        assert "reported 1,000 sessions, but 999 were received" in reading.problem


@pytest.mark.parametrize("total", [0, 500])
def test_a_count_that_is_too_small_does_not_end_the_list_and_is_not_believed(total: int) -> None:
    server = MovingServer([*range(1_200)], total=total)
    reading = read(server)
    assert (reading.complete, reading.declared, reading.distinct) == (False, total, 1_200)
    assert "its count cannot be relied on" in reading.problem


def test_rows_that_do_not_answer_the_question_are_counted_and_not_called_complete() -> None:
    server = MovingServer([1, 2, 3], fault="foreign")
    reading = read(server)
    assert (reading.complete, reading.foreign) == (False, 3)
    assert "reported 3 sessions, and 3 were received, 3 of them of another time, country or user" in reading.problem


@pytest.mark.parametrize(
    ("declared", "foreign", "repaired", "problem"),
    [
        (
            4,
            0,
            2,
            "4 sessions, but 3 were received, after 2 additional calls: its list has gaps, or changed while it was read.",
        ),
        (3, 0, 0, "3 sessions, and 3 were received, but its list changed while it was read, so others may be missing."),
        (
            3,
            2,
            0,
            "3 sessions, and 3 were received, 2 of them of another time, country or user than requested: check them.",
        ),
        (2, 0, 0, "2 sessions, but 3 were received: its count cannot be relied on, so more sessions may be missing."),
    ],
)
def test_what_is_said_of_a_list_fits_what_is_wrong_with_it(
    declared: int, foreign: int, repaired: int, problem: str
) -> None:
    reading = Reading({1: None, 2: None, 3: None}, declared=declared, foreign=foreign, repaired=repaired)
    assert reading.problem == f"The server reported {problem}"


@pytest.mark.parametrize(("total", "calls"), [(10**18, 2), (700, 4)])
def test_few_calls_are_spent_on_a_total_that_the_list_does_not_reach(total: int, calls: int) -> None:
    server = MovingServer([*range(500)], total=total)
    assert not read(server).complete
    assert len(server.asked) <= calls


def test_a_quota_that_ends_while_pages_are_requested_again_leaves_what_is_there() -> None:
    def ended(_: MovingServer) -> None:
        raise QuotaExhausted("no call is left")

    server = ChangingServer(600, lambda it: it.insert(0, 3), ended)
    reading = read(server)
    assert not reading.complete
    assert len(reading.starts) >= 600


class SlowServer(MovingServer):
    """A server that times out on some requests."""

    def __init__(self, count: int, times_out: Callable[[int, int], bool]) -> None:
        super().__init__([*range(count)])
        self.times_out = times_out
        self.sizes: list[int] = []
        self.error = ServerError("too slow", retryable=True, timed_out=True)

    def paid_page(self, query: SearchQuery, skip: int, size: int) -> Page:
        self.sizes.append(size)
        if self.times_out(len(self.sizes), size):
            raise self.error
        return super().paid_page(query, skip, size)


def test_a_page_that_times_out_once_is_requested_again_as_it_was() -> None:
    server = SlowServer(5_200, lambda number, _: number == 3)
    assert read(server).complete
    assert server.sizes == [500] * 12


def test_a_page_that_times_out_again_is_halved_and_the_size_recovers() -> None:
    server = SlowServer(4_000, lambda number, _: number in {1, 2})
    assert read(server).complete
    assert server.sizes[: PATIENCE + 3] == [500, 500, *[250] * PATIENCE, 500]
    assert set(server.sizes[PATIENCE + 3 :]) == {500}


def test_a_server_that_is_always_too_slow_for_large_pages_is_tried_with_them_ever_more_rarely() -> None:
    server = SlowServer(10_000, lambda _, size: size > 250)
    assert read(server).complete
    assert server.sizes.count(500) <= 2 + 2 * 4


def test_the_smallest_page_that_times_out_is_an_error() -> None:
    server = SlowServer(700, lambda *_: True)
    with pytest.raises(ServerError):
        read(server)
    assert server.sizes == [500, 500, 250, 125, 62, SMALLEST_PAGE]


def test_a_page_that_is_cut_off_is_halved_at_once_and_tried_no_more_than_twice() -> None:
    server = SlowServer(700, lambda *_: True)
    server.error = ServerError("cut off", retryable=True, timed_out=True, cut_off=True)
    with pytest.raises(ServerError):
        read(server)
    assert server.sizes == [500, 250]
    slow = SlowServer(2_000, lambda _, size: size > 250)
    slow.error = server.error
    assert read(slow).complete
    assert slow.sizes[:3] == [500, 250, 250]


def test_a_timeout_whose_answer_says_when_to_come_back_ends_the_list() -> None:
    server = SlowServer(700, lambda *_: True)
    server.error = ServerError("later", retryable=True, timed_out=True, retry_at=START + timedelta(days=9))
    with pytest.raises(ServerError):
        read(server)
    assert server.sizes == [500]


@pytest.mark.parametrize(("settled", "calls"), [(True, 3), (False, 4)])
def test_a_server_with_smaller_pages_is_read_to_the_end(settled: bool, calls: int) -> None:
    """In a list that may change, a page that is short for no known reason is requested again, once."""
    server = MovingServer([*range(250)], cap=100, settled=settled)
    assert read(server).complete
    assert len(server.asked) == calls


@given(st.integers(0, 2_600), st.integers(0, 3_000), st.none() | st.integers(1, 3_000))
def test_skip_and_limit_take_that_part_of_a_list_that_stands_still(count: int, skip: int, limit: int | None) -> None:
    server = MovingServer([*range(count)], settled=True)
    query = replace(WEEK, skip=skip, limit=limit)
    reading = read(server, query)
    assert [*reading.starts] == server.sessions[skip : None if limit is None else skip + limit]
    assert reading.complete
    assert len(server.asked) == query.calls(count)


class TimedServer(MovingServer):
    """Sessions spread evenly over a window, so that its parts can be asked for."""

    def __init__(self, starts: list[datetime], *, calls: int = 10_000, newest_first: bool = True) -> None:
        super().__init__([])
        self.starts = dict(enumerate(sorted(starts, reverse=newest_first)))
        self.calls = calls
        self.windows: list[Window] = []
        self.kept: dict[Window, int] = {}
        self.deepest = 10**9

    def paid_page(self, query: SearchQuery, skip: int, size: int) -> Page:
        self.asked.append((skip, size))
        self.windows.append(query.window)
        if skip + size > self.deepest:
            raise InvalidQuery("Result window is too large")
        found = {number: at for number, at in self.starts.items() if query.date_from <= at < query.date_to}
        rows = [*found][skip : skip + size]
        return Page(skip, size, len(found), [*rows], {number: found[number] for number in rows})

    def kept_windows(self, _: SearchQuery) -> dict[Window, int]:
        return self.kept

    def calls_left(self) -> int:
        return self.calls


def evenly(count: int, start: datetime, days: float) -> list[datetime]:
    return [start + number * timedelta(days=days) / count for number in range(count)]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("years", [1, 100])
def test_a_list_of_more_pages_than_calls_is_read_in_windows_with_sessions_alone(years: int, newest_first: bool) -> None:
    server = TimedServer(evenly(20_000, START - 40 * DAY, 40), calls=10, newest_first=newest_first)
    query = SearchQuery(START - years * 300 * DAY, START + years * 300 * DAY)
    reading = read(server, query)
    assert reading.complete
    assert len(reading.starts) == 20_000
    parts = set(server.windows) - {query.window}
    assert len(server.asked) <= 1 + 40 + len(parts)
    assert len(parts) <= 8
    assert all(part.start.hour == 0 for part in parts)


def test_no_window_lies_in_the_future() -> None:
    server = TimedServer(evenly(3_000, START, 6), calls=1)
    assert read(server, SearchQuery(START, datetime(9999, 12, 31, tzinfo=UTC))).complete
    assert max(window.end for window in server.windows[1:]) <= server.now() + DAY


def test_windows_that_are_cached_are_used_where_that_saves_calls() -> None:
    server = TimedServer(evenly(3_000, START, 6))
    cached = Window(START, START + 4 * DAY)
    server.kept = {cached: 2_000}
    assert read(server).complete
    assert cached in server.windows
    assert len([window for window in server.windows if window != cached]) == 1 + 3


def test_a_settled_list_is_read_whole_however_long_it_is() -> None:
    server = MovingServer([*range(20_200)], settled=True)
    assert read(server).complete
    assert len(server.asked) == 41


def test_a_list_whose_later_pages_the_server_refuses_is_read_in_windows() -> None:
    server = TimedServer(evenly(10_800, START, 7))
    server.deepest = 10_000
    server.settled = True
    reading = read(server)
    assert reading.complete
    assert len(reading.starts) == 10_800
    with pytest.raises(InvalidQuery):
        read(server, replace(WEEK, skip=9_000, limit=1_500))


class CachingServer(MovingServer):
    """A server of which one page is cached, at another position than those requested now."""

    cached: Page | None = None

    def kept_page(self, *place: object) -> Page | None:
        page = self.cached
        if page is None or not page.skip <= int(str(place[1])) < page.end:
            return None
        self.cached = None
        return page


@given(st.integers(0, 1_200), st.integers(1, 500), st.sampled_from(["", "drop", "empty"]))
def test_a_cached_page_of_any_position_and_size_is_used(skip: int, size: int, fault: str) -> None:
    server = CachingServer([*range(1_234)])
    server.cached = server.paid_page(WEEK, skip, size)
    server.asked.clear()
    server.fault = fault
    reading = read(server)
    assert reading.complete
    assert [*sorted(reading.starts)] == server.sessions
