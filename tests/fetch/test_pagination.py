"""Lists that move while they are read: nothing is missed in silence, and little is spent on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from pulseframes import QuotaExhausted, ServerError, endpoints
from pulseframes.fetch.pagination import LONGEST_WINDOW_DAYS, SMALLEST_PAGE, ListReader, Page, Reading
from pulseframes.query import SearchQuery

START = datetime(2026, 11, 1, tzinfo=UTC)
WEEK = SearchQuery.parse(START, START + timedelta(days=7))


def starts_of(count: int, days: float = 7) -> dict[int, datetime]:
    """Sessions spread evenly over the window."""
    return {number: START + number * timedelta(days=days) / max(1, count) for number in range(count)}


class MovingList:
    """A server's list of sessions that something happens to before each page."""

    def __init__(
        self,
        starts: dict[int, datetime],
        *,
        newest_first: bool = True,
        events: list[Callable[[MovingList], None]] | None = None,
    ) -> None:
        self.starts = dict(starts)
        self.newest_first = newest_first
        self.events = list(events or [])
        self.asked: list[tuple[int, int]] = []

    def ask(self, window: SearchQuery, skip: int, size: int) -> Page:
        if self.asked and self.events:
            self.events.pop(0)(self)
        self.asked.append((skip, size))
        inside = [item for item in self.starts.items() if window.date_from <= item[1] < window.date_to]
        inside.sort(key=lambda item: (item[1], item[0]), reverse=self.newest_first)
        return Page(skip, len(inside), dict(inside[skip : skip + size]))

    def arrive(self, count: int) -> None:
        """New sessions at the end of the window."""
        for _ in range(count):
            number = max(self.starts, default=0) + 1
            self.starts[number] = START + timedelta(days=7) - timedelta(microseconds=10_000 - number % 10_000)

    def leave(self, *places: int) -> None:
        """Sessions that go, by their place in time."""
        in_time = sorted(self.starts, key=lambda number: (self.starts[number], number))
        for place in places:
            self.starts.pop(in_time[place % len(in_time)], None)


class Source:
    """A source of pages made of functions."""

    def __init__(
        self,
        ask: Callable[[SearchQuery, int, int], Page],
        *,
        calls_left: Callable[[], int],
        settled: bool,
        kept: Callable[[SearchQuery], bool],
    ) -> None:
        self.page = ask
        self.calls_left = calls_left
        self.is_kept = kept
        self._settled = settled

    def is_settled(self, _: SearchQuery) -> bool:
        return self._settled


class Reader(ListReader):
    """Reads a list to its end."""

    def read(self) -> Reading:
        for _ in self.pages():
            pass
        return self.reading


def reader(
    ask: Callable[[SearchQuery, int, int], Page],
    query: SearchQuery = WEEK,
    *,
    repair_calls: int = 6,
    calls_left: Callable[[], int] = lambda: 10_000,
    settled: bool = False,
    kept: Callable[[SearchQuery], bool] = lambda _: False,
) -> Reader:
    source = Source(ask, calls_left=calls_left, settled=settled, kept=kept)
    return Reader(source, query, repair_calls=repair_calls)


def read(server: MovingList, query: SearchQuery = WEEK, *, repair_calls: int = 6) -> Reading:
    return reader(server.ask, query, repair_calls=repair_calls).read()


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (500, 1), (501, 2), (1_234, 3)])
def test_a_list_that_stands_still_is_read_in_as_few_pages_as_there_can_be(count: int, pages: int) -> None:
    server = MovingList(starts_of(count))
    reading = read(server)
    assert len(server.asked) == pages
    assert reading.starts == server.starts
    assert (reading.complete, reading.declared, reading.repaired, reading.rows) == (True, count, 0, count)


def test_what_arrives_at_the_front_is_fetched_with_one_more_call() -> None:
    server = MovingList(starts_of(1_234), events=[lambda it: it.arrive(3)])
    reading = read(server)
    assert len(server.asked) == 4
    assert reading.starts == server.starts
    assert reading.complete
    assert reading.repaired == 1
    assert sorted(set(reading.totals)) == [1_234, 1_237]


def test_what_arrives_at_the_end_costs_nothing_more() -> None:
    server = MovingList(starts_of(1_234), newest_first=False, events=[lambda it: it.arrive(3)])
    reading = read(server)
    assert len(server.asked) == 3
    assert reading.starts == server.starts
    assert reading.complete


