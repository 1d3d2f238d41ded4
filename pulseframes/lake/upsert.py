"""Puts rows into a lake's days: which rows win, which days change, and what that was for each table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import polars as pl

from pulseframes.flatten import AGE, FROM_DETAIL, as_unmerged, newest_details, newest_sessions
from pulseframes.lake.files import Days
from pulseframes.tables import DATE, ITEM_TABLES, LAKE_TABLES, REJECTED, SESSIONS, TABLES

_NEW: Final = "_new"
_FAILED: Final = "detail_failed_at"


@dataclass(frozen=True)
class Batch:
    """Rows that answers of one kind were made into.

    Attributes
    ----------
    sessions : polars.DataFrame
        The sessions table's columns and ``fetched_at``; each session once.
    items : dict of str to polars.DataFrame, or None
        Their page views and errors; None where they are summaries.
    rejected : polars.DataFrame
        The lake's rejected table.
    """

    sessions: pl.DataFrame
    items: dict[str, pl.DataFrame] | None = None
    rejected: pl.DataFrame = field(default_factory=LAKE_TABLES[REJECTED.name].empty)


@dataclass
class Counts:
    """What became of rows: some were not there before, some changed, some were there as they are."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0


@dataclass
class Written:
    """What a write did.

    Attributes
    ----------
    rows : dict of str to Counts
        For each table.
    rejected : int
        Rows that broke the schema and were not in ``rejected/`` already.
    days : set of date
        The partitions that were rewritten.
    """

    rows: dict[str, Counts] = field(default_factory=lambda: {name: Counts() for name in TABLES})
    rejected: int = 0
    days: set[date] = field(default_factory=set)

    def add(self, other: Written) -> None:
        """Add another write's figures."""
        for name, counts in other.rows.items():
            mine = self.rows[name]
            mine.new += counts.new
            mine.updated += counts.updated
            mine.unchanged += counts.unchanged
        self.rejected += other.rejected
        self.days |= other.days


def upsert(days: Days, batch: Batch, known: pl.DataFrame, written: Written) -> None:
    """Put a batch into the days it belongs to; each group of days is in memory by itself.

    Parameters
    ----------
    days : Days
        Where the rows go.
    batch : Batch
        The rows.
    known : polars.DataFrame
        ``session_id`` and ``date`` of those of the sessions that the lake has already.
    written : Written
        Gets the figures.
    """
    sessions = batch.sessions.with_columns(_day().alias(DATE))
    for group in _groups(sessions.select("session_id", DATE), known):
        rows = sessions.filter(pl.col(DATE).is_in(group)).drop(DATE)
        moved = len(group) > 1
        _merge(days, group, Batch(rows, batch.items), written, with_items=batch.items is not None or moved)


def _groups(new: pl.DataFrame, known: pl.DataFrame) -> Iterator[list[date]]:
    """Give the days to be worked on together: each by itself, but for those that a session moves between."""
    moves = new.join(known, on="session_id", suffix="_old").filter(pl.col(DATE) != pl.col(f"{DATE}_old"))
    together = {*moves[DATE], *moves[f"{DATE}_old"]}
    yield from ([day] for day in new[DATE].unique().sort() if day not in together)
    if together:
        yield sorted(together)


def _merge(days: Days, group: list[date], batch: Batch, written: Written, *, with_items: bool) -> None:
    old = days.read(SESSIONS.name, group)
    concerned = pl.col("session_id").is_in(batch.sessions["session_id"].implode())
    before = old.filter(concerned)
    rows = pl.concat(
        [
            as_unmerged(before).with_columns(pl.lit(False).alias(_NEW)),
            batch.sessions.with_columns(
                pl.lit(batch.items is not None).alias(FROM_DETAIL), pl.lit(True).alias(_NEW)
            ).select(*SESSIONS.schema.names(), AGE, FROM_DETAIL, _NEW),
        ]
    )
    after = newest_sessions(rows).join(before.select("session_id", _FAILED), on="session_id", how="left")
    _count(written, SESSIONS.name, before, after)
    sessions = pl.concat([old.filter(~concerned), after.select(old.columns)])
    _replace_changed(
        days,
        SESSIONS.name,
        group,
        old.with_columns(_day().alias(DATE)),
        sessions.with_columns(_day().alias(DATE)),
        written,
    )
    if with_items:
        replaced = newest_details(rows).filter(_NEW).select("session_id")
        _merge_items(days, group, batch, replaced, sessions, written)


def _merge_items(
    days: Days, group: list[date], batch: Batch, replaced: pl.DataFrame, sessions: pl.DataFrame, written: Written
) -> None:
    """Put in the page views and errors of the details that won, in the place of all that those sessions had."""
    day_of = sessions.select("session_id", _day().alias(DATE))
    for table in ITEM_TABLES:
        parts = [days.read(table.name, [day]).with_columns(pl.lit(day).alias(DATE)) for day in group]
        old = pl.concat(parts)
        before = old.join(replaced, on="session_id", how="semi").drop(DATE)
        after = (
            before.clear()
            if batch.items is None
            else batch.items[table.name].join(replaced, on="session_id", how="semi")
        )
        after = after.select(table.schema.names())
        _count(written, table.name, before, after)
        rows = pl.concat([old.drop(DATE).join(replaced, on="session_id", how="anti"), after])
        _replace_changed(days, table.name, group, old, rows.join(day_of, on="session_id", how="left"), written)


def _replace_changed(
    days: Days, table: str, group: list[date], old: pl.DataFrame, new: pl.DataFrame, written: Written
) -> None:
    key = TABLES[table].key
    for day in group:
        before, after = (frame.filter(pl.col(DATE) == day).drop(DATE).sort(key) for frame in (old, new))
        if not after.equals(before):
            days.replace(table, day, after)
            written.days.add(day)


def _count(written: Written, name: str, before: pl.DataFrame, after: pl.DataFrame) -> None:
    table = TABLES[name]
    columns = table.schema.names()
    there = after.select(columns).join(before.select(table.key), on=table.key, how="semi")
    same = there.join(before.select(columns), on=columns, how="semi", nulls_equal=True)
    counts = written.rows[name]
    counts.new += len(after) - len(there)
    counts.updated += len(there) - len(same)
    counts.unchanged += len(same)


def add_rejected(days: Days, rejected: pl.DataFrame, known: pl.DataFrame, written: Written) -> None:
    """Put rows that broke a schema under the day they were fetched on, but for those that are there already."""
    new = rejected.join(known, on=REJECTED.schema.names(), how="anti", nulls_equal=True)
    written.rejected += len(new)
    for day in new[AGE].dt.date().unique().sort():
        rows = pl.concat([days.read(REJECTED.name, [day]), new.filter(pl.col(AGE).dt.date() == day)])
        days.replace(REJECTED.name, day, rows)
        written.days.add(day)


def mark_failed(days: Days, failed: pl.DataFrame) -> None:
    """Put down when the details of sessions were asked for in vain: ``session_id``, ``date``, ``detail_failed_at``."""
    for (day,), rows in failed.partition_by(DATE, as_dict=True, include_key=False).items():
        old = days.read(SESSIONS.name, [day])
        marked = old.join(rows, on="session_id", how="left", suffix="_now").with_columns(
            pl.max_horizontal(_FAILED, f"{_FAILED}_now").alias(_FAILED)
        )
        days.replace(SESSIONS.name, day, marked.select(old.columns))


def _day() -> pl.Expr:
    return pl.col("session_start").dt.date()
