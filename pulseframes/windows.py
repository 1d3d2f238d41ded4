"""Which times have been read, when, and what is still to be asked for: plain windows, and no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

#: Any answer may be used again for so long: a notebook's cell that is run twice is one question.
FRESH: Final = timedelta(minutes=15)
#: A session can still change for so long after its window has ended.
SETTLED: Final = timedelta(hours=24)
#: How long a session can still change, unless the caller says otherwise.
LOOK_BACK: Final = SETTLED
#: The present of a sync is a whole second, and asking takes a little longer.
_MOMENT: Final = timedelta(seconds=2)


class Window(NamedTuple):
    """A span of time: ``start <= moment < end``."""

    start: datetime
    end: datetime


class Piece(NamedTuple):
    """A window that was read; ``read_at`` is None where nothing in it can have changed since."""

    start: datetime
    end: datetime
    read_at: datetime | None


def union(windows: Iterable[Window]) -> list[Window]:
    """Join windows that overlap or touch."""
    joined: list[Window] = []
    for window in sorted(windows):
        if joined and window.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, window.end))
        elif window.start < window.end:
            joined.append(Window(*window))
    return joined


def subtract(windows: Iterable[Window], taken: Iterable[Window]) -> list[Window]:
    """Give what is left of windows without others."""
    left = union(windows)
    for hole in union(taken):
        parts = []
        for window in left:
            parts += [
                Window(window.start, min(window.end, hole.start)),
                Window(max(window.start, hole.end), window.end),
            ]
        left = [window for window in parts if window.start < window.end]
    return left


@dataclass
class Coverage:
    """The windows that were read.

    Attributes
    ----------
    pieces : list of Piece
        Sorted, none overlapping another.
    """

    pieces: list[Piece] = field(default_factory=list)

    def windows(self) -> list[Window]:
        """Give all that was ever read."""
        return union(Window(piece.start, piece.end) for piece in self.pieces)

    def settled(self, look_back: timedelta) -> list[Window]:
        """Give what was read when it had ended ``look_back`` before, and does not change any more."""
        return union(
            Window(start, end if read_at is None else min(end, read_at - look_back))
            for start, end, read_at in self.pieces
        )

    def add(self, window: Window, read_at: datetime, look_back: timedelta) -> None:
        """Put down that a window was read."""
        pieces = [
            Piece(*part, piece.read_at)
            for piece in self.pieces
            for part in subtract([Window(piece.start, piece.end)], [window])
        ]
        pieces.append(Piece(*window, read_at))
        done = union(
            [
                *(Window(piece.start, piece.end) for piece in pieces if piece.read_at is None),
                *Coverage(pieces).settled(look_back),
            ]
        )
        rest = [
            Piece(*part, piece.read_at)
            for piece in pieces
            if piece.read_at is not None
            for part in subtract([Window(piece.start, piece.end)], done)
        ]
        self.pieces = sorted([*(Piece(*window, None) for window in done), *rest], key=lambda piece: piece.start)

    def remove(self, window: Window) -> None:
        """Forget that a window was read."""
        self.pieces = [
            Piece(*part, piece.read_at)
            for piece in self.pieces
            for part in subtract([Window(piece.start, piece.end)], [window])
        ]

    def to_fetch(
        self, wanted: Window, now: datetime, look_back: timedelta, changing: Sequence[datetime] = ()
    ) -> list[Window]:
        """Give the windows that have to be asked for.

        Parameters
        ----------
        wanted : Window
            What is to be known.
        now : datetime
            The present: what was read a moment ago is not asked for again.
        look_back : timedelta
            How long a session can still change, or come late.
        changing : sequence of datetime
            When the sessions started that are older than that and can still change.
        """
        just_read = [
            # What was read up to its present stands for the moments since, too: no call for a gap of seconds.
            Window(start, now if end + _MOMENT > read_at else end)
            for start, end, read_at in self.pieces
            if read_at is not None and now - read_at < FRESH
        ]
        gaps = subtract([wanted], [*self.settled(look_back), *just_read])
        again = [
            Window(start, start + timedelta.resolution) for start in changing if wanted.start <= start < wanted.end
        ]
        return union([*gaps, *subtract(again, just_read)])

    def as_lists(self) -> list[list[str | None]]:
        """Give the pieces as JSON has them."""
        return [
            [start.isoformat(), end.isoformat(), None if read_at is None else read_at.isoformat()]
            for start, end, read_at in self.pieces
        ]

    @classmethod
    def from_lists(cls, pieces: Iterable[Sequence[str | None]]) -> Coverage:
        """Read the pieces from JSON."""
        read = [
            Piece(instant(str(start)), instant(str(end)), None if read_at is None else instant(read_at))
            for start, end, read_at in pieces
        ]
        if any(piece.start >= piece.end for piece in read):
            raise ValueError("a window ends before it starts")
        return cls(read)


def instant(text: str) -> datetime:
    """Read a time as JSON has it.

    Raises
    ------
    ValueError
        If it is none, or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return moment.astimezone(UTC)


class HasEnd(Protocol):
    """What has an end: a search."""

    @property
    def date_to(self) -> datetime:
        """The end."""


def is_fresh(asked_at: datetime, now: datetime) -> bool:
    """Tell whether an answer is young enough to be used again, whatever it says."""
    return now - asked_at < FRESH


def is_settled(window: HasEnd, asked_at: datetime) -> bool:
    """Tell whether a window had ended so long before that its sessions do not change any more."""
    return window.date_to <= asked_at - SETTLED


def page_is_final(window: HasEnd, asked_at: datetime, total_sessions: int) -> bool:
    """Tell whether a page will say the same for ever: its window was settled, and is not empty.

    An empty window may be one whose sessions were late, or filtered by mistake; it costs one call to look again.
    """
    return total_sessions > 0 and is_settled(window, asked_at)


def detail_is_final(status: str | None) -> bool:
    """Tell whether a session's details will say the same for ever: the session has ended."""
    return status == "ended"
