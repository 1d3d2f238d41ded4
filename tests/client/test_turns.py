"""Calls in turns: their order, how many are under way, what a failure does to the others, and how a run ends."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from conftest import Clock, client_of

import pulseframes as pf
from pulseframes.client import Journal
from pulseframes.client.failures import with_retries
from pulseframes.client.turns import ALONE, Stopped, Turn, in_turns
from pulseframes.endpoints import DETAIL
from pulseframes.errors import warn
from pulseframes.simulator import Fault, Simulator

SOON = 60.0


class Watch:
    """Counts the calls that are under way, and remembers when each began and ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.under_way = self.most = 0
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.events: list[tuple[int, int]] = []

    def call(self, number: int, turn: Turn, seconds: float = 0.02) -> int:
        turn.check()
        self._change(1, number)
        turn.reserved()
        time.sleep(seconds)
        self._change(-1, number)
        return number

    def _change(self, by: int, number: int) -> None:
        with self._lock:
            self.under_way += by
            self.most = max(self.most, self.under_way)
            (self.begun if by > 0 else self.ended).append(number)
            self.events.append((by, number))


def wait_until_stopped(turn: Turn) -> None:
    with suppress(Stopped):
        while True:
            turn.check()
            time.sleep(0.005)


def test_answers_and_beginnings_are_in_order_and_no_more_are_under_way_than_allowed() -> None:
    watch = Watch()

    def ask(number: int, turn: Turn) -> int:
        time.sleep(0.0 if number % 3 else 0.01)  # until the journal has it
        return watch.call(number, turn, 0.03 if number % 7 else 0.1)

    answers = list(in_turns(range(30), ask, 4))
    assert answers == [(number, number) for number in range(30)]
    assert watch.begun == list(range(30))
    assert watch.ended != watch.begun
    assert watch.most == 4


def test_the_first_is_alone_until_it_is_answered() -> None:
    watch = Watch()
    list(in_turns(range(8), watch.call, 4))
    assert watch.events[:3] == [(1, 0), (-1, 0), (1, 1)]


@pytest.mark.parametrize(("items", "at_once"), [(range(5), 1), (range(1), 4)])
def test_one_at_a_time_is_sent_from_this_thread(items: range, at_once: int) -> None:
    def ask(number: int, turn: Turn) -> int:
        assert turn is ALONE
        assert threading.current_thread() is threading.main_thread()
        return number

    assert list(in_turns(items, ask, at_once)) == [(number, number) for number in items]


def test_nothing_to_ask_is_no_answer() -> None:
    assert list(in_turns([], lambda number, _: number, 4)) == []


def test_after_a_failure_for_good_the_answers_under_way_come_and_no_other_call_begins() -> None:
    all_four, begun = threading.Barrier(4), []

    def ask(number: int, turn: Turn) -> int:
        begun.append(number)
        turn.reserved()
        if number:
            all_four.wait(SOON)
        if number == 2:
            raise pf.ServerError("down")
        if number:
            wait_until_stopped(turn)
        return number

    answers: list[tuple[int, int]] = []
    with pytest.raises(pf.ServerError, match="down"):
        answers.extend(in_turns(range(20), ask, 4))
    assert answers == [(number, number) for number in (0, 1, 3, 4)]
    assert begun == [0, 1, 2, 3, 4]


def test_the_first_of_several_failures_is_raised() -> None:
    all_four = threading.Barrier(4)

    def ask(number: int, turn: Turn) -> int:
        turn.reserved()
        if number:
            all_four.wait(SOON)
            if number < 4:
                wait_until_stopped(turn)
            raise pf.ServerError(str(number))
        return number

    with pytest.raises(pf.ServerError, match="^4$"):
        list(in_turns(range(20), ask, 4))


def test_failed_calls_are_tried_again_one_by_one_and_no_other_begins_meanwhile() -> None:
    tries, lock, begun_while_failed, all_four = Watch(), threading.Lock(), [], threading.Barrier(4)
    to_retry: set[int] = set()

    def ask(number: int, turn: Turn) -> int:
        with lock:
            if to_retry and number > 4:
                begun_while_failed.append(number)
        turn.reserved()
        if number in (1, 2, 3, 4):
            with lock:
                to_retry.add(number)
            all_four.wait(SOON)
            turn.failed()
            all_four.wait(SOON)
            turn.retry()
            tries.call(number, turn)
            with lock:
                to_retry.discard(number)
        return number

    assert len(list(in_turns(range(12), ask, 4))) == 12
    assert tries.most == 1
    assert begun_while_failed == []


