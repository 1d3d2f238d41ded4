"""The two queries, from arguments to frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes._process import check_process
from pulseframes._progress import ProgressHook, reporting
from pulseframes.client import Answer, PulseClient, as_client
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.errors import (
    IncompleteWarning,
    PulseError,
    RejectedRowsWarning,
    SchemaViolation,
    drop_internals,
    warn,
)
from pulseframes.fetch.answers import Fetcher
from pulseframes.fetch.pagination import ListReader, Reading
from pulseframes.flatten import (
    ParsedAnswers,
    describe_rejected,
    parse_answers,
    warn_of_drift,
    warn_of_missing,
    warn_of_truncated_lists,
)
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
    progress: ProgressHook | bool | None = None,
) -> pl.DataFrame:
    """Return the sessions of a time window.

    Costs one call per 500 sessions, at least one, and one more if a session key must be fetched first. Cached responses cost
    nothing. Source: ``GET /sessions``, all pages.

    Parameters
    ----------
    date_from, date_to : str, date or datetime
        The window. A date means its first instant; times without a zone are UTC. ``"today"``, ``"yesterday"`` and ``"7d"``,
        seven days before today, are dates in UTC.
    user_identifier : str or None
        Only this user, by the identifier that the site provided.
    country : str, iterable of str or None
        Only these countries, as two-letter codes.
    user_type : str or None
        Only this type of user. The API's documentation lists no types; any text is passed on.
    skip : int
        Number of sessions to skip at the start of the server's list.
    limit : int or None
        Maximum number of sessions; None for all.
    client : PulseClient or None
        Default: a client of the environment, which is kept for the next call.
    refresh : bool
        Ignore cached responses and query the API again.
    on_invalid : {"raise", "warn"}
        For rows that break the schema: raise ``SchemaViolation``, which has all rows, or warn and omit them.
    progress : callable, bool or None
        Called with a ``Progress`` after each page. True shows a bar with the calls spent and left, False none; None shows it if the call
        takes more than 2 seconds and stderr is a terminal or this is a notebook.

    Returns
    -------
    polars.DataFrame
        One row per session, sorted by ``session_start`` and ``session_id``, with the columns of the sessions table. Times are
        UTC. ``satisfaction_rating``, ``ip_country``, ``ip_state`` and ``ip_city`` are null: only details have them.

    Raises
    ------
    InvalidQuery
        If an argument is invalid, before any call is spent; or if the server rejects the query.
    CredentialsMissing, AuthenticationFailed, QuotaExhausted, ServerError, MalformedAnswer, JournalError
        If a call fails; ``partial`` has the sessions of the pages before it. The same query resumes there.
    SchemaViolation
        If a row breaks the schema and ``on_invalid`` is ``"raise"``.

    Warns
    -----
    IncompleteWarning
        If the sessions received are not exactly those that the server reported, some do not answer the query, or some were
        deleted from the journal by ``forget()`` or ``retain()``.
    SchemaDriftWarning
        If the server sent unknown fields or values.

    See Also
    --------
    session_details : Downloads load times, errors and ratings of some sessions.
    sync : Keeps sessions and details in a lake.
    scan_sessions : The same as a LazyFrame, whose filters become the query.

    Examples
    --------
    >>> sessions = pf.search_sessions("2026-11-09", "2026-11-10", country=["NZ", "US"])
    >>> by_browser = sessions.group_by("browser_name").len()
    """
    check_process()
    query = SearchQuery.parse(
        date_from,
        date_to,
        user_identifier=user_identifier,
        country=country,
        user_type=user_type,
        skip=skip,
        limit=limit,
    )
    check_choice("on_invalid", on_invalid, get_args(OnInvalid))
    client = as_client(client)
    bodies: list[bytes] = []
    with reporting(progress, lambda: client.quota().left) as hook:
        fetcher = Fetcher(client, refresh=refresh, progress=hook)
        reader = ListReader(fetcher, query, repair_calls=client.settings.repair_calls)
        reading = reader.reading
        try:
            for answer in fetcher.read(reader):
                bodies.append(answer.body)  # noqa: PERF401  if it fails, the bodies before stay
        except PulseError as problem:
            if bodies:
                problem.partial = _search_result(bodies, query, fetcher, reading)[0]
                problem.remaining = reading.remaining
            drop_internals(problem)
            raise
    sessions, parsed = _search_result(bodies, query, fetcher, reading)
    warn_of_drift(parsed.drift)
    if not reading.lacks_nothing:
        _warn_incomplete(reading)
    _handle_rejected(parsed.rejected, sessions, on_invalid)
    return sessions


def session_details(
    ids: SessionIds,
    *,
    client: PulseClient | None = None,
    refresh: bool = False,
    on_invalid: OnInvalid = "warn",
    progress: ProgressHook | bool | None = None,
) -> SessionFrames:
    """Return sessions with their page views and errors.

    Costs one call per distinct id, and one more if a session key must be fetched first. Cached responses cost nothing.
    Source: ``GET /session``.

    Parameters
    ----------
    ids : int, iterable of int, or Series
        Session ids, such as ``sessions["session_id"]``; repeated ids cost nothing.
    client : PulseClient or None
        Default: a client of the environment, which is kept for the next call.
    refresh : bool
        Ignore cached responses and query the API again.
    on_invalid : {"raise", "warn"}
        For rows that break the schema: raise ``SchemaViolation``, which has everything, or warn and move them to
        ``.rejected``.
    progress : callable, bool or None
        Called with a ``Progress`` after each session. True shows a bar with the calls spent and left, False none; None shows it if the call
        takes more than 2 seconds and stderr is a terminal or this is a notebook.

    Returns
    -------
    SessionFrames
        Sessions, page views and errors. Times are UTC. ``.missing`` lists the ids that the server does not have.

    Raises
    ------
    InvalidQuery
        If an id is invalid, before any call is spent.
    CredentialsMissing, AuthenticationFailed, QuotaExhausted, ServerError, MalformedAnswer, JournalError
        If a call fails; ``partial`` has the ``SessionFrames`` of the sessions before it. The same query resumes there.
    SchemaViolation
        If a row breaks the schema and ``on_invalid`` is ``"raise"``.

    Warns
    -----
    MissingSessionsWarning
        If the server does not have some of the ids.
    RejectedRowsWarning
        If rows break the schema and ``on_invalid`` is ``"warn"``.
    IncompleteWarning
        If a list has exactly 500 page views or errors, so the server probably truncated it.
    SchemaDriftWarning
        If the server sent unknown fields or values.

    See Also
    --------
    search_sessions : Finds sessions.
    choose_details : Draws the sessions whose details are worth a call.

    Examples
    --------
    >>> sessions = pf.search_sessions("2026-11-09", "2026-11-10")
    >>> details = pf.session_details(sessions["session_id"].head(3))
    >>> slowest = details.page_views.sort("loading_time_ms", descending=True, nulls_last=True).head(5)
    """
    check_process()
    query = DetailQuery.parse(ids)
    check_choice("on_invalid", on_invalid, get_args(OnInvalid))
    if not query.ids:
        return _details_result([], query, None)[0]
    client = as_client(client)
    answers: list[Answer] = []
    with reporting(progress, lambda: client.quota().left) as hook:
        fetcher = Fetcher(client, refresh=refresh, progress=hook)
        try:
            for answer in fetcher.details(query):
                answers.append(answer)  # noqa: PERF402  an error in the middle must leave the answers before it
        except PulseError as problem:
            problem.partial = _details_result(answers, query, fetcher)[0]
            drop_internals(problem)
            raise
    frames, parsed = _details_result(answers, query, fetcher)
    warn_of_drift(parsed.drift)
    warn_of_truncated_lists(parsed.truncated)
    warn_of_missing(frames.missing)
    _handle_rejected(parsed.rejected, frames, on_invalid)
    return frames


def _search_result(
    bodies: list[bytes], query: SearchQuery, fetcher: Fetcher, reading: Reading
) -> tuple[pl.DataFrame, ParsedAnswers]:
    """Flatten a search's answers, and certify the frame."""
    parsed = parse_answers(bodies, SEARCH, limit=query.limit)
    sessions = parsed.frames[SESSIONS.name]
    certificate = Certificate(
        question="search",
        declared=reading.declared,
        distinct=len(sessions) + len(parsed.rejected),
        complete=reading.lacks_nothing,
        parts=tuple(fetcher.parts),
        duplicates=reading.rows - reading.distinct,
        totals=tuple(dict.fromkeys(reading.totals)),
        repaired=reading.repaired,
        calls_spent=fetcher.calls_spent,
        calls_saved=sum(part.kept for part in fetcher.parts),
        still_active=_active_ids(sessions),
        forgotten=reading.forgotten,
        foreign=reading.foreign,
    )
    certify(sessions, certificate)
    return sessions, parsed


