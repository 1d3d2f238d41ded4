"""Calibrate weights to totals that are known for all sessions, such as sessions per country or page views (raking).

Deville and Särndal (1992): the weights nearest to the design weights, by the raking distance, and never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.sampling.columns import AUXILIARY, WEIGHT
from pulseframes.sampling.inference import numpy

#: Values that fewer of the sampled sessions have are merged.
_FEWEST: Final = 5
_STEPS: Final = 60
_CLOSE: Final = 1e-10


def calibrate_weights(
    weighted: pl.DataFrame, population: pl.DataFrame, names: Sequence[str]
) -> tuple[pl.DataFrame, Any]:
    """Scale the weights of sessions so that they add up to the population's totals of some columns.

    Numeric columns are calibrated to their totals, others to the number of sessions with each value. The second item is the
    matrix that the weights were calibrated with, one row per session. Raises ``InvalidQuery`` if no such weights exist.
    """
    np = numpy()
    columns = [pl.lit(1.0).alias("_one"), pl.col(AUXILIARY)]
    for name in names:
        columns += _indicators(weighted, name)
    sampled, everyone = (frame.select(columns).to_numpy().astype(float) for frame in (weighted, population))
    scale = np.maximum(np.abs(everyone).mean(axis=0), 1e-12)
    matrix, totals = sampled / scale, everyone.sum(axis=0) / scale
    start = weighted[WEIGHT].to_numpy().astype(float)
    slopes = np.zeros(matrix.shape[1])
    for _ in range(_STEPS):
        weights = start * np.exp(np.clip(matrix @ slopes, -30, 30))
        missing = totals - matrix.T @ weights
        if np.abs(missing).max() <= _CLOSE * len(population):
            return weighted.with_columns(pl.Series(WEIGHT, weights)), matrix
        slopes += np.linalg.pinv(matrix.T @ (matrix * weights[:, None])) @ missing
    raise InvalidQuery(
        f"calibrate: no weights of {len(weighted)} sessions add up to the known totals of {', '.join(names)}. Name fewer "
        "columns, or download more details.",
        argument="calibrate",
    )


def _indicators(weighted: pl.DataFrame, name: str) -> list[pl.Expr]:
    """Return a numeric column as it is, and another one as a column of ones and zeros for each of its common values."""
    if weighted.schema[name].is_numeric():
        return [pl.col(name).cast(pl.Float64).fill_null(0.0)]
    counts = weighted.group_by(name).len().filter(pl.col("len") >= _FEWEST).sort("len", name, descending=True)
    common = counts[name].to_list()
    if counts["len"].sum() == len(weighted):  # the other values add up to all but the first
        common = common[1:]
    return [pl.col(name).eq_missing(pl.lit(value)).cast(pl.Float64).alias(f"{name}={value}") for value in common]
