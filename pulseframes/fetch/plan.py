"""Forecasts the calls of a sync before anything is spent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pulseframes._arguments import check_flag, whole_number
from pulseframes._card import Card, Row
from pulseframes._progress import ProgressHook, reporting
from pulseframes._text import plural
from pulseframes.client import PulseClient, as_client
from pulseframes.endpoints import SEARCH
from pulseframes.errors import QuotaExhausted
from pulseframes.fetch.answers import Fetcher
from pulseframes.fetch.backlog import (
    Details,
    check_details,
    check_lake,
    check_look_back,
    count_sessions,
    describe_left_out,
    details_to_fetch,
    left_out_before,
    wanted_window,
    windows_to_fetch,
)
from pulseframes.fetch.draw import SampleDraw, design_to_use
from pulseframes.lake import Lake, LakeState, as_lake
from pulseframes.query import EVER, DateLike, SearchQuery
from pulseframes.sampling.design import Design
from pulseframes.windows import FRESH, LOOK_BACK, Window, span_text, subtract

_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True)
class PlannedWindow:
    """One search of a sync.

    Attributes
    ----------
    date_from, date_to : datetime
        The window, in UTC.
    sessions : int or None
        Number of sessions; None if unknown.
    calls : int or None
        Calls needed; None if unknown.
    kept : int
        Pages that are in the journal and cost no calls.
    estimated : bool
        True if ``sessions`` is an estimate, not the server's count for this window.
    """

    date_from: datetime
    date_to: datetime
    sessions: int | None
    calls: int | None
    kept: int
    estimated: bool

    def __str__(self) -> str:
        return ": ".join(self.row())

    def row(self) -> tuple[str, str]:
        """Return the window, and what is known of its search."""
        span = f"Search {self.date_from:%Y-%m-%d %H:%M} to {self.date_to:%Y-%m-%d %H:%M}"
        if self.sessions is None or self.calls is None:
            return span, "number of sessions unknown."
        about = "about " if self.estimated else ""
        cached = f", {plural(self.kept, 'page')} in the journal" if self.kept else ""
        if not self.sessions and self.calls:
            return span, f"{about}no sessions, {plural(self.calls, 'call')} to confirm that{cached}."
        return span, f"{about}{plural(self.sessions, 'session')}, {plural(self.calls, 'call')}{cached}."


@dataclass(frozen=True, repr=False)
class Plan(Card):
    """The forecast of a sync's calls, as ``plan()`` returns it.

    Attributes
    ----------
    windows : list of PlannedWindow
        The searches.
    details : int or None
        Details to download, one call each; None if unknown.
    details_kept : int
        Details that are in the journal and cost no calls.
    authentications : int
        Session keys to fetch, one per day of calls.
    calls : int or None
        The total; None if unknown.
    calls_left, daily_limit : int
        Calls left in the quota now, and calls per day.
    days : int or None
        Days of calls needed, today included; 0 if there is nothing to do, None if unknown.
    probe_cost : int
        Calls that planning itself used.
    left_out_before : datetime or None
        The sync skips the part of the window before this time, because ``retain()`` deleted it.
    incomplete : list of Window
        Windows of the lake that lack sessions, missing or deleted; a refresh downloads them again.

    Examples
    --------
    >>> forecast = pf.plan("lake", "2026-11-09", "2026-11-16", details=80, design="pageviews")
    >>> forecast.windows, forecast.days
    ([], 1)
    """

    windows: list[PlannedWindow]
    details: int | None
    details_kept: int
    authentications: int
    calls: int | None
    calls_left: int
    daily_limit: int
    days: int | None
    probe_cost: int
    left_out_before: datetime | None = None
    incomplete: list[Window] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON types.

        Returns
        -------
        dict
            The attributes; times are ISO 8601, in UTC.

        Examples
        --------
        >>> pf.plan("lake", "2026-11-09", "2026-11-16").as_dict()["calls"]
        0
        """
        return dict(json.loads(json.dumps(asdict(self), default=datetime.isoformat)))

    def details_in(self, days: int) -> int | None:
        """Return how many details the calls of some days suffice for, after the searches and a session key a day.

        Parameters
        ----------
        days : int
            How many days, today included.

        Returns
        -------
        int or None
            At most as many as there are sessions to fetch details of, if the plan is for ``details="all"``. None if the number of
            sessions is unknown.

        Raises
        ------
        InvalidQuery
            If ``days`` is not a whole number above 0.

        Examples
        --------
        >>> history = pf.plan("lake", "2026-11-09", "2026-11-16", details="all")
        >>> history.details_in(2) > 0
        True
        """
        days = whole_number("days", days, least=1)
        searches = _sum_if_known([window.calls for window in self.windows])
        if searches is None or self.details is None:
            return None
        calls = self.calls_left + (days - 1) * self.daily_limit - days - searches
        return max(0, min(calls, self.details))

    def __repr__(self) -> str:
        return f"Plan(calls={self.calls}, details={self.details}, days={self.days}, calls_left={self.calls_left})"

    def _rows(self) -> Iterator[Row]:
        yield from (window.row() for window in self.windows)
        if not self.windows:
            yield "Search", "nothing new to download."
        yield from (("Incomplete", f"{span_text(window)}. A refresh downloads it again.") for window in self.incomplete)
        if self.left_out_before is not None:
            yield "", describe_left_out(self.left_out_before)
        if self.details or self.details_kept:
            number = "unknown number" if self.details is None else f"{self.details:,}"
            yield "Details", f"{number} to download, {self.details_kept:,} in the journal."
        yield "Total", self._total()
        yield "Quota", f"{self.calls_left:,} of {plural(self.daily_limit, 'call')} left today{self._duration()}."
        if self.probe_cost:
            yield "", f"Planning used {plural(self.probe_cost, 'call')}."

    def _total(self) -> str:
        if self.calls is None:
            return "unknown. To count the sessions, plan again with a probe when a call is left."
        if not self.calls:
            return "no calls needed."
        return f"{plural(self.calls, 'call')}, {self.authentications} of them to authenticate."

    def _duration(self) -> str:
        if self.days is None or not self.calls:
            return ""
        return ", enough for this sync" if self.days <= 1 else f"; this sync takes {self.days} days"


