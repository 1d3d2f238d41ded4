"""What a sample is made of, as a lake has it: the design that drew it, its window, sessions and details."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import polars as pl

from pulseframes.errors import IncompleteWarning, InvalidQuery, LakeError, warn
from pulseframes.lake import Lake, in_window, is_active
from pulseframes.query import DateLike, parse_instant
from pulseframes.sampling.design import Design
from pulseframes.sampling.rates import DesignState, of_design
from pulseframes.tables import ERRORS, ITEM_TABLES, PAGE_VIEWS, SESSIONS
from pulseframes.tables.frames import SessionFrames
from pulseframes.windows import LOOK_BACK, Window, subtract


def sessions_of(lake: Lake, window: Window, columns: Iterable[str]) -> pl.DataFrame:
    """Read the sessions of a window that do not go on."""
    wanted = dict.fromkeys([*columns, "session_id", "session_start", "page_view_count"])
    scan = lake.sessions().filter(in_window(window), ~is_active(LOOK_BACK)).select(*wanted)
    return lake.read(scan)


def drawn_of(lake: Lake, drawn: DesignState) -> pl.DataFrame:
    """Read the design's rows of the lake's ``design`` table."""
    return lake.read(lake.design().filter(of_design(drawn.design)))


def describe_response(lake: Lake, design: Design | str | None) -> str | None:
    """Say how many sessions were drawn, and how many of them have no details; None where the lake has no sample."""
    drawn = lake.state().find_design(design)
    if drawn is None:
        return None
    rows = drawn_of(lake, drawn)
    unanswered = int((~rows["responded"]).sum())
    details = f"{unanswered:,} of them without details" if unanswered else "all with details"
    return f"Sample {drawn.design.name} (seed {drawn.design.seed}): {len(rows):,} drawn, {details}."


def window_of(lake: Lake, drawn: DesignState | None, date_from: DateLike | None, date_to: DateLike | None) -> Window:
    """Give the window that is asked for or, by default, that of the sample, or all that the lake covers or has."""
    default = lake.default_window(drawn)
    start = None if date_from is None else parse_instant("date_from", date_from)
    end = None if date_to is None else parse_instant("date_to", date_to)
    if default is not None:
        start, end = start or default.start, end or default.end
    if start is None or end is None:
        raise LakeError(f"The lake {lake.location} has no sessions; sync() or Lake.write() puts some in.")
    if start >= end:
        raise InvalidQuery(f"date_from: {_text(start)} is not before {_text(end)}.", argument="date_from")
    if date_from is not None or date_to is not None:
        check_read(lake, Window(start, end), "date_from" if date_from is not None else "date_to")
    return Window(start, end)


def check_read(lake: Lake, window: Window, argument: str) -> None:
    """Warn where a lake has not read all of a window that is asked for; raises ``InvalidQuery`` where it has read nothing of it."""
    read = lake.coverage()
    gaps = subtract([window], read)
    if not read or not gaps:
        return
    if gaps == [window]:
        raise InvalidQuery(
            f"{argument}: the lake {lake.location} has read nothing of that time, only {_text(read[0].start)} to "
            f"{_text(read[-1].end)} UTC; sync it.",
            argument=argument,
        )
    warn(
        IncompleteWarning,
        f"The lake {lake.location} has not read all of that time: {_text(gaps[0].start)} to {_text(gaps[0].end)} UTC"
        f"{f', and {len(gaps) - 1} more parts,' if gaps[1:] else ''} is not in these figures.",
    )


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def details_of(lake: Lake, window: Window, ids: pl.Series | None) -> SessionFrames:
    """Read the details of some sessions of a window; of all, where none are named."""
    frames = {}
    for name, scan in (
        (SESSIONS.name, lake.sessions()),
        *((table.name, getattr(lake, table.name)()) for table in ITEM_TABLES),
    ):
        days = (pl.col("date") >= window.start.date()) & (pl.col("date") <= window.end.date())
        named = pl.lit(value=True) if ids is None else pl.col("session_id").is_in(ids.implode())
        mine = scan.filter(days, named).drop("date")
        if name == SESSIONS.name:
            mine = mine.filter(pl.col("detail_fetched_at").is_not_null())
        frames[name] = lake.read(mine)
    return SessionFrames(frames[SESSIONS.name], frames[PAGE_VIEWS.name], frames[ERRORS.name])