def test_a_call_knows_whether_another_one_will_be_tried_again() -> None:
    known: list[bool] = []
    both, failed, seen = threading.Barrier(2), threading.Event(), threading.Event()

    def ask(number: int, turn: Turn) -> int:
        turn.reserved()
        if number:
            both.wait(SOON)
        if number == 1:
            turn.failed()
            known.append(turn.others_retry)
            failed.set()
            assert seen.wait(SOON)
        if number == 2:
            assert failed.wait(SOON)
            known.append(turn.others_retry)
            seen.set()
        return number

    list(in_turns(range(3), ask, 2))
    assert known == [False, True]
    assert not ALONE.others_retry


def test_a_call_that_waits_to_be_tried_again_gives_up_when_another_fails_for_good() -> None:
    both, waiting, asked = threading.Barrier(2), threading.Event(), []

    def ask(number: int, turn: Turn) -> int:
        turn.reserved()
        asked.append(number)
        if number:
            both.wait(SOON)
        if number == 1:
            turn.failed()
            turn.retry()
            waiting.set()
            turn.sleep(3600, time.sleep)
            asked.append(-1)
        if number == 2:
            assert waiting.wait(SOON)
            raise pf.QuotaExhausted("used up")
        return number

    with pytest.raises(pf.QuotaExhausted):
        list(in_turns(range(9), ask, 2))
    assert asked == [0, 1, 2]


def test_a_consumer_that_stops_waits_for_the_calls_under_way_and_no_other_begins() -> None:
    watch = Watch()
    with closing(in_turns(range(20), lambda number, turn: watch.call(number, turn, 0.1), 4)) as answers:
        assert list(islice(answers, 2)) == [(0, 0), (1, 1)]
    begun = len(watch.begun)
    assert watch.under_way == 0
    time.sleep(0.1)
    assert len(watch.begun) == begun < 10


def test_a_consumer_that_is_slow_is_not_left_far_behind() -> None:
    watch = Watch()
    with closing(in_turns(range(1_000), lambda number, turn: watch.call(number, turn, 0.0), 2)) as answers:
        next(answers)
        time.sleep(0.3)
        assert len(watch.begun) <= 2 * 16 + 1


def test_a_turn_of_a_run_that_was_stopped_may_send_nothing() -> None:
    turns: list[Turn] = []
    with closing(in_turns(range(3), lambda number, turn: turns.append(turn) or number, 2)) as answers:
        next(answers)
    for use in (turns[0].check, turns[0].retry, lambda: turns[0].sleep(0.0, time.sleep)):
        with pytest.raises(Stopped):
            use()


def test_a_call_of_a_run_that_was_stopped_is_not_sent(simulator: Simulator) -> None:
    turns: list[Turn] = []
    with closing(in_turns(range(3), lambda number, turn: turns.append(turn) or number, 2)) as answers:
        next(answers)
    with client_of(simulator) as client:
        for _ in range(2):  # neither the authentication nor the call itself
            with pytest.raises(Stopped):
                client.call(DETAIL, {"id": "1"}, turn=turns[0])
            assert simulator.calls == client.quota().used == int(client.has_session_key)
            client.check_credentials()


class Recording(Turn):
    """A turn that others share, as it looks from the client."""

    others_retry = True  # type: ignore[assignment]  # a property elsewhere

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def failed(self) -> None:
        self._events.append("failed")


