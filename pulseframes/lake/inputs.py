"""Frames of a user's, checked before they are put into a lake."""

from __future__ import annotations

import os
from datetime import datetime

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.frames import SessionFrames
from pulseframes.lake.upsert import Batch
from pulseframes.merge import AGE
from pulseframes.tables import ERRORS, INSTANT, PAGE_VIEWS, REJECTED, SESSIONS, TABLES
from pulseframes.validate import check


def as_batch(given: pl.DataFrame | SessionFrames, fetched_at: datetime) -> Batch:
    """Check frames of a user's and give them as a batch.

    Raises
    ------
    InvalidQuery
        If they lack columns, or have other types.
    """
    sessions = given if isinstance(given, pl.DataFrame) else given.sessions
    items = None if isinstance(given, pl.DataFrame) else {PAGE_VIEWS.name: given.page_views, ERRORS.name: given.errors}
    frames = {name: _conformed(name, frame) for name, frame in {SESSIONS.name: sessions, **(items or {})}.items()}
    valid, invalid = check({**{name: table.empty() for name, table in TABLES.items()}, **frames})
    for name, rows in invalid.items():
        if not rows.is_empty():
            raise InvalidQuery(
                f"frames: {len(rows)} rows of {name} break the schema; the first: {rows['reason'][0]}.",
                argument="frames",
            )
    at = pl.lit(fetched_at).cast(INSTANT).alias(AGE)
    rejected = REJECTED.empty() if isinstance(given, pl.DataFrame) else given.rejected
    return Batch(
        sessions=valid[SESSIONS.name].with_columns(at),
        items=None if items is None else {name: valid[name] for name in items},
        rejected=rejected.with_columns(at),
    )


def _conformed(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    schema = TABLES[name].schema
    wrong = [column for column, dtype in schema.items() if frame.schema.get(column) != dtype]
    if wrong:
        raise InvalidQuery(
            f"frames: {name} has no column {wrong[0]} of type {schema[wrong[0]]}; give what search_sessions() or "
            "session_details() returned.",
            argument="frames",
        )
    return frame.select(schema.names())


def from_folder(path: str | os.PathLike[str]) -> pl.DataFrame | SessionFrames:
    """Read what ``SessionFrames.write_parquet()`` wrote."""
    frames = {}
    for name in TABLES:
        file = os.path.join(path, f"{name}.parquet")  # noqa: PTH118  a path of any kind
        try:
            with open(file, "rb") as data:  # noqa: PTH123  the same
                frames[name] = pl.read_parquet(data.read())
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise InvalidQuery(
                f"frames: {file} cannot be read ({problem}); give frames, or a folder that write_parquet() wrote.",
                argument="frames",
            ) from None
    return SessionFrames(frames[SESSIONS.name], frames[PAGE_VIEWS.name], frames[ERRORS.name])
