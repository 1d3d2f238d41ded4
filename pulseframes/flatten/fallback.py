"""Reads the bodies that pyarrow cannot read, value by value, so that one bad value costs one row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pulseframes.errors import MalformedAnswer
from pulseframes.flatten.locators import BODY_INDEX, SESSION_INDEX
from pulseframes.flatten.raw_json import INT64, NotJson, Span, envelope, session_spans, text_of
from pulseframes.tables import ITEM_TABLES, SESSIONS, TABLES, Column, Table

if TYPE_CHECKING:
    from pulseframes.flatten.shapes import Names, Shape

#: What a rejection reason calls the type that a column needs, and the type that the JSON has.
_EXPECTED: Final = {
    pl.Boolean: "a boolean",
    pl.Int64: "an integer",
    pl.String: "a string",
    pl.Datetime: "a string",
}
_ACTUAL: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "a list",
}


class JsonObject(dict[str, Any]):
    """A JSON object that remembers its duplicate keys."""

    duplicates: frozenset[str] = frozenset()


class FallbackReader:
    """Reads bodies one by one and collects their rows.

    Attributes
    ----------
    rows
        For each table, its rows: values by column name, with the locators; times are still strings.
    rejected
        The rows that could not be read: table, session_id, item_index, reason and locators.
    totals
        For a search: the total of each body, by the body's index.
    unknown
        The paths of undeclared fields.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._known = deepcopy(shape.known)
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self.rejected: list[dict[str, Any]] = []
        self.totals: dict[int, int] = {}
        self.unknown: set[str] = set()

    def read(self, body: bytes, index: int) -> None:
        """Read one body; raise ``MalformedAnswer`` if it is not the documented JSON."""
        text, endpoint = text_of(body), self._shape.endpoint
        try:
            spans = envelope(text, endpoint)
            self.unknown.update(spans.keys() - self._known.keys())
            if endpoint.is_list:
                self.totals[index] = _total(text, spans, endpoint.total_key)
            for position, span in enumerate(session_spans(text, spans, endpoint)):
                self._read_session(text, span, {BODY_INDEX: index, SESSION_INDEX: position})
        except NotJson as problem:
            message = f"{endpoint.name} answered {len(body)} bytes that are not the documented JSON: {problem}."
            raise MalformedAnswer(message, body=body) from None

    def _read_session(self, text: str, span: Span, locators: dict[str, int]) -> None:
        try:
            session = decode(text[slice(*span)])
        except json.JSONDecodeError as problem:
            raise NotJson(f"{problem.msg} at character {span[0] + problem.pos}") from None
        except (ValueError, RecursionError) as problem:
            # Valid JSON beyond Python's limits: a number of thousands of digits, or brackets nested too deep.
            self._reject(SESSIONS, locators, [f"cannot be decoded: {type(problem).__name__}"])
            return
        if not isinstance(session, JsonObject):
            self._reject(SESSIONS, locators, [f"expected an object, got {_type_name(session)}"])
            return
        key = self._shape.endpoint.sessions_key
        path = f"{key}[]" if self._shape.endpoint.is_list else key
        self.unknown.update(unknown_fields(session, self._known[key], path))
        row, problems = _row(session, SESSIONS)
        lengths = {
            table.list_key: self._read_items(session, table, row["session_id"], locators)
            for table in ITEM_TABLES
            if self._shape.endpoint in table.endpoints
        }
        for column in SESSIONS.columns:
            if row[column.name] is None and column.length_of in lengths:
                row[column.name] = lengths[column.length_of]
        if problems:
            self._reject(SESSIONS, locators, problems, row["session_id"])
        else:
            self.rows[SESSIONS.name].append(row | locators)

    def _read_items(
        self, session: JsonObject, table: Table, session_id: int | None, locators: dict[str, int]
    ) -> int | None:
        """Read one of a session's lists and return its length, or None if it is not a list."""
        values = session.get(table.list_key)
        if values is None:
            values = []
        if not isinstance(values, list) or table.list_key in session.duplicates:
            is_duplicate = table.list_key in session.duplicates
            problem = "appears twice" if is_duplicate else f"expected a list, got {_type_name(values)}"
            self._reject(table, locators, [f"{table.list_key}: {problem}"], session_id)
            return None
        for index, item in enumerate(values):
            if isinstance(item, JsonObject):
                row, problems = _row(item, table)
            else:
                row, problems = {}, [f"expected an object, got {_type_name(item)}"]
            if problems:
                self._reject(table, locators, problems, session_id, index)
            else:
                self.rows[table.name].append(row | {"session_id": session_id, table.index: index} | locators)
        return len(values)

    def _reject(
        self,
        table: Table,
        locators: dict[str, int],
        problems: list[str],
        session_id: int | None = None,
        index: int | None = None,
    ) -> None:
        row = {"table": table.name, "session_id": session_id, "item_index": index, "reason": "; ".join(problems)}
        self.rejected.append(row | locators)


def unknown_fields(value: Any, known: Names, path: str) -> Iterator[str]:
    """Yield the path of each field of a decoded value that is not among the known ones, and add it to them."""
    if known is None:
        return
    if type(value) is list:
        for item in value:
            yield from unknown_fields(item, known, f"{path}[]")
    elif isinstance(value, dict):
        for key, child in value.items():
            child_path = f"{path}.{key}" if path else key
            if key not in known:
                known[key] = None
                yield child_path
            elif child:
                yield from unknown_fields(child, known[key], child_path)


def _total(text: str, spans: Mapping[str, Span], key: str) -> int:
    start, end = spans.get(key, (0, 0))
    try:
        total = json.loads(text[start:end])
    except (ValueError, RecursionError):
        total = None
    if type(total) is not int or total not in INT64 or total < 0:
        raise NotJson(f"it has no {key} that is an integer of 0 or more")
    return total


def _row(element: JsonObject, table: Table) -> tuple[dict[str, Any], list[str]]:
    """Return a row's values and what is wrong with them; an invalid value is None."""
    row: dict[str, Any] = {column.name: None for column in table.columns}
    problems = []
    for column in table.sourced:
        try:
            row[column.name] = read_value(element, column)
        except ValueError as problem:
            problems.append(f"{column.name}: {problem}")
    return row, problems


def read_value(element: JsonObject, column: Column) -> Any:
    """Return a column's value; raise ``ValueError`` with a reason if the column cannot hold it."""
    value: Any = element
    for depth, key in enumerate(column.keys):
        if not isinstance(value, JsonObject):
            raise ValueError(f"expected an object at {'.'.join(column.keys[:depth])}, got {_type_name(value)}")
        if key in value.duplicates:
            raise ValueError(f"{'.'.join(column.keys[: depth + 1])} appears twice")
        value = value.get(key)
        if value is None:
            return None
    if _type_name(value) != _EXPECTED[type(column.dtype)]:
        raise ValueError(f"expected {_EXPECTED[type(column.dtype)]}, got {_type_name(value)}")
    if type(value) is int and value not in INT64:
        raise ValueError("outside the range of a 64-bit integer")
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("contains an unpaired surrogate or bytes that are not UTF-8")
    return value


def _type_name(value: Any) -> str:
    return _ACTUAL.get(type(value), "an object")


def decode(text: str) -> Any:
    """Decode JSON into objects that remember their duplicate keys."""
    # Not strict: a raw control character in a string is not JSON, but its meaning is beyond doubt.
    return json.loads(text, object_pairs_hook=_object, strict=False)


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    decoded = JsonObject(pairs)
    if len(decoded) != len(pairs):
        decoded.duplicates = frozenset(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return decoded
