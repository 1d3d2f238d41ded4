"""Windows of time: which have been read and when, and which still have to be fetched. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Final, NamedTuple

import msgspec

#: How long any response is cached: a notebook cell that runs twice costs one call.
FRESH: Final = timedelta(minutes=15)
#: How long after its window has ended a session can still change.
SETTLED: Final = timedelta(hours=24)
#: How long after its end a window without sessions must be found empty again.
SETTLED_EMPTY: Final = timedelta(days=7)
#: The default look-back: how long a session can still change.
LOOK_BACK: Final = SETTLED
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: A sync's present is a whole second, and the request is sent a little later.
_MOMENT: Final = timedelta(seconds=2)

#: A time that has a zone; a stored one without a zone is damaged.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Window(NamedTuple):
    """A span of time: ``start <= moment < end``."""

    start: Instant
    end: Instant


class ReadWindow(NamedTuple):
    """A window that was read; ``read_at`` is None if nothing in it can have changed since."""

    window: Window
    read_at: Instant | None


def union(windows: Iterable[Window]) -> list[Window]:
    """Join windows that overlap or touch."""
    joined: list[Window] = []
    for window in sorted(windows):
        if joined and window.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, window.end))
        elif window.start < window.end:
            joined.append(window)
    return joined


def subtract(windows: Iterable[Window], taken: Iterable[Window]) -> list[Window]:
    """Return the parts of windows that are in none of the others."""
    left = union(windows)
    for hole in union(taken):
        parts = [
            part
            for start, end in left
            for part in (Window(start, min(end, hole.start)), Window(max(start, hole.end), end))
        ]
        left = [part for part in parts if part.start < part.end]
    return left


def is_within(window: Window, others: Iterable[Window]) -> bool:
    """Return whether a window lies within one of others."""
    return any(other.start <= window.start and window.end <= other.end for other in others)


def cut(window: Window, step: timedelta) -> list[Window]:
    """Cut a window at the multiples of a step since 1970, which do not depend on where the window starts."""
    first = _EPOCH + ((window.start - _EPOCH) // step + 1) * step
    count = max(0, -((first - window.end) // step))
    cuts = [window.start, *(first + number * step for number in range(count)), window.end]
    return [Window(start, end) for start, end in pairwise(cuts)]


@dataclass
class Coverage:
    """The windows that were read.

    Attributes
    ----------
    reads : list of ReadWindow
        In order, without overlaps.
    """

    reads: list[ReadWindow] = field(default_factory=list)

    def __post_init__(self) -> None:
        if any(window.start >= window.end for window, _ in self.reads):
            raise ValueError("a window ends before it starts")

    def windows(self) -> list[Window]:
        """Return all windows that were ever read."""
        return union(window for window, _ in self.reads)

    def settled(self, look_back: timedelta) -> list[Window]:
        """Return the windows that were read at least ``look_back`` after their end, and no longer change."""
        return union(
            Window(start, end if read_at is None else min(end, read_at - look_back))
            for (start, end), read_at in self.reads
        )

    def add(self, window: Window, read_at: datetime, look_back: timedelta) -> None:
        """Record that a window was read."""
        reads = [*_cut(self.reads, [window]), ReadWindow(window, read_at)]
        settled = union(
            [*(known for known, at in reads if at is None), *Coverage(reads).settled(look_back)],
        )
        self.reads = sorted(
            [*(ReadWindow(part, None) for part in settled), *_cut(reads, settled)],
            key=lambda read: read.window,
        )

    def is_ahead(self, now: datetime) -> bool:
        """Return whether a window was read after the present: the clock was wrong then, and sessions may have started since."""
        return any((read_at or window.end + SETTLED) > now + FRESH for window, read_at in self.reads)

    def remove(self, window: Window) -> None:
        """Forget that a window was read."""
        self.reads = _cut(self.reads, [window])

    def to_fetch(
        self, wanted: Window, now: datetime, look_back: timedelta, changing: Sequence[datetime] = ()
    ) -> list[Window]:
        """Return the windows that have to be fetched.

        Parameters
        ----------
        wanted : Window
            The window to cover.
        now : datetime
            The present: windows that were read a moment ago are not fetched again.
        look_back : timedelta
            How long a session can still change, or arrive late.
        changing : sequence of datetime
            The starts of older sessions that can still change.
        """
        just_read = [
            # A window that was read up to its present also covers the moments since: no call for a gap of seconds.
            Window(start, now if end + _MOMENT > read_at else end)
            for (start, end), read_at in self.reads
            if read_at is not None and abs(now - read_at) < FRESH
        ]
        gaps = subtract([wanted], [*self.settled(look_back), *just_read])
        again = [
            Window(start, start + timedelta.resolution) for start in changing if wanted.start <= start < wanted.end
        ]
        return union([*gaps, *subtract(again, just_read)])


def _cut(reads: Iterable[ReadWindow], taken: Sequence[Window]) -> list[ReadWindow]:
    return [ReadWindow(part, read_at) for window, read_at in reads for part in subtract([window], taken)]


def span_text(window: Window) -> str:
    """Format a window, to the minute."""
    start, end = (moment.replace(tzinfo=None).isoformat(" ", "minutes") for moment in window)
    return f"{start} to {end} UTC"