def test_what_is_pulled_on_to_a_page_that_was_read_is_fetched_with_one_more_call() -> None:
    server = MovingList(starts_of(1_234), events=[lambda it: it.leave(-1, -2)])
    reading = read(server)
    assert len(server.asked) == 4
    assert server.starts.keys() <= reading.starts.keys()
    assert reading.complete
    assert server.asked[-1] == (498, 500)


def test_as_many_arriving_as_leaving_is_noticed_though_the_total_stands_still() -> None:
    def swap(server: MovingList) -> None:
        server.leave(10, 11)
        server.arrive(2)

    server = MovingList(starts_of(1_234), events=[swap])
    reading = read(server, repair_calls=8)
    assert server.starts.keys() <= reading.starts.keys()
    assert reading.complete


def test_a_list_that_never_stops_moving_is_incomplete_within_the_budget() -> None:
    server = MovingList(
        starts_of(3_000), events=[lambda it: (it.leave(5, 500, 1500), it.arrive(2))[0] for _ in range(99)]
    )
    reading = read(server, repair_calls=4)
    assert reading.repaired <= 4
    assert len(server.asked) <= 6 + 4 + 1
    assert not reading.complete or server.starts.keys() <= reading.starts.keys()


def test_no_calls_are_spent_on_a_total_that_they_could_not_reach() -> None:
    def absurd(_window: SearchQuery, skip: int, _size: int) -> Page:
        asked.append(skip)
        return Page(skip, 10**18, {1: START})

    asked: list[int] = []
    assert not reader(absurd).read().complete
    assert asked == [0, 1]


def test_the_same_page_again_and_again_does_not_burn_the_quota() -> None:
    server = MovingList(starts_of(500))
    asked: list[int] = []

    def stuck(window: SearchQuery, skip: int, size: int) -> Page:
        asked.append(skip)
        return Page(skip, 700, server.ask(window, 0, size).starts)

    assert not reader(stuck).read().complete
    assert len(asked) <= 2 + 6


def test_a_quota_that_ends_during_repairs_leaves_what_is_there() -> None:
    def ended(_server: MovingList) -> None:
        raise QuotaExhausted("no call is left")

    server = MovingList(starts_of(600), events=[lambda it: it.arrive(3), ended])
    reading = read(server)
    assert not reading.complete
    assert len(reading.starts) >= 600


@pytest.mark.parametrize("largest", [250, 100, 50])
def test_a_page_that_times_out_is_asked_again_in_halves_and_later_pages_keep_the_size(largest: int) -> None:
    server = MovingList(starts_of(700))
    sizes: list[int] = []

    def slow(window: SearchQuery, skip: int, size: int) -> Page:
        sizes.append(size)
        if size > largest:
            raise ServerError("too slow", retryable=True, timed_out=True)
        return server.ask(window, skip, size)

    assert reader(slow).read().starts == server.starts
    first_ok = next(number for number, size in enumerate(sizes) if size <= largest)
    assert sizes[: first_ok + 1] == [
        max(endpoints.SEARCH.page_size >> half, SMALLEST_PAGE) for half in range(first_ok + 1)
    ]
    assert set(sizes[first_ok:]) == {sizes[first_ok]}


def test_the_smallest_page_that_times_out_is_an_error() -> None:
    def always(_window: SearchQuery, _skip: int, size: int) -> Page:
        sizes.append(size)
        raise ServerError("too slow", timed_out=True)

    sizes: list[int] = []
    with pytest.raises(ServerError):
        reader(always).read()
    assert sizes == [500, 250, 125, 62, 50]


def test_a_server_with_smaller_pages_is_read_to_the_end() -> None:
    server = MovingList(starts_of(250))
    assert reader(lambda window, skip, size: server.ask(window, skip, min(size, 100))).read().starts == server.starts
    assert [skip for skip, _ in server.asked] == [0, 100, 200]


