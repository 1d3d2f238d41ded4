"""How many more details a wanted precision takes, by what the sample already says."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pulseframes._arguments import whole_number
from pulseframes._text import format_percent, listed, plural
from pulseframes.analysis.estimate import Names, estimate, level_for
from pulseframes.analysis.sample import Sample
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design

MEASURE: Final = "median(loading_time_ms)"
BY: Final = "page_template"
TOP: Final = 10
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
    left : int
        Sessions that are still to be drawn; 0 where all were.
    needed : int or None
        Details in all, for all groups; None where no group can be foretold.
    calls : int or None
        Calls that are still to be spent; 0 where all sessions are drawn, whatever the precision.
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
    left: int
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
        of_details = plural(self.details, "detail")
        lines = [f"{self.measure}, wanted within {100 * self.within:.4g}%, from {of_details}:"]
        for label, row in zip(self._labels(), self.groups.iter_rows(named=True), strict=True):
            now, then = (_per_cent(row[name]) for name in ("within", "tomorrow"))
            later = f"; after {self.details_a_day} more {then}" if self.left else ""
            lines.append(f"  {label}: {_number(row['estimate'])} {now}{later}")
        return "\n".join([*lines, self._answer()])

    def _answer(self) -> str:
        """Say what the precision takes, and of which groups that cannot be told."""
        if not self.left:
            return "All sessions are drawn: there are no more details to buy."
        if self.needed is None:
            none = "" if self.groups.columns[0] == "estimate" else " for any of these groups"
            return f"Too few details to tell how many it takes{none}: buy some dozens first."
        unknown = [label for label, needed in zip(self._labels(), self.groups["needed"], strict=True) if needed is None]
        others = f" Too few details to tell for {listed(unknown, 3)}." if unknown else ""
        if not self.calls:
            return f"The sample is as precise already{' for the other groups' if unknown else ''}.{others}"
        least = "at least" if self.at_least else "about"
        calls, days = plural(self.calls, "call"), plural(self.days or 0, "day")
        return f"It takes {least} {self.needed:,} details, {calls} more: {days} of {self.details_a_day}.{others}"

    def _labels(self) -> list[str]:
        names = self.groups.columns[: self.groups.columns.index("estimate")]
        if not names:
            return ["all"] * len(self.groups)
        return [
            ", ".join("null" if part is None else str(part) for part in row)
            for row in self.groups.select(names).iter_rows()
        ]


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
    top, details_a_day = whole_number("top", top, least=1), whole_number("details_a_day", details_a_day, least=1)
    if isinstance(source, Sample) and (date_from, date_to, design) != (None, None, None):
        raise InvalidQuery("source: a Sample has its own window and design; give a lake to choose.", argument="source")
    if isinstance(source, Sample) and not source.is_drawn:
        raise InvalidQuery("source: its details were not drawn, and so foretell nothing.", argument="source")
    sample = source if isinstance(source, Sample) else Sample.of_lake(source, date_from, date_to, design=design)
    found = estimate(sample, measure, by=by, where=where)
    names = found.columns[: found.columns.index("measure")]
    if names:  # the groups with the most rows
        counts = estimate(sample, "count()", by=by, where=where, of=level_for(measure, by, where))
        rows = counts.select(*names, pl.col("estimate").alias("_rows"))
        found = found.join(rows, on=names, how="left", nulls_equal=True).sort("_rows", descending=True).head(top)
    drawn, left = len(sample.details.sessions), len(sample.population) - len(sample.members)
    groups = _foretold(
        found.select(*names, "estimate", "lower", "upper", "effective_sessions"), sample, within, details_a_day
    )
    needed = groups["needed"].drop_nulls()
    most = None if needed.is_empty() else min(max(drawn, *needed), drawn + left)
    calls = 0 if left == 0 else None if most is None else most - drawn
    return PrecisionPlan(
        measure=measure,
        within=within,
        details=drawn,
        left=left,
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
    now = pl.when(half == 0).then(0.0).otherwise(half / pl.col("estimate").abs()).alias("within")
    enough = (pl.col("effective_sessions") >= _TO_BEGIN_WITH) & pl.col("within").is_finite()
    known = enough | (pl.col("within") == 0)  # of all sessions, however few
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
    return "±?" if share is None or not math.isfinite(share) else f"±{format_percent(share)}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.4g}"
