"""Calls in turns: several at once while the server is well, one at a time while it is not, and none after one has failed for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from threading import Condition, Thread
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pulseframes.errors import defer_warnings

Item = TypeVar("Item")
Result = TypeVar("Result")

#: A thread that waits looks up so often: Ctrl-C does not wake it everywhere.
_LOOK_UP_SECONDS: Final = 0.5
#: How many answers may wait to be taken, for each call that may be under way.
_AHEAD: Final = 16


class Stopped(Exception):
    """The call is not sent, or not again: another one of its run failed for good, or the run was interrupted."""


class Turn:
    """The turn of a call in a run. This one belongs to no run: its call may always be sent."""

    @property
    def others_retry(self) -> bool:
        """Whether another call of the run has failed and will be tried again."""
        return False

    def check(self) -> None:
        """Raise ``Stopped`` if nothing may be sent any more."""

    def reserved(self) -> None:
        """Let the next call begin, since the journal has this one."""

    def failed(self) -> None:
        """Let no other call begin until this one was tried again."""

    def retry(self) -> None:
        """Wait until no other call is being tried again."""

    def sleep(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Wait before the next attempt."""
        sleep(seconds)


#: The turn of a call that is sent by itself.
ALONE: Final = Turn()

#: Sends the call for an item, in the turn that it is given.
Ask: TypeAlias = Callable[[Item, Turn], Result]


def in_turns(items: Sequence[Item], ask: Ask[Item, Result], at_once: int) -> Generator[tuple[Item, Result]]:
    """Ask about each item, several at once, and yield the answers in the order of the items.

    Calls begin in that order, too: the journal has each before the next one begins. The first is alone, so that a dead server, or
    credentials that are refused, cost no more than with one call at a time. Once one was answered, as many as allowed are under
    way. After a failure that may pass, none begins until those that failed were tried again, one after the other.

    If one fails for good, no other begins. The answers to those under way are yielded before the failure is raised. If the caller
    stops before the end, as on Ctrl-C, the calls under way are waited for; a second Ctrl-C ends that wait.

    Parameters
    ----------
    items : sequence
        What to ask about.
    ask : callable
        Called by other threads, unless only one call may be under way.
    at_once : int
        How many calls may be under way.
    """
    if min(at_once, len(items)) <= 1:
        yield from ((item, ask(item, ALONE)) for item in items)
        return
    run = _Run(items, ask, at_once)
    try:
        run.start()
        yield from run.answers()
    finally:
        run.stop()
        run.wait()


class _Run(Generic[Item, Result]):
    """The calls of one run, and the threads that send them."""

    def __init__(self, items: Sequence[Item], ask: Ask[Item, Result], at_once: int) -> None:
        self._items = items
        self._ask = ask
        self._at_once = at_once
        self._changed = Condition()
        self._begun = self._taken = 0
        self._was_answered = False
        self._answers: dict[int, Result] = {}
        self._problem: BaseException | None = None
        self._warnings: list[Callable[[], object]] = []
        self.stopped = False
        self.under_way: set[Turn] = set()
        self.unreserved: Turn | None = None
        self.failed: set[Turn] = set()
        self.retrying: Turn | None = None

    @contextmanager
    def changing(self) -> Iterator[Condition]:
        """Change something that other threads may wait for."""
        with self._changed:
            yield self._changed
            self._changed.notify_all()

    def start(self) -> None:
        """Start the threads, as daemons: a process that is told twice to end does not wait for them."""
        for _ in range(min(self._at_once, len(self._items))):
            Thread(target=copy_context().run, args=(self._work,), daemon=True).start()

    def answers(self) -> Iterator[tuple[Item, Result]]:
        """Yield the answers in order, and then raise the first failure."""
        for number, item in enumerate(self._items):
            while not self._is_decided(number):
                self._wait_until(lambda: bool(self._warnings) or self._is_decided(number))  # noqa: B023  called at once
                self._give_warnings()
            if number in self._answers:
                yield item, self._answers.pop(number)
            with self.changing():
                self._taken = number + 1
        self._give_warnings()
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    def stop(self) -> None:
        """Let no call begin or be tried again."""
        self.stopped = True  # without a wait that Ctrl-C could end
        with self.changing():
            pass

    def wait(self) -> None:
        """Wait until the journal has the end of each call under way."""
        self._wait_until(lambda: not self.under_way)

    def _wait_until(self, done: Callable[[], bool]) -> None:
        with self._changed:
            while not done():
                self._changed.wait(_LOOK_UP_SECONDS)

    def _is_decided(self, number: int) -> bool:
        return number in self._answers or (self.stopped and not self.under_way)

    def _give_warnings(self) -> None:
        """Give the warnings of the other threads in this one, which has the caller's line."""
        while self._warnings:
            self._warnings.pop(0)()

    def _keep_warning(self, warning: Callable[[], object]) -> None:
        with self.changing():
            self._warnings.append(warning)

    def _work(self) -> None:
        defer_warnings(self._keep_warning)
        while (turn := self._begin()) is not None:
            try:
                answer = self._ask(self._items[turn.number], turn)
            except Stopped:
                self._end(turn)
            except BaseException as problem:  # noqa: BLE001  raised again by the thread that takes the answers
                self._end(turn, problem)
            else:
                self._answers[turn.number] = answer
                self._was_answered = True
                self._end(turn)

    def _begin(self) -> _SharedTurn | None:
        """Wait for the next item's turn; None if there are no more."""
        with self.changing() as changed:
            changed.wait_for(lambda: self.stopped or self._begun == len(self._items) or self._may_begin())
            if self.stopped or self._begun == len(self._items):
                return None
            turn = _SharedTurn(self, self._begun)
            self._begun += 1
            self.under_way.add(turn)
            self.unreserved = turn
            return turn

    def _may_begin(self) -> bool:
        allowed = self._at_once if self._was_answered else 1
        is_full = len(self.under_way) >= allowed or self._begun - self._taken >= _AHEAD * self._at_once
        return not (is_full or self.unreserved or self.failed)

    def _end(self, turn: _SharedTurn, problem: BaseException | None = None) -> None:
        with self.changing():
            turn.reserved()
            self.under_way.discard(turn)
            self.failed.discard(turn)
            self.retrying = None if self.retrying is turn else self.retrying
            self._problem = self._problem or problem
            self.stopped |= problem is not None


class _SharedTurn(Turn):
    """The turn of a call in a run of several."""

    def __init__(self, run: _Run[Any, Any], number: int) -> None:
        self._run = run
        self.number = number

    @property
    def others_retry(self) -> bool:
        return bool(self._run.failed - {self})

    def check(self) -> None:
        if self._run.stopped:
            raise Stopped

    def reserved(self) -> None:
        run = self._run
        with run.changing():
            run.unreserved = None if run.unreserved is self else run.unreserved

    def failed(self) -> None:
        with self._run.changing():
            self._run.failed.add(self)

    def retry(self) -> None:
        run = self._run
        with run.changing() as changed:
            run.failed.add(self)
            changed.wait_for(lambda: run.stopped or run.retrying in (None, self))
            self.check()
            run.retrying = self

    def sleep(self, seconds: float, sleep: Callable[[float], None]) -> None:
        if sleep is not time.sleep:  # a test's own; its clock moves on
            sleep(seconds)
        else:
            with self._run.changing() as changed:
                changed.wait_for(lambda: self._run.stopped, seconds)
        self.check()
