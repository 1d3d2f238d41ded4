"""Every exception and warning that pulseframes raises.

::

    PulseError
    ├── CredentialsMissing     nothing was sent: a key, an id or a secret is not set
    ├── InvalidQuery           an argument is wrong (found here, or a 400); also a ValueError
    ├── AuthenticationFailed   401 twice, or 403: the credentials are refused
    ├── QuotaExhausted         no call is left: by our count (nothing was sent), or 429
    ├── SessionNotFound        404: the server does not know this session
    ├── ServerError            5xx, a timeout, a lost connection, a status that is not documented
    ├── MalformedAnswer        2xx, but the body is not the documented JSON
    ├── JournalError           the journal cannot be opened, read or written; nothing was sent
    ├── LakeError              a lake cannot be opened, read, written or locked
    └── SchemaViolation        the answer was read, and some of its rows break the schema

    PulseWarning (a UserWarning)
    ├── SchemaDriftWarning     the API sent a field or a value that pulseframes does not know
    ├── IncompleteWarning      fewer rows came back than the server declared, or a list looks cut
    ├── RejectedRowsWarning    rows that break the schema were set aside in ``.rejected``
    ├── JournalWarning         an answer came, and could not be put into the journal
    └── MissingSessionsWarning some of the session ids asked for are not known to the server

No message, ``repr`` or ``__cause__`` of these holds a key, a secret or a session key.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl


class PulseError(Exception):
    """Base of all errors raised by pulseframes.

    Attributes
    ----------
    partial : polars.DataFrame or SessionFrames or None
        What had been paid for and read before the error; None where that is nothing.
    remaining : int or None
        How many sessions, or details, were still to come; None where that is not known.
    retryable : bool
        True where the same call may succeed later with nothing changed.
    call_id : int or None
        The call's number in the journal, where its raw answer is kept; None where there is none.
    """

    partial: Any = None
    remaining: int | None = None
    retryable: bool = False
    call_id: int | None = None


class CredentialsMissing(PulseError):
    """An API key, client id or client secret is not set. No call was spent."""


class InvalidQuery(PulseError, ValueError):
    """An argument cannot be asked of the API.

    Raised before anything is sent, or when the server answers 400.

    Attributes
    ----------
    argument : str or None
        The name of the argument that is wrong; None when the server refused the query as a whole.
    """

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class AuthenticationFailed(PulseError):
    """The server refuses the credentials (401 or 403).

    Not raised for a session key that ran out: that is renewed and the call repeated, once.

    Attributes
    ----------
    status : int or None
        401 or 403.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class QuotaExhausted(PulseError):
    """No call is left for now: by our own count, and then nothing was sent; or by the server's (429).

    Attributes
    ----------
    resets_at : datetime or None
        When to ask again, in UTC; None where the server did not say.
    status : int or None
        429 where the server refused; None where nothing was sent.
    """

    retryable = True

    def __init__(self, message: str, *, resets_at: datetime | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.resets_at = resets_at
        self.status = status


class SessionNotFound(PulseError):
    """The server does not know the session (404).

    Not raised by ``session_details()``, which lists such ids in ``.missing`` instead.

    Attributes
    ----------
    session_id : int or None
        The session that was asked for.
    """

    def __init__(self, message: str, *, session_id: int | None = None) -> None:
        super().__init__(message)
        self.session_id = session_id


class ServerError(PulseError):
    """The server failed, or could not be reached, or answered with a status that is not documented.

    Attributes
    ----------
    status : int or None
        The HTTP status; None where there was no complete answer.
    timed_out : bool
        Whether the answer took too long, for us or for the server.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retryable: bool = False, timed_out: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.timed_out = timed_out


class MalformedAnswer(PulseError):
    """The server answered 2xx with a body that is not the documented JSON.

    Attributes
    ----------
    body : bytes
        The answer as it came. It was paid for, and may hold personal data.
    """

    def __init__(self, message: str, *, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = body


class JournalError(PulseError):
    """The journal cannot be opened, read or written; the message says what to do.

    No call is sent without it: an answer that could not be kept would be lost.
    """


class LakeError(PulseError):
    """A lake cannot be opened, read, written or locked; the message says what to do.

    What was being written is in the lake wholly or not at all.
    """


class SchemaViolation(PulseError):
    """Some rows break the schema, and the caller asked to be stopped by that.

    Attributes
    ----------
    valid, partial : polars.DataFrame or SessionFrames
        Everything that passed, as the function would have returned it.
    rejected : polars.DataFrame
        The rows that did not pass, each with its reason and its raw JSON.
    """

    def __init__(self, message: str, *, valid: Any = None, rejected: pl.DataFrame | None = None) -> None:
        super().__init__(message)
        self.valid = self.partial = valid
        self.rejected = rejected

    @property
    def summary(self) -> str:
        """How many rows, of which tables, and the first reason."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.summary} .valid has the other rows and .rejected these; on_invalid='warn' goes on without them."


class PulseWarning(UserWarning):
    """Base of all warnings issued by pulseframes."""


class SchemaDriftWarning(PulseWarning):
    """The API sent a field, which is in no frame but in the journal's raw answer, or a value, which is kept as it is."""


class IncompleteWarning(PulseWarning):
    """A result holds fewer rows than the server has, as far as can be told."""


class RejectedRowsWarning(PulseWarning):
    """Rows that break the schema were set aside in ``.rejected``."""


class JournalWarning(PulseWarning):
    """An answer came, and could not be put into the journal: it is used, and will be paid for again."""


class MissingSessionsWarning(PulseWarning):
    """Session ids that the server does not know; they are listed in ``.missing``."""


def warn(category: type[PulseWarning], message: str) -> None:
    """Warn, as if from the line outside this package that led here."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).split(".")[0] == "pulseframes":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
