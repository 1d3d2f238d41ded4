"""The two questions, from arguments to frames: the only place that knows the order of the stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

import polars as pl

from pulseframes.client import PulseClient, default_client
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.errors import (
    IncompleteWarning,
    InvalidQuery,
    PulseError,
    RejectedRowsWarning,
    SchemaViolation,
    warn,
)
from pulseframes.fetch.answers import Run
from pulseframes.fetch.pagination import Reading
from pulseframes.flatten import (
    ParsedAnswers,
    describe_rejected,
    parse_answers,
    warn_of_drift,
    warn_of_missing,
    warn_of_truncated_lists,
)
from pulseframes.progress import ProgressHook
from pulseframes.query import DateLike, DetailQuery, SearchQuery, SessionIds
from pulseframes.tables import SESSIONS
from pulseframes.tables.certificate import Certificate, certify
from pulseframes.tables.frames import SessionFrames

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
    refresh: bool = False,
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
    refresh : bool
        Ask again what the journal holds an answer to.
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
    run = Run(client or default_client(), refresh=refresh, progress=progress)
    reader = run.reader(query)
    try:
        reading = reader.read()
    except PulseError as problem:
        if run.bodies:
            came = parse_answers(run.bodies, SEARCH, limit=query.limit)
            problem.partial, problem.remaining = came.frames[SESSIONS.name], reader.remaining
            certify(problem.partial, _certificate_of_search(run, reader.reading, came))
        raise
    result = parse_answers(run.bodies, SEARCH, limit=query.limit)
    sessions = result.frames[SESSIONS.name]
    made_of = _certificate_of_search(run, reading, result)
    certify(sessions, made_of)
    warn_of_drift(result.drift)
    if not reading.complete:
        warn(
            IncompleteWarning,
            f"By the server's count {made_of.declared} sessions were to come, and {made_of.distinct} distinct ones came: its "
            f"list changed while it was read, and {made_of.repaired} more calls did not catch up with it. Search again later, "
            "or search a window that ended some time ago.",
        )
    _handle_rejected(result.rejected, sessions, on_invalid)
    return sessions


def session_details(
    ids: SessionIds,
    *,
    client: PulseClient | None = None,
    refresh: bool = False,
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
    refresh : bool
        Ask again what the journal holds an answer to.
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
    if not query.ids:
        return _session_frames(parse_answers([], DETAIL), None, query)
    run = Run(client or default_client(), refresh=refresh, progress=progress)
    try:
        run.details(query)
    except PulseError as problem:
        problem.partial = _session_frames(parse_answers(run.bodies, DETAIL), run, query)
        raise
    result = parse_answers(run.bodies, DETAIL)
    frames = _session_frames(result, run, query)
    warn_of_drift(result.drift)
    warn_of_truncated_lists(result.truncated)
    warn_of_missing(frames.missing)
    _handle_rejected(result.rejected, frames, on_invalid)
    return frames


def _certificate_of_search(run: Run, reading: Reading, result: ParsedAnswers) -> Certificate:
    sessions = result.frames[SESSIONS.name]
    return Certificate(
        question="search",
        declared=reading.declared,
        distinct=len(sessions) + len(result.rejected),
        complete=reading.complete,
        parts=tuple(run.parts),
        duplicates=reading.rows - reading.distinct,
        totals=tuple(dict.fromkeys(reading.totals)),
        repaired=reading.repaired,
        calls_spent=run.calls_spent,
        calls_saved=sum(part.kept for part in run.parts),
        still_active=_active_ids(sessions),
        forgotten=reading.forgotten,
    )


def _active_ids(sessions: pl.DataFrame) -> tuple[int, ...]:
    return tuple(sessions.filter(status="active")["session_id"])


def _session_frames(result: ParsedAnswers, run: Run | None, query: DetailQuery) -> SessionFrames:
    parts, missing = (run.parts, run.missing) if run is not None else ([], [])
    made_of = Certificate(
        question="details",
        declared=query.calls,
        distinct=len(parts),
        complete=len(parts) == query.calls,
        parts=tuple(parts),
        calls_spent=0 if run is None else run.calls_spent,
        calls_saved=sum(part.kept for part in parts),
        still_active=_active_ids(result.frames[SESSIONS.name]),
    )
    return SessionFrames(**result.frames, missing=missing, rejected=result.rejected, certificate=made_of)


def _check_on_invalid(on_invalid: str) -> None:
    if on_invalid not in get_args(OnInvalid):
        raise InvalidQuery(f"on_invalid: {on_invalid!r} is not 'raise' or 'warn'.", argument="on_invalid")


def _handle_rejected(rejected: pl.DataFrame, valid: pl.DataFrame | SessionFrames, on_invalid: OnInvalid) -> None:
    if rejected.is_empty():
        return
    message = describe_rejected(rejected)
    if on_invalid == "raise":
        raise SchemaViolation(message, valid=valid, rejected=rejected)
    warn(RejectedRowsWarning, message)
