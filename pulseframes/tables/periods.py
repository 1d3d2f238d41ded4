"""Session starts in a time zone, and the periods they fall into."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import polars as pl

from pulseframes._arguments import shown
from pulseframes.errors import InvalidQuery

PERIOD: Final = "period"

_MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def local_start(time_zone: str) -> pl.Expr:
    """Return the session starts in a time zone; raise ``InvalidQuery`` if the zone is unknown."""
    unknown = InvalidQuery(
        f"time_zone: {shown(time_zone)} is not a time zone. Example: 'Pacific/Auckland'.", argument="time_zone"
    )
    if not isinstance(time_zone, str) or not time_zone:
        raise unknown
    try:
        pl.select(pl.lit(_MOMENT).dt.convert_time_zone(time_zone))
    except pl.exceptions.PolarsError:
        raise unknown from None
    return pl.col("session_start").dt.convert_time_zone(time_zone)


def period_of(every: str, time_zone: str) -> pl.Expr:
    """Return when the sessions' periods begin, as ``period``; raise ``InvalidQuery`` if the length is invalid."""
    invalid = InvalidQuery(f"every: {shown(every)} is not a length of time. Example: '1h' or '1d'.", argument="every")
    if not isinstance(every, str):
        raise invalid
    moment = pl.lit(_MOMENT)
    try:
        is_positive = pl.select(moment.dt.offset_by(every) > moment).item()
        pl.select(moment.dt.truncate(every))
    except pl.exceptions.PolarsError:
        raise invalid from None
    if not is_positive:
        raise invalid
    return local_start(time_zone).dt.truncate(every).alias(PERIOD)
