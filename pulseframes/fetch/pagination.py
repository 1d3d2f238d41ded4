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
from typing import Final, Protocol, TypeAlias

from pulseframes._text import plural
from pulseframes.endpoints import SEARCH
from pulseframes.errors import InvalidQuery, QuotaExhausted, ServerError
from pulseframes.fetch.chain import MOST_SESSIONS, Chain, Page
from pulseframes.query import SearchQuery
from pulseframes.windows import Window, cut, subtract

#: A page that times out twice is halved, down to this size.
SMALLEST_PAGE: Final = 50
#: The size of a page is doubled after this many smaller ones arrived, and after twice as many the next time.
PATIENCE: Final = 4
#: A list that needs more than the calls left is read in windows of about this many pages, each of which can become final.
PAGES_PER_WINDOW: Final = 10
LONGEST_WINDOW: Final = timedelta(days=64)
#: Servers' clocks differ from ours by less.
_DAY: Final = timedelta(days=1)


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
    def lacks_nothing(self) -> bool:
        """Whether the result has all sessions that the server counted, none of them erased from the journal."""
        return self.complete and not self.forgotten

    @property
    def problem(self) -> str:
        """What a user must know of a reading that lacks something."""
        if self.complete:
            verb = "was" if self.forgotten == 1 else "were"
            return f"{self.forgotten:,} of {plural(self.declared, 'session')} {verb} deleted from the journal by `forget` or `retain`."
        conjunction = "and" if self.distinct == self.declared else "but"
        problem = (
            f"The server reported {plural(self.declared, 'session')}, {conjunction} {self.distinct:,} were received"
        )
        if self.foreign:
            return f"{problem}, {self.foreign:,} of them of another time, country or user than requested: check them."
        if self.distinct > self.declared:
            return f"{problem}: its count cannot be relied on, so more sessions may be missing."
        after = f", after {plural(self.repaired, 'additional call')}" if self.repaired else ""
        if self.distinct == self.declared:
            return f"{problem}{after}, but its list changed while it was read, so others may be missing."
        return f"{problem}{after}: its list has gaps, or changed while it was read."

    def started_before(self, moment: datetime) -> int:
        """Count the sessions that started before a moment, or at an unknown time."""
        late = sum(start is not None and start >= moment for start in self.starts.values())
        return self.distinct - late


#: Yields each page as it arrives, and returns a result.
_Pages: TypeAlias = Generator[Page, None, Page]


def kept_pages(source: PageSource, query: SearchQuery, start: int, end: int) -> Iterator[Page]:
    """Yield the pages that cost nothing, from one place of a list to another, until one is missing or adds no rows."""
    while start < end:
        page = source.kept_page(query, start, SEARCH.page_size)
        if page is None or not page.rows or page.end <= start:
            return
        yield page
        start = page.end


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
                parts = self._cut(self._query) if self._is_whole() else []
                if len(parts) < 2:  # noqa: PLR2004  the same search again would be refused again
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
        """Request a page. If it times out, request it again, then half of it; once smaller pages arrive, try larger ones.

        If it kept arriving until the deadline of a call, half of it is requested at once, and no more if that times out too.
        """
        was_cut_off = False
        while True:
            size = min(self._page_size, rows)
            try:
                page = self._source.paid_page(query, skip, size)
            except ServerError as problem:
                is_slow = problem.timed_out and problem.retry_at is None
                if not is_slow or was_cut_off or (self._timed_out and size <= SMALLEST_PAGE):
                    raise
                was_cut_off = problem.cut_off
                if self._timed_out or was_cut_off:
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

    def _is_whole(self) -> bool:
        """Whether the list is wanted from its start to its end, so that it can be read in windows."""
        return self._query.skip == 0 and self._query.limit is None

    def _parts(self, chain: Chain) -> list[SearchQuery]:
        """Cut a search that takes more calls than are left, or that cached windows make cheaper; empty to read it whole.

        A page of a list that still changes must be paid for again tomorrow; one of a window that ended a day ago need not.
        """
        query, total = self._query, chain.declared
        if not self._is_whole() or total > MOST_SESSIONS or self._source.is_settled(query):
            return []
        calls = self._calls_to_come(total)
        if calls == 0:
            return []
        kept = self._source.kept_windows(query)
        gaps = subtract([Window(query.date_from, query.date_to)], kept)
        saves = query.calls(total - sum(kept.values())) + len(gaps) < calls
        return self._cut(query, kept) if saves or calls > self._source.calls_left() else []

    def _calls_to_come(self, total: int) -> int:
        """Return how many calls it takes to read the list to its end, after the pages that cost nothing."""
        first = len(self.reading.starts)
        rows = max((page.end for page in kept_pages(self._source, self._query, first, total)), default=first)
        return -(-max(0, total - rows) // SEARCH.page_size)

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
