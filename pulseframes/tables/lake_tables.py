"""The tables as a lake stores them, and the tables that only a lake has: the sample's design and the rejected rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from pulseframes.tables.columns import NO_PATH, Privacy, Table, boolean, instant, integer, number, text
from pulseframes.tables.items import ERRORS, PAGE_VIEWS
from pulseframes.tables.sessions import SESSIONS

#: Goes up when a table or a column is added, removed or changed; an older lake is upgraded at its next write.
LAKE_VERSION: Final = 3

#: The partition: the UTC day on which the session started or, for rejected rows, on which they were fetched.
DATE: Final = "date"

REJECTED: Final = Table(
    name="rejected",
    description="One row per row of another table that broke its schema.",
    key=(),
    columns=(
        text("table", NO_PATH, "The table that the row belongs to.", required=True),
        integer("session_id", NO_PATH, "ID of the session, if readable.", privacy=Privacy.IDENTIFIER),
        integer("item_index", NO_PATH, "For a page view or an error: its position in the API's list."),
        text("reason", NO_PATH, "What is wrong with the row.", required=True),
        text("raw_json", NO_PATH, "The row's original JSON.", required=True, privacy=Privacy.PERSONAL),
    ),
)

DESIGN: Final = Table(
    name="design",
    description="One row per session that a design selected.",
    key=("design", "seed", "session_id"),
    columns=(
        integer("session_id", NO_PATH, "ID of the session.", required=True),
        text("design", NO_PATH, "The design: pageviews or uniform, with any strata columns.", required=True),
        integer("seed", NO_PATH, "Seed of the permanent random numbers.", required=True),
        instant("population_from", NO_PATH, "Start of the time span that the sample represents.", required=True),
        instant("population_to", NO_PATH, "End of that time span.", required=True),
        text("stratum", NO_PATH, "The session's stratum; empty if the design has none.", required=True),
        integer(
            "page_view_count",
            NO_PATH,
            "Page views when it was selected; 1 if unknown.",
            unit="page views",
            required=True,
            minimum=1,
        ),
        number("inclusion_probability", NO_PATH, "Probability that the session was selected.", required=True),
        boolean("responded", NO_PATH, "False after a 404 or if the details broke the schema.", required=True),
        number("weight", NO_PATH, "Sessions it represents, with adjustment for missing details; null without details."),
    ),
)

_FETCHED_AT: Final = instant("fetched_at", NO_PATH, "When the row's answer was requested.", required=True)
_DETAIL_STATE: Final = (
    instant("detail_updated", NO_PATH, "Value of session_updated in the details that the lake has."),
    instant("detail_fetched_at", NO_PATH, "When those details were requested; null if the lake has none."),
    instant("detail_failed_at", NO_PATH, "When details were last requested in vain: a 404 or a broken schema."),
)

#: The tables as a lake stores them, by name.
LAKE_TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        replace(SESSIONS, columns=(*SESSIONS.columns, _FETCHED_AT, *_DETAIL_STATE)),
        PAGE_VIEWS,
        ERRORS,
        replace(REJECTED, columns=(*REJECTED.columns, _FETCHED_AT)),
        DESIGN,
    )
}

#: The order of the rows in a file.
LAKE_ORDER: Final[dict[str, list[str]]] = {
    SESSIONS.name: ["session_start", "session_id"],
    PAGE_VIEWS.name: list(PAGE_VIEWS.key),
    ERRORS.name: list(ERRORS.key),
    REJECTED.name: ["fetched_at", "table", "session_id", "item_index", "raw_json", "reason"],
    DESIGN.name: list(DESIGN.key),
}


def partitioned(table: Table) -> pl.Schema:
    """Return a lake table's schema, including its partition column."""
    return pl.Schema({**table.schema, DATE: pl.Date()})
