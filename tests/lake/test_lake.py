"""A lake stores each key once, in files that any tool can read; its writers take turns and may be killed at any time."""

from __future__ import annotations

import copy
import errno
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings, strategies as st
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.fetch.replay import replay, restore_lake
from pulseframes.lake import Batch
from pulseframes.lake.commit import COMMIT_FILE
from pulseframes.lake.state import STATE_FILE
from pulseframes.simulator import Simulator
from pulseframes.tables import ERRORS, LAKE_TABLES, LAKE_VERSION, PAGE_VIEWS, REJECTED, SESSIONS, TABLES
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.lake_tables import partitioned

START = datetime(2026, 11, 1, 22, tzinfo=UTC)


def contents(lake: pf.Lake) -> dict[str, pl.DataFrame]:
    """All of a lake, in order, with its bookkeeping."""
    return {
        "sessions": lake.sessions().sort("session_id").collect(),
        "page_views": lake.page_views().sort(PAGE_VIEWS.key).collect(),
        "errors": lake.errors().sort(ERRORS.key).collect(),
    }


def assert_same(one: pf.Lake, other: pf.Lake) -> None:
    for name, frame in contents(one).items():
        assert_frame_equal(frame, contents(other)[name])


def files(path: Path) -> dict[str, bytes]:
    """The tables' files."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.parquet"))}


def session_rows(*rows: dict[str, Any]) -> pl.DataFrame:
    """Sessions with these values, and null elsewhere."""
    return pl.DataFrame([{"session_start": START} | row for row in rows], schema=SESSIONS.schema)


def detail_of(row: dict[str, Any], pages: Sequence[str] = (), errors: Sequence[str] = ()) -> SessionFrames:
    session_id = row["session_id"]
    views = [{"session_id": session_id, "view_index": i, "page": page} for i, page in enumerate(pages)]
    faults = [{"session_id": session_id, "error_index": i, "title": title} for i, title in enumerate(errors)]
    return SessionFrames(
        session_rows(row), pl.DataFrame(views, schema=PAGE_VIEWS.schema), pl.DataFrame(faults, schema=ERRORS.schema)
    )


@pytest.fixture
def lake(tmp_path: Path) -> pf.Lake:
    return pf.Lake(tmp_path / "lake")


# Any order, any grouping


@dataclass(frozen=True)
class Seen:
    """One answer about one session."""

    session_id: int
    hours: int
    updated: int | None
    fetched: int
    detail: bool
    pages: int

    @property
    def row(self) -> dict[str, Any]:
        return {
            "session_id": self.session_id,
            "session_start": START + timedelta(hours=self.hours),
            "session_updated": None if self.updated is None else START + timedelta(minutes=self.updated),
            "country": f"{self.fetched}",
            "satisfaction_rating": f"Rated {self.fetched}" if self.detail else None,
        }

    @property
    def at(self) -> datetime:
        return START + timedelta(seconds=self.fetched)

    def frames(self) -> pl.DataFrame | SessionFrames:
        if not self.detail:
            return session_rows(self.row)
        pages = [f"/{self.fetched}/{n}" for n in range(self.pages)]
        return detail_of(self.row, pages, pages[:1])


@st.composite
def answers(draw: st.DrawFn) -> list[Seen]:
    count = draw(st.integers(1, 8))
    return [
        Seen(
            session_id=draw(st.integers(1, 3)),
            hours=draw(st.sampled_from([0, 1, 3])),  # a later one is on the next day
            updated=draw(st.one_of(st.none(), st.integers(0, 3))),
            fetched=number,
            detail=draw(st.booleans()),
            pages=draw(st.integers(0, 2)),
        )
        for number in range(count)
    ]


@settings(max_examples=20)
@given(data=st.data())
def test_any_order_and_grouping_of_summaries_and_details_ends_in_the_same_lake(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seen = data.draw(answers())
    shuffled = data.draw(st.permutations(seen))
    one, other = (pf.Lake(tmp_path_factory.mktemp("lakes") / name) for name in ("one", "other"))
    for answer in seen:
        one.put(batch_of([answer]))
    while shuffled:
        kind = shuffled[0].detail
        group = [shuffled.pop(0)]
        while shuffled and shuffled[0].detail == kind and data.draw(st.booleans()):
            group.append(shuffled.pop(0))
        write_together(other, group)
    assert_same(one, other)
    newest = max(
        seen,
        key=lambda a: (a.session_id == seen[0].session_id, a.updated is not None, a.updated or 0, a.detail, a.fetched),
    )
    row = one.sessions().filter(session_id=seen[0].session_id).collect().row(0, named=True)
    assert (row["country"], row["session_start"]) == (newest.row["country"], newest.row["session_start"])


def write_together(lake: pf.Lake, group: list[Seen]) -> None:
    """Write several answers of one kind as one batch; a session that is there already is written by itself."""
    together: dict[int, Seen] = {}
    for answer in group:
        if answer.session_id in together:
            lake.put(batch_of([answer]))
        else:
            together[answer.session_id] = answer
    lake.put(batch_of(list(together.values())))


def batch_of(group: list[Seen]) -> Batch:
    at = pl.Series("fetched_at", [answer.at for answer in group], pl.Datetime("us", "UTC"))
    sessions = session_rows(*(answer.row for answer in group)).with_columns(at)
    details = [frames for answer in group if isinstance(frames := answer.frames(), SessionFrames)]
    if not details:
        return Batch(sessions)
    items = {name: pl.concat([getattr(frames, name) for frames in details]) for name in ("page_views", "errors")}
    return Batch(sessions, items)


# What a write does


def test_a_summary_never_erases_what_a_detail_knew_and_newer_details_replace_all_page_views_and_errors(
    lake: pf.Lake,
) -> None:
    old = {"session_id": 1, "session_updated": START, "status": "active", "satisfaction_rating": "Poor"}
    lake.write(detail_of(old, ["/a", "/b", "/c"], ["oops"]))
    lake.write(session_rows({"session_id": 1, "session_updated": START + timedelta(hours=1), "status": "ended"}))
    row = lake.sessions().collect().row(0, named=True)
    assert (row["status"], row["satisfaction_rating"], row["detail_updated"]) == ("ended", "Poor", START)
    assert lake.page_views().collect()["page"].to_list() == ["/a", "/b", "/c"]
    newer = old | {"session_updated": START + timedelta(hours=2), "satisfaction_rating": "Good"}
    written = lake.write(detail_of(newer, ["/d"]))
    assert lake.page_views().collect()["page"].to_list() == ["/d"]
    assert lake.errors().collect().is_empty()
    assert (written.rows["sessions"].updated, written.rows["page_views"].updated) == (1, 1)


def test_rows_that_the_lake_has_already_count_as_unchanged_and_rewrite_nothing(lake: pf.Lake, tmp_path: Path) -> None:
    frames = detail_of({"session_id": 1, "session_updated": START}, ["/a"])
    first = lake.write(frames, fetched_at=START)
    before = files(tmp_path)
    again = lake.write(frames, fetched_at=START)
    assert (first.rows["sessions"].new, first.rows["page_views"].new) == (1, 1)
    assert again.rows["sessions"].unchanged == 1
    assert again.days == set()
    assert files(tmp_path) == before


def test_only_the_days_that_are_touched_are_rewritten(lake: pf.Lake, tmp_path: Path) -> None:
    rows = [{"session_id": n, "session_start": START + timedelta(days=n)} for n in range(10)]
    lake.write(session_rows(*rows))
    old = {path: (tmp_path / path).stat().st_ino for path in files(tmp_path)}
    written = lake.write(session_rows({"session_id": 99, "session_start": START + timedelta(days=3)}))
    assert written.days == {date(2026, 11, 4)}
    changed = {path for path in files(tmp_path) if (tmp_path / path).stat().st_ino != old.get(path)}
    assert changed == {"lake/sessions/date=2026-11-04/data.parquet"}


def test_a_session_that_starts_on_another_day_by_a_newer_answer_moves_there_with_its_page_views(lake: pf.Lake) -> None:
    lake.write(detail_of({"session_id": 1, "session_updated": START}, ["/a"]))
    lake.write(session_rows({"session_id": 2}))
    moved = {"session_id": 1, "session_start": START + timedelta(days=2), "session_updated": START + timedelta(days=3)}
    lake.write(session_rows(moved))
    assert lake.sessions().select("session_id", "date").sort("session_id").collect().rows() == [
        (1, date(2026, 11, 3)),
        (2, date(2026, 11, 1)),
    ]
    assert lake.page_views().select("page", "date").collect().rows() == [("/a", date(2026, 11, 3))]


@settings(max_examples=20)
@given(
    drawn=st.sets(st.integers(1, 4)),
    moves=st.lists(
        st.dictionaries(st.integers(1, 4), st.tuples(st.integers(0, 3), st.booleans()), min_size=1), max_size=4
    ),
)
def test_each_sampled_row_is_under_the_day_of_its_session(
    drawn: set[int], moves: list[dict[int, tuple[int, bool]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = pf.Lake(tmp_path_factory.mktemp("moved") / "lake")
    lake.write(session_rows(*({"session_id": n, "session_updated": START} for n in range(1, 5))))
    design = {
        "design": "uniform",
        "seed": 0,
        "population_from": START,
        "population_to": START + timedelta(days=1),
        "stratum": "",
        "page_view_count": 1,
        "inclusion_probability": 0.5,
        "responded": True,
    }
    rows = [design | {"session_id": n, "date": START.date()} for n in sorted(drawn)]
    lake.put_design("uniform", 0, pl.DataFrame(rows, schema=partitioned(LAKE_TABLES["design"])))
    before = lake.design().drop("date").sort("session_id").collect()
    for number, group in enumerate(moves):
        for details in (True, False):
            moved = [
                {
                    "session_id": n,
                    "session_start": START + timedelta(days=day),
                    "session_updated": START + timedelta(days=number),
                }
                for n, (day, detailed) in group.items()
                if detailed == details
            ]
            for frames in [detail_of(row, ["/a"]) for row in moved] if details else [session_rows(*moved)]:
                lake.write(frames)
    assert_frame_equal(lake.design().drop("date").sort("session_id").collect(), before)
    joined = lake.sql("SELECT session_id FROM design JOIN sessions USING (session_id, date)")
    assert set(joined["session_id"]) == drawn


def test_the_files_are_sorted_compressed_and_have_statistics_and_the_version_of_their_columns(
    lake: pf.Lake, simulator: Simulator, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    lake.write(simulator.summaries())
    path = sorted((tmp_path / "lake/sessions").glob("*/*.parquet"))[3]
    parquet = pq.ParquetFile(path)
    assert parquet.metadata.metadata[b"pulseframes.lake_version"] == str(LAKE_VERSION).encode()
    starts = parquet.schema_arrow.names.index("session_start")
    column = parquet.metadata.row_group(0).column(starts)
    assert column.compression == "ZSTD"
    assert column.statistics.has_min_max
    rows = pl.read_parquet(path, hive_partitioning=False)
    assert rows.equals(rows.sort("session_start", "session_id"))
    assert rows.schema == LAKE_TABLES["sessions"].schema


def test_a_lake_accepts_the_results_of_search_details_and_write_parquet(
    lake: pf.Lake, simulator: Simulator, client: pf.PulseClient, tmp_path: Path
) -> None:
    window = (simulator.begin, simulator.begin + timedelta(days=2))
    sessions = pf.search_sessions(*window, client=client)
    details = pf.session_details(sessions["session_id"].head(5), client=client)
    lake.write(sessions)
    lake.write(details)
    assert_frame_equal(
        lake.sessions()
        .filter(pl.col("detail_fetched_at").is_not_null())
        .select(TABLES["sessions"].schema.names())
        .collect(),
        details.sessions,
    )
    assert lake.sessions().select("fetched_at").collect().n_unique() >= 1
    assert len(lake.sessions().collect()) == len(sessions)
    details.write_parquet(tmp_path / "folder")
    other = pf.Lake(tmp_path / "other")
    other.write(tmp_path / "folder")
    assert_frame_equal(other.page_views().drop("date").sort("session_id", "view_index").collect(), details.page_views)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (pl.DataFrame({"session_id": [1]}), "sessions lack a column session_start"),
        (session_rows({"session_id": None}), "1 rows of sessions are invalid"),
        (session_rows({"session_id": 1, "session_length_ms": -1}), "1 rows of sessions are invalid"),
        (
            session_rows({"session_id": 1}).cast({"country": pl.Categorical}),
            "sessions lack a column country of type String; theirs is Categorical",
        ),
        ("nowhere", "nowhere/sessions.parquet cannot be read"),
        (session_rows({"session_id": 1}).lazy(), "LazyFrame is not supported. Collect a LazyFrame"),
        (None, "NoneType is not supported"),
        (
            session_rows({"session_id": 1, "ip_city": "Ottawa"}),
            "values that only details have. Pass the whole result of session_details",
        ),
        (session_rows({"session_id": 1}).with_columns(detail_fetched_at=None), "sessions come from a lake"),
    ],
)
def test_invalid_frames_are_rejected_and_create_no_lake(lake: pf.Lake, frames: Any, message: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=message):
        lake.write(frames)
    assert not lake.is_there()


def test_replayed_tables_are_written_with_details_as_details_and_summaries_as_summaries(
    lake: pf.Lake, simulator: Simulator, client: pf.PulseClient, tmp_path: Path
) -> None:
    window = (simulator.begin, simulator.begin + timedelta(days=2))
    pf.sync(lake, *window, details=4, client=client)
    before = contents(lake)
    replay(
        client.journal,
        client.application,
        START - timedelta(days=9999),
        START + timedelta(days=9999),
        tmp_path / "again",
    )
    other = pf.Lake(tmp_path / "other")
    other.write(tmp_path / "again")
    for name, frame in contents(other).items():
        columns = TABLES[name].schema.names()
        assert_frame_equal(frame.select(columns), before[name].select(columns))
    assert other.sessions().collect()["detail_fetched_at"].null_count() == len(before["sessions"]) - 4


def test_rejected_rows_are_kept_once_with_reason_and_raw_json(lake: pf.Lake) -> None:
    row = {"table": "sessions", "session_id": None, "item_index": None, "reason": "no id", "raw_json": '{"id": null}'}
    rejected = pl.DataFrame([row], schema=REJECTED.schema)
    frames = SessionFrames(*(TABLES[name].empty() for name in TABLES), rejected=rejected)
    assert lake.write(frames).rejected == 1
    assert lake.write(frames).rejected == 0
    assert lake.rejected().select(*row).collect().to_dicts() == [row]


# The place


def test_readers_and_writers_report_a_folder_that_is_not_a_lake(lake: pf.Lake, tmp_path: Path) -> None:
    for read in (lake.sessions, lake.coverage, lake.duckdb, lambda: lake.sql("select 1")):
        with pytest.raises(pf.LakeError, match=r"No lake at .*lake\. Create one with sync"):
            read()
    assert not (tmp_path / "lake").exists()
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(pf.LakeError, match="is not a lake, and not empty"):
        pf.Lake(tmp_path).write(session_rows({"session_id": 1}))
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_replay_puts_back_what_a_lake_has_lost_and_nothing_else(
    lake: pf.Lake, simulator: Simulator, client: pf.PulseClient
) -> None:
    window = (simulator.begin, simulator.begin + timedelta(days=2))
    pf.sync(lake, *window, details=4, client=client)
    pf.search_sessions(simulator.begin, simulator.begin + timedelta(days=5), client=client)
    before, spent = contents(lake), client.calls_spent
    for table in ("sessions", "page_views"):
        shutil.rmtree(Path(lake.location) / table)
    restore_lake(lake, settings=client.settings)
    for name, frame in contents(lake).items():
        assert_frame_equal(frame, before[name])
    assert restore_lake(lake, settings=client.settings).days == set()
    assert client.calls_spent == spent


def test_a_lake_that_was_never_synced_cannot_be_restored(lake: pf.Lake) -> None:
    lake.write(session_rows({"session_id": 1}))
    with pytest.raises(pf.LakeError, match="was never synced"):
        restore_lake(lake)


def test_a_damaged_table_file_is_named_and_nothing_is_changed(lake: pf.Lake, tmp_path: Path) -> None:
    lake.write(session_rows({"session_id": 1}))
    path = tmp_path / "lake/sessions/date=2026-11-01/data.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    before = files(tmp_path)
    with pytest.raises(pf.LakeError, match="data.parquet cannot be read .*replay"):
        lake.write(session_rows({"session_id": 2}))
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "listed",
    [
        b"{",
        b"[]",
        b'{"moves": 1, "deletes": []}',
        b'{"moves": [["_pulseframes/staging/0a/0", "../../evil.parquet"]], "deletes": []}',
        b'{"moves": [["../letters.txt", "sessions/date=2026-11-01/data.parquet"]], "deletes": []}',
        b'{"moves": [], "deletes": ["../letters.txt"]}',
    ],
)
def test_a_damaged_commit_list_is_reported_and_reaches_nothing_outside_the_lake(
    lake: pf.Lake, tmp_path: Path, listed: bytes
) -> None:
    lake.write(session_rows({"session_id": 1}))
    (tmp_path / "letters.txt").write_text("dear")
    (tmp_path / "lake" / COMMIT_FILE).write_bytes(listed)
    with pytest.raises(pf.LakeError, match="damaged _pulseframes/commit.json"):
        lake.write(session_rows({"session_id": 2}))
    assert (tmp_path / "letters.txt").read_text() == "dear"
    assert len(lake.sessions().collect()) == 1


def test_the_lakes_own_folder_stays_small(lake: pf.Lake, tmp_path: Path) -> None:
    for number in range(5):
        lake.write(
            session_rows(
                {"session_id": number}, {"session_id": 10 + number, "session_start": START + timedelta(days=1)}
            )
        )
    assert {path.name for path in (tmp_path / "lake/_pulseframes").iterdir()} <= {"lake.json", "lock", "staging"}
    staging = tmp_path / "lake/_pulseframes/staging"
    assert not staging.exists() or not list(staging.iterdir())


def test_an_error_of_the_file_system_is_a_lake_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "lake", tmp_path / ("x" * 300), Path("/proc/lake")):
        with pytest.raises(pf.LakeError, match="Cannot use the lake .* Check the path"):
            pf.Lake(path).write(session_rows({"session_id": 1}))
    with pytest.raises(pf.InvalidQuery, match="home of a user who does not exist"):
        pf.Lake("~nobody-of-this-name/lake")


def test_a_full_disk_is_reported_and_leaves_the_lake_unchanged(lake: pf.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(session_rows({"session_id": 1}))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pulseframes.lake.storage.write_bytes", full)
        with pytest.raises(pf.LakeError, match="the disk is full. Free some space"):
            lake.write(session_rows({"session_id": 2}))
    assert len(lake.sessions().collect()) == 1
    lake.write(session_rows({"session_id": 2}))


# Writers, readers, kills


def test_a_second_writer_waits_its_turn_and_gives_up_after_a_while(lake: pf.Lake, tmp_path: Path) -> None:
    other = pf.Lake(tmp_path / "lake")
    with lake.locked():
        with pytest.raises(
            pf.LakeError, match="Another process or thread has been writing to the lake .* for over 0.2 s"
        ):
            with other.store.locked(wait=0.2):
                pass
        waiting = threading.Thread(target=lambda: other.write(session_rows({"session_id": 2})))
        waiting.start()
        lake.write(session_rows({"session_id": 1}))
        assert waiting.is_alive()
    waiting.join(timeout=30)
    assert sorted(lake.sessions().collect()["session_id"]) == [1, 2]


def test_threads_that_share_a_lake_lose_no_row(lake: pf.Lake) -> None:
    def write(number: int) -> None:
        for n in range(3):
            lake.write(session_rows({"session_id": number * 10 + n}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lake.sessions().collect()) == 12


WRITER = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime, timedelta
    import polars as pl
    import pulseframes as pf
    from pulseframes.tables import SESSIONS
    start = datetime(2026, 11, 1, tzinfo=UTC)
    lake = pf.Lake(sys.argv[1])
    for number in range(1_000_000):
        rows = [{"session_id": day * 1000 + n, "session_start": start + timedelta(days=day),
                 "session_updated": start + timedelta(minutes=number), "session_length_ms": number}
                for day in range(4) for n in range(50)]
        lake.write(pl.DataFrame(rows, schema=SESSIONS.schema))
        print(number, flush=True)
""")


