"""Sections that tell of time: traffic, satisfaction."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from pulseframes import charts
from pulseframes._text import format_count, format_percent, printable
from pulseframes.charts.periods import hour_bars
from pulseframes.reports.findings import POOR, Findings
from pulseframes.reports.parts import MOST_ROWS, Cell, Section, TableView, firmly, measured, spread
from pulseframes.reports.svg import drawn, picture

_PERIODS: Final = {"1d": "day", "1w": "week", "1mo": "month"}
_COUNTED: Final = ("sessions", "users", "page_views")
#: The last so many periods are in the table.
_DAYS: Final = 62


def traffic_section(found: Findings) -> Section:
    """Say how many came, and when."""
    days, period = found.by_day, _PERIODS[found.period]
    heading = "Traffic"
    if days.is_empty():
        return Section("traffic", heading, ["The lake has no sessions of this time."])
    most = days.sort("sessions", descending=True, maintain_order=True).row(0, named=True)
    hour = found.by_hour.sort("mean", descending=True, maintain_order=True).row(0, named=True)
    start, window = most["period"], found.standing.window
    a_day = found.standing.sessions / max(1.0, (window.end - window.start) / timedelta(days=1))
    said = [
        (
            f"{format_count(found.standing.sessions)} session{'s' * (found.standing.sessions != 1)}, {format_count(a_day)} a day on average. The busiest {period} "
            f"was {'' if period != 'week' else 'that from '}{start:%A} {start.day} {start:%B}, with {format_count(most['sessions'])}."
        ),
        (
            f"Most sessions start between {hour['hour']:02}:00 and {hour['hour'] + 1:02}:00 ({found.time_zone})."
            + (f" The first or the last {period} is cut by the report's window." if _is_cut(found) else "")
        ),
    ]
    rows = [
        [
            Cell(f"{row['period']:%a} {row['period'].day} {row['period']:%b %Y}"),
            *(Cell(format_count(row[one])) for one in _COUNTED),
        ]
        for row in days.tail(_DAYS).to_dicts()
    ]
    table = TableView(
        f"Sessions, users and page views by {period}",
        [period.capitalize(), "Sessions", "Users", "Page views"],
        rows,
        more=max(0, len(days) - _DAYS),
    )
    hours = [[Cell(f"{row['hour']:02}:00"), Cell(f"{row['mean']:,.1f}")] for row in found.by_hour.to_dicts()]
    pictures = [
        drawn(charts.traffic, days, f"Bar chart of sessions by {period}. {said[0]}"),
        picture(
            lambda width: hour_bars(found.by_hour, "Sessions in an hour, mean", width=width),
            f"Bar chart of sessions by hour of the day. {said[1]}",
        ),
    ]
    by_hour = TableView("Mean number of sessions that start in each hour of the day", ["Hour", "Sessions"], hours)
    return Section("traffic", heading, said, pictures, [table, by_hour])


def _is_cut(found: Findings) -> bool:
    """Tell whether the window begins or ends within a day, week or month."""
    ends = pl.Series([moment.astimezone(found.zone).replace(tzinfo=None) for moment in found.standing.window])
    return bool((ends.dt.truncate(found.period) != ends).any())


def satisfaction_section(found: Findings) -> Section:
    """Say how satisfied they were, by Raygun's rating."""
    rows, period = found.satisfaction, _PERIODS[found.rating_period]
    known = rows.filter(pl.col("share").is_not_null())
    heading = "Satisfaction"
    if known.is_empty():
        return Section("satisfaction", heading, ["No session with details has a rating."])
    poor = spread(found.figures[POOR], "share")
    said = [
        f"Raygun rates {firmly(poor, 'share', format_percent)} of the sessions Poor.",
        f"Each column is a {period}, named by its first day"
        + ("; the line is the interval of the share of Poor." if found.basis == "sample" else "."),
    ]
    ratings = rows["satisfaction_rating"].unique(maintain_order=True).to_list()
    table = []
    for start in rows["period"].unique(maintain_order=True).tail(MOST_ROWS):
        here = {row["satisfaction_rating"]: row for row in rows.filter(period=start).to_dicts()}
        cells = [measured(here[one], "share", format_percent) if one in here else Cell("") for one in ratings]
        sessions = max((row["sessions"] for row in here.values()), default=0)
        table.append([Cell(f"{start.day} {start:%b %Y}"), *cells, Cell(format_count(sessions))])
    caption = f"Share of sessions with each rating, by {period}"
    header = [f"{period.capitalize()} from", *(printable(one, 24) for one in ratings), "Sessions"]
    return Section(
        "satisfaction",
        heading,
        said,
        [drawn(charts.satisfaction, rows, f"Shares of the ratings by {period}. {said[0]}")],
        [TableView(caption, header, table)],
    )
