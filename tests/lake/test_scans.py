"""A lake's scans: the same rows as the files, read only where needed, and a damaged file is a LakeError in any way it is read."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from conftest import NOW
from polars.testing import assert_frame_equal

import pulseframes as pf
from lake.test_lake import START, session_rows
from pulseframes.lake import in_window
from pulseframes.lake.partitions import VERSION_KEY
from pulseframes.simulator import Simulator
from pulseframes.tables.frames import SessionFrames
from pulseframes.windows import Window

Query = Callable[[pl.LazyFrame, pl.LazyFrame], pl.LazyFrame]

DAY = date(2026, 11, 1)


@pytest.fixture
def lake(tmp_path: Path) -> pf.Lake:
    return pf.Lake(tmp_path / "lake")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    """A lake with the details of all sessions, which tests only read."""
    made = pf.Lake(tmp_path_factory.mktemp("whole") / "lake")
    truth = Simulator(sessions=2_000, now=NOW).truth()
    made.write(SessionFrames(truth["sessions"], truth["page_views"], truth["errors"]))
    return made


@pytest.fixture
def filled(lake: pf.Lake, whole: pf.Lake) -> pf.Lake:
    """A copy of it."""
    shutil.copytree(whole.location, lake.location)
    return lake


def files_of(lake: pf.Lake, table: str = "sessions") -> list[Path]:
    return sorted(Path(lake.location).glob(f"{table}/*/*.parquet"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


QUERIES: dict[str, Query] = {
    "everything": lambda s, _: s,
    "the number of rows": lambda s, _: s.select(pl.len()),
    "no columns": lambda s, _: s.select([]),
    "columns that repeat": lambda s, _: s.select("country", pl.col("country").alias("again"), pl.lit(1)),
    "a filter": lambda s, _: s.filter(pl.col("country").is_in(["NZ", "AU"]), pl.col("page_view_count") > 2),
    "a filter with casts": lambda s, _: s.filter(pl.col("date").cast(pl.String).str.ends_with("5")),
    "a filter in Python": lambda s, _: s.filter(
        pl.col("session_id").map_batches(lambda ids: ids % 3 == 0, return_dtype=pl.Boolean)
    ),
    "a filter by other rows": lambda s, v: s.join(v.select("session_id").unique(), on="session_id", how="semi"),
    "the first rows": lambda s, _: s.head(7),
    "the first rows of a filter": lambda s, _: s.filter(country="NZ").head(3),
    "a filter of the first rows": lambda s, _: s.head(30).filter(country="NZ"),
    "rows in the middle": lambda s, _: s.slice(20, 9),
    "the last rows": lambda s, _: s.tail(4),
    "groups": lambda s, _: s.group_by("country").agg(pl.len(), pl.col("page_view_count").sum()),
    "groups by day": lambda s, _: s.group_by("date").agg(pl.col("user_id").n_unique()),
    "windows": lambda s, _: s.select("session_id", pl.len().over("country")),
    "a join": lambda s, v: s.join(v, on="session_id").select("session_id", "view_index", "country", "page"),
    "a join with itself": lambda s, _: s.join(s.group_by("user_id").agg(pl.len()), on="user_id"),
    "a join in time": lambda s, v: s.sort("session_start").join_asof(
        v.select("viewed_on", "page").sort("viewed_on"), left_on="session_start", right_on="viewed_on"
    ),
    "a sort": lambda s, _: s.sort("session_start", descending=True).head(5),
    "row numbers": lambda s, _: s.with_row_index().filter(pl.col("index") % 10 == 0),
    "a union": lambda s, _: pl.concat([s, s]).select(pl.col("session_id").sum()),
    "SQL": lambda s, _: s.sql("SELECT country, count(*) AS n FROM self GROUP BY country"),
}


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_has_the_same_result_as_on_the_files(whole: pf.Lake, query: Query) -> None:
    plain = [
        pl.scan_parquet(files_of(whole, table), hive_partitioning=True).with_columns(pl.col("date").cast(pl.Date))
        for table in ("sessions", "page_views")
    ]
    expected = query(*plain).collect()
    for engine in ("streaming", "in-memory"):
        result = query(whole.sessions(), whole.page_views()).collect(engine=engine)  # type: ignore[arg-type]  # a parameter is a str
        assert_frame_equal(result, expected, check_row_order=False)
    assert whole.sessions().collect_schema() == whole.sessions().collect().schema


COLLECTED: dict[str, Callable[[pl.LazyFrame, Path], Any]] = {
    "collect": lambda s, _: s.collect(),
    "streaming": lambda s, _: s.collect(engine="streaming"),
    "in-memory": lambda s, _: s.collect(engine="in-memory"),
    "all": lambda s, _: pl.collect_all([s, s.select(pl.len())]),
    "async": lambda s, _: asyncio.run(_collect(s)),
    "batches": lambda s, _: list(s.collect_batches()),
    "sink": lambda s, folder: s.sink_parquet(folder / "sunk.parquet"),
    "group": lambda s, _: s.group_by("country").len().collect(),
    "join": lambda s, _: s.join(s, on="session_id").collect(),
    "SQL": lambda s, _: s.sql("SELECT count(user_id) FROM self").collect(),
}


async def _collect(frame: pl.LazyFrame) -> pl.DataFrame:
    return await frame.collect_async()


@pytest.mark.parametrize("collect", COLLECTED.values(), ids=COLLECTED)
def test_a_damaged_file_is_a_lake_error_that_names_it(
    filled: pf.Lake, tmp_path: Path, collect: Callable[[pl.LazyFrame, Path], Any]
) -> None:
    damaged = files_of(filled)[3]
    truncate(damaged)
    with pytest.raises(pf.LakeError, match=f"{damaged} cannot be read .*pulseframes replay"):
        collect(filled.sessions(), tmp_path)


def test_damage_inside_a_file_is_also_a_lake_error(lake: pf.Lake) -> None:
    lake.write(session_rows(*({"session_id": n, "user_identifier": f"user {n * n}"} for n in range(2_000))))
    [path] = files_of(lake)
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    path.write_bytes(data)
    for read in (lake.sessions().collect, lambda: lake.sql("SELECT max(COLUMNS(*)) FROM sessions")):
        with pytest.raises(pf.LakeError, match="data.parquet cannot be read"):
            read()


def test_a_damaged_file_is_a_lake_error_in_sql_and_named_by_duckdb(filled: pf.Lake) -> None:
    damaged = files_of(filled)[3]
    truncate(damaged)
    with pytest.raises(pf.LakeError, match=f"{damaged} cannot be read"):
        filled.sql("SELECT count(user_id) FROM sessions")
    with filled.duckdb() as connection, pytest.raises(duckdb.Error, match=str(damaged)):
        connection.execute("SELECT count(user_id) FROM sessions").fetchall()


def test_a_wrong_query_keeps_the_error_of_polars(filled: pf.Lake) -> None:
    for wrong, error in (
        (pl.col("country").cast(pl.Int64) > 1, pl.exceptions.InvalidOperationError),
        (pl.col("contry") == "NZ", pl.exceptions.ColumnNotFoundError),
    ):
        with pytest.raises(error):
            filled.sessions().filter(wrong).collect()


def test_a_wrong_query_in_sql_reads_no_file(filled: pf.Lake) -> None:
    truncate(files_of(filled)[0])
    for wrong in ("SELEKT 1", "SELECT contry FROM sessions", "SELECT 1 FROM visits"):
        with pytest.raises(pf.InvalidQuery):
            filled.sql(wrong)


@pytest.mark.parametrize(
    "days",
    [
        pl.col("date") == DAY,
        pl.col("date").is_in([DAY]),
        pl.col("date").is_between(DAY, DAY),
        (pl.col("date") < DAY + timedelta(days=1)) & (pl.col("page_view_count") >= 0),
        in_window(Window(START, START + timedelta(hours=2))),
    ],
)
def test_a_filter_on_days_reads_no_other_day(lake: pf.Lake, days: pl.Expr) -> None:
    rows = [{"session_id": day, "session_start": START + timedelta(days=day), "page_view_count": 1} for day in range(5)]
    lake.write(session_rows(*rows))
    kept, *others = files_of(lake)
    assert kept.parent.name == f"date={DAY}"
    for path in others:
        truncate(path)
    for scan in (lake.sessions(), lake.sessions().select("date", "session_id", "session_start", "page_view_count")):
        assert scan.filter(days).collect()["session_id"].to_list() == [0]
    grouped = lake.sessions().filter(days).group_by("date").agg(pl.len()).collect()
    assert grouped.rows() == [(DAY, 1)]


def test_a_scan_reads_the_files_that_are_there_when_it_is_collected(lake: pf.Lake) -> None:
    lake.write(session_rows({"session_id": 1}))
    scan = lake.sessions().select("session_id").sort("session_id")
    lake.write(session_rows({"session_id": 2}, {"session_id": 3, "session_start": START + timedelta(days=5)}))
    assert scan.collect()["session_id"].to_list() == [1, 2, 3]
    pf.retain(lake, 1, settings=pf.Settings(home=":memory:"), clock=lambda: START + timedelta(days=5))
    assert scan.collect()["session_id"].to_list() == [3]


def test_a_query_that_skips_a_damaged_file_succeeds(lake: pf.Lake) -> None:
    lake.write(session_rows({"session_id": 1}, {"session_id": 2, "session_start": START + timedelta(days=5)}))
    truncate(files_of(lake)[1])
    assert lake.sessions().filter(date=DAY).collect().height == 1
    with pytest.raises(pf.LakeError):
        lake.sessions().collect()


FOREIGN: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "another name": (
        lambda rows: rows.rename({"session_id": "id"}),
        "session_id, of type Int64, is missing; the file has id,",
    ),
    "another type": (lambda rows: rows.cast({"session_id": pl.String}), "session_id, of type Int64, is String"),
    "a smaller type": (
        lambda rows: rows.cast({"page_view_count": pl.Int32}),
        "page_view_count, of type Int64, is Int32",
    ),
    "no required column": (lambda rows: rows.drop("fetched_at"), "fetched_at, of type Datetime.*, is missing"),
    "no column": (lambda rows: rows.drop("country"), "country, of type String, is missing"),
    "another table": (lambda _: pl.DataFrame({"a": [1]}), "session_id, of type Int64, is missing; the file has a"),
}
USES: dict[str, Callable[[pf.Lake], object]] = {
    "read": lambda lake: lake.sessions().collect(),
    "count": lambda lake: lake.sessions().select(pl.len()).collect(),
    "filter": lambda lake: lake.sessions().filter(user_id=1).select("user_id").collect(),
    "SQL": lambda lake: lake.sql("SELECT count(*) FROM Sessions"),
    "write": lambda lake: lake.write(session_rows({"session_id": 1, "session_updated": START})),
    "forget": lambda lake: pf.forget(lake, "jane@example.com", settings=pf.Settings(home=":memory:")),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(("change", "message"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_with_other_columns_is_named_with_what_is_expected_and_what_is_there(
    lake: pf.Lake, change: Callable[[pl.DataFrame], pl.DataFrame], message: str, use: Callable[[pf.Lake], object]
) -> None:
    lake.write(session_rows({"session_id": 1}, {"session_id": 2, "session_start": START + timedelta(days=5)}))
    path = files_of(lake)[0]
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path)
    before = path.read_bytes()
    with pytest.raises(pf.LakeError, match=f"{path} does not have the columns of sessions: {message}"):
        use(lake)
    assert path.read_bytes() == before


def test_a_file_of_an_older_version_may_lack_a_column_that_can_be_null(lake: pf.Lake) -> None:
    lake.write(session_rows(*({"session_id": n, "country": "NZ"} for n in (1, 2))))
    lake.write(session_rows({"session_id": 3, "session_start": START + timedelta(days=5), "country": "NZ"}))
    path = files_of(lake)[1]
    older = pl.read_parquet(path, hive_partitioning=False).drop("country")
    older.write_parquet(path, metadata={VERSION_KEY: "1"})
    rows = lake.sessions().select("session_id", "country").collect()
    assert rows.rows() == [(1, "NZ"), (2, "NZ"), (3, None)]
    assert lake.sql("SELECT session_id, country FROM sessions ORDER BY 1").rows() == rows.rows()
    assert lake.sessions().filter(country="NZ", date=DAY).collect().height == 2
