"""A published table equals the lake's: after each publish, whatever was written, erased or interrupted before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import NOW, client_of

import pulseframes as pf
from publishing.places import FORMATS, Place, rows_of
from pulseframes.simulator import Simulator
from pulseframes.tables import LAKE_TABLES, partitioned

shared = import_module("pulseframes.publishing.publish")
WEEK = ("2026-11-09", "2026-11-16")
MEMORY = pf.Settings(home=":memory:")


@pytest.fixture(scope="module")
def shop() -> Iterator[Simulator]:
    with Simulator(sessions=400, now=NOW, daily_limit=None) as running:
        yield running


@pytest.fixture(scope="module")
def made(shop: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week with a sample of details."""
    folder = tmp_path_factory.mktemp("made") / "lake"
    with client_of(shop, changes={"home": ":memory:"}) as client:
        pf.sync(folder, *WEEK, details=30, client=client)
    return folder


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> pf.Lake:
    shutil.copytree(made, tmp_path / "lake")
    return pf.Lake(tmp_path / "lake")


@pytest.fixture(params=FORMATS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path / "published", request.param)


def summaries_of(shop: Simulator, day: date) -> pl.DataFrame:
    return shop.summaries().filter(pl.col("session_start").dt.date() == day)


def test_every_table_reads_back_equal_in_rows_columns_and_types(lake: pf.Lake, place: Place) -> None:
    report = place.publish(lake)
    place.check(lake)
    assert {name: table.rows for name, table in report.tables.items()} == {
        name: len(rows_of(lake, name)) for name in LAKE_TABLES
    }
    assert report.tables["page_views"].rows > 100
    assert place.rows("sessions").schema["session_start"] == pl.Datetime("us", "UTC")


def test_a_second_publish_changes_nothing(lake: pf.Lake, place: Place) -> None:
    assert place.publish(lake).changed
    before = sorted(place.folder.rglob("*"))
    again = place.publish(lake)
    assert not again.changed
    assert {table.rows for table in again.tables.values()} == {0}
    assert again.tables["sessions"].unchanged == 7
    assert sorted(place.folder.rglob("*")) == before


def test_only_days_that_changed_are_written(lake: pf.Lake, place: Place, shop: Simulator) -> None:
    place.publish(lake)
    day = date(2026, 11, 11)
    lake.write(summaries_of(shop, day).head(1).with_columns(session_updated=NOW))
    report = place.publish(lake)
    assert report.tables["sessions"].written == [day]
    assert report.tables["sessions"].unchanged == 6
    assert report.tables["design"].written == []
    place.check(lake)


def test_a_day_with_the_size_and_time_that_it_had_before_is_published(
    tmp_path: Path, place: Place, shop: Simulator
) -> None:
    lake, sizes = pf.Lake(tmp_path / "lake"), set[int]()
    for hour, name in enumerate(("Anna", "Otto")):
        changes = {"user_first_name": pl.lit(name), "session_updated": NOW + timedelta(hours=hour)}
        lake.write(shop.summaries().head(1).with_columns(**changes), fetched_at=NOW)
        [file] = (tmp_path / "lake" / "sessions").rglob("*.parquet")
        sizes.add(file.stat().st_size)
        os.utime(file, ns=(1, 1))
        place.publish(lake)
    assert len(sizes) == 1
    place.check(lake)


def test_a_user_erased_from_the_lake_vanishes_with_the_next_publish(lake: pf.Lake, place: Place) -> None:
    place.publish(lake)
    user = (
        lake.sessions().filter(pl.col("detail_fetched_at").is_not_null()).collect()["user_identifier"].drop_nulls()[0]
    )
    theirs = set(lake.sessions().filter(user_identifier=user).collect()["session_id"])
    pf.forget(lake, user, settings=MEMORY)
    place.publish(lake)
    for table in LAKE_TABLES:
        assert not theirs & set(place.rows(table)["session_id"])
    place.check(lake)


def test_days_that_the_lake_dropped_are_removed(lake: pf.Lake, place: Place) -> None:
    place.publish(lake)
    pf.retain(lake, 8, settings=MEMORY, clock=lambda: datetime(2026, 11, 20, tzinfo=UTC))
    report = place.publish(lake)
    assert report.tables["sessions"].removed == [date(2026, 11, day) for day in (9, 10, 11)]
    assert min(place.rows("sessions")["date"]) == date(2026, 11, 12)
    place.check(lake)
    assert not place.publish(lake).changed


