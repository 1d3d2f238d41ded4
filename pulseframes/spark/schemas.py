"""The schemas of Spark frames, derived from the declared tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import StructType


def spark_schema(schema: Mapping[str, pl.DataType]) -> StructType:
    """Return the schema of a Spark frame with the columns of a polars frame."""
    arrow: pa.Schema = pl.DataFrame(schema=schema).to_arrow().schema
    return from_arrow_schema(arrow)


def to_batches(frame: pl.DataFrame) -> list[Any]:
    """Return a frame as Arrow batches of the types that Spark uses for its columns."""
    wanted = to_arrow_schema(spark_schema(frame.schema), timezone="UTC")
    return frame.to_arrow().cast(wanted).to_batches()  # type: ignore[no-any-return]  # pyarrow is not typed


def from_batch(batch: pa.RecordBatch) -> pl.DataFrame:
    """Return an Arrow batch of Spark as a frame: its times are in UTC, whatever the session's zone is."""
    frame = pl.DataFrame(pl.from_arrow(batch))
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(times).dt.convert_time_zone("UTC").dt.cast_time_unit("us"))