def plan(
    lake: Lake | str | os.PathLike[str],
    date_from: DateLike,
    date_to: DateLike | None = None,
    *,
    details: Details = 0,
    design: Design | str | None = None,
    look_back: timedelta = LOOK_BACK,
    client: PulseClient | None = None,
    probe: bool = True,
    progress: ProgressHook | bool | None = None,
) -> Plan:
    """Forecast the calls and days that ``sync()`` needs with the same arguments.

    Costs at most one call, plus one if a session key has to be fetched. Costs none without ``probe``, or if the journal or
    the lake already has the number of sessions. Source of the count: ``GET /sessions`` with a limit of 1.

    Parameters
    ----------
    lake, date_from, date_to, details, design, look_back, client, progress
        As for ``sync()``. The lake need not exist.
    probe : bool
        Whether one call may be spent to count the sessions. If no call is left, the count stays unknown.

    Returns
    -------
    Plan
        Windows, pages, details, authentications and days of calls. Print it for a summary.

    Raises
    ------
    InvalidQuery, LakeError
        As for ``sync()``.
    CredentialsMissing, AuthenticationFailed, ServerError, MalformedAnswer, JournalError
        If the probe fails.

    Examples
    --------
    >>> print(pf.plan("lake", "2026-11-09", "2026-11-16"))
    Search: nothing new to download.
    Total: no calls needed.
    Quota: ... of 10,000 calls left today.
    """
    check_details(details)
    check_look_back(look_back)
    check_flag("probe", probe)
    client = as_client(client)
    now = client.clock()
    wanted = wanted_window(date_from, date_to, now)
    lake = as_lake(lake)
    exists = lake.is_there()
    state = lake.state() if exists else LakeState()
    if exists:
        check_lake(lake, state, client.application)
    design = design_to_use(state, design)
    spent_before = client.calls_spent
    windows = windows_to_fetch(lake, state, wanted, now, look_back)
    with reporting(progress, lambda: client.quota().left) as hook:
        planned = _planned_windows(Fetcher(client, progress=hook), lake, state, windows, probe=probe)
    new_sessions = _sum_if_known([_new_sessions(lake, window) for window in planned])
    if not details:
        ids = []
    elif design is None or not exists:
        ids = details_to_fetch(lake, wanted, now, look_back)
    else:
        ids = SampleDraw(lake, design, wanted, look_back).pending()
    cached = len(client.answered_details().keys() & set(ids))
    to_download = _details_to_download(details, len(ids) - cached, new_sessions)
    return replace(
        forecast(client, planned, to_download, cached, spent_before),
        incomplete=[Window(*part) for part in state.incomplete if subtract([wanted], [part]) != [wanted]],
        left_out_before=left_out_before(state, wanted),
    )


def forecast(
    client: PulseClient, windows: list[PlannedWindow], details: int | None, details_kept: int, spent_before: int
) -> Plan:
    """Return the plan for some searches and details: their calls and days, given the quota."""
    work = _sum_if_known([*(window.calls for window in windows), details])
    quota = client.quota()
    days, authentications = _days(work, quota.left, client)
    return Plan(
        windows=windows,
        details=details,
        details_kept=details_kept,
        authentications=authentications,
        calls=None if work is None else work + authentications,
        calls_left=quota.left,
        daily_limit=quota.limit,
        days=days,
        probe_cost=client.calls_spent - spent_before,
    )


