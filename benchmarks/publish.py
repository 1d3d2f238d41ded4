"""How long it takes to publish 20,000 sessions with 100,000 page views, all and one changed day; and to merge that day by key.

Run it with ``python benchmarks/publish.py``. It needs the extras ``delta`` and ``iceberg``, and pyiceberg's ``sql-sqlite``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog

import pulseframes as pf
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS, Table

SESSION_COUNT, VIEWS_EACH, DAYS = 20_000, 5, 28
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
#: The upsert of a whole day, 3,600 page views, takes minutes.
UPSERTED = 100


def filled(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    kinds = {name: kind for name, kind in table.schema.items() if name in rows.columns}
    return pl.concat([table.empty(), rows.cast(kinds)], how="diagonal")


def frames(ids: range, updated: datetime) -> pf.SessionFrames:
    sessions = pl.DataFrame({"session_id": pl.Series(ids, dtype=pl.Int64)}).with_columns(
        session_start=pl.lit(BEGIN) + pl.duration(seconds=pl.col("session_id") * (DAYS * 86_400 // SESSION_COUNT)),
        session_updated=pl.lit(updated),
        user_identifier=pl.format("user-{}", "session_id"),
        status=pl.lit("ended"),
        country=pl.lit("NZ"),
        page_view_count=pl.lit(VIEWS_EACH),
    )
    views = (
        sessions.select("session_id", view_index=pl.int_ranges(0, VIEWS_EACH))
        .explode("view_index")
        .with_columns(
            page=pl.format("https://shop.example.com/product/{}", pl.col("session_id") % 997),
            loading_time_ms=pl.col("session_id") * 7919 % 9000,
        )
    )
    return pf.SessionFrames(filled(SESSIONS, sessions), filled(PAGE_VIEWS, views), ERRORS.empty())


def timed(what: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    print(f"{what}: {time.perf_counter() - began:.2f} s", flush=True)
    return result


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lake = pf.Lake(folder / "lake")
        lake.write(frames(range(SESSION_COUNT), BEGIN + timedelta(days=40)))
        catalog = {"type": "sql", "uri": f"sqlite:///{folder}/c.db", "warehouse": f"file://{folder}/w"}
        places: dict[str, dict[str, Any]] = {
            "delta": {"destination": folder / "tables", "format": "delta"},
            "iceberg": {"destination": "pulse", "format": "iceberg", "catalog": catalog},
        }
        for kind, place in places.items():
            timed(f"{kind}: all days", lambda place=place: pf.publish(lake, **place))
            timed(f"{kind}: nothing changed", lambda place=place: pf.publish(lake, **place))
        lake.write(frames(range(SESSION_COUNT // DAYS), BEGIN + timedelta(days=41)))
        for kind, place in places.items():
            timed(f"{kind}: the first day changed", lambda place=place: pf.publish(lake, **place))
        views = lake.page_views().filter(date=BEGIN.date()).collect()
        key = list(PAGE_VIEWS.key)
        matched = " AND ".join(f"s.{column} = t.{column}" for column in key)
        merge = DeltaTable(folder / "tables" / "page_views").merge(views, matched, source_alias="s", target_alias="t")
        timed(
            f"delta: merge of its {len(views):,} page views by key",
            lambda: merge.when_matched_update_all().when_not_matched_insert_all().execute(),
        )
        table = load_catalog("default", **catalog).load_table("pulse.page_views")
        changed = views.head(UPSERTED).with_columns(loading_time_ms=pl.col("loading_time_ms") + 1).to_arrow()
        timed(f"iceberg: upsert of {UPSERTED} of its page views by key", lambda: table.upsert(changed, join_cols=key))


if __name__ == "__main__":
    main()
