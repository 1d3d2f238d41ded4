"""Exact figures of all rows: sums and distributions by group, added up part by part, so that only one part is in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from pulseframes.sampling.columns import BASE, OWNER, RESULT, VALUE
from pulseframes.sampling.inference import NOT_DRAWN
from pulseframes.sampling.measures import Measure, is_infinite, refuse_infinite

_ROWS: Final = "_rows_of_value"
_SESSIONS: Final = "sessions"
#: So many rows are added up when more have come than there are.
_PENDING: Final = 1_000_000


class Counts(NamedTuple):
    """What is counted of a part: sums by group, the rows with each value, and how many values are infinite."""

    names: list[str]
    totals: pl.DataFrame
    values: pl.DataFrame | None
    infinite: int


class Tally:
    """The rows of one or several measures that differ in their probability only, added up by group.

    Parts have no session in common. The order of the parts affects sums of fractions in their last digits only.
    """

    def __init__(self, measures: Sequence[Measure]) -> None:
        self.measures = measures
        self._has_values = measures[0].kind == "quantile"
        self._totals = _Sums()
        self._values = _Sums()
        self._heights: pl.DataFrame | None = None
        self._infinite = 0

    def count(self, rows: pl.DataFrame) -> Counts:
        """Count a part's rows, from ``values_of()``, for ``add()``."""
        names = [name for name in rows.columns if name not in {OWNER, VALUE, BASE}]
        value, base = pl.col(VALUE), pl.col(BASE)
        sessions = pl.col(OWNER).n_unique().cast(pl.Int64).alias(_SESSIONS)
        totals = _by(rows, names, [value.sum(), base.sum(), sessions])
        infinite = rows.select(is_infinite().sum()).item()
        if not self._has_values:
            return Counts(names, totals, None, infinite)
        each = value.value_counts(name=_ROWS)
        counts = _by(rows, names, [each if names else each.implode()]).explode(VALUE).drop_nulls(VALUE).unnest(VALUE)
        return Counts(names, totals, counts.with_columns(pl.col(_ROWS).cast(pl.Int64)), infinite)

    def add(self, part: Counts) -> None:
        """Add what was counted of a part."""
        self._infinite += part.infinite
        self._totals.add(part.totals, part.names)
        if part.values is not None:
            self._values.add(part.values, [*part.names, VALUE])

    def figures(self, measure: Measure, *, drawn: bool) -> pl.DataFrame:
        """Return a measure of each group, in the form of estimates.

        If the rows were not drawn, they have no interval, and the flag ``not drawn``; otherwise they are a census. Raises
        ``InvalidQuery`` if a value is infinite.
        """
        totals = self._totals.get()
        refuse_infinite(measure, self._infinite)
        names = totals.columns[: -len((VALUE, BASE, _SESSIONS))]
        match measure.kind:
            case "total" | "sessions":
                figure = pl.col(VALUE)
            case "mean" | "share":
                figure = pl.when(pl.col(BASE) != 0).then(pl.col(VALUE) / pl.col(BASE))
            case "quantile":
                quantiles = self._quantiles(measure.probability, names)
                totals = totals.drop(VALUE)
                totals = (
                    totals.join(quantiles, on=names, how="left", nulls_equal=True)
                    if names
                    else totals.hstack(quantiles)
                )
                figure = pl.col(VALUE)
        limit = pl.col("estimate") if drawn else pl.lit(None, pl.Float64)
        found = totals.with_columns(figure.alias("estimate")).with_columns(
            pl.lit(measure.text).alias("measure"),
            (limit * 0).alias("standard_error"),
            limit.alias("lower"),
            limit.alias("upper"),
            pl.col("sessions").cast(pl.Float64).alias("effective_sessions"),
            pl.when(pl.col("sessions") == 0)
            .then(pl.lit("no sessions"))
            .when(pl.col("estimate").is_null())
            .then(pl.lit("zero base"))
            .otherwise(pl.lit(None if drawn else NOT_DRAWN, pl.String))
            .alias("flag"),
            pl.lit(value=False).alias("certified"),
        )
        return found.select(*names, *RESULT)

    def _quantiles(self, probability: float, names: list[str]) -> pl.DataFrame:
        """Return the first value of each group up to which it has the share of its rows, as polars' ``equiprobable`` quantile."""
        if self._heights is None:
            below, rows = pl.col(_ROWS).cum_sum(), pl.col(_ROWS).sum()
            heights = [below.over(names).alias("_below"), rows.over(names)] if names else [below.alias("_below"), rows]
            self._heights = self._values.get().sort(VALUE).with_columns(heights)
        wanted = (pl.col(_ROWS) * probability).ceil().clip(lower_bound=1)
        return _by(self._heights.filter(pl.col("_below") >= wanted), names, [pl.col(VALUE).min()])


class _Sums:
    """Frames of numbers by group, added up as they come."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self._names: list[str] = []

    def add(self, frame: pl.DataFrame, names: list[str]) -> None:
        self._names = names
        self._frames.append(frame)
        if sum(map(len, self._frames[1:])) > max(_PENDING, len(self._frames[0])):
            self.get()

    def get(self) -> pl.DataFrame:
        if len(self._frames) > 1:
            frame = pl.concat(self._frames)
            sums = [pl.col(name).sum() for name in frame.columns if name not in self._names]
            self._frames = [_by(frame, self._names, sums)]
        return self._frames[0]


def _by(rows: pl.DataFrame, names: list[str], figures: list[pl.Expr]) -> pl.DataFrame:
    return rows.group_by(names).agg(figures) if names else rows.select(figures)
