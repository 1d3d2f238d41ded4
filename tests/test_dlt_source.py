"""A lake is loaded into a warehouse by dlt: the same rows, only the days that changed, and no call for what is there."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import polars.selectors as cs
import pytest
from conftest import NOW, Clock, client_of
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.lake.storage import LocalStore
from pulseframes.simulator import Simulator
from pulseframes.tables import LAKE_TABLES

dlt = pytest.importorskip("dlt")

from dlt.pipeline.exceptions import PipelineStepFailed  # noqa: E402

from pulseframes.dlt import source  # noqa: E402

WEEK = ("2026-11-09", "2026-11-16")


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    warnings.simplefilter("ignore", pf.IncompleteWarning)  # a simulated visitor may have viewed 500 pages
    return pipeline_of(tmp_path)


def pipeline_of(folder: Path) -> Any:
    destination = dlt.destinations.duckdb(str(folder / "warehouse.duckdb"))
    return dlt.pipeline("rum", pipelines_dir=str(folder / "dlt"), destination=destination, dataset_name="rum")


def loaded(pipeline: Any, table: str) -> pl.DataFrame:
    path = Path(pipeline.working_dir).parents[1] / "warehouse.duckdb"
    with duckdb.connect(path) as database:
        rows = database.sql(f"SELECT * FROM rum.{table}").pl()
    return rows.with_columns(cs.datetime(time_zone="*").dt.convert_time_zone("UTC"))  # from that of this machine


def check_equal(pipeline: Any, lake: pf.Lake) -> None:
    """Each table that has rows is the lake's, to the types."""
    for name, table in LAKE_TABLES.items():
        rows = getattr(lake, name)().collect()
        if rows.is_empty() and name not in pipeline.default_schema.tables:
            continue
        key = list(table.key) or rows.columns
        assert_frame_equal(loaded(pipeline, name).select(rows.columns).sort(key), rows.sort(key))


def rows_loaded(pipeline: Any) -> dict[str, int]:
    counts = pipeline.last_trace.last_normalize_info.row_counts
    return {name: count for name, count in counts.items() if not name.startswith("_dlt")}


def test_loading_twice_gives_equal_rows_and_spends_no_second_call(
    pipeline: Any, client: pf.PulseClient, simulator: Simulator
) -> None:
    lake = pf.Lake("lake")
    pipeline.run(source(lake, *WEEK, details=20, client=client))
    check_equal(pipeline, lake)
    assert lake.page_views().collect().height > 20
    types = loaded(pipeline, "sessions").schema
    assert types["session_id"] == pl.Int64
    assert types["session_start"] == pl.Datetime("us", "UTC")
    calls = len(simulator.requests)
    pipeline.run(source(lake, *WEEK, client=client))
    assert len(simulator.requests) == calls
    assert rows_loaded(pipeline) == {}
    check_equal(pipeline, lake)


def test_only_days_that_changed_are_loaded_again_and_nothing_stays_of_what_the_lake_lost(
    pipeline: Any, client: pf.PulseClient
) -> None:
    lake = pf.Lake("lake")
    sessions = pf.search_sessions(*WEEK, client=client)
    details = pf.session_details(sessions.filter(pl.col("page_view_count") > 2)["session_id"].head(30), client=client)
    lake.write(sessions)
    lake.write(details)
    pipeline.run(source(lake))
    check_equal(pipeline, lake)

    # One session has changed: it has fewer page views, and no errors.
    (one,) = details.sessions.filter(pl.col("session_id").is_in(details.errors["session_id"])).head(1).rows(named=True)
    is_one = pl.col("session_id") == one["session_id"]
    changed = details.sessions.filter(is_one).with_columns(
        session_updated=pl.lit(datetime(2026, 11, 19, tzinfo=UTC), pl.Datetime("us", "UTC")),
        satisfaction_rating=pl.lit("Poor"),
    )
    views = details.page_views.filter(is_one).head(1)
    lake.write(pf.SessionFrames(changed, views, details.errors.clear(), missing=[], rejected=details.rejected))
    pipeline.run(source(lake))
    check_equal(pipeline, lake)
    day = one["session_start"].date()
    of_day = lake.sessions().filter(date=day).collect()
    assert rows_loaded(pipeline)["sessions"] == len(of_day)
    assert loaded(pipeline, "page_views").filter(is_one).height == 1
    assert loaded(pipeline, "errors").filter(is_one).height == 0

    # Days are gone from the lake, and then all of them.
    for days, left in ((5, 1), (1, 0)):
        pf.retain(lake, days=days, clock=lambda: NOW)
        assert lake.sessions().collect()["date"].n_unique() == left
        pipeline.run(source(lake))
        check_equal(pipeline, lake)

    lake.write(sessions)
    pipeline.run(source(lake))
    assert rows_loaded(pipeline) == {"sessions": len(sessions)}
    check_equal(pipeline, lake)
    pipeline.run(source(lake))
    assert rows_loaded(pipeline) == {}


