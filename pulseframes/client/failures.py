"""Failures: which error each HTTP status becomes, and which failed calls are tried again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import ceil
from typing import TYPE_CHECKING, Final, TypeVar

from pulseframes.client.answer import Answer
from pulseframes.client.credentials import ENV_API_KEY, ENV_CLIENT_ID, ENV_CLIENT_SECRET
from pulseframes.client.settings import ENV_BASE_URL
from pulseframes.errors import (
    AuthenticationFailed,
    InvalidQuery,
    PulseError,
    QuotaExhausted,
    ServerError,
    SessionNotFound,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState

TOO_MANY_REQUESTS: Final = 429
_SERVER_FAILED: Final = 500
#: The server, or one before it, gave up waiting.
_TIMEOUTS: Final = frozenset({408, 504, 524, 598, 599})

#: Length of the server's text in a message, and of the beginning of a body that it comes from.
EXCERPT_LENGTH: Final = 200
_EXAMINED: Final = 4_000
#: One try and two more: each spends a call.
ATTEMPTS: Final = 3
#: How often a call waits because our own quota refuses it until the server's refusal of another one passes.
MOST_REFUSALS: Final = 5
#: The longest wait that a server may ask for before the next attempt.
LONGEST_WAIT_SECONDS: Final = 60.0
#: A longer Retry-After is as good as for ever.
_LONGEST_RETRY_SECONDS: Final = 10**9

Result = TypeVar("Result")


def error_for(answer: Answer, *, session_id: int | None = None) -> PulseError:  # noqa: PLR0911  one return per status
    """Return the exception for an answer whose status is not 2xx.

    Parameters
    ----------
    answer : Answer
        The refusal.
    session_id : int or None
        The session asked for, if one was.
    """
    name, excerpt = answer.endpoint, _excerpt(answer)
    match answer.status:
        case 400:
            return InvalidQuery(f"The server rejected the query to {name} (400){excerpt}.")
        case 401 | 403 as status:
            return AuthenticationFailed(
                f"The server rejected the credentials at {name} ({status}){excerpt}. Check {ENV_API_KEY} (from the "
                f"application's settings), {ENV_CLIENT_ID} and {ENV_CLIENT_SECRET} (from the consumer). The Pulse API "
                "requires an Enterprise plan.",
                status=status,
            )
        case 404 if session_id is not None:
            return SessionNotFound(f"Session {session_id} not found (404).", session_id=session_id)
        case 429:
            return _quota_exhausted(answer)
        case status if is_temporary(status):
            message = f"The server failed at {name} ({status}){excerpt}.{_next_try(answer)}"
            return ServerError(
                message, status=status, retryable=True, timed_out=status in _TIMEOUTS, retry_at=answer.retry_at
            )
        case status if 300 <= status < 400:  # noqa: PLR2004  redirects
            message = (
                f"The server redirected {name} ({status}). Credentials are never sent elsewhere; check {ENV_BASE_URL}."
            )
            return ServerError(message, status=status)
        case status:
            return ServerError(
                f"{name} answered with undocumented status {status}{excerpt}; check {ENV_BASE_URL}.", status=status
            )


def is_temporary(status: int) -> bool:
    """Return whether a refusal may pass by itself: a failure of the server, a timeout or a quota."""
    return status >= _SERVER_FAILED or status in _TIMEOUTS or status == TOO_MANY_REQUESTS


def _next_try(answer: Answer) -> str:
    return "" if answer.retry_at is None else f" Next call possible at {answer.retry_at:%Y-%m-%d %H:%M:%S} UTC."


def _quota_exhausted(answer: Answer) -> QuotaExhausted:
    silent = "" if answer.retry_after else " The server did not say when."
    return QuotaExhausted(
        f"Daily quota used up: the server refused {answer.endpoint} (429).{_next_try(answer)}{silent} By default an application has "
        "50 calls a day; another program may have spent them, and an expired plan gives the same answer.",
        resets_at=answer.retry_at,
        status=answer.status,
    )


def retry_time(header: str | None, *, now: datetime) -> datetime | None:
    """Return the time in a ``Retry-After`` header: seconds, the most of several, or a date; None if it is absent or neither."""
    text = (header or "").strip()
    try:
        seconds = max(float(part) for part in text.split(","))
        return now + timedelta(seconds=ceil(min(max(seconds, 0.0), _LONGEST_RETRY_SECONDS)))
    except ValueError:
        return _date(text)


def _date(text: str) -> datetime | None:
    """Return a date of HTTP or ISO 8601, in UTC; None if it is neither."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, OverflowError):
            date = read(text)
            return (date.replace(tzinfo=UTC) if date.tzinfo is None else date).astimezone(UTC)
    return None


