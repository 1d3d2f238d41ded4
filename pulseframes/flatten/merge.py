"""Merges several answers about a session: the newest wins, and a summary never erases what only details have."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.endpoints import SEARCH
from pulseframes.tables import SESSIONS

#: Columns of each row to merge: whether it comes from a detail answer, and when it was fetched (a time, or a number that
#: grows with every answer).
FROM_DETAIL: Final = "_detail"
AGE: Final = "fetched_at"
#: Columns of each merged row: ``session_updated`` and the age of its newest detail.
DETAIL_UPDATED: Final = "detail_updated"
DETAIL_AGE: Final = "detail_fetched_at"

#: The columns that only details have.
DETAIL_COLUMNS: Final = [column.name for column in SESSIONS.columns if SEARCH not in column.endpoints]


def newest_sessions(rows: pl.DataFrame) -> pl.DataFrame:
    """Merge all rows about each session into one.

    The row with the newest ``session_updated`` wins, unless that lies a day or more after it was fetched; of two with the same, a detail wins over a summary, then the one
    fetched later. The columns that only details have come from the newest detail.

    Parameters
    ----------
    rows : polars.DataFrame
        The columns of the sessions table, ``FROM_DETAIL`` and ``AGE``.

    Returns
    -------
    polars.DataFrame
        The columns of the sessions table, ``AGE``, ``DETAIL_UPDATED`` and ``DETAIL_AGE``, in ``session_start``,
        ``session_id`` order. ``as_unmerged()`` turns it into rows that can be merged with later ones; the order in which
        answers arrive does not matter.
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


def as_unmerged(merged: pl.DataFrame) -> pl.DataFrame:
    """Return the rows behind merged rows: the winner of each session, and its newest detail if that is another row."""
    has_detail = pl.col(DETAIL_AGE).is_not_null()
    # Of two rows with the same session_updated a detail wins, so a winner as old as the newest detail is that detail.
    detail_won = has_detail & pl.col(DETAIL_UPDATED).eq_missing(pl.col("session_updated"))
    columns = [*SESSIONS.schema.names(), AGE, FROM_DETAIL]
    winners = merged.with_columns(detail_won.alias(FROM_DETAIL)).select(columns)
    superseded = merged.filter(has_detail & ~detail_won).with_columns(
        pl.col(DETAIL_UPDATED).alias("session_updated"), pl.col(DETAIL_AGE).alias(AGE), pl.lit(True).alias(FROM_DETAIL)
    )
    return pl.concat([winners, superseded.select(columns)])


def newest_details(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the row of each session's newest detail, whose page views and errors are current."""
    return _newest_first(rows.filter(FROM_DETAIL)).unique("session_id", keep="first", maintain_order=True)


def _newest_first(rows: pl.DataFrame) -> pl.DataFrame:
    updated = pl.col("session_updated")
    if rows.schema[AGE].is_temporal():  # a replay has the answers' numbers instead
        # A time after that of the answer is a mistake. It must not win for ever over the right ones that follow.
        updated = pl.when(updated > pl.col(AGE) + pl.duration(days=1)).then(None).otherwise(updated)
    return rows.sort(updated, FROM_DETAIL, AGE, descending=True, nulls_last=True, maintain_order=True)
