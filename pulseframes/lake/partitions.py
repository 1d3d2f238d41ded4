"""The partitions of a lake's tables: one Parquet file per UTC day, scanned by readers and rewritten by writers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

from pulseframes._text import listed
from pulseframes.errors import LakeError, PulseWarning, warn
from pulseframes.lake.commit import Commit
from pulseframes.lake.storage import LocalStore, Store
from pulseframes.tables import DATE, LAKE_ORDER, LAKE_TABLES, LAKE_VERSION, SESSIONS, partitioned
from pulseframes.tables.lake_tables import SETTLED_AT, as_settled

#: The key of each file's metadata that holds the version of its columns.
VERSION_KEY: Final = "pulseframes.lake_version"
#: A column for the paths of scanned files.
_PATH: Final = "_path"
#: The rows of a row group, which a reader skips or reads as a whole; also those of a batch of a scan.
_ROW_GROUP: Final = 20_000
#: A table's file of a day. Others below the table's folder, such as copies, are not the lake's.
_FILE: Final = re.compile(r"\w+/date=(\d{4}-\d\d-\d\d)/data\.parquet")
#: What reading a damaged file raises; pyo3's panics are no ``Exception``, and some of Arrow's are no ``ValueError``.
DAMAGE: Final = (
    *(OSError, ValueError, MemoryError, pa.ArrowException),
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
)
_PUT_BACK: Final = (
    "Move the file away; `pulseframes replay --lake LAKE` puts its rows back from the journal, without any calls."
)
#: The other files of which a user was warned, each once in a process.
_TOLD: Final[set[str]] = set()


def scan(store: Store, table: str) -> pl.LazyFrame:
    """Scan the files that a table has when the query runs; a damaged one is a ``LakeError`` in whatever way it is collected.

    polars pushes columns and filters down to the files: a filter on ``date`` reads only those days.
    """

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        if predicate is None or DATE not in predicate.meta.root_names():  # polars checks only the columns that it reads
            check_footers(store, table)
        pushed, rows = (columns, predicate, limit), 0
        try:
            for batch in _query(_scan_files(store, table, "raise"), *pushed).collect_batches(chunk_size=_ROW_GROUP):
                yield batch
                rows += len(batch)
        except DAMAGE as problem:
            check_files(store, table)
            if isinstance(problem, pl.exceptions.ColumnNotFoundError):
                pass  # all files are sound, so some are of an older version
            elif isinstance(problem, pl.exceptions.PolarsError):
                raise  # it is the query
            else:
                raise _unreadable(store.location, problem) from None
        else:
            return
        rest = _query(_scan_files(store, table, "insert"), *pushed).slice(rows)
        yield from rest.collect_batches(chunk_size=_ROW_GROUP)

    return register_io_source(batches, schema=partitioned(LAKE_TABLES[table]), is_pure=True)


def _query(rows: pl.LazyFrame, columns: list[str] | None, predicate: pl.Expr | None, limit: int | None) -> pl.LazyFrame:
    if limit is not None:  # before the filter: polars passes both for the filter of a head, and for no other query
        rows = rows.head(limit)
    if predicate is not None:
        rows = rows.filter(predicate)
    return rows if columns is None else rows.select(columns)


def _scan_files(store: Store, table: str, missing_columns: Literal["raise", "insert"]) -> pl.LazyFrame:
    schema = partitioned(LAKE_TABLES[table])
    paths = files_of(store, table)
    if not paths:
        return pl.LazyFrame(schema=schema)
    # Of a list, polars takes each folder=value of the whole path for a partition; of a folder, only those below it.
    in_partition = "=" in store.location
    query = pl.scan_parquet(
        f"{store.location}/{table}/" if in_partition else [f"{store.location}/{path}" for path in paths],
        glob=False,  # a folder's name may hold brackets or a star
        schema=schema,
        hive_partitioning=True,
        hive_schema={DATE: pl.Date()},
        missing_columns=missing_columns,
        extra_columns="ignore",
        storage_options=store.storage_options,
        include_file_paths=_PATH if in_partition else None,
    )
    return (
        query.filter(pl.col(_PATH).str.contains(r"/date=\d{4}-\d\d-\d\d/data\.parquet$")).drop(_PATH)
        if in_partition
        else query
    )


def files_of(store: Store, table: str) -> list[str]:
    """Return the paths of a table's files, by day, and warn of other Parquet files beside them."""
    files, others = _files(store, table)
    told = [other for path in others if (other := f"{store.location}/{path}") not in _TOLD]
    if told:
        _TOLD.update(told)
        warn(
            PulseWarning,
            f"{listed(told, 3)}: the lake does not read or change files other than data.parquet. Move copies out of the lake.",
        )
    return [*files.values()]


