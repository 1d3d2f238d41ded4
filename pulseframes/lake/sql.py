"""A lake's tables as DuckDB views; a query can reach nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import polars as pl
import pyarrow as pa
from pyarrow.fs import FileSystemHandler, LocalFileSystem, PyFileSystem

from pulseframes.errors import InvalidQuery
from pulseframes.lake.partitions import check_files, check_footers, files_of
from pulseframes.lake.storage import LocalStore, Store
from pulseframes.tables import DATE, LAKE_TABLES, partitioned

if TYPE_CHECKING:
    import duckdb

#: The tables are registered beforehand, so no query needs a file, the network, an extension or Python's variables.
_CLOSED: Final = (
    "SET TimeZone = 'UTC'",
    "SET memory_limit = '4GiB'",
    "SET temp_directory = ''",  # DuckDB's own is in the current folder
    "SET python_enable_replacements = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)

#: The most bytes of a result.
_LARGEST: Final = 2**30


def connect(store: Store) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection that has a lake's tables as views.

    Raises
    ------
    ImportError
        If DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise ImportError("SQL over a lake needs DuckDB: pip install 'pulseframes[duckdb]'") from None
    connection = duckdb.connect()
    for table in LAKE_TABLES:
        connection.register(table, _dataset(store, table))
    for statement in _CLOSED:
        connection.execute(statement)
    return connection


def run(store: Store, query: str, parameters: Sequence[object] | Mapping[str, object] | None) -> pl.DataFrame:
    """Return a query's result.

    Raises
    ------
    InvalidQuery
        If DuckDB rejects the query, or its result is too large.
    LakeError
        If a file is damaged.
    """
    connection = connect(store)
    return _interruptible(connection, lambda: _result(store, connection, query, parameters))


def _interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """Work in another thread: DuckDB keeps the one it runs in from seeing Ctrl-C."""
    import duckdb

    done: Future[pl.DataFrame] = Future()

    def work_there() -> None:
        try:
            done.set_result(work())
        except BaseException as problem:  # noqa: BLE001  raised again by the waiting thread
            done.set_exception(problem)

    worker = threading.Thread(target=work_there, daemon=True)
    try:
        worker.start()
        while not wait([done], timeout=0.2).done:  # join() interrupted by Ctrl-C takes the thread for ended
            pass
    except KeyboardInterrupt:
        while not wait([done], timeout=0.05).done:  # an interrupt before the query runs is lost
            with suppress(duckdb.ConnectionException):  # it has just closed
                connection.interrupt()
        worker.join()  # a thread that is still in DuckDB when the process exits would abort it
        raise
    return done.result()


def _result(
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Sequence[object] | Mapping[str, object] | None,
) -> pl.DataFrame:
    with connection:
        import duckdb

        try:
            relation = connection.sql(query, params=parameters)
            check_footers(store, *(table for table in LAKE_TABLES if table in query.lower()))
            return pl.DataFrame() if relation is None else _as_frame(relation)
        except (duckdb.Error, pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException) as problem:
            if not isinstance(problem, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
                check_files(store)  # the query may be sound
            raise InvalidQuery(f"query: {problem}", argument="query") from None


def _as_frame(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Convert a result; intervals become durations by way of microseconds, since polars has no interval type."""
    spans = [name for name, kind in zip(relation.columns, relation.types, strict=True) if str(kind) == "INTERVAL"]
    if spans:
        quoted = ['"' + name.replace('"', '""') + '"' for name in spans]
        relation = relation.project(f"* REPLACE ({', '.join(f'epoch_us({name}) AS {name}' for name in quoted)})")
    frame = pl.DataFrame(_fetched(relation)).with_columns(pl.col(spans).cast(pl.Duration("us")))
    for column in frame:
        _check_range(column)
    return frame.with_columns(_as_integers(column) for column in frame)


