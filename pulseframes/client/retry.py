"""When a failed call is tried again: seldom, since each try spends one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from pulseframes.errors import PulseError, QuotaExhausted, ServerError

#: One try and two more.
ATTEMPTS: Final = 3
#: A 429 is waited for so long at most.
LONGEST_WAIT_SECONDS: Final = 60.0

_backoff: Final = wait_exponential_jitter(multiplier=0.5, max=8.0)

Result = TypeVar("Result")


def with_retries(
    send: Callable[[int], Result],
    *,
    retry_timeouts: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Result:
    """Try a call, and again where it may help.

    A lost connection, a timeout and a 5xx are tried again twice at most. A 429 is, if it is over within 60 seconds.
    What our own ledger refuses is not: nothing was sent.

    Parameters
    ----------
    send : callable
        Sends the call; told the number of the try, from 1.
    retry_timeouts : bool
        Whether a call that timed out is tried again as it is.
    sleep, now : callable
        For tests.
    """

    def may_help(problem: BaseException) -> bool:
        match problem:
            case ServerError():
                return problem.retryable and (retry_timeouts or not problem.timed_out)
            case QuotaExhausted():
                wait = _seconds_until(problem, now())
                return problem.status is not None and wait is not None and wait <= LONGEST_WAIT_SECONDS
        return False

    def wait(state: RetryCallState) -> float:
        problem = state.outcome.exception() if state.outcome is not None else None
        asked_for = _seconds_until(problem, now()) if isinstance(problem, QuotaExhausted) else None
        # At least the backoff: a server that says "Retry-After: 0" would else see every try at once.
        return max(asked_for or 0.0, _backoff(state))

    for attempt in Retrying(
        stop=stop_after_attempt(ATTEMPTS), wait=wait, retry=retry_if_exception(may_help), sleep=sleep, reraise=True
    ):
        with attempt:
            return send(attempt.retry_state.attempt_number)
    raise PulseError("a call was neither answered nor refused")  # tenacity raises before this


def _seconds_until(problem: QuotaExhausted, now: datetime) -> float | None:
    return None if problem.resets_at is None else max(0.0, (problem.resets_at - now).total_seconds())
