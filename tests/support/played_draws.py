"""Draws from a lake whose summaries come in steps, each for many seeds, without files and without calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import polars as pl

import pulseframes as pf
from pulseframes.fetch.draw import SampleDraw
from pulseframes.lake import LakeState
from pulseframes.sampling.population import population_of, with_probability
from pulseframes.sampling.rates import DesignState
from pulseframes.tables import DESIGN, SESSIONS, partitioned
from pulseframes.windows import Coverage, ReadWindow, Window

BEGIN = datetime(2026, 11, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def summary(session_id: int, start: float, views: int | None, updated: float, *, ended: bool = True) -> dict[str, Any]:
    """Return a session's summary, with its times as hours since ``BEGIN``."""
    return {
        "session_id": session_id,
        "session_start": BEGIN + start * HOUR,
        "session_updated": BEGIN + updated * HOUR,
        "status": "ended" if ended else "active",
        "page_view_count": views,
    }


def as_stored(folder: Path, steps: Sequence[tuple[float, Sequence[dict[str, Any]]]]) -> list[pl.DataFrame]:
    """Write summaries to a lake at some hours, and return what its sessions are after each."""
    lake, stored = pf.Lake(folder), list[pl.DataFrame]()
    for hour, rows in steps:
        lake.write(pl.DataFrame(rows, schema=SESSIONS.schema), fetched_at=BEGIN + hour * HOUR)
        stored.append(lake.sessions().collect())
    return stored


class PlayedLake:
    """What a draw needs of a lake: the sessions of a step, and the details and design rows of one seed."""

    def __init__(self, design: pf.Design) -> None:
        self.design_used = design
        self.known = LakeState()
        self.rows = pl.DataFrame()
        self.drawn = pl.DataFrame(schema=partitioned(DESIGN))
        self.bought: list[int] = []
        #: The page views that details list, where they differ from summaries.
        self.listed: dict[int, int] = {}

    def buy(self, rows: pl.DataFrame, details: int, window: tuple[float, float]) -> list[int]:
        """Draw from the sessions that the lake has at some step, and return those whose details were bought."""
        span = Window(*(BEGIN + hour * HOUR for hour in window))
        covered = [*self.known.coverage.windows(), span]
        self.known.coverage = Coverage([ReadWindow(min(covered)._replace(end=max(part.end for part in covered)), None)])
        self.rows = rows
        draw = SampleDraw(cast("pf.Lake", self), self.design_used, span)
        new = draw.pending()[:details]
        draw.begin(new)
        self.bought += new
        draw.record()
        return new

    def chances(self) -> dict[int, float]:
        """Return what is said of all sessions that the sample represents: the probability that they were drawn."""
        [state] = [state for state in self.known.designs if state.design == self.design_used]
        ended = self.rows.filter(pl.col("status") != "active")
        rated = state.with_rate(population_of(ended, state.design, self.drawn)).drop_nulls("rate")
        return dict(with_probability(rated).select("session_id", "inclusion_probability").iter_rows())

    def designs(self) -> DesignState:
        """Return the state of the design."""
        return self.known.designs[-1]

    # What a lake offers to a draw

    def state(self) -> LakeState:
        return self.known

    def save_state(self) -> None:
        """Keep the state, which is in memory."""

    def sessions(self) -> pl.LazyFrame:
        has_details = pl.col("session_id").is_in(self.bought)
        listed = pl.col("session_id").replace_strict(self.listed, default=None, return_dtype=pl.Int64)
        return self.rows.lazy().with_columns(
            pl.when(has_details).then("session_updated").alias("detail_updated"),
            pl.when(has_details).then("fetched_at").alias("detail_fetched_at"),
            pl.coalesce(pl.when(has_details).then(listed), "page_view_count").alias("page_view_count"),
        )

    def design(self) -> pl.LazyFrame:
        return self.drawn.lazy()

    def put_design(self, name: str, seed: int, rows: pl.DataFrame) -> None:
        others = self.drawn.filter((pl.col("design") != name) | (pl.col("seed") != seed))
        self.drawn = pl.concat([others, rows.select(others.columns)])