def own_files(paths: Iterable[str]) -> list[str]:
    """Return those of some paths that are a table's files of a day."""
    return [path for path in paths if _day_of(path)]


def _files(store: Store, table: str) -> tuple[dict[date, str], list[str]]:
    """Return a table's files by day, and other Parquet files below its folder."""
    days, others = {}, []
    for path in store.list(table):
        day = _day_of(path)
        if day is not None:
            days[day] = path
        elif path.endswith(".parquet") and "/." not in path:
            others.append(path)
    return days, others


def versions_of(store: Store, table: str) -> dict[date, str]:
    """Return the days of a table, in order, each with a text that changes with the content of its file."""
    days = ((_day_of(path), version) for path, version in sorted(store.versions(table).items()))
    return {day: version for day, version in days if day is not None}


def read_day(store: Store, table: str, day: date) -> tuple[pl.DataFrame, str] | None:
    """Return a day's rows and the text that ``versions_of()`` has for them; None if the table has no such day.

    Raises
    ------
    LakeError
        If the file is damaged, or was written by a newer version.
    """
    path = file_of(table, day)
    found = store.read_version(path)
    return None if found is None else (decode(table, found[0], f"{store.location}/{path}"), found[1])


def _day_of(path: str) -> date | None:
    match = _FILE.fullmatch(path)
    try:
        return match and date.fromisoformat(match[1])
    except ValueError:
        return None


def check_files(store: Store, *tables: str) -> None:
    """Read the files of some tables, or of all, since neither polars nor DuckDB always names the file it cannot read.

    Raises
    ------
    LakeError
        If a file is damaged.
    """
    for table in tables or LAKE_TABLES:
        for path in files_of(store, table):
            data = store.read(path)
            if data is not None:
                name = f"{store.location}/{path}"
                try:
                    pq.read_table(io.BytesIO(data))  # as DuckDB reads it, which is not in all as polars does
                except DAMAGE as problem:
                    raise _unreadable(name, problem) from None
                decode(table, data, name)


def check_footers(store: Store, *tables: str) -> None:
    """Check the columns of the files of some tables; of a bucket, where each footer takes a request, none.

    Raises
    ------
    LakeError
        If a file has other columns, or is damaged.
    """
    if isinstance(store, LocalStore):
        for table in tables:
            for path in files_of(store, table):
                check_footer(table, f"{store.location}/{path}")


def check_footer(table: str, name: str) -> None:
    """Check the columns of a file in a folder, once for each of its versions; one that a writer has just deleted is sound.

    Raises
    ------
    LakeError
        If the file has other columns, or is damaged.
    """
    try:
        file = Path(name).stat()
        _check_version(table, name, file.st_size, file.st_mtime_ns)
    except FileNotFoundError:
        return
    except OSError as problem:
        raise _unreadable(name, problem) from None


@lru_cache(maxsize=100_000)
def _check_version(table: str, name: str, _size: int, _modified: int) -> None:
    with Path(name).open("rb") as file:
        check_columns(table, file, name)


