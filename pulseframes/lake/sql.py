"""A lake's tables as DuckDB views, and nothing else within a query's reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa

from pulseframes.errors import InvalidQuery

if TYPE_CHECKING:
    import duckdb

#: The tables are registered beforehand, so no query needs a file, the network, an extension or Python's variables.
_CLOSED: Final = (
    "SET TimeZone = 'UTC'",
    "SET python_enable_replacements = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def connect(tables: Mapping[str, object]) -> duckdb.DuckDBPyConnection:
    """Give a connection that has these tables, Arrow ones, as views.

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
    for name, table in tables.items():
        connection.register(name, table)
    for statement in _CLOSED:
        connection.execute(statement)
    return connection


def ask(connection: duckdb.DuckDBPyConnection, query: str) -> pl.DataFrame:
    """Give a query's result.

    Raises
    ------
    InvalidQuery
        If DuckDB refuses it.
    """
    import duckdb

    try:
        relation = connection.sql(query)
        return pl.DataFrame() if relation is None else _as_frame(relation)
    except (duckdb.Error, pl.exceptions.PolarsError, pa.ArrowException) as problem:
        raise InvalidQuery(f"query: {problem}", argument="query") from None


def _as_frame(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Give a result; polars has no type for an interval, so one is turned into microseconds first, and then into a duration."""
    spans = [name for name, kind in zip(relation.columns, relation.types, strict=True) if str(kind) == "INTERVAL"]
    if spans:
        quoted = ['"' + name.replace('"', '""') + '"' for name in spans]
        relation = relation.project(f"* REPLACE ({', '.join(f'epoch_us({name}) AS {name}' for name in quoted)})")
    frame: pl.DataFrame = relation.pl()
    return frame.with_columns(pl.col(spans).cast(pl.Duration("us")))
