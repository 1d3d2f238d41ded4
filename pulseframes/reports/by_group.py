"""Sections that tell of groups: pages, countries and browsers, errors, ways."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any, Final

import polars as pl

from pulseframes import charts
from pulseframes._text import UNKNOWN, format_count, format_percent, format_rounded, format_seconds, printable
from pulseframes.charts.groups import NO_TITLE
from pulseframes.charts.style import TOP
from pulseframes.reports.findings import FAILING, Findings
from pulseframes.reports.parts import (
    Cell,
    Section,
    TableView,
    firmly,
    measured,
    name,
    rests_on,
    spread,
    tabulated,
)
from pulseframes.reports.svg import drawn

#: So many countries and browsers are drawn: those with most page views, the slowest first.
_KINDS: Final = 10


def speed_section(found: Findings) -> Section:
    """Say how fast pages load."""
    rows = found.speed
    if rows.is_empty():
        return Section("speed", "Speed by page", ["The details list no page views."])
    slowest = _slowest(rows.head(TOP))
    said = []
    if slowest is not None:
        said.append(
            f"Of the {min(TOP, len(rows))} most viewed pages, {printable(slowest['page_template'], 60)} is the slowest: three in four of its views load "
            f"within {firmly(slowest, 'p75_ms', format_seconds)}."
        )
    said.append(_which(found, "pages", "the most viewed ones first"))
    caption = "Load times by page: median, 75th and 95th percentile"
    return Section(
        "speed",
        "Speed by page",
        said,
        [drawn(charts.page_speed, rows, f"Load time by page. {said[0]}")],
        [_speeds(rows, "Page", caption)],
    )


def kinds_section(found: Findings) -> Section:
    """Say in which countries and browsers pages are slow."""
    said, pictures, tables = [], [], []
    for rows, title in ((found.countries, "Country"), (found.browsers, "Browser")):
        if rows.is_empty():
            continue
        largest = rows.head(_KINDS).sort("p75_ms", descending=True, nulls_last=True, maintain_order=True)
        slowest = _slowest(largest)
        if slowest is not None and len(largest) > 1:
            enough = "" if largest["p75_ms"][0] == slowest["p75_ms"] else ", of those that rest on enough sessions"
            said.append(
                f"By {title.lower()}, pages are slowest for {printable(slowest[rows.columns[0]], 40)}{enough}: "
                f"{firmly(slowest, 'p75_ms', format_seconds)} at the 75th percentile."
            )
        words = f"Load time by {title.lower()}, the slowest first. {said[-1] if said else ''}"
        pictures.append(drawn(charts.page_speed, largest, words))
        tables.append(_speeds(rows, title, f"Load times by {title.lower()}"))
    said.append(_which(found, "rows", "of the ten with most page views, the slowest first"))
    return Section("kinds", "Slow countries and browsers", said, pictures, tables)


def errors_section(found: Findings) -> Section:
    """Say what breaks, and whom it hurts."""
    rows = found.errors
    heading = "Errors, and whom they hurt"
    if rows.is_empty():
        return Section("errors", heading, ["No session with details has an error."])
    failing, first = spread(found.figures[FAILING], "share"), rows.row(0, named=True)
    groups = "one group" if len(rows) == 1 else f"{format_count(len(rows))} groups"
    title = printable(first["title"] or NO_TITLE, 90)
    most = (
        f"The one that touches most sessions is “{title}”: {firmly(first, 'share_of_sessions', format_percent)} of all, "
        f"{firmly(first, 'sessions_affected', format_rounded)} sessions."
    )
    said = [
        f"{firmly(failing, 'share', format_percent)} of the sessions have an error; the errors are of {groups}.",
        most,
        _which(found, "errors", "those that touch most first"),
    ]
    table = tabulated(
        "Errors by how many sessions they touch",
        rows,
        {
            "Error": lambda row: name(row["title"] or NO_TITLE),
            "Sessions": lambda row: measured(row, "sessions_affected", format_rounded),
            "Share": lambda row: measured(row, "share_of_sessions", format_percent),
            "Errors": lambda row: measured(row, "errors", format_rounded),
            "Users seen": lambda row: Cell(format_count(row["users_seen"])),
            "Seen": lambda row: Cell(_day(row["first_seen"], found), f"to {_day(row['last_seen'], found)}"),
            "Browsers": lambda row: Cell(_listed(row["browsers"])),
            "Pages of these sessions": lambda row: Cell(_listed(row["pages"])),
            "With details": rests_on,
        },
        words=("Seen", "Browsers", "Pages of these sessions"),
    )
    chart = drawn(charts.error_impact, rows, f"Share of sessions that each error touches. {most}")
    return Section("errors", heading, said, [chart], [table])


def ways_section(found: Findings) -> Section:
    """Say on which pages sessions begin and end, and how they go on."""
    rows = found.landings
    heading = "Ways through the site"
    if rows.is_empty():
        return Section("ways", heading, ["The details list no page views."])
    first = rows.row(0, named=True)
    said = (
        f"Most sessions begin on {printable(first['page_template'], 60)}: {firmly(first, 'entries', format_rounded)}."
    )
    if first["bounce_rate"] is not None:
        said += f" {firmly(first, 'bounce_rate', format_percent)} of these end there at once."
    begin = tabulated(
        "Pages on which sessions begin",
        rows,
        {
            "Page": lambda row: name(row["page_template"]),
            "Sessions": lambda row: measured(row, "entries", format_rounded),
            "End at once": lambda row: measured(row, "bounce_rate", format_percent),
            "With details": rests_on,
        },
    )
    ways = tabulated(
        "The most frequent ways from page to page",
        found.paths,
        {
            "From": lambda row: Cell("(begin)") if row["from_page"] is None else name(row["from_page"]),
            "To": lambda row: Cell("(end)") if row["to_page"] is None else name(row["to_page"]),
            "Times": lambda row: measured(row, "times", format_rounded),
            "Of all from there": lambda row: Cell(format_percent(row["share"])),
            "With details": rests_on,
        },
        words=("To",),
    )
    chart = drawn(charts.landings, rows, f"Sessions by the page on which they begin. {said}")
    return Section("ways", heading, [said], [chart], [begin, ways])


def _speeds(rows: pl.DataFrame, title: str, caption: str) -> TableView:
    group = rows.columns[0]
    figures = {"Median": "p50_ms", "75th pct.": "p75_ms", "95th pct.": "p95_ms", "Viewed for": "viewing_ms"}
    return tabulated(
        caption,
        rows,
        {
            title: lambda row: name(row[group]),
            "Views": lambda row: measured(row, "views", format_rounded),
            **{head: partial(measured, figure=figure, write=format_seconds) for head, figure in figures.items()},
            "With details": rests_on,
        },
    )


def _slowest(rows: pl.DataFrame) -> dict[str, Any] | None:
    """Give the slowest of some rows that rest on enough sessions; of all, where none does. One without a name is passed over."""
    known = rows.filter(pl.col("p75_ms").is_not_null(), pl.col(rows.columns[0]).is_not_null())
    firm = known.filter(pl.col("flag").is_null())
    ranked = (known if firm.is_empty() else firm).sort("p75_ms", descending=True, maintain_order=True)
    return None if ranked.is_empty() else ranked.row(0, named=True)


def _which(found: Findings, what: str, order: str) -> str:
    """Say how to read a chart of dots."""
    match found.basis:
        case "sample":
            said = f"The line through a dot is its 95% interval; hollow dots and dashed lines are {what} that rest on few sessions."
        case "all":
            said = "All details are there: the figures are exact, and have no intervals."
        case _:
            said = "Hollow dots: the details were not drawn, so that nothing says how far all sessions are from them."
    return f"{said} {order.capitalize()}."


def _day(moment: datetime | None, found: Findings) -> str:
    if moment is None:
        return UNKNOWN
    local = moment.astimezone(found.zone)
    return f"{local.day} {local:%b %Y}"


def _listed(values: Iterable[str] | None) -> str:
    return ", ".join(printable(value, 40) for value in values or []) or UNKNOWN