def _check_range(column: pl.Series) -> None:
    """Refuse a time that Python and polars cannot print, such as infinity."""
    ends: dict[pl.DataType, tuple[date, date]] = {
        pl.Date(): (date.min, date.max),
        pl.Datetime("us"): (datetime.min, datetime.max),  # noqa: DTZ901  as stored: without a zone
        pl.Datetime("ms"): (datetime.min, datetime.max),  # noqa: DTZ901
    }
    dtype = pl.Datetime(column.dtype.time_unit) if isinstance(column.dtype, pl.Datetime) else column.dtype
    if dtype in ends:
        first, last = pl.Series(ends[dtype], dtype=dtype).to_physical()
        if not column.to_physical().is_between(first, last).all():
            raise InvalidQuery(
                f"query: {column.name} has dates outside the years 1 to 9999, or infinity. Convert them with cast(x as varchar).",
                argument="query",
            )


def _fetched(relation: duckdb.DuckDBPyRelation) -> pa.Table:
    # DuckDB 1 has the second name only.
    reader = relation.to_arrow_reader() if hasattr(relation, "to_arrow_reader") else relation.fetch_record_batch()
    if any(_holds_intervals(field.type) for field in reader.schema):
        raise InvalidQuery(
            "query: intervals in lists, structs and maps have no type in polars. Convert them with epoch_ms(interval).",
            argument="query",
        )
    batches, size = [], 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > _LARGEST:
            raise InvalidQuery(
                "query: the result has more than 1 GiB. Aggregate it, select fewer columns or add a LIMIT.",
                argument="query",
                python="Lake.duckdb() has no such limit.",
            )
    return pa.Table.from_batches(batches, reader.schema)


def _holds_intervals(kind: pa.DataType) -> bool:
    inner = (kind.field(number).type for number in range(kind.num_fields))
    return bool(pa.types.is_interval(kind)) or any(map(_holds_intervals, inner))


def _as_integers(column: pl.Series) -> pl.Series:
    """Return DuckDB's integers of 128 bits, such as sums, which come as decimals, as 64 bits if they fit."""
    if column.dtype != pl.Decimal(38, 0):
        return column
    small = column.cast(pl.Int64, strict=False)
    return small if small.null_count() == column.null_count() else column


def _dataset(store: Store, table: str) -> object:
    """Return a table as a pyarrow dataset, or as an empty table if it has no files.

    DuckDB streams a dataset, and pushes filters down to its files. Of a LazyFrame, DuckDB 2 holds all that a query selects in
    memory, whatever its LIMIT, and DuckDB 1 the whole table as soon as it is registered.
    """
    from pyarrow.dataset import dataset, partitioning

    schema: pa.Schema = pl.DataFrame(schema=partitioned(LAKE_TABLES[table])).to_arrow().schema
    paths = files_of(store, table)
    if not paths:
        return schema.empty_table()
    local = isinstance(store, LocalStore)
    root = f"{store.location}/" if local else ""
    return dataset(
        [root + path for path in paths],
        schema=schema,
        filesystem=LocalFileSystem() if local else PyFileSystem(_BucketFiles(store)),
        format="parquet",
        partitioning=partitioning(pa.schema([(DATE, pa.date32())]), flavor="hive"),
        partition_base_dir=root + table,
    )


class _BucketFiles(FileSystemHandler):  # type: ignore[misc]  # pyarrow has no types
    """A bucket as pyarrow opens its files: with the lake's own connection, each file read in one request."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get_type_name(self) -> str:
        return "pulseframes"

    def normalize_path(self, path: str) -> str:
        return path

    def open_input_file(self, path: str) -> pa.NativeFile:
        data = self._store.read(path)
        if data is None:
            raise FileNotFoundError(f"There is no file {self._store.location}/{path}.")
        return pa.BufferReader(data)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    # A dataset whose paths are given only opens them.
    get_file_info = get_file_info_selector = open_input_stream = _refuse
    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse
