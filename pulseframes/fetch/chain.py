"""One query's pages, each held against its own total and the page before: what is missing, and what is proved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Final

from pulseframes.client import Answer
from pulseframes.endpoints import SEARCH
from pulseframes.query import SearchQuery

#: More sessions than a year of calls can fetch. Such a total is a mistake of the server, and no reason to spend more.
MOST_SESSIONS: Final = 10_000_000


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
        self._cap = 0
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
            self._ended, self._has_empty_page = self.is_hopeless, True
            self._position = max(self._position, page.skip + page.size)

    def add_again(self, page: Page) -> None:
        """Add a page that was requested again after the end."""
        before = self._pages.get(page.skip)
        if before is not None and before.is_short and page.is_short and before.rows == page.rows:
            self._cap = page.rows  # the server has smaller pages than requested
        self._deleted += max(0, self._total - page.total)
        position = self._position
        self._add(page)
        self._position = position
        if before is not None and page.rows < before.rows:
            self._pages[page.skip] = before  # what it may lack further down is not requested by the shorter page

    def _left(self) -> int:
        return max(0, self.query.skip + self.declared - self._position)

    def _size(self, skip: int) -> int:
        limit = self.query.limit
        return SEARCH.page_size if limit is None else min(SEARCH.page_size, self.query.skip + limit - skip)

    def _is_suspect(self, page: Page) -> bool:
        """Return whether a page of a list that may change is short for no known reason, so that it may lack rows anywhere."""
        return not self._settled and page.is_short and page.rows != self._cap

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
