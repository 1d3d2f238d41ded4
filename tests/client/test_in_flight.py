"""Threads that ask the same question at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import client_of

import pulseframes as pf
from pulseframes.client.answer import Answer
from pulseframes.client.in_flight import InFlight
from pulseframes.endpoints import DETAIL
from pulseframes.simulator import Fault, Simulator

ANSWER = Answer("session", 200, b"{}")


class Slow:
    """A call that waits, and then answers or fails."""

    def __init__(self, problem: BaseException | None = None) -> None:
        self.sent = 0
        self.goes_on = threading.Event()
        self._problem = problem
        self._lock = threading.Lock()

    def __call__(self) -> Answer:
        with self._lock:
            self.sent += 1
        self.goes_on.wait(10)
        if self._problem is not None:
            raise self._problem
        return ANSWER


def asked_by_threads(send: Slow, questions: list[object]) -> list[Answer | BaseException]:
    """Ask from a thread each, all before the first is answered."""
    calls = InFlight()

    def ask(question: object) -> Answer | BaseException:
        try:
            return calls.share(question, send)
        except BaseException as problem:  # noqa: BLE001  returned, whatever it is
            return problem

    with ThreadPoolExecutor(len(questions)) as pool:
        results = [pool.submit(ask, question) for question in questions]
        time.sleep(0.05)
        send.goes_on.set()
        return [result.result(timeout=5) for result in results]


def test_the_same_question_is_sent_once() -> None:
    send = Slow()
    answers = asked_by_threads(send, ["same"] * 4)
    assert send.sent == 1
    assert sorted(answer.kept for answer in answers if isinstance(answer, Answer)) == [False, True, True, True]


def test_other_questions_are_sent_each() -> None:
    send = Slow()
    asked_by_threads(send, [1, 2, 3])
    assert send.sent == 3


@pytest.mark.parametrize("problem", [pf.ServerError("down"), KeyboardInterrupt()])
def test_if_the_call_fails_the_others_send_theirs_at_the_same_time(problem: BaseException) -> None:
    send = Slow(problem)
    assert asked_by_threads(send, ["same"] * 4) == [problem] * 4
    assert send.sent == 4


def test_after_an_answer_or_a_failure_the_question_is_sent_again() -> None:
    calls = InFlight()
    tries: list[int] = []

    def send() -> Answer:
        tries.append(1)
        if len(tries) == 2:
            raise KeyboardInterrupt
        return ANSWER

    ask: Callable[[], Answer] = lambda: calls.share("same", send)  # noqa: E731  short
    ask()
    with pytest.raises(KeyboardInterrupt):
        ask()
    assert ask() == ANSWER
    assert len(tries) == 3


def test_threads_pay_once_for_one_session(simulator: Simulator) -> None:
    session_id = simulator.summaries()["session_id"][0]
    simulator.faults.add(Fault(kind="delay", seconds=0.3, on="session"))
    with client_of(simulator) as client:
        client.check_credentials()
        with ThreadPoolExecutor(4) as pool:
            params = {"id": str(session_id)}
            bodies = {call.body for call in pool.map(lambda _: client.call(DETAIL, params), range(4))}
        assert (len(bodies), client.calls_spent) == (1, 2)
