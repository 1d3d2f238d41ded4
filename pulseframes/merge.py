"""Several answers about one session made into one: what is newer wins, and a summary never erases what a detail knew."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.tables import SESSIONS, Answer

#: Columns that each row to be merged has besides the declared ones: whether a detail answer made it, and its rank by age.
FROM_DETAIL: Final = "_detail"
AGE: Final = "_age"
MERGE_COLUMNS: Final = pl.Schema({FROM_DETAIL: pl.Boolean(), AGE: pl.Int64()})

_ONLY_IN_DETAILS: Final = [column.name for column in SESSIONS.columns if column.answer is Answer.DETAIL]


def newest_sessions(rows: pl.DataFrame) -> pl.DataFrame:
    """Make one row of all the rows about each session.

    The row with the newest ``session_updated`` wins; of two with the same, a detail over a summary, and then the one that
    was fetched later. What only details have comes from the newest detail.

    Parameters
    ----------
    rows : polars.DataFrame
        The columns of the sessions table and ``MERGE_COLUMNS``.

    Returns
    -------
    polars.DataFrame
        The columns of the sessions table, in ``session_start``, ``session_id`` order.
    """
    newest_first = _newest_first(rows)
    winners = newest_first.unique("session_id", keep="first", maintain_order=True).drop(*_ONLY_IN_DETAILS)
    details = newest_first.filter(FROM_DETAIL).unique("session_id", keep="first", maintain_order=True)
    merged = winners.join(details.select("session_id", *_ONLY_IN_DETAILS), on="session_id", how="left")
    return merged.select(SESSIONS.schema.names()).sort("session_start", "session_id")


def newest_details(sessions: pl.DataFrame) -> pl.DataFrame:
    """Give ``session_id`` and ``_age`` of each session's newest detail: the one whose page views and errors are kept."""
    details = _newest_first(sessions.filter(FROM_DETAIL))
    return details.unique("session_id", keep="first", maintain_order=True).select("session_id", AGE)


def _newest_first(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("session_updated", FROM_DETAIL, AGE, descending=True, nulls_last=True)
