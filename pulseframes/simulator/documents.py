"""What the server sends of a session, as JSON documents, and the frames that a perfect client builds from them.

Both follow the declared columns. A column that the simulator has no rule for gets any value of its type.
Where a value can be written in several ways, the value decides, so that it is always written alike: times have 0 to 7
fractional digits, of which the first 6 are the row's value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

import polars as pl

from pulseframes.endpoints import DETAIL, SEARCH, Endpoint
from pulseframes.simulator.catalog import Draws
from pulseframes.simulator.sessions import Row, Session
from pulseframes.tables import ERRORS, INSTANT, ITEM_TABLES, PAGE_VIEWS, SESSIONS, TABLES, Column, Table

Document = dict[str, Any]
Keys = tuple[str, ...]
#: An object's keys, each with the column, the object or the null in its place.
_Shape = dict[str, "Column | _Shape | None"]

#: What .NET writes for a time that was never set.
_NEVER: Final = "0001-01-01T00:00:00Z"
#: The share of nulls in a column that the simulator has no rule for.
_UNKNOWN: Final = 0.05

#: The share of sessions whose documents lack something.
_GAPPY: Final = 0.15
#: Everything that documents may lack. Part of the formula: one more place would move all gaps.
_PLACES: Final = """
    sessionUpdated sessionEnd user user.id user.isAnonymous user.identifier user.firstName user.fullName
    user.emailAddress user.firstSeen user.lastSeen user.links user.links.web satisfactionRating browser browser.name
    browser.version platform platform.name os os.name os.version location location.country location.ipAddress
    location.ipLookup location.ipLookup.country location.ipLookup.state location.ipLookup.city sessionLength status
    pageViewCount links links.self links.web pageViews errors
"""


class Gap(NamedTuple):
    """A value, an object or a list that a session's documents lack; `null` is whether null is in its place."""

    keys: Keys
    null: bool

    def hides(self, keys: Keys) -> bool:
        """Return whether a value is at or below the gap."""
        return keys[: len(self.keys)] == self.keys


_GAPS: Final = [Gap(tuple(place.split(".")), null) for place in _PLACES.split() for null in (True, False)]


def are_hidden(draws: pl.Series, places: Sequence[Keys]) -> pl.Series:
    """Return for each session, by its plan's `gap`, whether its documents lack a value at one of some places."""
    hiding = [index for index, gap in enumerate(_GAPS) if any(gap.hides(keys) for keys in places)]
    return (draws / _GAPPY * len(_GAPS)).cast(pl.Int64).is_in(hiding)


def write_summary(session: Session, base_url: str) -> Document:
    """Return a session as an item of a search answer."""
    return _write(_shape(SESSIONS.name, SEARCH, _gap(session)), _session_row(session, base_url))


def write_detail(session: Session, base_url: str) -> Document:
    """Return a session as the object of a detail answer, with its lists."""
    gap = _gap(session)
    document = _write(_shape(SESSIONS.name, DETAIL, gap), _session_row(session, base_url))
    for table in ITEM_TABLES:
        if gap is None or not gap.hides((table.list_key,)):
            shape = _shape(table.name, DETAIL, None)
            document[table.list_key] = [
                # Every other item omits its nulls.
                _write(shape, row, nulls=bool((row["session_id"] + row[table.index]) % 2))
                for row in _item_rows(session, table)
            ]
        elif gap.null:
            document[table.list_key] = None
    return document


def detail_frames(sessions: Iterable[Session], base_url: str) -> dict[str, pl.DataFrame]:
    """Return the frames that a perfect client builds from details; the sessions by their start, the others by their keys."""
    rows: dict[str, list[Row]] = {table.name: [] for table in TABLES.values()}
    for session in sessions:
        row = _known(session, base_url, DETAIL)
        for table in ITEM_TABLES:
            items = _item_rows(session, table)
            rows[table.name] += items
            row |= {column.name: len(items) for column in _lengths(table.list_key) if DETAIL not in column.endpoints}
        rows[SESSIONS.name].append(row)
    return {name: _frame(table, rows[name]) for name, table in TABLES.items()}


def summary_frame(sessions: Iterable[Session], base_url: str) -> pl.DataFrame:
    """Return the frame that a perfect client builds from searches."""
    return _frame(SESSIONS, [_known(session, base_url, SEARCH) for session in sessions])


def _frame(table: Table, rows: list[Row]) -> pl.DataFrame:
    order = ("session_start", "session_id") if table is SESSIONS else table.key
    return pl.DataFrame(rows, schema=table.schema, orient="row").sort(order)


