"""The key figures and sections of a report, each as sentences, a chart and a table; those that rank something are beside it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

import polars as pl

from pulseframes import charts
from pulseframes._text import (
    UNKNOWN,
    format_count,
    format_percent,
    format_seconds,
    plural,
    printable,
)
from pulseframes.charts.periods import hour_bars
from pulseframes.reports.basis import window_text
from pulseframes.reports.changes import FAILING, LOAD, POOR, changes_section
from pulseframes.reports.findings import ByPeriod, Findings
from pulseframes.reports.parts import (
    DOUBT,
    MOST_ROWS,
    Cell,
    Format,
    KeyFigure,
    Section,
    TableView,
    figure_cell,
    interval,
    with_interval,
)
from pulseframes.reports.rankings import errors_section, kinds_section, navigation_section, speed_section
from pulseframes.reports.svg import picture
from pulseframes.sampling.inference import DOUBTFUL

#: The most periods in the table of traffic.
_DAYS: Final = 62


def key_figures(findings: Findings) -> list[KeyFigure]:
    """Return the figures at the top of the page."""
    counts = findings.coverage.counts
    counted = "counted, all sessions" if findings.coverage.is_complete else "counted, in the lake"
    reported = f"counted, for the {counts.sessions - counts.views_unknown:,} sessions that report it"
    return [
        KeyFigure("Sessions", f"{counts.sessions:,}", counted),
        KeyFigure("Users", f"{counts.users:,}", counted),
        KeyFigure("Page views", f"{counts.page_views:,}", reported if counts.views_unknown else counted),
        _estimate(findings, LOAD, "Load time, 75th percentile", format_seconds),
        _estimate(findings, POOR, "Sessions rated Poor", format_percent),
        _estimate(findings, FAILING, "Sessions with errors", format_percent),
    ]


def sections(findings: Findings) -> list[Section]:
    """Return the sections that the lake has data for."""
    changes = findings.changes
    top = [] if changes is None else [changes_section(changes, window_text(changes.window, findings))]
    if findings.basis == "none":
        return [*top, _traffic(findings)]
    parts = (_traffic, speed_section, errors_section, kinds_section, _satisfaction, navigation_section)
    return [*top, *(section(findings) for section in parts)]


def _estimate(findings: Findings, measure: str, name: str, write: Format) -> KeyFigure:
    row = findings.figures[measure]
    if row["estimate"] is None:
        return KeyFigure(name, UNKNOWN, "no data in the details")
    limits = interval(row, "estimate", write).replace(" to ", " and ")
    match findings.basis:
        case "all":
            certainty = "exact, from all details" if findings.coverage.is_complete else "from all details in the lake"
        case "not drawn":
            certainty = f"from {plural(row['sessions'], 'session')} not sampled at random"
        case _ if " and " in limits:
            certainty = f"between {limits}" + (f"; {row['flag']}" if row["flag"] else "")
        case _:
            certainty = f"{limits or 'no interval'}; {row['flag'] or 'too few sessions'}"
    return KeyFigure(name, write(row["estimate"]), certainty)


def _traffic(findings: Findings) -> Section:
    days, period = findings.traffic.rows, findings.traffic.period
    if days.is_empty():
        return Section("traffic", "Traffic", ["The lake has no sessions in this window."])
    busiest = days.sort("sessions", descending=True, maintain_order=True).row(0, named=True)
    hour = findings.hours.sort("mean", descending=True, maintain_order=True).row(0, named=True)["hour"]
    start, window, sessions = busiest["period"], findings.coverage.window, findings.coverage.counts.sessions
    a_day = sessions / max(1.0, (window.end - window.start) / timedelta(days=1))
    cut = f" The first or the last {period} is only partly in the window." if _is_cut(findings) else ""
    verb = "was" if period == "day" else "started on"
    sentences = [
        f"{plural(sessions, 'session')}, {format_count(a_day)} a day on average. The busiest {period} {verb} {start:%A} {start.day} {start:%B}, with {busiest['sessions']:,}.",
        f"The busiest hour is {hour:02}:00 to {hour + 1:02}:00 ({findings.time_zone}).{cut}",
    ]
    rows = [
        [
            Cell(f"{row['period']:%a} {row['period'].day} {row['period']:%b %Y}"),
            *(Cell(format_count(row[name])) for name in ("sessions", "users", "page_views")),
        ]
        for row in days.tail(_DAYS).to_dicts()
    ]
    by_period = TableView(
        f"Sessions, users and page views by {period}",
        [period.capitalize(), "Sessions", "Users", "Page views"],
        rows,
        more=max(0, len(days) - _DAYS),
    )
    hours = [[Cell(f"{row['hour']:02}:00"), Cell(f"{row['mean']:,.1f}")] for row in findings.hours.to_dicts()]
    by_hour = TableView("Mean number of sessions by hour of the day", ["Hour", "Sessions"], hours)
    bars = partial(hour_bars, title="Sessions per hour, mean")
    pictures = [
        picture(charts.traffic, days, f"Bar chart of sessions by {period}. {sentences[0]}"),
        picture(bars, findings.hours, f"Bar chart of sessions by hour of the day. {sentences[1]}"),
    ]
    return Section("traffic", "Traffic", sentences, pictures, [by_period, by_hour])


def _is_cut(findings: Findings) -> bool:
    """Return whether the window starts or ends within a period."""
    ends = pl.Series([moment.astimezone(findings.zone).replace(tzinfo=None) for moment in findings.coverage.window])
    return bool((ends.dt.truncate(findings.traffic.every) != ends).any())


def _satisfaction(findings: Findings) -> Section:
    rows, period = findings.satisfaction.rows, findings.satisfaction.period
    if rows["share"].drop_nulls().is_empty():
        return Section("satisfaction", "Satisfaction", ["No session with details has a rating."])
    poor = f"Raygun rates {with_interval(findings.figures[POOR], 'estimate', format_percent)} of the sessions Poor."
    table = _ratings(findings.satisfaction)
    has_doubts = rows["flag"].is_in(DOUBTFUL).any()
    if not findings.satisfaction.is_drawn:
        few = f"Only {plural(findings.rated, 'session')} with details {'has' if findings.rated == 1 else 'have'} a rating: too few for a chart by time."
        hint = f" An asterisk marks a hint, which comes from {DOUBT}." if has_doubts else ""
        return Section("satisfaction", "Satisfaction", [poor, few + hint], [], [table])
    whisker = "; the whisker is the 95% interval of the Poor share" if findings.basis == "sample" else ""
    pale = f" Pale parts, and an asterisk in the table, mark a hint, which comes from {DOUBT}." if has_doubts else ""
    sentences = [poor, f"One column per {period}{whisker}.{pale}"]
    chart = picture(charts.satisfaction, rows, f"Shares of the ratings by {period}. {sentences[0]}")
    return Section("satisfaction", "Satisfaction", sentences, [chart], [table])


def _ratings(satisfaction: ByPeriod) -> TableView:
    rows, period = satisfaction.rows, satisfaction.period
    ratings = rows["satisfaction_rating"].unique(maintain_order=True).to_list()
    cells = []
    for start in rows["period"].unique(maintain_order=True).tail(MOST_ROWS):
        by_rating = {row["satisfaction_rating"]: row for row in rows.filter(period=start).to_dicts()}
        shares = (by_rating.get(rating) for rating in ratings)
        sessions = max((row["sessions"] for row in by_rating.values()), default=0)
        cells.append(
            [
                Cell(f"{start.day} {start:%b %Y}"),
                *(Cell("") if row is None else figure_cell(row, "share", format_percent) for row in shares),
                Cell(format_count(sessions)),
            ]
        )
    first = "Day" if period == "day" else f"{period.capitalize()} from"
    header = [first, *(printable(rating, 24) for rating in ratings), "With details"]
    return TableView(f"Share of sessions with each rating, by {period}", header, cells)