def _planned_windows(
    fetcher: Fetcher, lake: Lake, state: LakeState, windows: Sequence[Window], *, probe: bool
) -> list[PlannedWindow]:
    """Count the sessions of each window from the journal, from the lake if it covers all of it, or by an estimate."""
    covered = state.coverage.windows()
    counted = {window: counts_in_journal(fetcher, SearchQuery(*window)) for window in windows}
    in_journal = {window: counts for window, counts in counted.items() if counts is not None}
    uncached = [window for window in windows if window not in in_journal]
    in_lake = {window: count_sessions(lake, window) for window in uncached if not subtract([window], covered)}
    uncounted = [window for window in uncached if window not in in_lake]
    sessions = in_lake | _estimates(fetcher, lake, uncounted, probe=probe)
    return [
        _planned(window, *in_journal[window], estimated=False)
        if window in in_journal
        else _planned(window, sessions.get(window), 0, estimated=[window] != uncounted)
        for window in windows
    ]


def _planned(window: Window, sessions: int | None, cached_pages: int, *, estimated: bool) -> PlannedWindow:
    calls = None if sessions is None else SearchQuery(*window).calls(sessions) - cached_pages
    return PlannedWindow(*window, sessions, calls, cached_pages, estimated)


def counts_in_journal(fetcher: Fetcher, query: SearchQuery) -> tuple[int, int] | None:
    """Return a search's number of sessions and of cached pages; None if its first page is not cached."""
    page = fetcher.kept_page(query, 0, SEARCH.page_size)
    if page is None:
        return None
    total, pages = page.total, 0
    while page is not None and page.rows:
        pages += 1
        page = fetcher.kept_page(query, page.end, SEARCH.page_size) if page.end < total else None
    return total, max(pages, 1)


def _estimates(fetcher: Fetcher, lake: Lake, windows: Sequence[Window], *, probe: bool) -> dict[Window, int]:
    """Count the sessions of some windows together, and divide them by length; empty if they cannot be counted."""
    total = _total(fetcher, lake, windows, probe=probe) if windows else None
    length = _length(windows)
    return {} if total is None else {window: round(total * (_length([window]) / length)) for window in windows}


def _total(fetcher: Fetcher, lake: Lake, windows: Sequence[Window], *, probe: bool) -> int | None:
    """Count the sessions of some windows together; None if that takes a call that may not be spent.

    If the week before suggests less than a page, reading them costs one call anyway: no probe is worth it.
    """
    start, end = windows[0].start, windows[-1].end
    before = Window(start - min(_WEEK, start - EVER.start), start)  # there is no week before the first of all
    expected = count_sessions(lake, before) * (_length(windows) / _WEEK) if before.start < start else 0.0
    if 0 < expected < SEARCH.page_size / 2:
        return round(expected)
    if not probe:
        return None
    quarter = end.replace(minute=end.minute // 15 * 15, second=0, microsecond=0)
    if (
        fetcher.client.clock() - end < FRESH and quarter > start
    ):  # a window up to now: the next plan can reuse the probe
        end = quarter
    hull = Window(start, end)
    try:
        total = fetcher.count(SearchQuery(*hull))
    except QuotaExhausted:
        return None
    return max(0, total - sum(count_sessions(lake, part) for part in subtract([hull], windows)))


def _length(windows: Sequence[Window]) -> timedelta:
    return sum((end - start for start, end in windows), timedelta())


def _new_sessions(lake: Lake, window: PlannedWindow) -> int | None:
    if window.sessions is None:
        return None
    return max(0, window.sessions - count_sessions(lake, Window(window.date_from, window.date_to)))


def _details_to_download(details: Details, in_lake: int, new_sessions: int | None) -> int | None:
    if details != "all" and in_lake >= details:
        return details
    if new_sessions is None:
        return None
    available = in_lake + new_sessions
    return available if details == "all" else min(details, available)


def _sum_if_known(numbers: Sequence[int | None]) -> int | None:
    return None if None in numbers else sum(filter(None, numbers))


def _days(calls: int | None, left: int, client: PulseClient) -> tuple[int | None, int]:
    """Return the days that some calls take, and the authentications: one per day, none on the first with a session key."""
    has_key, settings = client.has_session_key, client.settings
    if not calls:
        return calls, int(calls is None and not has_key)
    days = authentications = 0
    while calls > 0:
        needs_key = days > 0 or not has_key
        available = (left if days == 0 else settings.daily_limit) - settings.count_authenticate * needs_key
        days += 1
        if available > 0:
            authentications += needs_key
            calls -= available
        elif days > 1:  # a limit of one call a day is spent on authenticating
            return None, authentications
    return days, authentications
