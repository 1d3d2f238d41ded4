"""Whatever a server does while its list is read: what is said to be complete is complete, and it ends."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from support.moving_server import WEEK, MovingServer

from pulseframes.fetch.chain import Page
from pulseframes.fetch.pagination import ListReader

BUDGET = 6
#: Places near the ends of pages, where changes matter most, and anywhere.
places = st.one_of(st.sampled_from([0, 1, 250, 497, 498, 499, 500, 501, 997, 998, 999, 1_000]), st.integers(0, 1_600))


class ReadingMachine(RuleBasedStateMachine):
    """Between two pages the server inserts, deletes, reorders, caps, repeats, empties, hides and ignores."""

    @initialize(count=st.one_of(st.sampled_from([0, 1, 2, 499, 500, 501, 999, 1_000, 1_498]), st.integers(0, 1_500)))
    def begin(self, count: int) -> None:
        self.server = MovingServer([*range(1, count + 1)])
        self.reader = ListReader(self.server, WEEK, repair_calls=BUDGET)
        self.pages: Iterator[Page] = self.reader.pages()
        self.is_quiet = True
        self.is_over = False

    def _change(self) -> None:
        self.is_quiet = False

    @precondition(lambda self: not self.is_over)
    @rule()
    def read_a_page(self) -> None:
        self.is_over = next(self.pages, None) is None

    @rule(place=places, count=st.sampled_from([1, 1, 2, 3, 600]))
    def insert(self, place: int, count: int) -> None:
        self._change()
        self.server.insert(place, count)

    @rule(place=places, count=st.sampled_from([1, 1, 2, 3, 300]))
    def delete(self, place: int, count: int) -> None:
        self._change()
        self.server.delete(place, count)

    @rule(old=places, new=places)
    def replace(self, old: int, new: int) -> None:
        """As many come as go, so the total stays."""
        self._change()
        self.server.delete(old)
        self.server.insert(new)

    @rule(place=places)
    def swap_neighbours(self, place: int) -> None:
        self._change()
        rows = self.server.sessions
        rows[place : place + 2] = reversed(rows[place : place + 2])

    @rule()
    def reverse(self) -> None:
        self._change()
        self.server.sessions.reverse()

    @rule(fault=st.sampled_from(["empty", "repeat", "drop", "foreign"]))
    def spoil_the_next_answer(self, fault: str) -> None:
        self._change()
        self.server.fault = fault

    @precondition(lambda self: self.server.total is None)
    @rule(place=places)
    def hide(self, place: int) -> None:
        """A session is counted and not sent."""
        self._change()
        self.server.hidden.update(self.server.sessions[place : place + 1])

    @rule(cap=st.sampled_from([40, 100, 250, 500]))
    def cap(self, cap: int) -> None:
        """The server ignores the size that was requested."""
        self.is_quiet = self.is_quiet and not self.server.asked
        self.server.cap = cap

    @precondition(lambda self: not self.server.hidden)  # together they could agree on a list that is not the true one
    @rule(total=st.sampled_from([0, 500, 1_000, None, 10**18]))
    def miscount(self, total: int | None) -> None:
        self._change()
        self.server.total = total

    def teardown(self) -> None:
        if not hasattr(self, "pages"):
            return
        for _ in self.pages:
            pass
        reading, server = self.reader.reading, self.server
        assert reading.repaired <= BUDGET
        assert reading.starts.keys() <= server.ever
        if reading.complete:
            assert server.stable <= reading.starts.keys()
            assert reading.foreign == 0
        if self.is_quiet:
            assert reading.complete
            assert [*reading.starts] == server.sessions
            if server.cap == 500:
                assert len(server.asked) == max(1, -(-(len(server.sessions) - 1) // 499))


TestListReader = ReadingMachine.TestCase
TestListReader.settings = settings(max_examples=500, stateful_step_count=14)


def test_a_page_that_lacked_a_row_is_not_cleared_by_a_shorter_one() -> None:
    """A server drops a row of a page, replaces a session so that the counts agree, and has smaller pages when asked again."""
    state = ReadingMachine()
    state.begin(count=1_286)
    state.read_a_page()
    state.cap(cap=250)
    state.spoil_the_next_answer(fault="drop")
    state.replace(new=0, old=0)
    for _ in range(3):
        state.read_a_page()
    state.cap(cap=40)
    state.teardown()
