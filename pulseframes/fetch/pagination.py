"""Reads a list that may change while it is read: page by page, then again where it moved, until the counts agree.

The server knows positions only, and sessions come and go between two pages. A new session pushes rows on to the next page,
where they come again; a deleted one pulls rows back to a page that was read before, where they are missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, Protocol, TypeAlias

from pulseframes.client import Answer
from pulseframes.endpoints import SEARCH
from pulseframes.errors import QuotaExhausted, ServerError
from pulseframes.fetch.answers import Fetcher, Page
from pulseframes.query import SearchQuery

#: A page that times out is halved, down to this size.
SMALLEST_PAGE: Final = 50
#: A list that needs more than the calls left is read in windows of about this many pages, each of which can become final.
PAGES_PER_WINDOW: Final = 10
LONGEST_WINDOW_DAYS: Final = 64
#: More sessions than a year of calls can fetch. Such a total is a mistake of the server, and no reason to spend more.
MOST_SESSIONS: Final = 10_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


class PageSource(Protocol):
    """Provides the pages, as ``Fetcher`` does."""

    def page(self, query: SearchQuery, skip: int, size: int) -> Page:
        """Return one page of a query."""

    def is_kept(self, query: SearchQuery) -> bool:
        """Return whether a query's first page costs nothing."""

    def is_settled(self, query: SearchQuery) -> bool:
        """Return whether a query's pages are final."""

    def calls_left(self) -> int:
        """Return how many calls the quota has left."""


