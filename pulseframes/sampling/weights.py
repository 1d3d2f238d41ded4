"""How many sessions each drawn session speaks for: design weights, made up for those without an answer, scaled to known totals."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.sampling.selection import FEWEST, PROBABILITY, SIZE, STRATUM

RESPONDED: Final = "responded"
WEIGHT: Final = "weight"
#: What the weights are scaled by: in each cell they make it add up to what the population has of it.
AUXILIARY: Final = "_auxiliary"
#: Sessions whose variation is looked at together, and those that a total is known for.
GROUP: Final = "_group"
CELL: Final = "_cell"
#: How much of a session's chance is certain: what is drawn for sure, and answers, does not vary.
FRACTION: Final = "_fraction"

_POOLED: Final = "\0pooled"  # no stratum's name


def weigh(population: pl.DataFrame, members: pl.DataFrame, auxiliary: pl.Expr | None = None) -> pl.DataFrame:
    """Give the sessions that were drawn and have an answer their weights.

    A weight is the inverse of the inclusion probability, scaled so that what is known for every session adds up to its known
    total, in each stratum: that makes up for chance and for those without an answer at once. Those that were drawn for sure
    are scaled by themselves.

    Parameters
    ----------
    population : polars.DataFrame
        All sessions: ``session_id``, ``stratum``, ``size``, ``inclusion_probability``.
    members : polars.DataFrame
        Those that were drawn: these columns, and ``responded``.
    auxiliary : polars.Expr or None
        What the weights are scaled to the total of; the size, if not given.

    Returns
    -------
    polars.DataFrame
        The members that responded, with ``weight`` and what a variance is made of.
    """
    known = pl.col(SIZE) if auxiliary is None else auxiliary
    population, members = (
        frame.with_columns(known.cast(pl.Float64).alias(AUXILIARY)) for frame in (population, members)
    )
    groups = _groups(members, population)
    population, members = (_in_cells(frame, groups) for frame in (population, members))
    there = members.filter(RESPONDED)
    answers = there.group_by(CELL).agg(pl.len().alias("_answers"))
    # Where nobody of a cell answered, the other cell of its group speaks for it.
    empty = population.join(answers, on=CELL, how="anti")[GROUP].unique()
    population, members = (
        frame.with_columns(pl.when(pl.col(GROUP).is_in(empty.implode())).then(GROUP).otherwise(CELL).alias(CELL))
        for frame in (population, members)
    )
    there = members.filter(RESPONDED)
    totals = population.group_by(CELL).agg(pl.col(AUXILIARY).sum().alias("_total"))
    sampled = there.group_by(CELL).agg((pl.col(AUXILIARY) / pl.col(PROBABILITY)).sum().alias("_sampled"))
    response = members.group_by(CELL).agg(pl.col(RESPONDED).mean().alias("_response"))
    weighed = there
    for known_of_cell in (totals, sampled, response):
        weighed = weighed.join(known_of_cell, on=CELL, how="left", maintain_order="left")
    return weighed.with_columns(
        # Where those that answered have nothing of it, it cannot scale them.
        (
            pl.when(pl.col("_sampled") > 0).then(pl.col("_total") / pl.col("_sampled")).otherwise(1.0)
            / pl.col(PROBABILITY)
        ).alias(WEIGHT),
        (pl.col(PROBABILITY) * pl.col("_response")).alias(FRACTION),
    ).drop("_total", "_sampled", "_response")


def _groups(members: pl.DataFrame, population: pl.DataFrame) -> pl.DataFrame:
    """Give the group of each stratum: itself, or one for all those with too few answers to tell how sessions differ."""
    answers = members.group_by(STRATUM).agg(pl.col(RESPONDED).sum().alias("_answers"))
    strata = (
        population.select(pl.col(STRATUM).unique())
        .join(answers, on=STRATUM, how="left")
        .with_columns(pl.col("_answers").fill_null(0))
        .sort("_answers", STRATUM)
    )
    few = strata.filter(pl.col("_answers") < FEWEST)
    if not few.is_empty() and few["_answers"].sum() < FEWEST:
        few = strata.head(len(few) + 1)  # the next one speaks for them
    pooled = pl.col(STRATUM).is_in(few[STRATUM].implode())
    return strata.select(STRATUM, pl.when(pooled).then(pl.lit(_POOLED)).otherwise(STRATUM).alias(GROUP))


def _in_cells(frame: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    certain = pl.when(pl.col(PROBABILITY) >= 1).then(pl.lit("\0certain")).otherwise(pl.lit(""))
    return frame.join(groups, on=STRATUM, how="left", maintain_order="left").with_columns(
        (pl.col(GROUP) + certain).alias(CELL)
    )
