"""From rows to the JSON that the API sends, by the paths that the tables declare.

Where there is a choice of how to write a value, the value itself decides, so that it is always written alike: times
have from 0 to 7 fractional digits, of which the first 6 are the row's value; null is written as null or left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.simulator.gaps import Gap
from pulseframes.simulator.sessions import Row, Session, addressed
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS, Column

Document = dict[str, Any]

#: What .NET writes where a time was never set.
NEVER: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """A column as the writer needs it: worked out once, as a page of sessions has thousands of values.

    `null` is what a missing value is written as.
    """

    name: str
    keys: tuple[str, ...]
    null: str | None

    @classmethod
    def of(cls, column: Column) -> _Field:
        return cls(column.name, column.keys, NEVER if column.never_is_null else None)


_Fields = tuple[_Field, ...]
#: An object's keys, each with the field, the object or the null that stands there.
_Shape = dict[str, "_Field | _Shape | None"]

_SUMMARY: Final = tuple(_Field.of(column) for column in SESSIONS.sourced if SEARCH in column.endpoints)
_DETAIL: Final = tuple(_Field.of(column) for column in SESSIONS.sourced if DETAIL in column.endpoints)
_PAGE_VIEW: Final = tuple(map(_Field.of, PAGE_VIEWS.sourced))
_ERROR: Final = tuple(map(_Field.of, ERRORS.sourced))


def write_summary(session: Session, base_url: str) -> Document:
    """Write a session as an item of a search answer."""
    return _fill(_shape(_SUMMARY, session.gap), addressed(session.row, base_url))


def write_detail(session: Session, base_url: str) -> Document:
    """Write a session as the object of a detail answer, with its lists."""
    document = _fill(_shape(_DETAIL, session.gap), addressed(session.row, base_url))
    lists = (PAGE_VIEWS.list_key, _PAGE_VIEW, session.page_views()), (ERRORS.list_key, _ERROR, session.errors())
    for key, fields, rows in lists:
        if session.gap is None or session.gap.keys != (key,):
            document[key] = [_item(row, fields, index) for index, row in enumerate(rows)]
        elif session.gap.null:
            document[key] = None
    return document


def _item(row: Row, fields: _Fields, index: int) -> Document:
    """Write an item of a list; what is null is left out of every other item."""
    keep_null = bool((row["session_id"] + index) % 2)
    shown = tuple(field for field in fields if keep_null or row[field.name] is not None)
    return _fill(_shape(shown, None), row)


@cache
def _shape(fields: _Fields, gap: Gap | None) -> _Shape:
    """Nest fields by their keys, without those that a gap hides, and with null in its place if it is of that kind."""
    shape: _Shape = {}
    for field in fields:
        if gap is None or not gap.hides(field.keys):
            _place(shape, field.keys, field)
        elif gap.null:
            _place(shape, gap.keys, None)
    return shape


def _place(shape: Document, keys: tuple[str, ...], item: _Field | None) -> None:
    for key in keys[:-1]:
        shape = shape.setdefault(key, {})
    shape[keys[-1]] = item


def _fill(shape: _Shape, row: Row) -> Document:
    """Write a row's values into a shape."""
    document: Document = {}
    for key, item in shape.items():
        if isinstance(item, _Field):
            value = row[item.name]
            if value is None:
                value = item.null
            elif isinstance(value, datetime):
                value = _time(value)
            document[key] = value
        else:
            document[key] = None if item is None else _fill(item, row)
    return document


def _time(value: datetime) -> str:
    """Write a time in UTC with so many fractional digits that cutting after the sixth gives its value."""
    text = value.isoformat(timespec="microseconds")
    digits = text[20:26]
    fewest = len(digits.rstrip("0"))
    mixed = value.microsecond + 7 * value.second + 31 * value.minute
    count = fewest + mixed % (8 - fewest)
    if count == 0:
        return text[:19] + "Z"
    return f"{text[:20]}{f'{digits}{mixed % 10}'[:count]}Z"
