"""The seeded population: when its sessions start, and which of them a search matches."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Final

import polars as pl

from pulseframes.simulator.catalog import Draws
from pulseframes.simulator.documents import are_hidden
from pulseframes.simulator.sessions import Session, SessionIds, SessionPlan, plan_visit
from pulseframes.simulator.visitors import Visitors

#: How busy each hour of the day (UTC) and each day of the week (from Monday) is.
_HOURS: Final = (
    *(0.42, 0.33, 0.27, 0.25, 0.28, 0.38, 0.55, 0.78, 0.97, 1.10, 1.18, 1.24),
    *(1.32, 1.25, 1.15, 1.12, 1.18, 1.32, 1.55, 1.78, 1.86, 1.62, 1.15, 0.70),
)
_DAYS: Final = (1.00, 0.95, 0.93, 0.97, 1.06, 1.22, 1.30)
#: The mean over sessions, more of which start in the busy hours.
_BUSY: Final = sum(hour**2 for hour in _HOURS) / sum(_HOURS)
_WEIGHTS: Final = tuple(day * hour for day in _DAYS for hour in _HOURS)
_CUMULATIVE: Final = (0.0, *accumulate(_WEIGHTS))
_WEEK: Final = _CUMULATIVE[-1]
_A_MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
#: Starts with draws below these are rounded down to a second, and to a millisecond.
_TO_THE_SECOND: Final = 0.1
_TO_THE_MILLISECOND: Final = 0.6

#: Sessions are filtered in pieces, so that millions need little memory.
_PIECE: Final = 1 << 17
#: An id of a larger number is not of this population: it would be thousands of years ahead.
_LAST: Final = 1 << 40


class Arrivals:
    """The starts of the sessions 0, 1, 2 and so on, in order of time, without end.

    The weekly rhythm is an intensity; its integral counts sessions. The time axis is cut into cells that each hold
    an integral of one, and session k starts somewhere in cell k. So each start can be computed by itself, starts
    never go back, and the sessions of a window are those from one number to another.

    Parameters
    ----------
    seed
        The population's seed.
    sessions
        The number of sessions that start from `begin` to `now`.
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
        """Return when a session starts, in UTC; numbers below 0 are before `begin`."""
        # Away from the edges of the cell, so that rounding cannot move it into another.
        start = self._moment(number + 0.001 + 0.998 * self._place.uniform(number))
        fineness = self._fineness.uniform(number)
        if fineness >= _TO_THE_MILLISECOND:
            return start
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
        """Return the factor on load times by how busy the hour is: 0.5 at night to 1.3, 1 on average."""
        return 0.4 + 0.6 * _HOURS[moment.hour] / _BUSY

    def _integral(self, moment: datetime) -> float:
        """Return the sum of the hours' weights from the Monday to a time."""
        weeks, hours = divmod((moment - self._monday) / _HOUR, 168)
        hour = int(hours)
        return weeks * _WEEK + _CUMULATIVE[hour] + (hours - hour) * _WEIGHTS[hour]

    def _moment(self, count: float) -> datetime:
        """Return the time at which `count` sessions are expected to have started."""
        weeks, rest = divmod(self._first + count / self._rate, _WEEK)
        hour = min(bisect_right(_CUMULATIVE, rest) - 1, 167)
        hours = hour + (rest - _CUMULATIVE[hour]) / _WEIGHTS[hour]
        return self._monday + (weeks * 168 + hours) * _HOUR


@dataclass(frozen=True)
class Filters:
    """The filters of a search; None is no filter."""

    user_identifier: str | None = None
    countries: frozenset[str] | None = None
    anonymous: bool | None = None


_NO_FILTERS: Final = Filters()


