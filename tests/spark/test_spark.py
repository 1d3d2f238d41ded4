"""Spark gives the tables that one machine gives, cell by cell, and reads a lake as polars does."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import documents
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyspark.errors import PySparkException
from support.documents import DETAIL, SUMMARY, detail_body, search_body

import pulseframes as pf
from pulseframes.client import JOURNAL_FILE, Journal
from pulseframes.client.journal import Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.fetch import replay as replaying
from pulseframes.fetch.replay import ReplayReport, replay_journal
from pulseframes.fetch.sync_report import Loader
from pulseframes.flatten import ANSWERS
from pulseframes.lake import scan_table
from pulseframes.query import EVER
from pulseframes.spark import SparkFrames, flatten, merge, register, write_lake
from pulseframes.spark.__main__ import main
from pulseframes.spark.schemas import from_batch
from pulseframes.tables import LAKE_TABLES, REJECTED, TABLES, partitioned

pytestmark = [
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Py4J's sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyspark"),
]

APPLICATION = "shop"
START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def journal_of(home: Path, answers: Sequence[tuple[str, bytes]], *, apart: timedelta = timedelta(minutes=5)) -> Path:
    """Write a journal of responses, in this order."""
    home.mkdir()
    times = iter(START + number * apart for number in range(10**6))
    journal = Journal(home / JOURNAL_FILE, clock=lambda: next(times))
    for endpoint, body in answers:
        call_id = journal.reserve(Request(APPLICATION, endpoint, counted=False), QuotaRule(1))
        journal.complete(call_id, "answered", status=200, body=body)
    journal.close()
    return home


def raw_of(spark: Any, home: Path) -> Any:
    """Return the raw export of a journal as a Spark frame."""
    pf.export_raw(home.parent / "raw", settings=pf.Settings(home=home))
    return spark.read.parquet(str(home.parent / "raw"))


def local_lake(home: Path, folder: Path) -> pf.Lake:
    """Load a journal into a lake as a sync does."""
    lake = pf.Lake(folder)
    loader = Loader(lake)
    journal = Journal(home / JOURNAL_FILE)
    for records, endpoint in replaying._batches(journal, APPLICATION, *EVER):
        parsed = replaying._parsed(records, endpoint, ReplayReport())
        loader.load(parsed, endpoint, [record.at for record in records])
    return lake


def polars_of(frame: Any) -> pl.DataFrame:
    return from_batch(frame.toArrow())


def same(frame: Any, expected: pl.DataFrame, *dropped: str) -> None:
    """Assert that a Spark frame has the rows of a polars frame, in any order."""
    wanted = expected.drop(dropped)
    rows = (polars_of(frame) if not isinstance(frame, pl.DataFrame) else frame).select(wanted.columns)
    assert_frame_equal(rows.sort(rows.columns), wanted.sort(rows.columns))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 sessions, of which one in fifty breaks the schema, and answers that are no JSON or not UTF-8."""
    pages, details = documents.summaries(3_000), documents.details(3_000)
    answers = [("sessions", body) for body in documents.broken_lists(pages, 0.02)]
    answers += [("session", body) for body in documents.broken(details, 0.02)]
    answers += [("session", b"<html>"), ("sessions", b"{}"), ("session", detail_body(id=7).replace(b"string", b"\xff"))]
    random.Random(2).shuffle(answers)
    return journal_of(tmp_path_factory.mktemp("spark") / "home", answers, apart=timedelta(seconds=90))


@pytest.fixture(scope="module")
def raw(spark: Any, home: Path) -> Any:
    return raw_of(spark, home)


@pytest.fixture(scope="module")
def merged(raw: Any) -> SparkFrames:
    frames = merge(flatten(raw))
    for frame in frames.tables().values():
        frame.persist()
    return frames


@pytest.fixture(scope="module")
def lake(home: Path) -> pf.Lake:
    return local_lake(home, home.parent / "lake")


def test_the_merged_tables_equal_those_of_a_lake_cell_by_cell(merged: SparkFrames, lake: pf.Lake) -> None:
    for name in TABLES:
        expected = scan_table(lake, name).collect()
        assert len(expected) > 100
        same(getattr(merged, name), expected)
    rejected = polars_of(merged.rejected)
    assert sorted(rejected.filter(table=ANSWERS)["raw_json"]) == ["<html>", "{}"]
    same(rejected.filter(pl.col("table") != ANSWERS), lake.rejected().collect().unique(), "fetched_at", "date")
    assert len(rejected) > 100


def test_the_merged_tables_equal_those_of_a_replay(merged: SparkFrames, home: Path, tmp_path: Path) -> None:
    replay_journal(tmp_path, settings=pf.Settings(home=home))
    for name in TABLES:
        same(getattr(merged, name), pl.read_parquet(tmp_path / f"{name}.parquet"))


def versions(seed: int) -> list[tuple[str, bytes]]:
    """Return answers about a few sessions, some of them about the same moment, and some of the future."""
    chance = random.Random(seed)
    answers = []
    for number in range(150):
        updated = chance.choice([f"2026-11-20T1{chance.randrange(4)}:00:00Z", None, "2031-01-01T00:00:00Z"])
        known = {"id": chance.randrange(12), "sessionUpdated": updated, "status": chance.choice(["active", "ended"])}
        if chance.random() < 0.5:
            views = [DETAIL["pageViews"][0] | {"page": f"/{number}/{view}"} for view in range(chance.randrange(3))]
            answers.append(
                ("session", detail_body(**known, pageViews=views, satisfactionRating=chance.choice(["Good", "Poor"])))
            )
        else:
            answers.append(("sessions", search_body(SUMMARY | known | {"pageViewCount": number})))
    return answers


