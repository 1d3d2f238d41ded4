"""What a report is of: the window, what the lake has of it, how its details were drawn, and the calls it took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

import polars as pl

from pulseframes.analysis.sample import Sample
from pulseframes.client import JOURNAL_FILE, Journal, Settings
from pulseframes.errors import PulseError
from pulseframes.lake import Lake, in_window, is_active
from pulseframes.query import DateLike, parse_window
from pulseframes.sampling.columns import RESPONDED, WEIGHT
from pulseframes.sampling.design import Design
from pulseframes.sampling.weights import effective_size, weigh
from pulseframes.windows import LOOK_BACK, Window, subtract, union

#: How far back a report tells the calls that were sent.
_CALL_DAYS: Final = 14
_MOST_CALLS: Final = 10_000


@dataclass(frozen=True)
class Standing:
    """What a lake covers of a window, and how completely.

    Attributes
    ----------
    window : Window
        From when to when sessions started, in UTC.
    gaps, incomplete : list of Window
        What of it was never read; what was read and, by the server's count, lacks sessions.
    sessions, users, page_views : int
        What the summaries say; users without an id are not counted.
    views_unknown : int
        Sessions that do not say how many page views they had.
    going_on : int
        Sessions that went on when they were last read, and are not in the figures of details.
    details : int
        Sessions of the window whose details are there.
    beyond : int
        Sessions of the lake that started outside the window.
    rejected : int
        Rows of the whole lake that broke the schema.
    population, drawn, answered : int
        How many sessions the sample speaks for, how many were drawn, and how many of those have details.
    effective : float
        How many sessions of equal weight would say as much as those (Kish).
    design : Design or None
        How they were drawn; None where no design did.
    dropped_before : datetime or None
        What started before was dropped by ``retain()``.
    """

    window: Window
    gaps: list[Window]
    incomplete: list[Window]
    sessions: int
    users: int
    page_views: int
    views_unknown: int
    going_on: int
    details: int
    beyond: int
    rejected: int
    population: int
    drawn: int
    answered: int
    effective: float
    design: Design | None
    dropped_before: datetime | None


def window_of(lake: Lake, date_from: DateLike | None, date_to: DateLike | None, design: Design | str | None) -> Window:
    """Give the window that is asked for or, by default, that of the sample, what was read, or what sessions there are.

    Raises
    ------
    InvalidQuery
        If a time is none, or the window ends before it starts.
    LakeError
        If there is no lake.
    """
    default = lake.default_window(lake.state().find_design(design)) or _today()
    return parse_window(date_from, date_to, default)


def read_standing(lake: Lake, window: Window, sample: Sample, design: Design | str | None) -> Standing:
    """Read how a lake stands in a window, of which a sample was read."""
    inside = in_window(window)
    active = is_active(LOOK_BACK)
    counted = (
        lake.sessions()
        .filter(inside)
        .select(
            pl.len().alias("sessions"),
            pl.col("user_id").drop_nulls().n_unique().alias("users"),
            pl.col("page_view_count").sum().alias("page_views"),
            pl.col("page_view_count").is_null().sum().alias("views_unknown"),
            active.sum().alias("going_on"),
            pl.col("detail_fetched_at").is_not_null().sum().alias("details"),
        )
    )
    numbers = counted.collect().row(0, named=True)
    everything = lake.sessions().select(pl.len()).collect().item()
    state = lake.state()
    drawn = lake.state().find_design(design)
    return Standing(
        window=window,
        gaps=subtract([window], lake.coverage()) if lake.coverage() else [],
        incomplete=_common(state.incomplete, window),
        **numbers,
        beyond=everything - numbers["sessions"],
        rejected=lake.rejected().select(pl.len()).collect().item(),
        population=len(sample.population),
        drawn=len(sample.members),
        answered=int(sample.members[RESPONDED].sum()),
        effective=_effective(sample),
        design=None if drawn is None else drawn.design,
        dropped_before=state.kept_from,
    )


def calls_by_day(lake: Lake, zone: tzinfo) -> list[tuple[date, int]]:
    """Count the calls that this machine's journal has of the lake's application, by day, the last one first."""
    application = lake.state().application
    try:
        folder = Settings().folder
        if application is None or folder is None or not (folder / JOURNAL_FILE).is_file():
            return []
        journal = Journal(folder / JOURNAL_FILE)
        try:
            entries = journal.last_calls(application, _MOST_CALLS)
        finally:
            journal.close()
    except PulseError:
        return []  # the lake can be told of all the same
    since = datetime.now(UTC) - timedelta(days=_CALL_DAYS)
    sent = [entry.at.astimezone(zone).date() for entry in entries if entry.outcome != "unsent" and entry.at >= since]
    return sorted(Counter(sent).items(), reverse=True)


def _today() -> Window:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(today, today + timedelta(days=1))


def _effective(sample: Sample) -> float:
    if sample.is_census or not sample.is_drawn or sample.details.sessions.is_empty():
        return float(len(sample.details.sessions))
    return effective_size(weigh(sample.population, sample.members, pl.lit(1.0))[WEIGHT])


def _common(windows: list[Window], window: Window) -> list[Window]:
    return union(Window(max(start, window.start), min(end, window.end)) for start, end in windows)
