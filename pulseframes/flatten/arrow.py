"""Reads all bodies at once with pyarrow, into columns, without a Python loop over sessions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from pulseframes.flatten.fallback import unknown_fields
from pulseframes.flatten.locators import BODY_INDEX, LOCATORS, SESSION_INDEX, unparsed_schema
from pulseframes.flatten.shapes import Shape, decoder_of_names
from pulseframes.tables import ITEM_TABLES, SESSIONS, Column, Table

#: Unknown fields that decoders are made for; for more, looking at each body takes less time.
_MOST_NAMES: Final = 20

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ArrowRows:
    """The rows that pyarrow read.

    Attributes
    ----------
    frames
        For each table, its rows, in the order of the bodies; times are still strings.
    totals
        For a search: the total of each body, by the body's index.
    unread
        The indices of the bodies that pyarrow cannot read without changing a value, for the fallback reader.
    unknown
        The paths of undeclared fields.
    """

    frames: dict[str, pl.DataFrame]
    totals: dict[int, int]
    unread: list[int]
    unknown: set[str]


def read_bodies(bodies: Sequence[bytes], shape: Shape) -> ArrowRows:
    """Read every body that pyarrow reads with no value changed, and list the others."""
    trimmed, indices = _objects(bodies)
    table = _read(trimmed, indices, shape, "error")
    unknown: set[str] = set()
    if table is None:
        # To find the bodies that stop pyarrow by reading the others again and again would take several times as long.
        indices = [index for index in indices if _decodes(shape.decoder, trimmed[index], if_too_deep=True)]
        table = _read(trimmed, indices, shape, "error")
    if table is None:
        table, indices = _read_what_can_be(trimmed, indices, shape)
        unknown = _unknown_fields([trimmed[index] for index in indices], shape)
    doubtful = _doubtful_rows(table, shape)
    if doubtful:
        sound = [row for row in range(len(table)) if row not in doubtful]
        table, indices = table.take(pa.array(sound, pa.int64())), [indices[row] for row in sound]
    totals = table[shape.endpoint.total_key].to_pylist() if shape.endpoint.is_list else []
    return ArrowRows(
        frames=_frames(table, pl.Series(BODY_INDEX, indices, dtype=pl.Int64), shape),
        totals=dict(zip(indices, totals, strict=True)) if shape.endpoint.is_list else {},
        unread=sorted(set(range(len(bodies))).difference(indices)),
        unknown=unknown,
    )


def read_together(bodies: Sequence[bytes], shape: Shape) -> pa.Table | None:
    """Read only the fields of a shape, with a row for each body; return None if one of the bodies is unreadable."""
    trimmed, indices = _objects(bodies)
    return _read(trimmed, indices, shape, "ignore") if len(indices) == len(bodies) else None


def _objects(bodies: Sequence[bytes]) -> tuple[list[bytes], list[int]]:
    """Return the bodies without white space around, and the indices of those that open and close as an object.

    Then as many rows as bodies means one row for each body.
    """
    trimmed = [
        body if body[:1] == b"{" and body[-1:] == b"}" else body.removeprefix(_BOM).strip(b" \t\r\n") for body in bodies
    ]
    return trimmed, [index for index, body in enumerate(trimmed) if body[:1] == b"{" and body[-1:] == b"}"]


def _read(
    bodies: Sequence[bytes], indices: Sequence[int], shape: Shape, unexpected: Literal["error", "ignore"]
) -> pa.Table | None:
    """Read some bodies together; return None if one is unreadable, or has an unknown field and that is an error.

    ``unexpected="infer"`` would name unknown fields in the same pass, but a field nested some ten thousand levels deep
    then overruns the stack and ends the process.
    """
    if not indices:
        return shape.schema.empty_table()
    chosen = [bodies[index] for index in indices]
    joined = b"\n".join(chosen)
    try:
        if not joined.isascii():
            joined.decode()  # pyarrow does not check, and a polars string has to be UTF-8
        table = pj.read_json(
            pa.BufferReader(joined),
            # In one block, so that the columns need not be put together from many. The caller uses all cores.
            read_options=pj.ReadOptions(use_threads=False, block_size=len(joined) + 1),
            parse_options=pj.ParseOptions(
                explicit_schema=shape.schema,
                newlines_in_values=b"\r" in joined or joined.count(b"\n") >= len(chosen),
                unexpected_field_behavior=unexpected,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return table if len(table) == len(indices) else None


def _decodes(decoder: msgspec.json.Decoder[Any], body: bytes, *, if_too_deep: bool) -> bool:
    try:
        decoder.decode(body)
    except RecursionError:
        return if_too_deep
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _read_what_can_be(bodies: Sequence[bytes], indices: list[int], shape: Shape) -> tuple[pa.Table, list[int]]:
    """Bisect until each unreadable body is alone, and omit those."""
    table = _read(bodies, indices, shape, "ignore")
    if table is not None:
        return table, indices
    if len(indices) == 1:
        return shape.schema.empty_table(), []
    middle = len(indices) // 2
    first, first_indices = _read_what_can_be(bodies, indices[:middle], shape)
    second, second_indices = _read_what_can_be(bodies, indices[middle:], shape)
    return pa.concat_tables([first, second]), first_indices + second_indices


def _unknown_fields(bodies: Sequence[bytes], shape: Shape) -> set[str]:
    """Return the paths of undeclared fields. Bodies with none but those found before are told apart quickly."""
    paths: set[str] = set()
    known = deepcopy(shape.known)
    decoder = decoder_of_names(known)
    for body in bodies:
        if _decodes(decoder, body, if_too_deep=False):
            continue
        try:
            found = set(unknown_fields(json.loads(body), known, ""))
        except (ValueError, RecursionError):
            found = {f"{shape.endpoint.sessions_key}: a field that cannot be decoded"}
        if not found <= paths:
            paths |= found
            if len(paths) <= _MOST_NAMES:
                decoder = decoder_of_names(known)
    return paths


def _doubtful_rows(table: pa.Table, shape: Shape) -> set[int]:
    """Return the bodies with a null where a value is needed: the fallback reader can say what is wrong with them."""
    sessions = _array(table, shape.endpoint.sessions_key)
    doubtful = _true_rows(sessions.is_null())
    if shape.endpoint.is_list:
        totals = _array(table, shape.endpoint.total_key)
        return doubtful | _true_rows(totals.is_null()) | _true_rows(pc.less(totals, 0)) | _lists_with_null(sessions)
    for item_table in ITEM_TABLES:
        doubtful |= _lists_with_null(pc.struct_field(sessions, item_table.list_key))
    return doubtful


def _lists_with_null(lists: pa.ListArray) -> set[int]:
    items = pc.list_flatten(lists)
    return set(pc.list_parent_indices(lists).filter(items.is_null()).to_pylist()) if items.null_count else set()


def _true_rows(flags: pa.BooleanArray) -> set[int]:
    return set(pc.indices_nonzero(flags).to_pylist())


def _frames(table: pa.Table, body_indices: pl.Series, shape: Shape) -> dict[str, pl.DataFrame]:
    sessions = _array(table, shape.endpoint.sessions_key)
    if shape.endpoint.is_list:
        parents = pl.Series(pc.list_parent_indices(sessions), dtype=pl.Int64)
        locators = pl.DataFrame([body_indices.gather(parents), _positions(parents).alias(SESSION_INDEX)])
        sessions = pc.list_flatten(sessions)
    else:
        first = pl.Series(SESSION_INDEX, [0], dtype=pl.Int64).new_from_index(0, len(body_indices))
        locators = pl.DataFrame([body_indices, first])
    frames = {SESSIONS.name: _frame(sessions, SESSIONS, {}, locators).with_columns(_lengths(sessions, shape))}
    for item_table in ITEM_TABLES:
        if shape.endpoint not in item_table.endpoints:
            frames[item_table.name] = pl.DataFrame(schema=unparsed_schema(item_table))
            continue
        lists = pc.struct_field(sessions, item_table.list_key)
        parents = pl.Series(pc.list_parent_indices(lists), dtype=pl.Int64)
        keys = {
            "session_id": frames[SESSIONS.name]["session_id"].gather(parents),
            item_table.index: _positions(parents),
        }
        frames[item_table.name] = _frame(pc.list_flatten(lists), item_table, keys, locators[parents])
    return frames


def _frame(objects: pa.StructArray, table: Table, keys: dict[str, pl.Series], locators: pl.DataFrame) -> pl.DataFrame:
    """Return a table's rows from their JSON objects, and from the keys that are not in those."""
    columns = [
        keys[column.name].alias(column.name) if column.name in keys else _series(objects, column)
        for column in table.columns
    ]
    return pl.DataFrame(columns).hstack(locators.select(LOCATORS.names()).get_columns())


def _series(objects: pa.StructArray, column: Column) -> pl.Series:
    dtype = pl.String() if isinstance(column.dtype, pl.Datetime) else column.dtype
    return pl.Series(column.name, pc.struct_field(objects, list(column.keys)), dtype=dtype)


def _lengths(sessions: pa.StructArray, shape: Shape) -> list[pl.Expr]:
    """Return the columns whose nulls the length of a list replaces, in answers that have the list."""
    expressions = []
    for column in SESSIONS.columns:
        if column.length_of and shape.endpoint not in column.endpoints:
            lengths = pl.Series(pc.list_value_length(pc.struct_field(sessions, column.length_of)), dtype=pl.Int64)
            expressions.append(pl.col(column.name).fill_null(lengths.fill_null(0)))
    return expressions


def _positions(parents: pl.Series) -> pl.Series:
    """Return each item's position in its list, given the index of the list that it is in."""
    return pl.select(pl.int_range(len(parents)) - parents.rank("min").cast(pl.Int64) + 1).to_series()


def _array(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks() if table[name].num_chunks != 1 else table[name].chunk(0)
