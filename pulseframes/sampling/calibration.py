"""Calibrate weights to totals that are known for all sessions, such as sessions per country or page views (raking).

Deville and Särndal (1992): the weights nearest to the design weights, by the raking distance, and never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.sampling.columns import AUXILIARY, PROBABILITY, WEIGHT
from pulseframes.sampling.inference import numpy

#: Values that fewer of the sampled sessions have are merged.
_FEWEST: Final = 5
_STEPS: Final = 60
_CLOSE: Final = 1e-10


def calibrate_weights(
    weighted: pl.DataFrame, population: pl.DataFrame, names: Sequence[str]
) -> tuple[pl.DataFrame, Any]:
    """Scale the weights of sessions so that they add up to the population's totals of some columns.

    Numeric columns are calibrated to their totals, others to the auxiliary of each value: its number of sessions or, for questions about
    page views, of page views. Sessions that were certain to be drawn represent themselves: they keep their weights, and the others are
    calibrated to the rest. The second item is the matrix that the weights were calibrated with, one row per session, with zeros for those
    that were certain. Raises ``InvalidQuery`` if no such weights exist.
    """
    np = numpy()
    columns = [pl.col(AUXILIARY)]
    by_views = not (population[AUXILIARY] == 1).all()
    for name in names:
        if not (by_views and name == "page_view_count"):  # which is the auxiliary
            columns += _margins(weighted, name)
    sampled, everyone = (frame.select(columns).to_numpy().astype(float) for frame in (weighted, population))
    random = (weighted[PROBABILITY] < 1).to_numpy()
    start = weighted[WEIGHT].to_numpy().astype(float)
    scale = np.maximum(np.abs(everyone).mean(axis=0), 1e-12)
    totals = (everyone.sum(axis=0) - start[~random] @ sampled[~random]) / scale
    matrix = np.where(random[:, None], sampled / scale, 0.0)
    # Per unit of the auxiliary, as a session's value varies in proportion to it: a factor for all sessions with the same values.
    auxiliary = weighted[AUXILIARY].to_numpy().astype(float)
    exponents = np.divide(matrix, auxiliary[:, None], out=np.zeros_like(matrix), where=auxiliary[:, None] > 0)
    slopes = np.zeros(matrix.shape[1])
    for _ in range(_STEPS):
        weights = start * np.exp(np.clip(exponents @ slopes, -30, 30))
        missing = totals - matrix.T @ weights
        if np.abs(missing).max() <= _CLOSE * len(population):
            return weighted.with_columns(pl.Series(WEIGHT, weights)), matrix
        slopes += np.linalg.pinv(matrix.T @ (exponents * weights[:, None])) @ missing
    raise InvalidQuery(
        f"calibrate: no weights of {len(weighted)} sessions add up to the known totals of {', '.join(names)}. Name fewer "
        "columns, or download more details.",
        argument="calibrate",
    )


def _margins(weighted: pl.DataFrame, name: str) -> list[pl.Expr]:
    """Return a numeric column as it is, and another one as the auxiliary of each of its common values."""
    if weighted.schema[name].is_numeric():
        return [pl.col(name).cast(pl.Float64).fill_null(0.0)]
    counts = weighted.group_by(name).len().filter(pl.col("len") >= _FEWEST).sort("len", name, descending=True)
    common = counts[name].to_list()
    if counts["len"].sum() == len(weighted):  # the other values add up to all but the first
        common = common[1:]
    return [
        (pl.col(name).eq_missing(pl.lit(value)).cast(pl.Float64) * pl.col(AUXILIARY)).alias(f"{name}={value}")
        for value in common
    ]
