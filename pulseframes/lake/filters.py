"""Filters for a lake's sessions: which can still change, and which have current details or none to be had."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from pulseframes.windows import Window


def recently_updated(seen: pl.Expr, look_back: timedelta) -> pl.Expr:
    """Return a filter for sessions that had changed shortly before they were seen, or may have."""
    return (seen - pl.col("session_updated") < look_back).fill_null(True)


def is_active(look_back: timedelta) -> pl.Expr:
    """Return a filter for sessions that were active when last seen, and had changed within the look-back."""
    return pl.col("status").eq_missing("active") & recently_updated(pl.col("fetched_at"), look_back)


def detail_failed() -> pl.Expr:
    """Return a filter for sessions that had no details when these were fetched, and have not changed since."""
    failed = pl.col("detail_failed_at")
    return (failed >= pl.col("session_updated").fill_null(failed)).fill_null(False)


def detail_is_current() -> pl.Expr:
    """Return a filter for sessions that have details of their last change."""
    return pl.col("detail_fetched_at").is_not_null() & pl.col("detail_updated").eq_missing(pl.col("session_updated"))


def in_window(window: Window) -> pl.Expr:
    """Return a filter for rows of a window; its days let a scan skip all other files."""
    first, last = window.start.date(), (window.end - timedelta.resolution).date()
    start = pl.col("session_start")
    return pl.col("date").is_between(first, last) & start.is_between(window.start, window.end, closed="left")
