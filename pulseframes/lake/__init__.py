"""Sessions stored as Parquet files, which any tool can read."""

from pulseframes.lake.by_engine import days_of, fill, scan_table, stage_day
from pulseframes.lake.inspection import inspect_lake
from pulseframes.lake.lake import Lake, as_lake
from pulseframes.lake.state import STATE_FILE, LakeState, Refresh
from pulseframes.lake.storage import Store, open_store
from pulseframes.lake.upsert import Batch, Counts, Written, describe_rows
from pulseframes.tables.lake_tables import detail_failed, detail_is_current, in_window, is_active, recently_updated

__all__ = [
    "STATE_FILE",
    "Batch",
    "Counts",
    "Lake",
    "LakeState",
    "Refresh",
    "Store",
    "Written",
    "as_lake",
    "days_of",
    "describe_rows",
    "detail_failed",
    "detail_is_current",
    "fill",
    "in_window",
    "inspect_lake",
    "is_active",
    "open_store",
    "recently_updated",
    "scan_table",
    "stage_day",
]