def with_retries(
    send: Callable[[int], Result],
    *,
    retry_timeouts: bool,
    sleep: Callable[[float], None],
    now: Callable[[], datetime],
    others_retry: Callable[[], bool] = lambda: False,
) -> Result:
    """Call ``send``, and again after a failure that may pass.

    A lost connection, a timeout, a 408 and a 5xx are retried at most twice; a 429, and one of those that says until when, only if
    it passes within 60 seconds. A call that was cut off is never retried, and one that our own quota refused only while another call
    waits until the server's refusal passes.

    Parameters
    ----------
    send : callable
        Sends the call; receives the number of the attempt, from 1.
    retry_timeouts : bool
        Whether a timeout is retried for which the server has not said until when.
    sleep, now : callable
        The wait between two attempts, and the current time.
    others_retry : callable
        Whether another call of the same run will be tried again.
    """
    from tenacity import Retrying, retry_if_exception, wait_exponential_jitter

    backoff = wait_exponential_jitter(multiplier=0.5, max=8.0)

    def may_pass(problem: BaseException) -> bool:
        wait = _requested_seconds(problem, now())
        match problem:
            case ServerError():
                return (
                    problem.retryable
                    and not problem.cut_off
                    and (retry_timeouts or not problem.timed_out or problem.retry_at is not None)
                    and (wait or 0) <= LONGEST_WAIT_SECONDS
                )
            case QuotaExhausted():
                may_wait = problem.status is not None or others_retry()
                return may_wait and wait is not None and wait <= LONGEST_WAIT_SECONDS
        return False

    def wait(state: RetryCallState) -> float:
        problem = state.outcome.exception() if state.outcome is not None else None
        # At least the backoff: a server that says "Retry-After: 0" would otherwise get every attempt at once.
        return max(_requested_seconds(problem, now()) or 0.0, backoff(state))

    refused = 0  # by our own quota, because of another call: that was not sent, so it is no attempt

    def stop(state: RetryCallState) -> bool:
        nonlocal refused
        problem = state.outcome.exception() if state.outcome is not None else None
        refused += isinstance(problem, QuotaExhausted) and problem.status is None
        return state.attempt_number - refused >= ATTEMPTS or refused > MOST_REFUSALS

    for attempt in Retrying(stop=stop, wait=wait, retry=retry_if_exception(may_pass), sleep=sleep, reraise=True):
        with attempt:
            return send(attempt.retry_state.attempt_number - refused)
    raise PulseError("a call was neither answered nor refused")  # tenacity raises before this


def _requested_seconds(problem: BaseException | None, now: datetime) -> float | None:
    """Return how long the server asked us to wait; None if it did not."""
    match problem:
        case QuotaExhausted(resets_at=moment) | ServerError(retry_at=moment) if moment is not None:
            return max(0.0, (moment - now).total_seconds())
    return None


def _excerpt(answer: Answer) -> str:
    """Return the start of the server's text, on one line."""
    text = " ".join(answer.body[:_EXAMINED].decode("utf-8", "replace").split())
    printable = "".join(character for character in text if character.isprintable())
    return f": {printable[:EXCERPT_LENGTH]}" if printable else ""
