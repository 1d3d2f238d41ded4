"""Figures of sessions whose details are all there: nothing is estimated."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.sampling.measures import Measure

#: What estimates are told in, after the columns of their groups.
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
#: Of the rows that a measure is made of: the position of their session, their value, and what they count for.
OWNER: Final = "_owner"
VALUE: Final = "_value"
BASE: Final = "_base"

#: What is said of figures of sessions that were chosen in a way that nothing tells.
NOT_DRAWN: Final = "not drawn"


def exact(measure: Measure, rows: pl.DataFrame, names: list[str], *, drawn: bool) -> pl.DataFrame:
    """Give a measure of all rows of each group, in the form of estimates.

    Parameters
    ----------
    measure : Measure
        What is asked for.
    rows : polars.DataFrame
        ``_owner``, ``_value``, ``_base`` and the groups.
    names : list of str
        The columns of the groups.
    drawn : bool
        Whether the sessions are all there are; if not, there is no interval, and a flag.
    """
    value, base = pl.col(VALUE), pl.col(BASE)
    match measure.kind:
        case "total" | "sessions":
            figure = value.sum()
        case "mean" | "share":
            figure = pl.when(base.sum() != 0).then(value.sum() / base.sum())
        case "quantile":
            figure = value.quantile(measure.probability, interpolation="equiprobable")
    wanted = [figure.alias("estimate"), pl.col(OWNER).n_unique().cast(pl.Int64).alias("sessions")]
    found = rows.group_by(names, maintain_order=True).agg(wanted) if names else rows.select(wanted)
    known = pl.col("estimate") if drawn else pl.lit(None, pl.Float64)
    none = (
        pl.when(pl.col("sessions") == 0)
        .then(pl.lit("no sessions"))
        .when(pl.col("estimate").is_null())
        .then(pl.lit("zero base"))
    )
    return found.with_columns(
        pl.lit(measure.text).alias("measure"),
        (known * 0).alias("standard_error"),
        known.alias("lower"),
        known.alias("upper"),
        pl.col("sessions").cast(pl.Float64).alias("effective_sessions"),
        none.otherwise(pl.lit(None if drawn else NOT_DRAWN, pl.String)).alias("flag"),
    ).select(*names, *RESULT)
