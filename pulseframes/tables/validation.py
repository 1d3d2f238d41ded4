"""Checks frames against the tables' declarations: what passes, what does not and why, and values that are new.

pandera takes longer to import than everything else together, so it is imported when the first frame is checked.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes.tables import ITEM_TABLES, SESSIONS, TABLES, Table

if TYPE_CHECKING:
    from pandera.polars import DataFrameSchema

_ROW = "_row"
_REASON = "reason"


def frame_schema(name: str) -> DataFrameSchema:
    """Give the pandera schema of a table, to check frames of one's own with.

    Parameters
    ----------
    name : {"sessions", "page_views", "errors"}
        The table.

    Returns
    -------
    pandera.polars.DataFrameSchema
        Types, what may be null, smallest values, and the unique key. It is the caller's own, to change at will.

    Raises
    ------
    InvalidQuery
        If there is no such table.
    """
    from pandera.polars import Check, Column, DataFrameSchema

    check_choice("name", name, [*TABLES])
    table = TABLES[name]
    columns = {
        column.name: Column(
            column.dtype,
            nullable=not column.required,
            checks=[] if column.minimum is None else [Check.ge(column.minimum)],
            description=column.description,
            metadata={"unit": column.unit, "privacy": str(column.privacy)},
        )
        for column in table.columns
    }
    return DataFrameSchema(columns, name=table.name, unique=list(table.key), description=table.description)


_own_schema = cache(frame_schema)


def check(frames: dict[str, pl.DataFrame]) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """Tell the rows that keep to the schema from those that do not.

    Parameters
    ----------
    frames : dict of str to polars.DataFrame
        For each table, at least its declared columns; others are carried along.

    Returns
    -------
    valid, invalid : dict of str to polars.DataFrame
        The same columns; in ``invalid`` also ``reason``, with everything that is wrong with the row.
    """
    reasons = {name: _broken_rules(frame, TABLES[name]) for name, frame in frames.items()}
    for table in ITEM_TABLES:
        belongs = frames[SESSIONS.name].filter(reasons[SESSIONS.name].is_null())["session_id"]
        orphan = ~frames[table.name]["session_id"].is_in(belongs.implode(), nulls_equal=False).fill_null(False)
        reasons[table.name] = _also(reasons[table.name], orphan, "its session is not among the valid sessions")
    valid = {name: frame.filter(reasons[name].is_null()) for name, frame in frames.items()}
    invalid = {
        name: frame.with_columns(reasons[name].alias(_REASON)).filter(reasons[name].is_not_null())
        for name, frame in frames.items()
    }
    return valid, invalid


def new_values(frames: dict[str, pl.DataFrame]) -> list[str]:
    """Describe each value that its column's documentation does not list, as ``table.column = value``."""
    found: list[str] = []
    for name, frame in frames.items():
        for column in TABLES[name].columns:
            if column.known_values:
                values = frame[column.name].drop_nulls().unique()
                new = values.filter(~values.is_in(column.known_values)).sort()
                found.extend(f"{name}.{column.name} = {value!r}" for value in new)
    return found


def _broken_rules(frame: pl.DataFrame, table: Table) -> pl.Series:
    """Give what is wrong with each row, as one text; null where nothing is."""
    from pandera.errors import SchemaErrors

    try:
        _own_schema(table.name).validate(frame, lazy=True)
    except SchemaErrors as failures:
        cases = failures.failure_cases
    else:
        return pl.Series(_REASON, [None], dtype=pl.String).new_from_index(0, len(frame))
    if cases["index"].null_count():
        # A column that is missing or of another type: a frame that no row can be picked out of.
        raise ValueError(f"not a {table.name} frame: {cases.filter(pl.col('index').is_null()).to_dicts()[0]['check']}")
    rule = (
        pl.when(pl.col("check") == "multiple_fields_uniqueness")
        .then(pl.lit(f"{', '.join(table.key)}: not the only row with this key"))
        .when(pl.col("check") == "not_nullable")
        .then(pl.col("column") + ": is required, and missing")
        .otherwise(pl.col("column") + ": " + pl.col("failure_case") + " breaks " + pl.col("check"))
    )
    keyless = frame.select(pl.any_horizontal(pl.col(table.key).is_null())).to_series()
    # Rows that lack their key are not "the same" row.
    cases = cases.filter((pl.col("check") != "multiple_fields_uniqueness") | ~pl.lit(keyless).gather(pl.col("index")))
    by_row = cases.select(pl.col("index").cast(pl.Int64).alias(_ROW), rule.alias(_REASON))
    texts = by_row.group_by(_ROW).agg(pl.col(_REASON).sort().str.join("; "))
    rows = pl.DataFrame({_ROW: pl.int_range(len(frame), eager=True)})
    return rows.join(texts, on=_ROW, how="left", maintain_order="left")[_REASON]


def _also(reasons: pl.Series, flags: pl.Series, text: str) -> pl.Series:
    """Add a reason to the rows that are flagged."""
    both = pl.concat_str(pl.lit(reasons), pl.lit(text), separator="; ", ignore_nulls=True)
    return pl.select(pl.when(flags).then(both).otherwise(reasons)).to_series()
