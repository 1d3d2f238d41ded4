"""Hours and days as the people of one place have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import polars as pl

from pulseframes.errors import InvalidQuery

PERIOD: Final = "period"

_A_MOMENT: Final = pl.lit(datetime(2026, 1, 1, tzinfo=UTC))


def local_start(time_zone: str) -> pl.Expr:
    """Give the sessions' starts in a time zone; raises ``InvalidQuery`` where there is no such one."""
    wrong = InvalidQuery(f"time_zone: {time_zone!r} is no time zone, such as 'Pacific/Auckland'.", argument="time_zone")
    if not isinstance(time_zone, str) or not time_zone:
        raise wrong
    try:
        pl.select(_A_MOMENT.dt.convert_time_zone(time_zone))
    except pl.exceptions.PolarsError:
        raise wrong from None
    return pl.col("session_start").dt.convert_time_zone(time_zone)


def period_of(every: str, time_zone: str) -> pl.Expr:
    """Give when the sessions' periods begin, as ``period``; raises ``InvalidQuery`` where there is no such period."""
    wrong = InvalidQuery(f"every: {every!r} is no length of time, such as '1h' or '1d'.", argument="every")
    try:
        goes_on = isinstance(every, str) and pl.select(_A_MOMENT.dt.offset_by(every) > _A_MOMENT).item()
        pl.select(_A_MOMENT.dt.truncate(every))
    except pl.exceptions.PolarsError:
        raise wrong from None
    if not goes_on:
        raise wrong
    return local_start(time_zone).dt.truncate(every).alias(PERIOD)
