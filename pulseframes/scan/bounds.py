"""What a polars filter says of the columns that the API can search by. It may say less than is true, never more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from pulseframes.query import EVER, MAX_ID
from pulseframes.tables import SESSIONS
from pulseframes.windows import Window, union

START: Final = "session_start"
#: The columns of a session that the API can search by.
SEARCHED: Final = (START, "country", "user_identifier")
_INSTANT: Final = SESSIONS[START].dtype


@dataclass(frozen=True)
class Bounds:
    """What rows must have to pass a filter.

    Attributes
    ----------
    windows : tuple of Window
        The session started in one of these; they are in order and do not overlap.
    countries, users, ids : frozenset or None
        Its country, user identifier and id are one of these; None if they may be anything.
    """

    windows: tuple[Window, ...] = (EVER,)
    countries: frozenset[str] | None = None
    users: frozenset[str] | None = None
    ids: frozenset[int] | None = None


def bounds_of(predicate: pl.Expr | None) -> Bounds:
    """Read the bounds of a filter, as polars hands it to a scan."""
    from polars_io_tools.io_sources.base import get_parsed_expr
    from polars_io_tools.io_sources.range_visitor import convert_expr_to_datetime_range
    from polars_io_tools.io_sources.set_visitor import convert_expr_to_valid_values

    if predicate is None:
        return Bounds()
    if not predicate.meta.root_names():  # such as is_in([]), which polars reduces to false
        return Bounds() if pl.select(predicate).to_series().any() else Bounds(windows=())
    node = _without_time_units(get_parsed_expr(predicate))
    schema = dict(SESSIONS.schema)
    values = {name: convert_expr_to_valid_values(node, name, schema) for name in (*SEARCHED[1:], "session_id")}
    if any(value == set() for value in values.values()):  # such as two countries at once
        return Bounds(windows=(), ids=frozenset())
    return Bounds(
        windows=tuple(union(_windows(convert_expr_to_datetime_range(node, START, get_enclosure=False)))),
        countries=_known(values["country"], str),
        users=_known(values["user_identifier"], str),
        ids=_ids(_known(values["session_id"], int)),
    )


def _known(values: set[Any] | None, kind: type[Any]) -> frozenset[Any] | None:
    """Return the values; None if another kind of value, such as null, is among them: the API cannot search for it."""
    return None if values is None or not all(isinstance(value, kind) for value in values) else frozenset(values)


def _ids(ids: frozenset[int] | None) -> frozenset[int] | None:
    return None if ids is None else frozenset(number for number in ids if 0 <= number <= MAX_ID)


def _windows(intervals: Any) -> Iterator[Window]:
    import portion

    for interval in () if intervals.empty else intervals:
        lower, upper = interval.lower, interval.upper
        start = EVER.start if lower == -portion.inf else _next(lower, by=interval.left is portion.OPEN)
        end = EVER.end if upper == portion.inf else _next(upper, by=interval.right is portion.CLOSED)
        if start < end:
            yield Window(start, end)


def _next(moment: datetime, *, by: bool) -> datetime:
    """Return a moment in UTC, or the next one."""
    moment = moment.replace(tzinfo=UTC)
    return moment + datetime.resolution if by and moment < EVER.end else moment


def _without_time_units(node: Any) -> Any:
    """Replace conversions to the unit that times already have, which DuckDB adds and the parser does not know."""
    if node.get_children() and _is_conversion(node):
        return _without_time_units(node.get_children()[0])
    for name, value in list(node.__dict__.items()):
        if isinstance(value, list):
            setattr(
                node, name, [_without_time_units(each) if hasattr(each, "get_children") else each for each in value]
            )
        elif hasattr(value, "get_children"):
            setattr(node, name, _without_time_units(value))
    return node


def _is_conversion(node: Any) -> bool:
    from polars_io_tools.io_sources.enum import TemporalFunctionType

    if getattr(node, "function_type", None) != TemporalFunctionType.CAST_TIME_UNIT:
        return False
    schema = pl.LazyFrame(schema={START: _INSTANT}).select(node.expr).collect_schema()
    return node.expr.meta.root_names() == [START] and schema[START] == _INSTANT
