"""Sites of a few sessions whose every page view is given."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

import pulseframes as pf
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS

BEGIN = datetime(2026, 11, 9, tzinfo=UTC)


class Site:
    """The summaries and details of sessions numbered from 1.

    Parameters
    ----------
    loads : sequence of sequences of int
        The load times of each session's page views.
    told : sequence of int or None, or None
        The page view counts of the summaries; by default, the right ones.
    errors : sequence of int, or None
        The number of errors of each session; by default, none.
    columns
        More columns of the sessions.
    """

    def __init__(
        self,
        loads: Sequence[Sequence[int]],
        *,
        told: Sequence[int | None] | None = None,
        errors: Sequence[int] | None = None,
        **columns: Any,
    ) -> None:
        ids = range(1, len(loads) + 1)
        lengths = [len(times) for times in loads]
        given = {"session_id": ids, "session_start": [BEGIN + timedelta(minutes=number) for number in ids]} | columns
        sessions = _filled(SESSIONS, {**given, "status": ["ended"] * len(loads)})
        views = {
            "session_id": [number for number, times in zip(ids, loads, strict=True) for _ in times],
            "view_index": [index for times in loads for index in range(len(times))],
            "loading_time_ms": [time for times in loads for time in times],
        }
        counts = errors or [0] * len(loads)
        failures = {
            "session_id": [number for number, count in zip(ids, counts, strict=True) for _ in range(count)],
            "error_index": [index for count in counts for index in range(count)],
        }
        self.summaries = sessions.with_columns(page_view_count=pl.Series(told or lengths, dtype=pl.Int64))
        self.details = pf.SessionFrames(
            sessions.with_columns(page_view_count=pl.Series(lengths, dtype=pl.Int64)),
            _filled(PAGE_VIEWS, views),
            _filled(ERRORS, failures),
        )

    def sample(self, calls: int, seed: int = 0, design: Any = "pageviews") -> pf.Sample:
        """Draw a sample of its details."""
        chosen = pf.choose_details(self.summaries, calls, design=design, seed=seed)
        drawn = pl.col("session_id").is_in(chosen["session_id"].implode())
        details = pf.SessionFrames(*(frame.filter(drawn) for frame in self.details.tables().values()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pf.IncompleteWarning)
            return pf.Sample.of_frames(self.summaries, chosen, details, design=design)


def _filled(table: Any, columns: dict[str, Any]) -> pl.DataFrame:
    frame = pl.DataFrame({name: pl.Series(values, dtype=table.schema[name]) for name, values in columns.items()})
    return pl.concat([table.empty(), frame], how="diagonal")
