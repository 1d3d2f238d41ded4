"""Reads a list that may change while it is read, and says whether all of it was received.

The server knows positions only, and sessions come and go between two pages. So each page is held against its own total, against
the question and against the page before:

1. A page starts with the last row of the page before. If the two share no row, sessions between them were missed, and a page
   that covers the gap is requested.
2. A page without new rows, where its total promises some, is requested again. If it stays empty, reading continues behind it;
   a second such page ends the list.
3. A full last page is followed by another if it announces one or has more rows than its total allows.
4. If fewer sessions were received than the newest total says, the pages that were too short are requested again, then the
   others, as long as the budget lasts.
5. The list is complete if no gap is left, no page contradicts its own total, every row answers the question, and the different
   sessions, less those deleted meanwhile, are exactly as many as the newest total says.

Then every session that was on the server all the while has been received, provided that the list keeps its order.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final, Protocol, TypeAlias

from pulseframes._text import plural
from pulseframes.client import Answer
from pulseframes.endpoints import SEARCH
from pulseframes.errors import InvalidQuery, QuotaExhausted, ServerError
from pulseframes.query import SearchQuery
from pulseframes.windows import Window, cut, subtract

#: A page that times out twice is halved, down to this size.
SMALLEST_PAGE: Final = 50
#: The size of a page is doubled after this many smaller ones arrived, and after twice as many the next time.
PATIENCE: Final = 4
#: A list that needs more than the calls left is read in windows of about this many pages, each of which can become final.
PAGES_PER_WINDOW: Final = 10
LONGEST_WINDOW: Final = timedelta(days=64)
#: More sessions than a year of calls can fetch. Such a total is a mistake of the server, and no reason to spend more.
MOST_SESSIONS: Final = 10_000_000
#: Servers' clocks differ from ours by less.
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Attributes
    ----------
    skip, size : int
        Its position in the list, and the number of rows requested.
    total : int
        ``totalSessions``, as the server reported it with this page.
    ids : list of int or None
        The session of each row, in order and without repetitions; None if it cannot be read.
    starts : dict of int to datetime or None
        When each session started.
    foreign : int
        Rows that do not answer the question: of another time, country or user.
    has_next : bool
        Whether the server announces another page.
    repeated : int
        Rows of sessions that an earlier row of the page has.
    forgotten : int
        Rows that were erased from the cached answer since it was received.
    answer : Answer or None
        The answer that it was read from.
    """

    skip: int
    size: int
    total: int
    ids: list[int | None]
    starts: dict[int, datetime | None]
    foreign: int = 0
    has_next: bool = False
    repeated: int = 0
    forgotten: int = 0
    answer: Answer | None = None

    @property
    def kept(self) -> bool:
        """Whether it cost nothing."""
        return self.answer is not None and self.answer.kept

    @property
    def rows(self) -> int:
        """Number of different rows, erased ones included."""
        return len(self.ids) + self.forgotten

    @property
    def end(self) -> int:
        """The position behind its last row."""
        return self.skip + self.rows

    @property
    def is_short(self) -> bool:
        """Whether it has fewer rows than its total leaves for it."""
        return self.rows < min(self.size, self.total - self.skip)

    @property
    def contradicts_itself(self) -> bool:
        """Whether it has more rows than its total leaves for it."""
        return self.rows > max(0, self.total - self.skip)

    @property
    def is_followed(self) -> bool:
        """Whether there is another page, whatever the total says."""
        return self.rows >= self.size and (self.has_next or self.contradicts_itself)


class PageSource(Protocol):
    """Provides the pages, as ``Fetcher`` does."""

    def kept_page(self, query: SearchQuery, skip: int, size: int) -> Page | None:
        """Return a cached page that has the row at ``skip`` and was not used before; None if there is none."""

    def paid_page(self, query: SearchQuery, skip: int, size: int) -> Page:
        """Request one page of a query."""

    def kept_windows(self, query: SearchQuery) -> dict[Window, int]:
        """Return windows within a query's whose pages are final and cached, and their numbers of sessions."""

    def is_settled(self, query: SearchQuery) -> bool:
        """Return whether a query's sessions no longer change."""

    def calls_left(self) -> int:
        """Return how many calls the quota has left."""

    def now(self) -> datetime:
        """Return the present."""


