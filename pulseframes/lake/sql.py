"""A lake's tables as DuckDB views, and nothing else within a query's reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import polars as pl

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
        frame: pl.DataFrame = pl.DataFrame() if relation is None else relation.pl()
    except duckdb.Error as problem:
        raise InvalidQuery(f"query: {problem}", argument="query") from None
    return frame
