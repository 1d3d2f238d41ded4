"""Sessions kept as Parquet files that any tool reads."""

from pulseframes.lake.lake import Lake
from pulseframes.lake.upsert import Batch, Counts, Written

__all__ = ["Batch", "Counts", "Lake", "Written"]
