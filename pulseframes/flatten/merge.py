"""Several answers about one session made into one: what is newer wins, and a summary never erases what a detail knew."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.endpoints import SEARCH
from pulseframes.tables import SESSIONS

#: Columns that each row to be merged has besides the declared ones: whether a detail answer made it, and its age, which
#: is a time or a number that is larger for what was fetched later.
FROM_DETAIL: Final = "_detail"
AGE: Final = "fetched_at"
#: Columns that each merged row has besides: of its newest detail, what session_updated and the age were.
DETAIL_UPDATED: Final = "detail_updated"
DETAIL_AGE: Final = "detail_fetched_at"

DETAIL_COLUMNS: Final = [column.name for column in SESSIONS.columns if SEARCH not in column.endpoints]


def newest_sessions(rows: pl.DataFrame) -> pl.DataFrame:
    """Make one row of all the rows about each session.

    The row with the newest ``session_updated`` wins; of two with the same, a detail over a summary, and then the one that
    was fetched later. What only details have comes from the newest detail.

    Parameters
    ----------
    rows : polars.DataFrame
        The columns of the sessions table, ``FROM_DETAIL`` and ``AGE``.

    Returns
    -------
    polars.DataFrame
        The columns of the sessions table, ``AGE``, ``DETAIL_UPDATED`` and ``DETAIL_AGE``, in ``session_start``,
        ``session_id`` order. Made into rows again by ``as_merged()``, it can be merged with what comes later, and the order
        in which answers come does not matter.
    """
    newest_first = _newest_first(rows)
    winners = newest_first.unique("session_id", keep="first", maintain_order=True).drop(*DETAIL_COLUMNS)
    details = newest_first.filter(FROM_DETAIL).unique("session_id", keep="first", maintain_order=True)
    of_details = details.select(
        "session_id",
        *DETAIL_COLUMNS,
        pl.col("session_updated").alias(DETAIL_UPDATED),
        pl.col(AGE).alias(DETAIL_AGE),
    )
    merged = winners.join(of_details, on="session_id", how="left")
    return merged.select(*SESSIONS.schema.names(), AGE, DETAIL_UPDATED, DETAIL_AGE).sort("session_start", "session_id")


def as_merged(merged: pl.DataFrame) -> pl.DataFrame:
    """Give the rows that merged rows stand for: the winner of each session, and its newest detail where that is another."""
    has_detail = pl.col(DETAIL_AGE).is_not_null()
    # Of two with the same session_updated a detail wins, so a winner that is as old as the newest detail is that detail.
    detail_won = has_detail & pl.col(DETAIL_UPDATED).eq_missing(pl.col("session_updated"))
    columns = [*SESSIONS.schema.names(), AGE, FROM_DETAIL]
    winners = merged.with_columns(detail_won.alias(FROM_DETAIL)).select(columns)
    beaten = merged.filter(has_detail & ~detail_won).with_columns(
        pl.col(DETAIL_UPDATED).alias("session_updated"), pl.col(DETAIL_AGE).alias(AGE), pl.lit(True).alias(FROM_DETAIL)
    )
    return pl.concat([winners, beaten.select(columns)])


def newest_details(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the row of each session's newest detail: the one whose page views and errors are kept."""
    return _newest_first(rows.filter(FROM_DETAIL)).unique("session_id", keep="first", maintain_order=True)


def _newest_first(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("session_updated", FROM_DETAIL, AGE, descending=True, nulls_last=True, maintain_order=True)
