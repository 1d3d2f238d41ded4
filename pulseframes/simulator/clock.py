"""The simulator's clock, and the ways to write an instant."""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, date, datetime, timedelta
from typing import Final

_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|[+-]\d\d:\d\d)?)?")


class Clock:
    """A clock that stands still at `now`, or runs with real time where `now` is None.

    Parameters
    ----------
    now
        A time with a time zone; None starts at the present and runs.

    Raises
    ------
    ValueError
        If `now` has no time zone.
    """

    def __init__(self, now: datetime | None = None) -> None:
        if now is not None and now.tzinfo is None:
            raise ValueError("now needs a time zone, as in datetime(2026, 11, 1, tzinfo=UTC)")
        self._lock = threading.Lock()
        self._set_to = datetime.now(UTC) if now is None else now.astimezone(UTC)
        self._running_since = time.monotonic() if now is None else None

    def now(self) -> datetime:
        """Return the clock's time, in UTC."""
        with self._lock:
            if self._running_since is None:
                return self._set_to
            return self._set_to + timedelta(seconds=time.monotonic() - self._running_since)

    def advance(self, by: timedelta) -> None:
        """Move the clock forward.

        Raises
        ------
        ValueError
            If `by` is negative: what was seen would be unseen.
        """
        if by < timedelta():
            raise ValueError("the clock only moves forward")
        with self._lock:
            self._set_to += by


def to_instant(value: str | date | datetime) -> datetime:
    """Read a time as the API does: ISO date or date-time, UTC unless it says otherwise.

    Parameters
    ----------
    value
        Text, a date (its midnight) or a datetime. Digits beyond microseconds are cut off.

    Raises
    ------
    ValueError
        If the text is not an ISO date or date-time.
    """
    if isinstance(value, str):
        if not _ISO.fullmatch(value):
            raise ValueError(f"not an ISO date or date-time: {value!r}")
        value = datetime.fromisoformat(value)
    elif not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
