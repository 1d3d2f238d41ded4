"""What may be asked of the API: checked, in one canonical form, with its cost in calls. Nothing is sent from here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, SupportsIndex, TypeAlias

import polars as pl

from pulseframes._arguments import integer, shown, whole_number
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.errors import InvalidQuery

#: Session ids are 64-bit integers in the API.
MAX_ID: Final = 2**63 - 1

DateLike: TypeAlias = str | date | datetime
SessionIds: TypeAlias = int | SupportsIndex | Iterable[int] | pl.Series


@dataclass(frozen=True)
class SearchQuery:
    """One search for sessions, in canonical form: equal questions are equal objects.

    Attributes
    ----------
    date_from, date_to : datetime
        The window, in UTC.
    user_identifier : str or None
        One user, by the identifier that the site gave them.
    country : tuple of str
        Two-letter codes, upper case, sorted, each once; empty for all.
    user_type : str or None
        Passed on as it is: the API's documentation does not list the values.
    skip : int
        How many sessions of the server's list to leave out.
    limit : int or None
        How many sessions to give at most; None for all.
    """

    date_from: datetime
    date_to: datetime
    user_identifier: str | None = None
    country: tuple[str, ...] = ()
    user_type: str | None = None
    skip: int = 0
    limit: int | None = None

    @classmethod
    def parse(
        cls,
        date_from: DateLike,
        date_to: DateLike,
        *,
        user_identifier: str | None = None,
        country: str | Iterable[str] | None = None,
        user_type: str | None = None,
        skip: int = 0,
        limit: int | None = None,
    ) -> SearchQuery:
        """Check the arguments of a search.

        Raises
        ------
        InvalidQuery
            Naming the first argument that is wrong, and what would be right.
        """
        start, end = parse_instant("date_from", date_from), parse_instant("date_to", date_to)
        if start >= end:
            raise InvalidQuery(
                f"date_to: {_wire_time(end)} is not after date_from, {_wire_time(start)}; a day is date_to one day later.",
                argument="date_to",
            )
        return cls(
            date_from=start,
            date_to=end,
            user_identifier=_text("user_identifier", user_identifier),
            country=_country_codes(country),
            user_type=_text("user_type", user_type),
            skip=whole_number("skip", skip, most=MAX_ID),
            limit=None if limit is None else whole_number("limit", limit, least=1, most=MAX_ID),
        )

    def wanted(self, total_sessions: int) -> int:
        """How many rows the result has when the server's list has ``total_sessions``."""
        rest = max(0, total_sessions - self.skip)
        return rest if self.limit is None else min(rest, self.limit)

    def calls(self, total_sessions: int) -> int:
        """How many search calls the result takes: one at least, then one for each full or started page."""
        return max(1, -(-self.wanted(total_sessions) // SEARCH.page_size))

    def page_params(self, skip: int, size: int) -> dict[str, str]:
        """Give the query string of one page, in the API's names."""
        given = {
            "date_from": _wire_time(self.date_from),
            "date_to": _wire_time(self.date_to),
            "user_identifier": self.user_identifier,
            "country": ",".join(self.country) or None,
            "user_type": self.user_type,
            "skip": str(skip),
            "limit": str(size),
        }
        return {SEARCH.parameters[name]: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class DetailQuery:
    """The details of some sessions.

    Attributes
    ----------
    ids : tuple of int
        Session ids, each once, in the order they were given.
    """

    ids: tuple[int, ...]

    @classmethod
    def parse(cls, ids: SessionIds) -> DetailQuery:
        """Check the ids of sessions.

        Raises
        ------
        InvalidQuery
            Saying which of them is not a session id, and what would be.
        """
        return cls(tuple(dict.fromkeys(_session_id(value, where) for where, value in _listed(ids))))

    @property
    def calls(self) -> int:
        """How many detail calls the result takes."""
        return len(self.ids)

    @staticmethod
    def params(session_id: int) -> dict[str, str]:
        """Give the query string of one detail, in the API's names."""
        return {DETAIL.parameters["session_id"]: str(session_id)}


def parse_instant(argument: str, value: DateLike) -> datetime:
    """Read a moment: a date is its first instant, and what has no zone is UTC.

    Raises
    ------
    InvalidQuery
        Naming ``argument``.
    """
    wanted = "give a date or date-time, as in '2026-11-01' or '2026-11-01T09:30:00+13:00'"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InvalidQuery(f"{argument}: {value!r} is not an ISO 8601 time; {wanted}.", argument=argument) from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime) or value != value:  # noqa: PLR0124  pandas' NaT is a datetime, and not itself
        raise InvalidQuery(f"{argument}: {value!r} is not a time; {wanted}.", argument=argument)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    try:
        moved = value.astimezone(UTC)
    except OverflowError:
        raise InvalidQuery(f"{argument}: {value} is outside the years 1 to 9999 in UTC.", argument=argument) from None
    # Built anew, so that a subclass (pandas' Timestamp, with nanoseconds) becomes a plain datetime.
    return datetime(
        moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second, moved.microsecond, tzinfo=UTC
    )


def _wire_time(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _text(argument: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidQuery(f"{argument}: {value!r} is not a text; leave it out to ask for all.", argument=argument)
    return value


def _country_codes(country: str | Iterable[str] | None) -> tuple[str, ...]:
    wanted = "give two-letter codes, as in 'NZ' or ['NZ', 'US'], or None for all"
    if country is None:
        return ()
    if not isinstance(country, Iterable) or getattr(country, "ndim", 1) == 0:
        raise InvalidQuery(f"country: {country!r} is not a country code; {wanted}.", argument="country")
    codes = country.split(",") if isinstance(country, str) else list(country)
    if not codes:
        raise InvalidQuery(f"country: no code in it; {wanted}.", argument="country")
    cleaned = set()
    for code in codes:
        stripped = code.strip() if isinstance(code, str) else ""
        if not (len(stripped) == 2 and stripped.isascii() and stripped.isalpha()):  # noqa: PLR2004  two letters
            raise InvalidQuery(f"country: {code!r} is not a country code; {wanted}.", argument="country")
        cleaned.add(stripped.upper())
    return tuple(sorted(cleaned))


def _listed(ids: SessionIds) -> Iterable[tuple[str, object]]:
    """Give each value with the words for where it stood."""
    if isinstance(ids, pl.DataFrame):
        raise _not_ids("a whole frame; give one column, as in sessions['session_id']")
    if hasattr(ids, "__arrow_c_stream__") or hasattr(ids, "__arrow_c_array__"):
        ids = pl.Series(ids)  # type: ignore[arg-type]  # of any library, by the methods just seen
        if isinstance(ids.dtype, pl.Struct):
            raise _not_ids("a whole frame; give one column, as in sessions['session_id']")
        if not ids.dtype.is_integer() and len(ids):
            raise _not_ids(f"a column of {ids.dtype}; ids are integers, and a float has lost digits of theirs")
    elif isinstance(ids, str | bytes):
        raise _not_ids(f"{ids!r}, a text; give int({ids!r})" if ids[:1].isalnum() else f"{ids!r}, a text")
    elif not isinstance(ids, Iterable) or getattr(ids, "ndim", 1) == 0:
        return [("", ids)]
    return [(f" (number {position} of those given, from 0)", value) for position, value in enumerate(ids)]


def _session_id(value: object, where: str) -> int:
    try:
        number = integer(value)
    except TypeError:
        raise _not_ids(f"{value!r}{where}") from None
    if not 0 <= number <= MAX_ID:
        raise _not_ids(f"{shown(number)}{where}, outside 0 to 2**63 - 1")
    return number


def _not_ids(what: str) -> InvalidQuery:
    return InvalidQuery(f"ids: expected whole numbers, got {what}.", argument="ids")
