"""Raw answers in, flat frames out: bytes of the API's JSON become the tables' rows, or rejected rows with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import polars as pl

from pulseframes.endpoints import Endpoint
from pulseframes.flatten import fallback, raw_json
from pulseframes.flatten.arrow import read_bodies
from pulseframes.flatten.shapes import BODY, LOCATORS, POSITION, SHAPES, raw_schema
from pulseframes.flatten.times import parse_times
from pulseframes.tables import ITEM_TABLES, REJECTED, TABLES, Table

#: Rows that were set aside, before their raw JSON is looked up: where they stand instead.
REJECTED_ROWS: Final = pl.Schema(
    {**{name: dtype for name, dtype in REJECTED.schema.items() if name != "raw_json"}, **LOCATORS}
)


@dataclass(frozen=True)
class FlatAnswers:
    """What some answers of one kind hold.

    Attributes
    ----------
    frames : dict of str to polars.DataFrame
        For each table, its declared columns and the two locator columns.
    rejected : polars.DataFrame
        Rows that have no place in the tables because a value's type is wrong: the columns of ``REJECTED_ROWS``.
    totals : list of int
        For search answers: the ``totalSessions`` of each body, in order. Empty for details.
    unknown_fields : frozenset of str
        Paths of fields that are not declared, and so in no frame; the raw answers have them.
    """

    frames: dict[str, pl.DataFrame]
    rejected: pl.DataFrame
    totals: list[int]
    unknown_fields: frozenset[str]


def flatten_answers(bodies: Sequence[bytes], endpoint: Endpoint) -> FlatAnswers:
    """Flatten the bodies of an endpoint's answers.

    Parameters
    ----------
    bodies : sequence of bytes
        As they came from the server.
    endpoint : Endpoint
        The endpoint that answered.

    Raises
    ------
    MalformedAnswer
        If a body is not the documented JSON; its ``body`` is the one.
    """
    shape = SHAPES[endpoint.name]
    read = read_bodies(bodies, shape)
    found = fallback.Rows()
    for number in read.left:
        fallback.read_body(bodies[number], number, shape, found)
    rejected = [pl.DataFrame(found.rejected, schema=REJECTED_ROWS, orient="row")]
    frames = {}
    for name, table in TABLES.items():
        careful_rows = pl.DataFrame(found.rows[name], schema=raw_schema(table), orient="row")
        frames[name], failed = parse_times(pl.concat([read.frames[name], careful_rows]), table)
        rejected.append(as_rejected(failed, table))
    totals = read.totals | found.totals
    return FlatAnswers(
        frames=frames,
        rejected=pl.concat(rejected),
        totals=[totals[number] for number in sorted(totals)],
        unknown_fields=frozenset(read.unknown | found.unknown),
    )


def with_raw_json(rejected: pl.DataFrame, bodies: Sequence[bytes], endpoint: Endpoint) -> pl.DataFrame:
    """Look up the raw JSON of rows that were set aside.

    Parameters
    ----------
    rejected : polars.DataFrame
        The columns of ``REJECTED_ROWS``.
    bodies : sequence of bytes
        What the locators point into.
    endpoint : Endpoint
        The endpoint that answered.

    Returns
    -------
    polars.DataFrame
        The columns of the rejected table, the rows in their order.
    """
    shape = SHAPES[endpoint.name]

    @cache
    def sessions_of(body: int) -> tuple[str, list[raw_json.Span]]:
        text = fallback.text_of(bodies[body])
        return text, fallback.session_spans(text, shape)

    @cache
    def list_of(body: int, position: int, list_key: str) -> tuple[raw_json.Span, list[raw_json.Span]]:
        text, spans = sessions_of(body)
        span = dict(raw_json.members(text, spans[position]))[list_key]
        return span, raw_json.items(text, span) if text[span[0]] == "[" else []

    def span_of(row: dict[str, Any]) -> raw_json.Span:
        list_key = next((table.list_key for table in ITEM_TABLES if table.name == row["table"]), "")
        if not list_key:
            sessions = sessions_of(row[BODY])[1]
            return sessions[int(row[POSITION])]
        whole_list, items = list_of(row[BODY], row[POSITION], list_key)
        index: int | None = row["item_index"]
        return whole_list if index is None else items[index]

    raw = []
    for row in rejected.iter_rows(named=True):
        text = sessions_of(row[BODY])[0]
        raw.append(text[slice(*span_of(row))].encode("utf-8", "backslashreplace").decode())
    return rejected.with_columns(pl.Series("raw_json", raw, dtype=pl.String)).select(REJECTED.schema.names())


def as_rejected(failed: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Give a table's rows that failed, with their ``reason`` and locators, the columns of ``REJECTED_ROWS``."""
    index = pl.col(table.index) if table.index else pl.lit(None)
    return failed.with_columns(table=pl.lit(table.name), item_index=index).select(
        pl.col(name).cast(dtype) for name, dtype in REJECTED_ROWS.items()
    )
