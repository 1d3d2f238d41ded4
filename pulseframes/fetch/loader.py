"""Puts a run's answers into a lake as they come, and keeps count."""

from __future__ import annotations

import polars as pl

from pulseframes.endpoints import DETAIL, Endpoint
from pulseframes.fetch.answers import Run
from pulseframes.flatten import AGE, parse_answers
from pulseframes.lake import Batch, Lake, Written
from pulseframes.tables import INSTANT, ITEM_TABLES, SESSIONS


class Loader:
    """What came, and what became of it in the lake.

    Parameters
    ----------
    lake : Lake
        Where the answers go.

    Attributes
    ----------
    written : Written
        What the lake did with them.
    kept : int
        Answers that cost nothing.
    detailed : set of int
        The sessions whose details came.
    drift, truncated, rejected
        What the user is to be warned of.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self.written = Written()
        self.kept = 0
        self.detailed: set[int] = set()
        self.drift: set[str] = set()
        self.truncated: list[tuple[str, int]] = []
        self.rejected: list[pl.DataFrame] = []

    def take(self, run: Run, endpoint: Endpoint) -> None:
        """Put the answers that came since the last time into the lake."""
        bodies, parts = run.drain()
        if not bodies:
            return
        result = parse_answers(bodies, endpoint)
        sessions = result.frames[SESSIONS.name]
        times = pl.Series([part.fetched_at for part in parts], dtype=INSTANT)
        batch = Batch(
            sessions=sessions.with_columns(times.gather(result.body_indices).alias(AGE)),
            items={table.name: result.frames[table.name] for table in ITEM_TABLES} if endpoint is DETAIL else None,
            rejected=result.rejected.with_columns(pl.lit(times.max(), times.dtype).alias(AGE)),
        )
        self.written.add(self._lake.put(batch))
        self.kept += sum(part.kept for part in parts)
        self.drift.update(result.drift)
        self.truncated += result.truncated
        if endpoint is DETAIL:
            self.detailed.update(sessions["session_id"])
        if not result.rejected.is_empty():
            self.rejected.append(result.rejected)
