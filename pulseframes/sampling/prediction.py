"""Predict how slow sessions are from what every summary has, so that a sample that is slower than all sessions can be corrected.

The prediction is for calibration (Wu and Sitter 2001): a good one makes intervals narrower. A bad one must not make figures wrong, so what a
session's own details say is no part of its prediction, and predictions that are no better than a mean are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import polars as pl

from pulseframes.sampling.columns import PREDICTION, VIEWS
from pulseframes.sampling.inference import numpy

#: The column of page views that is predicted.
PREDICTED: Final = "loading_time_ms"
_CATEGORIES: Final = ("country", "browser_name", "platform_name", "os_name")
#: The columns of summaries that it is predicted from, besides the page views by which sessions are drawn. Details do not change them; a
#: count or a length that details change would make sampled sessions look different from all others.
PREDICTORS: Final = ("session_start", *_CATEGORIES)
#: Fewer sessions teach too little.
FEWEST: Final = 100
_SLOWNESS: Final = "_slowness"
_SATURDAY: Final = 6
#: Numbers further from their mean, in standard deviations, count as if they were as far.
_FAR: Final = 4.0
#: A useful model has a mean squared error of at most this part of that of the mean.
_USEFUL: Final = 0.95
#: The penalties to choose from.
_PENALTIES: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Model(NamedTuple):
    """A model of a session's slowness: the mean logarithm of its load times, as a distance from the mean of the sessions it learned from.

    ``prediction`` computes it from a summary. ``own`` has the predictions for the sessions that the model learned from, each by a model
    that learned from all others.
    """

    prediction: pl.Expr
    own: pl.DataFrame


class _Fit(NamedTuple):
    """A ridge regression: its slopes, and its mean squared error and predictions, each of a session that it did not learn from."""

    error: float
    slopes: Any
    predictions: Any


def learn(sessions: pl.DataFrame, page_views: pl.DataFrame) -> Model | None:
    """Learn from sessions with details, by ridge regression.

    None if fewer than ``FEWEST`` have load times, or the predictions are hardly nearer to these than their mean is. Calibrating to
    such predictions would narrow intervals by chance alone.
    """
    np = numpy()
    logarithm = pl.col(PREDICTED).clip(lower_bound=1).cast(pl.Float64).log()
    times = page_views.drop_nulls(PREDICTED).group_by("session_id").agg(logarithm.mean().alias(_SLOWNESS))
    known = sessions.select("session_id", VIEWS, *PREDICTORS).join(times, on="session_id").sort("session_id")
    if len(known) < FEWEST:
        return None
    terms = [*_terms(known)]
    matrix = known.select(term.alias(str(number)) for number, term in enumerate(terms)).to_numpy()
    centre = matrix.mean(axis=0)
    slowness = known[_SLOWNESS].to_numpy() - known[_SLOWNESS].mean()
    values, vectors = np.linalg.eigh(_product(matrix - centre, matrix - centre))
    rotated = _product((matrix - centre).T, vectors)
    seen = _product(rotated, slowness)

    def fitted(penalty: float) -> _Fit:
        shrinkage = 1 / (np.maximum(values, 0) + penalty)
        leverage = np.minimum(1 / len(slowness) + _product(rotated.T**2, shrinkage), 1 - 1e-6)
        errors = (slowness - _product(rotated.T, shrinkage * seen)) / (1 - leverage)  # each as if it had been left out
        return _Fit(float((errors**2).mean()), _product(vectors.T, shrinkage * seen), slowness - errors)

    best = min((fitted(penalty) for penalty in _PENALTIES), key=lambda fit: fit.error)
    of_mean = float((slowness**2).mean()) / (1 - 1 / len(slowness)) ** 2  # as if each had been left out
    if best.error > _USEFUL * of_mean:
        return None
    parts = zip(terms, centre, best.slopes, strict=True)
    prediction = pl.sum_horizontal((term - mean) * slope for term, mean, slope in parts)
    return Model(
        prediction.alias(PREDICTION), known.select("session_id").with_columns(pl.Series(PREDICTION, best.predictions))
    )


def _product(left: Any, right: Any) -> Any:
    """Return the product of a transposed matrix and another one, or a vector; without BLAS, whose threads wait for a busy machine."""
    return numpy().einsum("ij,i...->j...", left, right)


def _terms(sessions: pl.DataFrame) -> Iterator[pl.Expr]:
    """Return what slowness is a linear function of: 1 or 0 for each value of a category that several sessions have, and a number."""
    yield from _standardised(pl.col(VIEWS).clip(lower_bound=1).log(), sessions)
    start = pl.col("session_start").dt
    for category in (start.hour(), start.weekday() >= _SATURDAY, *map(pl.col, _CATEGORIES)):
        counts = sessions.group_by(category.alias("value")).len().filter(pl.col("len") > 1)
        for value in counts["value"].drop_nulls().sort():
            yield category.eq_missing(pl.lit(value)).cast(pl.Float64)


def _standardised(number: pl.Expr, sessions: pl.DataFrame) -> Iterator[pl.Expr]:
    mean, deviation = sessions.select(number.mean().alias("mean"), number.std().alias("deviation")).row(0)
    if deviation:
        yield ((number - mean) / deviation).clip(-_FAR, _FAR).fill_null(0.0)