def _gap(session: Session) -> Gap | None:
    position = int(session.plan.gap / _GAPPY * len(_GAPS))
    return _GAPS[position] if position < len(_GAPS) else None


def _known(session: Session, base_url: str, endpoint: Endpoint) -> Row:
    """Return a session's row, null where an endpoint's document lacks the value."""
    return _session_row(session, base_url) | dict.fromkeys(_lacking(endpoint, _gap(session)))


@cache
def _lacking(endpoint: Endpoint, gap: Gap | None) -> list[str]:
    return [
        column.name
        for column in SESSIONS.columns
        if endpoint not in column.endpoints or (gap is not None and gap.hides(column.keys))
    ]


def _session_row(session: Session, base_url: str) -> Row:
    row = session.row | {"api_url": base_url + session.row["api_url"]}
    for table, count in ((PAGE_VIEWS, session.view_count), (ERRORS, session.error_count)):
        row |= {column.name: count for column in _lengths(table.list_key)}
    return _complete(row, SESSIONS, row["session_id"], row["session_start"])


@cache
def _lengths(list_key: str) -> list[Column]:
    """Return the columns that hold the length of a list."""
    return [column for column in SESSIONS.columns if column.length_of == list_key]


def _item_rows(session: Session, table: Table) -> list[Row]:
    gap = _gap(session)
    if gap is not None and gap.hides((table.list_key,)):
        return []
    rows = {PAGE_VIEWS.name: session.page_views, ERRORS.name: session.errors}[table.name]()
    start, number = session.plan.start, session.row["session_id"]
    return [_complete(row, table, number + index, start) for index, row in enumerate(rows)]


def _complete(row: Row, table: Table, number: int, start: datetime) -> Row:
    """Add the values of the columns that the simulator has no rule for."""
    return row | {column.name: _any_value(column, number, start) for column in table.columns if column.name not in row}


def _any_value(column: Column, number: int, start: datetime) -> object:
    """Return any valid value of a column, or null: always the same for one number."""
    draw = _draws(column.name).uniform(number)
    if draw < _UNKNOWN and not column.required:
        return None
    if column.known_values:
        return column.known_values[int(draw * len(column.known_values))]
    least = column.minimum or 0
    values = {
        pl.String(): f"{column.name} {int(100 * draw)}",
        pl.Int64(): least + int(1000 * draw),
        pl.Float64(): least + 100 * draw,
        pl.Boolean(): int(10 * draw) % 2 == 0,
        INSTANT: start,
    }
    return values.get(column.dtype)


@cache
def _draws(purpose: str) -> Draws:
    return Draws(0, f"column {purpose}")


@cache
def _shape(table: str, endpoint: Endpoint, gap: Gap | None) -> _Shape:
    """Nest a table's columns by their keys, without those that a gap hides."""
    shape: _Shape = {}
    for column in TABLES[table].sourced:
        if endpoint not in column.endpoints:
            continue
        if gap is None or not gap.hides(column.keys):
            _place(shape, column.keys, column)
        elif gap.null:
            _place(shape, gap.keys, None)
    return shape


def _place(shape: Document, keys: Keys, item: Column | None) -> None:
    for key in keys[:-1]:
        shape = shape.setdefault(key, {})
    shape[keys[-1]] = item


def _write(shape: _Shape, row: Row, *, nulls: bool = True) -> Document:
    """Return a row's values in a shape; without nulls, keys with no value are omitted."""
    document: Document = {}
    for key, item in shape.items():
        value = _value(row[item.name], item) if isinstance(item, Column) else item and _write(item, row, nulls=nulls)
        if nulls or value not in (None, {}):
            document[key] = value
    return document


def _value(value: object, column: Column) -> object:
    if value is None:
        return _NEVER if column.never_is_null else None
    return _time(value) if isinstance(value, datetime) else value


def _time(value: datetime) -> str:
    """Return a time in UTC, with a number of fractional digits such that cutting after the sixth gives its value."""
    text = value.isoformat(timespec="microseconds")
    digits = text[20:26]
    fewest = len(digits.rstrip("0"))
    mixed = value.microsecond + 7 * value.second + 31 * value.minute
    count = fewest + mixed % (8 - fewest)
    if count == 0:
        return text[:19] + "Z"
    return f"{text[:20]}{f'{digits}{mixed % 10}'[:count]}Z"
