"""Calibrate weights to what is known of all sessions, such as sessions per country, or their mean predicted slowness (raking).

Deville and Särndal (1992): the weights nearest to the design weights, by the raking distance, and never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.sampling.columns import AUXILIARY, CELL, PREDICTION, PROBABILITY, WEIGHT
from pulseframes.sampling.inference import numpy

#: Values that fewer of the sampled sessions have are merged.
_FEWEST: Final = 5
_STEPS: Final = 60
_CLOSE: Final = 1e-10
#: Mean predictions further apart, in standard errors, are no chance.
_FAR: Final = 4.0
#: A prediction must not change a weight by more than this factor.
_MOST: Final = 5.0


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
    weights = _raked(start, matrix, weighted[AUXILIARY].to_numpy().astype(float), totals, _CLOSE * len(population))
    if weights is None:
        raise InvalidQuery(
            f"calibrate: no weights of {len(weighted)} sessions add up to the known totals of {', '.join(names)}. Name fewer "
            "columns, or download more details.",
            argument="calibrate",
        )
    return weighted.with_columns(pl.Series(WEIGHT, weights)), matrix


def calibrate_to_predictions(weighted: pl.DataFrame, population: pl.DataFrame) -> tuple[pl.DataFrame, Any] | None:
    """Scale the weights of sessions so that their mean ``_prediction`` is the population's; both frames have that column.

    The auxiliary's totals in each cell stay as they are, and sessions that were certain to be drawn keep their weights. The second
    item is as for ``calibrate_weights()``. None if that is impossible, or would change a weight by more than a factor of ``_MOST``; and
    if the two means differ by more than chance explains, as where details name countries otherwise than summaries do.
    """
    np = numpy()
    others = population.filter(pl.col(PROBABILITY) < 1, pl.col(AUXILIARY) > 0)
    if others.is_empty():
        return None
    known, predictions = (others[name].to_numpy() for name in (AUXILIARY, PREDICTION))
    mean = known @ predictions / known.sum()
    random = (weighted[PROBABILITY] < 1).to_numpy()
    auxiliary, start = (weighted[name].to_numpy().astype(float) for name in (AUXILIARY, WEIGHT))
    cells = weighted[CELL].rank("dense").to_numpy().astype(int) - 1
    matrix = auxiliary[:, None] * np.eye(int(cells.max(initial=-1)) + 2)[cells]
    matrix[:, -1] = auxiliary * np.where(random, weighted[PREDICTION].to_numpy() - mean, 0.0)
    totals = start @ matrix
    drawn = auxiliary * random
    if not drawn.any():
        return None
    parts = start * (matrix[:, -1] - totals[-1] / (start @ drawn) * drawn)
    if abs(totals[-1]) > _FAR * float(parts @ parts) ** 0.5:
        return None
    totals[-1] = 0.0
    weights = _raked(start, matrix, auxiliary, totals, _CLOSE * float(start @ auxiliary))
    if weights is None or (weights > _MOST * start).any() or (weights * _MOST < start).any():
        return None
    return weighted.with_columns(pl.Series(WEIGHT, weights)), matrix


def _raked(start: Any, matrix: Any, auxiliary: Any, totals: Any, tolerance: float) -> Any:
    """Return the weights nearest to the first ones with which the matrix adds up to some totals; None if there are none.

    A weight's exponent is linear in its row per unit of the auxiliary, as a session's value varies in proportion to that: a factor for
    all sessions with the same values.
    """
    np = numpy()
    exponents = np.divide(matrix, auxiliary[:, None], out=np.zeros_like(matrix), where=auxiliary[:, None] > 0)
    slopes = np.zeros(matrix.shape[1])
    for _ in range(_STEPS):
        weights = start * np.exp(np.clip(exponents @ slopes, -30, 30))
        missing = totals - matrix.T @ weights
        if np.abs(missing).max() <= tolerance:
            return weights
        slopes += np.linalg.pinv(matrix.T @ (exponents * weights[:, None])) @ missing
    return None


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
