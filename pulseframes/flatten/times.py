"""Parses the API's times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import polars as pl

from pulseframes.tables import INSTANT, Table

#: .NET's smallest time, which the API writes for "never".
NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)

#: ISO 8601 to the second, with 0 to 9 fractional digits. Without a zone it is UTC, according to the API's documentation.
_SHAPE: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$"
_FORMAT: Final = "%Y-%m-%dT%H:%M:%S%.f%#z"
#: The same without an offset, which Arrow reads several times as fast.
_PLAIN: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d{1,9})?Z?$"
#: The characters of a time to the microsecond, without the zone.
_MICROSECONDS: Final = 26


def parse_times(frame: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Parse a table's times, truncated to microseconds.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows whose times are still strings.
    table : Table
        Declares which columns are times.

    Returns
    -------
    parsed, failed : polars.DataFrame
        The rows whose times are all valid, with instants; and the others, with strings and a ``reason``.
    """
    names = [column.name for column in table.columns if column.dtype == INSTANT]
    times = {name: instants(frame[name]) for name in names}
    parsed = frame.with_columns(times.values()).with_columns(
        pl.when(pl.col(column.name) != NEVER).then(column.name) for column in table.columns if column.never_is_null
    )
    if all(times[name].null_count() == frame[name].null_count() for name in names):
        return parsed, frame.clear().with_columns(pl.lit(None, pl.String).alias("reason"))
    invalid = {name: frame[name].is_not_null() & times[name].is_null() for name in names}
    flags = pl.DataFrame(invalid)
    reasons = pl.concat_str(
        [pl.when(name).then(pl.lit(f"{name}: not an ISO 8601 time")) for name in names],
        separator="; ",
        ignore_nulls=True,
    )
    failed = flags.select(pl.any_horizontal(names)).to_series()
    return parsed.filter(~failed), frame.with_columns(flags.select(reason=reasons)).filter(failed)


def instants(times: pl.Series) -> pl.Series:
    """Parse one column; a string that is not a time becomes null."""
    plain = _plain_instants(times) if times.str.contains(_PLAIN).all(ignore_nulls=True) else None
    return _instants(times) if plain is None else plain


def _plain_instants(times: pl.Series) -> pl.Series | None:
    """Parse times that have no offset; None if one is not a time, such as 30 February."""
    import pyarrow as pa  # takes as long to import as polars
    import pyarrow.compute as pc

    texts = times.to_arrow(compat_level=pl.CompatLevel.oldest())
    try:
        moments = pc.cast(
            pc.ascii_rtrim(pc.utf8_slice_codeunits(texts, 0, _MICROSECONDS), characters="Z"), pa.timestamp("us")
        )
    except pa.ArrowInvalid:
        return None
    instants = pl.Series(times.name, moments).dt.replace_time_zone("UTC")
    return instants if (instants >= NEVER).all() else None


def _instants(times: pl.Series) -> pl.Series:
    well_formed = times.str.contains(_SHAPE)
    if not well_formed.all(ignore_nulls=True):
        times = pl.select(pl.when(well_formed).then(times).alias(times.name)).to_series()
    instants = _parsed(times)
    if instants.null_count() > times.null_count():  # no zone, or no such day
        unzoned = pl.select(pl.when(instants.is_null()).then(times + "Z").alias(times.name)).to_series()
        instants = pl.select(pl.coalesce(instants, _parsed(unzoned)).alias(times.name)).to_series()
    return instants


def _parsed(times: pl.Series) -> pl.Series:
    instants = times.str.to_datetime(_FORMAT, time_unit="us", strict=False)
    # An offset can push a time out of the years that Python's datetime supports.
    in_range = instants.is_between(NEVER, datetime.max.replace(tzinfo=UTC))
    return pl.select(pl.when(in_range).then(instants).alias(times.name)).to_series()
