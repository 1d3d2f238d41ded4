"""The backlog of a sync: the windows to search and the details to fetch, according to what the lake has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final, Literal, TypeAlias

import polars as pl

from pulseframes._arguments import whole_number
from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.lake import (
    Lake,
    LakeState,
    detail_failed,
    detail_is_current,
    in_window,
    is_active,
    recently_updated,
)
from pulseframes.query import DateLike, SearchQuery, parse_instant, parse_window
from pulseframes.windows import FRESH, Window, is_within, union

#: How many details to download: a number, cached ones not counted, or those of all sessions.
Details: TypeAlias = int | Literal["all"]

LONGEST_LOOK_BACK: Final = timedelta(days=3650)
#: A longer span that ended a look-back ago becomes a window of its own: its pages are final, and tomorrow's sync can use them.
_LONG: Final = timedelta(days=7)


def wanted_window(date_from: DateLike, date_to: DateLike | None, now: datetime) -> Window:
    """Return the window of a sync, which ends now unless ``date_to`` is earlier.

    Raises
    ------
    InvalidQuery
        If the window is empty.
    """
    start = parse_instant("date_from", date_from)
    present = now.replace(microsecond=0)
    end = present if date_to is None else min(parse_window(date_from, date_to).end, present)
    if start >= end:
        raise InvalidQuery(f"date_from ({start:%Y-%m-%d %H:%M:%S}) must be before the present.", argument="date_from")
    return Window(start, end)


def check_details(details: Details) -> None:
    """Raise ``InvalidQuery`` unless the number of details is a whole number or ``"all"``."""
    if details != "all":
        whole_number("details", details, or_else="'all'")


def check_look_back(look_back: timedelta) -> None:
    """Raise ``InvalidQuery`` unless a look-back is a timedelta of up to ten years."""
    if not isinstance(look_back, timedelta) or not timedelta() <= look_back <= LONGEST_LOOK_BACK:
        message = f"look_back must be a timedelta from 0 to {LONGEST_LOOK_BACK.days} days, not {look_back!r}."
        raise InvalidQuery(message, argument="look_back")


def check_lake(lake: Lake, state: LakeState, application: str) -> None:
    """Check that answers can be written to a lake, before any call is spent.

    Raises
    ------
    LakeError
        If the lake was synced with another application or address, has other privacy rules, or needs a key that is not set.
    """
    lake.policy()
    if state.application not in (None, application):
        raise LakeError(
            f"The lake {lake.location} has the sessions of another application or address: use one lake for each. If only the "
            'API key is new, set "application" in its _pulseframes/lake.json to null.'
        )


def windows_to_fetch(lake: Lake, state: LakeState, wanted: Window, now: datetime, look_back: timedelta) -> list[Window]:
    """Return the windows to search, oldest first: never read, incomplete, or changed since as far as is known.

    Parameters
    ----------
    lake : Lake
        The lake, which need not exist.
    state : LakeState
        Its state.
    wanted : Window
        The window of the sync.
    now : datetime
        The present.
    look_back : timedelta
        How long a session can still change, or arrive late.
    """
    wanted = Window(left_out_before(state, wanted) or wanted.start, wanted.end)
    if wanted.start >= wanted.end:
        return []
    if state.coverage.is_ahead(now):
        state.coverage.remove(Window(_newest_start(lake, wanted.start) - look_back, datetime.max.replace(tzinfo=UTC)))
    just_asked = state.active_asked_at is not None and abs(now - state.active_asked_at) < FRESH
    active = [] if just_asked else _starts_of_active(lake, now, look_back)
    to_fetch = state.coverage.to_fetch(wanted, now, look_back, active)
    incomplete = [part for part in state.reading if is_within(part, state.incomplete) and is_within(part, [wanted])]
    joined = _joined(lake, union([*to_fetch, *incomplete]))
    return [part for window in joined for part in _in_parts(window, state.reading, now - look_back)]


def left_out_before(state: LakeState, wanted: Window) -> datetime | None:
    """Return the time before which ``retain()`` deleted a window's sessions; None if it deleted none."""
    return state.kept_from if state.kept_from is not None and wanted.start < state.kept_from else None


