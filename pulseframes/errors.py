"""Every exception and warning of pulseframes.

::

    PulseError
    ├── CredentialsMissing     an API key, client ID or client secret is missing; nothing was sent
    ├── InvalidQuery           an argument is invalid (a local check, or a 400); also a ValueError
    ├── AuthenticationFailed   the server rejects the credentials (401 twice, or 403)
    ├── QuotaExhausted         no calls left: by our count (nothing was sent) or the server's (429)
    ├── SessionNotFound        the server has no such session (404)
    ├── ServerError            5xx, a timeout, a lost connection or an undocumented status
    ├── MalformedAnswer        2xx, but the body is not the documented JSON
    ├── JournalError           the journal cannot be opened, read or written; nothing was sent
    ├── LakeError              a lake cannot be opened, read, written or locked
    └── SchemaViolation        some rows of an answer break the schema

    PulseWarning (a UserWarning)
    ├── SchemaDriftWarning     the API sent an unknown field or value
    ├── IncompleteWarning      an answer is not proved to be complete, or a list looks truncated
    ├── RejectedRowsWarning    rows that break the schema were moved to ``.rejected``
    ├── JournalWarning         an answer could not be recorded in the journal
    └── MissingSessionsWarning the server has no sessions with some of the ids

No message, ``repr`` or ``__cause__`` of these contains a key, a secret or a session key.
"""

from __future__ import annotations

import inspect
import warnings
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import polars as pl


class _Worded(Exception):
    """A message that may end differently for who calls Python and for who runs a command.

    Parameters
    ----------
    message : str
        What is wrong and, if it is the same for both, what to do.
    python, cli : str
        What to do in Python, and on the command line.
    """

    def __init__(self, message: str = "", *, python: str = "", cli: str = "") -> None:
        super().__init__(message)
        self._python, self._cli = python, cli

    def __str__(self) -> str:
        return " ".join(filter(None, (super().__str__(), self._python)))


class PulseError(_Worded):
    """Base class of all errors of pulseframes.

    Attributes
    ----------
    partial : polars.DataFrame or SessionFrames or SyncReport or None
        The results so far; None if nothing was received.
    remaining : int or None
        How many sessions or details are left; None if unknown.
    retryable : bool
        Whether the same call may succeed later.
    call_id : int or None
        The call's number in the journal, which has its raw answer; None if there is none.

    Examples
    --------
    >>> try:
    ...     sessions = pf.search_sessions("2026-11-10", "2026-11-09")
    ... except pf.PulseError as problem:
    ...     print(type(problem).__name__, problem.retryable)
    InvalidQuery False
    """

    partial: Any = None
    remaining: int | None = None
    retryable: bool = False
    call_id: int | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (super().__str__(), self._saved())))

    def _saved(self) -> str:
        """Return where the results so far are, and how to get the rest."""
        if self.partial is None:
            return ""
        sessions = getattr(self.partial, "sessions", self.partial)
        what = f"{len(sessions):,} sessions are" if hasattr(sessions, "__len__") else "The report so far is"
        left = "" if self.remaining is None else f" ({self.remaining:,} still to download)"
        return f"{what} in .partial{left}; the same call resumes there."


class CredentialsMissing(PulseError):
    """An API key, client ID or client secret is neither set nor stored, or no HTTP header can carry it. No call was spent.

    Also raised if the stored ones are damaged, in a locked keyring, or in a file that others can read.

    Not raised for credentials that the server rejects: see ``AuthenticationFailed``.

    Examples
    --------
    >>> pf.Credentials(api_key="key", client_id="id", client_secret="")
    Traceback (most recent call last):
    pulseframes.errors.CredentialsMissing: client_secret is empty...
    """


