"""What a lake has of a report's window: its sessions, the sample of details, and the calls that were spent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

import polars as pl

from pulseframes.analysis.details import Details, sizes_of
from pulseframes.analysis.stored import StoredDetails
from pulseframes.client import JOURNAL_FILE, Journal, Settings
from pulseframes.errors import PulseError
from pulseframes.lake import Lake, in_window, is_active
from pulseframes.query import DateLike, parse_window
from pulseframes.sampling.columns import VIEWS
from pulseframes.sampling.design import Design
from pulseframes.sampling.weights import sample_worth
from pulseframes.windows import LOOK_BACK, Window, subtract, union

#: The days whose calls are counted, and the number of calls that are read.
CALL_DAYS: Final = 14
_MOST_CALLS: Final = 10_000


class Counts(NamedTuple):
    """Counts over the summaries of a window. Users without an id are not counted; active sessions are in no figure of details."""

    sessions: int
    users: int
    page_views: int
    views_unknown: int
    active: int
    details: int


@dataclass(frozen=True)
class Coverage:
    """What a lake has of a window.

    Attributes
    ----------
    window : Window
        The span in which the sessions started.
    is_synced : bool
        Whether the lake was ever synced; otherwise nobody knows what it lacks.
    gaps, incomplete : list of Window
        Parts of it that were never read, and parts of which the lake lacks sessions.
    counts : Counts
        Counts over its summaries.
    outside : int
        Sessions of the lake that started at other times.
    rejected : int
        Rejected rows of the whole lake.
    deleted_before : datetime or None
        ``retain()`` has deleted sessions that started earlier.
    """

    window: Window
    is_synced: bool
    gaps: list[Window]
    incomplete: list[Window]
    counts: Counts
    outside: int
    rejected: int
    deleted_before: datetime | None

    @property
    def is_complete(self) -> bool:
        """Whether the lake has all sessions of the window that the server counted."""
        return self.is_synced and not self.gaps and not self.incomplete


@dataclass(frozen=True)
class SampleSize:
    """The size of a sample.

    Attributes
    ----------
    design : Design or None
        How the sessions were selected; None if it was not at random.
    population, selected, answered : int
        The sessions that the sample represents, those selected, and those of them that have details.
    effective_views, effective_sessions : float
        The number of sessions of equal weight that would give the same precision (Kish), for figures of page views and of sessions.
    """

    design: Design | None
    population: int
    selected: int
    answered: int
    effective_views: float
    effective_sessions: float


def window_of(lake: Lake, date_from: DateLike | None, date_to: DateLike | None, design: Design | str | None) -> Window:
    """Return the window of a report; by default that of the sample, of all that was read, or of the sessions there are."""
    default = lake.default_window(lake.state().find_design(design)) or _today()
    return parse_window(date_from, date_to, default)


def read_coverage(lake: Lake, window: Window) -> Coverage:
    """Read what a lake has of a window."""
    state = lake.state()
    counted = (
        lake.sessions()
        .filter(in_window(window))
        .select(
            pl.len().alias("sessions"),
            pl.col("user_id").drop_nulls().n_unique().alias("users"),
            pl.col("page_view_count").sum().alias("page_views"),
            pl.col("page_view_count").is_null().sum().alias("views_unknown"),
            is_active(LOOK_BACK).sum().alias("active"),
            pl.col("detail_fetched_at").is_not_null().sum().alias("details"),
        )
    )
    counts = Counts(**counted.collect().row(0, named=True))
    covered = lake.coverage()
    return Coverage(
        window=window,
        is_synced=bool(covered),
        gaps=subtract([window], covered) if covered else [],
        incomplete=union(Window(max(start, window.start), min(end, window.end)) for start, end in state.incomplete),
        counts=counts,
        outside=_rows(lake.sessions()) - counts.sessions,
        rejected=_rows(lake.rejected()),
        deleted_before=state.kept_from,
    )


def size_of(sample: Details, lake: Lake, design: Design | str | None) -> SampleSize:
    """Return the size of a lake's sample."""
    state, sizes = lake.state().find_design(design), sizes_of(sample)
    if isinstance(sample, StoredDetails):
        return SampleSize(None, *sizes, sizes.answered, sizes.answered)
    return SampleSize(
        None if state is None else state.design,
        *sizes,
        effective_views=sample_worth(sample.population, sample.members, pl.col(VIEWS).clip(lower_bound=1)),
        effective_sessions=sample_worth(sample.population, sample.members, pl.lit(1.0)),
    )


def calls_by_day(lake: Lake, zone: tzinfo) -> list[tuple[date, int]]:
    """Count the recent calls of the lake's application in this machine's journal, by day, the last day first."""
    application = lake.state().application
    try:
        folder = Settings().folder
        if application is None or folder is None or not (folder / JOURNAL_FILE).is_file():
            return []
        journal = Journal(folder / JOURNAL_FILE)
        try:
            records = journal.last_calls(application, _MOST_CALLS)
        finally:
            journal.close()
    except PulseError:
        return []  # a report does not need the journal
    since = datetime.now(UTC) - timedelta(days=CALL_DAYS)
    sent = [call.at.astimezone(zone).date() for call in records if call.outcome != "unsent" and call.at >= since]
    return sorted(Counter(sent).items(), reverse=True)


def _today() -> Window:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(today, today + timedelta(days=1))


def _rows(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())
