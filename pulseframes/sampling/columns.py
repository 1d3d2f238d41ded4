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
}
