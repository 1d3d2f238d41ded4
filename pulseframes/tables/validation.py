"""Checks frames against the tables' declarations: valid rows, invalid rows with a reason, and unknown values.

pandera takes longer to import than all else together, so it is imported only to explain what is wrong with a row.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes.tables import ITEM_TABLES, SESSIONS, TABLES, Table

if TYPE_CHECKING:
    from pandera.polars import DataFrameSchema

_ROW: Final = "_row"
_REASON: Final = "reason"
#: What pandera calls the check of the key.
_UNIQUE_KEY: Final = "multiple_fields_uniqueness"


def frame_schema(name: str) -> DataFrameSchema:
    """Return the pandera schema of a table, to validate your own frames with.

    Parameters
    ----------
    name : {"sessions", "page_views", "errors"}
        The table.

    Returns
    -------
    pandera.polars.DataFrameSchema
        Types, nullability, minimums and the unique key. Each call returns a new schema, which you may change.

    Raises
    ------
    InvalidQuery
        If there is no such table.

    Examples
    --------
    >>> schema = pf.frame_schema("sessions")
    >>> valid = schema.validate(pf.search_sessions("2026-11-09", "2026-11-16"))
    >>> schema.columns["session_length_ms"].metadata
    {'unit': 'ms', 'privacy': 'none'}
    """
    from pandera.polars import Check, Column, DataFrameSchema

    check_choice("name", name, [*TABLES])
    table = TABLES[name]
    columns = {
        column.name: Column(
            column.dtype,
            nullable=not column.required,
            checks=[] if column.minimum is None else [Check.ge(column.minimum, error=f"is less than {column.minimum}")],
            description=column.description,
            metadata={"unit": column.unit, "privacy": str(column.privacy)},
        )
        for column in table.columns
    }
    return DataFrameSchema(columns, name=table.name, unique=list(table.key), description=table.description)


_own_schema = cache(frame_schema)


def check(frames: dict[str, pl.DataFrame]) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """Separate valid rows from invalid ones.

    Parameters
    ----------
    frames : dict of str to polars.DataFrame
        For each table, at least its declared columns; other columns are kept.

    Returns
    -------
    valid, invalid : dict of str to polars.DataFrame
        The same columns; ``invalid`` also has ``reason``, which lists everything that is wrong with the row.
    """
    reasons = {name: _broken_rules(frame, TABLES[name]) for name, frame in frames.items()}
    sessions = frames[SESSIONS.name].filter(reasons[SESSIONS.name].is_null())["session_id"]
    for table in ITEM_TABLES:
        is_orphan = ~frames[table.name]["session_id"].is_in(sessions.implode(), nulls_equal=False).fill_null(False)
        if is_orphan.any():
            reasons[table.name] = _with_reason(reasons[table.name], is_orphan, "its session is missing or invalid")
    separated = {name: _separated(frame, reasons[name].alias(_REASON)) for name, frame in frames.items()}
    return {name: valid for name, (valid, _) in separated.items()}, {name: bad for name, (_, bad) in separated.items()}


def _separated(frame: pl.DataFrame, reasons: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows without a reason, and the others with theirs."""
    if reasons.null_count() == len(frame):
        return frame, frame.clear().with_columns(reasons.clear())
    is_valid = reasons.is_null()
    return frame.filter(is_valid), frame.with_columns(reasons).filter(~is_valid)


def new_values(frames: dict[str, pl.DataFrame]) -> list[str]:
    """Return each undocumented value of a column with known values, as ``table.column = value``."""
    described: list[str] = []
    for name, frame in frames.items():
        for column in TABLES[name].columns:
            if column.known_values:
                values = frame[column.name].drop_nulls().unique()
                new = values.filter(~values.is_in(column.known_values)).sort()
                described.extend(f"{name}.{column.name} = {value!r}" for value in new)
    return described


def _broken_rules(frame: pl.DataFrame, table: Table) -> pl.Series:
    """Return what is wrong with each row, as one string; null if nothing is."""
    nothing = pl.Series(_REASON, [None], dtype=pl.String).new_from_index(0, len(frame))
    suspects = _suspects(frame, table)
    if suspects is not None and suspects.is_empty():
        return nothing
    from pandera.errors import SchemaErrors

    try:
        _own_schema(table.name).validate(frame if suspects is None else frame[suspects], lazy=True)
    except SchemaErrors as failures:
        cases = failures.failure_cases
    else:
        return nothing
    if suspects is None or cases["index"].null_count():
        # A column is missing or has another type: that concerns no row in particular.
        raise ValueError(f"not a {table.name} frame: {cases.filter(pl.col('index').is_null()).to_dicts()[0]['check']}")
    reason = (
        pl.when(pl.col("check") == _UNIQUE_KEY)
        .then(pl.lit(f"{', '.join(table.key)}: duplicate key"))
        .when(pl.col("check") == "not_nullable")
        .then(pl.col("column") + ": required but missing")
        .otherwise(pl.col("column") + ": " + pl.col("failure_case") + " " + pl.col("check"))
    )
    cases = cases.with_columns(pl.lit(suspects).gather(pl.col("index")).alias(_ROW))
    keyless = frame.select(pl.any_horizontal(pl.col(table.key).is_null())).to_series()
    # Rows without a key are not duplicates of each other.
    cases = cases.filter((pl.col("check") != _UNIQUE_KEY) | ~pl.lit(keyless).gather(pl.col(_ROW)))
    reasons = cases.group_by(_ROW).agg(reason.sort().str.join("; ").alias(_REASON))
    rows = pl.DataFrame({_ROW: pl.int_range(len(frame), eager=True)})
    return rows.join(reasons, on=_ROW, how="left", maintain_order="left")[_REASON]


def _suspects(frame: pl.DataFrame, table: Table) -> pl.Series | None:
    """Return the positions of the rows that break a rule of ``frame_schema()``, which pandera explains; None if columns are wrong.

    polars finds them in far less time than pandera takes.
    """
    if any(frame.schema.get(name) != dtype for name, dtype in table.schema.items()):
        return None
    required = (pl.col(column.name).is_null() for column in table.columns if column.required)
    minimums = (pl.col(column.name) < column.minimum for column in table.columns if column.minimum is not None)
    breaks_rule = pl.any_horizontal(*required, *minimums).fill_null(value=False)
    if not frame.select(_ascends(table.key)).item():
        breaks_rule |= pl.struct(table.key).is_duplicated()
    return frame.select(breaks_rule.arg_true().cast(pl.Int64)).to_series()


def _ascends(key: tuple[str, ...]) -> pl.Expr:
    """Return whether each row's key is greater than the row's before, which is quicker to tell than whether all differ."""
    greater = pl.lit(value=False)
    for column in map(pl.col, reversed(key)):
        greater = (column > column.shift()) | ((column == column.shift()) & greater)
    return greater.slice(1).fill_null(value=False).all()


def _with_reason(reasons: pl.Series, flags: pl.Series, reason: str) -> pl.Series:
    """Add a reason to the flagged rows."""
    both = pl.concat_str(pl.lit(reasons), pl.lit(reason), separator="; ", ignore_nulls=True)
    return pl.select(pl.when(flags).then(both).otherwise(reasons)).to_series()
