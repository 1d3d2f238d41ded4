"""What a report tells of a lake: the results of the analysis functions, each worked out once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

from pulseframes.analysis import error_impact, landings, page_speed, paths, satisfaction, traffic
from pulseframes.analysis.estimate import estimate
from pulseframes.analysis.sample import Sample
from pulseframes.charts.periods import by_hour
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.reports.coverage import Standing, read_standing, window_of
from pulseframes.sampling.design import Design
from pulseframes.windows import Window

#: What figures of details rest on: a sample that a design drew, the details of all sessions, of some that were not drawn, or none.
Basis: TypeAlias = Literal["sample", "all", "not drawn", "none"]

LOAD: Final = "p75(loading_time_ms)"
POOR: Final = "share(satisfaction_rating = 'Poor')"
FAILING: Final = "share(error_count > 0)"

#: From so many days on, traffic is told by week, and by month.
_FORTNIGHT: Final = 15
_WEEKS_FROM: Final = 120
_MONTHS_FROM: Final = 1_000
#: So many details a period are enough to tell shares by.
_ENOUGH: Final = 40


@dataclass(frozen=True)
class Findings:
    """What a report tells.

    Attributes
    ----------
    standing : Standing
        What the lake covers, and how completely.
    basis : {"sample", "all", "not drawn", "none"}
        What the figures of details rest on.
    time_zone : str
        Whose days and hours.
    made_at : datetime
        When it was found, in UTC.
    figures : dict of str to dict
        The key figures of details, by measure: a row of ``estimate()`` each.
    by_day, by_hour : polars.DataFrame
        What ``traffic()`` gives by day (or a longer period), and the mean of each hour of the day.
    period, rating_period : str
        The periods of ``by_day`` and of ``satisfaction``, as polars writes them.
    speed, countries, browsers : polars.DataFrame
        What ``page_speed()`` gives by page template, country and browser.
    satisfaction, errors, landings, paths : polars.DataFrame
        What the functions of these names give.
    """

    standing: Standing
    basis: Basis
    time_zone: str
    made_at: datetime
    figures: dict[str, dict[str, Any]]
    by_day: pl.DataFrame
    by_hour: pl.DataFrame
    period: str
    rating_period: str
    speed: pl.DataFrame
    countries: pl.DataFrame
    browsers: pl.DataFrame
    satisfaction: pl.DataFrame
    errors: pl.DataFrame
    landings: pl.DataFrame
    paths: pl.DataFrame

    @property
    def zone(self) -> tzinfo:
        """The time zone; UTC is known on machines that have no list of others, too."""
        return UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)

    def as_dict(self) -> dict[str, Any]:
        """Give the key figures as JSON takes them; times in ISO 8601, UTC."""
        standing = self.standing
        keys = {"load_p75_ms": LOAD, "poor_share": POOR, "error_share": FAILING}
        wanted = ("estimate", "lower", "upper", "sessions", "flag")
        figures = {
            name: {part: _finite(self.figures[measure][part]) for part in wanted} for name, measure in keys.items()
        }
        return {
            "date_from": standing.window.start.isoformat(),
            "date_to": standing.window.end.isoformat(),
            "basis": self.basis,
            "sessions": standing.sessions,
            "users": standing.users,
            "page_views": standing.page_views,
            "details": standing.details,
            **figures,
        }


def find(
    lake: Lake,
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    time_zone: str = "UTC",
) -> Findings:
    """Find what a report tells of a lake; arguments as for ``report()``."""
    window = window_of(lake, date_from, date_to, design)
    by_hour_of_day = traffic(lake, every="1h", by=None, time_zone=time_zone, date_from=window.start, date_to=window.end)
    days = (window.end - window.start).days
    period = "1mo" if days >= _MONTHS_FROM else "1w" if days >= _WEEKS_FROM else "1d"
    sample = _sample(lake, date_from, date_to, design, window)
    standing = read_standing(lake, window, sample, design)
    answers = len(sample.details.sessions)
    rating_period = _rating_period(answers, days)
    figures = estimate(sample, [LOAD, POOR, FAILING])
    return Findings(
        standing=standing,
        basis=_basis(sample),
        time_zone=time_zone,
        made_at=datetime.now(UTC),
        figures={row["measure"]: row for row in figures.to_dicts()},
        by_day=traffic(lake, every=period, by=None, time_zone=time_zone, date_from=window.start, date_to=window.end),
        by_hour=by_hour(by_hour_of_day),
        period=period,
        rating_period=rating_period,
        speed=page_speed(sample),
        countries=page_speed(sample, by="country"),
        browsers=page_speed(sample, by="browser_name"),
        satisfaction=satisfaction(sample, every=rating_period, time_zone=time_zone),
        errors=error_impact(sample),
        landings=landings(sample),
        paths=paths(sample),
    )


def _sample(
    lake: Lake, date_from: DateLike | None, date_to: DateLike | None, design: Design | str | None, window: Window
) -> Sample:
    """Give the lake's sample or, where no design drew one, its details as they are."""
    if design is not None or lake.state().designs:
        return Sample.of_lake(lake, date_from, date_to, design=design, columns=[])
    if not lake.coverage():  # an empty lake has a report, too
        date_from, date_to = window
    return Sample.of_bought(lake, date_from, date_to, columns=[])


def _basis(sample: Sample) -> Basis:
    if sample.details.sessions.is_empty():
        return "none"
    if not sample.is_drawn:
        return "not drawn"
    return "all" if sample.is_census else "sample"


def _rating_period(details: int, days: int) -> str:
    """Give periods that are short, and yet have enough details each; a week or two are told by days."""
    a_day = details / max(1, days)
    if days < _FORTNIGHT or (a_day >= _ENOUGH and days < _WEEKS_FROM):
        return "1d"
    return "1w" if days < _WEEKS_FROM or (a_day * 7 >= _ENOUGH and days < _MONTHS_FROM) else "1mo"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