def test_a_list_that_takes_more_than_the_quota_is_read_in_windows_that_can_become_final() -> None:
    starts = starts_of(40_000)
    first_day, second_day = MovingList(starts), MovingList(starts)
    windows: dict[str, set[tuple[datetime, datetime]]] = {"first": set(), "second": set()}

    def noting(name: str, server: MovingList) -> Callable[[SearchQuery, int, int], Page]:
        def ask(window: SearchQuery, skip: int, size: int) -> Page:
            windows[name].add((window.date_from, window.date_to))
            return server.ask(window, skip, size)

        return ask

    for name, server, left in (("first", first_day, 49), ("second", second_day, 60)):
        reading = reader(noting(name, server), calls_left=lambda left=left: left).read()
        assert reading.complete
        assert reading.starts == starts
    assert windows["first"] == windows["second"]
    assert len(windows["first"]) == 1 + 7
    whole_days = sorted(windows["first"] - {(WEEK.date_from, WEEK.date_to)})
    assert all(start.hour == end.hour == 0 for start, end in whole_days)
    assert len(first_day.asked) <= 80 + 1 + 7


def test_windows_that_an_earlier_run_paid_for_are_used_though_there_are_more_calls_now() -> None:
    server = MovingList(starts_of(10_000))
    windows: set[tuple[datetime, datetime]] = set()

    def ask(window: SearchQuery, skip: int, size: int) -> Page:
        windows.add((window.date_from, window.date_to))
        return server.ask(window, skip, size)

    assert reader(ask, kept=lambda window: window.date_from == START).read().complete
    assert len(windows) > 1
    windows.clear()
    assert reader(ask).read().complete
    assert windows == {(WEEK.date_from, WEEK.date_to)}


def test_a_settled_list_is_read_whole_however_long_it_is() -> None:
    server = MovingList(starts_of(30_000))
    assert reader(server.ask, calls_left=lambda: 10, settled=True).read().complete
    assert len(server.asked) == 60


@pytest.mark.parametrize("days", [1, 30, 365])
def test_windows_lie_at_days_that_do_not_depend_on_when_the_search_begins(days: int) -> None:
    def cuts(begin: datetime) -> set[datetime]:
        seen: set[datetime] = set()

        def ask(window: SearchQuery, skip: int, _size: int) -> Page:
            seen.add(window.date_from)
            return Page(skip, 0 if seen - {begin} else 100_000, {} if seen - {begin} else {1: begin})

        query = SearchQuery.parse(begin, begin + timedelta(days=days))
        reader(ask, query, repair_calls=0, calls_left=lambda: 0).read()
        return seen

    one, other = cuts(START), cuts(START + timedelta(days=3))
    overlap = {cut for cut in one if cut > START + timedelta(days=3)}
    assert overlap <= other | {cut for cut in overlap if cut >= START + timedelta(days=days)}
    assert len(one) >= days / LONGEST_WINDOW_DAYS


moves = st.lists(
    st.tuples(st.integers(0, 4), st.lists(st.integers(0, 10**6), max_size=4)).map(
        lambda move: lambda server: (server.leave(*move[1]), server.arrive(move[0]))
    ),
    max_size=6,
)


@given(st.integers(0, 2_600), st.booleans(), moves, st.integers(0, 8))
def test_however_the_list_moves_a_reading_that_says_it_is_complete_is_and_the_budget_is_kept(
    count: int,
    newest_first: bool,
    events: list[Callable[[MovingList], None]],
    budget: int,
) -> None:
    server = MovingList(starts_of(count), newest_first=newest_first, events=events)
    reading = read(server, repair_calls=budget)
    assert reading.repaired <= budget
    assert reading.rows >= reading.distinct == len(reading.starts)
    if reading.complete:
        # What was read and then went is still in the reading. As many may have come as went, unseen, and no more.
        missed = server.starts.keys() - reading.starts.keys()
        gone = reading.starts.keys() - server.starts.keys()
        assert len(missed) <= len(gone)


@given(st.integers(0, 2_600), st.integers(0, 3_000), st.none() | st.integers(1, 3_000))
def test_skip_and_limit_take_that_part_of_a_list_that_stands_still(count: int, skip: int, limit: int | None) -> None:
    server = MovingList(starts_of(count))
    query = SearchQuery.parse(WEEK.date_from, WEEK.date_to, skip=skip, limit=limit)
    reading = read(server, query)
    end = None if limit is None else skip + limit
    assert list(reading.starts) == sorted(server.starts, reverse=True)[skip:end]
    assert reading.complete
    assert len(server.asked) == query.calls(count)
