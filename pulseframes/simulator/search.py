"""A search: its parameters, the sessions that it finds, and its pages."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import polars as pl

from pulseframes.simulator.clock import to_instant
from pulseframes.simulator.population import Population, Wanted
from pulseframes.simulator.responses import Refusal

#: The parameters of a request: every value of every name.
Parameters = Mapping[str, Sequence[str]]

DEFAULT_LIMIT: Final = 50
MAXIMUM_LIMIT: Final = 500

_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_INT64: Final = 1 << 63
#: A client pages through one search, so its matches are kept; tests run a few side by side.
_KEPT: Final = 8


@dataclass(frozen=True)
class SearchRequest:
    """A search as it was asked for; times are in UTC."""

    date_from: datetime
    date_to: datetime
    wanted: Wanted
    skip: int
    limit: int

    @classmethod
    def read(cls, parameters: Parameters) -> SearchRequest:
        """Read the parameters of a request, or refuse it (400)."""
        date_from, date_to = _instant(parameters, "dateFrom"), _instant(parameters, "dateTo")
        if date_to < date_from:
            raise Refusal(400, "dateTo lies before dateFrom")
        skip = _whole(parameters, "skip", 0)
        if skip < 0:
            raise Refusal(400, "skip must be at least 0")
        limit = _whole(parameters, "limit", DEFAULT_LIMIT)
        if not 1 <= limit <= MAXIMUM_LIMIT:
            raise Refusal(400, f"limit must be from 1 to {MAXIMUM_LIMIT}")
        return cls(date_from, date_to, _wanted(parameters), skip, limit)

    def links(self, address: str, parameters: Parameters, total: int) -> dict[str, str | None]:
        """Make the links of this page: to itself, the next and the previous one.

        Parameters
        ----------
        address
            The address that was called, without its parameters.
        parameters
            The parameters it was called with.
        total
            The number of sessions that the search finds.
        """

        def link(skip: int) -> str:
            changed = {**parameters, "skip": [str(skip)], "limit": [str(self.limit)]}
            return f"{address}?{urlencode(changed, doseq=True)}"

        following = self.skip + self.limit
        return {
            "self": f"{address}?{urlencode(parameters, doseq=True)}",
            "next": link(following) if following < total else None,
            "previous": link(max(0, self.skip - self.limit)) if self.skip else None,
        }


class Searches:
    """Finds sessions; safe to share between threads."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[range, Wanted], pl.Series] = OrderedDict()

    def find(self, request: SearchRequest, now: datetime) -> tuple[int, list[int]]:
        """Return how many sessions a search finds, and the numbers of those on its page, the newest first."""
        # Inclusive: a session that starts at this very moment can be seen.
        until = min(request.date_to, now + timedelta.resolution)
        window = self._population.between(min(request.date_from, until), until)
        removed = [number for number in self._population.removed if number in window]
        if request.wanted.everything and not removed:
            found: Iterable[int] = window[::-1][request.skip : request.skip + request.limit]
            return len(window), list(found)
        matches = self._matches(window, request.wanted)
        if removed:
            matches = matches.filter(~matches.is_in(removed))
        last = len(matches) - request.skip
        if last <= 0:
            return len(matches), []
        first = max(0, last - request.limit)
        return len(matches), matches.slice(first, last - first).to_list()[::-1]

    def _matches(self, window: range, wanted: Wanted) -> pl.Series:
        with self._lock:
            if (window, wanted) in self._kept:
                self._kept.move_to_end((window, wanted))
                return self._kept[window, wanted]
        matches = self._population.matching(window, wanted)
        with self._lock:
            self._kept[window, wanted] = matches
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return matches


def read_session_id(parameters: Parameters) -> int:
    """Read the parameter of a detail request, or refuse it (400)."""
    if not _text(parameters, "id"):
        raise Refusal(400, "id is missing")
    return _whole(parameters, "id", 0)


def _text(parameters: Parameters, name: str) -> str:
    """Return a parameter; empty where it is not given. Of several, the last counts."""
    return parameters[name][-1] if parameters.get(name) else ""


def _instant(parameters: Parameters, name: str) -> datetime:
    text = _text(parameters, name)
    if not text:
        raise Refusal(400, f"{name} is missing")
    try:
        return to_instant(text)
    except (ValueError, OverflowError):
        raise Refusal(400, f"{name} must be an ISO date or date-time") from None


def _whole(parameters: Parameters, name: str, default: int) -> int:
    text = _text(parameters, name)
    if not text:
        return default
    if not _WHOLE.fullmatch(text) or not -_INT64 <= int(text) < _INT64:
        raise Refusal(400, f"{name} must be a whole number")
    return int(text)


def _wanted(parameters: Parameters) -> Wanted:
    """Read the filters.

    The documentation doesn't list the user types. Here ``anonymous`` and ``known`` find those users, and any other
    type, like a country that nobody comes from, finds nothing.
    """
    codes = [code.strip() for text in parameters.get("country", ()) for code in text.split(",")]
    countries = frozenset(code for code in codes if code)
    user_type = _text(parameters, "userType")
    if user_type and user_type not in ("anonymous", "known"):
        return Wanted(countries=frozenset(), anonymous=False)
    return Wanted(
        user_identifier=_text(parameters, "userIdentifier") or None,
        countries=countries or None,
        anonymous=user_type == "anonymous" if user_type else None,
    )
