"""What a sync has to ask for: which windows, and whose details, by what the lake has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import polars as pl

from pulseframes._arguments import whole_number
from pulseframes.endpoints import SEARCH
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
from pulseframes.query import DateLike, parse_instant
from pulseframes.windows import FRESH, Window

#: How many details to get: so many that have to be paid for, or those of all sessions.
Details: TypeAlias = int | Literal["all"]

LONGEST_LOOK_BACK: Final = timedelta(days=3650)
#: A span that is longer, and ended a look-back ago, is a window of its own, whose pages stay good for the next day's calls.
_LONG: Final = timedelta(days=7)


def wanted_window(date_from: DateLike, date_to: DateLike | None, now: datetime) -> Window:
    """Check the times of a sync: ``date_to`` is the present where it is not given or yet to come.

    Raises
    ------
    InvalidQuery
        If there is no time between them.
    """
    start = parse_instant("date_from", date_from)
    present = now.replace(microsecond=0)
    end = present if date_to is None else min(parse_instant("date_to", date_to), present)
    if start >= end:
        raise InvalidQuery(
            f"date_from: {start:%Y-%m-%d %H:%M:%S} is not before "
            + (f"date_to, {end:%Y-%m-%d %H:%M:%S}." if date_to is not None and end < present else "the present."),
            argument="date_from",
        )
    return Window(start, end)


def check_details(details: Details) -> None:
    """Check how many details are asked for.

    Raises
    ------
    InvalidQuery
        If it is neither a whole number nor ``"all"``.
    """
    if details != "all":
        whole_number("details", details, or_else="'all'")


def check_look_back(look_back: timedelta) -> None:
    """Check how long sessions can still change.

    Raises
    ------
    InvalidQuery
        If it is no span of time, negative, or longer than ten years.
    """
    if not isinstance(look_back, timedelta) or not timedelta() <= look_back <= LONGEST_LOOK_BACK:
        raise InvalidQuery(
            f"look_back: {look_back!r} is not a timedelta from 0 to {LONGEST_LOOK_BACK.days} days.",
            argument="look_back",
        )


def check_lake(lake: Lake, state: LakeState, application: str) -> None:
    """Check, before anything is spent, that the answers could be put into a lake.

    Raises
    ------
    LakeError
        If the lake was synced with another application, or another address; or its privacy rules are others, or need a key
        that is not set.
    """
    lake.policy()
    if state.application not in (None, application):
        raise LakeError(
            f"The lake {lake.location} has the sessions of another application, or of another address: use a lake for each. "
            'If it is the same one with a new API key, set "application" in its _pulseframes/lake.json to null.'
        )


def windows_to_fetch(lake: Lake, state: LakeState, wanted: Window, now: datetime, look_back: timedelta) -> list[Window]:
    """Give the windows to search, oldest first: what was never read, and what may have changed since.

    Parameters
    ----------
    lake : Lake
        The lake; it need not be there yet.
    state : LakeState
        What it knows of itself.
    wanted : Window
        What is to be known.
    now : datetime
        The present.
    look_back : timedelta
        How long a session can still change, or come late.
    """
    before = left_out_before(state, wanted)
    if before is not None:
        wanted = Window(before, wanted.end)
    if wanted.start >= wanted.end:
        return []
    asked_just_now = state.active_asked_at is not None and now - state.active_asked_at < FRESH
    active = [] if asked_just_now else _still_active(lake, now, look_back)
    to_fetch = state.coverage.to_fetch(wanted, now, look_back, active)
    joined = _joined(to_fetch, lambda window: count_sessions(lake, window))
    return [part for window in joined for part in _in_parts(window, state.reading, now - look_back)]


def left_out_before(state: LakeState, wanted: Window) -> datetime | None:
    """Give the time before which a window's sessions were dropped; None where they were not."""
    return state.kept_from if state.kept_from is not None and wanted.start < state.kept_from else None


def count_sessions(lake: Lake, window: Window) -> int:
    """Count the sessions that the lake has in a window."""
    if not lake.is_there():
        return 0
    counted = lake.sessions().filter(in_window(window)).select(pl.len())
    return int(lake.read(counted).item())


def details_to_fetch(lake: Lake, wanted: Window, now: datetime, look_back: timedelta) -> list[int]:
    """Give the sessions whose details are likely to be news, the likeliest first.

    First those that have none: the ended ones, then those that go on, each the newest first; then those that were still
    going on when their details were fetched, the longest ago first. Left out are those that were asked for in vain and have
    not changed since, and those that went on and have been silent for the look-back.
    """
    if not lake.is_there():
        return []
    fetched, ended = pl.col("detail_fetched_at"), pl.col("status") == "ended"
    final = detail_is_current() & (ended | ~recently_updated(fetched, look_back))
    rank = pl.when(fetched.is_not_null()).then(2).when(ended).then(0).otherwise(1)
    age = pl.when(fetched.is_null()).then(-pl.col("session_start").to_physical()).otherwise(fetched.to_physical())
    likely = in_window(wanted) & ~detail_failed() & (fetched.is_null() | ~(final | (fetched > now - FRESH)))
    columns = ["session_id", "session_start", "session_updated", "status", "detail_fetched_at"]
    # Sorted after it is read: polars 2.1 cannot sort a scan by an expression that makes numbers of its own.
    found = lake.read(lake.sessions().filter(likely).select(columns))
    return found.sort(rank, age, "session_id")["session_id"].to_list()


def _still_active(lake: Lake, now: datetime, look_back: timedelta) -> list[datetime]:
    """Give when the sessions started that went on when they were last seen, and had changed shortly before.

    One that was not seen for long, though it was asked for, is gone from the server.
    """
    if not lake.is_there():
        return []
    seen = pl.col("fetched_at")
    lately = seen > now - max(look_back, _LONG)
    active = lake.sessions().filter(is_active(look_back), lately).select("session_start")
    return lake.read(active)["session_start"].to_list()


def _joined(windows: Sequence[Window], count: Callable[[Window], int]) -> list[Window]:
    """Join windows where reading what lies between costs no more calls than asking for each."""
    joined = list(windows[:1])
    for window in windows[1:]:
        both = Window(joined[-1].start, window.end)
        if _pages(count(both)) <= _pages(count(joined[-1])) + _pages(count(window)):
            joined[-1] = both
        else:
            joined.append(window)
    return joined


def _pages(sessions: int) -> int:
    return max(1, -(-sessions // SEARCH.page_size))


def _in_parts(window: Window, begun: Sequence[Window], settled_before: datetime) -> list[Window]:
    """Cut a window so that what was begun is gone on with as it is, and a long settled part is by itself."""
    for part in begun:
        if window.start <= part.start and part.end <= window.end:
            before, after = Window(window.start, part.start), Window(part.end, window.end)
            rest = [other for other in begun if other != part]
            cut = [_in_parts(piece, rest, settled_before) for piece in (before, after) if piece.start < piece.end]
            return sorted([part, *(piece for pieces in cut for piece in pieces)])
    middle = settled_before.replace(minute=0, second=0, microsecond=0)
    if middle - window.start > _LONG and middle < window.end:
        return [Window(window.start, middle), Window(middle, window.end)]
    return [window]