def test_a_privacy_rule_of_the_lake_holds_in_its_tables(shop: Simulator, tmp_path: Path, place: Place) -> None:
    made = pf.Lake(tmp_path / "private", privacy=pf.PrivacyPolicy({"personal": "drop"}))
    made.write(shop.summaries().head(50))
    place.publish(made)
    rows = place.rows("sessions")
    assert rows["user_email_address"].null_count() == len(rows) == 50


def test_users_data_is_in_no_metadata_of_a_table(lake: pf.Lake, place: Place) -> None:
    place.publish(lake)
    emails = lake.sessions().collect()["user_email_address"].drop_nulls().str.head(12)
    assert len(emails) > 10
    files = [file for file in place.folder.rglob("*") if file.is_file()]
    metadata = [file for file in files if file.suffix != ".parquet" or "_delta_log" in file.parts]
    assert len(metadata) > len(LAKE_TABLES)
    for file in metadata:
        content = file.read_bytes()
        assert not [email for email in emails if email.encode() in content], file


def test_a_publish_that_is_overtaken_is_refused_and_changes_nothing(
    lake: pf.Lake, place: Place, shop: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(lake)
    lake.write(summaries_of(shop, date(2026, 11, 11)).with_columns(session_updated=NOW))
    read_day = pf.Lake.read_day
    overtaken = []

    def slow(self: pf.Lake, table: str, day: date) -> Any:
        found = read_day(self, table, day)
        if not overtaken:
            overtaken.append(day)
            place.publish(lake)
        return found

    monkeypatch.setattr(pf.Lake, "read_day", slow)
    with pytest.raises(pf.LakeError, match="another process changed the table"):
        place.publish(lake)
    place.check(lake)


def test_publishes_at_the_same_time_end_in_the_lake_s_rows(lake: pf.Lake, place: Place) -> None:
    def attempt(_number: int) -> str:
        try:
            return type(place.publish(pf.Lake(lake.location))).__name__
        except pf.LakeError as problem:
            return str(problem)

    with ThreadPoolExecutor(4) as pool:
        results = {*pool.map(attempt, range(4))}
    place.publish(lake)
    place.check(lake)
    refused = [text for text in results if text != "PublishReport"]
    assert [text for text in refused if "another process" not in text and place.format == "delta"] == []


def test_days_are_committed_in_batches(lake: pf.Lake, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_ROWS", 25)
    place.publish(lake)
    place.check(lake)
    assert not place.publish(lake).changed


def test_tables_of_another_lake_are_not_touched(lake: pf.Lake, place: Place, tmp_path: Path, shop: Simulator) -> None:
    place.publish(lake)
    other = pf.Lake(tmp_path / "other")
    other.write(shop.summaries().head(5))
    with pytest.raises(pf.LakeError, match="not published from this lake"):
        place.publish(other)
    place.check(lake)


def test_columns_that_an_older_table_lacks_are_added(
    lake: pf.Lake, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = pl.Schema({n: t for n, t in partitioned(LAKE_TABLES["sessions"]).items() if not n.startswith("settled")})
    with monkeypatch.context() as patch:
        for module in ("publish", "delta", "iceberg"):
            patch.setattr(
                import_module(f"pulseframes.publishing.{module}"),
                "partitioned",
                lambda table: older if table.name == "sessions" else partitioned(table),
            )
        read_day = pf.Lake.read_day

        def narrow(self: pf.Lake, table: str, day: date) -> Any:
            rows, version = read_day(self, table, day) or (pl.DataFrame(), "")
            return rows.drop([name for name in rows.columns if name.startswith("settled")]), version

        patch.setattr(pf.Lake, "read_day", narrow)
        patch.setattr(shared, "LAKE_VERSION", 5)
        place.publish(lake)
        assert "settled_at" not in place.rows("sessions").columns
    place.publish(lake)
    assert set(place.rows("sessions").columns) == {*partitioned(LAKE_TABLES["sessions"])}
    both = [frame.select(sorted(frame.columns)) for frame in (place.rows("sessions"), rows_of(lake, "sessions"))]
    assert both[0].sort("session_id").equals(both[1].sort("session_id"))