def test_a_refusal_stops_others_before_the_journal_has_it(
    simulator: Simulator, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    with client_of(simulator, clock=clock, sleep=clock.sleep) as client:
        client.check_credentials()
        complete = Journal.complete
        monkeypatch.setattr(
            Journal, "complete", lambda *given, **more: (events.append("recorded"), complete(*given, **more))
        )
        simulator.faults.add(Fault(kind="status", status=429, on="session"), Fault(kind="reset", on="session"))
        with pytest.raises(pf.QuotaExhausted):
            client.call(DETAIL, {"id": "1"}, turn=Recording(events))
        clock.advance(days=2)
        client.check_credentials()
        events.clear()
        with pytest.raises(pf.PulseError):
            client.call(DETAIL, {"id": "1"}, session_id=1, turn=Recording(events))
        assert events == ["failed", "recorded", "recorded"]  # lost, and then answered


def test_a_call_that_the_journal_refuses_waits_if_another_one_waits_for_the_server(
    simulator: Simulator, clock: Clock
) -> None:
    session_id = str(simulator.summaries()["session_id"][0])
    with client_of(simulator, clock=clock, sleep=clock.sleep) as client:
        client.check_credentials()
        simulator.faults.add(Fault(kind="status", status=429, headers={"Retry-After": "90"}))
        for _ in range(2):
            with pytest.raises(pf.QuotaExhausted):
                client.call(DETAIL, {"id": session_id}, turn=Recording([]))
        clock.advance(seconds=60)
        with pytest.raises(pf.QuotaExhausted):
            client.call(DETAIL, {"id": session_id})
        assert clock.slept == []
        assert client.call(DETAIL, {"id": session_id}, turn=Recording([])).ok
        assert 29 < sum(clock.slept) <= 31


def test_a_test_s_own_sleep_is_called() -> None:
    slept: list[float] = []

    def ask(number: int, turn: Turn) -> int:
        turn.sleep(7.5, slept.append)
        return number

    for at_once in (1, 2):
        list(in_turns(range(2), ask, at_once))
    assert slept == [7.5] * 4


def test_a_warning_of_a_call_is_given_where_the_answers_are_taken() -> None:
    def ask(number: int, turn: Turn) -> int:
        turn.reserved()
        if number == 2:
            warn(pf.JournalWarning, "not recorded")
        return number

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(in_turns(range(5), ask, 3))
    assert [(type(warning.message), warning.filename) for warning in caught] == [(pf.JournalWarning, __file__)]


def test_a_warning_that_is_an_error_ends_the_run_where_the_answers_are_taken() -> None:
    watch = Watch()

    def ask(number: int, turn: Turn) -> int:
        if number == 2:
            warn(pf.JournalWarning, "not recorded")
        return watch.call(number, turn, 0.05)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(pf.JournalWarning, match="not recorded"):
            list(in_turns(range(200), ask, 2))
    assert len(watch.begun) < 100
    assert watch.under_way == 0


@pytest.mark.parametrize("problem", [SystemExit(3), MemoryError(), ZeroDivisionError()])
def test_whatever_a_call_raises_is_raised_where_the_answers_are_taken(problem: BaseException) -> None:
    def ask(number: int, _: Turn) -> int:
        if number == 3:
            raise problem
        return number

    with pytest.raises(type(problem)):
        list(in_turns(range(9), ask, 2))


def test_many_runs_leave_no_threads() -> None:
    before = threading.active_count()
    work: Callable[[int, Turn], int] = lambda number, _: number  # noqa: E731  short
    for _ in range(20):
        list(in_turns(range(8), work, 4))
    give_up = time.monotonic() + SOON
    while threading.active_count() > before and time.monotonic() < give_up:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_wait_for_our_own_quota_is_no_attempt() -> None:
    """Another call of the run was refused by the server: this one was not sent until that passed."""
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    soon = {"resets_at": now + timedelta(seconds=1)}
    refused, own = pf.QuotaExhausted("429", status=429, **soon), pf.QuotaExhausted("ours", **soon)
    outcomes = [refused, own, own, refused, "answered"]
    numbers: list[int] = []

    def send(number: int) -> str:
        numbers.append(number)
        outcome = outcomes[len(numbers) - 1]
        if isinstance(outcome, pf.QuotaExhausted):
            raise outcome
        return outcome

    options: dict[str, Any] = {"retry_timeouts": True, "sleep": lambda _: None, "now": lambda: now}
    assert with_retries(send, **options, others_retry=lambda: True) == "answered"
    assert numbers == [1, 2, 2, 2, 3]
    numbers.clear()
    outcomes[:] = [own] * 20
    with pytest.raises(pf.QuotaExhausted, match="ours"):
        with_retries(send, **options, others_retry=lambda: True)
    assert len(numbers) < 10
