"""When sessions start: more by day than by night, more at the weekend, week after week."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

from pulseframes.simulator.draws import Draws

#: How busy an hour of the day is (UTC), and a day of the week (from Monday).
_HOURS: Final = (
    *(0.42, 0.33, 0.27, 0.25, 0.28, 0.38, 0.55, 0.78, 0.97, 1.10, 1.18, 1.24),
    *(1.32, 1.25, 1.15, 1.12, 1.18, 1.32, 1.55, 1.78, 1.86, 1.62, 1.15, 0.70),
)
#: As a session finds it, on the mean: more of them start in the busy hours.
_BUSY: Final = sum(hour**2 for hour in _HOURS) / sum(_HOURS)
_DAYS: Final = (1.00, 0.95, 0.93, 0.97, 1.06, 1.22, 1.30)
_WEIGHTS: Final = tuple(day * hour for day in _DAYS for hour in _HOURS)
_CUMULATIVE: Final = (0.0, *accumulate(_WEIGHTS))
_WEEK: Final = _CUMULATIVE[-1]
_A_MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
#: Draws below these are rounded down to a second, and to a millisecond.
_TO_THE_SECOND: Final = 0.1
_TO_THE_MILLISECOND: Final = 0.6


class Arrivals:
    """The starts of the sessions 0, 1, 2 and so on, in order of time, without end.

    The weekly rhythm is an intensity; its integral counts sessions. The time axis is cut into cells that each hold
    an integral of one, and session k starts somewhere in cell k. So any start can be computed on its own, starts
    never go back, and the sessions of a window are those from one number to another.

    Parameters
    ----------
    seed
        The population's seed.
    sessions
        How many sessions start in the time from `begin` to `now`.
    begin, now
        Times in UTC.
    """

    def __init__(self, seed: int, sessions: int, begin: datetime, now: datetime) -> None:
        self._place = Draws(seed, "start")
        self._fineness = Draws(seed, "fineness")
        # Counted from the Monday before, as small numbers keep a float exact to the microsecond.
        self._monday = _A_MONDAY + (begin - _A_MONDAY) // timedelta(weeks=1) * timedelta(weeks=1)
        self._first = self._integral(begin)
        self._rate = sessions / (self._integral(now) - self._first)

    def start(self, number: int) -> datetime:
        """Return when a session starts, in UTC; numbers below 0 lie before `begin`."""
        # Kept off the edges of the cell, so that rounding cannot move it into another.
        start = self._moment(number + 0.001 + 0.998 * self._place.uniform(number))
        fineness = self._fineness.uniform(number)
        if fineness >= _TO_THE_MILLISECOND:
            return start
        # Rounded down only where it stays inside the cell.
        step = _SECOND if fineness < _TO_THE_SECOND else _MILLISECOND
        rounded = start - (start - self._monday) % step
        return rounded if rounded >= self._moment(number) else start

    def count_before(self, moment: datetime) -> int:
        """Count the sessions, from number 0, that start before a time."""
        number = max(0, int((self._integral(moment) - self._first) * self._rate) - 1)
        while self.start(number) < moment:
            number += 1
        return number

    @staticmethod
    def pressure(moment: datetime) -> float:
        """Return how much longer pages take to load, by how busy the hour is: 0.5 at night to 1.3, 1 on the mean."""
        return 0.4 + 0.6 * _HOURS[moment.hour] / _BUSY

    def _integral(self, moment: datetime) -> float:
        """Add up the weights of the hours from the Monday to a time."""
        weeks, hours = divmod((moment - self._monday) / _HOUR, 168)
        hour = int(hours)
        return weeks * _WEEK + _CUMULATIVE[hour] + (hours - hour) * _WEIGHTS[hour]

    def _moment(self, count: float) -> datetime:
        """Return the time at which `count` sessions are expected to have started."""
        weeks, rest = divmod(self._first + count / self._rate, _WEEK)
        hour = min(bisect_right(_CUMULATIVE, rest) - 1, 167)
        hours = hour + (rest - _CUMULATIVE[hour]) / _WEIGHTS[hour]
        return self._monday + (weeks * 168 + hours) * _HOUR