def writer(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)


def test_readers_never_see_half_a_file_while_a_day_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "lake"
    with writer(path) as process:
        try:
            assert process.stdout is not None
            for _ in range(3):
                process.stdout.readline()
            pattern = f"{path}/sessions/*/*.parquet"
            for _ in range(25):
                assert duckdb.sql(f"select count(*) from '{pattern}'").fetchall() == [(200,)]
                assert pl.scan_parquet(pattern).select(pl.len()).collect().item() == 200
                assert ds.dataset(path / "sessions", partitioning="hive").count_rows() == 200
                lengths = pl.read_parquet(path / "sessions/date=2026-11-02/data.parquet")["session_length_ms"]
                assert lengths.n_unique() == 1  # a file is one write's
        finally:
            process.kill()


def test_a_killed_writer_leaves_a_lake_that_the_next_one_finds_as_it_was_or_as_it_was_to_be(tmp_path: Path) -> None:
    draw = random.Random(4)
    path = tmp_path / "lake"
    for _ in range(6):
        with writer(path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            threading.Event().wait(draw.random() * 0.2)
            process.send_signal(signal.SIGKILL)
        lake = pf.Lake(path)
        with lake.locked():
            pass  # what was begun is finished here
        rows = lake.sessions().collect()
        assert len(rows) == 200
        assert rows["session_length_ms"].n_unique() == 1, "four days were written together"
        assert not (path / COMMIT_FILE).exists()
        assert lake.store.list("_pulseframes") in ([STATE_FILE, "_pulseframes/lock"], [STATE_FILE])


@pytest.mark.parametrize("after", range(12))
def test_a_writer_that_dies_after_any_step_is_undone_or_finished(
    lake: pf.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The write replaces two days of sessions and page views, and removes a day of errors."""
    other_day = {"session_id": 2, "session_start": START + timedelta(days=1)}
    old = (detail_of({"session_id": 1}, ["/old"], ["old"]), session_rows(other_day))
    pages = [detail_of({"session_id": n}, ["/new"]).page_views for n in (1, 2)]
    new = SessionFrames(session_rows({"session_id": 1}, other_day), pl.concat(pages), ERRORS.empty())
    finished = pf.Lake(tmp_path / "finished")
    for frames in old:
        for each in (lake, finished):
            each.write(frames, fetched_at=START)
    before = contents(lake)
    finished.write(new, fetched_at=START + timedelta(hours=1))
    steps = iter(range(100))
    for name in ("write", "move", "delete"):
        monkeypatch.setattr(lake.store, name, dying(getattr(lake.store, name), steps, after))
    try:
        lake.write(new, fetched_at=START + timedelta(hours=1))
    except Died:
        pass
    else:
        assert after > 8, "a write has more steps"
    monkeypatch.undo()
    with lake.locked():
        pass
    undone = contents(lake)["sessions"].equals(before["sessions"])
    for name, frame in (before if undone else contents(finished)).items():
        assert_frame_equal(contents(lake)[name], frame)


class Died(BaseException):
    """Stands for the end of a process."""


def dying(step: Callable[..., Any], steps: Any, after: int) -> Callable[..., Any]:
    def maybe(*args: Any) -> Any:
        if next(steps) >= after:
            raise Died
        return step(*args)

    return maybe


# Other readers


def test_duckdb_polars_pandas_and_pyarrow_read_the_lake_with_no_pulseframes_and_agree(
    lake: pf.Lake, simulator: Simulator, tmp_path: Path
) -> None:
    truth = simulator.truth()
    lake.write(SessionFrames(truth["sessions"], truth["page_views"], truth["errors"]))
    script = textwrap.dedent("""
        import sys, duckdb, polars as pl, pandas as pd, pyarrow.dataset as ds, pyarrow.compute as pc
        for table, column in (("sessions", "session_length_ms"), ("page_views", "loading_time_ms"), ("errors", "group_id")):
            files = f"{sys.argv[1]}/{table}/*/*.parquet"
            ((n, total, days),) = duckdb.sql(
                f"select count(*), sum({column}), count(distinct date) from read_parquet('{files}', hive_partitioning = true)"
            ).fetchall()
            frame = pl.read_parquet(files, hive_partitioning=True)
            assert (len(frame), frame[column].cast(pl.Int128).sum(), frame["date"].n_unique()) == (n, total, days), table
            frame = pd.read_parquet(f"{sys.argv[1]}/{table}")
            assert (len(frame), sum(int(x) for x in frame[column].dropna()), frame["date"].nunique()) == (n, total, days), table
            arrow = ds.dataset(f"{sys.argv[1]}/{table}", partitioning="hive").to_table()
            assert (arrow.num_rows, sum(x.as_py() or 0 for x in arrow[column])) == (n, total), table
            print(n)
        assert "pulseframes" not in sys.modules
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "lake")], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(len(truth[name])) for name in TABLES]


