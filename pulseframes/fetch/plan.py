"""Says what a sync would cost before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from pulseframes.client import PulseClient, default_client
from pulseframes.endpoints import SEARCH
from pulseframes.errors import QuotaExhausted
from pulseframes.fetch.answers import Fetcher, Page
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
from pulseframes.fetch.plan_report import Plan, PlannedWindow
from pulseframes.lake import Lake, LakeState, as_lake
from pulseframes.progress import ProgressHook
from pulseframes.query import DateLike, SearchQuery
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
    progress: ProgressHook | None = None,
) -> Plan:
    """Say what ``sync()`` with the same arguments would cost.

    Costs one call at most, and one more where a session key has to be fetched first; none where the journal or the lake
    knows how many sessions there are, and none without ``probe``. Source of the count: ``GET /sessions`` with a limit of 1.

    Parameters
    ----------
    lake, date_from, date_to, details, design, look_back, client, progress
        As for ``sync()``. The lake need not be there.
    probe : bool
        Whether one call may be spent to learn how many sessions there are. Where none is left, that stays unknown.

    Returns
    -------
    Plan
        Windows, pages, details, authentications and days of calls; ``print()`` it.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If the lake cannot be read, or has another application's sessions.
    CredentialsMissing, AuthenticationFailed, ServerError, MalformedAnswer, JournalError
        If the probe's call fails.
    """
    check_details(details)
    check_look_back(look_back)
    client = client or default_client()
    now = client.clock()
    wanted = wanted_window(date_from, date_to, now)
    lake = as_lake(lake)
    state = lake.state() if lake.is_there() else None
    if state is not None:
        check_lake(lake, state, client.application)
    state = state or LakeState()
    chosen = design_to_use(state, design)
    spent_before = client.calls_spent
    windows = windows_to_fetch(lake, state, wanted, now, look_back)
    fetcher = Fetcher(client, progress=progress)
    planned = _counted(fetcher, lake, state, windows, probe=probe)
    new = _known_sum([_new_sessions(lake, window) for window in planned])
    ids = _to_ask(lake, chosen, wanted, now, look_back) if details else []
    kept = len(client.answered_details().keys() & set(ids))
    to_pay = _details_to_pay(details, len(ids) - kept, new)
    searches = _known_sum([window.calls for window in planned])
    work = None if searches is None or to_pay is None else searches + to_pay
    quota = client.quota()
    days, authentications = _days(work, quota.left, client)
    return Plan(
        windows=planned,
        details=to_pay,
        details_kept=kept,
        authentications=authentications,
        calls=None if work is None else work + authentications,
        calls_left=quota.left,
        daily_limit=quota.limit,
        days=days,
        probe_cost=client.calls_spent - spent_before,
        left_out_before=left_out_before(state, wanted),
    )


def _to_ask(lake: Lake, design: Design | None, wanted: Window, now: datetime, look_back: timedelta) -> list[int]:
    if design is None or not lake.is_there():
        return details_to_fetch(lake, wanted, now, look_back)
    return SampleDraw(lake, design, wanted, look_back).to_fetch()


def _counted(
    fetcher: Fetcher, lake: Lake, state: LakeState, windows: Sequence[Window], *, probe: bool
) -> list[PlannedWindow]:
    """Say of each window how many sessions it has and what it costs: by the journal, the lake, or one more call."""
    covered = state.coverage.windows()
    counted = {window: _by_the_journal(fetcher, window) for window in windows}
    unknown = [window for window, found in counted.items() if found is None]
    estimates = {w: count_sessions(lake, w) for w in unknown if not subtract([w], covered)}
    rest = [window for window in unknown if window not in estimates]
    total = _total(fetcher, lake, rest, probe=probe) if rest else None
    if total is not None:
        length = sum((window.end - window.start for window in rest), timedelta())
        for window in rest:
            estimates[window] = round(total * ((window.end - window.start) / length))
    planned = []
    for window in windows:
        found = counted[window]
        if found is not None:
            total, kept = found
            calls = SearchQuery(*window).calls(total) - kept
            planned.append(PlannedWindow(*window, total, calls, kept, estimated=False))
        else:
            sessions = estimates.get(window)
            calls_needed = None if sessions is None else SearchQuery(*window).calls(sessions)
            planned.append(
                PlannedWindow(*window, sessions, calls_needed, 0, estimated=len(rest) != 1 or window not in rest)
            )
    return planned


def _total(fetcher: Fetcher, lake: Lake, windows: Sequence[Window], *, probe: bool) -> int | None:
    """Learn how many sessions some windows have; None where that is not known and costs a call that may not be spent.

    What is less than a page by the week before costs one call in any case, and none to find that out.
    """
    length = sum((window.end - window.start for window in windows), timedelta())
    week_before = Window(windows[0].start - _WEEK, windows[0].start)
    usual = count_sessions(lake, week_before) * (length / _WEEK)
    if 0 < usual < SEARCH.page_size / 2:
        return round(usual)
    if not probe:
        return None
    hull = Window(windows[0].start, _steady(windows[0].start, windows[-1].end, fetcher.client.clock()))
    try:
        total = fetcher.count(SearchQuery(*hull))
    except QuotaExhausted:
        return None
    return max(0, total - sum(count_sessions(lake, part) for part in subtract([hull], windows)))


def _steady(start: datetime, end: datetime, now: datetime) -> datetime:
    """Give the end of a probe's window: where that is the present, the last quarter of an hour, for the next plan's use."""
    quarter = end.replace(minute=end.minute // 15 * 15, second=0, microsecond=0)
    return quarter if now - end < FRESH and quarter > start else end


def _by_the_journal(fetcher: Fetcher, window: Window) -> tuple[int, int] | None:
    """Give how many sessions a window has, and how many of its pages are kept; None where the first is not."""
    query = SearchQuery(*window)
    page: Page | None = fetcher.kept_page(query, 0, SEARCH.page_size)
    if page is None:
        return None
    total, got, kept = page.total, 0, 0
    while page is not None and page.rows:
        got, kept = got + page.rows, kept + 1
        page = fetcher.kept_page(query, got, SEARCH.page_size) if got < total else None
    return total, max(kept, 1)


def _new_sessions(lake: Lake, window: PlannedWindow) -> int | None:
    if window.sessions is None:
        return None
    return max(0, window.sessions - count_sessions(lake, Window(window.date_from, window.date_to)))


def _details_to_pay(details: Details, there: int, new: int | None) -> int | None:
    if details == "all":
        return None if new is None else there + new
    if there >= details:
        return details
    return None if new is None and details else min(details, there + (new or 0))


def _known_sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _days(work: int | None, left: int, client: PulseClient) -> tuple[int | None, int]:
    """Give how many days of calls some work takes, and how many authentications: one a day, none where a key is kept."""
    if work == 0:
        return 0, 0
    has_key, settings = client.has_session_key, client.settings
    if work is None:
        return None, 0 if has_key else 1
    costs = int(settings.count_authenticate)
    days = authentications = 0
    while work > 0:
        needs_key = days > 0 or not has_key
        room = (left if days == 0 else settings.daily_limit) - costs * needs_key
        days += 1
        if room > 0:
            authentications += needs_key
            work -= room
        elif days > 1:  # a limit of one call a day goes to authenticating
            return None, authentications
    return days, authentications
