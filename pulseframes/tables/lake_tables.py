"""The tables as a lake stores them, the tables that only a lake has, and filters by the columns that a lake adds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import polars as pl

from pulseframes.tables.columns import NO_PATH, Privacy, Table, boolean, instant, integer, number, text
from pulseframes.tables.items import ERRORS, PAGE_VIEWS
from pulseframes.tables.sessions import SESSIONS
from pulseframes.windows import LOOK_BACK, Window

#: Goes up when a table, a column or what designs mean is added, removed or changed; an older lake is upgraded at its next write.
LAKE_VERSION: Final = 6

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
#: Set once, by the first response that shows a session which a design can draw: a design's chances must not depend on later ones.
SETTLED_AT: Final = "settled_at"
SETTLED_VIEWS: Final = "settled_page_views"
_SETTLED: Final = (
    instant(
        SETTLED_AT, NO_PATH, "When a response first showed that the session had ended, or was silent for 24 hours."
    ),
    integer(SETTLED_VIEWS, NO_PATH, "Page views in that response, by which designs select it.", unit="page views"),
)

#: The tables as a lake stores them, by name.
LAKE_TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        replace(SESSIONS, columns=(*SESSIONS.columns, _FETCHED_AT, *_DETAIL_STATE, *_SETTLED)),
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


def recently_updated(seen: pl.Expr, look_back: timedelta) -> pl.Expr:
    """Return a filter for sessions that had changed shortly before they were seen, or may have."""
    return (seen - pl.col("session_updated") < look_back).fill_null(True)


def is_active(look_back: timedelta) -> pl.Expr:
    """Return a filter for sessions that were active when last seen, and had changed within the look-back."""
    return pl.col("status").eq_missing("active") & recently_updated(pl.col("fetched_at"), look_back)


def as_settled(rows: pl.DataFrame) -> pl.DataFrame:
    """Return ``session_id``, and when and with how many page views it settled, for the rows of responses that show it."""
    stamps = {SETTLED_AT: pl.col("fetched_at"), SETTLED_VIEWS: pl.col("page_view_count")}
    return rows.filter(~is_active(LOOK_BACK)).select("session_id", **stamps)


def views_to_draw_by() -> pl.Expr:
    """Return the page views that a design selects a session by: those when it settled, whatever its details list."""
    return pl.when(pl.col(SETTLED_AT).is_null()).then("page_view_count").otherwise(SETTLED_VIEWS)


def detail_failed() -> pl.Expr:
    """Return a filter for sessions that had no details when these were fetched, and have not changed since."""
    failed = pl.col("detail_failed_at")
    return (failed >= pl.col("session_updated").fill_null(failed)).fill_null(False)


def detail_is_current() -> pl.Expr:
    """Return a filter for sessions that have details of their last change."""
    return pl.col("detail_fetched_at").is_not_null() & pl.col("detail_updated").eq_missing(pl.col("session_updated"))


def in_window(window: Window) -> pl.Expr:
    """Return a filter for rows of a window; its days let a scan skip all other files."""
    first, last = window.start.date(), (window.end - timedelta.resolution).date()
    start = pl.col("session_start")
    return pl.col("date").is_between(first, last) & start.is_between(window.start, window.end, closed="left")
