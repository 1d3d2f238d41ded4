"""Raw answers to tables, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame

from pulseframes.flatten import AGE, CALL, FLAT, flatten_raw
from pulseframes.spark.schemas import spark_schema, to_batches


@dataclass(frozen=True)
class SparkFrames:
    """Four Spark frames.

    Attributes
    ----------
    sessions, page_views, errors : pyspark.sql.DataFrame
        The tables.
    rejected : pyspark.sql.DataFrame
        The rows that break the schema, and the answers that are not the documented JSON, whose ``table`` is ``answers``.
    """

    sessions: DataFrame
    page_views: DataFrame
    errors: DataFrame
    rejected: DataFrame

    def tables(self) -> dict[str, DataFrame]:
        """Return the frames by the names of their tables."""
        return {name: getattr(self, name) for name in FLAT}


def flatten(raw: DataFrame) -> SparkFrames:
    """Flatten and check raw answers, as every other way of pulseframes does.

    Nothing is computed before a frame is used, and each frame reads the answers once.

    Parameters
    ----------
    raw : pyspark.sql.DataFrame
        What ``export_raw()`` wrote, read with ``spark.read.parquet()``; ``call_id``, ``endpoint``, ``fetched_at``, ``body`` and
        ``body_bytes`` are used.

    Returns
    -------
    SparkFrames
        The columns of the tables; when and by which call each row was fetched, ``fetched_at`` and ``call_id``; and whether it is of a
        detail, ``_detail``. A session that several answers have is there several times: ``merge()`` leaves its newest row.
    """
    answers = raw.select(CALL, "endpoint", AGE, "body", "body_bytes")
    return SparkFrames(
        **{name: answers.mapInArrow(partial(flatten_batches, table=name), spark_schema(FLAT[name])) for name in FLAT}
    )


def flatten_batches(batches: Iterator[pa.RecordBatch], table: str) -> Iterator[pa.RecordBatch]:
    """Return the rows of one table in batches of raw answers."""
    for batch in batches:
        yield from to_batches(flatten_raw(batch, table))
