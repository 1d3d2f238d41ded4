"""At what rate sessions are drawn, and what a lake remembers of it: a design's windows, with the rates of their strata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import polars as pl

from pulseframes.sampling.columns import PROBABILITY, RATE, SIZE, STRATUM
from pulseframes.sampling.design import Design, stratum_shares
from pulseframes.tables.lake_tables import SETTLED_AT
from pulseframes.windows import Instant, Window, subtract

#: Strata with fewer sampled sessions are pooled: one session shows nothing of how sessions differ.
FEWEST: Final = 2
#: Relative differences below this are rounding.
_ROUNDING: Final = 1e-12


class RateWindow(NamedTuple):
    """The rates, by stratum, at which a draw selected from the sessions of a window.

    The draw could select the sessions that had settled in responses up to ``as_of``, the newest that it knew: all of the window if
    it is None, as in lakes of versions before 6.
    """

    window: Window
    rates: dict[str, float]
    as_of: Instant | None = None


@dataclass
class DesignState:
    """What a lake remembers of a design.

    Attributes
    ----------
    design : Design
        The design.
    rate_windows : list of RateWindow
        The windows that were drawn from, in the order of the draws; they may overlap. None before the first session is drawn.
    pending : dict of int to int
        The sessions whose details are being downloaded, with the page views they were drawn by; empty once they are recorded.
    """

    design: Design
    rate_windows: list[RateWindow] = field(default_factory=list)
    pending: dict[int, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name and seed, for messages."""
        return f"{self.design.name} (seed {self.design.seed})"

    @property
    def window(self) -> Window | None:
        """From the start of the first window to the end of the last."""
        if not self.rate_windows:
            return None
        windows = [part.window for part in self.rate_windows]
        return Window(min(window.start for window in windows), max(window.end for window in windows))

    def add_rates(self, window: Window, rates: Mapping[str, float], as_of: datetime | None = None) -> None:
        """Record the rates of a draw. Those of earlier draws stay where they were higher, for the sessions that these could select."""
        drawn = RateWindow(window, dict(rates), as_of)
        kept: list[RateWindow] = []
        for part in self.rate_windows:
            lower = all(rate <= drawn.rates.get(name, 0.0) for name, rate in part.rates.items())
            left = subtract([part.window], [window]) if lower else [part.window]
            kept += [part._replace(window=rest) for rest in left]
        self.rate_windows = [*kept, drawn]

    def drop_before(self, moment: datetime) -> None:
        """Forget the windows before a time."""
        self.rate_windows = [
            part._replace(window=Window(max(part.window.start, moment), part.window.end))
            for part in self.rate_windows
            if part.window.end > moment
        ]

    def with_rate(self, population: pl.DataFrame) -> pl.DataFrame:
        """Add each session's highest rate of the draws that could select it: 0 if none could, null if its start is in no window."""
        names = population[STRATUM].unique().sort()
        strata = pl.DataFrame({STRATUM: names, "_number": range(len(names))}, schema_overrides={"_number": pl.UInt32})
        rated = population.join(strata, on=STRATUM, how="left").sort("session_start", "session_id")
        rated = rated.with_columns(pl.lit(None, pl.Float64).alias(RATE))
        for part in self.rate_windows:  # one by one: a year of draws from a million sessions must fit into memory
            rated = rated.with_columns(pl.max_horizontal(RATE, _rate_in(part, names)).alias(RATE))
        return rated.drop("_number")


def _rate_in(drawn: RateWindow, strata: pl.Series) -> pl.Expr:
    """Return the rate of a draw, by the numbers of the strata: 0 for sessions that had not settled, null outside its window."""
    rates = pl.lit(pl.Series([drawn.rates.get(name, 0.0) for name in strata], dtype=pl.Float64))
    inside = pl.col("session_start").is_between(*drawn.window, closed="left")
    late = pl.lit(value=False) if drawn.as_of is None else (pl.col(SETTLED_AT) > drawn.as_of).fill_null(value=False)
    return pl.when(inside).then(pl.when(late).then(0.0).otherwise(rates.gather(pl.col("_number"))))


def same_design(states: Iterable[DesignState], design: Design) -> DesignState | None:
    """Return the state of a design; None if there is none."""
    return next((s for s in states if (s.design.name, s.design.seed) == (design.name, design.seed)), None)


