"""Loads answers into a lake as they arrive, and keeps count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from pulseframes.client import Answer
from pulseframes.endpoints import DETAIL, Endpoint
from pulseframes.flatten import AGE, ParsedAnswers, parse_answers
from pulseframes.lake import Batch, Lake, Written
from pulseframes.tables import INSTANT, ITEM_TABLES, SESSIONS


class Loader:
    """Flattens answers and writes them to a lake.

    Attributes
    ----------
    written : Written
        What the lake did with the rows.
    kept : int
        Answers that cost nothing.
    detailed : set of int
        The sessions whose details were loaded.
    drift, truncated, rejected
        What to warn the user of.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self.written = Written()
        self.kept = 0
        self.detailed: set[int] = set()
        self.drift: set[str] = set()
        self.truncated: list[tuple[str, int]] = []
        self.rejected: list[pl.DataFrame] = []

    def add(self, answers: Sequence[Answer], endpoint: Endpoint) -> None:
        """Write the rows of some answers to the lake."""
        if not answers:
            return
        parsed = parse_answers([answer.body for answer in answers], endpoint)
        self.load(parsed, endpoint, [answer.asked_at for answer in answers])
        self.kept += sum(answer.kept for answer in answers)

    def load(
        self,
        parsed: ParsedAnswers,
        endpoint: Endpoint,
        asked_at: Sequence[datetime],
        *,
        only: pl.Expr = pl.lit(value=True),  # noqa: B008  an expression never changes
    ) -> None:
        """Write the rows of parsed answers to the lake: those of the sessions that a filter selects."""
        times = pl.Series(asked_at, dtype=INSTANT)
        sessions = parsed.frames[SESSIONS.name].with_columns(times.gather(parsed.body_indices).alias(AGE)).filter(only)
        batch = Batch(
            sessions=sessions,
            items={table.name: parsed.frames[table.name] for table in ITEM_TABLES} if endpoint is DETAIL else None,
            rejected=parsed.rejected.with_columns(pl.lit(times.max(), times.dtype).alias(AGE)),
        )
        self.written.add(self._lake.put(batch))
        self.drift.update(parsed.drift)
        self.truncated += parsed.truncated
        if endpoint is DETAIL:
            self.detailed.update(sessions["session_id"])
        if not parsed.rejected.is_empty():
            self.rejected.append(parsed.rejected)
