"""The findings of a report: the results of the analysis functions, each computed once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

from pulseframes.analysis import error_impact, landings, page_speed, paths, satisfaction, traffic
from pulseframes.analysis.estimate import estimate
from pulseframes.analysis.sample import Sample, sample_or_details
from pulseframes.charts.periods import by_hour
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.reports.coverage import Coverage, SampleSize, read_coverage, size_of, window_of
from pulseframes.sampling.design import Design

#: Where figures of details come from: a random sample, the details of all sessions, of some that were not sampled, or none.
Basis: TypeAlias = Literal["sample", "all", "not drawn", "none"]

LOAD: Final = "p75(loading_time_ms)"
POOR: Final = "share(satisfaction_rating = 'Poor')"
FAILING: Final = "share(error_count > 0)"

#: From this many days on, ratings are shown by week, traffic by week, and traffic by month.
_FORTNIGHT: Final = 15
_WEEKS_FROM: Final = 120
_MONTHS_FROM: Final = 1_000
#: Enough details in a period for shares of it.
_ENOUGH: Final = 40


class ByPeriod(NamedTuple):
    """Rows by period, and the length of a period as polars writes it."""

    rows: pl.DataFrame
    every: str

    @property
    def period(self) -> str:
        """The name of a period."""
        return {"1d": "day", "1w": "week", "1mo": "month"}[self.every]


@dataclass(frozen=True)
class Findings:
    """The findings of a report.

    Attributes
    ----------
    coverage : Coverage
        What the lake has of the window.
    basis : {"sample", "all", "not drawn", "none"}
        Where figures of details come from.
    sample : SampleSize
        How many sessions they come from.
    time_zone : str
        The time zone of days and hours.
    figures : dict of str to dict
        The key figures of details: by measure, a row of ``estimate()``.
    traffic, satisfaction : ByPeriod
        The results of the functions of these names.
    hours : polars.DataFrame
        The mean number of sessions in each hour of the day.
    speed : dict of str to polars.DataFrame
        ``page_speed()`` by page template, country and browser.
    errors, landings, paths : polars.DataFrame
        The results of ``error_impact()``, ``landings()`` and ``paths()``.
    """

    coverage: Coverage
    basis: Basis
    sample: SampleSize
    time_zone: str
    figures: dict[str, dict[str, Any]]
    traffic: ByPeriod
    satisfaction: ByPeriod
    hours: pl.DataFrame
    speed: dict[str, pl.DataFrame]
    errors: pl.DataFrame
    landings: pl.DataFrame
    paths: pl.DataFrame

    @property
    def zone(self) -> tzinfo:
        """The time zone; UTC also on machines without a database of others."""
        return UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)

    def as_dict(self) -> dict[str, Any]:
        """Return the key figures for JSON; times in ISO 8601, UTC."""
        window, counts = self.coverage.window, self.coverage.counts._asdict()
        measures = {"load_p75_ms": LOAD, "poor_share": POOR, "error_share": FAILING}
        parts = ("estimate", "lower", "upper", "sessions", "flag")
        return {
            "date_from": window.start.isoformat(),
            "date_to": window.end.isoformat(),
            "basis": self.basis,
            **{name: counts[name] for name in ("sessions", "users", "page_views", "details")},
            **{
                name: {part: _finite(self.figures[measure][part]) for part in parts}
                for name, measure in measures.items()
            },
        }


def collect(
    lake: Lake,
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    time_zone: str = "UTC",
) -> Findings:
    """Collect the findings of a report; arguments as for ``report()``."""
    window = window_of(lake, date_from, date_to, design)
    visits = partial(traffic, lake, by=None, time_zone=time_zone, date_from=window.start, date_to=window.end)
    hours = by_hour(visits(every="1h"))
    days = (window.end - window.start).days
    period = "1mo" if days >= _MONTHS_FROM else "1w" if days >= _WEEKS_FROM else "1d"
    # an empty lake also has a report
    sample = sample_or_details(lake, *((date_from, date_to) if lake.coverage() else window), design)
    rating_period = _rating_period(len(sample.details.sessions), days)
    return Findings(
        coverage=read_coverage(lake, window),
        basis=_basis(sample),
        sample=size_of(sample, lake, design),
        time_zone=time_zone,
        figures={row["measure"]: row for row in estimate(sample, [LOAD, POOR, FAILING]).to_dicts()},
        traffic=ByPeriod(visits(every=period), period),
        satisfaction=ByPeriod(satisfaction(sample, every=rating_period, time_zone=time_zone), rating_period),
        hours=hours,
        speed={by: page_speed(sample, by=by) for by in ("page_template", "country", "browser_name")},
        errors=error_impact(sample),
        landings=landings(sample),
        paths=paths(sample),
    )


def _basis(sample: Sample) -> Basis:
    if sample.details.sessions.is_empty():
        return "none"
    if not sample.is_drawn:
        return "not drawn"
    return "all" if sample.is_census else "sample"


def _rating_period(details: int, days: int) -> str:
    """Return a short period that has enough details; up to a fortnight is shown by day."""
    a_day = details / max(1, days)
    if days < _FORTNIGHT or (a_day >= _ENOUGH and days < _WEEKS_FROM):
        return "1d"
    return "1w" if days < _WEEKS_FROM or (a_day * 7 >= _ENOUGH and days < _MONTHS_FROM) else "1mo"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
