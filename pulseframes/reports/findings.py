"""The findings of a report: the results of the analysis functions, each computed once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes.analysis import error_impact, landings, paths, satisfaction, traffic
from pulseframes.analysis.compare import Largest, largest
from pulseframes.analysis.details import Details, is_census, sample_or_details, sizes_of
from pulseframes.analysis.errors import is_noise
from pulseframes.analysis.estimate import estimate, with_templates
from pulseframes.analysis.navigation import ENTRY, PAGE
from pulseframes.analysis.pages import page_speeds
from pulseframes.analysis.traffic import rated_sessions
from pulseframes.charts.periods import by_hour
from pulseframes.charts.style import TOP
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.reports import examples
from pulseframes.reports.changes import FAILING, LOAD, POOR, Changes, read_changes
from pulseframes.reports.coverage import Coverage, SampleSize, read_coverage, size_of, window_of
from pulseframes.sampling.design import Design

#: Where figures of details come from: a random sample, the details of all sessions, of some that were not sampled, or none.
Basis: TypeAlias = Literal["sample", "all", "not drawn", "none"]

#: The number of countries and browsers drawn: those with the most page views.
KINDS: Final = 10
#: From this many days on, traffic and ratings are shown by week, and by month.
_WEEKS_FROM: Final = 120
_MONTHS_FROM: Final = 1_000
#: What load times are grouped by.
_SPEED_BY: Final = ("page_template", "country", "browser_name")
#: Enough rated sessions in a period for shares of it.
_ENOUGH: Final = 30


class ByPeriod(NamedTuple):
    """Rows by period, the length of a period as polars writes it, and whether there are enough for a chart."""

    rows: pl.DataFrame
    every: str
    is_drawn: bool = True

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
    rated : int
        The number of sessions with a rating.
    hours : polars.DataFrame
        The mean number of sessions in each hour of the day.
    speed : dict of str to polars.DataFrame
        ``page_speed()`` by page template, country and browser.
    errors, landings, paths : polars.DataFrame
        The results of ``error_impact()``, ``landings()`` and ``paths()``, wide.
    largest : dict of str to Largest or None
        The slowest page, country and browser, the error that most sessions have, and the most frequent landing page.
    examples : dict of str to dict
        Addresses in Raygun, by page template and by group of errors.
    changes : Changes or None
        What changed since the period before, if that was wanted.
    """

    coverage: Coverage
    basis: Basis
    sample: SampleSize
    time_zone: str
    figures: dict[str, dict[str, Any]]
    traffic: ByPeriod
    satisfaction: ByPeriod
    rated: int
    hours: pl.DataFrame
    speed: dict[str, pl.DataFrame]
    errors: pl.DataFrame
    landings: pl.DataFrame
    paths: pl.DataFrame
    largest: dict[str, Largest | None]
    examples: dict[str, examples.Links]
    changes: Changes | None = None

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
            **({} if self.changes is None else {"changes": self.changes.as_dict()}),
        }


def collect(
    lake: Lake,
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    time_zone: str = "UTC",
    compare: str | None = None,
) -> Findings:
    """Collect the findings of a report; arguments as for ``report()``."""
    if compare is not None:
        check_choice("compare", compare, ["previous"])
    window = window_of(lake, date_from, date_to, design)
    visits = partial(traffic, lake, by=None, time_zone=time_zone, date_from=window.start, date_to=window.end)
    hours = by_hour(visits(every="1h"))
    days = (window.end - window.start).days
    period = "1mo" if days >= _MONTHS_FROM else "1w" if days >= _WEEKS_FROM else "1d"
    # The moments, not what was given: "today" may be another day by now. An empty lake also has a report.
    is_covered = bool(lake.coverage())
    start = None if date_from is None and is_covered else window.start
    end = None if date_to is None and is_covered else window.end
    sample = sample_or_details(lake, start, end, design)
    sample, basis = with_templates(sample, None), _basis(sample)
    rated = int(rated_sessions(sample)["sessions"].sum())
    rating_period = _rating_period(rated, days) if basis != "all" else period
    speed = dict(zip(_SPEED_BY, page_speeds(sample, _SPEED_BY), strict=True))
    coverage = read_coverage(lake, window)
    errors, entries = error_impact(sample, wide=True), landings(sample, wide=True)
    return Findings(
        coverage=coverage,
        basis=basis,
        sample=size_of(sample, lake, design),
        time_zone=time_zone,
        figures={row["measure"]: row for row in estimate(sample, [LOAD, POOR, FAILING], wide=True).to_dicts()},
        traffic=ByPeriod(visits(every=period), period),
        satisfaction=ByPeriod(
            satisfaction(sample, every=rating_period, time_zone=time_zone, wide=True),
            rating_period,
            is_drawn=basis == "all" or rated >= _ENOUGH,
        ),
        rated=rated,
        hours=hours,
        speed=speed,
        errors=errors,
        landings=entries,
        paths=paths(sample, wide=True),
        largest={
            **{by: _slowest(sample, rows.head(TOP if by == "page_template" else KINDS)) for by, rows in speed.items()},
            "errors": largest(
                sample,
                "sessions()",
                errors.filter(~is_noise()),
                figure="sessions_affected",
                by=pl.col("group_id"),
                of="errors",
            ),
            "landings": largest(sample, "count()", entries, figure="entries", by=PAGE, of="page_views", where=ENTRY),
        },
        examples={
            "page_template": examples.slow_sessions(sample),
            "group_id": examples.last_errors(sample),
        },
        changes=None if compare is None else read_changes(lake, coverage, sample, design),
    )


def _slowest(sample: Details, rows: pl.DataFrame) -> Largest | None:
    """Return the slowest of the named groups."""
    by = pl.col(rows.columns[0])
    return largest(sample, LOAD, rows.filter(by.is_not_null()), figure="p75_ms", by=by, of="page_views")


def _basis(sample: Details) -> Basis:
    if not sizes_of(sample).answered:
        return "none"
    if not sample.is_drawn:
        return "not drawn"
    return "all" if is_census(sample) else "sample"


def _rating_period(rated: int, days: int) -> str:
    """Return the shortest period with enough rated sessions, and with few enough columns to read."""
    a_day = rated / max(1, days)
    if a_day >= _ENOUGH and days < _WEEKS_FROM:
        return "1d"
    return "1w" if days < _MONTHS_FROM and a_day * min(7, days) >= _ENOUGH else "1mo"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
