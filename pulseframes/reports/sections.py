"""The key figures and sections of a report, each as sentences, a chart and a table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from pulseframes import charts
from pulseframes._text import (
    UNKNOWN,
    format_count,
    format_percent,
    format_rounded,
    format_seconds,
    plural,
    printable,
)
from pulseframes.charts.groups import NO_TITLE
from pulseframes.charts.periods import hour_bars
from pulseframes.charts.style import TOP
from pulseframes.reports.findings import FAILING, LOAD, POOR, ByPeriod, Findings
from pulseframes.reports.parts import (
    MOST_ROWS,
    Cell,
    Format,
    KeyFigure,
    Section,
    TableView,
    figure_cell,
    interval,
    sessions_cell,
    table_of,
    text_cell,
    with_interval,
)
from pulseframes.reports.svg import picture

#: The most periods in the table of traffic.
_DAYS: Final = 62
#: The number of countries and browsers drawn: those with the most page views, slowest first.
_KINDS: Final = 10


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
    if findings.basis == "none":
        return [_traffic(findings)]
    parts = (_traffic, _speed, _satisfaction, _errors, _countries_and_browsers, _navigation)
    return [section(findings) for section in parts]


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
    (days, _), period = findings.traffic, findings.traffic.period
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


def _speed(findings: Findings) -> Section:
    rows = findings.speed["page_template"]
    if rows.is_empty():
        return Section("speed", "Load times by page", ["The details have no page views."])
    sentences = [_how_to_read(findings, "Most viewed pages first.")]
    slowest = _slowest(rows.head(TOP))
    if slowest is not None:
        sentences.insert(
            0,
            f"Of the {min(TOP, len(rows))} most viewed pages, {printable(slowest['page_template'], 60)} is the slowest: three in four of its views "
            f"load within {with_interval(slowest, 'p75_ms', format_seconds)}.",
        )
    chart = picture(charts.page_speed, rows, f"Load time by page. {sentences[0]}")
    table = _load_times(rows, "Page", "Load times by page: median, 75th and 95th percentile")
    return Section("speed", "Load times by page", sentences, [chart], [table])


def _countries_and_browsers(findings: Findings) -> Section:
    sentences, pictures, tables = [], [], []
    for by, name in (("country", "Country"), ("browser_name", "Browser")):
        rows = findings.speed[by]
        if rows.is_empty():
            continue
        largest = rows.head(_KINDS).sort("p75_ms", descending=True, nulls_last=True, maintain_order=True)
        slowest = _slowest(largest)
        if slowest is not None and len(largest) > 1:
            enough = "" if largest["p75_ms"][0] == slowest["p75_ms"] else " with enough sessions"
            sentences.append(
                f"The slowest {name.lower()}{enough} is {printable(slowest[by], 40)}: three in four page views load within "
                f"{with_interval(slowest, 'p75_ms', format_seconds)}."
            )
        words = f"Load time by {name.lower()}, slowest first. {sentences[-1] if sentences else ''}"
        pictures.append(picture(charts.page_speed, largest, words))
        tables.append(_load_times(rows, name, f"Load times by {name.lower()}"))
    sentences.append(_how_to_read(findings, "Top ten by page views, slowest first."))
    return Section("kinds", "Load times by country and browser", sentences, pictures, tables)


def _satisfaction(findings: Findings) -> Section:
    (rows, _), period = findings.satisfaction, findings.satisfaction.period
    if rows["share"].drop_nulls().is_empty():
        return Section("satisfaction", "Satisfaction", ["No session with details has a rating."])
    whisker = "; the whisker is the 95% interval of the Poor share" if findings.basis == "sample" else ""
    sentences = [
        f"Raygun rates {with_interval(findings.figures[POOR], 'estimate', format_percent)} of the sessions Poor.",
        f"One column per {period}{whisker}.",
    ]
    chart = picture(charts.satisfaction, rows, f"Shares of the ratings by {period}. {sentences[0]}")
    return Section("satisfaction", "Satisfaction", sentences, [chart], [_ratings(findings.satisfaction)])


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
    header = [first, *(printable(rating, 24) for rating in ratings), "Sessions"]
    return TableView(f"Share of sessions with each rating, by {period}", header, cells)


def _errors(findings: Findings) -> Section:
    rows, heading = findings.errors, "Errors by sessions affected"
    if rows.is_empty():
        return Section("errors", heading, ["No session with details has an error."])
    first = rows.row(0, named=True)
    failing = with_interval(findings.figures[FAILING], "estimate", format_percent)
    most = (
        f"“{printable(first['title'] or NO_TITLE, 90)}” affects the most sessions: {with_interval(first, 'share_of_sessions', format_percent)}, or "
        f"{with_interval(first, 'sessions_affected', format_rounded)}."
    )
    sentences = [
        f"{failing} of the sessions have an error. There are {plural(len(rows), 'group')} of errors.",
        most,
        _how_to_read(findings, "Most sessions affected first."),
    ]
    table = table_of(
        "Errors by number of sessions affected",
        rows,
        {
            "Error": lambda row: text_cell(row["title"] or NO_TITLE),
            "Sessions": lambda row: figure_cell(row, "sessions_affected", format_rounded),
            "Share": lambda row: figure_cell(row, "share_of_sessions", format_percent),
            "Errors": lambda row: figure_cell(row, "errors", format_rounded),
            "Users seen": lambda row: Cell(format_count(row["users_seen"])),
            "Seen": lambda row: Cell(_day(row["first_seen"], findings), f"to {_day(row['last_seen'], findings)}"),
            "Browsers": lambda row: Cell(_joined(row["browsers"])),
            "Pages of these sessions": lambda row: Cell(_joined(row["pages"])),
            "With details": sessions_cell,
        },
        words=("Seen", "Browsers", "Pages of these sessions"),
    )
    chart = picture(charts.error_impact, rows, f"Share of sessions that each error affects. {most}")
    return Section("errors", heading, sentences, [chart], [table])


def _navigation(findings: Findings) -> Section:
    rows, heading = findings.landings, "Navigation paths"
    if rows.is_empty():
        return Section("navigation", heading, ["The details have no page views."])
    first = rows.row(0, named=True)
    sentence = f"The most frequent landing page is {printable(first['page_template'], 60)}, with {with_interval(first, 'entries', format_rounded)} sessions."
    if first["bounce_rate"] is not None:
        sentence += f" {with_interval(first, 'bounce_rate', format_percent)} of them view no other page."
    landing_pages = table_of(
        "Landing pages",
        rows,
        {
            "Page": lambda row: text_cell(row["page_template"]),
            "Sessions": lambda row: figure_cell(row, "entries", format_rounded),
            "Bounce rate": lambda row: figure_cell(row, "bounce_rate", format_percent),
            "With details": sessions_cell,
        },
    )
    steps = table_of(
        "Most frequent steps from page to page",
        findings.paths,
        {
            "From": lambda row: Cell("(start)") if row["from_page"] is None else text_cell(row["from_page"]),
            "To": lambda row: Cell("(end)") if row["to_page"] is None else text_cell(row["to_page"]),
            "Times": lambda row: figure_cell(row, "times", format_rounded),
            "Share of steps from there": lambda row: Cell(format_percent(row["share"])),
            "With details": sessions_cell,
        },
        words=("To",),
    )
    chart = picture(charts.landings, rows, f"Sessions by landing page. {sentence}")
    return Section("navigation", heading, [sentence], [chart], [landing_pages, steps])


def _load_times(rows: pl.DataFrame, name: str, caption: str) -> TableView:
    group = rows.columns[0]
    figures = {"Median": "p50_ms", "75th pct.": "p75_ms", "95th pct.": "p95_ms", "Viewed for": "viewing_ms"}
    return table_of(
        caption,
        rows,
        {
            name: lambda row: text_cell(row[group]),
            "Views": lambda row: figure_cell(row, "views", format_rounded),
            **{head: partial(figure_cell, figure=figure, write=format_seconds) for head, figure in figures.items()},
            "With details": sessions_cell,
        },
    )


def _slowest(rows: pl.DataFrame) -> dict[str, Any] | None:
    """Return the slowest named row that has enough sessions; of all named rows, if none has."""
    known = rows.filter(pl.col("p75_ms").is_not_null(), pl.col(rows.columns[0]).is_not_null())
    firm = known.filter(pl.col("flag").is_null())
    ranked = (known if firm.is_empty() else firm).sort("p75_ms", descending=True, maintain_order=True)
    return None if ranked.is_empty() else ranked.row(0, named=True)


def _how_to_read(findings: Findings, order: str) -> str:
    """Explain a chart of dots."""
    match findings.basis:
        case "sample":
            return f"Lines through dots are 95% intervals; hollow dots and dashed lines mean few sessions. {order}"
        case "all":
            return f"All details were downloaded, so the figures are exact. {order}"
    return f"Hollow dots: the sessions were not sampled at random, so the figures may not hold for all. {order}"


def _day(moment: datetime | None, findings: Findings) -> str:
    if moment is None:
        return UNKNOWN
    local = moment.astimezone(findings.zone)
    return f"{local.day} {local:%b %Y}"


def _joined(values: Iterable[str] | None) -> str:
    return ", ".join(printable(value, 40) for value in values or []) or UNKNOWN
