"""A lake that an engine on several machines reads and fills: each task reads or writes the files of a day."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from typing import Final

import polars as pl

from pulseframes.errors import LakeError
from pulseframes.lake.commit import Commit
from pulseframes.lake.lake import Lake
from pulseframes.lake.partitions import Partitions, encode, file_of, scan
from pulseframes.lake.storage import Store, open_store
from pulseframes.tables import LAKE_TABLES

#: Seconds between renewals of the lock while an engine works, which can take hours.
_RENEWAL: Final = 60.0


def days_of(lake: Lake, table: str) -> list[date]:
    """Return the days of which a table has rows, in order."""
    lake.state()
    return Partitions(lake.store, Commit(lake.store)).days(table)


def scan_table(lake: Lake, table: str) -> pl.LazyFrame:
    """Scan any table of a lake, as ``Lake.sessions()`` does sessions."""
    lake.state()
    return scan(lake.store, table)


def stage_day(location: str, folder: str, table: str, day: date, rows: pl.DataFrame) -> None:
    """Write the rows of a day to a staging folder of a lake, on any machine that reaches it; a task that is repeated replaces the file."""
    open_store(location).write(_staged(folder, table, day), encode(table, rows))


def fill(lake: Lake, stage: Callable[[str], Mapping[str, Sequence[date]]]) -> None:
    """Put the files in place that an engine stages, all of them or, if it fails or is killed, none.

    Parameters
    ----------
    lake : Lake
        A lake without rows; created if necessary.
    stage : callable
        Gets the staging folder, has ``stage_day()`` write to it, and returns the days of each table.

    Raises
    ------
    LakeError
        If the lake has rows, or cannot be written.
    """
    with lake.locked():
        if any(days_of(lake, table) for table in LAKE_TABLES):
            raise LakeError(f"The lake {lake.location} has rows already. Name a new folder, such as {lake.location}-2.")
        commit = Commit(lake.store)
        with _kept_locked(lake.store):
            days = stage(commit.folder)
        for table, of_table in days.items():
            for day in of_table:
                commit.adopt(_staged(commit.folder, table, day), file_of(table, day))
        commit.done()


def _staged(folder: str, table: str, day: date) -> str:
    """Return the path of a staged file, whose name must be a number."""
    return f"{folder}/{[*LAKE_TABLES].index(table)}{day:%Y%m%d}"


@contextmanager
def _kept_locked(store: Store) -> Iterator[None]:
    """Renew the lock from time to time. If that fails, ``Commit.done()`` finds out."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_RENEWAL):
            with suppress(LakeError):
                store.keep_lock()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
