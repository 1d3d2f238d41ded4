"""Queries: arguments checked and in canonical form, with their cost in calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final, SupportsIndex, TypeAlias
from urllib.parse import parse_qsl, urlencode

import polars as pl

from pulseframes._arguments import integer, shown, whole_number
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.errors import InvalidQuery
from pulseframes.windows import Window

#: Session ids are 64-bit integers in the API.
MAX_ID: Final = 2**63 - 1
#: All of time.
EVER: Final = Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))

#: Dates by how many days ago they are.
_DAYS_AGO: Final = {"today": 0, "yesterday": 1}
_RELATIVE: Final = re.compile(rf"{'|'.join(_DAYS_AGO)}|([0-9]{{1,4}})d")

#: A server may read the ends of a window in another time zone.
_DAY: Final = timedelta(days=1)

DateLike: TypeAlias = str | date | datetime
SessionIds: TypeAlias = int | SupportsIndex | Iterable[int] | pl.Series


@dataclass(frozen=True)
class SearchQuery:
    """A search for sessions, in canonical form: equal searches are equal objects.

    Attributes
    ----------
    date_from, date_to : datetime
        The window, in UTC.
    user_identifier : str or None
        Only this user, by the identifier that the site provided.
    country : tuple of str
        Two-letter codes, upper case, sorted, unique; empty for all.
    user_type : str or None
        Passed on unchanged: the API's documentation lists no values.
    skip : int
        Number of sessions to skip at the start of the server's list.
    limit : int or None
        Maximum number of sessions; None for all.
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
            With the first invalid argument and a valid example.
        """
        start, end = parse_window(parse_instant("date_from", date_from), parse_instant("date_to", date_to))
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
        """Return the number of rows of the result, given the length of the server's list."""
        rest = max(0, total_sessions - self.skip)
        return rest if self.limit is None else min(rest, self.limit)

    def calls(self, total_sessions: int) -> int:
        """Return the number of search calls: one per page of 500, at least one."""
        return max(1, -(-self.wanted(total_sessions) // SEARCH.page_size))

    @property
    def window(self) -> Window:
        """The window."""
        return Window(self.date_from, self.date_to)

    def may_find(self, start: datetime | None, country: str | None, user: str | None) -> bool:
        """Return whether a session is an answer to the search. Times may be off by a day, unknown values may be right."""
        return (
            (start is None or (self.date_from - start <= _DAY and start - self.date_to <= _DAY))
            and (not self.country or country is None or country.upper() in self.country)
            and (self.user_identifier is None or user is None or user.casefold() == self.user_identifier.casefold())
        )

    @property
    def prefix(self) -> str:
        """The query string of its pages, up to their position."""
        given = {
            "date_from": _wire_time(self.date_from),
            "date_to": _wire_time(self.date_to),
            "user_identifier": self.user_identifier,
            "country": ",".join(self.country) or None,
            "user_type": self.user_type,
        }
        params = {SEARCH.parameters[name]: value for name, value in given.items() if value is not None}
        return f"{urlencode(params)}&{SEARCH.parameters['skip']}="

    def page_params(self, skip: int, size: int) -> dict[str, str]:
        """Return the query string of one page, in the API's names."""
        return dict(parse_qsl(f"{self.prefix}{skip}&{SEARCH.parameters['limit']}={size}"))

    def place_in(self, params: str) -> tuple[int, int] | None:
        """Return position and size of the page that a query string asks for; None if it is no page of this search."""
        if not params.startswith(self.prefix):
            return None
        skip, _, size = params.removeprefix(self.prefix).partition(f"&{SEARCH.parameters['limit']}=")
        return (int(skip), int(size)) if skip.isdecimal() and size.isdecimal() else None

    def within(self, params: str) -> SearchQuery | None:
        """Return this search in the window that a query string asks for; None if that is of another search, or not within."""
        asked = dict(parse_qsl(params))
        try:
            start, end = (parse_instant(name, asked[SEARCH.parameters[name]]) for name in ("date_from", "date_to"))
        except (InvalidQuery, KeyError):
            return None
        other = replace(self, date_from=start, date_to=end)
        is_within = self.date_from <= start < end <= self.date_to and other.window != self.window
        return other if is_within and other.place_in(params) is not None else None


@dataclass(frozen=True)
class DetailQuery:
    """The details of some sessions.

    Attributes
    ----------
    ids : tuple of int
        Unique session ids, in the order given.
    """

    ids: tuple[int, ...]

    @classmethod
    def parse(cls, ids: SessionIds) -> DetailQuery:
        """Check the ids of sessions.

        Raises
        ------
        InvalidQuery
            With the first invalid id and its position.
        """
        return cls(tuple(dict.fromkeys(_session_id(value, where) for where, value in _listed(ids))))

    @property
    def calls(self) -> int:
        """The number of detail calls."""
        return len(self.ids)

    @staticmethod
    def params(session_id: int) -> dict[str, str]:
        """Return the query string of one detail, in the API's names."""
        return {DETAIL.parameters["session_id"]: str(session_id)}


def parse_instant(argument: str, value: DateLike) -> datetime:
    """Return a time in UTC. A date means its first instant; a time without a zone is UTC.

    ``"today"``, ``"yesterday"`` and ``"7d"``, seven days before today, are dates too.

    Raises
    ------
    InvalidQuery
        With the name of the argument.
    """
    example = "Give a date or time, such as '2026-11-01', '2026-11-01T09:30:00+13:00', 'yesterday' or '7d' (7 days before today)"
    if isinstance(value, str) and (relative := _RELATIVE.fullmatch(value.strip())):
        days = _DAYS_AGO.get(value.strip(), 0) + int(relative[1] or 0)
        value = datetime.now(UTC).date() - timedelta(days=days)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InvalidQuery(
                f"{argument}: {value!r} is not an ISO 8601 date or time. {example}.", argument=argument
            ) from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime) or value != value:  # noqa: PLR0124  pandas' NaT is a datetime, and not itself
        raise InvalidQuery(f"{argument}: {value!r} is not a date or time. {example}.", argument=argument)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    try:
        moved = value.astimezone(UTC)
    except OverflowError:
        raise InvalidQuery(f"{argument}: {value} is outside the years 1 to 9999 in UTC.", argument=argument) from None
    # A new object, so that a subclass (pandas' Timestamp, with nanoseconds) becomes a plain datetime.
    return datetime(
        moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second, moved.microsecond, tzinfo=UTC
    )


def parse_window(date_from: DateLike | None, date_to: DateLike | None, default: Window = EVER) -> Window:
    """Return the window between two moments; the default's start or end for one that is None.

    Raises
    ------
    InvalidQuery
        If a moment cannot be parsed, or the start is not before the end.
    """
    start = default.start if date_from is None else parse_instant("date_from", date_from)
    end = default.end if date_to is None else parse_instant("date_to", date_to)
    if start >= end:
        raise InvalidQuery(
            f"date_from ({_wire_time(start)}) must be before date_to ({_wire_time(end)}). A date means its first instant, so "
            "date_to is the day after the last one: for all of 2026-11-01, '2026-11-01' and '2026-11-02'.",
            argument="date_from",
        )
    return Window(start, end)


def _wire_time(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _text(argument: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidQuery(
            f"{argument} must be non-empty text, not {value!r}. Omit it to ask for all.", argument=argument
        )
    return value


def _country_codes(country: str | Iterable[str] | None) -> tuple[str, ...]:
    example = "Use two-letter codes, such as 'NZ', or omit it for all"
    if country is None:
        return ()
    if not isinstance(country, Iterable) or getattr(country, "ndim", 1) == 0:
        raise InvalidQuery(f"country: {country!r} is not a country code. {example}.", argument="country")
    codes = country.split(",") if isinstance(country, str) else list(country)
    if not codes:
        raise InvalidQuery(f"country: the list is empty. {example}.", argument="country")
    cleaned = set()
    for code in codes:
        stripped = code.strip() if isinstance(code, str) else ""
        if not (len(stripped) == 2 and stripped.isascii() and stripped.isalpha()):  # noqa: PLR2004  two letters
            raise InvalidQuery(f"country: {code!r} is not a country code. {example}.", argument="country")
        cleaned.add(stripped.upper())
    return tuple(sorted(cleaned))


def _listed(ids: SessionIds) -> Iterable[tuple[str, object]]:
    """Yield each value with a description of its position."""
    if isinstance(ids, pl.DataFrame):
        raise _not_ids("a DataFrame; give one column, such as sessions['session_id']")
    if hasattr(ids, "__arrow_c_stream__") or hasattr(ids, "__arrow_c_array__"):
        ids = pl.Series(ids)  # type: ignore[arg-type]  # of any library, by the methods just seen
        if isinstance(ids.dtype, pl.Struct):
            raise _not_ids("a DataFrame; give one column, such as sessions['session_id']")
        if not ids.dtype.is_integer() and len(ids):
            raise _not_ids(f"a column of {ids.dtype}; ids are integers, and floats lose some of their digits")
    elif isinstance(ids, str | bytes):
        raise _not_ids(f"{ids!r}, a string; give int({ids!r})" if ids[:1].isalnum() else f"{ids!r}, a string")
    elif not isinstance(ids, Iterable) or getattr(ids, "ndim", 1) == 0:
        return [("", ids)]
    return [(f" (at position {position})", value) for position, value in enumerate(ids)]


def _session_id(value: object, where: str) -> int:
    try:
        number = integer(value)
    except TypeError:
        raise _not_ids(f"{value!r}{where}") from None
    if not 0 <= number <= MAX_ID:
        raise _not_ids(f"{shown(number)}{where}, outside 0 to {MAX_ID}")
    return number


def _not_ids(what: str) -> InvalidQuery:
    return InvalidQuery(f"ids: expected whole numbers, got {what}.", argument="ids")
