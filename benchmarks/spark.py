"""Raw answers to tables: Spark on this machine's cores beside the single-machine path, on the same input, and whether both are equal.

Usage: python benchmarks/spark.py [SESSIONS]

Prints a line of JSON. One in 200 sessions breaks the schema. `make spark-bench` runs it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import documents
import polars as pl
from polars.testing import assert_frame_equal
from pyspark.sql import SparkSession

import pulseframes as pf
from pulseframes.client import JOURNAL_FILE, Journal
from pulseframes.client.journal import Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.fetch.replay import replay_journal
from pulseframes.flatten import ANSWERS
from pulseframes.spark import flatten, merge, write_lake
from pulseframes.tables import REJECTED, TABLES


def main(sessions: int) -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = _journal(folder / "home", sessions)
        export = _seconds(lambda: pf.export_raw(folder / "raw", settings=settings))
        local = _seconds(lambda: replay_journal(folder / "local", settings=settings))
        spark = _session(folder)
        started = _seconds(lambda: spark.range(1).mapInArrow(lambda batches: batches, "id long").count())
        raw = spark.read.parquet(str(folder / "raw"))
        flat = flatten(raw)
        flattened = _seconds(
            lambda: [frame.write.format("noop").mode("overwrite").save() for frame in flat.tables().values()]
        )
        to_lake = _seconds(lambda: write_lake(merge(flatten(raw)), folder / "lake"))
        spark.stop()
        rows = _compare(folder)
    seconds = {
        "export": export,
        "local": local,
        "spark_start": started,
        "spark_flatten": flattened,
        "spark_to_lake": to_lake,
    }
    print(json.dumps({"sessions": sessions, "rows": rows, "equal": True, "seconds": seconds, "sessions_per_second": {
        name: round(sessions / seconds[name]) for name in ("local", "spark_to_lake")
    }}))  # fmt: skip


def _journal(home: Path, sessions: int) -> pf.Settings:
    answers = [("sessions", body) for body in documents.broken_lists(documents.summaries(sessions), 0.005)]
    answers += [("session", body) for body in documents.broken(documents.details(sessions), 0.005)]
    home.mkdir()
    journal = Journal(home / JOURNAL_FILE)
    with journal.transaction():
        for endpoint, body in answers:
            call_id = journal.reserve(Request("shop", endpoint, counted=False), QuotaRule(1))
            journal.complete(call_id, "answered", status=200, body=body)
    journal.close()
    return pf.Settings(home=home)


def _session(folder: Path) -> SparkSession:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    options = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.driver.memory": "2g",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "5000",
        "spark.local.dir": str(folder),
    }
    builder: Any = SparkSession.builder.master("local[2]")
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _compare(folder: Path) -> dict[str, int]:
    """Compare each cell, and return the rows of each table."""
    rows = {}
    for name in (*TABLES, REJECTED.name):
        local = pl.read_parquet(folder / "local" / f"{name}.parquet")
        lake = pl.read_parquet(folder / "lake" / name / "*" / "data.parquet").select(local.columns)
        if name == REJECTED.name:
            local, lake = local.unique(), lake.filter(pl.col("table") != ANSWERS)
        assert_frame_equal(lake.sort(local.columns), local.sort(local.columns))
        rows[name] = len(local)
    return rows


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
