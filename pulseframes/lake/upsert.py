"""What is written into a lake: a user's frames as checked batches, and each batch merged by key into the days it belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from pulseframes._text import plural
from pulseframes.errors import InvalidQuery
from pulseframes.flatten import (
    AGE,
    DETAIL_AGE,
    DETAIL_COLUMNS,
    FROM_DETAIL,
    as_unmerged,
    newest_details,
    newest_sessions,
)
from pulseframes.lake.partitions import Partitions
from pulseframes.tables import DATE, DESIGN, INSTANT, ITEM_TABLES, LAKE_TABLES, REJECTED, SESSIONS, TABLES
from pulseframes.tables.certificate import fetched_of
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.lake_tables import SETTLED_AT, SETTLED_VIEWS, as_settled
from pulseframes.tables.validation import check


class ArrowStream(Protocol):
    """A frame of any library, such as pandas or pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows."""


Writable = pl.DataFrame | SessionFrames | ArrowStream | str | os.PathLike[str]

_NEW: Final = "_new"
_FAILED: Final = "detail_failed_at"
_SETTLED: Final = (SETTLED_AT, SETTLED_VIEWS)


@dataclass(frozen=True)
class Batch:
    """Rows from responses of one kind.

    Attributes
    ----------
    sessions : polars.DataFrame
        The sessions table's columns and ``fetched_at``; each session once.
    items : dict of str to polars.DataFrame, or None
        Their page views and errors; None if they are summaries.
    rejected : polars.DataFrame
        The lake's rejected table.
    """

    sessions: pl.DataFrame
    items: dict[str, pl.DataFrame] | None = None
    rejected: pl.DataFrame = field(default_factory=LAKE_TABLES[REJECTED.name].empty)


@dataclass
class Counts:
    """Numbers of rows: new ones, changed ones, and those that the lake had already."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0


@dataclass
class Written:
    """The result of a write.

    Attributes
    ----------
    rows : dict of str to Counts
        For each table.
    rejected : int
        Invalid rows that were not in ``rejected/`` already.
    days : set of date
        The partitions that were rewritten.
    """

    rows: dict[str, Counts] = field(default_factory=lambda: {name: Counts() for name in TABLES})
    rejected: int = 0
    days: set[date] = field(default_factory=set)

    def add(self, other: Written) -> None:
        """Add another write's figures."""
        for name, counts in other.rows.items():
            total = self.rows[name]
            total.new += counts.new
            total.updated += counts.updated
            total.unchanged += counts.unchanged
        self.rejected += other.rejected
        self.days |= other.days

    def __str__(self) -> str:
        return f"{describe_rows(self.rows)}; {plural(len(self.days), 'day')} written."


def describe_rows(rows: Mapping[str, Counts]) -> str:
    """Return the numbers of new and updated rows for each table as words; what has none is left out."""
    changes = {
        name: [f"{number:,} {what}" for number, what in ((count.new, "new"), (count.updated, "updated")) if number]
        for name, count in rows.items()
    }
    return "; ".join(f"{name} {', '.join(parts)}" for name, parts in changes.items() if parts) or "nothing new"


def as_batches(frames: Writable, fetched_at: datetime | None) -> list[Batch]:
    """Check a user's frames, and return them as batches of details and of summaries.

    What ``session_details()`` returned is details. In a folder, such as one of ``pulseframes replay``, sessions are details if
    they have page views, errors, or a value that only details have.

    Raises
    ------
    InvalidQuery
        If the argument is of another type, or a frame lacks columns, has other types, or holds invalid rows.
    """
    if isinstance(frames, str | os.PathLike) and Path(frames).is_file():
        frames, fetched_at = _file(Path(frames), fetched_at)
    elif hasattr(frames, "__arrow_c_stream__") and not isinstance(frames, pl.DataFrame):  # such as pandas'
        as_any: Any = frames
        frames = pl.DataFrame(as_any)
    if isinstance(frames, pl.DataFrame):
        tables = _checked({SESSIONS.name: frames})
        if not tables[SESSIONS.name].filter(_known_by_details()).is_empty():
            raise _not_writable(
                "these sessions have values that only details have. Pass the whole result of session_details(), so that their "
                "page views are written as well"
            )
        return [_batch(tables, None, fetched_at or fetched_of(frames))]
    if isinstance(frames, SessionFrames):
        tables = _checked(frames.tables())
        return [_batch(tables, frames.rejected, fetched_at or fetched_of(frames), details=True)]
    if not isinstance(frames, str | os.PathLike):
        raise _not_writable(
            f"{type(frames).__name__} is not supported. Collect a LazyFrame, and convert other frames to polars"
        )
    return _of_folder(Path(frames), fetched_at)