# SQL


def test_sql_sees_the_tables_with_times_in_utc(lake: pf.Lake, simulator: Simulator) -> None:
    truth = simulator.truth()
    lake.write(SessionFrames(truth["sessions"], truth["page_views"], truth["errors"]))
    joined = lake.sql(
        "select country, count(*) as views from page_views join sessions using (session_id) group by all order by views desc"
    )
    expected = truth["page_views"].join(truth["sessions"], on="session_id")["country"].value_counts()
    assert dict(joined.iter_rows()) == dict(expected.iter_rows())
    day = simulator.begin.date() + timedelta(days=3)
    (count,) = lake.sql(f"select count(*) from sessions where date = '{day}' and session_start::date = date").row(0)
    assert count == len(truth["sessions"].filter(pl.col("session_start").dt.date() == day)) > 0
    assert lake.sql("select * from sessions limit 1")["session_start"].dtype == pl.Datetime("us", "UTC")
    with lake.duckdb() as connection:
        assert connection.execute("select count(*) from errors").fetchone() == (len(truth["errors"]),)
    assert lake.sql("select * from rejected").is_empty()


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('{outside}')",
        "select * from '{outside}'",
        "select * from read_text('{outside}')",
        "select * from read_parquet('{lake}/sessions/*/*.parquet')",
        "select * from glob('/*')",
        "copy (select 1) to '{lake}/x.csv'",
        "copy sessions to '{outside}.parquet'",
        "attach '{outside}.db'",
        "export database '{outside}.export'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "select * from here",
        "insert into sessions select * from sessions",
        "delete from sessions",
        "select count(* from sessions",
        "select nothing from sessions",
        "",
    ],
)
def test_a_query_reaches_no_other_file_and_changes_nothing(lake: pf.Lake, tmp_path: Path, query: str) -> None:
    lake.write(session_rows({"session_id": 1}))
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    here = pl.DataFrame({"a": [1]})
    assert len(here) == 1
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(pf.InvalidQuery, match="query: "):
        lake.sql(query.format(outside=outside, lake=tmp_path / "lake"))
    assert sorted(tmp_path.rglob("*")) == before


