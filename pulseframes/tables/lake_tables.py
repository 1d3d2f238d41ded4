"""What a lake keeps besides the declared columns, and the tables as a lake has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from pulseframes.tables.columns import INSTANT, Column, Table
from pulseframes.tables.design import DESIGN
from pulseframes.tables.errors import ERRORS
from pulseframes.tables.page_views import PAGE_VIEWS
from pulseframes.tables.rejected import REJECTED
from pulseframes.tables.sessions import SESSIONS

#: Goes up when a table is added, or a column is added, removed or changed in any; an older lake is upgraded when it is next written to.
LAKE_VERSION: Final = 2

#: The partition: the UTC day on which the session started; for rejected rows, on which they were fetched.
DATE: Final = "date"

_FETCHED_AT: Final = Column(
    name="fetched_at",
    path="",
    dtype=INSTANT,
    required=True,
    description="When the answer that the row is made of was asked for.",
)
_LAKE_COLUMNS: Final = (
    _FETCHED_AT,
    Column(
        name="detail_updated",
        path="",
        dtype=INSTANT,
        description="What session_updated was in the details that the lake has.",
    ),
    Column(
        name="detail_fetched_at",
        path="",
        dtype=INSTANT,
        description="When the details that the lake has were asked for; null where it has none, and so no page views or errors.",
    ),
    Column(
        name="detail_failed_at",
        path="",
        dtype=INSTANT,
        description="When details were last asked for in vain: the server did not know the session, or its row broke the schema.",
    ),
)

#: The tables as a lake has them, by name.
LAKE_TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        replace(SESSIONS, columns=(*SESSIONS.columns, *_LAKE_COLUMNS)),
        PAGE_VIEWS,
        ERRORS,
        replace(REJECTED, columns=(*REJECTED.columns, _FETCHED_AT)),
        DESIGN,
    )
}

#: In what order a file's rows are.
LAKE_ORDER: Final[dict[str, list[str]]] = {
    SESSIONS.name: ["session_start", "session_id"],
    PAGE_VIEWS.name: list(PAGE_VIEWS.key),
    ERRORS.name: list(ERRORS.key),
    REJECTED.name: ["fetched_at", "table", "session_id", "item_index", "raw_json", "reason"],
    DESIGN.name: list(DESIGN.key),
}


def partitioned(table: Table) -> pl.Schema:
    """Give a lake table's schema with its partition."""
    return pl.Schema({**table.schema, DATE: pl.Date()})
