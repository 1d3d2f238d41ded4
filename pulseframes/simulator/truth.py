"""The frames that a faultless client would make, built from the rows with no JSON in between."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from pulseframes.endpoints import SEARCH
from pulseframes.simulator.sessions import Row, Session, addressed
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS, Table


def detail_frames(sessions: Iterable[Session], base_url: str) -> dict[str, pl.DataFrame]:
    """Build the three tables as detail answers tell them.

    Returns
    -------
    dict of str to polars.DataFrame
        ``sessions`` in the order of session_start, session_id; ``page_views`` and ``errors`` in that of their keys.
    """
    rows: list[Row] = []
    page_views: list[Row] = []
    errors: list[Row] = []
    for session in sessions:
        views = session.page_views()
        rows.append({**addressed(session.row, base_url), "page_view_count": len(views)})
        page_views.extend(views)
        errors.extend(session.errors())
    return {
        SESSIONS.name: _frame(SESSIONS, rows).sort("session_start", "session_id"),
        PAGE_VIEWS.name: _frame(PAGE_VIEWS, page_views).sort(PAGE_VIEWS.key),
        ERRORS.name: _frame(ERRORS, errors).sort(ERRORS.key),
    }


def summary_frame(sessions: Iterable[Session], base_url: str) -> pl.DataFrame:
    """Build the sessions table as search answers tell it: what only a detail answer holds is null.

    Returns
    -------
    polars.DataFrame
        In the order of session_start, session_id.
    """
    frame = _frame(SESSIONS, [addressed(session.row, base_url) for session in sessions])
    unknown = [
        pl.lit(None, column.dtype).alias(column.name) for column in SESSIONS.columns if SEARCH not in column.endpoints
    ]
    return frame.with_columns(unknown).sort("session_start", "session_id")


def _frame(table: Table, rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table.schema, orient="row")
