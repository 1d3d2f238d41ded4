"""Failures: which error each HTTP status becomes, and which failed calls are tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from pulseframes.client.settings import ENV_API_KEY, ENV_BASE_URL, ENV_CLIENT_ID, ENV_CLIENT_SECRET
from pulseframes.client.transport import Answer
from pulseframes.errors import (
    AuthenticationFailed,
    InvalidQuery,
    PulseError,
    QuotaExhausted,
    ServerError,
    SessionNotFound,
)

TOO_MANY_REQUESTS: Final = 429
_GATEWAY_TIMEOUT: Final = 504

#: Length of the server's text in a message.
EXCERPT_LENGTH: Final = 200
#: One try and two more: each spends a call.
ATTEMPTS: Final = 3
#: The longest wait for a 429 to pass.
LONGEST_WAIT_SECONDS: Final = 60.0

_backoff: Final = wait_exponential_jitter(multiplier=0.5, max=8.0)

Result = TypeVar("Result")


def error_for(  # noqa: PLR0911  one return per status
    answer: Answer,
    *,
    redact: Callable[[str], str],
    session_id: int | None = None,
    blocked_until: datetime | None = None,
) -> PulseError:
    """Return the exception for an answer whose status is not 2xx.

    Parameters
    ----------
    answer : Answer
        The refusal.
    redact : callable
        Removes secrets from the server's text.
    session_id : int or None
        The session asked for, if one was.
    blocked_until : datetime or None
        For a 429: when to ask again.
    """
    name, excerpt = answer.endpoint, _excerpt(answer, redact)
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
            return _quota_exhausted(answer, blocked_until)
        case status if status >= 500:  # noqa: PLR2004  the statuses of a failed server
            timed_out = status == _GATEWAY_TIMEOUT
            message = f"The server failed at {name} ({status}){excerpt}."
            return ServerError(message, status=status, retryable=True, timed_out=timed_out)
        case status if 300 <= status < 400:  # noqa: PLR2004  redirects
            message = (
                f"The server redirected {name} ({status}). Credentials are never sent elsewhere; check {ENV_BASE_URL}."
            )
            return ServerError(message, status=status)
        case status:
            return ServerError(
                f"{name} answered with undocumented status {status}{excerpt}; check {ENV_BASE_URL}.", status=status
            )


def _quota_exhausted(answer: Answer, blocked_until: datetime | None) -> QuotaExhausted:
    when = "" if blocked_until is None else f" Next call possible at {blocked_until:%Y-%m-%d %H:%M:%S} UTC."
    silent = "" if answer.retry_after else " The server did not say when."
    return QuotaExhausted(
        f"Daily quota used up: the server refused {answer.endpoint} (429).{when}{silent} By default an application has 50 calls a "
        "day; another program may have spent them, and an expired plan gives the same answer.",
        resets_at=blocked_until,
        status=answer.status,
    )


def retry_time(header: str | None, *, now: datetime) -> datetime | None:
    """Return the time in a ``Retry-After`` header (seconds or a date); None if it is absent or neither."""
    text = (header or "").strip()
    try:
        if text.isdecimal():
            return now + timedelta(seconds=int(text))
        date = parsedate_to_datetime(text)
        return (date.replace(tzinfo=UTC) if date.tzinfo is None else date).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def with_retries(
    send: Callable[[int], Result], *, retry_timeouts: bool, sleep: Callable[[float], None], now: Callable[[], datetime]
) -> Result:
    """Call ``send``, and again after a failure that may pass.

    A lost connection, a timeout and a 5xx are retried at most twice; a 429 only if it passes within 60 seconds. A refusal by
    our own quota is never retried.

    Parameters
    ----------
    send : callable
        Sends the call; receives the number of the attempt, from 1.
    retry_timeouts : bool
        Whether a timeout is retried.
    sleep, now : callable
        The wait between two attempts, and the current time.
    """

    def may_pass(problem: BaseException) -> bool:
        match problem:
            case ServerError():
                return problem.retryable and (retry_timeouts or not problem.timed_out)
            case QuotaExhausted():
                wait = _seconds_until(problem, now())
                return problem.status is not None and wait is not None and wait <= LONGEST_WAIT_SECONDS
        return False

    def wait(state: RetryCallState) -> float:
        problem = state.outcome.exception() if state.outcome is not None else None
        requested = _seconds_until(problem, now()) if isinstance(problem, QuotaExhausted) else None
        # At least the backoff: a server that says "Retry-After: 0" would otherwise get every attempt at once.
        return max(requested or 0.0, _backoff(state))

    for attempt in Retrying(
        stop=stop_after_attempt(ATTEMPTS), wait=wait, retry=retry_if_exception(may_pass), sleep=sleep, reraise=True
    ):
        with attempt:
            return send(attempt.retry_state.attempt_number)
    raise PulseError("a call was neither answered nor refused")  # tenacity raises before this


def _seconds_until(problem: QuotaExhausted, now: datetime) -> float | None:
    return None if problem.resets_at is None else max(0.0, (problem.resets_at - now).total_seconds())


def _excerpt(answer: Answer, redact: Callable[[str], str]) -> str:
    """Return the start of the server's text, on one line."""
    text = " ".join(redact(answer.body.decode("utf-8", "replace")).split())
    printable = "".join(character for character in text if character.isprintable())
    return f": {printable[:EXCERPT_LENGTH]}" if printable else ""
