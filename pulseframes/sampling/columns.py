"""The columns that pass between the steps of a sample, in addition to those of the tables."""

from __future__ import annotations

from typing import Final

import polars as pl

# Of a population, a row per session; and of its members, the sessions that were drawn.
SIZE: Final = "size"  #: what the chance of being drawn is proportional to: page views, or 1
STRATUM: Final = "stratum"  #: the values of the strata columns, joined; empty without strata
RATE: Final = "rate"  #: the inclusion probability per unit of size in the session's stratum
PROBABILITY: Final = "inclusion_probability"  #: the session's own: size times rate, at most 1
VIEWS: Final = "views"  #: page views, as the summary reported them when the session was drawn
DETAILED: Final = "detailed"  #: whether the details need no call
ORDER: Final = "order"  #: the place in the order of selection, from 0
RESPONDED: Final = "responded"  #: of members: whether their details were received

# Of weighted sessions: the members that responded.
WEIGHT: Final = "weight"  #: how many sessions it represents
VIEW_WEIGHT: Final = "view_weight"  #: how many page views each of its own represents
AUXILIARY: Final = "_auxiliary"  #: what the weights are scaled by: 1, or page views
GROUP: Final = "_group"  #: the sessions whose variance is taken together: a stratum, or several small ones
PREDICTION: Final = "_prediction"  #: how slow its pages are, predicted from its summary
CELL: Final = "_cell"  #: the sessions whose auxiliary total is known: a group, apart from those that were certain
FRACTION: Final = "_fraction"  #: the probability that it was drawn and responded; at 1, it adds no variance

# Of rows that a measure is computed from: sessions, page views or errors.
OWNER: Final = "_owner"  #: the position of the row's session among the weighted sessions
VALUE: Final = "_value"  #: the row's value
BASE: Final = "_base"  #: what it counts for: 1, or a ratio's denominator

#: The columns of estimates, after those of their groups.
RESULT: Final = {
    "measure": pl.String,
    "estimate": pl.Float64,
    "standard_error": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "sessions": pl.Int64,
    "effective_sessions": pl.Float64,
    "flag": pl.String,
    "certified": pl.Boolean,
}
#: An additional column of estimates that are compared: the sessions' parts of the error, as a list; null without a variance.
ERROR_PARTS: Final = "_error_parts"
#: Those that are returned unless all are wanted.
NARROW: Final = tuple(name for name in RESULT if name not in {"standard_error", "effective_sessions"})
#: A rounded figure, and the width of its interval, keep so many digits.
_DIGITS: Final = 3


def rounded(frame: pl.DataFrame, figure: str, lower: str, upper: str, *others: str) -> pl.DataFrame:
    """Round a figure, its limits and other columns for reading: to whole numbers, or finer where that keeps too few digits.

    The figure and the width of its interval keep three digits. All of a row are rounded to the same place, so the interval still
    contains the figure. Exact figures, and those without an interval, are not rounded. If a limit is infinite, the distance to the
    other counts as the width.
    """
    value, low, high = pl.col(figure), pl.col(lower), pl.col(upper)
    distance = pl.when(low.is_finite()).then(value - low).otherwise(value.abs())
    width = pl.when((high - low).is_finite()).then(high - low).otherwise(distance)
    # A difference that is 0 but for chance needs no digits of its own.
    size = pl.when(value.abs() < width / 1_000).then(width).otherwise(pl.min_horizontal(width, value.abs()))
    scale = pl.lit(10.0).pow((_DIGITS - 1 - size.log10().floor()).clip(0, 30))
    return frame.with_columns(
        pl.when(low.is_not_null() & (width > 0)).then((pl.col(name) * scale).round() / scale).otherwise(pl.col(name))
        for name in (figure, lower, upper, *others)
    )