def test_each_file_is_read_as_often_for_many_days_as_for_few(
    pipeline: Any, client: pf.PulseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = pf.Lake("lake")
    lake.write(pf.search_sessions("2026-11-02", "2026-11-16", client=client))
    reads = Counter[str]()
    read = LocalStore.read

    def counted(store: LocalStore, path: str) -> bytes | None:
        reads[path] += 1
        return read(store, path)

    monkeypatch.setattr(LocalStore, "read", counted)
    monkeypatch.setattr(pf.Lake, "_scan", None)  # it reads all files
    pipeline.run(source(lake))
    monkeypatch.undo()
    files = {path: count for path, count in reads.items() if path.endswith(".parquet")}
    assert len(files) == 14
    assert max(files.values()) <= 2


def test_rows_that_changed_while_they_were_loaded_are_recorded_as_they_were_read(
    pipeline: Any, client: pf.PulseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = pf.Lake("lake")
    lake.write(pf.search_sessions(*WEEK, client=client))
    versions = pf.Lake.versions
    with monkeypatch.context() as before:
        before.setattr(pf.Lake, "versions", lambda lake, table: dict.fromkeys(versions(lake, table), "older"))
        pipeline.run(source(lake))
    pipeline.run(source(lake))
    assert rows_loaded(pipeline) == {}
    check_equal(pipeline, lake)


def test_a_run_without_enough_calls_loads_what_came_and_the_next_one_resumes(
    pipeline: Any, simulator: Simulator, clock: Clock
) -> None:
    lake = pf.Lake("lake")

    def run(limit: int) -> None:
        with client_of(simulator, changes={"daily_limit": limit}, clock=clock, sleep=clock.sleep) as client:
            pipeline.run(source(lake, *WEEK, details=20, design="newest", client=client))
        check_equal(pipeline, lake)

    warnings.simplefilter("error", pf.IncompleteWarning)
    with pytest.warns(
        pf.IncompleteWarning, match=r"Daily quota used up \(13 .* is loaded; run the pipeline again after"
    ):
        run(limit=9)
    assert loaded(pipeline, "page_views")["session_id"].n_unique() == 7
    run(limit=29)
    assert len(simulator.requests) == 29
    assert loaded(pipeline, "page_views")["session_id"].n_unique() == 7 + 20


def test_another_applications_lake_is_refused(pipeline: Any, client: pf.PulseClient) -> None:
    pf.sync("lake", *WEEK, client=client)
    pipeline.run(source("lake"))
    with Simulator(sessions=50, now=NOW, api_key="another") as other, client_of(other) as stranger:
        with pytest.raises(PipelineStepFailed, match="another application's lake"):
            pipeline.run(source("other", *WEEK, client=stranger))
    check_equal(pipeline, pf.Lake("lake"))


def test_without_dlt_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlt", None)
    with pytest.raises(ImportError, match=r"pip install 'pulseframes\[dlt\]'"):
        source("lake")


def test_what_is_not_a_lake_is_refused_by_name() -> None:
    with pytest.raises(pf.InvalidQuery, match="lake must be a Lake"):
        source(5)  # type: ignore[arg-type]  # refused


@pytest.mark.parametrize("argument", [{"date_to": "2026-11-12"}, {"details": 5}, {"design": "newest"}])
def test_an_argument_of_a_sync_that_would_not_run_is_refused(argument: dict[str, Any]) -> None:
    with pytest.raises(pf.InvalidQuery, match="without date_from, nothing is synced. Add date_from") as caught:
        source("lake", **argument)
    assert [caught.value.argument] == [*argument]


@contextmanager
def leaving_no_copies() -> Iterator[None]:
    options = ("load.truncate_staging_dataset", "load.delete_completed_jobs")
    for name in options:
        dlt.config[name] = True
    yield
    for name in options:
        dlt.config[name] = False


def copies_of(person: str, pipeline: Any) -> list[str]:
    """Return the tables and files of a load that name a person."""
    path = Path(pipeline.working_dir).parents[1] / "warehouse.duckdb"
    with duckdb.connect(path) as database:
        found = database.sql(
            "SELECT table_schema || '.' || table_name FROM information_schema.columns WHERE column_name = 'user_identifier'"
        ).fetchall()
        tables = [
            table
            for (table,) in found
            if database.sql(f"SELECT * FROM {table} WHERE user_identifier = '{person}'").fetchall()
        ]
    files = [
        file for file in Path(pipeline.working_dir).rglob("*.parquet") if person in str(pl.read_parquet(file).rows())
    ]
    return tables + [file.name for file in files]


@pytest.mark.parametrize("before", ["loaded", "killed", "loaded without the settings"])
def test_an_erased_person_is_in_no_copy_after_the_steps_of_the_guide(
    pipeline: Any, client: pf.PulseClient, tmp_path: Path, before: str
) -> None:
    lake = pf.Lake("lake")
    pf.sync(lake, *WEEK, client=client)
    person = lake.sessions().collect()["user_identifier"].drop_nulls()[0]
    if before == "killed":
        pipeline.extract(source(lake))
        pipeline.normalize()
    elif before == "loaded":
        with leaving_no_copies():
            pipeline.run(source(lake))
    else:
        pipeline.run(source(lake))
    assert copies_of(person, pipeline)
    pf.forget(lake, person, settings=client.settings)
    if before == "loaded without the settings":
        shutil.rmtree(pipeline.working_dir)
        pipeline = pipeline_of(tmp_path)
    with leaving_no_copies():
        for _ in range(2):
            pipeline.run(source(lake))
    assert copies_of(person, pipeline) == []
    check_equal(pipeline, lake)