class InvalidQuery(PulseError, ValueError):
    """An argument is invalid.

    Raised before anything is sent, or when the server answers 400.

    Parameters
    ----------
    message : str
        What is wrong.
    argument : str or None
        The name of the invalid argument.
    python, cli : str
        What to do, where that differs in Python and on the command line.

    Attributes
    ----------
    argument : str or None
        The name of the invalid argument; None if the server rejected the query as a whole.

    Examples
    --------
    >>> pf.search_sessions("2026-11-10", "2026-11-09")
    Traceback (most recent call last):
    pulseframes.errors.InvalidQuery: date_from (2026-11-10T00:00:00Z) must be before date_to...
    """

    def __init__(self, message: str, *, argument: str | None = None, python: str = "", cli: str = "") -> None:
        super().__init__(message, python=python, cli=cli)
        self.argument = argument


class AuthenticationFailed(PulseError):
    """The server rejects the credentials (401 or 403).

    Not raised for an expired session key: it is renewed and the call is repeated once.

    Attributes
    ----------
    status : int or None
        401 or 403.

    Examples
    --------
    >>> try:
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    ... except pf.AuthenticationFailed as problem:
    ...     print("Check the client ID and secret:", problem.status)
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class QuotaExhausted(PulseError):
    """No calls are left for now: by our own count (nothing was sent), or by the server's (429).

    Not raised by ``sync()``, which returns a report with ``finished=False``, nor if the journal has the answer.

    Attributes
    ----------
    resets_at : datetime or None
        When the next call is possible, in UTC; None if the server did not say.
    status : int or None
        429 if the server refused; None if nothing was sent.

    Examples
    --------
    >>> try:
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    ... except pf.QuotaExhausted as stopped:
    ...     sessions, continue_at = stopped.partial, stopped.resets_at
    """

    retryable = True

    def __init__(self, message: str, *, resets_at: datetime | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.resets_at = resets_at
        self.status = status


class SessionNotFound(PulseError):
    """The server has no such session (404).

    Not raised by ``session_details()``, which lists such ids in ``.missing`` instead.

    Attributes
    ----------
    session_id : int or None
        The session that was asked for.

    Examples
    --------
    >>> from pulseframes.endpoints import DETAIL
    >>> with pf.PulseClient() as client:
    ...     client.call(DETAIL, {"id": "404"}, session_id=404)
    Traceback (most recent call last):
    pulseframes.errors.SessionNotFound: ...
    """

    def __init__(self, message: str, *, session_id: int | None = None) -> None:
        super().__init__(message)
        self.session_id = session_id


class ServerError(PulseError):
    """The server failed, could not be reached or answered with an undocumented status.

    If ``retryable``, raised only after up to two retries, unless they are of no use. Each attempt counts, unless no connection was made.

    Attributes
    ----------
    status : int or None
        The HTTP status; None without a complete answer.
    timed_out : bool
        Whether the answer took too long, for us or the server.
    cut_off : bool
        Whether it still arrived when ``Settings(total_timeout=...)`` was over, so that another attempt would take as long.
    retry_at : datetime or None
        When the server allows the next call, in UTC; None if it did not say.

    Examples
    --------
    >>> try:
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    ... except pf.ServerError as problem:
    ...     again = problem.retry_at if problem.retryable else None
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        timed_out: bool = False,
        cut_off: bool = False,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.timed_out = timed_out
        self.cut_off = cut_off
        self.retry_at = retry_at


