"""What a lake remembers of a design: which times its sessions come from, and at what rate those of each time were drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

import polars as pl

from pulseframes.sampling.design import Design
from pulseframes.sampling.selection import STRATUM
from pulseframes.tables import INSTANT
from pulseframes.windows import Window

#: The column that a rate_window's rate is joined as; null for a session of no rate_window.
RATE: Final = "rate"


class RateWindow(NamedTuple):
    """Sessions that started in a window, and the rates at which they were drawn, by stratum."""

    window: Window
    rates: dict[str, float]


@dataclass
class DesignState:
    """What is known of a design.

    Attributes
    ----------
    design : Design
        The design.
    rate_windows : list of RateWindow
        What was drawn from: disjoint, in order; none before the first session is drawn.
    pending : dict of int to int
        The page views by which those were drawn whose details are being bought; empty once they are put down.
    """

    design: Design
    rate_windows: list[RateWindow] = field(default_factory=list)
    pending: dict[int, int] = field(default_factory=dict)

    @property
    def window(self) -> Window | None:
        """From the first rate_window's start to the last one's end."""
        return (
            Window(self.rate_windows[0].window.start, self.rate_windows[-1].window.end) if self.rate_windows else None
        )

    def raise_rates(self, window: Window, rates: Mapping[str, float]) -> None:
        """Note that a window's sessions had these chances, besides those that they had before."""
        edges = sorted(
            {edge for part in [window, *(rate_window.window for rate_window in self.rate_windows)] for edge in part}
        )
        rate_windows: list[RateWindow] = []
        for start, end in pairwise(edges):
            before = next(
                (
                    rate_window.rates
                    for rate_window in self.rate_windows
                    if rate_window.window.start <= start < rate_window.window.end
                ),
                None,
            )
            now = rates if window.start <= start < window.end else None
            if before is None and now is None:
                continue
            both = {
                name: max((before or {}).get(name, 0.0), (now or {}).get(name, 0.0))
                for name in sorted({*(before or {}), *(now or {})})
            }
            if rate_windows and rate_windows[-1].rates == both and rate_windows[-1].window.end == start:
                rate_windows[-1] = RateWindow(Window(rate_windows[-1].window.start, end), both)
            else:
                rate_windows.append(RateWindow(Window(start, end), both))
        self.rate_windows = rate_windows

    def drop_before(self, moment: datetime) -> None:
        """Forget what started before a time."""
        self.rate_windows = [
            RateWindow(Window(max(start, moment), end), rates)
            for (start, end), rates in self.rate_windows
            if end > moment
        ]

    def with_rate(self, population: pl.DataFrame) -> pl.DataFrame:
        """Give each session, by ``session_start`` and ``stratum``, the rate it was drawn at: 0 for no chance, null for no rate_window."""
        if not self.rate_windows:
            return population.with_columns(pl.lit(None, pl.Float64).alias(RATE))
        windows = pl.DataFrame(
            {
                "_start": [rate_window.window.start for rate_window in self.rate_windows],
                "_end": [rate_window.window.end for rate_window in self.rate_windows],
                "_cohort": range(len(self.rate_windows)),
            },
            schema={"_start": INSTANT, "_end": INSTANT, "_cohort": pl.Int64},
        )
        known = pl.DataFrame(
            [
                (number, name, rate)
                for number, rate_window in enumerate(self.rate_windows)
                for name, rate in rate_window.rates.items()
            ],
            schema={"_cohort": pl.Int64, STRATUM: pl.String, RATE: pl.Float64},
            orient="row",
        )
        return (
            population.sort("session_start", "session_id")
            .join_asof(windows, left_on="session_start", right_on="_start", strategy="backward")
            .with_columns(pl.when(pl.col("session_start") < pl.col("_end")).then("_cohort").alias("_cohort"))
            .join(known, on=["_cohort", STRATUM], how="left")
            .with_columns(pl.when(pl.col("_cohort").is_not_null()).then(pl.col(RATE).fill_null(0.0)).alias(RATE))
            .drop("_start", "_end", "_cohort", strict=False)
        )


def same_design(drawn: Sequence[DesignState], design: Design) -> DesignState | None:
    """Give what is known of a design; None where it is new."""
    return next((one for one in drawn if (one.design.name, one.design.seed) == (design.name, design.seed)), None)


def names_of(drawn: Iterable[DesignState]) -> str:
    """Name designs for a message."""
    return ", ".join(f"{one.design.name} (seed {one.design.seed})" for one in drawn)


def of_design(design: Design) -> pl.Expr:
    """Tell the rows of the design's table that are a design's."""
    return (pl.col("design") == design.name) & (pl.col("seed") == design.seed)