def names_of(states: Iterable[DesignState]) -> str:
    """Return the names of designs, for a message."""
    return ", ".join(state.label for state in states)


def of_design(design: Design) -> pl.Expr:
    """Return a filter for the rows of the ``design`` table that belong to a design."""
    return (pl.col("design") == design.name) & (pl.col("seed") == design.seed)


def probability() -> pl.Expr:
    """Return the inclusion probability of each session, by its size and rate."""
    chance = pl.col(SIZE) * pl.col(RATE)
    return pl.when(chance > 1 - _ROUNDING).then(1.0).otherwise(chance).alias(PROBABILITY)


def stratum_rates(
    population: pl.DataFrame, design: Design, ids: pl.Series, before: pl.Expr | float = 0.0
) -> pl.DataFrame:
    """Return the rate of each stratum: the inclusion probability per unit of size.

    The probabilities of a stratum's sessions add up to the number of sessions drawn, whose ids are given, and are never below
    those before.
    """
    drawn = pl.col("session_id").is_in(ids.implode()).alias("_drawn")
    sessions = population.select(STRATUM, SIZE, drawn, _before=before)
    counts = sessions.group_by(STRATUM).agg(pl.col("_drawn").sum().alias("_count"))
    strata = (
        stratum_shares(population, design)
        .join(counts, on=STRATUM)
        .with_columns(
            (pl.col("share") / pl.col("_size")).alias("_per_unit"),
            pl.when(pl.col("_count") >= FEWEST).then(STRATUM).alias("_pool"),  # null for strata that are pooled
        )
    )
    sessions = sessions.join(strata, on=STRATUM, how="left").with_columns(pl.col(SIZE) * pl.col("_per_unit"))
    factors = [(pool, _factor(part)) for (pool,), part in sessions.partition_by("_pool", as_dict=True).items()]
    scaled = pl.DataFrame(factors, schema={"_pool": pl.String, "_factor": pl.Float64}, orient="row")
    return (
        strata.join(scaled, on="_pool", how="left", nulls_equal=True)
        .select(STRATUM, (pl.col("_per_unit") * pl.col("_factor")).alias(RATE))
        .sort(STRATUM)
    )


def _factor(sessions: pl.DataFrame) -> float:
    """Return the f with which max(before, min(1, f * size)) adds up to the number of sessions drawn.

    As a function of f, that sum is piecewise linear. Its slope changes where a session's probability begins to grow, and where
    it reaches 1.
    """
    size, before, drawn = pl.col(SIZE), pl.col("_before"), int(sessions["_drawn"].sum())
    if not drawn:
        return 0.0
    certain = float(sessions.select((1 / size).max()).item())
    if drawn == len(sessions):
        return certain
    grows = sessions.select((before / size).alias("at"), size.alias("slope"), (-before).alias("rest"))
    reaches = sessions.select((1 / size).alias("at"), (-size).alias("slope"), pl.lit(1.0).alias("rest"))
    pieces = (
        pl.concat([grows, reaches])
        .sort("at")
        .select("at", pl.col("slope").cum_sum(), pl.col("rest").cum_sum() + float(sessions["_before"].sum()))
    )
    reached = pl.col("at").shift(-1) * pl.col("slope") + pl.col("rest") >= drawn
    rising = pl.col("slope") > float(sessions[SIZE].sum()) * _ROUNDING
    piece = pieces.filter(reached & rising).head(1)
    if piece.is_empty():
        return certain
    # The cumulative sums have rounded; the sessions that grow in this piece give the exact value.
    at = piece["at"].item()
    grow = (before / size <= at) & (1 / size > at)
    fixed = pl.when(1 / size <= at).then(1.0).otherwise(before).filter(~grow).sum()
    factor = float(sessions.select((drawn - fixed) / size.filter(grow).sum()).item())
    # A session that was drawn without a chance before has one now, however many others were drawn before.
    new = sessions.filter("_drawn", before == 0)
    if factor * float(new[SIZE].sum()) <= 0 and not new.is_empty():
        return len(new) / float(sessions.filter(before == 0)[SIZE].sum())
    return max(factor, 0.0)
