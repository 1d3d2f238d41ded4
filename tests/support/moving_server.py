"""A server whose list changes between two pages, and whose answers have faults, as a source of pages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pulseframes.fetch.chain import Page
from pulseframes.query import SearchQuery
from pulseframes.windows import Window

START = datetime(2026, 11, 1, tzinfo=UTC)
WEEK = SearchQuery.parse(START, START + timedelta(days=7))


@dataclass
class MovingServer:
    """A list of sessions, and what is wrong with its next answers.

    Attributes
    ----------
    sessions : list of int
        The list, in the server's order.
    hidden : set of int
        Sessions that are counted and never sent.
    cap : int
        The most rows that an answer has.
    total : int or None
        What every answer says instead of the true total.
    fault : str
        What happens to the next answer: ``"empty"``, ``"repeat"``, ``"drop"`` or ``"foreign"``. It has the true total: nobody
        could tell an empty answer that counts no sessions from the truth.
    """

    sessions: list[int]
    hidden: set[int] = field(default_factory=set)
    cap: int = 500
    total: int | None = None
    fault: str = ""
    settled: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)
    last: Page | None = None
    stable: set[int] = field(default_factory=set)
    ever: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ever.update(self.sessions)

    def insert(self, place: int, count: int = 1) -> None:
        for number in range(count):
            new = max(self.ever, default=0) + 1
            self.sessions.insert(min(place + number, len(self.sessions)), new)
            self.ever.add(new)

    def delete(self, place: int, count: int = 1) -> None:
        gone = self.sessions[place : place + count]
        del self.sessions[place : place + count]
        self.stable.difference_update(gone)

    def paid_page(self, _: SearchQuery, skip: int, size: int) -> Page:
        if not self.asked:
            self.stable.update(self.sessions)
        self.asked.append((skip, size))
        total = len(self.sessions) if self.total is None or self.fault else self.total
        rows = [number for number in self.sessions if number not in self.hidden][skip : skip + min(size, self.cap)]
        has_next = skip + len(rows) < len(self.sessions)
        page = Page(skip, size, total, [*rows], dict.fromkeys(rows, START), has_next=has_next)
        fault, self.fault = self.fault, ""
        if fault == "empty":
            page = replace(page, ids=[], starts={})
        elif fault == "repeat" and self.last is not None:
            page = replace(self.last, skip=skip, size=size)
        elif fault == "drop" and rows:
            dropped = rows.pop(len(rows) // 2)
            page = replace(page, ids=[*rows], starts={number: START for number in rows if number != dropped})
        elif fault == "foreign":
            page = replace(page, foreign=len(rows))
        self.last = page
        return page

    def kept_page(self, *_: object) -> Page | None:
        return None

    def kept_windows(self, _: SearchQuery) -> dict[Window, int]:
        return {}

    def is_settled(self, _: SearchQuery) -> bool:
        return self.settled

    def calls_left(self) -> int:
        return 10_000

    def now(self) -> datetime:
        return START + timedelta(days=8)
