"""A lake's tables as DuckDB views; a query can reach nothing else."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

from pulseframes.errors import InvalidQuery, LakeError, PulseError
from pulseframes.lake.partitions import DAMAGE, check_columns, check_files, check_footers, files_of
from pulseframes.lake.storage import LocalStore, Store
from pulseframes.lake.weights import MACROS, WEIGHT_OF, WEIGHTS, with_weights
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

_PARQUET: Final = ds.ParquetFileFormat()
#: The most bytes of a result.
_LARGEST: Final = 2**30
#: The seconds in which DuckDB should end an interrupted query; some functions cannot be interrupted.
_PATIENCE: Final = 5

#: DuckDB's integers of 128 bits in Arrow.
_WIDE: Final = pa.decimal128(38, 0)
_SECONDS: Final = (-62_135_596_800, 253_402_300_800)  # the years 1 to 9999
#: The first and the last time of each type that Python and polars can print.
_PRINTABLE: Final = {
    "date32[day]": (_SECONDS[0] // 86_400, _SECONDS[1] // 86_400 - 1),
    "time64[us]": (0, 86_400_000_000 - 1),
    **{
        f"timestamp[{unit}{zone}]": (_SECONDS[0] * ticks, _SECONDS[1] * ticks - 1)
        for unit, ticks in (("s", 1), ("ms", 1_000), ("us", 1_000_000))
        for zone in ("", ", tz=Etc/UTC", ", tz=UTC")
    },
}


def connect(store: Store, weights: pl.DataFrame) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection that has a lake's tables as views, with the weights of its sample.

    Raises
    ------
    ImportError
        If DuckDB is not installed.
    """
    connection = _opened()
    _register(connection, store, weights)
    return connection


def _opened() -> duckdb.DuckDBPyConnection:
    try:
        import duckdb
    except ImportError:
        raise ImportError("SQL over a lake needs DuckDB: pip install 'pulseframes[duckdb]'") from None
    return duckdb.connect()


def _register(connection: duckdb.DuckDBPyConnection, store: Store, weights: pl.DataFrame) -> list[Exception]:
    """Register the tables; what is wrong with files of a bucket that a query reads will be in the list."""
    problems: list[Exception] = []
    connection.register("_given", weights.to_arrow())
    connection.execute(f"CREATE TEMP TABLE {WEIGHTS} AS FROM _given")
    for table in LAKE_TABLES:
        weight = WEIGHT_OF.get(table)
        connection.register(f"_{table}" if weight else table, _dataset(store, table, problems))
        if weight:
            joined = f"_{table} LEFT JOIN {WEIGHTS} USING (session_id)"
            connection.execute(
                f"CREATE TEMP VIEW {table} AS SELECT _{table}.*, {WEIGHTS}.{weight} AS weight FROM {joined}"  # noqa: S608  our names
            )
    for statement in (*MACROS, *_CLOSED):
        connection.execute(statement)
    return problems


def run(
    store: Store, query: str, parameters: Sequence[object] | Mapping[str, object] | None, weights: pl.DataFrame
) -> pl.DataFrame:
    """Return a query's result.

    Raises
    ------
    InvalidQuery
        If DuckDB rejects the query, or its result is too large.
    LakeError
        If a file is damaged.
    """
    connection = _opened()
    return _interruptible(connection, lambda: _result(store, connection, query, parameters, weights))


def _interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """Work in another thread: DuckDB keeps the one it runs in from seeing Ctrl-C.

    The thread is no daemon, because one that is still in DuckDB when the process ends would abort it.
    """
    done: Future[pl.DataFrame] = Future()

    def work_there() -> None:
        try:
            done.set_result(work())
        except BaseException as problem:  # noqa: BLE001  raised again by the waiting thread
            done.set_exception(problem)

    try:
        threading.Thread(target=work_there).start()
        while not wait([done], timeout=0.2).done:
            pass
    except KeyboardInterrupt:
        give_up = monotonic() + _PATIENCE
        while not wait([done], timeout=0.05).done and monotonic() < give_up:
            connection.interrupt()  # again and again: one that comes before the query runs is lost
        raise
    connection.close()
    return done.result()


