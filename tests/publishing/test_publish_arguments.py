"""Where a lake can be published, and what is said of a place where it cannot; the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import requests
from conftest import Run
from lake.test_remote_storage import _no_cloud_of_the_developer, options, url  # noqa: F401  pytest finds them here
from polars.testing import assert_frame_equal
from pyiceberg.utils.config import Config

import pulseframes as pf
from publishing.places import FORMATS, Place, rows_of
from pulseframes.tables import LAKE_TABLES, SESSIONS

BEGIN = datetime(2026, 11, 9, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 server in a process of its own: deltalake lets no other thread of this one run while it waits for an answer."""
    serve = (
        "from moto.server import ThreadedMotoServer as Server; server = Server('127.0.0.1', 0, verbose=False); server.start(); "
        "print(*server.get_host_and_port(), flush=True); input()"
    )
    command = [sys.executable, "-c", serve]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            host, port = server.stdout.readline().split()
            assert requests.put(f"http://{host}:{port}/lake", timeout=10).ok  # the bucket
            yield f"http://{host}:{port}"
        finally:
            server.kill()


@pytest.fixture
def lake(tmp_path: Path) -> pf.Lake:
    made = pf.Lake(tmp_path / "lake")
    made.write(sessions())
    return made


def sessions() -> pl.DataFrame:
    columns = {"session_id": [1, 2], "session_start": [BEGIN] * 2, "user_identifier": ["jane-of-the-lake", "joe"]}
    frame = pl.DataFrame({name: pl.Series(values, dtype=SESSIONS.schema[name]) for name, values in columns.items()})
    return pl.concat([SESSIONS.empty(), frame], how="diagonal")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "hudi"}, "format must be one of delta, iceberg"),
        ({"destination": ""}, "destination must be a folder or an address, such as 'published'"),
        ({"destination": "ftp://host/folder"}, r"destination: unknown scheme ftp://. Delta tables are in a folder"),
        ({"destination": "s3://bucket/x?token=secret"}, "destination: "),
        ({"catalog": "prod"}, "catalog: only the format iceberg has one"),
        ({"storage_options": {"aws_region": "x"}}, "storage_options"),
        ({"format": "iceberg", "storage_options": {}}, "storage_options: only the format delta takes them"),
        ({"format": "iceberg", "destination": Path("x")}, "destination must be a namespace, such as 'pulse'"),
        ({"format": "iceberg", "catalog": {}}, "catalog must be a name, such as 'default'"),
        ({"format": "iceberg", "catalog": "undeclared"}, "no usable catalog 'undeclared'"),
    ],
)
def test_invalid_arguments_are_refused_with_a_valid_example(
    lake: pf.Lake, arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYICEBERG_HOME", str(tmp_path))
    with pytest.raises(pf.InvalidQuery, match=message) as caught:
        pf.publish(lake, **({"destination": str(tmp_path / "published"), "format": "delta"} | arguments))
    assert caught.value.argument in arguments
    assert "secret" not in str(caught.value)


def test_tables_are_never_put_into_the_lake(lake: pf.Lake, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    before = sorted((tmp_path / "lake").rglob("*"))
    for destination in (
        lake.location,
        tmp_path / "lake" / "sessions",
        tmp_path / "link",
        tmp_path / "lake" / ".." / "lake",
    ):
        with pytest.raises(pf.InvalidQuery, match="would mix with the files of the lake"):
            pf.publish(lake, destination, format="delta")
    assert sorted((tmp_path / "lake").rglob("*")) == before


@pytest.mark.parametrize("letter", "%\\[]^|*?")
def test_a_path_that_deltalake_misreads_is_refused_before_anything_is_written(
    lake: pf.Lake, tmp_path: Path, letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pf.InvalidQuery, match="^destination: Delta tables cannot be in a path with ") as caught:
        pf.publish(lake, tmp_path / f"a{letter}41b" / "published", format="delta")
    assert caught.value.argument == "destination"
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]
    (tmp_path / f"c{letter}").mkdir()
    monkeypatch.chdir(tmp_path / f"c{letter}")
    with pytest.raises(pf.InvalidQuery, match="^destination: Delta tables cannot be in a path with "):
        pf.publish(lake, "published", format="delta")
    assert not [*(tmp_path / f"c{letter}").iterdir()]


@pytest.mark.parametrize("name", ["with space", "é", "#;&+=~<>'{}()!@$,:"])
def test_other_paths_are_published_to_twice_and_read_by_deltalake(lake: pf.Lake, tmp_path: Path, name: str) -> None:
    from deltalake import DeltaTable

    assert pf.publish(lake, tmp_path / name, format="delta").changed
    assert not pf.publish(lake, tmp_path / name, format="delta").changed
    table = DeltaTable(tmp_path / name / "sessions").to_pyarrow_table(columns=["session_id"])
    assert sorted(table["session_id"].to_pylist()) == [1, 2]


def test_a_folder_with_other_files_is_left_alone(lake: pf.Lake, tmp_path: Path) -> None:
    place = tmp_path / "published" / "sessions"
    place.mkdir(parents=True)
    sessions().write_parquet(place / "mine.parquet")
    with pytest.raises(pf.LakeError, match="has files, and is not a Delta table"):
        pf.publish(lake, tmp_path / "published", format="delta")
    assert [file.name for file in place.iterdir()] == ["mine.parquet"]


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_table_that_somebody_else_made_is_left_alone(lake: pf.Lake, tmp_path: Path, table_format: str) -> None:
    place = Place(tmp_path / "published", table_format)
    rows = sessions().select("session_id")
    if table_format == "delta":
        rows.write_delta(str(place.location("sessions")))
    else:
        catalog = place.catalog()
        catalog.create_namespace("pulse")
        catalog.create_table("pulse.sessions", rows.to_arrow().schema).append(rows.to_arrow())
    with pytest.raises(pf.LakeError, match="not published from this lake"):
        place.publish(lake)
    assert_frame_equal(place.rows("sessions"), rows)


def test_where_there_is_no_lake_nothing_is_created(tmp_path: Path) -> None:
    for table_format in FORMATS:
        place = Place(tmp_path / table_format, table_format)
        with pytest.raises(pf.LakeError, match="No lake at"):
            place.publish(pf.Lake(tmp_path / "none"))
        assert not (tmp_path / table_format / "tables").exists()
        assert not (tmp_path / table_format / "warehouse").exists()


@pytest.mark.parametrize(("table_format", "library"), [("delta", "deltalake"), ("iceberg", "pyiceberg.catalog")])
def test_a_library_that_is_missing_is_named_with_its_extra(
    lake: pf.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table_format: str, library: str
) -> None:
    monkeypatch.delitem(sys.modules, f"pulseframes.publishing.{table_format}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"pip install 'pulseframes\[{table_format}\]'"):
        Place(tmp_path / "published", table_format).publish(lake)


def test_a_catalog_that_cannot_be_reached_is_an_error_of_the_lake_s_kind(lake: pf.Lake, tmp_path: Path) -> None:
    catalog = {"type": "sql", "uri": f"sqlite:///{tmp_path}/no/folder/catalog.db", "warehouse": f"file://{tmp_path}/w"}
    with pytest.raises(pf.LakeError, match="Check the catalog's properties"):
        pf.publish(lake, "pulse", format="iceberg", catalog=catalog)


@pytest.mark.parametrize("table_format", FORMATS)
def test_the_old_files_of_an_erased_user_can_be_deleted_as_the_guide_shows(
    lake: pf.Lake, tmp_path: Path, table_format: str
) -> None:
    place = Place(tmp_path / "published", table_format)
    place.publish(lake)
    pf.forget(lake, "jane-of-the-lake", settings=pf.Settings(home=":memory:"))
    place.publish(lake)
    assert "jane-of-the-lake" in names_in_files(place)
    if table_format == "delta":
        from deltalake import DeltaTable

        for table in (tmp_path / "published" / "tables").iterdir():
            DeltaTable(table).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    else:
        for name in LAKE_TABLES:
            place.catalog().purge_table(f"pulse.{name}")
        place.publish(lake)
    assert names_in_files(place) == {"joe"}
    place.check(lake)


def names_in_files(place: Place) -> set[str]:
    """Return the users in the files of sessions, whether a version of the table has them or not."""
    files = [file for file in place.location("sessions").rglob("*.parquet") if "_delta_log" not in file.parts]
    return {name for file in files for name in pl.read_parquet(file, columns=["user_identifier"])["user_identifier"]}


def test_a_lake_in_a_bucket_is_published_to_a_bucket_and_read_only_where_it_changed(
    url: str,  # noqa: F811  the fixture
    options: dict[str, str],  # noqa: F811  the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = pf.Lake(f"{url}/lake", storage_options=options)
    lake.write(sessions())
    assert pf.publish(lake, f"{url}/published", format="delta", storage_options=options).changed
    found = pl.scan_delta(f"{url}/published/sessions", storage_options=options).collect()
    assert_frame_equal(found, rows_of(lake, "sessions"), check_row_order=False)
    monkeypatch.setattr(pf.Lake, "read_day", None)  # nothing may call it
    assert not pf.publish(lake, f"{url}/published", format="delta", storage_options=options).changed


def test_a_bucket_that_does_not_exist_is_named_without_secrets(
    lake: pf.Lake,
    options: dict[str, str],  # noqa: F811  the fixture
) -> None:
    with pytest.raises(pf.LakeError, match="there is no such bucket") as caught:
        pf.publish(lake, "s3://nobucket/published", format="delta", storage_options=options)
    assert options["aws_access_key_id"] not in str(caught.value)


def test_the_command_publishes_to_both_formats(
    lake: pf.Lake, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "published", "iceberg")
    for name, value in place.arguments["catalog"].items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__PROD__{name.upper()}", value)
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())  # it was read when pyiceberg was imported
    for arguments in ([tmp_path / "published", "-f", "delta"], ["pulse", "-f", "iceberg", "--catalog", "prod"]):
        code, out, err = run("publish", lake.location, *arguments, "--json")
        assert code == 0, err
        assert "sessions: 1 day written (2 rows)." in err
        tables = json.loads(out)["tables"]
        assert tables["sessions"] == {"written": ["2026-11-09"], "removed": [], "unchanged": 0, "rows": 2}
    place.arguments["catalog"]["name"] = "prod"
    assert not place.publish(lake).changed


def test_the_command_names_its_own_options(lake: pf.Lake, run: Run, tmp_path: Path) -> None:
    code, _, err = run("publish", lake.location, tmp_path / "published", "--format", "delta", "--catalog", "prod")
    assert code == 2
    assert "--catalog" in err
    assert "only the format iceberg" in err
    code, _, err = run("publish", lake.location, tmp_path / "published", "--format", "hudi")
    assert code == 2
