"""Answers: from the journal where a cached one may be used again, else from the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from pulseframes.client import Answer, PulseClient
from pulseframes.endpoints import DETAIL, SEARCH, Endpoint
from pulseframes.errors import MalformedAnswer, PulseError, SessionNotFound
from pulseframes.flatten import Outline, read_outline, read_outlines
from pulseframes.query import DetailQuery, SearchQuery
from pulseframes.tables.certificate import Part
from pulseframes.windows import detail_is_final, is_fresh, is_settled, page_is_final

NOT_FOUND: Final = 404
#: Cached details are read from the journal and flattened this many at a time.
BATCH: Final = 500


@dataclass(frozen=True)
class Progress:
    """The progress of a call.

    Attributes
    ----------
    what : str
        The things counted: ``"sessions"`` while searching, ``"details"`` while fetching details.
    done, total : int
        How many have been received, and how many are expected.
    calls : int
        Calls spent since the function was called, authentication included.

    Examples
    --------
    >>> steps = []
    >>> sessions = pf.search_sessions("2026-11-09", "2026-11-10", progress=steps.append)
    >>> steps[-1].what, steps[-1].done == len(sessions)
    ('sessions', True)
    """

    what: str
    done: int
    total: int
    calls: int


class ProgressHook(Protocol):
    """Called after each answer. An exception that it raises stops the run.

    Examples
    --------
    >>> def show(progress: pf.Progress) -> None:
    ...     print(f"{progress.done} of {progress.total} {progress.what}")
    >>> details = pf.session_details(pf.Lake("lake").sessions().collect()["session_id"][0], progress=show)
    1 of 1 details
    """

    def __call__(self, progress: Progress, /) -> object:
        """Receive the progress."""


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Attributes
    ----------
    skip : int
        Its position in the list.
    total : int
        ``totalSessions``, as the server reported it with this page.
    starts : dict of int to datetime or None
        The sessions on the page, and when each started.
    nameless : int
        Rows without a readable id.
    forgotten : int
        Rows that were erased from the cached answer since it was received.
    answer : Answer or None
        The answer that it was read from.
    """

    skip: int
    total: int
    starts: dict[int, datetime | None]
    nameless: int = 0
    forgotten: int = 0
    answer: Answer | None = None

    @property
    def kept(self) -> bool:
        """Whether it cost nothing."""
        return self.answer is not None and self.answer.kept

    @property
    def rows(self) -> int:
        """Number of rows, erased ones included."""
        return len(self.starts) + self.nameless + self.forgotten