def _file(path: Path, fetched_at: datetime | None) -> tuple[pl.DataFrame, datetime]:
    """Read a file of sessions, such as ``pulseframes search -o`` writes, and when it was written."""
    try:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return pl.read_parquet(path.read_bytes()), fetched_at or written
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise _not_writable(f"{path} cannot be read as Parquet ({problem})") from None


def _of_folder(folder: Path, fetched_at: datetime | None) -> list[Batch]:
    """Read what ``SessionFrames.write_parquet()`` or a replay wrote."""
    frames = {}
    for name in TABLES:
        file = folder / f"{name}.parquet"
        frames[name], written = _file(file, None)
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
    return Batch(
        frames[SESSIONS.name].with_columns(age),
        {table.name: frames[table.name] for table in ITEM_TABLES} if details else None,
        (REJECTED.empty() if rejected is None else rejected).with_columns(age),
    )


def _checked(frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    conformed = {name: _conformed(name, frame) for name, frame in frames.items()}
    valid, invalid = check({**{name: table.empty() for name, table in TABLES.items()}, **conformed})
    for name, rows in invalid.items():
        if not rows.is_empty():
            raise _not_writable(f"{len(rows):,} rows of {name} are invalid; the first: {rows['reason'][0]}")
    return {name: valid[name] for name in frames}


def _conformed(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    if DETAIL_AGE in frame.columns:
        raise _not_writable(f"{name} come from a lake, and its privacy rules have altered them")
    schema = TABLES[name].schema
    wrong = [column for column, dtype in schema.items() if frame.schema.get(column) != dtype]
    if wrong:
        there = f"; theirs is {frame.schema[wrong[0]]}" if wrong[0] in frame.columns else ""
        raise _not_writable(f"{name} lack a column {wrong[0]} of type {schema[wrong[0]]}{there}")
    return frame.select(schema.names())


def _known_by_details() -> pl.Expr:
    return pl.any_horizontal(pl.col(DETAIL_COLUMNS).is_not_null())


def _not_writable(what: str) -> InvalidQuery:
    valid = "Pass the result of search_sessions() or session_details(), or a Parquet file or folder of them"
    return InvalidQuery(f"frames: {what}. {valid}.", argument="frames")


def upsert(partitions: Partitions, batch: Batch, known: pl.DataFrame, written: Written) -> None:
    """Merge a batch into the days it belongs to, with few days in memory at a time.

    Parameters
    ----------
    partitions : Partitions
        The days.
    batch : Batch
        The rows.
    known : polars.DataFrame
        ``session_id`` and ``date`` of the sessions that the lake has already.
    written : Written
        Gets the figures.
    """
    sessions = batch.sessions.with_columns(_day())
    for group in _groups(sessions.select("session_id", DATE), known):
        rows = sessions.filter(pl.col(DATE).is_in(group)).drop(DATE)
        moved = len(group) > 1
        _merge(partitions, group, Batch(rows, batch.items), written, with_items=batch.items is not None or moved)


def _groups(new: pl.DataFrame, known: pl.DataFrame) -> Iterator[list[date]]:
    """Return the days to merge together: each by itself, except those that a session moves between."""
    moves = new.join(known, on="session_id", suffix="_old").filter(pl.col(DATE) != pl.col(f"{DATE}_old"))
    together = {*moves[DATE], *moves[f"{DATE}_old"]}
    yield from ([day] for day in new[DATE].unique().sort() if day not in together)
    if together:
        yield sorted(together)


def _merge(partitions: Partitions, group: list[date], batch: Batch, written: Written, *, with_items: bool) -> None:
    old = partitions.read(SESSIONS.name, group)
    concerned = pl.col("session_id").is_in(batch.sessions["session_id"].implode())
    before = old.filter(concerned)
    new = batch.sessions.with_columns(
        pl.lit(batch.items is not None).alias(FROM_DETAIL), pl.lit(value=True).alias(_NEW)
    )
    rows = pl.concat(
        [
            # First, as the same answer again puts back page views and errors that were deleted.
            new.select(*SESSIONS.schema.names(), AGE, FROM_DETAIL, _NEW),
            as_unmerged(before).with_columns(pl.lit(value=False).alias(_NEW)),
        ]
    )
    settled = pl.concat([before.select("session_id", *_SETTLED).drop_nulls(SETTLED_AT), as_settled(new)])
    after = (
        newest_sessions(rows)
        .join(before.select("session_id", _FAILED), on="session_id", how="left")
        .join(
            settled.sort(SETTLED_AT, maintain_order=True).unique("session_id", keep="first"),
            on="session_id",
            how="left",
        )
    )
    _count(written, SESSIONS.name, before, after)
    sessions = pl.concat([old.filter(~concerned), after.select(old.columns)]).with_columns(_day())
    _replace_changed(partitions, SESSIONS.name, group, old.with_columns(_day()), sessions, written)
    if with_items:
        replaced = newest_details(rows).filter(_NEW).select("session_id")
        _merge_items(partitions, group, batch, replaced, sessions.select("session_id", DATE), written)
    if len(group) > 1:
        _move_design(partitions, group, sessions.select("session_id", DATE), written)


def _merge_items(
    partitions: Partitions,
    group: list[date],
    batch: Batch,
    replaced: pl.DataFrame,
    day_of: pl.DataFrame,
    written: Written,
) -> None:
    """Replace all page views and errors of the sessions whose new details won."""
    for table in ITEM_TABLES:
        old = _with_days(partitions, table.name, group)
        before = old.join(replaced, on="session_id", how="semi").drop(DATE)
        new = before.clear() if batch.items is None else batch.items[table.name]
        after = new.join(replaced, on="session_id", how="semi").select(table.schema.names())
        _count(written, table.name, before, after)
        rows = pl.concat([old.drop(DATE).join(replaced, on="session_id", how="anti"), after])
        rows = rows.join(day_of, on="session_id", how="left")
        _replace_changed(partitions, table.name, group, old, rows, written)


def _move_design(partitions: Partitions, group: list[date], day_of: pl.DataFrame, written: Written) -> None:
    """Move the sampled rows of sessions that moved to another day."""
    old = _with_days(partitions, DESIGN.name, group)
    new = old.join(day_of, on="session_id", how="left", suffix="_new").with_columns(
        pl.coalesce(f"{DATE}_new", DATE).alias(DATE)
    )
    _replace_changed(partitions, DESIGN.name, group, old, new.select(old.columns), written)


def _with_days(partitions: Partitions, table: str, days: list[date]) -> pl.DataFrame:
    return pl.concat([partitions.read(table, [day]).with_columns(pl.lit(day).alias(DATE)) for day in days])


def _replace_changed(
    partitions: Partitions, table: str, group: list[date], old: pl.DataFrame, new: pl.DataFrame, written: Written
) -> None:
    for day in group:
        before, after = (
            frame.filter(pl.col(DATE) == day).drop(DATE).sort(LAKE_TABLES[table].key) for frame in (old, new)
        )
        if not after.equals(before):
            partitions.replace(table, day, after)
            written.days.add(day)


def _count(written: Written, name: str, before: pl.DataFrame, after: pl.DataFrame) -> None:
    table = TABLES[name]
    columns = table.schema.names()
    known = after.select(columns).join(before.select(table.key), on=table.key, how="semi")
    same = known.join(before.select(columns), on=columns, how="semi", nulls_equal=True)
    counts = written.rows[name]
    counts.new += len(after) - len(known)
    counts.updated += len(known) - len(same)
    counts.unchanged += len(same)


def add_rejected(partitions: Partitions, rejected: pl.DataFrame, known: pl.DataFrame, written: Written) -> None:
    """Add invalid rows to the day they were fetched on, except those that the lake has already."""
    new = rejected.join(known, on=REJECTED.schema.names(), how="anti", nulls_equal=True)
    written.rejected += len(new)
    for day in new[AGE].dt.date().unique().sort():
        rows = pl.concat([partitions.read(REJECTED.name, [day]), new.filter(pl.col(AGE).dt.date() == day)])
        partitions.replace(REJECTED.name, day, rows)
        written.days.add(day)


def mark_failed(partitions: Partitions, failed: pl.DataFrame, at: datetime) -> None:
    """Record when sessions, given by ``session_id`` and ``date``, had no details."""
    for (day,), rows in failed.partition_by(DATE, as_dict=True, include_key=False).items():
        sessions = partitions.read(SESSIONS.name, [day])
        now = pl.when(pl.col("session_id").is_in(rows["session_id"].implode())).then(pl.lit(at).cast(INSTANT))
        partitions.replace(SESSIONS.name, day, sessions.with_columns(pl.max_horizontal(_FAILED, now).alias(_FAILED)))


def replace_design(partitions: Partitions, name: str, seed: int, rows: pl.DataFrame) -> None:
    """Replace all rows of a design by these, which have the design table's columns and ``date``."""
    others = (pl.col("design") != name) | (pl.col("seed") != seed)
    for day in sorted({*partitions.days(DESIGN.name), *rows[DATE]}):
        old = partitions.read(DESIGN.name, [day])
        new = pl.concat([old.filter(others), rows.filter(pl.col(DATE) == day).select(old.columns)])
        if not new.sort(DESIGN.key).equals(old.sort(DESIGN.key)):
            partitions.replace(DESIGN.name, day, new)


def _day() -> pl.Expr:
    return pl.col("session_start").dt.date().alias(DATE)