def _result(
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Sequence[object] | Mapping[str, object] | None,
    weights: pl.DataFrame,
) -> pl.DataFrame:
    import duckdb

    problems = _register(connection, store, weights)
    try:
        statements = len(connection.extract_statements(query))
        if statements != 1:
            what = (
                f"{statements} statements, whose results but the last would be lost" if statements else "nothing to run"
            )
            raise InvalidQuery(f"query: it has {what}. Give one statement, such as SELECT 1.", argument="query")
        relation = connection.sql(with_weights(query), params=parameters)
        check_footers(store, *(table for table in LAKE_TABLES if table in query.lower()))
        return pl.DataFrame() if relation is None else _as_frame(relation)
    except PulseError:
        raise
    except (duckdb.Error, *DAMAGE) as problem:  # while rows are streamed, any error of DuckDB is an OSError
        if problems:
            raise problems[0] from None
        if not isinstance(problem, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
            check_files(store)  # the query may be sound
        raise InvalidQuery(f"query: {problem}", argument="query") from None


def _as_frame(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Convert a result; intervals become durations by way of microseconds, since polars has no interval type."""
    spans = [name for name, kind in zip(relation.columns, relation.types, strict=True) if str(kind) == "INTERVAL"]
    if spans:
        quoted = ['"' + name.replace('"', '""') + '"' for name in spans]
        relation = relation.project(f"* REPLACE ({', '.join(f'epoch_us({name}) AS {name}' for name in quoted)})")
    table = _fetched(relation)
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks:
            _check_times(name, chunk)
    columns = [_with_numbers(column) for column in table.columns]
    return pl.DataFrame(pa.table(columns, table.column_names)).with_columns(pl.col(spans).cast(pl.Duration("us")))


def _fetched(relation: duckdb.DuckDBPyRelation) -> pa.Table:
    # DuckDB 1 has the second name only.
    reader = relation.to_arrow_reader() if hasattr(relation, "to_arrow_reader") else relation.fetch_record_batch()
    for field in reader.schema:
        if _holds(field.type, pa.types.is_interval):
            raise InvalidQuery(
                f"query: {field.name} has intervals in a list, struct or map, for which polars has no type. Convert them with "
                "epoch_ms(interval).",
                argument="query",
            )
        if _holds(field.type, pa.types.is_union):
            raise InvalidQuery(
                f"query: {field.name} is a union, for which polars has no type. Convert it with cast(x as varchar).",
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


def _holds(kind: pa.DataType, is_such: Callable[[pa.DataType], bool]) -> bool:
    return is_such(kind) or any(_holds(kind.field(number).type, is_such) for number in range(kind.num_fields))


def _check_times(name: str, values: pa.Array) -> None:
    """Refuse times that Python and polars cannot print, such as infinity, also in lists, structs and maps."""
    kind = values.type
    if pa.types.is_map(kind):
        _check_times(name, values.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))))
    elif pa.types.is_struct(kind):
        for inner in values.flatten():
            _check_times(name, inner)
    elif kind.num_fields == 1:  # a list
        _check_times(name, values.flatten())
    elif str(kind) in _PRINTABLE:
        first, last = _PRINTABLE[str(kind)]
        # Compared as integers, since a time has the form of one.
        ends = pc.min_max(values.view(pa.int32() if pa.types.is_date32(kind) else pa.int64())).as_py()
        if ends["min"] is not None and not first <= ends["min"] <= ends["max"] <= last:
            raise InvalidQuery(
                f"query: {name} has times outside the years 1 to 9999, infinity or 24:00. Convert them with cast(x as varchar).",
                argument="query",
            )


def _with_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert DuckDB's integers of 128 bits, such as sums, which come as decimals, to 64 bits if all fit, else to floats."""
    if not _holds(column.type, _WIDE.equals):
        return column
    try:
        return column.cast(_replaced(column.type, pa.int64()))
    except pa.ArrowInvalid:
        return column.cast(_replaced(column.type, pa.float64()))


def _replaced(kind: pa.DataType, number: pa.DataType) -> pa.DataType:
    """Return a type with a number in place of each integer of 128 bits in it."""
    if kind == _WIDE:
        return number
    fields = [field.with_type(_replaced(field.type, number)) for field in map(kind.field, range(kind.num_fields))]
    if pa.types.is_struct(kind):
        return pa.struct(fields)
    if pa.types.is_map(kind):
        return pa.map_(_replaced(kind.key_type, number), _replaced(kind.item_type, number))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(fields[0], kind.list_size)
    return pa.list_(fields[0]) if pa.types.is_list(kind) else kind


def _dataset(store: Store, table: str, problems: list[Exception]) -> object:
    """Return a table as a pyarrow dataset, or as an empty table if it has no files.

    DuckDB streams a dataset, and pushes filters down to its files. Of a LazyFrame, DuckDB 2 holds all that a query selects in
    memory, whatever its LIMIT, and DuckDB 1 the whole table as soon as it is registered.
    """
    schema: pa.Schema = pl.DataFrame(schema=partitioned(LAKE_TABLES[table])).to_arrow().schema
    paths = files_of(store, table)
    if not paths:
        return schema.empty_table()
    days = ds.partitioning(pa.schema([(DATE, pa.date32())]), flavor="hive")
    if not isinstance(store, LocalStore):
        return _BucketDataset(store, paths, schema, days, problems)
    root = f"{store.location}/"
    return ds.dataset(
        [root + path for path in paths],
        schema=schema,
        filesystem=LocalFileSystem(),
        format="parquet",
        partitioning=days,
        partition_base_dir=root + table,
    )


class _BucketDataset(ds.FileSystemDataset):  # type: ignore[misc]  # pyarrow has no types
    """A table in a bucket, which reads each file in one request when DuckDB asks for its rows, and checks it.

    Not by a file system in Python, which Arrow's threads would call: they can deadlock with DuckDB's, and outlive the query.
    """

    def __init__(
        self, store: Store, paths: list[str], schema: pa.Schema, days: ds.Partitioning, problems: list[Exception]
    ) -> None:
        fragments = [
            _PARQUET.make_fragment(path, LocalFileSystem(), partition_expression=days.parse(path)) for path in paths
        ]
        super().__init__(fragments, schema, _PARQUET)
        self._store = store
        self._problems = problems

    def scanner(self, columns: list[str] | None = None, filter: Any = None, **_: Any) -> _Scanner:  # noqa: A002  pyarrow's name
        """Return a scan of the files that the filter allows, as DuckDB calls it."""
        names = self.schema.names if columns is None else columns
        schema = pa.schema([self.schema.field(name) for name in names])
        return _Scanner(pa.RecordBatchReader.from_batches(schema, self._batches(names, filter)))

    def _batches(self, columns: list[str], rows: Any) -> Iterator[pa.RecordBatch]:
        for fragment in self.get_fragments(rows):
            try:
                data = self._checked(fragment.path)
            except Exception as problem:
                self._problems.append(problem)  # DuckDB passes on its text only
                raise
            file = _PARQUET.make_fragment(pa.BufferReader(data), partition_expression=fragment.partition_expression)
            yield from file.to_batches(schema=self.schema, columns=columns, filter=rows, use_threads=False)

    def _checked(self, path: str) -> bytes:
        data = self._store.read(path)
        if data is None:
            raise LakeError(f"{path} was deleted while it was read. Run the query again.")
        check_columns(path.split("/", maxsplit=1)[0], io.BytesIO(data), f"{self._store.location}/{path}")
        return data


class _Scanner(NamedTuple):
    """What DuckDB needs of a scanner."""

    reader: pa.RecordBatchReader

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows."""
        return self.reader