@dataclass
class Reading:
    """A list, as far as it has been read.

    Attributes
    ----------
    starts : dict of int to datetime or None
        The distinct sessions, and when each started.
    nameless, forgotten, rows, repaired, foreign : int
        Rows without a readable id; rows erased from cached answers; all rows; calls spent on pages requested again; rows that do
        not answer the question.
    totals : list of int
        The server's total with each page.
    declared : int
        Number of sessions expected.
    expected : int or None
        The same, as of the last page; None before the first.
    complete : bool
        Whether nothing is missing, as far as the pages show.
    """

    starts: dict[int, datetime | None] = field(default_factory=dict)
    nameless: int = 0
    forgotten: int = 0
    rows: int = 0
    repaired: int = 0
    foreign: int = 0
    totals: list[int] = field(default_factory=list)
    declared: int = 0
    expected: int | None = None
    complete: bool = False

    def add(self, page: Page) -> None:
        """Add a page."""
        self.starts.update(page.starts)
        self.nameless += page.ids.count(None)
        self.forgotten += page.forgotten
        self.foreign += page.foreign
        self.rows += page.rows + page.repeated
        self.totals.append(page.total)

    def settle(self, declared: int) -> None:
        """Set the number of sessions expected. A row that two pages share may have been erased from both."""
        self.declared = declared
        self.forgotten = min(self.forgotten, max(0, declared - len(self.starts) - self.nameless))

    @property
    def distinct(self) -> int:
        """Number of different sessions, erased ones included."""
        return len(self.starts) + self.nameless + self.forgotten

    @property
    def remaining(self) -> int | None:
        """Number of sessions that are left; None before the first page."""
        return None if self.expected is None else max(0, self.expected - self.distinct)

    @property
    def problem(self) -> str:
        """What a user must know of a reading that is not complete."""
        problem = f"The server reported {plural(self.declared, 'session')}, but {self.distinct:,} were received"
        if self.foreign:
            return f"{problem}, {self.foreign:,} of them of another time, country or user than requested: check them."
        if self.distinct > self.declared:
            return f"{problem}: its count cannot be relied on, so more sessions may be missing."
        return f"{problem}, after {plural(self.repaired, 'additional call')}: its list has gaps, or changed while it was read."

    def started_before(self, moment: datetime) -> int:
        """Count the sessions that started before a moment, or at an unknown time."""
        late = sum(start is not None and start >= moment for start in self.starts.values())
        return self.distinct - late


class Chain:
    """The pages of one query, each joined to the one before, and what they prove.

    Parameters
    ----------
    query : SearchQuery
        The query.
    settled : bool
        Whether its sessions no longer change: then pages overlap only where that takes no additional page.
    """

    def __init__(self, query: SearchQuery, *, settled: bool) -> None:
        self.query = query
        self._settled = settled
        self._pages: dict[int, Page] = {}
        self._last: Page | None = None
        self._places: dict[int, int] = {}
        self._position = query.skip
        self._total = self._newest = 0
        self._nameless = self._forgotten = self._deleted = 0
        self._ended = self._broken = self._has_empty_page = False

    @property
    def is_ended(self) -> bool:
        """Whether no further page is needed."""
        if self._last is None or self._ended:
            return self._ended
        limit = self.query.limit
        is_limited = limit is not None and self._position >= self.query.skip + limit
        return not self._left() and (is_limited or not self._last.is_followed)

    @property
    def declared(self) -> int:
        """Number of sessions that the newest total promises."""
        return self.query.wanted(self._total)

    @property
    def missing(self) -> int:
        """Number of sessions that the newest total promises and the pages do not have; negative if they have more."""
        return self.declared - (len(self._places) + self._nameless + self._forgotten - self._deleted)

    @property
    def is_complete(self) -> bool:
        """Whether the pages prove that all sessions were received."""
        # Of erased rows it is unknown whether they are the same ones; a limit may have been exceeded.
        exact = not self._forgotten and self.query.limit is None
        counts_agree = self.missing == 0 if exact else self.missing <= 0
        return counts_agree and not self._broken and not any(map(self._is_suspect, self._pages.values()))

    @property
    def overlap(self) -> int:
        """Number of rows that the next page repeats."""
        if self._last is None or self._last.rows < 2:  # noqa: PLR2004  one row repeated would be no progress
            return 0
        rows = self._last.rows if self._last.is_short else SEARCH.page_size
        is_free = -(-self._left() // (rows - 1)) == -(-self._left() // rows)
        return int(is_free or not (self._settled or self.query.limit is not None))

    def next_place(self) -> tuple[int, int]:
        """Return position and size of the next page."""
        skip = self._position - self.overlap
        return skip, self._size(skip)

    def place_again(self, page: Page) -> tuple[int, int]:
        """Return position and size of the page to request in place of one that was not joined."""
        is_barren = not self._has_news(page)
        # Half a page up: sessions that moved are there, and the page itself has the rest.
        skip = page.skip if is_barren else max(self.query.skip, self._position - SEARCH.page_size // 2)
        return skip, self._size(skip)

    @property
    def is_hopeless(self) -> bool:
        """Whether it is not worth a call to request a page again: an earlier one stayed empty, or the total is absurd."""
        return self._has_empty_page or self._total > MOST_SESSIONS

    def places_again(self) -> Iterator[tuple[int, int]]:
        """Yield positions and sizes of pages that may have what is missing, the most suspicious first."""
        for page in sorted(self._pages.values(), key=lambda page: (not page.is_short, page.skip)):
            if self.missing > 0 or self._is_suspect(page):
                yield page.skip, self._size(page.skip)

    def join(self, page: Page) -> bool:
        """Add the next page if it has news and shares a row with those before; return whether it was added."""
        has_news = self._has_news(page)
        if not has_news and self.query.skip + self.query.wanted(page.total) > self._position:
            return False
        if self._last is not None and not self._shares_a_row(page, self._last):
            return False
        self._ended = not has_news
        self._deleted += self._count_deleted(page)
        self._add(page)
        return True

    def leave_gap(self, page: Page) -> None:
        """Go on behind a page that could not be joined: the list is incomplete."""
        self._broken = True
        if self._has_news(page):
            self._add(page)
        else:
            self._ended, self._has_empty_page = self._has_empty_page, True
            self._position = max(self._position, page.skip + page.size)

    def add_again(self, page: Page) -> None:
        """Add a page that was requested again after the end."""
        self._deleted += max(0, self._total - page.total)
        position = self._position
        self._add(page)
        self._position = position

    def _left(self) -> int:
        return max(0, self.query.skip + self.declared - self._position)

    def _size(self, skip: int) -> int:
        limit = self.query.limit
        return SEARCH.page_size if limit is None else min(SEARCH.page_size, self.query.skip + limit - skip)

    def _is_suspect(self, page: Page) -> bool:
        """Return whether a page of a list that may change is short for no reason, so that it may lack rows anywhere.

        A server with smaller pages than requested has pages of one size, and that is a round number.
        """
        longest = max(other.rows for other in self._pages.values())
        return not self._settled and page.is_short and (page.rows < longest or page.rows % 10 > 0)

    def _has_news(self, page: Page) -> bool:
        return bool(page.forgotten or page.starts.keys() - self._places.keys())

    def _shares_a_row(self, page: Page, last: Page) -> bool:
        if page.starts.keys() & self._places.keys() or page.forgotten or last.forgotten:
            return True
        # Without an overlap, or with a shared row that has no id, only an unchanged total speaks for it.
        is_unknown = page.skip == self._position or None in page.ids[:1]
        return is_unknown and page.total == last.total

    def _count_deleted(self, page: Page) -> int:
        """Return how many of the sessions received before are no longer in the list, as far as a page shows."""
        placed = ((item, page.skip + number) for number, item in enumerate(page.ids) if item is not None)
        shared = next(((item, place) for item, place in placed if item in self._places), None)
        if shared is None or page.forgotten:
            return 0
        old_place = self._places[shared[0]]
        # The list has moved up by the deleted ones before the shared row; those after it are missing from the page.
        behind = takewhile(lambda item: self._places[item] > old_place, reversed(self._places))
        return max(0, old_place - shared[1]) + sum(item not in page.starts for item in behind)

    def _add(self, page: Page) -> None:
        for number, session_id in enumerate(page.ids):
            place = page.skip + number
            if session_id is not None:
                self._places.pop(session_id, None)  # the rows received last come last
                self._places[session_id] = place
            elif place >= self._position:
                self._nameless += 1
        self._forgotten += page.forgotten
        self._broken |= bool(page.foreign) or page.contradicts_itself
        age = 0 if page.answer is None else page.answer.call_id
        if age >= self._newest:
            self._newest, self._total = age, page.total
        self._pages[page.skip] = self._last = page
        self._position = max(self._position, page.end)


#: Yields each page as it arrives, and returns a result.
_Pages: TypeAlias = Generator[Page, None, Page]


class ListReader:
    """Reads the list of one search.

    Parameters
    ----------
    source : PageSource
        Provides the pages.
    query : SearchQuery
        The search.
    repair_calls : int
        How many calls may be spent on pages that are requested again.

    Attributes
    ----------
    reading : Reading
        What has been read so far.
    """

    def __init__(self, source: PageSource, query: SearchQuery, *, repair_calls: int) -> None:
        self.reading = Reading()
        self._source = source
        self._query = query
        self._budget = repair_calls
        self._page_size = SEARCH.page_size
        self._arrived, self._patience, self._timed_out = 0, PATIENCE, False

    def pages(self) -> Iterator[Page]:
        """Yield every page as it arrives.

        Raises
        ------
        PulseError
            If a page cannot be fetched; ``reading`` has the pages before it. Once every page was read, a quota that ends while
            some are requested again is no error: the reading is incomplete.
        """
        began = self._source.now()
        chain = self._chain(self._query)
        yield from self._next(chain)
        parts = self._parts(chain)
        if not parts:
            try:
                yield from self._read(chain)
            except InvalidQuery:  # the server has no pages so far down
                parts = self._cut(self._query)
                if len(parts) < 2:  # noqa: PLR2004
                    raise
        if not parts:
            self.reading.complete = chain.is_complete
            self.reading.settle(chain.declared)
            return
        self.reading.settle(chain.declared)
        complete = True
        for part in parts:
            if self.reading.started_before(began) >= chain.declared:
                break
            piece = self._chain(part)
            yield from self._read(piece)
            complete = complete and piece.is_complete
        self.reading.complete = complete

    def _chain(self, query: SearchQuery) -> Chain:
        return Chain(query, settled=self._source.is_settled(query))

    def _read(self, chain: Chain) -> Iterator[Page]:
        """Read a query's pages in order, then those again that may have what is missing."""
        while not chain.is_ended:
            yield from self._next(chain)
        try:
            for skip, size in chain.places_again():
                if chain.is_hopeless or self._budget <= 0 or chain.missing > self._budget * SEARCH.page_size:
                    return
                chain.add_again((yield from self._get_again(chain.query, skip, size)))
        except QuotaExhausted:
            return

    def _next(self, chain: Chain) -> Iterator[Page]:
        overlap = chain.overlap
        page = yield from self._get(chain.query, *chain.next_place())
        if chain.join(page):
            self.reading.rows -= overlap
            return
        if self._budget > 0 and not chain.is_hopeless:
            again = yield from self._get_again(chain.query, *chain.place_again(page))
            if chain.join(again):
                chain.join(page)
                return
        chain.leave_gap(page)

    def _get(self, query: SearchQuery, skip: int, size: int) -> _Pages:
        page = self._source.kept_page(query, skip, size) or self._paid_page(query, skip, size)
        self.reading.add(page)
        if query == self._query:
            self.reading.expected = self.reading.declared = query.wanted(page.total)
        yield page
        return page

    def _get_again(self, query: SearchQuery, skip: int, size: int) -> _Pages:
        """Get a page at the budget's expense."""
        page = yield from self._get(query, skip, size)
        if not page.kept:
            self._budget -= 1
            self.reading.repaired += 1
        return page

    def _paid_page(self, query: SearchQuery, skip: int, rows: int) -> Page:
        """Request a page. If it times out, request it again, then half of it; once smaller pages arrive, try larger ones."""
        while True:
            size = min(self._page_size, rows)
            try:
                page = self._source.paid_page(query, skip, size)
            except ServerError as problem:
                if not problem.timed_out or (self._timed_out and size <= SMALLEST_PAGE):
                    raise
                if self._timed_out:
                    self._page_size, self._arrived = max(size // 2, SMALLEST_PAGE), 0
                self._timed_out = True
                continue
            self._arrived += 1
            if self._page_size == SEARCH.page_size:
                self._timed_out = False
            elif self._arrived >= self._patience:
                self._page_size = min(2 * self._page_size, SEARCH.page_size)
                self._arrived, self._patience = 0, 2 * self._patience
            return page

    def _parts(self, chain: Chain) -> list[SearchQuery]:
        """Cut a search that takes more calls than are left, or that cached windows make cheaper; empty to read it whole.

        A page of a list that still changes must be paid for again tomorrow; one of a window that ended a day ago need not.
        """
        query, total = self._query, chain.declared
        calls = query.calls(total) - 1
        if calls == 0 or query.skip or query.limit is not None or total > MOST_SESSIONS:
            return []
        if self._source.is_settled(query):
            return []
        kept = self._source.kept_windows(query)
        gaps = subtract([Window(query.date_from, query.date_to)], kept)
        saves = query.calls(total - sum(kept.values())) + len(gaps) < calls
        return self._cut(query, kept) if saves or calls > self._source.calls_left() else []

    def _cut(self, query: SearchQuery, kept: dict[Window, int] | None = None) -> list[SearchQuery]:
        """Cut a search into windows, cached ones as they are, in the order of its list and without the future."""
        starts = [start for start in self.reading.starts.values() if start is not None]
        rate = len(starts) / max((max(starts) - min(starts)) / _DAY, 1e-3) if starts else 0.0
        step = LONGEST_WINDOW
        while step > _DAY / 16 and step / _DAY * rate > PAGES_PER_WINDOW * SEARCH.page_size:
            step /= 2
        end = min(query.date_to, self._source.now() + _DAY)
        gaps = subtract([Window(query.date_from, end)], kept or {})
        windows = sorted([*(kept or {}), *(part for gap in gaps for part in cut(gap, step))])
        if starts and starts[0] > starts[-1]:
            windows.reverse()
        first = next(
            (number for number, window in enumerate(windows) if starts and window.start <= starts[0] < window.end), 0
        )
        return [replace(query, date_from=start, date_to=end) for start, end in [*windows[first:], *windows[:first]]]