def describe_left_out(before: datetime) -> str:
    """Return a notice about sessions that ``retain()`` deleted."""
    return f"Data before {before:%Y-%m-%d} UTC was deleted by `retain` and is not downloaded again."


def count_sessions(lake: Lake, window: Window) -> int:
    """Count a lake's sessions in a window."""
    if not lake.is_there():
        return 0
    counted = lake.sessions().filter(in_window(window)).select(pl.len())
    return int(counted.collect().item())


def details_to_fetch(lake: Lake, wanted: Window, now: datetime, look_back: timedelta) -> list[int]:
    """Return the sessions whose details are missing or out of date, the most useful first.

    First come sessions without details, ended before active ones, the newest first; then those that were active when their
    details were fetched, the longest ago first. Sessions whose details could not be had are omitted until they change, and so
    are active ones that have not changed for the look-back.
    """
    if not lake.is_there():
        return []
    fetched, ended = pl.col("detail_fetched_at"), pl.col("status") == "ended"
    final = detail_is_current() & (ended | ~recently_updated(fetched, look_back))
    rank = pl.when(fetched.is_not_null()).then(2).when(ended).then(0).otherwise(1)
    age = pl.when(fetched.is_null()).then(-pl.col("session_start").to_physical()).otherwise(fetched.to_physical())
    just_fetched = fetched.is_between(now - FRESH, now + FRESH)  # not a year ago, by a clock that was ahead
    likely = in_window(wanted) & ~detail_failed() & (fetched.is_null() | ~(final | just_fetched))
    columns = ["session_id", "session_start", "session_updated", "status", "detail_fetched_at"]
    # Sorted after it is read: polars 2.1 cannot sort a scan by such an expression.
    sessions = lake.sessions().filter(likely).select(columns).collect()
    return sessions.sort(rank, age, "session_id")["session_id"].to_list()


def _newest_start(lake: Lake, default: datetime) -> datetime:
    """Return when a lake's newest session started, before which its server had certainly been read."""
    newest = lake.sessions().select(pl.col("session_start").max()).collect().item() if lake.is_there() else None
    return newest or default


def _starts_of_active(lake: Lake, now: datetime, look_back: timedelta) -> list[datetime]:
    """Return the starts of sessions that were active when last seen, unless the server seems to have lost them."""
    if not lake.is_there():
        return []
    seen = pl.col("fetched_at")
    lately = seen > now - max(look_back, _LONG)
    active = lake.sessions().filter(is_active(look_back), lately).select("session_start")
    return active.collect()["session_start"].to_list()


def _joined(lake: Lake, windows: Sequence[Window]) -> list[Window]:
    """Join windows where this, with the gap between them, costs no more calls than searching each."""
    joined = list(windows[:1])
    for window in windows[1:]:
        both = Window(joined[-1].start, window.end)
        if _pages(lake, both) <= _pages(lake, joined[-1]) + _pages(lake, window):
            joined[-1] = both
        else:
            joined.append(window)
    return joined


def _pages(lake: Lake, window: Window) -> int:
    return SearchQuery(*window).calls(count_sessions(lake, window))


def _in_parts(window: Window, begun: Sequence[Window], settled_before: datetime) -> list[Window]:
    """Cut a window so that searches that were begun resume unchanged, and a long settled part is a search of its own."""
    for part in begun:
        if is_within(part, [window]):
            around = [Window(window.start, part.start), Window(part.end, window.end)]
            others = [other for other in begun if other != part]
            cut = [_in_parts(rest, others, settled_before) for rest in around if rest.start < rest.end]
            return sorted([part, *chain.from_iterable(cut)])
    middle = settled_before.replace(minute=0, second=0, microsecond=0)
    if middle - window.start > _LONG and middle < window.end:
        return [Window(window.start, middle), Window(middle, window.end)]
    return [window]