class Fetcher:
    """Gets the answers of one query or sync, and counts what they cost.

    Parameters
    ----------
    client : PulseClient
        Sends the calls.
    refresh : bool or datetime
        True ignores cached answers; a time ignores those from before it.
    progress : callable or None
        Receives the progress.

    Attributes
    ----------
    parts : list of Part
        The answers with sessions so far, for the certificate.
    missing : list of int
        Session ids that the server does not know.
    """

    def __init__(
        self, client: PulseClient, *, refresh: bool | datetime = False, progress: ProgressHook | None = None
    ) -> None:
        self.client = client
        self.refresh = refresh
        self.parts: list[Part] = []
        self.missing: list[int] = []
        self._used: set[int] = set()
        self._progress = progress
        self._spent_before = client.calls_spent

    @property
    def calls_spent(self) -> int:
        """Calls spent so far."""
        return self.client.calls_spent - self._spent_before

    def calls_left(self) -> int:
        """Return how many calls the quota has left."""
        return self.client.quota().left

    def report(self, what: Literal["sessions", "details"], done: int, total: int) -> None:
        """Report the progress."""
        if self._progress is not None:
            self._progress(Progress(what, min(done, total), total, self.calls_spent))

    def page(self, query: SearchQuery, skip: int, size: int) -> Page:
        """Return one page of a search, cached or from the server.

        Raises
        ------
        PulseError
            If it is not cached and the server does not give it.
        """
        page = self.kept_page(query, skip, size) or self._paid_page(query, skip, size)
        assert page.answer is not None  # noqa: S101  a page of ours has its answer
        self._use(page.answer, page.rows - page.forgotten)
        return page

    def kept_page(self, query: SearchQuery, skip: int, size: int) -> Page | None:
        """Return a page that costs nothing; None if it would cost a call."""
        answer = self.client.kept_answer(SEARCH, query.page_params(skip, size))
        outline = self._outline_of_kept(answer, SEARCH)
        if answer is None or outline is None:
            return None
        may_be_used = self._is_fresh(answer) or page_is_final(query, answer.asked_at, outline.total)
        return _page(answer, outline, skip) if may_be_used else None

    def is_kept(self, query: SearchQuery) -> bool:
        """Return whether a query's first page costs nothing."""
        return self.kept_page(query, 0, SEARCH.page_size) is not None

    def is_settled(self, query: SearchQuery) -> bool:
        """Return whether a query's pages are final."""
        return is_settled(query, self.client.clock())

    def count(self, query: SearchQuery) -> int:
        """Return how many sessions a query has. Costs one call, or none if that is cached.

        Raises
        ------
        PulseError
            If it is not cached and the server does not give it.
        """
        return (self.kept_page(query, 0, 1) or self._paid_page(query, 0, 1)).total

    def details(self, query: DetailQuery) -> Iterator[Answer]:
        """Yield the details of sessions: first those that cost nothing, so that they are there if the quota runs out.

        Raises
        ------
        PulseError
            If a call fails; ``remaining`` is the number of details that are left.
        """
        kept: set[int] = set()
        for batch in self.kept_details(query.ids):
            kept.update(batch)
            yield from batch.values()
        known = kept.union(self.missing)
        if known:
            self.report("details", len(known), query.calls)
        pending = [session_id for session_id in query.ids if session_id not in known]
        for _, answer in self.paid_details(pending, done=len(known)):
            if answer is not None:
                yield answer

    def kept_details(self, ids: Sequence[int]) -> Iterator[dict[int, Answer]]:
        """Yield the details that cost nothing, by session id, in batches; ids known to be missing go to ``missing``."""
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            questions = [DetailQuery.params(session_id) for session_id in batch]
            answers = dict(zip(batch, self.client.kept_answers(DETAIL, questions), strict=True))
            young = {key: answer for key, answer in answers.items() if answer is not None and self._is_new(answer)}
            self.missing += [
                key for key, answer in young.items() if answer.status == NOT_FOUND and self._is_fresh(answer)
            ]
            details = {key: answer for key, answer in young.items() if answer.status != NOT_FOUND}
            outlines = read_outlines([answer.body for answer in details.values()], DETAIL)
            usable = {}
            for (session_id, answer), outline in zip(details.items(), outlines, strict=True):
                if outline is None or _other_ids(outline, session_id):
                    continue
                if self._is_fresh(answer) or detail_is_final(outline.statuses[0]):
                    self._use(answer, len(outline.ids))
                    usable[session_id] = answer
            if usable:
                yield usable

    def paid_details(self, ids: Sequence[int], *, done: int = 0) -> Iterator[tuple[int, Answer | None]]:
        """Yield each session's details from the server, one call each; None for one that the server does not know.

        Parameters
        ----------
        ids : sequence of int
            The sessions.
        done : int
            How many details were received before, for the progress.

        Raises
        ------
        PulseError
            If a call fails; ``remaining`` is the number of details that are left.
        """
        for number, session_id in enumerate(ids):
            try:
                answer = self._paid_detail(session_id)
            except PulseError as problem:
                problem.remaining = len(ids) - number
                raise
            yield session_id, answer
            self.report("details", done + number + 1, done + len(ids))

    def _paid_page(self, query: SearchQuery, skip: int, size: int) -> Page:
        # The list reader asks for half of a page that timed out, so the call is not repeated as it is.
        answer = self.client.call(SEARCH, query.page_params(skip, size), retry_timeouts=False)
        return _page(answer, _outline(answer, SEARCH), skip)

    def _paid_detail(self, session_id: int) -> Answer | None:
        try:
            answer = self.client.call(DETAIL, DetailQuery.params(session_id), session_id=session_id)
        except SessionNotFound:
            self.missing.append(session_id)
            return None
        outline = _outline(answer, DETAIL)
        if others := _other_ids(outline, session_id):
            raise malformed(answer, f"The server answered with session {others.pop()} when asked for {session_id}.")
        self._use(answer, len(outline.ids))
        return answer

    def _outline_of_kept(self, answer: Answer | None, endpoint: Endpoint) -> Outline | None:
        """Return the outline of a cached answer; None if the answer is unreadable or not new."""
        if answer is None or not self._is_new(answer):
            return None
        try:
            return read_outline(answer.body, endpoint)
        except MalformedAnswer:
            return None

    def _is_fresh(self, answer: Answer) -> bool:
        return is_fresh(answer.asked_at, self.client.clock())

    def _is_new(self, answer: Answer) -> bool:
        """Return whether a cached answer is not ignored by a refresh and was not used before."""
        # An answer that was used is asked for again only because it may have changed.
        ignored = answer.asked_at < self.refresh if isinstance(self.refresh, datetime) else self.refresh
        return not ignored and answer.call_id not in self._used

    def _use(self, answer: Answer, rows: int) -> None:
        self._used.add(answer.call_id)
        self.parts.append(Part(answer.call_id, answer.asked_at, answer.kept, rows))


def malformed(answer: Answer, message: str) -> MalformedAnswer:
    """Return the error for an answer that is not as documented, with its place in the journal."""
    problem = MalformedAnswer(f"{message} The journal has it as call {answer.call_id}.", body=answer.body)
    problem.call_id = answer.call_id
    return problem


def _other_ids(outline: Outline, session_id: int) -> set[int | None]:
    return set(outline.ids) - {session_id, None}


def _page(answer: Answer, outline: Outline, skip: int) -> Page:
    return Page(skip, outline.total, outline.starts(), outline.ids.count(None), answer.forgotten, answer)


def _outline(answer: Answer, endpoint: Endpoint) -> Outline:
    try:
        return read_outline(answer.body, endpoint)
    except MalformedAnswer as problem:
        raise malformed(answer, str(problem)) from None
