"""Weights that also give the totals that are known for every session: of countries, browsers, page views (raking).

Deville and Särndal (1992): the weights that are nearest to the design's, by the raking distance, and never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.sampling.inference import numpy
from pulseframes.sampling.weights import AUXILIARY, WEIGHT

#: Values that fewer of the sampled sessions have are taken together.
_FEWEST: Final = 5
_STEPS: Final = 60
_CLOSE: Final = 1e-10


def calibrated(weighed: pl.DataFrame, population: pl.DataFrame, names: Sequence[str]) -> tuple[pl.DataFrame, Any]:
    """Scale weights so that they add up to the population's totals of some columns.

    Parameters
    ----------
    weighed : polars.DataFrame
        What ``weigh()`` gives, with these columns.
    population : polars.DataFrame
        All sessions, with these columns and the auxiliary.
    names : sequence of str
        Numbers, whose totals are met; or anything else, the number of whose sessions is met for each value. Values of fewer
        than five sampled sessions are taken together.

    Returns
    -------
    tuple
        The sessions with their new ``weight``, and what it was calibrated to, a row a session.

    Raises
    ------
    InvalidQuery
        If no such weights are to be found.
    """
    np = numpy()
    known = [pl.lit(1.0).alias("_one"), pl.col(AUXILIARY).alias("_auxiliary")]
    for name in names:
        known += _columns(weighed, name)
    mine, all_of_it = (frame.select(known).to_numpy().astype(float) for frame in (weighed, population))
    scale = np.maximum(np.abs(all_of_it).mean(axis=0), 1e-12)
    matrix, totals = mine / scale, all_of_it.sum(axis=0) / scale
    start = weighed[WEIGHT].to_numpy().astype(float)
    slopes = np.zeros(matrix.shape[1])
    for _ in range(_STEPS):
        weights = start * np.exp(np.clip(matrix @ slopes, -30, 30))
        missing = totals - matrix.T @ weights
        if np.abs(missing).max() <= _CLOSE * len(population):
            return weighed.with_columns(pl.Series(WEIGHT, weights)), matrix
        slopes += np.linalg.pinv(matrix.T @ (matrix * weights[:, None])) @ missing
    raise InvalidQuery(
        f"calibrate: no weights of {len(weighed)} sessions give the known totals of {', '.join(names)}; name fewer columns, or buy "
        "more details.",
        argument="calibrate",
    )


def _columns(weighed: pl.DataFrame, name: str) -> list[pl.Expr]:
    """Give what a column is calibrated by: itself, or a column of ones and zeros for each of its common values but one."""
    if weighed.schema[name].is_numeric():
        return [pl.col(name).cast(pl.Float64).fill_null(0.0)]
    counts = weighed.group_by(name).len().filter(pl.col("len") >= _FEWEST).sort("len", name, descending=True)
    common = counts[name].to_list()
    rest = len(weighed) - int(counts["len"].sum())
    if not rest:  # the others add up to all but this one
        common = common[1:]
    return [pl.col(name).eq_missing(pl.lit(value)).cast(pl.Float64).alias(f"{name}={value}") for value in common]
