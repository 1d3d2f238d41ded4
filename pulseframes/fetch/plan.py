"""Forecasts the calls of a sync before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pulseframes._arguments import check_flag
from pulseframes._progress import ProgressHook, reporting
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
    details_to_fetch,
    left_out_before,
    wanted_window,
    windows_to_fetch,
)
from pulseframes.fetch.draw import SampleDraw, design_to_use
from pulseframes.fetch.forecast import Plan, PlannedWindow, forecast, sum_if_known
from pulseframes.fetch.pagination import kept_pages
from pulseframes.lake import Lake, LakeState, as_lake
from pulseframes.query import EVER, DateLike, SearchQuery
from pulseframes.sampling.design import Design
from pulseframes.windows import FRESH, LOOK_BACK, Window, subtract

_WEEK: Final = timedelta(days=7)


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
    Search: nothing to download.
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
    new_sessions = sum_if_known([_new_sessions(lake, window) for window in planned])
    ids: list[int] = []
    shares: dict[str, float] = {}
    wrong_design = None
    if details and design is not None and exists:
        draw = SampleDraw(lake, design, wanted)
        ids, shares = draw.pending(), draw.shares()
        wrong_design = draw.wrong_design(len(ids) if details == "all" else details)
    elif details:
        ids = details_to_fetch(lake, wanted, now, look_back)
    cached = len(client.answered_details().keys() & set(ids))
    to_download = _details_to_download(details, len(ids) - cached, new_sessions)
    return replace(
        forecast(client, planned, to_download, cached, spent_before),
        incomplete=[Window(*part) for part in state.incomplete if subtract([wanted], [part]) != [wanted]],
        left_out_before=left_out_before(state, wanted),
        shares=shares,
        wrong_design=wrong_design,
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
    first = fetcher.kept_page(query, 0, SEARCH.page_size)
    if first is None:
        return None
    return first.total, max(1, len([*kept_pages(fetcher, query, 0, first.total)]))


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
