"""Reads a list that may move while it is read: page by page, then again where it moved, until the counts agree.

The server gives positions in a list, and sessions come and go between two pages. What arrives pushes rows on to the next
page, where they come twice; what goes pulls rows on to a page that was read already, where they are missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from pulseframes.endpoints import SEARCH
from pulseframes.errors import QuotaExhausted, ServerError
from pulseframes.query import SearchQuery

#: Pages that time out are halved, down to this.
SMALLEST_PAGE: Final = 50

#: A list that takes more than a day's calls is read in windows of about so many pages, each of which can become final.
PAGES_PER_WINDOW: Final = 10
LONGEST_WINDOW_DAYS: Final = 64
#: More sessions than a year of calls can fetch: such a total is a mistake of the server's, and no reason to spend more.
MOST_SESSIONS: Final = 10_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Page:
    """One page as it came.

    Attributes
    ----------
    skip : int
        Its place in the list.
    total : int
        ``totalSessions``, as it was then.
    starts : dict of int to datetime or None
        The sessions on it, and when each started.
    nameless : int
        Rows whose id cannot be read.
    forgotten : int
        Rows that the server gave, and that were taken out of the kept answer since: later pages are where they were.
    kept : bool
        Whether it cost nothing.
    """

    skip: int
    total: int
    starts: dict[int, datetime | None]
    nameless: int = 0
    forgotten: int = 0
    kept: bool = False

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.starts) + self.nameless + self.forgotten


#: Asks for one page: of which window, from which position on, how many rows.
AskPage = Callable[[SearchQuery, int, int], Page]


@dataclass
class Reading:
    """A list, as far as it has been read.

    Attributes
    ----------
    starts : dict of int to datetime or None
        The distinct sessions, and when each started.
    nameless, forgotten, rows, repaired : int
        Rows whose id cannot be read; rows that were taken out of kept answers; all rows; calls spent on reading again.
    totals : list of int
        What the server declared, page by page.
    declared : int
        How many sessions there should be.
    complete : bool
        Whether nothing is missing, as far as can be told.
    """

    starts: dict[int, datetime | None] = field(default_factory=dict)
    nameless: int = 0
    forgotten: int = 0
    rows: int = 0
    repaired: int = 0
    totals: list[int] = field(default_factory=list)
    declared: int = 0
    complete: bool = False

    def add(self, page: Page) -> None:
        """Take a page in."""
        self.starts.update(page.starts)
        self.nameless += page.nameless
        self.forgotten += page.forgotten
        self.rows += page.rows
        self.totals.append(page.total)

    @property
    def distinct(self) -> int:
        """How many different sessions came, those that were taken out since included."""
        return len(self.starts) + self.nameless + self.forgotten

    def within(self, window: SearchQuery) -> tuple[int, int]:
        """Count the sessions that started in a window, without and with those at its very end."""
        times = [start for start in self.starts.values() if start is not None and start >= window.date_from]
        return sum(start < window.date_to for start in times), sum(start <= window.date_to for start in times)


class ListReader:
    """Reads one search's list.

    Parameters
    ----------
    ask : callable
        Gets a page.
    query : SearchQuery
        The search.
    repair_calls : int
        How many calls reading again may cost.
    is_settled : callable
        Whether a window's pages are final.
    is_kept : callable
        Whether a window's first page costs nothing.
    calls_left : callable
        How many calls the quota has left.
    tell : callable
        Told how many sessions are here, and how many there will be.
    """

    def __init__(
        self,
        ask: AskPage,
        query: SearchQuery,
        *,
        repair_calls: int,
        is_settled: Callable[[SearchQuery], bool],
        is_kept: Callable[[SearchQuery], bool],
        calls_left: Callable[[], int],
        tell: Callable[[int, int], object],
    ) -> None:
        self._ask = ask
        self._query = query
        self._budget = repair_calls
        self._is_settled = is_settled
        self._is_kept = is_kept
        self._calls_left = calls_left
        self._tell = tell
        self._size = SEARCH.page_size
        self._expected: int | None = None
        self._forgotten: Counter[SearchQuery] = Counter()
        self.reading = Reading()

    def read(self) -> Reading:
        """Read all pages, and again what moved.

        Raises
        ------
        PulseError
            If a page cannot be had; ``reading`` has what came before. Once all pages are there, a quota that ends while
            some are read again is no error: the reading is incomplete.
        """
        first = self._page(self._query, self._query.skip, SEARCH.page_size)
        windows = self._windows(first)
        if windows == [self._query]:
            sweeps = [(self._query, self._sweep(self._query, [first]))]
        else:
            sweeps = [(window, self._sweep(window, [])) for window in windows]
        self.reading.declared = sum(window.wanted(pages[-1].total) for window, pages in sweeps)
        try:
            repaired = [self._repair(window, pages) for window, pages in sweeps]  # each, though one fails
            self.reading.complete = all(repaired)
        except QuotaExhausted:
            self.reading.complete = False
        return self.reading

    @property
    def remaining(self) -> int | None:
        """How many sessions are still to come; None where no page has come."""
        return None if self._expected is None else max(0, self._expected - self.reading.distinct)

    def _sweep(self, window: SearchQuery, pages: list[Page]) -> list[Page]:
        """Read a window's pages in turn, from where ``pages`` end."""
        got = sum(page.rows for page in pages)
        seen = {session_id for page in pages for session_id in page.starts}
        new = True
        # A page with nothing new on it will be followed by more of the same, whatever total is declared.
        while not pages or (new and got < window.wanted(pages[-1].total)):
            page = self._page(
                window, window.skip + got, SEARCH.page_size if window.limit is None else window.limit - got
            )
            new = page.forgotten > 0 or not seen >= page.starts.keys()
            seen |= page.starts.keys()
            got += page.rows
            pages.append(page)
        return pages

    def _page(self, window: SearchQuery, skip: int, rows: int) -> Page:
        """Get one page and take it in; where the server takes too long for it, a half of it, and later ones so, too."""
        rows = rows if window.limit is None else min(rows, window.limit)
        while True:
            size = min(self._size, rows)
            try:
                page = self._ask(window, skip, size)
            except ServerError as problem:
                if not problem.timed_out or size <= SMALLEST_PAGE:
                    raise
                self._size = max(size // 2, SMALLEST_PAGE)
                continue
            self.reading.add(page)
            self._forgotten[window] += page.forgotten
            if window == self._query:
                self._expected = self.reading.declared = window.wanted(page.total)
            self._tell(self.reading.distinct, max(self._expected or 0, self.reading.distinct))
            return page

    def _windows(self, first: Page) -> list[SearchQuery]:
        """Cut a search that the quota has too few calls for into windows at fixed days.

        A page of a list that still changes is paid for again tomorrow; one of a window that ended a day ago is not. The
        days are the same whenever the search is asked, so that tomorrow's goes on where today's stopped.
        """
        query = self._query
        can_be_cut = query.skip == 0 and query.limit is None and first.total <= MOST_SESSIONS
        if not can_be_cut or self._is_settled(query):
            return [query]
        windows = self._cut(first.total)
        fits = query.calls(first.total) - 1 <= self._calls_left()
        # What an earlier run paid for window by window is not to be paid for again because there are more calls now.
        return [query] if fits and not any(map(self._is_kept, windows)) else windows

    def _cut(self, total: int) -> list[SearchQuery]:
        """Cut the search at days that lie the same whenever it is asked."""
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

    def _repair(self, window: SearchQuery, pages: list[Page]) -> bool:
        """Read again what moved between a window's pages; tell whether all of it is here."""
        total = pages[-1].total
        if window.wanted(total) - self._held(window) > self._budget * SEARCH.page_size:
            return False  # no number of calls that may be spent would help
        for earlier, later in pairwise(pages):
            if later.total < earlier.total:  # some went, so as many rows before the later page were missed
                page = self._again(window, max(window.skip, later.skip - (earlier.total - later.total)))
                if page is None:
                    return False
                total = page.total
        new = True
        while new and self._held(window) < window.wanted(total):
            known = len(self.reading.starts)
            page = self._again(window, window.skip)  # what arrives is at the front, if the list has the newest first
            if page is None:
                return False
            total, new = page.total, len(self.reading.starts) > known
        if window == self._query:
            self.reading.declared = window.wanted(total)
        if self._held(window) >= window.wanted(total):
            return True
        return window.skip == 0 and window.limit is None and self._split(window)

    def _split(self, window: SearchQuery) -> bool:
        """Hold each half of a window against its own total, and read on where they differ; tell whether all is here."""
        starts = sorted(s for s in self.reading.starts.values() if s and window.date_from < s < window.date_to)
        if not starts:
            return False
        middle = starts[len(starts) // 2]
        for half in (replace(window, date_to=middle), replace(window, date_from=middle)):
            page = self._again(half, 0)
            if page is None:
                return False
            # Whether a window holds its very end is not documented, so either count may be the right one.
            before, through = self.reading.within(half)
            if before < page.total != through and page.rows < page.total and not self._split(half):
                return False
        return True

    def _held(self, window: SearchQuery) -> int:
        is_whole = window == self._query
        return self.reading.distinct if is_whole else self.reading.within(window)[1] + self._forgotten[window]

    def _again(self, window: SearchQuery, skip: int) -> Page | None:
        """Get one more page of what was read before; None where no more calls may be spent on that."""
        if self._budget <= 0:
            return None
        page = self._page(window, skip, SEARCH.page_size)
        if not page.kept:
            self._budget -= 1
            self.reading.repaired += 1
        return page
