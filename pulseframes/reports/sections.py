"""The report's key figures and sections."""

from __future__ import annotations

from pulseframes._text import UNKNOWN, format_count, format_percent, format_seconds
from pulseframes.reports.by_group import errors_section, kinds_section, speed_section, ways_section
from pulseframes.reports.by_time import satisfaction_section, traffic_section
from pulseframes.reports.findings import FAILING, LOAD, POOR, Findings
from pulseframes.reports.parts import KeyFigure, Section, Write, interval, spread


def key_figures(found: Findings) -> list[KeyFigure]:
    """Give what is told first."""
    standing = found.standing
    counted = "counted, every session"
    views = counted
    if standing.views_unknown:
        views = f"of those {format_count(standing.sessions - standing.views_unknown)} sessions that say how many"
    return [
        KeyFigure("Sessions", format_count(standing.sessions), counted),
        KeyFigure("Users", format_count(standing.users), counted),
        KeyFigure("Page views", format_count(standing.page_views), views),
        _estimated(found, LOAD, "Load time, 75th percentile", format_seconds),
        _estimated(found, POOR, "Sessions rated Poor", format_percent),
        _estimated(found, FAILING, "Sessions with errors", format_percent),
    ]


def sections(found: Findings) -> list[Section]:
    """Give the sections that have something to say of what the lake holds."""
    told = [traffic_section(found)]
    if found.basis != "none":
        told += [
            speed_section(found),
            satisfaction_section(found),
            errors_section(found),
            kinds_section(found),
            ways_section(found),
        ]
    return told


def _estimated(found: Findings, measure: str, title: str, write: Write) -> KeyFigure:
    row = found.figures[measure]
    if row["estimate"] is None:
        return KeyFigure(title, UNKNOWN, "no details say it")
    limits = interval(spread(row, "figure"), "figure", write).replace(" to ", " and ")
    match found.basis:
        case "all":
            certainty = "exact, from all details"
        case "not drawn":
            certainty = f"of {format_count(row['sessions'])} sessions that were not drawn"
        case _ if " and " in limits:
            certainty = f"between {limits}" + (f"; {row['flag']}" if row["flag"] else "")
        case _:
            certainty = f"{limits or 'no interval'}; {row['flag'] or 'too few sessions'}"
    return KeyFigure(title, write(row["estimate"]), certainty)
