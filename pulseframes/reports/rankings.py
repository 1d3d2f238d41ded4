"""The sections that rank something: pages, errors, countries, browsers, landing pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Final

import polars as pl

from pulseframes import charts
from pulseframes._text import UNKNOWN, format_count, format_percent, format_rounded, format_seconds, plural, printable
from pulseframes.analysis.compare import Largest
from pulseframes.analysis.errors import is_noise
from pulseframes.charts.groups import NO_TITLE
from pulseframes.reports.changes import FAILING
from pulseframes.reports.findings import KINDS, Findings
from pulseframes.reports.parts import (
    DOUBT,
    Cell,
    Row,
    Section,
    TableView,
    figure_cell,
    links_cell,
    sessions_cell,
    table_of,
    text_cell,
    with_interval,
)
from pulseframes.reports.svg import picture

_LINKS: Final = "In Raygun"


def speed_section(findings: Findings) -> Section:
    """Describe the load times of pages."""
    rows = findings.speed["page_template"]
    if rows.is_empty():
        return Section("speed", "Load times by page", ["The details have no page views."])
    sentences = [how_to_read(findings, "Most viewed pages first.")]
    slowest = findings.largest["page_template"]
    if slowest is not None:
        sentences.insert(0, slowest_page(slowest))
    chart = picture(charts.page_speed, rows, f"Load time by page. {sentences[0]}")
    examples = findings.examples["page_template"]
    links = {_LINKS: lambda row: links_cell("Slow session", examples.get(row["page_template"]))}
    table = _load_times(rows, "Page", "Load times by page: median, 75th and 95th percentile", links if examples else {})
    return Section("speed", "Load times by page", sentences, [chart], [table])


def slowest_page(slowest: Largest) -> str:
    """Return the sentence on the slowest page."""
    page, load = printable(slowest.row["page_template"], 60), with_interval(slowest.row, "p75_ms", format_seconds)
    if slowest.compared == 1:
        return f"Three in four views of {page} load within {load}."
    verb, doubt = claim(slowest, "the slowest")
    return f"Of the {slowest.compared} most viewed pages, {page} {verb}: three in four of its views load within {load}.{doubt}"


def claim(largest: Largest, what: str) -> tuple[str, str]:
    """Return a verb that says no more than is certain, as ``is probably the slowest``, and the reason for a doubt."""
    if largest.is_certain:
        limit = "" if largest.is_drawn else " That is so in the sessions with details, which may be unlike the others."
        return f"is among {what}" if largest.is_shared else f"is {what}", limit
    return f"is probably {what}", " There are too few details to be sure."


def kinds_section(findings: Findings) -> Section:
    """Describe the load times of countries and browsers."""
    sentences, pictures, tables = [], [], []
    for by, name in (("country", "Country"), ("browser_name", "Browser")):
        rows, slowest = findings.speed[by], findings.largest[by]
        if rows.is_empty():
            continue
        shown = rows.head(KINDS).sort("p75_ms", descending=True, nulls_last=True, maintain_order=True)
        if slowest is not None and slowest.compared > 1:
            verb, doubt = claim(slowest, f"the slowest {name.lower()}")
            sentences.append(
                f"{printable(slowest.row[by], 40)} {verb}: three in four page views load within "
                f"{with_interval(slowest.row, 'p75_ms', format_seconds)}.{doubt}"
            )
        words = f"Load time by {name.lower()}, slowest first. {sentences[-1] if sentences else ''}"
        pictures.append(picture(charts.page_speed, shown, words))
        tables.append(_load_times(rows, name, f"Load times by {name.lower()}"))
    sentences.append(how_to_read(findings, "Top ten by page views, slowest first."))
    return Section("kinds", "Load times by country and browser", sentences, pictures, tables)


def errors_section(findings: Findings) -> Section:
    """Describe the errors by the sessions they affect, and browser noise apart from them."""
    heading = "Errors by sessions affected"
    if findings.errors.is_empty():
        return Section("errors", heading, ["No session with details has an error."])
    rows, noise = findings.errors.filter(~is_noise()), findings.errors.filter(is_noise())
    failing = with_interval(findings.figures[FAILING], "estimate", format_percent)
    included = "" if noise.is_empty() else ", browser noise included"
    groups = plural(len(rows), "group")
    seen = f"There {'is' if len(rows) == 1 else 'are'} {groups} of errors"
    if findings.basis != "all":
        seen = f"The {plural(findings.sample.answered, 'session')} with details have {groups} of errors; others may have more"
    sentences = [f"{failing} of the sessions have an error{included}. {seen}."]
    pictures, tables = [], []
    if not rows.is_empty():
        most = _worst_error(findings)
        sentences += [most, how_to_read(findings, "Most sessions affected first.")]
        pictures.append(picture(charts.error_impact, rows, f"Share of sessions that each error affects. {most}"))
        tables.append(_errors(rows, findings, "Errors by number of sessions affected"))
    if not noise.is_empty():
        sentences.append(
            "Browser noise is listed apart: messages of the browser, such as “ResizeObserver loop …” and “Script error.”, that point to no code of the site."
        )
        tables.append(_errors(noise, findings, "Browser noise by number of sessions affected"))
    return Section("errors", heading, sentences, pictures, tables)


def _worst_error(findings: Findings) -> str:
    worst = findings.largest["errors"]
    if worst is None:
        return "The sessions affected by each error are unknown."
    row = worst.row
    share, number = (with_interval(row, figure, write) for figure, write in _AFFECTED)
    title = f"“{printable(row['title'] or NO_TITLE, 90)}”"
    if worst.compared == 1:
        return f"{title} affects {share} of the sessions, or {number}."
    verb, doubt = claim(worst, "the error that affects the most sessions")
    return f"{title} {verb}: {share}, or {number}.{doubt}"


_AFFECTED: Final = (("share_of_sessions", format_percent), ("sessions_affected", format_rounded))


def _errors(rows: pl.DataFrame, findings: Findings, caption: str) -> TableView:
    examples = findings.examples["group_id"]
    links = {_LINKS: lambda row: links_cell("Error", examples.get(row["group_id"]))}
    return table_of(
        caption,
        rows,
        {
            "Error": lambda row: text_cell(row["title"] or NO_TITLE),
            **(links if examples else {}),
            "Sessions": lambda row: figure_cell(row, "sessions_affected", format_rounded),
            "Share": lambda row: figure_cell(row, "share_of_sessions", format_percent),
            "Errors": lambda row: figure_cell(row, "errors", format_rounded),
            "Users seen": lambda row: Cell(format_count(row["users_seen"])),
            "Seen": lambda row: Cell(_day(row["first_seen"], findings), f"to {_day(row['last_seen'], findings)}"),
            "Browsers": lambda row: Cell(_joined(row["browsers"])),
            "Pages of these sessions": lambda row: Cell(_joined(row["pages"])),
            "With details": sessions_cell,
        },
        words=("Seen", "Browsers", "Pages of these sessions", _LINKS),
    )


def navigation_section(findings: Findings) -> Section:
    """Describe the landing pages and the steps from page to page."""
    rows, heading, top = findings.landings, "Navigation paths", findings.largest["landings"]
    if rows.is_empty() or top is None:
        return Section("navigation", heading, ["The details have no page views."])
    sentence = _top_landing(top)
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
            "Share of steps from there": lambda row: figure_cell(row, "share", format_percent),
            "With details": sessions_cell,
        },
        words=("To",),
    )
    chart = picture(charts.landings, rows, f"Sessions by landing page. {sentence}")
    sentences = [sentence, how_to_read(findings, "Most frequent landing pages first.")]
    return Section("navigation", heading, sentences, [chart], [landing_pages, steps])


def _top_landing(top: Largest) -> str:
    row = top.row
    verb, doubt = claim(top, "the most frequent landing page")
    verb = "is the only landing page" if top.compared == 1 else verb
    entries = with_interval(row, "entries", format_rounded)
    start = "session starts" if entries == "1" else "sessions start"
    bounces = ""
    if row["bounce_rate"] is not None:
        bounces = f" {with_interval(row, 'bounce_rate', format_percent)} of them view no other page."
    return f"{printable(row['page_template'], 60)} {verb}: {entries} {start} there.{bounces}{doubt}"


def _load_times(
    rows: pl.DataFrame, name: str, caption: str, links: Mapping[str, Callable[[Row], Cell]] | None = None
) -> TableView:
    group = rows.columns[0]
    figures = {"Median": "p50_ms", "75th pct.": "p75_ms", "95th pct.": "p95_ms", "Viewed for": "viewing_ms"}
    return table_of(
        caption,
        rows,
        {
            name: lambda row: text_cell(row[group]),
            **(links or {}),
            "Views": lambda row: figure_cell(row, "views", format_rounded),
            **{head: partial(figure_cell, figure=figure, write=format_seconds) for head, figure in figures.items()},
            "With details": sessions_cell,
        },
        words=(_LINKS,),
    )


def how_to_read(findings: Findings, order: str) -> str:
    """Explain a chart of dots, and the marks in tables."""
    match findings.basis:
        case "sample":
            return (
                "Lines through dots are 95% intervals. A hollow dot, a dashed line and an asterisk in a table mark a hint, which comes from "
                f"{DOUBT}. {order}"
            )
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
