"""What the figures are based on, in words: the window, its completeness, the sample, the calls and the methods."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pulseframes._text import format_percent, plural
from pulseframes.reports.coverage import CALL_DAYS
from pulseframes.reports.findings import Findings
from pulseframes.reports.parts import Cell, Section, TableView
from pulseframes.windows import Window


def window_text(window: Window, findings: Findings) -> str:
    """Format a window, in days if it starts and ends at midnight."""
    start, end = (moment.astimezone(findings.zone) for moment in window)
    if start.time() == end.time() == datetime.min.time():
        last = (end - timedelta(days=1)).date()
        return _date(start) if last == start.date() else f"{_date(start)} to {_date(last)}"
    return f"{_date(start)}, {start:%H:%M}, to {_date(end)}, {end:%H:%M}"


def summary(findings: Findings) -> str:
    """Describe in a sentence or two where figures of details come from."""
    size = findings.sample
    match findings.basis:
        case "sample":
            verb = "was" if size.answered == 1 else "were"
            return (
                f"{size.answered:,} of {size.population:,} sessions {verb} sampled at random and downloaded in full. Load times, ratings and "
                "errors are estimates for all sessions, with 95% confidence intervals."
            )
        case "all":
            sessions = "The one session was" if size.population == 1 else f"All {size.population:,} sessions were"
            if not findings.coverage.is_complete:
                return f"{sessions} downloaded in full: the figures are exact for them, but other sessions of this time may be missing."
            return f"{sessions} downloaded in full: the figures are exact."
        case "not drawn":
            return (
                f"Load times, ratings and errors come from {plural(size.answered, 'session')} not sampled at random. They describe these sessions "
                "only, and may be far from the figures for all."
            )
    if findings.coverage.counts.sessions:
        return "The lake has no details of these sessions, so load times, ratings and errors are unknown."
    return "The lake has no sessions in this window."


def coverage_section(findings: Findings) -> Section:
    """Describe what the lake has of the window, and the sample."""
    coverage = findings.coverage
    counts = coverage.counts
    facts = {"Window": f"{window_text(coverage.window, findings)} ({findings.time_zone})"}
    if coverage.gaps:
        facts["Not downloaded"] = "; ".join(window_text(gap, findings) for gap in coverage.gaps)
    if coverage.incomplete:
        facts["Sessions missing"] = "; ".join(window_text(window, findings) for window in coverage.incomplete)
    if coverage.is_complete:
        facts["Completeness"] = "all sessions that the server counted were downloaded"
    elif not coverage.is_synced:
        facts["Completeness"] = "unknown: the lake was written to, but never synced"
    facts["Sessions"] = f"{counts.sessions:,} ({counts.active:,} still active when last read)"
    facts["With details"] = f"{counts.details:,} ({format_percent(counts.details / max(1, counts.sessions))})"
    facts |= _sample(findings)
    if coverage.rejected:
        facts["Invalid rows"] = f"{coverage.rejected:,} in the whole lake, excluded from all figures"
    if coverage.outside:
        facts["Outside this report"] = f"{coverage.outside:,} sessions of the lake started at other times"
    if coverage.deleted_before is not None:
        facts["Deleted"] = f"sessions that started before {_date(coverage.deleted_before.astimezone(findings.zone))}"
    rows = [[Cell(name), Cell(value)] for name, value in facts.items()]
    table = TableView("Coverage and sample", ["Item", "Value"], rows, words=frozenset({"Value"}), is_open=True)
    return Section("coverage", "About the data", [], [], [table])


def _sample(findings: Findings) -> dict[str, str]:
    counts, size = findings.coverage.counts, findings.sample
    if size.design is None:
        return {}
    chance = "in proportion to page views" if size.design.kind == "pageviews" else "with equal probability"
    strata = f", stratified by {' and '.join(size.design.strata)}" if size.design.strata else ""
    missing = size.selected - size.answered
    facts = {
        "Sampling": f"at random, {chance}{strata} (design {size.design.name}, seed {size.design.seed})",
        "Sampled": f"{size.selected:,} of {size.population:,} sessions",
        "Details missing": f"{missing:,}; the others are weighted to compensate, which is right if they resemble the missing ones"
        if missing
        else "none",
        "Effective sample size": f"{size.effective_views:,.0f} for page views, {size.effective_sessions:,.0f} for sessions",
    }
    excluded = counts.sessions - counts.active - size.population
    if excluded > 0:
        facts["Not represented"] = f"{excluded:,} sessions from times that the sample does not cover"
    return facts


def calls_section(calls: list[tuple[date, int]], limit: int) -> Section | None:
    """Describe the calls of each day; None if there are none."""
    if not calls:
        return None
    numbers = [number for _, number in calls]
    most = "" if len(calls) == 1 else f", at most {max(numbers):,} a day"
    sentence = f"In the last {CALL_DAYS} days: {plural(sum(numbers), 'call')} on {plural(len(calls), 'day')}{most} (limit {limit:,} a day)."
    rows = [[Cell(f"{day:%a} {_date(day)}"), Cell(f"{number:,}")] for day, number in calls]
    table = TableView("Pulse API calls by day, from this machine's journal", ["Day", "Calls"], rows)
    return Section("calls", "API calls", [sentence], [], [table])


def notes(findings: Findings) -> dict[str, str]:
    """Return the terms of the report and their meaning."""
    return (
        {"Counts": "Sessions, users and page views are counts of all sessions. Users without an id are not counted."}
        | _NOTES_BY_BASIS.get(findings.basis, {})
        | _NOTES
    )


_NOTES_BY_BASIS = {
    "sample": {
        "Interval": "If we repeated the sampling, about 95 in 100 such intervals would contain the true value. Each sampled session is weighted by "
        "the number of sessions it represents. Standard errors treat sessions as clusters and account for the finite population.",
        "Few sessions, few cases": "The figure comes from fewer than 10 sessions, or fewer than 10 had what it counts, or a few had most of it. "
        "Treat it as a hint, whatever its interval.",
        "Wrong design": "The sample was drawn for other questions, and is worth fewer than 10 sessions for this one: a few sessions have most of "
        "what it counts. Treat it as a hint.",
    },
    "not drawn": {
        "Not sampled at random": "Nothing is known of how the sessions with details were chosen; they may be the newest, for example. Figures of them "
        "have no intervals."
    },
}
_NOTES = {
    "75th percentile": "Three in four page views load within this time. The median is the 50th percentile. One in twenty views takes longer than "
    "the 95th.",
    "Rating": "Raygun rates each session Excellent, Good, Average or Poor. Shares are of the sessions that have a rating.",
    "Page": "Addresses that differ only in ids, names or query are grouped as one page: /product/123?ref=x becomes /product/{id}. Query strings, "
    "which may hold e-mail addresses, are not in this report.",
    "Errors and pages": "Raygun does not record on which page an error occurred. The pages and browsers of an error are those of the sessions that "
    "have it.",
    "Names and texts": "The report shows no columns about users. Titles, paths of pages and names of browsers are shown as received, truncated if "
    "long, without anything that looks like an e-mail or IP address or an international phone number. A person's name or id that the site "
    "puts into them stays.",
}


def _date(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
