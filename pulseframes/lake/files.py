"""A table's days as Parquet files: read, conformed to the present columns, and written so that readers can skip."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import date
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from pulseframes.errors import LakeError
from pulseframes.lake.commit import Commit
from pulseframes.lake.storage import Store
from pulseframes.tables import LAKE_ORDER, LAKE_TABLES, LAKE_VERSION

#: In each file's metadata: the version of its columns.
VERSION_KEY: Final = "pulseframes.lake_version"
#: Rows of which a reader can skip all or none.
_ROW_GROUP: Final = 20_000


def folder_of(table: str, day: date) -> str:
    """Give a partition's folder."""
    return f"{table}/date={day.isoformat()}"


def days_of(store: Store, table: str) -> dict[date, list[str]]:
    """Give each day that a table has, with its files, in order."""
    days: dict[date, list[str]] = {}
    for path in store.list(table):
        _, partition, *rest = path.split("/")
        if partition.startswith("date=") and rest and path.endswith(".parquet"):
            try:
                day = date.fromisoformat(partition.removeprefix("date="))
            except ValueError:
                continue
            days.setdefault(day, []).append(path)
    return dict(sorted(days.items()))


class Days:
    """Some days of a lake's tables, as they are and as they will be.

    Parameters
    ----------
    store : Store
        Where the lake is.
    commit : Commit
        Gets what changes.
    """

    def __init__(self, store: Store, commit: Commit) -> None:
        self._store = store
        self._commit = commit

    def read(self, table: str, days: Iterable[date]) -> pl.DataFrame:
        """Give the rows of some days, with a table's present columns.

        Raises
        ------
        LakeError
            If a file is damaged, or of a newer version.
        """
        paths = [path for day in days for path in self._files(table, day)]
        return pl.concat([LAKE_TABLES[table].empty(), *(self._frame(table, path) for path in paths)])

    def replace(self, table: str, day: date, rows: pl.DataFrame) -> None:
        """Have a day consist of these rows: one file, or none where there are none."""
        target = f"{folder_of(table, day)}/data.parquet"
        if not rows.is_empty():
            self._commit.put(target, encode(table, rows))
        for path in self._files(table, day):
            if path != target or rows.is_empty():
                self._commit.delete(path)

    def _files(self, table: str, day: date) -> list[str]:
        return [path for path in self._store.list(folder_of(table, day)) if path.endswith(".parquet")]

    def _frame(self, table: str, path: str) -> pl.DataFrame:
        data = self._store.read(path)
        if data is None:  # gone since it was listed: nobody else writes, so a user has removed it
            return LAKE_TABLES[table].empty()
        return decode(table, data, f"{self._store.location}/{path}")


def encode(table: str, rows: pl.DataFrame) -> bytes:
    """Write rows as a file: sorted, compressed, with statistics of each column and the version of the columns."""
    file = io.BytesIO()
    rows.select(LAKE_TABLES[table].schema.names()).sort(LAKE_ORDER[table]).write_parquet(
        file,
        compression="zstd",
        statistics="full",
        row_group_size=_ROW_GROUP,
        metadata={VERSION_KEY: str(LAKE_VERSION)},
    )
    return file.getvalue()


def decode(table: str, data: bytes, name: str) -> pl.DataFrame:
    """Read a file's rows; columns that an older version did not have are null.

    Raises
    ------
    LakeError
        If it is damaged, or of a newer version.
    """
    schema = LAKE_TABLES[table].schema
    try:
        version = _version(data)
        rows = pl.read_parquet(io.BytesIO(data))
        missing = [pl.lit(None, dtype).alias(column) for column, dtype in schema.items() if column not in rows.columns]
        rows = rows.with_columns(missing).select(schema.names()).cast(schema)
    except (OSError, pl.exceptions.PolarsError, ValueError) as problem:
        raise unreadable(name, problem) from None
    if version > LAKE_VERSION:
        raise LakeError(f"{name} was written by a newer version of pulseframes; update pulseframes.")
    return rows


def has_present_columns(table: str, data: bytes, name: str) -> bool:
    """Tell whether a file has a table's present columns; raises ``LakeError`` if it is damaged."""
    try:
        return pl.read_parquet_schema(io.BytesIO(data)) == dict(LAKE_TABLES[table].schema)
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise unreadable(name, problem) from None


def unreadable(name: str, problem: Exception) -> LakeError:
    """Say that a file cannot be read, and what to do."""
    return LakeError(
        f"{name} cannot be read ({problem}). Move the file away; `pulseframes replay -o FOLDER` makes its rows again from the "
        "journal, and Lake.write(FOLDER) puts them back, at no cost."
    )


def _version(data: bytes) -> int:
    metadata = pq.read_metadata(io.BytesIO(data)).metadata or {}
    return int(metadata.get(VERSION_KEY.encode(), b"0"))
