"""Turns the API's time texts into instants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import polars as pl

from pulseframes.tables import INSTANT, Table

#: .NET's smallest time, which the API writes for "never".
NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)

#: ISO 8601 to the second, with 0 to 9 fractional digits; with no zone it is UTC, as the API's notes say.
_SHAPE: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$"
_FORMAT: Final = "%Y-%m-%dT%H:%M:%S%.f%#z"


def parse_times(frame: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Parse a table's times, cut to the microsecond.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows whose times are still text.
    table : Table
        Declares which columns are times.

    Returns
    -------
    parsed, failed : polars.DataFrame
        The rows whose times could all be read, with instants; and the others, still text, with a ``reason``.
    """
    names = [column.name for column in table.columns if column.dtype == INSTANT]
    parsed = frame.with_columns(_instants(frame[name]) for name in names)
    broken = {name: frame[name].is_not_null() & parsed[name].is_null() for name in names}
    parsed = parsed.with_columns(
        pl.col(column.name).replace(NEVER, None) for column in table.columns if column.never_is_null
    )
    if not any(is_broken.any() for is_broken in broken.values()):
        return parsed, frame.clear().with_columns(pl.lit(None, pl.String).alias("reason"))
    flags = pl.DataFrame(broken)
    reasons = pl.concat_str(
        [pl.when(name).then(pl.lit(f"{name}: not an ISO 8601 time")) for name in names],
        separator="; ",
        ignore_nulls=True,
    )
    failed = flags.select(pl.any_horizontal(names)).to_series()
    return parsed.filter(~failed), frame.with_columns(flags.select(reason=reasons)).filter(failed)


def _instants(text: pl.Series) -> pl.Series:
    """Parse one column; null where a text is not a time."""
    shaped = text.str.contains(_SHAPE)
    if not shaped.all(ignore_nulls=True):
        text = pl.select(pl.when(shaped).then(text).alias(text.name)).to_series()
    instants = _parsed(text)
    if instants.null_count() > text.null_count():  # no zone, or no such day
        unzoned = pl.select(pl.when(instants.is_null()).then(text + "Z").alias(text.name)).to_series()
        instants = pl.select(pl.coalesce(instants, _parsed(unzoned)).alias(text.name)).to_series()
    return instants


def _parsed(text: pl.Series) -> pl.Series:
    instants = text.str.to_datetime(_FORMAT, time_unit="us", strict=False)
    # An offset can push a time out of the years that Python's datetime can hold.
    in_range = instants.is_between(NEVER, datetime.max.replace(tzinfo=UTC))
    return pl.select(pl.when(in_range).then(instants).alias(text.name)).to_series()
