"""What each status means: one exception for each that is documented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from pulseframes.client.settings import ENV_API_KEY, ENV_BASE_URL, ENV_CLIENT_ID, ENV_CLIENT_SECRET
from pulseframes.errors import (
    AuthenticationFailed,
    InvalidQuery,
    PulseError,
    QuotaExhausted,
    ServerError,
    SessionNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulseframes.client.transport import Reply

#: The status that means no call is left.
QUOTA_EXHAUSTED: Final = 429
#: The server gave up, or a gateway before it did, since the answer took too long.
_TIMED_OUT: Final = 504

#: How much of a refusal's text is repeated in a message.
EXCERPT_LENGTH: Final = 200


def error_for(  # noqa: PLR0911  one return a status
    reply: Reply,
    *,
    redact: Callable[[str], str],
    session_id: int | None = None,
    blocked_until: datetime | None = None,
) -> PulseError:
    """Give the exception for an answer that is not a success.

    Parameters
    ----------
    reply : Reply
        An answer whose status is not 2xx.
    redact : callable
        Takes secrets out of what the server wrote.
    session_id : int or None
        The session that was asked for, where one was.
    blocked_until : datetime or None
        For a 429: when to ask again.
    """
    said = _excerpt(reply, redact)
    match reply.status:
        case 400:
            return InvalidQuery(f"The server refused the query to {reply.endpoint} (400){said}.")
        case 401 | 403:
            return AuthenticationFailed(
                f"The server refused the credentials at {reply.endpoint} ({reply.status}){said}. Check {ENV_API_KEY}, "
                f"{ENV_CLIENT_ID} and {ENV_CLIENT_SECRET}: the key is the application's, id and secret are the "
                "consumer's, and the Pulse API belongs to the Enterprise plan.",
                status=reply.status,
            )
        case 404 if session_id is not None:
            return SessionNotFound(f"The server does not know session {session_id} (404).", session_id=session_id)
        case 429:
            return _quota_exhausted(reply, blocked_until)
        case status if status >= 500:  # noqa: PLR2004  the statuses that mean the server failed
            return ServerError(
                f"The server failed at {reply.endpoint} ({status}){said}.",
                status=status,
                retryable=True,
                timed_out=status == _TIMED_OUT,
            )
        case status if 300 <= status < 400:  # noqa: PLR2004  redirects
            return ServerError(
                f"The server redirects {reply.endpoint} elsewhere ({status}), and credentials are not sent after it; "
                f"check {ENV_BASE_URL}.",
                status=status,
            )
        case status:
            return ServerError(
                f"{reply.endpoint} answered {status}, which is not documented{said}; check {ENV_BASE_URL}.",
                status=status,
            )


def _quota_exhausted(reply: Reply, blocked_until: datetime | None) -> QuotaExhausted:
    when = "" if blocked_until is None else f"; ask again at {blocked_until:%Y-%m-%d %H:%M:%S} UTC"
    silent = "" if reply.retry_after else " (the server did not say when)"
    return QuotaExhausted(
        f"No call is left: {reply.endpoint} answered 429{when}{silent}. By default an application has 50 calls a day; others "
        "may have spent them, and an expired plan is answered like this too.",
        resets_at=blocked_until,
        status=reply.status,
    )


def retry_time(header: str | None, *, now: datetime) -> datetime | None:
    """Read a ``Retry-After`` header, which is seconds or a date; None where it is absent or neither."""
    text = (header or "").strip()
    try:
        if text.isdecimal():
            return now + timedelta(seconds=int(text))
        date = parsedate_to_datetime(text)
        return (date.replace(tzinfo=UTC) if date.tzinfo is None else date).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _excerpt(reply: Reply, redact: Callable[[str], str]) -> str:
    """Repeat the start of what the server wrote, on one line."""
    text = " ".join(redact(reply.body.decode("utf-8", "replace")).split())
    printable = "".join(letter for letter in text if letter.isprintable())
    return f", saying: {printable[:EXCERPT_LENGTH]}" if printable else ""
