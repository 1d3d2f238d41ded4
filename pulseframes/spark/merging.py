"""The lake's merge rule on Spark frames, by the function that merges on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame, functions as f

from pulseframes.flatten import AGE, CALL, DETAIL_AGE, FROM_DETAIL, merge_raw
from pulseframes.spark.answers import SparkFrames
from pulseframes.spark.schemas import from_batch, spark_schema, to_batches
from pulseframes.tables import DATE, ITEM_TABLES, LAKE_TABLES, REJECTED, SESSIONS, partitioned

_KEY: Final = "session_id"


def merge(frames: SparkFrames) -> SparkFrames:
    """Merge all rows of each session into one, as a lake does.

    The newest ``session_updated`` wins, and a summary never erases what only details have; page views and errors are those of the
    newest details. The order of the answers does not matter.

    Parameters
    ----------
    frames : SparkFrames
        What ``flatten()`` returns.

    Returns
    -------
    SparkFrames
        The tables of a lake, with ``date``, the UTC day of ``session_start``; of rejected rows, of ``fetched_at``.
    """
    in_order = frames.sessions.repartition(_KEY).sortWithinPartitions(_KEY)
    sessions = in_order.mapInArrow(_merge_batches, spark_schema(partitioned(LAKE_TABLES[SESSIONS.name])))
    newest = sessions.where(f.col(DETAIL_AGE).isNotNull()).select(_KEY, f.col(DETAIL_AGE).alias(AGE), DATE)
    items = {table.name: _items(getattr(frames, table.name), newest, list(table.key)) for table in ITEM_TABLES}
    once = frames.rejected.groupBy(*REJECTED.schema.names()).agg(f.min(AGE).alias(AGE))
    return SparkFrames(
        sessions, rejected=once.withColumn(DATE, f.to_date(f.to_utc_timestamp(AGE, f.current_timezone()))), **items
    )


def _items(rows: DataFrame, newest: DataFrame, key: list[str]) -> DataFrame:
    # An answer that was exported twice has each of its rows twice.
    return rows.join(newest, [_KEY, AGE]).dropDuplicates(key).drop(AGE, CALL, FROM_DETAIL)


def _merge_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Merge the rows of a partition, which are in the order of ``session_id``; a batch may end amid a session's rows."""
    waiting = pl.DataFrame()
    for batch in batches:
        rows = pl.concat([waiting, from_batch(batch)]) if len(waiting) else from_batch(batch)
        is_last = pl.col(_KEY) == rows[_KEY][-1] if len(rows) else pl.lit(value=True)
        yield from to_batches(merge_raw(rows.filter(~is_last)))
        waiting = rows.filter(is_last)
    if len(waiting):
        yield from to_batches(merge_raw(waiting))
