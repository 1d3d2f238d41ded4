"""What the report rests on, in words: the window, its completeness, the sample; the calls it took; how figures were made."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pulseframes._text import format_count, format_percent
from pulseframes.reports.findings import Findings
from pulseframes.reports.parts import Cell, Section, TableView
from pulseframes.windows import Window


def window_text(window: Window, found: Findings) -> str:
    """Write a window: in days, where it begins and ends at midnight."""
    start, end = (moment.astimezone(found.zone) for moment in window)
    if start.time() == end.time() == datetime.min.time():
        last = (end - timedelta(days=1)).date()
        return _date(start) if last == start.date() else f"{_date(start)} to {_date(last)}"
    return f"{_date(start)}, {start:%H:%M}, to {_date(end)}, {end:%H:%M}"


def summary(found: Findings) -> str:
    """Say in one sentence what the figures of details rest on."""
    standing = found.standing
    match found.basis:
        case "sample":
            return (
                f"{format_count(standing.answered)} of {format_count(standing.population)} sessions were drawn at random and read in full. Load times, ratings "
                "and errors are estimates for all sessions, each with its 95% interval."
            )
        case "all":
            read = (
                "The one session was"
                if standing.population == 1
                else f"All {format_count(standing.population)} sessions were"
            )
            return f"{read} read in full: the figures are exact."
        case "not drawn":
            return (
                f"Load times, ratings and errors are of {format_count(standing.answered)} sessions that no design has drawn: they speak for themselves only, "
                "and may be far from what all sessions would say."
            )
    if standing.sessions:
        return "The lake has no details of these sessions, so that nothing is known of load times, ratings and errors."
    return "The lake has no sessions of this time."


def coverage_section(found: Findings) -> Section:
    """Give what was covered, and how completely."""
    standing = found.standing
    facts = [("Sessions that started", f"{window_text(standing.window, found)} ({found.time_zone})")]
    if standing.gaps:
        facts.append(("Not read", "; ".join(window_text(gap, found) for gap in standing.gaps)))
    if standing.incomplete:
        windows = "; ".join(window_text(window, found) for window in standing.incomplete)
        facts.append(("Incomplete by the server's count", windows))
    if not standing.gaps and not standing.incomplete:
        facts.append(("Completeness", "all of this time was read, and by the server's counts no session is missing"))
    facts.append(
        (
            "Sessions",
            f"{format_count(standing.sessions)}, of which {format_count(standing.going_on)} went on when they were last read",
        )
    )
    facts.append(
        (
            "With details",
            f"{format_count(standing.details)} ({format_percent(standing.details / max(1, standing.sessions))})",
        )
    )
    if standing.design is not None:
        facts += _sample(found)
    if standing.rejected:
        facts.append(
            (
                "Rows that broke the schema",
                f"{format_count(standing.rejected)} in the whole lake, in none of the figures",
            )
        )
    if standing.beyond:
        facts.append(
            ("Outside this report", f"{format_count(standing.beyond)} sessions of the lake started at other times")
        )
    if standing.dropped_before is not None:
        facts.append(("Dropped", f"what started before {_date(standing.dropped_before.astimezone(found.zone))}"))
    rows = [[Cell(what), Cell(value)] for what, value in facts]
    table = TableView("What was covered", ["What", "How much"], rows, words=frozenset({"How much"}), is_open=True)
    return Section("coverage", "What this report rests on", [], [], [table])


def _sample(found: Findings) -> list[tuple[str, str]]:
    standing, design = found.standing, found.standing.design
    if design is None:
        return []
    how = "in proportion to its page views" if design.kind == "pageviews" else "with the same chance"
    strata = f", within {', '.join(design.strata)}" if design.strata else ""
    lost = standing.drawn - standing.answered
    left_out = standing.sessions - standing.going_on - standing.population
    facts = [
        ("Sample", f"each session {how}{strata} ({design.name}, seed {design.seed})"),
        ("Drawn", f"{format_count(standing.drawn)} of {format_count(standing.population)} sessions"),
        ("Without an answer", f"{format_count(lost)}; the weights of the others make up for them" if lost else "none"),
        ("Worth", f"{format_count(standing.effective)} sessions of equal weight"),
    ]
    if left_out > 0:
        facts.append(
            ("Not spoken for", f"{format_count(left_out)} sessions of times that the sample was not drawn from")
        )
    return facts


def calls_section(calls: list[tuple[date, int]], limit: int) -> Section | None:
    """Give the calls of each day; None where there are none."""
    if not calls:
        return None
    most = max(number for _, number in calls)
    said = (
        f"In the last {len(calls)} days with calls, {format_count(sum(number for _, number in calls))} were sent, {format_count(most)} on one day at most; the "
        f"limit is set to {format_count(limit)} a day."
    )
    rows = [[Cell(f"{day:%a} {_date(day)}"), Cell(format_count(number))] for day, number in calls]
    table = TableView("Calls of the Pulse API by day, as this machine's journal has them", ["Day", "Calls"], rows)
    return Section("calls", "Calls", [said], [], [table])


def notes(found: Findings) -> list[tuple[str, str]]:
    """Give how the figures were made: terms, and what they mean here."""
    told = [
        (
            "Counted",
            "Sessions, users and page views are counted from the summaries of all sessions. Users without an id are not counted.",
        ),
        (
            "75th percentile",
            "Three in four page views load within this time. The median is the 50th: one in two. One in twenty takes longer than the 95th.",
        ),
        (
            "Rating",
            "Raygun rates each session Excellent, Good, Average or Poor. Shares are of the sessions that have a rating.",
        ),
        (
            "Page",
            (
                "Addresses that differ only in ids, names and what follows a question mark are one page: /product/123?ref=x is /product/{id}. "
                "So what a query holds, such as an e-mail address, is not in this report."
            ),
        ),
        (
            "Errors and pages",
            "Raygun does not say on which page an error occurred. Pages and browsers of an error are those of the sessions that have it.",
        ),
        (
            "Names and texts",
            (
                "Titles, pages and names are shown as they came, and cut where they are long. What looks like an e-mail or network address is taken out. "
                "The report has no names of users, nor ids."
            ),
        ),
    ]
    if found.basis == "sample":
        told.insert(
            1,
            (
                "Interval",
                (
                    "Were the sample drawn again and again, 95 in 100 such intervals would hold what all sessions would say. Each drawn session has "
                    "the weight of those it speaks for; sessions are the clusters, and the population is finite."
                ),
            ),
        )
        told.insert(
            2,
            (
                "Few sessions, few cases",
                "The figure rests on fewer than 10 sessions, or what it counts was seen in fewer than 10: take it as a hint, whatever its interval.",
            ),
        )
    if found.basis == "not drawn":
        told.insert(
            1,
            (
                "Not drawn",
                "The sessions with details were chosen in a way that nothing tells, such as the newest: figures of them have no intervals.",
            ),
        )
    return told


def _date(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
