"""How many more details a wanted precision takes, by what the sample already says."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.estimation import Names, estimate, level_for
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.sample import Sample
from pulseframes.sampling import Design

MEASURE: Final = "median(loading_time_ms)"
BY: Final = "page_template"
#: Fewer sessions say little of their own variation; so many at least are needed before more can be foretold.
_TO_BEGIN_WITH: Final = 10


@dataclass(frozen=True, repr=False)
class PrecisionPlan:
    """What a wanted precision takes.

    Attributes
    ----------
    measure : str
        What is estimated.
    within : float
        The wanted half width of the interval, as a share of the estimate.
    details : int
        Details that the sample has now.
    needed : int or None
        Details in all, for all groups; None where no group can be foretold.
    calls : int or None
        Calls that are still to be spent.
    days : int or None
        Days that they take.
    details_a_day : int
        How many details a day buys.
    at_least : bool
        Whether some groups have too few sessions to foretell, so that it may be more.
    groups : polars.DataFrame
        For each group, the most viewed first: its columns, ``estimate``, ``lower``, ``upper``; ``within``, the half width as a
        share of the estimate now, ``tomorrow``, what it is likely to be after another day's details, and ``needed``, the details
        in all that the wanted precision takes; null where it cannot be foretold.
    """

    measure: str
    within: float
    details: int
    needed: int | None
    calls: int | None
    days: int | None
    details_a_day: int
    at_least: bool
    groups: pl.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """Give the plan as JSON takes it.

        Returns
        -------
        dict
            What cannot be told is null.
        """
        told = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "groups"}
        finite = self.groups.with_columns(pl.col(pl.Float64).replace([math.inf, -math.inf], None))
        return told | {"groups": finite.to_dicts()}

    def __str__(self) -> str:
        lines = [f"{self.measure}, wanted within {self.within:.0%}, from {self.details:,} details:"]
        names = self.groups.columns[: self.groups.columns.index("estimate")]
        for row in self.groups.iter_rows(named=True):
            label = ", ".join(str(row[name]) for name in names) or "all"
            now, then = (_per_cent(row[name]) for name in ("within", "tomorrow"))
            lines.append(f"  {label}: {_number(row['estimate'])} {now}; after {self.details_a_day} more {then}")
        if self.needed is None:
            lines.append("Too few details to tell how many it takes: buy some dozens first.")
        elif not self.calls:
            lines.append("The sample is as precise already.")
        else:
            least = "at least " if self.at_least else "about "
            lines.append(
                f"It takes {least}{self.needed:,} details, {self.calls:,} calls more: {self.days:,} days of {self.details_a_day}."
            )
        return "\n".join(lines)


def plan_precision(
    source: Lake | Sample | str | os.PathLike[str],
    measure: str = MEASURE,
    *,
    within: float = 0.1,
    by: Names | None = BY,
    top: int = 10,
    details_a_day: int = 45,
    where: str | pl.Expr | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> PrecisionPlan:
    """Say how many details a precision takes: by default, ±10 % on the median load time of the ten most viewed pages.

    Foretold from what the sample varies by now: the interval narrows with the square root of the number of details, and faster
    when they become a good part of all sessions. Costs no call.

    Parameters
    ----------
    source : Lake, Sample or path
        As for ``estimate()``.
    measure : str
        A mean, a ratio, a median or another quantile, a total, a share.
    within : float
        The wanted half width of the 95 % interval, as a share of the estimate.
    by : str, polars.Expr, sequence of them, or None
        Groups that are each to be so precise; the whole, if None.
    top : int
        How many groups, those with the most rows.
    details_a_day : int
        How many details a day's calls buy.
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
        If there is no sample.
    ImportError
        If SciPy is not installed.
    """
    if isinstance(within, bool) or not isinstance(within, int | float) or not 0 < within < 1:
        raise InvalidQuery(f"within: {within!r} is no share between 0 and 1.", argument="within")
    for name, number in (("top", top), ("details_a_day", details_a_day)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidQuery(f"{name}: {number!r} is not a whole number from 1 on.", argument=name)
    if isinstance(source, Sample) and (date_from, date_to, design) != (None, None, None):
        raise InvalidQuery("source: a Sample has its own window and design; give a lake to choose.", argument="source")
    sample = source if isinstance(source, Sample) else Sample.of_lake(source, date_from, date_to, design=design)
    found = estimate(sample, measure, by=by, where=where)
    names = found.columns[: found.columns.index("measure")]
    if names:  # the groups with the most rows
        counts = estimate(sample, "count()", by=by, where=where, of=level_for(measure, by, where))
        rows = counts.select(*names, pl.col("estimate").alias("_rows"))
        found = found.join(rows, on=names, how="left", nulls_equal=True).sort("_rows", descending=True).head(top)
    drawn = len(sample.details.sessions)
    groups = _foretold(
        found.select(*names, "estimate", "lower", "upper", "effective_sessions"), sample, within, details_a_day
    )
    needed = groups["needed"].drop_nulls()
    most = None if needed.is_empty() else max(drawn, *needed)
    calls = None if most is None else most - drawn
    return PrecisionPlan(
        measure=measure,
        within=within,
        details=drawn,
        needed=most,
        calls=calls,
        days=None if calls is None else -(-calls // details_a_day),
        details_a_day=details_a_day,
        at_least=len(needed) < len(groups),
        groups=groups,
    )


def _foretold(found: pl.DataFrame, sample: Sample, within: float, details_a_day: int) -> pl.DataFrame:
    """Add what each group's precision is, will be, and takes: the variance goes with 1 / details - 1 / sessions."""
    drawn, sessions = len(sample.details.sessions), len(sample.population)
    half = pl.max_horizontal(pl.col("upper") - pl.col("estimate"), pl.col("estimate") - pl.col("lower"))
    now = (half / pl.col("estimate").abs()).alias("within")
    known = (pl.col("effective_sessions") >= _TO_BEGIN_WITH) & pl.col("within").is_finite()
    spread = 1 / max(drawn, 1) - 1 / max(sessions, 1)

    def left(details: int) -> float:
        return (1 / min(details, sessions) - 1 / sessions) / spread if spread > 0 else 0.0

    takes = (1 / (spread * (within / pl.col("within")) ** 2 + 1 / max(sessions, 1))).ceil().cast(pl.Int64, strict=False)
    takes = pl.when(pl.col("within") <= within).then(drawn).otherwise(takes)
    return found.with_columns(now).select(
        pl.exclude("effective_sessions"),
        pl.when(known).then(pl.col("within") * math.sqrt(left(drawn + details_a_day))).alias("tomorrow"),
        pl.when(known).then(takes).alias("needed"),
    )


def _per_cent(share: float | None) -> str:
    return "±?" if share is None or not math.isfinite(share) else f"±{share:.0%}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.4g}"
