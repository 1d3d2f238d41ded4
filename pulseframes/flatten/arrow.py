"""The fast way: all bodies decoded at once by pyarrow, into columns, with no Python loop over sessions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from pulseframes.flatten.fallback import unknown_fields
from pulseframes.flatten.shapes import BODY, LOCATORS, POSITION, Shape, raw_schema
from pulseframes.tables import ITEM_TABLES, SESSIONS, Column, Table

#: pyarrow's own default for the size of a block; a body that is longer gets a block of its size.
_BLOCK: Final = 1 << 20

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Columns:
    """What pyarrow read of some bodies.

    Attributes
    ----------
    frames
        For each table, its rows, in the order of the bodies; times are still text.
    totals
        For a search: ``totalSessions`` of each body, by its number.
    left
        The numbers of the bodies that were not read, to be read carefully.
    unknown
        Fields that are not declared.
    """

    frames: dict[str, pl.DataFrame]
    totals: dict[int, int]
    left: list[int]
    unknown: set[str]


def read_bodies(bodies: Sequence[bytes], shape: Shape) -> Columns:
    """Read every body that pyarrow reads with no value changed, and name the others."""
    trimmed = [body.removeprefix(_BOM).strip(b" \t\r\n") for body in bodies]
    # Only a body that opens and closes as an object: then as many rows as bodies means one row for each body.
    whole = [number for number, body in enumerate(trimmed) if body[:1] == b"{" and body[-1:] == b"}"]
    table = _read(trimmed, whole, shape, "error")
    unknown: set[str] = set()
    if table is None:
        table, whole = _readable(trimmed, whole, shape)
        unknown = _names_of_unknown([trimmed[number] for number in whole], shape)
    odd = _odd_rows(table, shape)
    if odd:
        even = [row for row in range(len(table)) if row not in odd]
        table, whole = table.take(pa.array(even, pa.int64())), [whole[row] for row in even]
    totals = table[shape.endpoint.total_key].to_pylist() if shape.endpoint.is_list else []
    return Columns(
        frames=_frames(table, pl.Series(BODY, whole, dtype=pl.Int64), shape),
        totals=dict(zip(whole, totals, strict=True)) if shape.endpoint.is_list else {},
        left=sorted(set(range(len(bodies))).difference(whole)),
        unknown=unknown,
    )


def _read(
    bodies: Sequence[bytes], numbers: Sequence[int], shape: Shape, unexpected: Literal["error", "ignore"]
) -> pa.Table | None:
    """Read some bodies together; None if one of them cannot be read, or has a field that is an error here.

    ``unexpected="infer"`` would name new fields in the same pass, but it overruns the stack, and so ends the process,
    on a new field that is nested some ten thousand levels deep.
    """
    if not numbers:
        return shape.schema.empty_table()
    chosen = [bodies[number] for number in numbers]
    joined = b"\n".join(chosen)
    try:
        if not joined.isascii():
            joined.decode()  # pyarrow does not look, and a polars string has to be UTF-8
        table = pj.read_json(
            pa.BufferReader(joined),
            read_options=pj.ReadOptions(block_size=max(_BLOCK, max(map(len, chosen)) + 1)),
            parse_options=pj.ParseOptions(
                explicit_schema=shape.schema,
                newlines_in_values=any(b"\n" in body or b"\r" in body for body in chosen),
                unexpected_field_behavior=unexpected,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return table if len(table) == len(numbers) else None


def _readable(bodies: Sequence[bytes], numbers: list[int], shape: Shape) -> tuple[pa.Table, list[int]]:
    """Halve until what cannot be read stands alone, and leave that out."""
    table = _read(bodies, numbers, shape, "ignore")
    if table is not None:
        return table, numbers
    if len(numbers) == 1:
        return shape.schema.empty_table(), []
    middle = len(numbers) // 2
    first, first_numbers = _readable(bodies, numbers[:middle], shape)
    second, second_numbers = _readable(bodies, numbers[middle:], shape)
    return pa.concat_tables([first, second]), first_numbers + second_numbers


def _names_of_unknown(bodies: Sequence[bytes], shape: Shape) -> set[str]:
    if _read(bodies, range(len(bodies)), shape, "error") is not None:
        return set()
    names: set[str] = set()
    for body in bodies:
        try:
            unknown_fields(json.loads(body), shape.known, "", names)
        except (ValueError, RecursionError):
            names.add(f"{shape.endpoint.sessions_key}: a field that cannot be decoded")
    return names


def _odd_rows(table: pa.Table, shape: Shape) -> set[int]:
    """Find the bodies with a null where something has to be: careful reading can say what is wrong with them."""
    held = _array(table, shape.endpoint.sessions_key)
    odd = _true_rows(held.is_null())
    if shape.endpoint.is_list:
        totals = _array(table, shape.endpoint.total_key)
        odd |= _true_rows(totals.is_null()) | _true_rows(pc.less(totals, 0)) | _parents_of_null(held)
    else:
        for item_table in ITEM_TABLES:
            odd |= _parents_of_null(pc.struct_field(held, item_table.list_key))
    return odd


def _parents_of_null(lists: pa.ListArray) -> set[int]:
    items = pc.list_flatten(lists)
    return set(pc.list_parent_indices(lists).filter(items.is_null()).to_pylist()) if items.null_count else set()


def _true_rows(flags: pa.BooleanArray) -> set[int]:
    return set(pc.indices_nonzero(flags).to_pylist())


def _frames(table: pa.Table, numbers: pl.Series, shape: Shape) -> dict[str, pl.DataFrame]:
    held = _array(table, shape.endpoint.sessions_key)
    if shape.endpoint.is_list:
        parents = pl.Series(POSITION, pc.list_parent_indices(held), dtype=pl.Int64)
        locators = pl.DataFrame([numbers.gather(parents), _places(parents)])
        sessions = pc.list_flatten(held)
    else:
        locators = pl.DataFrame([numbers, pl.Series(POSITION, [0], dtype=pl.Int64).new_from_index(0, len(numbers))])
        sessions = held
    frames = {SESSIONS.name: _frame(sessions, SESSIONS, {}, locators)}
    for item_table in ITEM_TABLES:
        if shape.endpoint not in item_table.endpoints:
            frames[item_table.name] = pl.DataFrame(schema=raw_schema(item_table))
            continue
        lists = pc.struct_field(sessions, item_table.list_key)
        parents = pl.Series(pc.list_parent_indices(lists), dtype=pl.Int64)
        made = {"session_id": frames[SESSIONS.name]["session_id"].gather(parents), item_table.index: _places(parents)}
        frames[item_table.name] = _frame(pc.list_flatten(lists), item_table, made, locators[parents])
    frames[SESSIONS.name] = frames[SESSIONS.name].with_columns(_lengths(sessions, shape))
    return frames


def _lengths(sessions: pa.StructArray, shape: Shape) -> list[pl.Expr]:
    """Return the columns whose nulls the length of a list replaces, in answers that have the list."""
    expressions = []
    for column in SESSIONS.columns:
        if column.length_of and shape.endpoint not in column.endpoints:
            lengths = pl.Series(pc.list_value_length(pc.struct_field(sessions, column.length_of)), dtype=pl.Int64)
            expressions.append(pl.col(column.name).fill_null(lengths.fill_null(0)))
    return expressions


def _frame(rows: pa.StructArray, table: Table, made: dict[str, pl.Series], locators: pl.DataFrame) -> pl.DataFrame:
    """Make a table's columns from the objects that are its rows, and from what is ``made`` besides."""
    columns = [
        made[column.name].alias(column.name) if column.name in made else _series(rows, column)
        for column in table.columns
    ]
    return pl.DataFrame(columns).hstack(locators.select(LOCATORS.names()).get_columns())


def _series(rows: pa.StructArray, column: Column) -> pl.Series:
    dtype = pl.String() if isinstance(column.dtype, pl.Datetime) else column.dtype
    return pl.Series(column.name, pc.struct_field(rows, list(column.keys)), dtype=dtype)


def _places(parents: pl.Series) -> pl.Series:
    """Give each item's place in its list, from the number of the list it is in."""
    return pl.select(pl.int_range(len(parents)) - parents.rank("min").cast(pl.Int64) + 1).to_series().alias(POSITION)


def _array(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks() if table[name].num_chunks != 1 else table[name].chunk(0)
