"""The same lake in a bucket: synced, queried, read by other tools and erased from, with an S3 server on this machine."""

from __future__ import annotations

import io
from datetime import timedelta

import duckdb
import polars as pl
import pytest
import requests
from conftest import Clock, client_of
from polars.testing import assert_frame_equal

import pulseframes as pf
from lake.test_lake import START, session_rows
from lake.test_remote_storage import _no_cloud_of_the_developer, endpoint, options, url  # noqa: F401  pytest finds them here
from pulseframes.lake.commit import COMMIT_FILE
from pulseframes.simulator import Simulator
from pulseframes.tables import TABLES


def test_a_bucket_holds_the_same_lake_as_a_folder(
    url: str,  # noqa: F811  the fixture
    options: dict[str, str],  # noqa: F811  the fixture
    tmp_path_factory: pytest.TempPathFactory,
    clock: Clock,
) -> None:
    folder = pf.Lake(tmp_path_factory.mktemp("lakes") / "lake")
    bucket = pf.Lake(url, storage_options=options)
    with (
        Simulator(sessions=60, days=6, now=clock.now, daily_limit=None) as shop,
        client_of(shop, clock=clock) as client,
    ):
        window = (shop.begin, clock.now - timedelta(days=2))
        for lake in (folder, bucket):
            pf.sync(lake, *window, details="all", client=client)
        assert pf.sync(bucket, *window, client=client).calls_spent == 0
        assert pf.plan(bucket, *window, client=client).calls == 0
    for name in TABLES:
        scans = [getattr(lake, name)().sort(TABLES[name].key).collect() for lake in (folder, bucket)]
        assert_frame_equal(*scans)
    question = "select date, count(*), count(distinct user_id) from sessions group by date order by date"
    assert_frame_equal(bucket.sql(question), folder.sql(question))
    read = pl.read_parquet(f"{url}/sessions/**/*.parquet", storage_options=options, hive_partitioning=True)
    assert len(read) == len(folder.sessions().collect()) > 25
    assert bucket.store.list("_pulseframes") == ["_pulseframes/lake.json"]

    user = read.drop_nulls("user_identifier")["user_identifier"][0]
    done = pf.forget(bucket, user, settings=pf.Settings(home=":memory:"))
    assert done.lake is not None
    assert done.lake.rows["sessions"] >= 1
    assert bucket.sessions().filter(user_identifier=user).collect().is_empty()
    assert duckdb.sql("select 1").fetchall() == [(1,)]
    pf.retain(bucket, 4, settings=pf.Settings(home=":memory:"), clock=clock)
    assert min(bucket.sessions().collect()["date"]) >= (clock.now - timedelta(days=4)).date()


def test_a_writer_that_dies_in_a_bucket_is_finished_by_the_next(
    url: str,  # noqa: F811  the fixture
    options: dict[str, str],  # noqa: F811  the fixture
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = simulator.summaries()
    lake = pf.Lake(url, storage_options=options)
    lake.write(sessions.head(100))
    moves = iter([True, True])
    move = lake.store.move

    def dies(source: str, target: str) -> None:
        if not next(moves, False):
            raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr(lake.store, "move", dies)
    with pytest.raises(KeyboardInterrupt):
        lake.write(sessions)
    assert COMMIT_FILE in lake.store.list("_pulseframes")
    with pf.Lake(url, storage_options=options).locked():
        pass
    assert len(lake.sessions().collect()) == len(sessions)
    assert lake.store.list("_pulseframes") == ["_pulseframes/lake.json"]


def test_folder_markers_and_folders_of_the_form_key_value_are_no_files_and_no_partitions(
    url: str,  # noqa: F811  the fixture
    options: dict[str, str],  # noqa: F811  the fixture
) -> None:
    """Consoles, Hadoop and rclone put an empty object where they show a folder."""
    lake = pf.Lake(f"{url}/env=prod/lake", storage_options=options)

    def mark(*folders: str) -> None:
        for folder in folders:
            place = lake.location.replace("s3:/", options["aws_endpoint_url"])
            assert requests.put(f"{place}/{folder}", timeout=10).ok

    mark("", "sessions/")
    lake.write(session_rows({"session_id": 1}))
    mark("page_views/", "errors", "sessions/date=2026-11-01/", "sessions/date=2026-11-02")
    lake.write(session_rows({"session_id": 2}))
    assert sorted(lake.sessions().collect()["session_id"]) == [1, 2]
    assert lake.sessions().filter(date=START.date()).collect().height == 2
    assert lake.sql("SELECT count(*) FROM sessions").item() == 2


def test_sql_checks_the_columns_of_each_file_that_it_opens_in_a_bucket(
    url: str,  # noqa: F811  the fixture
    options: dict[str, str],  # noqa: F811  the fixture
) -> None:
    lake = pf.Lake(url, storage_options=options)
    lake.write(session_rows({"session_id": 1}, {"session_id": 2, "session_start": START + timedelta(days=5)}))
    pl.DataFrame({"id": [1]}).write_parquet(other := io.BytesIO())
    lake.store.write("sessions/date=2026-11-01/data.parquet", other.getvalue())
    with pytest.raises(
        pf.LakeError, match=r"2026-11-01/data\.parquet does not have the columns of sessions: session_id"
    ):
        lake.sql("SELECT count(*) FROM sessions")
    assert lake.sql("SELECT session_id FROM sessions WHERE date > '2026-11-01'").item() == 2
