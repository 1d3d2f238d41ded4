"""The slow way, for the bodies that the fast way cannot take: value by value, so that one bad value costs one row."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from pulseframes.errors import MalformedAnswer
from pulseframes.flatten import raw_json
from pulseframes.flatten.shapes import BODY, POSITION, Names, Shape
from pulseframes.tables import ITEM_TABLES, SESSIONS, TABLES, Column, Table

_INT64: Final = range(-(2**63), 2**63)

#: What JSON's values are called in a reason.
_KINDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a fractional number",
    str: "text",
    list: "a list",
}


class JsonObject(dict[str, Any]):
    """A JSON object that remembers which keys it had twice."""

    twice: frozenset[str] = frozenset()


@dataclass
class Rows:
    """What was found in some bodies.

    Attributes
    ----------
    rows
        For each table, its rows: values by column name, with locators; times are still text.
    rejected
        The rows that could not be read: table, session_id, item_index, reason and locators.
    totals
        For a search: ``totalSessions`` of each body, by its number.
    unknown
        Fields that are not declared.
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})
    rejected: list[dict[str, Any]] = field(default_factory=list)
    totals: dict[int, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


def read_body(body: bytes, number: int, shape: Shape, found: Rows) -> None:
    """Read one body into ``found``.

    Raises
    ------
    MalformedAnswer
        If it is not the documented JSON at all.
    """
    text = text_of(body)
    try:
        envelope = _envelope(text, shape, found)
        if shape.endpoint.is_list:
            found.totals[number] = _total(text, envelope, shape.endpoint.total_key)
        for position, span in enumerate(_session_spans(text, envelope, shape)):
            _read_session(_Session(text, span, number, position), shape, found)
    except raw_json.NotJson as problem:
        raise malformed(shape, body, str(problem)) from None


def malformed(shape: Shape, body: bytes, problem: str) -> MalformedAnswer:
    """Say that a body is not what the endpoint is documented to answer."""
    return MalformedAnswer(
        f"{shape.endpoint.name} answered {len(body)} bytes that are not the documented JSON: {problem}.", body=body
    )


def text_of(body: bytes) -> str:
    """Decode a body; bytes that are not UTF-8 become lone surrogates, which no row may hold."""
    return body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def session_spans(text: str, shape: Shape) -> list[raw_json.Span]:
    """Give the span of each session in an answer that has been read before."""
    return _session_spans(text, dict(raw_json.members(text, raw_json.whole(text))), shape)


def unknown_fields(value: Any, known: Names, where: str, found: set[str]) -> None:
    """Add to ``found`` the path of each field of a decoded value that is not among the ``known`` ones."""
    if known is None:
        return
    if type(value) is list:
        for item in value:
            unknown_fields(item, known, f"{where}[]", found)
    elif isinstance(value, dict):
        for key, child in value.items():
            if key not in known:
                found.add(f"{where}.{key}" if where else key)
            elif child and known[key] is not None:
                unknown_fields(child, known[key], f"{where}.{key}" if where else key, found)


@dataclass(frozen=True)
class _Session:
    """Where one session stands."""

    text: str
    span: raw_json.Span
    number: int
    position: int

    @property
    def locators(self) -> dict[str, int]:
        return {BODY: self.number, POSITION: self.position}


def _envelope(text: str, shape: Shape, found: Rows) -> dict[str, raw_json.Span]:
    envelope: dict[str, raw_json.Span] = {}
    for key, span in raw_json.members(text, raw_json.whole(text)):
        if key in envelope:
            raise raw_json.NotJson(f"it has {key!r} twice")
        envelope[key] = span
    found.unknown.update(key for key in envelope if key not in shape.schema.names)
    if shape.endpoint.sessions_key not in envelope:
        raise raw_json.NotJson(f"it has no {shape.endpoint.sessions_key!r}")
    return envelope


def _total(text: str, envelope: dict[str, raw_json.Span], key: str) -> int:
    start, end = envelope.get(key, (0, 0))
    try:
        total = json.loads(text[start:end])
    except (ValueError, RecursionError):
        total = None
    if not isinstance(total, int) or isinstance(total, bool) or total not in _INT64 or total < 0:
        raise raw_json.NotJson(f"it has no {key} that is a number from 0 on")
    return total


def _session_spans(text: str, envelope: dict[str, raw_json.Span], shape: Shape) -> list[raw_json.Span]:
    span = envelope[shape.endpoint.sessions_key]
    if not shape.endpoint.is_list:
        if text[span[0]] != "{":
            raise raw_json.NotJson(f"its {shape.endpoint.sessions_key!r} is not an object")
        return [span]
    return [] if text[slice(*span)] == "null" else raw_json.items(text, span)


def _read_session(where: _Session, shape: Shape, found: Rows) -> None:
    try:
        session = decode(where.text[slice(*where.span)])
    except json.JSONDecodeError as problem:
        raise raw_json.NotJson(f"{problem.msg} at character {where.span[0] + problem.pos}") from None
    except (ValueError, RecursionError) as problem:
        # Valid JSON that cannot be held: a number of thousands of digits, or brackets nested too deep.
        _reject(found, SESSIONS, where, None, [f"cannot be read: {type(problem).__name__}"])
        return
    if not isinstance(session, JsonObject):
        _reject(found, SESSIONS, where, None, [f"expected an object, got {_kind(session)}"])
        return
    unknown_fields(
        {shape.endpoint.sessions_key: [session] if shape.endpoint.is_list else session}, shape.known, "", found.unknown
    )

    row, problems = _row(session, SESSIONS)
    lengths = {
        table.list_key: _read_items(session, table, where, row["session_id"], found)
        for table in ITEM_TABLES
        if shape.endpoint in table.endpoints
    }
    for column in SESSIONS.columns:
        if row[column.name] is None and column.length_of in lengths:
            row[column.name] = lengths[column.length_of]
    if problems:
        _reject(found, SESSIONS, where, row["session_id"], problems)
    else:
        found.rows[SESSIONS.name].append(row | where.locators)


def _read_items(session: JsonObject, table: Table, where: _Session, session_id: int | None, found: Rows) -> int | None:
    """Read one of a session's lists; give its length, None where it is not a list."""
    values = session.get(table.list_key)
    if values is None:
        values = []
    if not isinstance(values, list) or table.list_key in session.twice:
        problem = "appears twice" if table.list_key in session.twice else f"expected a list, got {_kind(values)}"
        _reject(found, table, where, session_id, [f"{table.list_key}: {problem}"])
        return None
    for index, item in enumerate(values):
        if not isinstance(item, JsonObject):
            _reject(found, table, where, session_id, [f"expected an object, got {_kind(item)}"], index)
            continue
        row, problems = _row(item, table)
        if problems:
            _reject(found, table, where, session_id, problems, index)
        else:
            found.rows[table.name].append(row | {"session_id": session_id, table.index: index} | where.locators)
    return len(values)


def _row(element: JsonObject, table: Table) -> tuple[dict[str, Any], list[str]]:
    """Give a row's values, and what is wrong with them; a value that is wrong is None."""
    row: dict[str, Any] = {column.name: None for column in table.columns}
    problems = []
    for column in table.sourced:
        try:
            row[column.name] = _value(element, column)
        except ValueError as problem:
            problems.append(f"{column.name}: {problem}")
    return row, problems


def _value(element: JsonObject, column: Column) -> Any:
    value: Any = element
    for depth, key in enumerate(column.keys):
        if not isinstance(value, JsonObject):
            raise ValueError(f"expected an object at {'.'.join(column.keys[:depth])}, got {_kind(value)}")
        if key in value.twice:
            raise ValueError(f"{'.'.join(column.keys[: depth + 1])} appears twice")
        value = value.get(key)
        if value is None:
            return None
    match column.dtype, value:
        case pl.Boolean(), bool():
            return value
        case pl.Int64(), int() if not isinstance(value, bool):
            if value not in _INT64:
                raise ValueError("outside the range of a 64-bit integer")
            return value
        case ((pl.String() | pl.Datetime()), str()):
            if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ValueError("holds half a surrogate pair or bytes that are not UTF-8")
            return value
    expected = "true or false" if isinstance(column.dtype, pl.Boolean) else "a whole number"
    raise ValueError(
        f"expected {'text' if isinstance(column.dtype, pl.String | pl.Datetime) else expected}, got {_kind(value)}"
    )


def _reject(
    found: Rows, table: Table, where: _Session, session_id: int | None, problems: list[str], index: int | None = None
) -> None:
    found.rejected.append(
        {"table": table.name, "session_id": session_id, "item_index": index, "reason": "; ".join(problems)}
        | where.locators
    )


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), "an object")


def decode(text: str) -> Any:
    """Decode JSON so that objects remember the keys they had twice."""
    # Not strict: a raw control character in a string is not JSON, and there is no doubt about what it is.
    return json.loads(text, object_pairs_hook=_object, strict=False)


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    decoded = JsonObject(pairs)
    if len(decoded) != len(pairs):
        decoded.twice = frozenset(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return decoded
