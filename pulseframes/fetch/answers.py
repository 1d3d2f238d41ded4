"""One run: gets the answers it needs, from the journal where they may be used again, and keeps count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import polars as pl

from pulseframes.client import Answer, PulseClient
from pulseframes.endpoints import DETAIL, SEARCH, Endpoint
from pulseframes.errors import MalformedAnswer, PulseError, SessionNotFound
from pulseframes.fetch.pagination import ListReader, Page
from pulseframes.flatten import FlatAnswers, flatten_answers
from pulseframes.progress import Progress, ProgressHook
from pulseframes.query import DetailQuery, SearchQuery
from pulseframes.tables import SESSIONS
from pulseframes.tables.certificate import Part
from pulseframes.windows import detail_is_final, is_fresh, is_settled, page_is_final

NOT_FOUND = 404


class Run:
    """The answers of one question, as they come.

    Parameters
    ----------
    client : PulseClient
        Whom to ask.
    refresh : bool or datetime
        Whether to ask again what is kept; or, what was kept before that time.
    progress : callable or None
        Told how far it is.
    on_answer : callable or None
        Called with the run after each answer that has sessions, and when the server does not know one that was asked for.

    spent_before : int or None
        What the client had spent when the user's question was asked; now, if this run is all of it.

    Attributes
    ----------
    bodies : list of bytes
        The answers that have sessions, in the order they came.
    parts : list of Part
        The same, for the certificate.
    missing : list of int
        Session ids that the server does not know.
    details_asked : list of int
        Sessions whose details the server was asked for, and answered.
    """

    def __init__(
        self,
        client: PulseClient,
        *,
        refresh: bool | datetime,
        progress: ProgressHook | None,
        on_answer: Callable[[Run], object] = lambda _: None,
        spent_before: int | None = None,
    ) -> None:
        self.client = client
        self.bodies: list[bytes] = []
        self.parts: list[Part] = []
        self.missing: list[int] = []
        self.details_asked: list[int] = []
        self._used: set[int] = set()
        self._refresh = refresh
        self._progress = progress
        self._on_answer = on_answer
        self._spent_before = client.calls_spent if spent_before is None else spent_before

    @property
    def calls_spent(self) -> int:
        """Calls that this run has spent."""
        return self.client.calls_spent - self._spent_before

    def tell(self, what: Literal["sessions", "details"], done: int, total: int) -> None:
        """Tell how far the run is."""
        if self._progress is not None:
            self._progress(Progress(what, min(done, total), total, self.calls_spent))

    def reader(self, query: SearchQuery) -> ListReader:
        """Give a reader of a search's list that asks this run for its pages."""
        return ListReader(
            self.page,
            query,
            repair_calls=self.client.settings.repair_calls,
            is_settled=lambda window: is_settled(window, self.client.clock()),
            is_kept=self.is_kept,
            calls_left=lambda: self.client.quota().left,
            tell=lambda done, total: self.tell("sessions", done, total),
        )

    def page(self, window: SearchQuery, skip: int, size: int) -> Page:
        """Get one page of a search.

        Raises
        ------
        PulseError
            If it is not kept and cannot be had.
        """
        answer, flat = self._kept_page(window, skip, size) or self._paid_page(window, skip, size)
        self._take(answer, flat)
        return _as_page(answer, flat, skip)

    def kept_page(self, window: SearchQuery, skip: int, size: int) -> Page | None:
        """Look at a page that costs nothing; None where it would cost a call."""
        kept = self._kept_page(window, skip, size)
        return None if kept is None else _as_page(*kept, skip)

    def probe(self, window: SearchQuery) -> int:
        """Learn how many sessions a window has, for one call at most.

        Raises
        ------
        PulseError
            If that is not kept and cannot be had.
        """
        _, flat = self._kept_page(window, 0, 1) or self._paid_page(window, 0, 1)
        return flat.totals[0]

    def _paid_page(self, window: SearchQuery, skip: int, size: int) -> tuple[Answer, FlatAnswers]:
        # A page that takes too long is asked again in halves, not as it is.
        answer = self.client.call(SEARCH, window.page_params(skip, size), retry_timeouts=False)
        return answer, _flattened(answer, SEARCH)

    def is_kept(self, window: SearchQuery) -> bool:
        """Tell whether a window's first page costs nothing."""
        return self._kept_page(window, 0, SEARCH.page_size) is not None

    def _kept_page(self, window: SearchQuery, skip: int, size: int) -> tuple[Answer, FlatAnswers] | None:
        return self._usable(
            self.client.kept_answer(SEARCH, window.page_params(skip, size)),
            SEARCH,
            lambda answer, flat: page_is_final(window, answer.asked_at, flat.totals[0]),
        )

    def details(self, query: DetailQuery) -> None:
        """Get the details of sessions: first those that cost nothing, so that they are there if the quota ends.

        Raises
        ------
        PulseError
            If one is not kept and cannot be had; ``remaining`` says how many are still to come.
        """
        self.ask_details(self.take_kept_details(query), query)

    def take_kept_details(self, query: DetailQuery) -> list[int]:
        """Get those details that cost nothing; give the ids of the others."""
        to_fetch = [session_id for session_id in query.ids if not self._detail(session_id, kept=True)]
        if len(to_fetch) < query.calls:
            self.tell("details", query.calls - len(to_fetch), query.calls)
        return to_fetch

    def ask_details(self, to_fetch: Sequence[int], query: DetailQuery) -> None:
        """Get details from the server; raises as ``details()`` does."""
        done = query.calls - len(to_fetch)
        for number, session_id in enumerate(to_fetch):
            try:
                self._detail(session_id, kept=False)
            except PulseError as problem:
                problem.remaining = len(to_fetch) - number
                raise
            self.tell("details", done + number + 1, query.calls)

    def _detail(self, session_id: int, *, kept: bool) -> bool:
        """Take one session's details in, kept ones or from the server; tell whether they were to be had."""
        params = DetailQuery.params(session_id)
        if kept:
            answer = self.client.kept_answer(DETAIL, params)
            if answer is not None and answer.status == NOT_FOUND:
                known_missing = not self._is_too_old(answer) and is_fresh(answer.asked_at, self.client.clock())
                self.missing += [session_id] if known_missing else []
                return known_missing
            found = self._usable(answer, DETAIL, lambda _, flat: detail_is_final(_status(flat)))
            if found is None:
                return False
            self._take(*found)
            return True
        try:
            answer = self.client.call(DETAIL, params, session_id=session_id)
        except SessionNotFound:
            self.missing.append(session_id)
            self.details_asked.append(session_id)
            self._on_answer(self)
            return True
        flat = _flattened(answer, DETAIL)
        ids = pl.concat([flat.frames[SESSIONS.name]["session_id"], flat.rejected["session_id"]])
        answered = ids.drop_nulls().unique().to_list()
        if answered not in ([], [session_id]):
            raise malformed(answer, f"The server answered with session {answered[0]} when asked for {session_id}.")
        self.details_asked.append(session_id)
        self._take(answer, flat)
        return True

    def _usable(
        self,
        kept: Answer | None,
        endpoint: Endpoint,
        is_final: Callable[[Answer, FlatAnswers], bool],
    ) -> tuple[Answer, FlatAnswers] | None:
        """Give a kept answer, if it may be used again."""
        # What this run has used already is asked for again only because it may have changed.
        if kept is None or self._is_too_old(kept) or kept.call_id in self._used:
            return None
        try:
            flat = flatten_answers([kept.body], endpoint)
        except MalformedAnswer:
            return None
        usable = is_fresh(kept.asked_at, self.client.clock()) or is_final(kept, flat)
        return (kept, flat) if usable else None

    def _is_too_old(self, kept: Answer) -> bool:
        return kept.asked_at < self._refresh if isinstance(self._refresh, datetime) else self._refresh

    def _take(self, answer: Answer, flat: FlatAnswers) -> None:
        rows = len(flat.frames[SESSIONS.name]) + len(flat.rejected.filter(table=SESSIONS.name))
        self._used.add(answer.call_id)
        self.bodies.append(answer.body)
        self.parts.append(Part(answer.call_id, answer.asked_at, answer.kept, rows))
        self._on_answer(self)

    def drain(self) -> tuple[list[bytes], list[Part]]:
        """Give the answers that came since the last time, and let go of their bodies."""
        bodies, self.bodies = self.bodies, []
        return bodies, self.parts[len(self.parts) - len(bodies) :]


def _as_page(answer: Answer, flat: FlatAnswers, skip: int) -> Page:
    sessions = flat.frames[SESSIONS.name]
    starts = dict(zip(sessions["session_id"], sessions["session_start"], strict=True))
    ids = [*sessions["session_id"], *flat.rejected["session_id"]]
    known = {session_id: starts.get(session_id) for session_id in ids if session_id is not None}
    return Page(skip, flat.totals[0], known, ids.count(None), answer.forgotten, answer.kept)


def _flattened(answer: Answer, endpoint: Endpoint) -> FlatAnswers:
    try:
        return flatten_answers([answer.body], endpoint)
    except MalformedAnswer as problem:
        raise malformed(answer, str(problem)) from None


def malformed(answer: Answer, message: str) -> MalformedAnswer:
    """Say that an answer is not as documented, and where it is kept."""
    problem = MalformedAnswer(f"{message} It is kept as call {answer.call_id} of the journal.", body=answer.body)
    problem.call_id = answer.call_id
    return problem


def _status(flat: FlatAnswers) -> str | None:
    statuses = flat.frames[SESSIONS.name]["status"].to_list()
    return statuses[0] if statuses else None
