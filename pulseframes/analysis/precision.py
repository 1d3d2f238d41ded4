"""Plan the precision of estimates: how many more details it needs, forecast from the sample so far."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
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
from pulseframes.sampling.columns import RESULT
from pulseframes.sampling.design import SUMMARY_COLUMNS, Design
from pulseframes.sampling.inference import FEW
from pulseframes.sampling.questions import Names, level_for

MEASURE: Final = "median(loading_time_ms)"
BY: Final = "page_template"
TOP: Final = 10


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
        Details needed in all, for all groups; None if no group can be forecast.
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
        as a share of the estimate; ``tomorrow``, the forecast after another day's details; and ``needed``, the details needed in
        all. The last two are null if they cannot be forecast.

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
        >>> round(plan.within_after(4 * plan.details) / plan.groups["within"][0], 2)
        0.5
        """
        details = whole_number("details", details, least=1)
        first = self.groups.head(1)
        if first.is_empty() or first["tomorrow"][0] is None:
            return None
        return float(first["within"][0]) * math.sqrt(self.details / details)

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
        return f"This needs {about} {self.needed:,} details, {calls} more: {days}{pace}.{others}"

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
    and faster once they are a good part of all sessions. Costs no call.

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
    estimates = _largest(estimate(sample, measure, by=by, where=where, wide=True), sample, measure, by, where).head(top)
    groups = _forecast(estimates, sample, within, details_a_day)
    sizes = sizes_of(sample)
    details, left = sizes.answered, sizes.population - sizes.selected
    known = groups["needed"].drop_nulls()
    needed = None if known.is_empty() else min(max(details, *known), details + left)
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


def _forecast(estimates: pl.DataFrame, sample: Details, within: float, details_a_day: int) -> pl.DataFrame:
    """Return each group's precision, now and tomorrow, and the details it needs: variance goes with 1 / details - 1 / sessions."""
    sessions, _, details = sizes_of(sample)
    half = pl.max_horizontal(pl.col("upper") - pl.col("estimate"), pl.col("estimate") - pl.col("lower"))
    now = pl.when(half == 0).then(0.0).otherwise(half / pl.col("estimate").abs())
    enough = (pl.col("effective_sessions") >= FEW) & now.is_finite()
    known = enough | (now == 0)  # exact, however few there are
    spread = 1 / max(details, 1) - 1 / max(sessions, 1)
    after = min(details + details_a_day, sessions)
    remaining = (1 / after - 1 / sessions) / spread if spread > 0 else 0.0
    needed = (1 / (spread * (within / now) ** 2 + 1 / max(sessions, 1))).ceil().cast(pl.Int64, strict=False)
    return estimates.select(
        *estimates.columns[: -len(RESULT)],
        "estimate",
        "lower",
        "upper",
        now.alias("within"),
        pl.when(known).then(now * math.sqrt(remaining)).alias("tomorrow"),
        pl.when(known).then(pl.when(now <= within).then(details).otherwise(needed)).alias("needed"),
    )


def _plus_minus(share: float | None) -> str:
    return "±?" if share is None or not math.isfinite(share) else f"±{format_percent(share)}"
