"""Answers: from the journal where a cached one may be used again, else from the server."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from pulseframes._arguments import check_flag
from pulseframes._progress import Progress, ProgressHook
from pulseframes.client import Answer, PulseClient, Turn, in_turns
from pulseframes.endpoints import DETAIL, SEARCH, Endpoint
from pulseframes.errors import MalformedAnswer, PulseError, SessionNotFound
from pulseframes.fetch.chain import Page
from pulseframes.fetch.pagination import SMALLEST_PAGE, ListReader
from pulseframes.flatten import Outline, read_outline, read_outlines
from pulseframes.query import DetailQuery, SearchQuery
from pulseframes.tables.certificate import Part
from pulseframes.windows import FRESH, SETTLED, SETTLED_EMPTY, Window

NOT_FOUND: Final = 404
#: Cached details are read from the journal and flattened this many at a time.
BATCH: Final = 500


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
        if not isinstance(refresh, datetime):
            check_flag("refresh", refresh)
        self.client = client
        self.refresh = refresh
        self.parts: list[Part] = []
        self.missing: list[int] = []
        self._used: set[int] = set()
        self._places: dict[SearchQuery, list[tuple[int, int]]] = {}
        self._progress = progress
        self._spent_before = client.calls_spent
        self._last_call = 0

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

    def read(self, reader: ListReader) -> Iterator[Answer]:
        """Yield the answers of a list as they arrive, and report the progress; raises what ``ListReader.pages()`` does."""
        reading = reader.reading
        for page in reader.pages():
            if page.answer is not None:
                self._use(page.answer, len(page.ids))
                yield page.answer
            self.report("sessions", reading.distinct, max(reading.expected or 0, reading.distinct))

    def kept_page(self, query: SearchQuery, skip: int, size: int) -> Page | None:
        """Return the page that costs nothing, has the row at ``skip`` and reaches furthest; None if there is none."""
        places = [place for place in self._kept_places(query) if query.skip <= place[0] <= skip < sum(place)]
        for place in sorted(places, key=sum, reverse=True):
            answer = self.client.kept_answer(SEARCH, query.page_params(*place))
            outline = self._outline_of_kept(answer, SEARCH)
            if answer is None or outline is None:
                continue
            page = _page(answer, outline, query, *place)
            # A page that a plan requested to count sessions has one row: as the first of many it would cost one page more.
            is_enough = sum(place) >= min(page.total, skip + min(size, SMALLEST_PAGE))
            if is_enough and self._may_be_used(page, query):
                return page
        return None

    def paid_page(self, query: SearchQuery, skip: int, size: int) -> Page:
        """Return one page from the server. A timeout is not retried: the list reader decides what to request then.

        Raises
        ------
        PulseError
            If the server does not give it.
        """
        answer = self.client.call(SEARCH, query.page_params(skip, size), retry_timeouts=False)
        return _page(answer, _outline(answer, SEARCH), query, skip, size)

    def kept_windows(self, query: SearchQuery) -> dict[Window, int]:
        """Return windows within a query's whose first page costs nothing, and their totals: the longest, without overlaps."""
        found = {other for text in self.client.answered(SEARCH) if (other := query.within(text)) is not None}
        kept: dict[Window, int] = {}
        for other in sorted(found, key=lambda other: (other.date_from - other.date_to, other.date_from)):
            if all(other.date_to <= window.start or window.end <= other.date_from for window in kept):
                page = self.kept_page(other, 0, SEARCH.page_size)
                if page is not None:
                    kept[other.window] = page.total
        return kept

    def is_settled(self, query: SearchQuery) -> bool:
        """Return whether a window ended so long ago that its sessions no longer change."""
        return query.date_to <= self.client.clock() - SETTLED

    def now(self) -> datetime:
        """Return the present."""
        return self.client.clock()

    def count(self, query: SearchQuery) -> int:
        """Return how many sessions a query has. Costs one call, or none if that is cached.

        Raises
        ------
        PulseError
            If it is not cached and the server does not give it.
        """
        return (self.kept_page(query, 0, 1) or self.paid_page(query, 0, 1)).total

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
        with closing(self.paid_details(pending, done=len(known))) as paid:
            yield from (answer for _, answer in paid if answer is not None)

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
                if self._is_fresh(answer) or outline.statuses[0] == "ended":
                    self._use(answer, len(outline.ids))
                    usable[session_id] = answer
            if usable:
                yield usable

    def paid_details(
        self, ids: Sequence[int], *, done: int = 0, at_once: int | None = None
    ) -> Generator[tuple[int, Answer | None]]:
        """Yield each session's details from the server, one call each; None for one that the server does not know.

        If a call fails, the answers to the others that were under way are yielded first. Close it to send no more.

        Parameters
        ----------
        ids : sequence of int
            The sessions.
        done : int
            How many details were received before, for the progress.
        at_once : int or None
            How many calls may be under way; default: the setting.

        Raises
        ------
        PulseError
            If a call fails; ``remaining`` is the number of details that are left.
        """
        answered = 0
        if ids:
            self._last_call = max((call.id for call in self.client.last_calls(1)), default=0)
        with closing(in_turns(ids, self._paid_detail, at_once or self.client.settings.concurrency)) as answers:
            try:
                for session_id, (answer, rows) in answers:
                    answered += 1
                    if answer is None:
                        self.missing.append(session_id)
                    else:
                        self._use(answer, rows)
                    yield session_id, answer
                    self.report("details", done + answered, done + len(ids))
            except PulseError as problem:
                problem.remaining = len(ids) - answered
                raise

    def _kept_places(self, query: SearchQuery) -> list[tuple[int, int]]:
        """Return position and size of each page of a query that was ever answered."""
        whole = replace(query, skip=0, limit=None)
        if whole not in self._places:
            texts = self.client.answered(SEARCH, query.prefix)
            self._places[whole] = [place for text in texts if (place := query.place_in(text)) is not None]
        return self._places[whole]

    def _may_be_used(self, page: Page, query: SearchQuery) -> bool:
        assert page.answer is not None  # noqa: S101  a kept page has its answer
        if page.is_short and not page.rows:
            return False  # the server failed to give what its total promises
        # Sessions of an empty window may only be late.
        is_final = query.date_to <= page.answer.asked_at - (SETTLED if page.total else SETTLED_EMPTY)
        is_sound = not (page.foreign or page.contradicts_itself)
        return self._is_fresh(page.answer) or (is_final and is_sound)

    def _paid_detail(self, session_id: int, turn: Turn) -> tuple[Answer | None, int]:
        """Return a session's details from the server, and their rows. Several threads call it, so it changes nothing here."""
        try:
            answer = self.client.call(
                DETAIL,
                DetailQuery.params(session_id),
                session_id=session_id,
                turn=turn,
                meanwhile=lambda: self._detail_of_another_thread(session_id),
            )
        except SessionNotFound:
            return None, 0
        outline = _outline(answer, DETAIL)
        if others := _other_ids(outline, session_id):
            raise malformed(answer, f"The server answered with session {others.pop()} when asked for {session_id}.")
        return answer, len(outline.ids)

    def _detail_of_another_thread(self, session_id: int) -> Answer | None:
        """Return a session's details, or their lack, that have come since the cache was read, so that nobody pays for them again."""
        answer = self.client.kept_answer(DETAIL, DetailQuery.params(session_id))
        if answer is None or answer.call_id in self._used:
            return None
        is_usable = self._is_new(answer) and self._is_fresh(answer)
        if answer.call_id <= self._last_call and not is_usable:
            return None
        if answer.ok:
            outline = _outline_or_none(answer, DETAIL)
            return None if outline is None or _other_ids(outline, session_id) else answer
        return answer

    def _outline_of_kept(self, answer: Answer | None, endpoint: Endpoint) -> Outline | None:
        """Return the outline of a cached answer; None if the answer is unreadable or not new."""
        return None if answer is None or not self._is_new(answer) else _outline_or_none(answer, endpoint)

    def _is_fresh(self, answer: Answer) -> bool:
        return self.client.clock() - answer.asked_at < FRESH

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


def _page(answer: Answer, outline: Outline, query: SearchQuery, skip: int, size: int) -> Page:
    starts = outline.starts()
    first = {session_id: number for number, session_id in reversed([*enumerate(outline.ids)])}
    ids = [
        session_id for number, session_id in enumerate(outline.ids) if session_id is None or first[session_id] == number
    ]
    times = (None if session_id is None else starts[session_id] for session_id in outline.ids)
    answers = sum(map(query.may_find, times, outline.countries, outline.users))
    return Page(
        skip=skip,
        size=size,
        total=outline.total,
        ids=ids,
        starts=starts,
        foreign=len(outline.ids) - answers,
        has_next=outline.has_next,
        repeated=len(outline.ids) - len(ids),
        forgotten=answer.forgotten,
        answer=answer,
    )


def _outline_or_none(answer: Answer, endpoint: Endpoint) -> Outline | None:
    try:
        return read_outline(answer.body, endpoint)
    except MalformedAnswer:
        return None


def _outline(answer: Answer, endpoint: Endpoint) -> Outline:
    try:
        return read_outline(answer.body, endpoint)
    except MalformedAnswer as problem:
        raise malformed(answer, str(problem)) from None