class MalformedAnswer(PulseError):
    """The server answered 2xx with a body that is not the documented JSON.

    Attributes
    ----------
    body : bytes
        The answer as received. It may contain personal data.

    Examples
    --------
    >>> try:
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    ... except pf.MalformedAnswer as problem:
    ...     print(f"Call {problem.call_id} in the journal has the body of {len(problem.body)} bytes.")
    """

    def __init__(self, message: str, *, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = body


class JournalError(PulseError):
    """The journal cannot be opened, read or written; the message says what to do.

    No call is sent without a journal, because its answer would be lost.

    Examples
    --------
    >>> with pf.PulseClient(settings=pf.Settings(home="/dev/null")) as client:
    ...     client.quota()
    Traceback (most recent call last):
    pulseframes.errors.JournalError: The journal /dev/null/journal.sqlite cannot be used...
    """


class LakeError(PulseError):
    """A lake cannot be opened, read, written or locked; the message says what to do.

    A write that fails leaves the lake as it was, or as it was to be.

    Examples
    --------
    >>> pf.Lake("no-such-lake").sessions()
    Traceback (most recent call last):
    pulseframes.errors.LakeError: No lake at ...
    """


class SchemaViolation(PulseError):
    """Some rows break the schema, and ``on_invalid`` is ``"raise"``.

    Attributes
    ----------
    valid, partial : polars.DataFrame or SessionFrames
        The valid rows, as the function would have returned them.
    rejected : polars.DataFrame
        The other rows, each with its reason and raw JSON.

    Examples
    --------
    >>> try:
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    ... except pf.SchemaViolation as problem:
    ...     sessions, rejected = problem.valid, problem.rejected
    """

    def __init__(self, message: str, *, valid: Any = None, rejected: pl.DataFrame | None = None) -> None:
        super().__init__(
            message,
            python="The valid rows are in .valid, these in .rejected; on_invalid='warn' continues without them.",
            cli="The other rows are written; with --output, so are these, to *.rejected.ndjson.",
        )
        self.valid = self.partial = valid
        self.rejected = rejected

    def _saved(self) -> str:
        return ""

    @property
    def summary(self) -> str:
        """Number of rows by table, and the first reason.

        Examples
        --------
        >>> try:
        ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
        ... except pf.SchemaViolation as problem:
        ...     print(problem.summary)
        """
        return str(self.args[0])


class PulseWarning(_Worded, UserWarning):
    """Base class of all warnings of pulseframes.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", pf.IncompleteWarning)  # an incomplete result is an exception
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    """


class SchemaDriftWarning(PulseWarning):
    """The API sent an unknown field (kept only in the journal's raw answer) or an unknown value (kept as it is).

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", pf.SchemaDriftWarning)  # once you know of the new field
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    """


class IncompleteWarning(PulseWarning):
    """A result probably has fewer rows than the server.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    >>> any(issubclass(warning.category, pf.IncompleteWarning) for warning in caught)
    False
    """


class RejectedRowsWarning(PulseWarning):
    """Rows that break the schema were moved to ``.rejected``.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", pf.RejectedRowsWarning)  # they are looked at below
    ...     details = pf.session_details(pf.Lake("lake").sessions().head(1).collect()["session_id"])
    >>> len(details.rejected)
    0
    """


class JournalWarning(PulseWarning):
    """An answer could not be recorded in the journal: it is used now and will be paid for again.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", pf.JournalWarning)  # stop instead of paying again
    ...     sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    """


class MissingSessionsWarning(PulseWarning):
    """The server has no sessions with some of the ids; ``.missing`` lists them.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     details = pf.session_details(404)
    >>> details.missing, caught[0].category.__name__
    ([404], 'MissingSessionsWarning')
    """


def drop_internals(problem: PulseError) -> None:
    """Shorten the traceback of an error that is raised again: if the quota ran out, the frames of this package explain nothing."""
    if isinstance(problem, QuotaExhausted):
        problem.__traceback__ = None


def cli_message(problem: object) -> str:
    """Return the message of an error or warning for the command line; arguments still have their Python names."""
    if not isinstance(problem, _Worded):
        return str(problem)
    return " ".join(filter(None, (*map(str, problem.args), problem._cli)))  # noqa: SLF001  of this module


#: Takes the warnings of a thread that works for another one, if it is such a thread.
_keep_warning: Final[ContextVar[Callable[[Callable[[], object]], object] | None]] = ContextVar("keep", default=None)


def defer_warnings(keep: Callable[[Callable[[], object]], object]) -> None:
    """Hand over each warning of this thread, as a function to give it in the thread that it works for, which has the caller's line."""
    _keep_warning.set(keep)


def warn(category: type[PulseWarning], message: str, *, python: str = "", cli: str = "") -> None:
    """Warn with the location of the caller outside this package; ``python`` and ``cli`` as for an error."""
    keep = _keep_warning.get()
    if keep is not None:
        keep(partial(warn, category, message, python=python, cli=cli))
        return
    level, frame = 1, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).split(".")[0] == "pulseframes":
        level, frame = level + 1, frame.f_back
    warnings.warn(category(message, python=python, cli=cli), stacklevel=level)
