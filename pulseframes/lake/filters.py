"""How a lake's session stands: whether it can still change, and whether its details are there, or were asked for in vain."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from pulseframes.windows import Window


def recently_updated(seen: pl.Expr, look_back: timedelta) -> pl.Expr:
    """Tell the sessions that had changed shortly before they were seen; one that says no time of change may have."""
    return (seen - pl.col("session_updated") < look_back).fill_null(True)


def is_active(look_back: timedelta) -> pl.Expr:
    """Tell the sessions that were active when they were last seen, and not silent for the look-back."""
    return pl.col("status").eq_missing("active") & recently_updated(pl.col("fetched_at"), look_back)


def detail_failed() -> pl.Expr:
    """Tell the sessions whose details were asked for in vain, and which have not changed since."""
    failed = pl.col("detail_failed_at")
    return (failed >= pl.col("session_updated").fill_null(failed)).fill_null(False)


def detail_is_current() -> pl.Expr:
    """Tell the sessions whose details are there, and are of their last change."""
    return pl.col("detail_fetched_at").is_not_null() & pl.col("detail_updated").eq_missing(pl.col("session_updated"))


def in_window(window: Window) -> pl.Expr:
    """Tell the rows of a window; the days, which are known without reading, say which files to read."""
    start, end = pl.lit(window.start), pl.lit(window.end)
    in_time = (pl.col("session_start") >= start) & (pl.col("session_start") < end)
    return (pl.col("date") >= window.start.date()) & (pl.col("date") <= window.end.date()) & in_time
