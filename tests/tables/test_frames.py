"""SessionFrames: conversion to Arrow and pandas, and files that other tools read."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import NOW
from polars.testing import assert_frame_equal

from pulseframes import InvalidQuery, SessionFrames
from pulseframes._files import read_column, write_frame
from pulseframes.simulator import Simulator
from pulseframes.tables import INSTANT, REJECTED, TABLES


@pytest.fixture(scope="module")
def frames() -> SessionFrames:
    simulator = Simulator(sessions=300, now=NOW)
    return SessionFrames(**simulator.truth(), missing=[7])


EMPTY = SessionFrames(**{name: table.empty() for name, table in TABLES.items()})


def test_frames_are_a_mapping_of_their_tables(frames: SessionFrames) -> None:
    assert list(frames) == list(TABLES)
    assert len(frames) == 3
    assert frames["errors"] is frames.errors
    assert {name: len(frame) for name, frame in frames.items()} == {name: len(frames[name]) for name in TABLES}
    assert "rejected" not in frames
    with pytest.raises(KeyError, match="'views' is not a table; they are sessions, page_views, errors"):
        frames["views"]


def test_frames_are_equal_if_their_rows_and_missing_ids_are(frames: SessionFrames) -> None:
    same = SessionFrames(**frames.tables(), missing=[7])
    assert frames == same == pickle.loads(pickle.dumps(same))
    assert frames != SessionFrames(**frames.tables())
    assert frames != SessionFrames(**frames.tables() | {"errors": frames.errors.head(1)}, missing=[7])
    assert frames != dict(frames)


def test_a_notebook_shows_the_sizes_and_the_first_rows_of_each_table(frames: SessionFrames) -> None:
    shown = frames._repr_html_()
    assert shown.count("<table") == 4
    assert f"{len(frames.sessions):,} rows" in shown


def test_arrow_tables_have_int64_ids_and_utc_times(frames: SessionFrames) -> None:
    tables = frames.to_arrow()
    assert list(tables) == list(TABLES)
    assert tables["sessions"].schema.field("session_id").type == pa.int64()
    assert tables["page_views"].schema.field("viewed_on").type == pa.timestamp("us", tz="UTC")
    for name, table in tables.items():
        assert_frame_equal(pl.DataFrame(table), frames.tables()[name])


def test_pandas_frames_keep_ids_that_a_float_could_not_hold(frames: SessionFrames) -> None:
    for name, frame in frames.to_pandas().items():
        assert frame.shape == frames.tables()[name].shape
        assert frame["session_id"].tolist() == frames.tables()[name]["session_id"].to_list()
        assert frame["session_id"].max() > 2**53
    users = frames.to_pandas()["sessions"]["user_id"]
    assert str(users.dtype) == "int64[pyarrow]"
    assert users.isna().sum() == frames.sessions["user_id"].null_count() > 0


def test_without_pandas_the_error_says_how_to_install_it(
    frames: SessionFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pulseframes\[pandas\]"):
        frames.to_pandas()


@pytest.mark.parametrize("which", ["full", "empty"])
def test_polars_pyarrow_and_duckdb_read_the_same_from_the_parquet_files(
    frames: SessionFrames, tmp_path: Path, which: str
) -> None:
    written = frames if which == "full" else EMPTY
    paths = written.write_parquet(tmp_path / "out" / "deep")
    assert [path.name for path in paths] == ["sessions.parquet", "page_views.parquet", "errors.parquet"]
    for path, (name, frame) in zip(paths, written.tables().items(), strict=True):
        assert_frame_equal(pl.read_parquet(path), frame)
        assert pl.DataFrame(pq.read_table(path)).schema == TABLES[name].schema
        query = duckdb.sql(f"select count(*), count(distinct session_id), max(session_id) from '{path}'")
        assert query is not None
        assert query.fetchall() == [(len(frame), frame["session_id"].n_unique(), frame["session_id"].max())]


def test_rejected_rows_are_written_too(tmp_path: Path) -> None:
    row = pl.DataFrame([["sessions", 1, None, "x", "{}"]], schema=REJECTED.schema, orient="row")
    frames = SessionFrames(EMPTY.sessions, EMPTY.page_views, EMPTY.errors, rejected=row)
    assert frames.write(tmp_path, "ndjson")[-1].read_text() == (
        '{"table":"sessions","session_id":1,"item_index":null,"reason":"x","raw_json":"{}"}\n'
    )


def test_the_repr_has_counts_and_no_rows(frames: SessionFrames) -> None:
    assert repr(frames).startswith("SessionFrames(sessions=300 rows, page_views=")
    assert repr(frames).endswith("missing=1, rejected=0 rows)")
    assert "example" not in repr(frames)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    nested = pl.DataFrame({"lists": [[1]]})  # CSV has no lists
    with pytest.raises(pl.exceptions.ComputeError):
        write_frame(nested, path, "csv")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="No such file"):
        write_frame(nested, tmp_path / "no" / "b.parquet", "parquet")


def test_a_new_file_gets_the_default_mode_and_a_replaced_one_keeps_its_own(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1]})
    (tmp_path / "plain").touch()
    write_frame(frame, tmp_path / "new.csv", "csv")
    assert (tmp_path / "new.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new.csv").chmod(0o640)
    (tmp_path / "link.csv").symlink_to(tmp_path / "new.csv")
    write_frame(frame, tmp_path / "link.csv", "csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "new.csv").stat().st_mode & 0o777 == 0o640


def test_brackets_in_a_file_name_are_not_a_pattern(frames: SessionFrames, tmp_path: Path) -> None:
    write_frame(frames.sessions.head(3), tmp_path / "we[1]*.parquet", "parquet")
    write_frame(frames.sessions.tail(3), tmp_path / "we1x.parquet", "parquet")
    assert len(read_column(tmp_path / "we[1]*.parquet", "session_id")) == 3


def test_a_clean_run_deletes_the_rejected_rows_of_an_earlier_run(tmp_path: Path) -> None:
    row = pl.DataFrame([["sessions", 1, None, "x", "{}"]], schema=REJECTED.schema, orient="row")
    SessionFrames(EMPTY.sessions, EMPTY.page_views, EMPTY.errors, rejected=row).write_parquet(tmp_path)
    assert (tmp_path / "rejected.parquet").exists()
    EMPTY.write_parquet(tmp_path)
    assert not (tmp_path / "rejected.parquet").exists()
    with pytest.raises(InvalidQuery, match="must be one of parquet, csv, ndjson"):
        EMPTY.write(tmp_path, "xlsx")


@pytest.mark.parametrize("file_format", ["parquet", "csv", "ndjson"])
def test_ids_survive_every_format(frames: SessionFrames, tmp_path: Path, file_format: str) -> None:
    path = tmp_path / f"sessions.{file_format.upper()}"
    write_frame(frames.sessions, path, file_format)
    assert read_column(path, "session_id") == frames.sessions["session_id"].to_list()
    with pytest.raises(ValueError, match="no column no_such"):
        read_column(path, "no_such")


def test_csv_and_ndjson_have_times_in_utc(tmp_path: Path) -> None:
    moments = pl.DataFrame({"at": [NOW, None]}, schema={"at": INSTANT})
    for file_format, text in (
        ("csv", "at\n2026-11-20T12:00:00.000000Z\n\n"),
        ("ndjson", '{"at":"2026-11-20T12:00:00.000000Z"}\n{"at":null}\n'),
    ):
        path = tmp_path / f"x.{file_format}"
        write_frame(moments, path, file_format)
        assert path.read_text().replace('""', "") == text