@pytest.mark.parametrize("seed", range(2))
def test_the_rule_of_merging_is_the_lakes_in_whatever_order_spark_reads(
    seed: int, spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = journal_of(tmp_path / "home", versions(seed))
    monkeypatch.setattr(replaying, "BATCH_BYTES", 1)  # one answer after the other, as Spark below
    lake = local_lake(home, tmp_path / "lake")
    before = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "1")
    try:
        raw = raw_of(spark, home)
        raw = raw.union(raw.limit(40)).repartition(5)  # some answers are there twice
        merged = merge(flatten(raw))
        for name in TABLES:
            same(getattr(merged, name), scan_table(lake, name).collect())
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", before)


def test_a_lake_that_spark_wrote_is_one(merged: SparkFrames, lake: pf.Lake, tmp_path: Path) -> None:
    written = write_lake(merged, tmp_path / "lake")
    again = pf.Lake(tmp_path / "lake")
    for name in TABLES:
        assert_frame_equal(scan_table(again, name).collect(), scan_table(lake, name).collect(), check_row_order=False)
        assert written[name] == scan_table(again, name).select(pl.len()).collect().item()
    assert pf.traffic(again).equals(pf.traffic(lake))
    for path in lake.store.list("sessions"):
        assert (tmp_path / "lake" / path).read_bytes() == lake.store.read(path)
    with pytest.raises(pf.LakeError, match="has rows already"):
        write_lake(merged, tmp_path / "lake")


def test_a_job_that_fails_leaves_no_rows_and_is_run_again(merged: SparkFrames, tmp_path: Path) -> None:
    broken = replace(
        merged,
        errors=merged.errors.selectExpr("*", "raise_error(title) as wrong")
        .drop("title")
        .withColumnRenamed("wrong", "title"),
    )
    with pytest.raises(PySparkException):
        write_lake(broken, tmp_path / "lake")
    assert pf.Lake(tmp_path / "lake").sessions().collect().is_empty()
    assert write_lake(merged, tmp_path / "lake")["sessions"] > 2_900


@pytest.mark.parametrize("table", LAKE_TABLES)
def test_the_data_source_reads_each_table_of_a_lake(spark: Any, lake: pf.Lake, table: str) -> None:
    register(spark)
    frame = spark.read.format("pulseframes").option("table", table).load(lake.location)
    assert frame.columns == partitioned(LAKE_TABLES[table]).names()
    same(frame, scan_table(lake, table).collect())


FILTERS = {
    "date = '2026-11-10'": pl.col("date") == date(2026, 11, 10),
    "date >= '2026-11-10' and country = 'NZ'": (pl.col("date") >= date(2026, 11, 10)) & (pl.col("country") == "NZ"),
    "date in ('2026-11-10', '2026-11-12') and page_view_count > 3": pl.col("date").is_in(
        [date(2026, 11, 10), date(2026, 11, 12)]
    )
    & (pl.col("page_view_count") > 3),
    "country is null or session_id < 0": pl.col("country").is_null() | (pl.col("session_id") < 0),
    "country is null": pl.col("country").is_null(),
    "country <> 'NZ'": pl.col("country") != "NZ",
    "user_is_anonymous = true and os_name like 'W%'": pl.col("user_is_anonymous")
    & pl.col("os_name").str.starts_with("W"),
    "session_start < timestamp '2026-11-10 12:00:00+00:00'": pl.col("session_start")
    < datetime(2026, 11, 10, 12, tzinfo=UTC),
}


@pytest.mark.parametrize("condition", FILTERS)
def test_a_filter_of_the_data_source_selects_the_same_rows(spark: Any, lake: pf.Lake, condition: str) -> None:
    register(spark)
    frame = spark.read.format("pulseframes").load(lake.location).where(condition)
    same(frame, lake.sessions().filter(FILTERS[condition]).collect())


def test_a_filter_on_the_day_opens_the_files_of_that_day_only(spark: Any, lake: pf.Lake) -> None:
    register(spark)
    source = spark.read.format("pulseframes")
    assert source.load(lake.location).where("date = '2026-11-10'").rdd.getNumPartitions() == 1
    days = lake.sessions().select(pl.col("date").n_unique()).collect().item()
    assert source.load(lake.location).rdd.getNumPartitions() == days > 20


def test_only_the_columns_of_a_schema_are_read(spark: Any, lake: pf.Lake) -> None:
    register(spark)
    frame = spark.read.format("pulseframes").schema("country string, date date").load(lake.location)
    same(frame, lake.sessions().select("country", "date").collect())


def test_the_command_makes_a_lake_of_a_raw_export(
    raw: Any,
    home: Path,
    lake: pf.Lake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(type(raw.sparkSession), "stop", lambda _: None)  # other tests need it
    assert main([str(home.parent / "raw"), str(tmp_path / "lake")]) == 0
    count = lake.sessions().select(pl.len()).collect().item()
    assert f"{count:,} sessions" in capsys.readouterr().out
    assert main([str(home.parent / "raw"), str(tmp_path / "lake")]) == 1
    assert "has rows already" in capsys.readouterr().err


def test_rejected_has_the_columns_of_a_lake(merged: SparkFrames) -> None:
    assert merged.rejected.columns == [*REJECTED.schema.names(), "fetched_at", "date"]


@pytest.mark.usefixtures("raw")
def test_the_blocks_of_the_page_on_clusters_run(spark: Any, lake: pf.Lake) -> None:
    folder = Path(lake.location).parent  # Spark's processes do not follow a change of the working folder
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    blocks = [
        block
        for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if "make spark" in block
    ]
    assert len(blocks) == 2
    for block in blocks:
        code = re.sub(r'"(raw|lake|lake-of-frames)"', lambda name: repr(str(folder / name[1])), block)
        exec(compile(code, "cluster.md", "exec"), {"spark": spark})
