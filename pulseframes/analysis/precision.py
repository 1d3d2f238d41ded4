"""Plan the precision of estimates: how many more details it needs, forecast from the sample so far."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from pulseframes._arguments import whole_number
from pulseframes._card import Card, Row
from pulseframes._text import format_percent, listed, plural
from pulseframes.analysis.details import Details, sample_or_census, sizes_of
from pulseframes.analysis.estimate import estimate, open_source
from pulseframes.analysis.sample import Sample
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.sampling.columns import RESPONDED, RESULT, VIEWS
from pulseframes.sampling.design import SUMMARY_COLUMNS, Design
from pulseframes.sampling.inference import FEW
from pulseframes.sampling.questions import Level, Names, level_for, parse_measures
from pulseframes.sampling.weights import design_worth
from pulseframes.tables.frames import SessionFrames

MEASURE: Final = "median(loading_time_ms)"
BY: Final = "page_template"
TOP: Final = 10
_FORECAST: Final = ("tomorrow", "needed", "needed_low", "needed_high")
#: How well a sample knows the variance of a mean or share is seen by leaving out each of so many parts of it (a grouped jackknife).
_PARTS: Final = 10
#: The variance of the logarithm of an estimated variance, times the effective number of sessions. It is 2 for normal values, 8 for
#: exponential ones and more for longer tails, if these are seen at all: a jackknife's figure counts if it is larger, up to a variance of 1.
_LEAST_OF_SHARES: Final = 4.0
_LEAST_OF_MEANS: Final = 12.0
#: For the median, where a jackknife does not work; other quantiles have fewer sessions on one side. Measured.
_OF_MEDIANS: Final = 8.0
#: The range of a forecast, in standard errors of that logarithm, so that it holds in 9 of 10 plans; and its lower end's allowance for
#: intervals that narrow faster, as their degrees of freedom grow.
_ERRORS: Final = 1.645
_ALLOWANCE: Final = 0.2


@dataclass(frozen=True, repr=False)
class PrecisionPlan(Card):
    """Forecast of the details needed for a given precision.

    Attributes
    ----------
    measure : str
        What is estimated.
    within : float
        The half width of the interval to reach, as a share of the estimate.
    details : int
        Details that the sample has now.
    left : int
        Sessions that are not drawn yet.
    needed : int or None
        Details needed in all, for all groups, as the forecast goes: about as many plans need more as need fewer. None if no group can
        be forecast.
    calls : int or None
        Calls still needed; 0 if all sessions are drawn, whatever the precision.
    days : int or None
        Days that they take.
    details_a_day : int
        Details that a day's quota allows.
    at_least : bool
        Whether some groups have too few sessions for a forecast, so that more may be needed.
    groups : polars.DataFrame
        One row per group, the most viewed first: its columns, ``estimate``, ``lower``, ``upper``; ``within``, the half width now,
        as a share of the estimate; ``tomorrow``, the forecast after another day's details; ``needed``, the details needed in
        all; and its range, ``needed_low`` and ``needed_high``. The last four are null if they cannot be forecast.
    needed_low, needed_high : int or None
        In 9 of 10 plans, the precision is reached with a number of details in this range. Plan for the larger one to reach it.
    is_wrong_design : bool
        Whether nothing is forecast because the sample's design is for other questions, and worth fewer than 10 sessions for this one.

    Examples
    --------
    >>> pf.plan_precision("lake", by=None).left > 0
    True
    """

    measure: str
    within: float
    details: int
    left: int
    needed: int | None
    calls: int | None
    days: int | None
    details_a_day: int
    at_least: bool
    groups: pl.DataFrame
    needed_low: int | None = None
    needed_high: int | None = None
    is_wrong_design: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as values that JSON can hold.

        Returns
        -------
        dict
            The attributes; what is unknown or infinite is None.

        Examples
        --------
        >>> pf.plan_precision("lake", by=None).as_dict()["measure"]
        'median(loading_time_ms)'
        """
        plan = {name: getattr(self, name) for name in self.__dataclass_fields__}
        finite = self.groups.with_columns(pl.col(pl.Float64).replace([math.inf, -math.inf], None))
        return plan | {"groups": finite.to_dicts()}

    def within_after(self, details: int) -> float | None:
        """Return the half width of the interval after a number of details, as a share of the estimate, for the first group.

        Parameters
        ----------
        details : int
            Number of details in all. The forecast assumes that they are a small part of all sessions.

        Returns
        -------
        float or None
            None if that cannot be forecast.

        Raises
        ------
        InvalidQuery
            If ``details`` is not a whole number above 0.

        Examples
        --------
        >>> plan = pf.plan_precision("lake", by=None)
        >>> plan.within_after(4 * plan.details) < 0.51 * plan.groups["within"][0]
        True
        """
        details = whole_number("details", details, least=1)
        first = self.groups.head(1)
        if first.is_empty() or first["tomorrow"][0] is None:
            return None
        even, uneven = first.select(*_halves()).row(0)
        narrower = math.sqrt(self.details / details)
        return float(even * narrower + uneven * narrower**2)

    def __repr__(self) -> str:
        return f"PrecisionPlan({self.measure!r}, within={self.within}, details={self.details}, calls={self.calls}, days={self.days})"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return ``groups`` as an Arrow stream, so that ``pyarrow.table(plan)`` and others read it."""
        return self.groups.__arrow_c_stream__(requested_schema)

    def _rows(self) -> Iterator[Row]:
        yield "", f"{self.measure} to within {100 * self.within:.4g}%, from {plural(self.details, 'detail')}:"
        for label, row in zip(self._labels(), self.groups.iter_rows(named=True), strict=True):
            value = "?" if row["estimate"] is None else f"{row['estimate']:,.4g}"
            later = (
                f"; after {min(self.details_a_day, self.left):,} more {_plus_minus(row['tomorrow'])}"
                if self.left
                else ""
            )
            yield f"  {label}", f"{value} {_plus_minus(row['within'])}{later}"
        yield "", self._conclusion()

    def _conclusion(self) -> str:
        if not self.left:
            return "All sessions are in the sample: there are no more details to download."
        if self.needed is None and self.is_wrong_design:
            return "No forecast: the sample was drawn for other questions. Draw one with the other design to plan for this one."
        if self.needed is None:
            groups = " for any of these groups" if self.groups.columns[0] != "estimate" else ""
            return f"Too few details for a forecast{groups}: download a few dozen first."
        unknown = [label for label, needed in zip(self._labels(), self.groups["needed"], strict=True) if needed is None]
        others = f" Too few details for a forecast of {listed(unknown, 3)}." if unknown else ""
        if not self.calls:
            return f"The sample is precise enough{' for the other groups' if unknown else ''}.{others}"
        about = "at least" if self.at_least else "about"
        calls, days = plural(self.calls, "call"), plural(self.days or 0, "day")
        pace = f" of {self.details_a_day:,}" if self.days != 1 else ""
        return f"This needs {about} {self.needed:,} details, {calls} more: {days}{pace}.{self._range()}{others}"

    def _range(self) -> str:
        if self.needed_low is None or self.needed_high is None or self.at_least:
            return ""
        first, last = (self._days(needed) for needed in (self.needed_low, self.needed_high))
        days = plural(last, "day") if first == last else f"{first:,} to {plural(last, 'day')}"
        return f" In 9 of 10 such plans, it takes between {self.needed_low:,} and {self.needed_high:,} details: {days}."

    def _days(self, needed: int) -> int:
        return -(-(needed - self.details) // self.details_a_day)

    def _labels(self) -> list[str]:
        names = self.groups.columns[: self.groups.columns.index("estimate")]
        rows = self.groups.select(names).iter_rows() if names else []
        labels = [listed(("null" if part is None else part for part in row), len(names)) for row in rows]
        return labels if names else ["all"]


def plan_precision(
    source: Lake | Sample | str | os.PathLike[str],
    measure: str = MEASURE,
    *,
    within: float = 0.1,
    by: Names | None = BY,
    top: int = TOP,
    details_a_day: int = 45,
    where: str | pl.Expr | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> PrecisionPlan:
    """Forecast how many details a given precision needs: by default, ±10% on the median load time of the ten most viewed pages.

    The forecast is based on the variance of the sample so far. The interval narrows with the square root of the number of details,
    and faster once they are a good part of all sessions. A small sample knows its own variance badly, so the forecast has a range, which
    holds in 9 of 10 plans. Costs no call.

    Parameters
    ----------
    source : Lake, Sample or path
        As for ``estimate()``.
    measure : str
        A mean, ratio, total, share, median or other percentile.
    within : float
        The half width of the 95% interval to reach, as a share of the estimate.
    by : str, polars.Expr, sequence of them, or None
        Groups that are all to be so precise; None for the whole.
    top : int
        How many groups: those with the most rows.
    details_a_day : int
        Details that a day's quota allows.
    where, date_from, date_to, design
        As for ``estimate()``.

    Returns
    -------
    PrecisionPlan
        ``print()`` it.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake, or it has no sample.
    ImportError
        If SciPy is not installed.

    Examples
    --------
    >>> plan = pf.plan_precision("lake", within=0.2, top=3)
    >>> plan.details
    60
    """
    if isinstance(within, bool) or not isinstance(within, int | float) or not 0 < within < 1:
        raise InvalidQuery(f"within must be a share between 0 and 1, such as 0.1, not {within!r}.", argument="within")
    top, details_a_day = whole_number("top", top, least=1), whole_number("details_a_day", details_a_day, least=1)
    opened = open_source(source, date_from, date_to, design)
    sample = (
        sample_or_census(opened, date_from, date_to, design, SUMMARY_COLUMNS) if isinstance(opened, Lake) else opened
    )
    if not sample.is_drawn:
        raise InvalidQuery(
            "source: its details were not sampled at random, so they allow no forecast.", argument="source"
        )

    def ask(of: Details) -> pl.DataFrame:
        return estimate(of, measure, by=by, where=where, wide=True)

    estimates = _largest(ask(sample), sample, measure, by, where).head(top)
    errors = _errors(estimates, sample, ask)
    groups = _forecast(errors, sample, within, details_a_day)
    is_wrong_design = _is_wrong_design(sample, level_for(measure, by, where))
    if is_wrong_design:  # its intervals rest on a few sessions that it happens to have
        unknown = [pl.lit(None, groups.schema[name]).alias(name) for name in groups.columns if name in _FORECAST]
        groups = groups.with_columns(unknown)
    sizes = sizes_of(sample)
    details, left = sizes.answered, sizes.population - sizes.selected
    known = groups["needed"].drop_nulls()
    most = details + left
    needed, low, high = (
        None if groups[name].drop_nulls().is_empty() else min(max(details, *groups[name].drop_nulls()), most)
        for name in ("needed", "needed_low", "needed_high")
    )
    calls = 0 if left == 0 else None if needed is None else needed - details
    return PrecisionPlan(
        measure=measure,
        within=within,
        details=details,
        left=left,
        needed=needed,
        calls=calls,
        days=None if calls is None else -(-calls // details_a_day),
        details_a_day=details_a_day,
        at_least=len(known) < len(groups),
        groups=groups,
        needed_low=low,
        needed_high=high,
        is_wrong_design=is_wrong_design,
    )


def _largest(
    estimates: pl.DataFrame, sample: Details, measure: str, by: Names | None, where: str | pl.Expr | None
) -> pl.DataFrame:
    """Sort estimates by the number of rows of their groups, the largest first."""
    names = estimates.columns[: -len(RESULT)]
    if not names:
        return estimates
    counts = estimate(sample, "count()", by=by, where=where, of=level_for(measure, by, where), wide=True)
    rows = counts.select(*names, pl.col("estimate").alias("_rows"))
    ranked = estimates.join(rows, on=names, how="left", nulls_equal=True).sort("_rows", descending=True)
    return ranked.drop("_rows")


def _is_wrong_design(sample: Details, level: Level) -> bool:
    """Return whether a sample is worth fewer than 10 sessions for questions of a level, and more for others."""
    if not isinstance(sample, Sample) or sample.is_census:
        return False
    by_views, by_sessions = (design_worth(sample.population, counts) for counts in (pl.col(VIEWS), pl.lit(1.0)))
    worth, others = (by_sessions, by_views) if level == "sessions" else (by_views, by_sessions)
    return worth < FEW <= others


def _errors(estimates: pl.DataFrame, sample: Details, ask: Callable[[Details], pl.DataFrame]) -> pl.DataFrame:
    """Add the standard error of the logarithm of each figure's variance, ``_error``."""
    if not isinstance(sample, Sample) or sample.is_census or estimates.is_empty():
        return estimates.with_columns(pl.lit(0.0).alias("_error"))
    [measure] = parse_measures(estimates["measure"][0])
    effective = pl.col("effective_sessions")
    if measure.kind == "quantile":
        evenness = 4 * measure.probability * (1 - measure.probability)
        return estimates.with_columns((_OF_MEDIANS / evenness / effective).sqrt().alias("_error"))
    least = ((_LEAST_OF_SHARES if measure.kind == "share" else _LEAST_OF_MEANS) / effective).sqrt()
    groups = ["_all", *estimates.columns[: -len(RESULT)]]
    number = sample.members.select("session_id", pl.int_range(pl.len()).alias("_part") % _PARTS)
    parts = pl.concat(ask(_without(sample, part["session_id"])) for part in number.partition_by("_part"))
    logs = 2 * sum(_halves(), pl.lit(0.0)).log()
    error = ((_PARTS - 1) / _PARTS * ((logs - logs.mean()) ** 2).sum()).sqrt().alias("_error")
    of_groups = parts.with_columns(pl.lit(0).alias("_all")).group_by(groups).agg(error)
    joined = estimates.with_columns(pl.lit(0).alias("_all")).join(
        of_groups, on=groups, how="left", nulls_equal=True, maintain_order="left"
    )
    known = pl.when(pl.col("_error").is_finite()).then("_error").otherwise(1.0).clip(upper_bound=1.0)
    return joined.with_columns(pl.max_horizontal(known, least).alias("_error")).drop("_all")