class Population:
    """All sessions of one simulated shop, each computed when it is needed; safe to share between threads.

    Parameters
    ----------
    sessions
        The number of sessions that start in the `days` before `now`; later ones follow at the same pace, without end.
        With 0, nobody ever visits the shop.
    seed
        The same seed, `now` and sizes give the same sessions.
    days
        The length of the history.
    now
        The end of the history, in UTC.

    Raises
    ------
    ValueError
        If `sessions` is negative or `days` is less than 1.
    """

    def __init__(self, *, sessions: int, seed: int, days: int, now: datetime) -> None:
        if sessions < 0 or days < 1:
            raise ValueError("sessions must be at least 0, and days at least 1")
        self.begin = now - timedelta(days=days)
        self._is_empty = sessions == 0
        self._removed: frozenset[int] = frozenset()
        origin = _origin(max(1, sessions), seed, days, now)
        self._arrivals, self._visitors, self._gaps = origin.arrivals, origin.visitors, origin.gaps
        self._ids, self._plan = origin.ids, origin.plan
        self._matches = lru_cache(maxsize=8)(self._find_matches)

    def session(self, number: int, at: datetime) -> Session:
        """Return a session at a time, which is not before its start."""
        return self._plan(number).at(at)

    def find(self, session_id: int, at: datetime) -> int | None:
        """Return the number of the session with an id, None if it has not started by then or was removed."""
        number = self._ids.session.number(session_id)
        if not 0 <= number < _LAST or self._ids.session.of(number) != session_id:
            return None
        if self._is_empty or number in self._removed or number >= self._arrivals.count_before(_after(at)):
            return None
        return number

    def remove(self, number: int) -> None:
        """Delete a session."""
        self._removed |= {number}

    def search(
        self, date_from: datetime, date_to: datetime, now: datetime, filters: Filters = _NO_FILTERS
    ) -> range | pl.Series:
        """Return the numbers of the sessions in a window that have started by now, oldest first."""
        until = min(date_to, _after(now))
        window = self._between(min(date_from, until), until)
        removed = [number for number in self._removed if number in window]
        if filters == _NO_FILTERS and not removed:
            return window
        matches = self._matches(window, filters)
        return matches.filter(~matches.is_in(removed)) if removed else matches

    def _between(self, start: datetime, end: datetime) -> range:
        if self._is_empty:
            return range(0)
        first = self._arrivals.count_before(max(start, self.begin))
        return range(first, max(first, self._arrivals.count_before(end)))

    def _find_matches(self, window: range, filters: Filters) -> pl.Series:
        person = None if filters.user_identifier is None else self._visitors.find(filters.user_identifier)
        if filters.user_identifier is not None and person is None:
            return pl.Series(dtype=pl.Int64)
        pieces = [pl.Series(dtype=pl.Int64)]
        for first in range(window.start, window.stop, _PIECE):
            piece = pl.int_range(first, min(first + _PIECE, window.stop), eager=True)
            pieces.append(piece.filter(self._fit(piece, filters, person)))
        return pl.concat(pieces)

    def _fit(self, numbers: pl.Series, filters: Filters, person: int | None) -> pl.Series:
        """Return for each session whether it passes the filters; a value that its document lacks passes none."""
        visitors = self._visitors.of_sessions(numbers)
        fit = visitors == person if person is not None else visitors.is_not_null()
        filtered = []
        if person is not None:
            filtered.append(("user", "identifier"))
        if filters.countries is not None:
            fit &= self._visitors.are_from(visitors, filters.countries)
            filtered.append(("location", "country"))
        if filters.anonymous is not None:
            fit &= self._visitors.are_anonymous(visitors) == filters.anonymous
            filtered.append(("user", "isAnonymous"))
        return fit & ~are_hidden(self._gaps.uniforms(numbers), filtered)


class _Origin:
    """What the sessions of a population are made of; it never changes."""

    def __init__(self, sessions: int, seed: int, days: int, now: datetime) -> None:
        self.arrivals = Arrivals(seed, sessions, now - timedelta(days=days), now)
        self.visitors = Visitors(seed, sessions / days)
        self.gaps = Draws(seed, "gap")
        self.ids = SessionIds(seed)
        self._plans = Draws(seed, "plan")
        # A session that was just listed is likely to be asked for again, and a search has several pages.
        self.plan = lru_cache(maxsize=2048)(self._new_plan)

    def _new_plan(self, number: int) -> SessionPlan:
        rng = self._plans.random(number)
        seen = rng.random()
        visitor = self.visitors.visitor(self.visitors.of_session(number))
        start = self.arrivals.start(number)
        return SessionPlan(
            number=number,
            ids=self.ids,
            visitor=visitor,
            visit=plan_visit(rng, visitor, self.arrivals.pressure(start)),
            start=start,
            first_seen=start if visitor.number == number else self.arrivals.start(visitor.number),
            seen=seen,
            gap=self.gaps.uniform(number),
        )


#: Simulators of the same shop, such as those of tests, plan each session once.
_origin = lru_cache(maxsize=4)(_Origin)


def _after(moment: datetime) -> datetime:
    """Return the end of a window that includes a time: a session that starts at this very moment can be seen."""
    return moment + timedelta.resolution