@dataclass
class Reading:
    """A list, as far as it has been read.

    Attributes
    ----------
    starts : dict of int to datetime or None
        The distinct sessions, and when each started.
    nameless, forgotten, rows, repaired : int
        Rows without a readable id; rows erased from cached answers; all rows; calls spent on re-reading.
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
    totals: list[int] = field(default_factory=list)
    declared: int = 0
    expected: int | None = None
    complete: bool = False

    def add(self, page: Page) -> None:
        """Add a page."""
        self.starts.update(page.starts)
        self.nameless += page.nameless
        self.forgotten += page.forgotten
        self.rows += page.rows
        self.totals.append(page.total)

    @property
    def distinct(self) -> int:
        """Number of different sessions, erased ones included."""
        return len(self.starts) + self.nameless + self.forgotten

    @property
    def remaining(self) -> int | None:
        """Number of sessions that are left; None before the first page."""
        return None if self.expected is None else max(0, self.expected - self.distinct)

    def started_in(self, query: SearchQuery) -> tuple[int, int]:
        """Count the sessions that started in a query's window, without and with those at its very end."""
        times = [start for start in self.starts.values() if start is not None and start >= query.date_from]
        return sum(start < query.date_to for start in times), sum(start <= query.date_to for start in times)


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
        How many calls re-reading may cost.

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
        self._forgotten: Counter[SearchQuery] = Counter()

    def pages(self) -> Iterator[Page]:
        """Yield every page as it arrives, then those that are read again because the list moved.

        Raises
        ------
        PulseError
            If a page is not to be had; ``reading`` has the pages before it. Once every page was read, a quota that ends while
            some are re-read is no error: the reading is incomplete.
        """
        first = yield from self._get(self._query, self._query.skip, SEARCH.page_size)
        parts = self._parts(first)
        sweeps = {}
        for part in parts:
            sweeps[part] = yield from self._sweep(part, [first] if part == self._query else [])
        self.reading.declared = sum(part.wanted(pages[-1].total) for part, pages in sweeps.items())
        complete = True
        try:
            for part, pages in sweeps.items():  # each, even if one fails
                repaired = yield from self._repair(part, pages)
                complete = complete and repaired
        except QuotaExhausted:
            complete = False
        self.reading.complete = complete

    def _sweep(self, query: SearchQuery, pages: list[Page]) -> Generator[Page, None, list[Page]]:
        """Read a query's pages in order, after those in ``pages``."""
        rows = sum(page.rows for page in pages)
        seen = {session_id for page in pages for session_id in page.starts}
        has_news = True
        # A page with nothing new would be followed by more of the same, whatever total the server reports.
        while not pages or (has_news and rows < query.wanted(pages[-1].total)):
            size = SEARCH.page_size if query.limit is None else query.limit - rows
            page = yield from self._get(query, query.skip + rows, size)
            has_news = page.forgotten > 0 or not seen >= page.starts.keys()
            seen |= page.starts.keys()
            rows += page.rows
            pages.append(page)
        return pages

    def _get(self, query: SearchQuery, skip: int, rows: int) -> _Pages:
        """Get one page. If the server takes too long, ask for half of it, and for smaller pages from then on."""
        rows = rows if query.limit is None else min(rows, query.limit)
        while True:
            size = min(self._page_size, rows)
            try:
                page = self._source.page(query, skip, size)
            except ServerError as problem:
                if not problem.timed_out or size <= SMALLEST_PAGE:
                    raise
                self._page_size = max(size // 2, SMALLEST_PAGE)
                continue
            self.reading.add(page)
            self._forgotten[query] += page.forgotten
            if query == self._query:
                self.reading.expected = self.reading.declared = query.wanted(page.total)
            yield page
            return page

    def _parts(self, first: Page) -> list[SearchQuery]:
        """Cut a search that needs more calls than are left at fixed days.

        A page of a list that still changes must be paid for again tomorrow; one of a window that ended a day ago need not. The
        days never change, so tomorrow's run resumes where today's stopped.
        """
        query = self._query
        can_be_cut = query.skip == 0 and query.limit is None and first.total <= MOST_SESSIONS
        if not can_be_cut or self._source.is_settled(query):
            return [query]
        parts = self._cut(first.total)
        fits = query.calls(first.total) - 1 <= self._source.calls_left()
        # Parts that an earlier run paid for are not paid for again because there are more calls now.
        return [query] if fits and not any(map(self._source.is_kept, parts)) else parts

    def _cut(self, total: int) -> list[SearchQuery]:
        """Cut the search at days that do not depend on when it is asked."""
        query = self._query
        per_day = total / ((query.date_to - query.date_from) / _DAY)
        days = LONGEST_WINDOW_DAYS
        while days > 1 and days * per_day > PAGES_PER_WINDOW * SEARCH.page_size:
            days //= 2
        step = days * _DAY
        cuts, cut = [query.date_from], _EPOCH + ((query.date_from - _EPOCH) // step + 1) * step
        while cut < query.date_to:
            cuts.append(cut)
            cut += step
        return [replace(query, date_from=start, date_to=end) for start, end in pairwise([*cuts, query.date_to])]

    def _repair(self, query: SearchQuery, pages: list[Page]) -> Generator[Page, None, bool]:
        """Re-read what moved between a query's pages, and return whether it is complete."""
        total = pages[-1].total
        if query.wanted(total) - self._count(query) > self._budget * SEARCH.page_size:
            return False  # more is missing than the budget can fetch
        for earlier, later in pairwise(pages):
            if later.total < earlier.total:  # sessions were deleted, so as many rows before the later page were missed
                if self._budget <= 0:
                    return False
                skip = max(query.skip, later.skip - (earlier.total - later.total))
                total = (yield from self._get_again(query, skip)).total
        has_news = True
        while has_news and self._count(query) < query.wanted(total):
            if self._budget <= 0:
                return False
            known = len(self.reading.starts)
            page = yield from self._get_again(query, query.skip)  # new sessions are at the front of a newest-first list
            total, has_news = page.total, len(self.reading.starts) > known
        if query == self._query:
            self.reading.declared = query.wanted(total)
        if self._count(query) >= query.wanted(total):
            return True
        if query.skip or query.limit is not None:
            return False
        return (yield from self._compare_halves(query))

    def _compare_halves(self, query: SearchQuery) -> Generator[Page, None, bool]:
        """Compare each half of a query with its own total, re-read where they differ, and return whether it is complete."""
        window = (query.date_from, query.date_to)
        starts = sorted(start for start in self.reading.starts.values() if start and window[0] < start < window[1])
        if not starts:
            return False
        middle = starts[len(starts) // 2]
        for half in (replace(query, date_to=middle), replace(query, date_from=middle)):
            if self._budget <= 0:
                return False
            page = yield from self._get_again(half, 0)
            # The API does not say whether a window includes its very end, so either count may be right.
            without_end, with_end = self.reading.started_in(half)
            if without_end < page.total != with_end and page.rows < page.total:
                half_is_complete = yield from self._compare_halves(half)
                if not half_is_complete:
                    return False
        return True

    def _count(self, query: SearchQuery) -> int:
        is_whole = query == self._query
        return self.reading.distinct if is_whole else self.reading.started_in(query)[1] + self._forgotten[query]

    def _get_again(self, query: SearchQuery, skip: int) -> _Pages:
        """Get one page of what was read before, at the budget's expense."""
        page = yield from self._get(query, skip, SEARCH.page_size)
        if not page.kept:
            self._budget -= 1
            self.reading.repaired += 1
        return page


def read_list(reader: ListReader, fetcher: Fetcher) -> Iterator[Answer]:
    """Yield the answers of a list as they arrive, and report the progress; raises what ``ListReader.pages()`` does."""
    reading = reader.reading
    for page in reader.pages():
        if page.answer is not None:
            yield page.answer
        fetcher.report("sessions", reading.distinct, max(reading.expected or 0, reading.distinct))