def _without(sample: Sample, ids: pl.Series) -> Sample:
    """Return a sample as if some of its sessions had not responded."""
    silent = pl.col("session_id").is_in(ids.implode())
    sessions, page_views, errors = (frame.filter(~silent) for frame in sample.details.tables().values())
    members = sample.members.with_columns(pl.col(RESPONDED) & ~silent)
    return replace(sample, members=members, details=SessionFrames(sessions, page_views, errors))


def _halves() -> tuple[pl.Expr, pl.Expr]:
    """Return half the width of an interval, and how much further its farther limit is, as shares of the estimate.

    The first goes with the square root of the variance, the second with the variance: it comes from the skewness of few values.
    """
    value = pl.col("estimate").abs()
    half = (pl.col("upper") - pl.col("lower")) / 2
    farther = pl.max_horizontal(pl.col("upper") - pl.col("estimate"), pl.col("estimate") - pl.col("lower"))
    return (
        pl.when(half == 0).then(0.0).otherwise(half / value),
        pl.when(half.is_finite() & (half > 0)).then((farther - half).clip(lower_bound=0) / value).otherwise(0.0),
    )


def _forecast(estimates: pl.DataFrame, sample: Details, within: float, details_a_day: int) -> pl.DataFrame:
    """Return each group's precision, now and tomorrow, and the details it needs: variance goes with 1 / details - 1 / sessions."""
    sessions, _, details = sizes_of(sample)
    even, uneven = _halves()
    now = even + uneven
    enough = (pl.col("effective_sessions") >= FEW) & now.is_finite()
    known = enough | (now == 0)  # exact, however few there are
    spread = 1 / max(details, 1) - 1 / max(sessions, 1)
    after = min(details + details_a_day, sessions)
    remaining = (1 / after - 1 / sessions) / spread if spread > 0 else 0.0
    # The factor of the square root of the variance at which even * factor + uneven * factor**2 is the width wanted.
    factor = 2 * within / (even + (even**2 + 4 * uneven * within).sqrt())

    def needed(times: pl.Expr | float) -> pl.Expr:
        """Return the details needed if the variance is so many times what the sample shows."""
        number = (1 / (spread * factor**2 / times + 1 / max(sessions, 1))).ceil().cast(pl.Int64, strict=False)
        return pl.when(known).then(pl.when(now <= within).then(details).otherwise(number.clip(lower_bound=details)))

    error = _ERRORS * pl.col("_error")
    return estimates.select(
        *estimates.columns[: -len(RESULT) - 1],
        "estimate",
        "lower",
        "upper",
        now.alias("within"),
        pl.when(known).then(even * math.sqrt(remaining) + uneven * remaining).alias("tomorrow"),
        needed(1.0).alias("needed"),
        needed((-error - _ALLOWANCE).exp()).alias("needed_low"),
        needed(error.exp()).alias("needed_high"),
    )


def _plus_minus(share: float | None) -> str:
    return "±?" if share is None or not math.isfinite(share) else f"±{format_percent(share)}"