def test_spans_of_time_come_as_durations(lake: pf.Lake) -> None:
    lake.write(session_rows({"session_id": 1}, {"session_id": 2, "session_start": START + timedelta(minutes=90)}))
    frame = lake.sql('select max(session_start) - min(session_start) as "how ""long" from sessions')
    assert frame.to_dict(as_series=False) == {'how "long': [timedelta(minutes=90)]}


def test_a_damaged_file_is_not_blamed_on_the_query(lake: pf.Lake, tmp_path: Path) -> None:
    lake.write(session_rows({"session_id": 1}))
    path = tmp_path / "lake/sessions/date=2026-11-01/data.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(pf.LakeError, match="data.parquet cannot be read"):
        lake.sql("select * from sessions")


def test_sql_without_duckdb_says_how_to_get_it(lake: pf.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(session_rows({"session_id": 1}))
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ImportError, match=r"pip install 'pulseframes\[duckdb\]'"):
        lake.sql("select 1")


# Privacy


def test_a_lake_holds_pseudonyms_where_its_policy_says_so_and_joins_still_work(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = pf.PrivacyPolicy(
        {"personal": "pseudonymise", "ip_address": "truncate", "page": "strip_query", "user_id": "pseudonymise"},
        key="a key that nobody knows",
    )
    truth = simulator.truth()
    lake = pf.Lake(tmp_path / "lake", privacy=policy)
    lake.write(SessionFrames(truth["sessions"], truth["page_views"], truth["errors"]))
    rows = lake.sessions().collect()
    assert rows["user_id"].n_unique() == truth["sessions"]["user_id"].n_unique()
    everything = b"".join(frame.write_ndjson().encode() for frame in (rows, lake.page_views().collect()))
    for address in truth["sessions"]["user_email_address"].drop_nulls():
        assert address.encode() not in everything
    assert lake.page_views().filter(pl.col("page").str.contains("[?]")).collect().is_empty()
    again = pf.Lake(tmp_path / "lake")
    with pytest.raises(pf.LakeError, match="PULSEFRAMES_PSEUDONYM_KEY"):
        again.write(session_rows({"session_id": 1}))
    monkeypatch.setenv("PULSEFRAMES_PSEUDONYM_KEY", "a key that nobody knows")
    again.write(simulator.summaries().head(3))  # the rules are the lake's own
    assert_frame_equal(
        again.sessions().sort("session_id").collect().select("user_email_address"),
        rows.sort("session_id").select("user_email_address"),
    )
    with pytest.raises(pf.LakeError, match="created with other privacy rules"):
        pf.Lake(tmp_path / "lake", privacy=pf.PrivacyPolicy()).write(session_rows({"session_id": 1}))


def test_a_file_of_sessions_and_a_frame_of_pandas_or_pyarrow_are_written(lake: pf.Lake, tmp_path: Path) -> None:
    sessions = session_rows({"session_id": 1, "user_id": 2**54 + 1, "country": "NZ"}, {"session_id": 2})
    sessions.write_parquet(tmp_path / "week.parquet")
    (tmp_path / "week.csv").write_text("session_id")
    pandas = sessions.to_pandas(use_pyarrow_extension_array=True)
    for frames in (tmp_path / "week.parquet", pandas, sessions.to_arrow()):
        lake.write(frames)
        stored = lake.sessions().select(SESSIONS.schema.names()).sort("session_id").collect()
        assert_frame_equal(stored, sessions)
    with pytest.raises(pf.InvalidQuery, match=r"week\.csv cannot be read as Parquet"):
        lake.write(tmp_path / "week.csv")


# Copies and pickles


def number_of_sessions(lake: pf.Lake) -> int:
    return lake.sessions().collect().height


def test_a_lake_is_handed_to_another_process_and_equals_itself(lake: pf.Lake) -> None:
    lake.write(session_rows({"session_id": 1}, {"session_id": 2}))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        assert processes.submit(number_of_sessions, lake).result() == 2
    for other in (pickle.loads(pickle.dumps(lake)), copy.copy(lake), copy.deepcopy(lake), pf.Lake(lake.location)):
        assert (other, hash(other)) == (lake, hash(lake))
    assert lake != pf.Lake(lake.location + "2")


def test_a_pickle_of_a_lake_holds_no_secret(lake: pf.Lake) -> None:
    plain = pf.Lake("s3://bucket/lake", storage_options={"aws_region": "eu-west-1", "aws_endpoint_url": "https://host"})
    assert pickle.loads(pickle.dumps(plain)).store.storage_options == plain.store.storage_options
    secrets = [
        {"aws_secret_access_key": "s3cret", "aws_access_key_id": "id"},
        {"azure_storage_account_key": "czNjcmV0czNjcmV0", "azure_storage_account_name": "me"},
        {"aws_endpoint_url": "https://me:s3cret@host"},
    ]
    for options in secrets:
        name = "az://container/lake" if "azure_storage_account_key" in options else "s3://bucket/lake"
        with pytest.raises(TypeError, match=f"would show {next(iter(options))}.*environment") as refused:
            pickle.dumps(pf.Lake(name, storage_options=options))
        assert not any(secret in str(refused.value) for secret in ("s3cret", "czNj"))
    policy = pf.PrivacyPolicy({"personal": "pseudonymise"}, key="a key of sixteen characters")
    with pytest.raises(TypeError, match="without privacy"):
        pickle.dumps(pf.Lake(lake.location, privacy=policy))
