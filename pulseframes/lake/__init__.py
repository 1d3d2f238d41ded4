"""Sessions kept as Parquet files that any tool reads."""

from pulseframes.lake.commit import Commit
from pulseframes.lake.files import Days, days_of
from pulseframes.lake.filters import detail_failed, detail_is_current, in_window, is_active, recently_updated
from pulseframes.lake.lake import Lake, as_lake
from pulseframes.lake.opening import check_place
from pulseframes.lake.state import STATE_FILE, LakeState, Refreshing
from pulseframes.lake.upsert import Batch, Counts, Written

__all__ = [
    "STATE_FILE",
    "Batch",
    "Commit",
    "Counts",
    "Days",
    "Lake",
    "LakeState",
    "Refreshing",
    "Written",
    "as_lake",
    "check_place",
    "days_of",
    "detail_failed",
    "detail_is_current",
    "in_window",
    "is_active",
    "recently_updated",
]