class Partitions:
    """The partitions of a lake as they are, and as a commit will leave them."""

    def __init__(self, store: Store, commit: Commit) -> None:
        self._store = store
        self._commit = commit

    def days(self, table: str) -> list[date]:
        """Return the days of which a table has rows, in order."""
        return list(_files(self._store, table)[0])

    def refuse_others(self) -> None:
        """Refuse to erase anything while files that may hold the same rows would stay.

        Raises
        ------
        LakeError
            If there are Parquet files that are not the lake's.
        """
        others = [path for table in LAKE_TABLES for path in _files(self._store, table)[1]]
        if others:
            raise LakeError(
                f"{self._store.location} has other files, such as copies, which would not be erased: {listed(others, 3)}. Delete them, or move "
                "them out of the lake, and run it again. Nothing was removed."
            )

    def read(self, table: str, days: Iterable[date]) -> pl.DataFrame:
        """Return the rows of some days, with the table's present columns.

        Raises
        ------
        LakeError
            If a file is damaged, or was written by a newer version.
        """
        frames = [LAKE_TABLES[table].empty()]
        for path in (file_of(table, day) for day in days):
            data = self._store.read(path)
            if data is not None:
                frames.append(decode(table, data, f"{self._store.location}/{path}"))
        return pl.concat(frames)

    def replace(self, table: str, day: date, rows: pl.DataFrame) -> None:
        """Replace all rows of a day: the partition will be one file, or none if there are no rows."""
        if rows.is_empty():
            self._commit.delete(file_of(table, day))
        else:
            self._commit.put(file_of(table, day), encode(table, rows))

    def upgrade(self) -> None:
        """Rewrite the files that lack present columns."""
        for table in LAKE_TABLES:
            for path in files_of(self._store, table):
                data = self._store.read(path)
                if data is not None and not _has_present_columns(table, data, path):
                    self._commit.put(path, encode(table, decode(table, data, path)))


def file_of(table: str, day: date) -> str:
    """Return the path of a table's file of a day."""
    return f"{table}/date={day.isoformat()}/data.parquet"


def encode(table: str, rows: pl.DataFrame) -> bytes:
    """Encode rows as a file: sorted, compressed, with statistics of each column and the version of the columns."""
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
    """Decode a file's rows; columns that an older version lacked are null, except those that follow from the others.

    Raises
    ------
    LakeError
        If the file is damaged, or was written by a newer version.
    """
    check_columns(table, io.BytesIO(data), name)
    schema = LAKE_TABLES[table].schema
    try:
        rows = pl.read_parquet(io.BytesIO(data))
    except DAMAGE as problem:
        raise _unreadable(name, problem) from None
    missing = [pl.lit(None, dtype).alias(column) for column, dtype in schema.items() if column not in rows.columns]
    lacks_settled = table == SESSIONS.name and SETTLED_AT not in rows.columns
    rows = rows.with_columns(missing).select(schema.names())
    return rows.update(as_settled(rows), on="session_id") if lacks_settled else rows


def check_columns(table: str, file: IO[bytes], name: str) -> None:
    """Refuse a file that lacks columns of its table or has other types; one of an older version may lack columns that can be null.

    Raises
    ------
    LakeError
        If the file is refused, damaged, or was written by a newer version.
    """
    try:
        found = pl.read_parquet_schema(file)
        file.seek(0)
        footer = pq.read_metadata(file)
        _check_chunks(footer)
        version = int((footer.metadata or {}).get(VERSION_KEY.encode(), b"0"))
    except DAMAGE as problem:
        raise _unreadable(name, problem) from None
    if version > LAKE_VERSION:
        raise LakeError(f"{name} was written by a newer version of pulseframes. Update pulseframes.")
    is_older = 0 < version < LAKE_VERSION
    for column in LAKE_TABLES[table].columns:
        there = found.get(column.name)
        if there != column.dtype and not (there is None and is_older and not column.required):
            state = f"is {there}" if there is not None else f"is missing; the file has {listed(found) or 'none'}"
            raise LakeError(
                f"{name} does not have the columns of {table}: {column.name}, of type {column.dtype}, {state}. {_PUT_BACK}"
            )


def _check_chunks(footer: pq.FileMetaData) -> None:
    """Refuse a footer whose chunks are of other types than its columns: a filter in DuckDB would abort the process."""
    types = [footer.schema.column(number).physical_type for number in range(footer.num_columns)]
    for group in map(footer.row_group, range(footer.num_row_groups)):
        if types != [group.column(number).physical_type for number in range(group.num_columns)]:
            raise ValueError("the types in its footer contradict each other")


def _has_present_columns(table: str, data: bytes, name: str) -> bool:
    try:
        return pl.read_parquet_schema(io.BytesIO(data)) == dict(LAKE_TABLES[table].schema)
    except DAMAGE as problem:
        raise _unreadable(name, problem) from None


def _unreadable(name: str, problem: BaseException) -> LakeError:
    return LakeError(f"{name} cannot be read ({problem}). {_PUT_BACK}")
