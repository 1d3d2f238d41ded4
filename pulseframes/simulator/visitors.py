"""Who visits: which visitor a session belongs to, and what is known about that visitor."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import polars as pl

from pulseframes.simulator.catalog import (
    COUNTRIES,
    DEVICES,
    FIRST_NAMES,
    LAST_NAMES,
    Choice,
    Country,
    Device,
    Draws,
    whole,
)

#: The share of sessions of returning visitors, and the median number of days since the session they return from.
_RETURNS: Final = 0.55
_RETURN_DAYS: Final = 1.5
#: The share of anonymous visitors.
_ANONYMOUS: Final = 0.6
_AT_THE_FIRST_DOMAIN: Final = 0.8
#: The address ranges reserved for documentation.
_NETWORKS: Final = ("192.0.2", "198.51.100", "203.0.113")

_COUNTRY: Final = Choice(COUNTRIES, [country.share for country in COUNTRIES])
_DEVICE: Final = Choice(DEVICES, [device.share for device in DEVICES])

#: Added to a visitor's number where it is written in an identifier, as numbers from before the history are negative.
_OFFSET: Final = 1 << 44
_IN_IDENTIFIER: Final = re.compile(r"[a-z]+\.[a-z]+\.([0-9a-f]{1,12})@example\.(?:com|org)|visitor-([0-9a-f]{1,12})")


@dataclass(frozen=True)
class Visitor:
    """One visitor; `number` is the number of the first session, negative if that was before the history."""

    number: int
    is_anonymous: bool
    identifier: str
    first_name: str | None
    full_name: str | None
    email_address: str | None
    country: Country
    place: tuple[str, str]
    ip_address: str
    device: Device
    os_version: str
    browser_version: str


class Visitors:
    """The visitors of a population.

    A session is either a visitor's first, or a return of the visitor of an earlier session, whose number is drawn.
    So the number of visits varies widely, with hours or days between them, and stepping back from return to return
    leads to the visitor of any session.

    Parameters
    ----------
    seed
        The population's seed.
    per_day
        The mean number of sessions per day.
    """

    def __init__(self, seed: int, per_day: float) -> None:
        self._gap = _RETURN_DAYS * per_day
        self._shortest = 1 + int(per_day / 24)
        self._is_return = Draws(seed, "return")
        self._since = Draws(seed, "since")
        self._anonymous = Draws(seed, "anonymous")
        self._country = Draws(seed, "country")
        self._person = Draws(seed, "person")
        self.visitor = lru_cache(maxsize=4096)(self._visitor)

    def of_session(self, number: int) -> int:
        """Return the number of a session's visitor."""
        while self._is_return.uniform(number) < _RETURNS:
            since = self._since.uniform(number)
            number -= self._shortest + int(self._gap * since / (1.1 - since))
        return number

    def of_sessions(self, numbers: pl.Series) -> pl.Series:
        """Return what `of_session` does, for each number of an Int64 series."""
        first_visits = []
        pending = pl.DataFrame({"row": pl.int_range(len(numbers), eager=True), "number": numbers})
        while len(pending):
            returns = self._is_return.uniforms(pending["number"]) < _RETURNS
            first_visits.append(pending.filter(~returns))
            pending = pending.filter(returns)
            since = self._since.uniforms(pending["number"])
            back = (since * self._gap / (1.1 - since)).cast(pl.Int64) + self._shortest
            pending = pending.with_columns(pending["number"] - back)
        return pl.concat(first_visits).sort("row")["number"]

    def are_anonymous(self, visitors: pl.Series) -> pl.Series:
        """Return for each visitor whether they are anonymous."""
        return self._anonymous.uniforms(visitors) < _ANONYMOUS

    def are_from(self, visitors: pl.Series, codes: frozenset[str]) -> pl.Series:
        """Return for each visitor whether their country is one of some."""
        positions = pl.Series(_COUNTRY.bounds).search_sorted(self._country.uniforms(visitors), side="right")
        wanted = [index for index, country in enumerate(COUNTRIES) if country.code in codes]
        return positions.is_in(pl.Series(wanted, dtype=positions.dtype).implode())

    def find(self, identifier: str) -> int | None:
        """Return the number of the visitor with an identifier, None if there is no such visitor."""
        match = _IN_IDENTIFIER.fullmatch(identifier)
        if match is None:
            return None
        number = int(match[1] or match[2], 16) - _OFFSET
        return number if self.visitor(number).identifier == identifier else None

    def _visitor(self, number: int) -> Visitor:
        rng = self._person.random(number)
        is_anonymous = self._anonymous.uniform(number) < _ANONYMOUS
        country = _COUNTRY(self._country.uniform(number))
        device = _DEVICE(rng.random())
        first = FIRST_NAMES[whole(rng, len(FIRST_NAMES))]
        last = LAST_NAMES[whole(rng, len(LAST_NAMES))]
        domain = "example.com" if rng.random() < _AT_THE_FIRST_DOMAIN else "example.org"
        email = None if is_anonymous else f"{_plain(first)}.{_plain(last)}.{number + _OFFSET:x}@{domain}"
        return Visitor(
            number=number,
            is_anonymous=is_anonymous,
            identifier=email or f"visitor-{number + _OFFSET:x}",
            first_name=None if is_anonymous else first,
            full_name=None if is_anonymous else f"{first} {last}",
            email_address=email,
            country=country,
            place=country.cities[whole(rng, len(country.cities))],
            ip_address=_address(rng.random(), whole(rng, 254) + 1),
            device=device,
            # Squared, as most people keep their software up to date: the newest version comes first.
            os_version=device.os_versions[int(rng.random() ** 2 * len(device.os_versions))],
            browser_version=device.browser_versions[int(rng.random() ** 2 * len(device.browser_versions))],
        )


@cache
def _plain(name: str) -> str:
    """Return a name in the letters of an e-mail address."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return letters.replace("'", "")


def _address(draw: float, last: int) -> str:
    choice = int(5 * draw)
    if choice < len(_NETWORKS):
        return f"{_NETWORKS[choice]}.{last}"
    return f"2001:db8:{int(5 * draw % 1 * 65_536):x}::{last:x}"
