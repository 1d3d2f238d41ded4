"""How many sessions each sampled session represents: design weights, adjusted for nonresponse and scaled to known totals."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from pulseframes.sampling.columns import AUXILIARY, CELL, FRACTION, GROUP, PROBABILITY, RESPONDED, SIZE, STRATUM, WEIGHT
from pulseframes.sampling.rates import FEWEST

_POOLED: Final = "\0pooled"  # no stratum's name


def weigh(population: pl.DataFrame, members: pl.DataFrame, auxiliary: pl.Expr | None = None) -> pl.DataFrame:
    """Weight the sessions that were drawn and responded.

    A weight is the inverse of the inclusion probability, scaled in each cell so that the auxiliary adds up to the population's
    total. One step thus corrects for chance and for nonresponse. A cell is a stratum, or several small ones together; sessions that
    were certain to be drawn are a cell of their own, unless none of them responded. The auxiliary is the size by default.
    """
    auxiliary = pl.col(SIZE) if auxiliary is None else auxiliary
    population, members = (
        frame.with_columns(auxiliary.cast(pl.Float64).alias(AUXILIARY)) for frame in (population, members)
    )
    groups = _groups(population, members)
    population, members = (_with_cells(frame, groups) for frame in (population, members))
    silent = population.join(members.filter(RESPONDED), on=CELL, how="anti")[GROUP].unique()
    cell = pl.when(pl.col(GROUP).is_in(silent.implode())).then(GROUP).otherwise(CELL).alias(CELL)
    population, members = population.with_columns(cell), members.with_columns(cell)
    respondents = members.filter(RESPONDED)
    by_cell = [
        population.group_by(CELL).agg(pl.col(AUXILIARY).sum().alias("_total"), pl.len().alias("_all")),
        respondents.group_by(CELL).agg((pl.col(AUXILIARY) / pl.col(PROBABILITY)).sum().alias("_expected")),
        members.group_by(CELL).agg(
            pl.col(RESPONDED).mean().alias("_response"), pl.col(RESPONDED).sum().alias("_answered")
        ),
    ]
    weighted = respondents
    for figures in by_cell:
        weighted = weighted.join(figures, on=CELL, how="left", maintain_order="left")
    # Respondents with none of the auxiliary cannot be scaled by it.
    scale = pl.when(pl.col("_expected") > 0).then(pl.col("_total") / pl.col("_expected")).otherwise(1.0)
    fraction = pl.col(PROBABILITY) * pl.col("_response")
    # Certain sessions that also stand for others, none of which was drawn, are no census of these.
    stands_for_others = pl.col(GROUP).is_in(silent.implode())
    part = pl.min_horizontal(fraction, pl.col("_answered") / pl.col("_all"))
    return weighted.with_columns(
        (scale / pl.col(PROBABILITY)).alias(WEIGHT),
        pl.when(stands_for_others).then(part).otherwise(fraction).alias(FRACTION),
    ).drop("_total", "_expected", "_response", "_all", "_answered")


def sample_worth(population: pl.DataFrame, members: pl.DataFrame, counts: pl.Expr) -> float:
    """Return a sample's effective size for a question: for means over sessions if each counts 1, over page views if each counts its views."""
    weighted = weigh(population, members, counts)
    parts, fraction = ((weighted[WEIGHT] * weighted[AUXILIARY]).to_numpy(), weighted[FRACTION].to_numpy())
    return worth(parts, fraction < 1)


def design_worth(population: pl.DataFrame, counts: pl.Expr) -> float:
    """Return the effective size that a design gives to be expected, before a session is drawn, for a question as in ``sample_worth()``.

    A ``uniform`` sample of a site where a few sessions have most page views is worth a handful of them.
    """
    some = population.filter(pl.col(PROBABILITY) > 0).with_columns(counts.cast(pl.Float64).alias(AUXILIARY))
    squares = (pl.col(AUXILIARY) ** 2 / pl.col(PROBABILITY)).filter(pl.col(PROBABILITY) < 1)
    number = pl.col(PROBABILITY).filter(pl.col(AUXILIARY) != 0, pl.col(PROBABILITY) < 1)
    total, variance, most = some.select(pl.col(AUXILIARY).sum(), squares.sum().alias("_squares"), number.sum()).row(0)
    return min(float(total) ** 2 / float(variance), float(most)) if variance else float(len(some))


def worth(parts: Any, random: Any) -> float:
    """Return how many sessions of equal weight would show as much, from an array of each one's part of a total.

    It is Kish's effective size, but sessions that were certain to be drawn, which are not ``random``, add no error: a bot with half of all page
    views does not make the others worth less. No more than the random ones that have a part: only they show the error.
    """
    squares = float((parts[random] ** 2).sum())
    if not squares:
        return float((parts != 0).sum())
    return min(float((parts[random] != 0).sum()), float(parts.sum()) ** 2 / squares)


def effective_size(weights: Any, counts: Any = 1.0) -> float:
    """Return Kish's effective sample size, from an array or Series of weights, each of which occurs ``counts`` times."""
    squares = float((weights**2 * counts).sum())
    return float((weights * counts).sum()) ** 2 / squares if squares else 0.0


def _groups(population: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Return the group of each stratum: itself, or one for all strata with too few respondents to show any variance."""
    respondents = members.group_by(STRATUM).agg(pl.col(RESPONDED).sum().alias("_respondents"))
    strata = (
        population.select(pl.col(STRATUM).unique())
        .join(respondents, on=STRATUM, how="left")
        .with_columns(pl.col("_respondents").fill_null(0))
        .sort("_respondents", STRATUM)
    )
    few = strata.filter(pl.col("_respondents") < FEWEST)
    if not few.is_empty() and few["_respondents"].sum() < FEWEST:
        few = strata.head(len(few) + 1)  # still too few: the next stratum joins them
    pooled = pl.col(STRATUM).is_in(few[STRATUM].implode())
    return strata.select(STRATUM, pl.when(pooled).then(pl.lit(_POOLED)).otherwise(STRATUM).alias(GROUP))


def _with_cells(frame: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    certain = pl.when(pl.col(PROBABILITY) >= 1).then(pl.lit("\0certain")).otherwise(pl.lit(""))
    return frame.join(groups, on=STRATUM, how="left", maintain_order="left").with_columns(
        (pl.col(GROUP) + certain).alias(CELL)
    )