def _details_result(
    answers: list[Answer], query: DetailQuery, fetcher: Fetcher | None
) -> tuple[SessionFrames, ParsedAnswers]:
    """Flatten the details, and certify the frames."""
    parsed = parse_answers([answer.body for answer in answers], DETAIL)
    certificate = Certificate(
        question="details",
        declared=query.calls,
        distinct=len(answers),
        complete=len(answers) == query.calls,
        parts=() if fetcher is None else tuple(fetcher.parts),
        calls_spent=0 if fetcher is None else fetcher.calls_spent,
        calls_saved=sum(answer.kept for answer in answers),
        still_active=_active_ids(parsed.frames[SESSIONS.name]),
    )
    missing = [] if fetcher is None else fetcher.missing
    frames = SessionFrames(**parsed.frames, missing=missing, rejected=parsed.rejected, certificate=certificate)
    return frames, parsed


def _warn_incomplete(reading: Reading) -> None:
    if reading.complete:
        python, cli = "refresh=True downloads them again.", "--refresh downloads them again."
    else:
        python = cli = "The same search requests the pages concerned again."
    warn(IncompleteWarning, reading.problem, python=python, cli=cli)


def _active_ids(sessions: pl.DataFrame) -> tuple[int, ...]:
    return tuple(sessions.filter(status="active")["session_id"])


def _handle_rejected(rejected: pl.DataFrame, valid: pl.DataFrame | SessionFrames, on_invalid: OnInvalid) -> None:
    if rejected.is_empty():
        return
    message = describe_rejected(rejected)
    if on_invalid == "raise":
        raise SchemaViolation(message, valid=valid, rejected=rejected)
    warn(RejectedRowsWarning, message)
