"""The two questions, from arguments to frames: the only place that knows the order of the stages."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

import polars as pl

from pulseframes.api.client import PulseClient, default_client
from pulseframes.assemble import Assembled, assemble
from pulseframes.errors import (
    IncompleteWarning,
    InvalidQuery,
    MalformedAnswer,
    MissingSessionsWarning,
    PulseError,
    PulseWarning,
    RejectedRowsWarning,
    SchemaDriftWarning,
    SchemaViolation,
    SessionNotFound,
)
from pulseframes.flatten import flatten_details, flatten_searches
from pulseframes.frames import SessionFrames
from pulseframes.progress import Progress, ProgressHook
from pulseframes.query import PAGE_SIZE, DateLike, DetailQuery, SearchQuery, SessionIds
from pulseframes.tables import SESSIONS

OnInvalid: TypeAlias = Literal["raise", "warn"]


def search_sessions(
    date_from: DateLike,
    date_to: DateLike,
    *,
    user_identifier: str | None = None,
    country: str | Iterable[str] | None = None,
    user_type: str | None = None,
    skip: int = 0,
    limit: int | None = None,
    client: PulseClient | None = None,
    on_invalid: OnInvalid = "raise",
    progress: ProgressHook | None = None,
) -> pl.DataFrame:
    """Find the sessions of a time window.

    Costs one call for every 500 sessions, one at least, and one more where a session key has to be fetched first.
    Source: ``GET /sessions``, all pages.

    Parameters
    ----------
    date_from, date_to : str, date or datetime
        The window. A date stands for its first instant; what has no zone is UTC.
    user_identifier : str or None
        Only this user, by the identifier that the site gave them.
    country : str, iterable of str or None
        Only these countries, by two-letter codes.
    user_type : str or None
        Only this type of user. The API's documentation does not list the types; any text is passed on.
    skip : int
        Leave out so many sessions at the start of the server's list.
    limit : int or None
        Give so many sessions at most; None for all.
    client : PulseClient or None
        A client made from the environment, and kept for the next call, if not given.
    on_invalid : {"raise", "warn"}
        What to do about rows that break the schema: raise ``SchemaViolation``, which has all rows, or leave them out
        with a warning.
    progress : callable or None
        Called with a ``Progress`` after each page.

    Returns
    -------
    polars.DataFrame
        The columns of the sessions table, each session once, in ``session_start``, ``session_id`` order. Times are
        in UTC. ``satisfaction_rating``, ``ip_country``, ``ip_state`` and ``ip_city`` are null: only details have them.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, before any call is spent; or if the server refuses the query.
    CredentialsMissing, AuthenticationFailed, QuotaExhausted, ServerError, MalformedAnswer
        If a call fails; ``partial`` has the sessions of the pages before it.
    SchemaViolation
        If a row breaks the schema and ``on_invalid`` is ``"raise"``.

    Warns
    -----
    IncompleteWarning
        If fewer sessions came than the server declared.
    SchemaDriftWarning
        If the server sent fields or values that are not known.
    """
    query = SearchQuery.parse(
        date_from,
        date_to,
        user_identifier=user_identifier,
        country=country,
        user_type=user_type,
        skip=skip,
        limit=limit,
    )
    _check_on_invalid(on_invalid)
    client = client or default_client()
    pages: list[bytes] = []
    try:
        expected = _fetch_pages(client, query, pages, progress)
    except PulseError as problem:
        problem.partial = assemble(pages, details=False, limit=query.limit).frames[SESSIONS.name] if pages else None
        raise
    result = assemble(pages, details=False, limit=query.limit)
    sessions = result.frames[SESSIONS.name]
    _warn_of_drift(result)
    came = len(sessions) + len(result.rejected)
    if came < expected:
        _warn(
            IncompleteWarning,
            f"The server declared {expected} sessions, and {came} distinct ones came: its list changed while it was read. "
            "Search again, or search a window that ended some time ago.",
        )
    _handle_rejected(result.rejected, sessions, on_invalid)
    return sessions


def session_details(
    ids: SessionIds,
    *,
    client: PulseClient | None = None,
    on_invalid: OnInvalid = "warn",
    progress: ProgressHook | None = None,
) -> SessionFrames:
    """Get sessions with their page views and errors.

    Costs one call for each distinct id, and one more where a session key has to be fetched first.
    Source: ``GET /session``.

    Parameters
    ----------
    ids : int, iterable of int, or Series
        Session ids, as in ``sessions["session_id"]``; a repeated id costs nothing.
    client : PulseClient or None
        A client made from the environment, and kept for the next call, if not given.
    on_invalid : {"raise", "warn"}
        What to do about rows that break the schema: raise ``SchemaViolation``, which has everything, or warn and put
        them into ``.rejected``.
    progress : callable or None
        Called with a ``Progress`` after each session.

    Returns
    -------
    SessionFrames
        Sessions, page views and errors; ids that the server does not know are in ``.missing``.

    Raises
    ------
    InvalidQuery
        If an id is not one, before any call is spent.
    CredentialsMissing, AuthenticationFailed, QuotaExhausted, ServerError, MalformedAnswer
        If a call fails; ``partial`` has the ``SessionFrames`` of the sessions before it.
    SchemaViolation
        If a row breaks the schema and ``on_invalid`` is ``"raise"``.

    Warns
    -----
    MissingSessionsWarning
        If the server does not know some ids.
    RejectedRowsWarning
        If rows break the schema and ``on_invalid`` is ``"warn"``.
    IncompleteWarning
        If a list of exactly 500 page views or errors came, which the server has probably cut.
    SchemaDriftWarning
        If the server sent fields or values that are not known.
    """
    query = DetailQuery.parse(ids)
    _check_on_invalid(on_invalid)
    bodies: list[bytes] = []
    missing: list[int] = []
    try:
        if query.ids:
            _fetch_details(client or default_client(), query, bodies, missing, progress)
    except PulseError as problem:
        problem.partial = _session_frames(assemble(bodies, details=True), missing)
        raise
    result = assemble(bodies, details=True)
    frames = _session_frames(result, missing)
    _warn_of_drift(result)
    for where in result.cut:
        _warn(IncompleteWarning, f"{where}: the server has probably cut the list there.")
    if missing:
        _warn(MissingSessionsWarning, f"The server does not know {len(missing)} of the ids: {_some(missing)}.")
    _handle_rejected(result.rejected, frames, on_invalid)
    return frames


def _fetch_pages(client: PulseClient, query: SearchQuery, pages: list[bytes], progress: ProgressHook | None) -> int:
    """Get the pages of a search into ``pages``; give the number of rows that the server declared last."""
    spent_before = client.calls_spent
    seen: set[int | None] = set()
    got = 0
    while True:
        size = PAGE_SIZE if query.limit is None else min(PAGE_SIZE, query.limit - got)
        body = client.call("sessions", query.page_params(query.skip + got, size))
        answer = flatten_searches([body])
        pages.append(body)
        ids = answer.frames[SESSIONS.name]["session_id"].to_list()
        came = len(ids) + len(answer.rejected)
        got += came
        expected = query.wanted(answer.totals[0])
        if progress is not None:
            progress(Progress("sessions", min(got, expected), expected, client.calls_spent - spent_before))
        # A page with nothing new on it will be followed by more of the same, whatever total is declared.
        if got >= expected or not came or (ids and seen.issuperset(ids)):
            return expected
        seen.update(ids)


def _fetch_details(
    client: PulseClient, query: DetailQuery, bodies: list[bytes], missing: list[int], progress: ProgressHook | None
) -> None:
    """Get the details into ``bodies``, and the ids that are not known into ``missing``."""
    spent_before = client.calls_spent
    for number, session_id in enumerate(query.ids, start=1):
        try:
            body = client.call("session", query.params(session_id), session_id=session_id)
        except SessionNotFound:
            missing.append(session_id)
        else:
            answered = flatten_details([body]).frames[SESSIONS.name]["session_id"].drop_nulls().to_list()
            if answered not in ([], [session_id]):
                raise MalformedAnswer(
                    f"The server answered with session {answered[0]} when asked for {session_id}.", body=body
                )
            bodies.append(body)
        if progress is not None:
            progress(Progress("details", number, query.calls, client.calls_spent - spent_before))


def _session_frames(result: Assembled, missing: list[int]) -> SessionFrames:
    return SessionFrames(**result.frames, missing=missing, rejected=result.rejected)


def _check_on_invalid(on_invalid: str) -> None:
    if on_invalid not in get_args(OnInvalid):
        raise InvalidQuery(f"on_invalid: {on_invalid!r} is not 'raise' or 'warn'.", argument="on_invalid")


def _handle_rejected(rejected: pl.DataFrame, valid: pl.DataFrame | SessionFrames, on_invalid: OnInvalid) -> None:
    if rejected.is_empty():
        return
    counts = ", ".join(f"{count} of {table}" for table, count in sorted(rejected["table"].value_counts().iter_rows()))
    first = rejected.row(0, named=True)
    message = f"Rows that break the schema: {counts}. The first, of session {first['session_id']}: {first['reason']}."
    if on_invalid == "raise":
        raise SchemaViolation(
            f"{message} The exception's .valid has the other rows and .rejected these; on_invalid='warn' goes on without them.",
            valid=valid,
            rejected=rejected,
        )
    _warn(RejectedRowsWarning, message)


def _warn_of_drift(result: Assembled) -> None:
    if result.drift:
        _warn(
            SchemaDriftWarning,
            f"The API sent what this version of pulseframes does not know: {_some(result.drift)}. New fields are left out, "
            "new values are kept as they are; a newer version may know them.",
        )


def _some(values: Iterable[object], most: int = 10) -> str:
    texts = [str(value) for value in values]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _warn(category: type[PulseWarning], message: str) -> None:
    """Warn at the line of the caller's that called this package."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).split(".")[0] == "pulseframes":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
