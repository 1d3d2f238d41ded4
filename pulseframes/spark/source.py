"""A lake as a data source of Spark: Arrow batches, one partition for each day, and filters that skip days and rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any, Final

import polars as pl
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.datasource import (
    DataSource,
    DataSourceReader,
    EqualTo,
    Filter,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    InputPartition,
    IsNotNull,
    IsNull,
    LessThan,
    LessThanOrEqual,
)
from pyspark.sql.types import StructType

from pulseframes._arguments import check_choice
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, days_of, scan_table
from pulseframes.spark.schemas import spark_schema, to_batches
from pulseframes.tables import DATE, LAKE_TABLES, SESSIONS, partitioned

#: Python's sources get no filters unless this is set.
_PUSHDOWN: Final = "spark.sql.python.filterPushdown.enabled"


def register(spark: SparkSession) -> None:
    """Make ``spark.read.format("pulseframes")`` read lakes in a Spark session.

    ``option("table", NAME)`` chooses ``sessions`` (the default), ``page_views``, ``errors``, ``rejected`` or ``design``; ``load(LAKE)`` names the
    folder or address, whose credentials are in the environment of each executor. Filters on ``date`` skip days; other comparisons
    skip rows while a file is read. Only the columns of ``schema()`` are read, if it is given.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
        The session. Registering also lets its Python data sources receive filters.
    """
    spark.conf.set(_PUSHDOWN, "true")
    spark.dataSource.register(LakeSource)


class LakeSource(DataSource):  # type: ignore[misc]  # pyspark may be missing where types are checked
    """One table of a lake."""

    @classmethod
    def name(cls) -> str:
        """Return the name for ``format()``."""
        return "pulseframes"

    def schema(self) -> StructType:
        """Return the table's columns."""
        return spark_schema(partitioned(LAKE_TABLES[self._table()]))

    def reader(self, schema: StructType) -> LakeReader:
        """Return a reader of some of these columns."""
        location = self.options.get("path")
        if not location:
            raise InvalidQuery("path: name a lake, such as load('lake').", argument="path")
        return LakeReader(location, self._table(), schema.names)

    def _table(self) -> str:
        table = self.options.get("table", SESSIONS.name)
        check_choice("table", table, [*LAKE_TABLES])
        return str(table)


class LakeReader(DataSourceReader):  # type: ignore[misc]  # as above
    """Reads the days of a table."""

    def __init__(self, location: str, table: str, columns: Sequence[str]) -> None:
        self._location = location
        self._table = table
        self._columns = list(columns)
        self._filters: list[pl.Expr] = []

    def pushFilters(self, filters: list[Filter]) -> Iterable[Filter]:  # noqa: N802  Spark's name
        """Keep the filters that polars applies as Spark does, and return the others."""
        for each in filters:
            expression = _expression(each)
            if expression is None:
                yield each
            else:
                self._filters.append(expression)

    def partitions(self) -> list[InputPartition]:
        """Return the days that may have rows."""
        days = pl.Series(DATE, days_of(Lake(self._location), self._table), pl.Date).to_frame()
        of_day = [each for each in self._filters if each.meta.root_names() == [DATE]]
        return [InputPartition(day) for day in days.filter(*of_day)[DATE]]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Read a day's rows."""
        day: date = partition.value
        rows = scan_table(Lake(self._location), self._table).filter(pl.col(DATE) == day, *self._filters)
        yield from to_batches(rows.select(self._columns).collect())


_COMPARISONS: Final[dict[Any, str]] = {
    EqualTo: "eq",
    GreaterThan: "gt",
    GreaterThanOrEqual: "ge",
    LessThan: "lt",
    LessThanOrEqual: "le",
}


def _expression(pushed: Filter) -> pl.Expr | None:
    """Return a filter of Spark as one of polars; None if there is none that means the same."""
    if len(getattr(pushed, "attribute", ())) != 1:  # a field of a column, or a filter of filters, such as Not
        return None
    column = pl.col(pushed.attribute[0])
    if isinstance(pushed, IsNull | IsNotNull):
        return column.is_null() if isinstance(pushed, IsNull) else column.is_not_null()
    if isinstance(pushed, In):
        return column.is_in(list(pushed.value)) if _is_plain(*pushed.value) else None
    comparison = _COMPARISONS.get(type(pushed))
    if comparison is None or not _is_plain(pushed.value):
        return None
    return getattr(column, comparison)(pushed.value)  # type: ignore[no-any-return]  # getattr is not typed


def _is_plain(*values: object) -> bool:
    """Return whether both engines compare values alike; they do not agree on NaN, and times have a zone in one of them only."""
    return all(type(value) in {int, str, bool, date} for value in values)
