"""The seeded population: any session, computed when it is asked for, as the flat rows of the three tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import polars as pl

from pulseframes.simulator.arrivals import Arrivals
from pulseframes.simulator.draws import Draws
from pulseframes.simulator.gaps import GAPS
from pulseframes.simulator.sessions import Session, SessionIds, SessionPlan
from pulseframes.simulator.visit import plan_visit
from pulseframes.simulator.visitors import Visitors

#: The share of sessions with something missing.
_GAPPY: Final = 0.15
#: Sessions are filtered in pieces, so that millions need little memory.
_PIECE: Final = 1 << 17
_KEPT: Final = 2048
#: Ids that stand for a larger number are not of this population: it would be thousands of years ahead.
_LAST: Final = 1 << 40


@dataclass(frozen=True)
class Wanted:
    """What a search is narrowed to; None is everything."""

    user_identifier: str | None = None
    countries: frozenset[str] | None = None
    anonymous: bool | None = None

    @property
    def everything(self) -> bool:
        """True where nothing is narrowed."""
        return self == Wanted()


class Population:
    """All sessions of one made-up shop.

    Parameters
    ----------
    sessions
        How many sessions start in the `days` before `now`; later ones follow at the same pace, without end. 0 is a shop
        that nobody ever visits.
    seed
        The same seed, `now` and sizes give the same sessions.
    days
        The length of the history.
    now
        The end of the history, in UTC.

    Raises
    ------
    ValueError
        If there is a negative number of sessions, or not at least one day.

    Attributes
    ----------
    removed
        The numbers of sessions that are gone.
    """

    def __init__(self, *, sessions: int, seed: int, days: int, now: datetime) -> None:
        if sessions < 0 or days < 1:
            raise ValueError("sessions must be at least 0, and days at least 1")
        self.begin = now - timedelta(days=days)
        self.removed: frozenset[int] = frozenset()
        self._is_empty = sessions == 0
        self._arrivals = Arrivals(seed, max(1, sessions), self.begin, now)
        self._visitors = Visitors(seed, max(1, sessions) / days)
        self._plans = Draws(seed, "plan")
        self._gaps = Draws(seed, "gap")
        self._ids = SessionIds.seeded(seed)
        # A session that was just listed is likely to be asked for again.
        self._plan = lru_cache(maxsize=_KEPT)(self._make_plan)

    def between(self, start: datetime, end: datetime) -> range:
        """Return the numbers of the sessions with ``start <= session_start < end``."""
        if self._is_empty:
            return range(0)
        first = self._arrivals.count_before(max(start, self.begin))
        return range(first, max(first, self._arrivals.count_before(end)))

    def find(self, session_id: int, at: datetime) -> int | None:
        """Return the number of the session with an id; None where none has started by then."""
        number = self._ids.session.number(session_id)
        if not 0 <= number < _LAST or self._ids.session.of(number) != session_id:
            return None
        if self._is_empty or number in self.removed or number >= self._arrivals.count_before(at + timedelta.resolution):
            return None
        return number

    def remove(self, number: int) -> None:
        """Let a session be gone, as if the server had deleted it."""
        self.removed |= {number}

    def matching(self, numbers: range, wanted: Wanted) -> pl.Series:
        """Return those of the sessions that a search is narrowed to, in their order, as Int64."""
        person = None if wanted.user_identifier is None else self._visitors.find(wanted.user_identifier)
        if wanted.user_identifier is not None and person is None:
            return pl.Series(dtype=pl.Int64)
        pieces = [pl.Series(dtype=pl.Int64)]
        for first in range(numbers.start, numbers.stop, _PIECE):
            piece = pl.int_range(first, min(first + _PIECE, numbers.stop), eager=True)
            pieces.append(piece.filter(self._fits(piece, wanted, person)))
        return pl.concat(pieces)

    def _fits(self, numbers: pl.Series, wanted: Wanted, person: int | None) -> pl.Series:
        """Tell for each session whether it fits; a value that is missing from its document fits nothing."""
        visitors = self._visitors.of_sessions(numbers)
        fits = visitors == person if person is not None else visitors.is_not_null()
        missing = []
        if person is not None:
            missing.append(("user", "identifier"))
        if wanted.countries is not None:
            fits &= self._visitors.are_from(visitors, wanted.countries)
            missing.append(("location", "country"))
        if wanted.anonymous is not None:
            fits &= self._visitors.are_anonymous(visitors) == wanted.anonymous
            missing.append(("user", "isAnonymous"))
        gaps = (self._gaps.uniforms(numbers) / _GAPPY * len(GAPS)).cast(pl.Int64)
        hidden = [index for index, gap in enumerate(GAPS) if any(gap.hides(keys) for keys in missing)]
        return fits & ~gaps.is_in(hidden)

    def session(self, number: int, at: datetime) -> Session:
        """Return a session as it stands at a time, which is not before its start."""
        return self._plan(number).at(at, self._ids)

    def _make_plan(self, number: int) -> SessionPlan:
        rng = self._plans.random(number)
        seen = rng.random()
        visitor = self._visitors.visitor(self._visitors.of_session(number))
        start = self._arrivals.start(number)
        position = int(self._gaps.uniform(number) / _GAPPY * len(GAPS))
        return SessionPlan(
            number=number,
            visitor=visitor,
            visit=plan_visit(rng, visitor, self._arrivals.pressure(start)),
            start=start,
            first_seen=start if visitor.number == number else self._arrivals.start(visitor.number),
            gap=GAPS[position] if position < len(GAPS) else None,
            seen=seen,
        )
