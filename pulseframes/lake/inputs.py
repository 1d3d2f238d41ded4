"""Frames of a user's, checked before they are put into a lake."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.flatten import AGE, DETAIL_AGE, DETAIL_COLUMNS
from pulseframes.lake.upsert import Batch
from pulseframes.tables import ERRORS, INSTANT, ITEM_TABLES, PAGE_VIEWS, REJECTED, SESSIONS, TABLES
from pulseframes.tables.certificate import fetched_of
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.validation import check

Writable = pl.DataFrame | SessionFrames | str | os.PathLike[str]


def as_batches(given: Writable, fetched_at: datetime | None) -> list[Batch]:
    """Check what a user wants to be written, and give it as batches: details, and summaries.

    What ``session_details()`` returned is details. In a folder, which may be of ``pulseframes replay``, the sessions are details
    that have page views, errors, or anything that only details know.

    Raises
    ------
    InvalidQuery
        If it is nothing of the kind, lacks columns, has other types, or rows that break the schema.
    """
    if isinstance(given, pl.DataFrame):
        frames = _checked({SESSIONS.name: given})
        if not frames[SESSIONS.name].filter(_known_by_details()).is_empty():
            raise _not_writable(
                "the sessions hold what only details know; give all of what session_details() returned, so that its page views "
                "come too"
            )
        return [_batch(frames, None, fetched_at or fetched_of(given))]
    if isinstance(given, SessionFrames):
        frames = _checked(given.tables())
        return [_batch(frames, given.rejected, fetched_at or fetched_of(given), details=True)]
    if not isinstance(given, str | os.PathLike):
        raise _not_writable(
            f"{type(given).__name__} is neither; a LazyFrame has to be collected, other frames made polars ones"
        )
    return _of_folder(Path(given), fetched_at)


def _of_folder(folder: Path, fetched_at: datetime | None) -> list[Batch]:
    """Read what ``SessionFrames.write_parquet()`` or a replay wrote."""
    frames = {}
    for name in TABLES:
        file = folder / f"{name}.parquet"
        try:
            frames[name] = pl.read_parquet(file.read_bytes())
            written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise _not_writable(f"{file} cannot be read ({problem})") from None
    frames = _checked(frames)
    with_items = pl.concat([frames[table.name]["session_id"] for table in ITEM_TABLES]).unique()
    detailed = _known_by_details() | pl.col("session_id").is_in(with_items.implode())
    sessions = frames[SESSIONS.name]
    at = fetched_at or written
    summaries = _batch({SESSIONS.name: sessions.filter(~detailed)}, None, at)
    return [summaries, _batch({**frames, SESSIONS.name: sessions.filter(detailed)}, None, at, details=True)]


def _batch(
    frames: Mapping[str, pl.DataFrame], rejected: pl.DataFrame | None, at: datetime | None, *, details: bool = False
) -> Batch:
    age = pl.lit(at or datetime.now(UTC)).cast(INSTANT).alias(AGE)
    items = {name: frames[name] for name in (PAGE_VIEWS.name, ERRORS.name)} if details else None
    return Batch(
        frames[SESSIONS.name].with_columns(age),
        items,
        (REJECTED.empty() if rejected is None else rejected).with_columns(age),
    )


def _checked(frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    conformed = {name: _conformed(name, frame) for name, frame in frames.items()}
    valid, invalid = check({**{name: table.empty() for name, table in TABLES.items()}, **conformed})
    for name, rows in invalid.items():
        if not rows.is_empty():
            raise _not_writable(f"{len(rows)} rows of {name} break the schema; the first: {rows['reason'][0]}")
    return {name: valid[name] for name in frames}


def _conformed(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    if DETAIL_AGE in frame.columns:
        raise _not_writable(f"{name} is a lake's own, and has been through its privacy rules")
    schema = TABLES[name].schema
    wrong = [column for column, dtype in schema.items() if frame.schema.get(column) != dtype]
    if wrong:
        raise _not_writable(f"{name} has no column {wrong[0]} of type {schema[wrong[0]]}")
    return frame.select(schema.names())


def _known_by_details() -> pl.Expr:
    return pl.any_horizontal(pl.col(DETAIL_COLUMNS).is_not_null())


def _not_writable(what: str) -> InvalidQuery:
    wanted = "Give what search_sessions() or session_details() returned, or a folder that write_parquet() wrote"
    return InvalidQuery(f"frames: {what}. {wanted}.", argument="frames")
