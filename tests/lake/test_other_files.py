"""What lies in a lake and is not the lake's: links, copies and leftovers. Nothing of it is changed, and none counts in silence."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

import pulseframes as pf
from lake.test_lake import START, session_rows
from pulseframes.erasure.forget import Forgotten
from pulseframes.lake.commit import COMMIT_FILE

JANE = "jane@example.com"
DAY = "sessions/date=2026-11-01"


@pytest.fixture
def lake(tmp_path: Path) -> pf.Lake:
    """Jane's session, and one of somebody else three days later."""
    lake = pf.Lake(tmp_path / "lake")
    lake.write(
        session_rows(
            {"session_id": 1, "user_identifier": JANE}, {"session_id": 2, "session_start": START + timedelta(days=3)}
        )
    )
    return lake


def forget_jane(lake: pf.Lake) -> Forgotten:
    return pf.forget(lake, JANE, settings=pf.Settings(home=":memory:"))


def ids(lake: pf.Lake) -> list[int]:
    return sorted(lake.sessions().collect()["session_id"])


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


WRITES: dict[str, Callable[[pf.Lake], object]] = {
    "write": lambda lake: lake.write(
        session_rows({"session_id": 1, "user_identifier": JANE, "session_updated": START, "country": "NZ"})
    ),
    "forget": forget_jane,
    "retain": lambda lake: pf.retain(lake, 1, settings=pf.Settings(home=":memory:")),
}


# Links


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(
    "linked", ["_pulseframes", "_pulseframes/staging", "_pulseframes/lake.json", "sessions", DAY, f"{DAY}/data.parquet"]
)
def test_nothing_behind_a_link_is_changed(
    lake: pf.Lake, tmp_path: Path, linked: str, write: Callable[[pf.Lake], object]
) -> None:
    place, elsewhere = tmp_path / "lake" / linked, tmp_path / "elsewhere"
    if linked.endswith("lake.json") and write is WRITES["write"]:
        write = WRITES["forget"]  # a write leaves the state as it is
    if not place.exists():
        place.mkdir()
    (shutil.copyfile if place.is_file() else shutil.copytree)(place, elsewhere)
    if elsewhere.is_dir():
        (elsewhere / "0123456789abcdef").mkdir()
        (elsewhere / "0123456789abcdef" / "0").write_text("precious")
        (elsewhere / "photo.jpg").write_text("precious")
    (shutil.rmtree if place.is_dir() else os.unlink)(place)
    place.symlink_to(elsewhere)
    before = (snapshot(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes(), snapshot(tmp_path / "lake"))
    with pytest.raises(pf.LakeError, match="is a link, or behind one"):
        write(lake)
    after = snapshot(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()
    assert after == before[0]
    assert ids(lake) == [1, 2]
    assert lake.sql("SELECT count(*) FROM sessions").item() == 2
    place.unlink()  # the advice
    shutil.move(elsewhere, place)
    write(lake)


@pytest.mark.parametrize("lost", ["_pulseframes/lake.json", "_pulseframes/lock", "sessions", DAY])
def test_a_link_that_leads_nowhere_is_no_empty_place(lake: pf.Lake, tmp_path: Path, lost: str) -> None:
    place = tmp_path / "lake" / lost
    (shutil.rmtree if place.is_dir() else os.unlink)(place)
    place.symlink_to(tmp_path / "nowhere")
    reads: list[Callable[[], object]] = [lambda: lake.sessions().collect(), lambda: lake.sql("FROM sessions")]
    reads = reads if "sessions" in lost else []
    for use in [*reads, lambda: forget_jane(lake), lambda: lake.write(session_rows({"session_id": 3}))]:
        with pytest.raises(pf.LakeError, match="link|No lake"):
            use()
    assert not (tmp_path / "nowhere").exists()


def test_a_lake_whose_folder_is_a_link_is_a_lake(lake: pf.Lake, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(lake.location)
    WRITES["write"](pf.Lake(tmp_path / "shortcut"))
    assert forget_jane(pf.Lake(tmp_path / "shortcut")).found
    assert ids(lake) == [2]


# Copies


@pytest.mark.parametrize(
    "copy",
    [
        f"{DAY}/data-LAPTOP.parquet",
        f"{DAY}/copy of data.parquet",
        f"{DAY}/sub/data.parquet",
        f"{DAY} 2/data.parquet",
        "sessions/date=20261101/data.parquet",
        "sessions/date=2026-11-31/data.parquet",
        "sessions/data.parquet",
    ],
)
def test_copies_are_left_out_with_a_warning_and_never_change_a_figure(lake: pf.Lake, tmp_path: Path, copy: str) -> None:
    place = tmp_path / "lake" / copy
    place.parent.mkdir(exist_ok=True)
    shutil.copyfile(tmp_path / "lake" / DAY / "data.parquet", place)
    with pytest.warns(pf.PulseWarning, match=f"{place}: the lake does not read or change"):
        assert ids(lake) == [1, 2]
    assert lake.sql("SELECT count(*) FROM sessions").item() == 2  # warned of once
    WRITES["write"](lake)
    assert ids(lake) == [1, 2]
    before = snapshot(tmp_path / "lake")
    for erase in (WRITES["forget"], WRITES["retain"]):
        with pytest.raises(pf.LakeError, match="would not be erased: .*Nothing was removed"):
            erase(lake)
    assert snapshot(tmp_path / "lake") == before
    place.unlink()
    assert forget_jane(lake).found


def test_other_programs_files_change_nothing(lake: pf.Lake, tmp_path: Path) -> None:
    for name in (
        "sessions/_SUCCESS",
        f"{DAY}/.data.parquet.crc",
        f"{DAY}/._data.parquet",
        "sessions/.DS_Store",
        "notes.txt",
    ):
        (tmp_path / "lake" / name).write_text("theirs")
    WRITES["write"](lake)
    assert forget_jane(lake).found
    assert ids(lake) == [2]
    assert (tmp_path / "lake" / DAY / "._data.parquet").read_text() == "theirs"


# Folders of the form key=value above the lake


@pytest.mark.parametrize(
    "parent", ["app=shop", "date=2020-01-01", "country=NZ", "session_id=1", "a=1/a=2", "[x] *?/app=x"]
)
def test_folders_above_a_lake_are_no_partitions(tmp_path: Path, parent: str) -> None:
    lake = pf.Lake(tmp_path / parent / "lake")
    lake.write(
        session_rows({"session_id": 1, "country": "AU"}, {"session_id": 2, "session_start": START + timedelta(1)})
    )
    WRITES["write"](lake)
    rows = lake.sessions().sort("session_id").collect()
    assert rows.select("session_id", "country", pl.col("date").cast(str)).rows() == [
        (1, "NZ", "2026-11-01"),
        (2, None, "2026-11-02"),
    ]
    assert lake.sessions().filter(date=START.date()).collect()["session_id"].to_list() == [1]
    assert lake.sessions().head(1).collect().height == 1
    assert lake.sql("SELECT count(*) FROM sessions WHERE date = '2026-11-01'").item() == 1
    (tmp_path / parent / "lake" / DAY / "copy.parquet").write_bytes(
        (tmp_path / parent / "lake" / DAY / "data.parquet").read_bytes()
    )
    with pytest.warns(pf.PulseWarning, match=r"copy\.parquet"):
        assert ids(lake) == [1, 2]


# Leftovers of killed writers

KILLED = """
import os, signal, sys
import pulseframes as pf
from lake.test_lake import START, session_rows
steps = iter(range(100))
really = os.fsync
def fsync(file):
    if next(steps) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    really(file)
os.fsync = fsync
pf.Lake(sys.argv[1]).write(session_rows(*({"session_id": n, "user_identifier": "jane@example.com"} for n in (1, 2))))
"""


@pytest.mark.parametrize("after", [0, 1])
def test_the_next_writer_removes_the_half_written_files_of_a_killed_one(tmp_path: Path, after: int) -> None:
    path = tmp_path / "lake"
    tests = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, *sys.path])}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), str(after)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [*path.rglob(".*.part")]
    lake = pf.Lake(path)
    theirs = path / "_pulseframes" / ".notes.txt"
    theirs.write_text("the user's")
    lake.write(session_rows({"session_id": 3}))
    assert ids(lake) == [3]
    left = {file for file in path.rglob("*") if file.is_file()} - {path / "_pulseframes" / "lock"}
    assert left == {path / "_pulseframes/lake.json", path / DAY / "data.parquet", theirs}


paths = st.one_of(
    st.text(max_size=20),
    st.from_regex(r"\A_pulseframes/staging/[0-9a-f]{1,4}/[0-9]\Z"),
    st.builds(
        "{}/date={}/{}".format,
        st.sampled_from(["sessions", "..", "other"]),
        st.sampled_from(["2026-11-01", "2026-11-0\0", "٢٠٢٦-11-01", "..", "2026-99-99"]),
        st.sampled_from(["data.parquet", "\0", "..", "a" * 300, "data.parquet\n"]),
    ),
)


@settings(max_examples=60)
@given(moves=st.lists(st.tuples(paths, paths), max_size=2), deletes=st.lists(paths, max_size=2))
def test_a_forged_list_of_changes_is_a_lake_error_or_reaches_only_the_lake(
    moves: list[tuple[str, str]], deletes: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("forged")
    (folder / "precious.txt").write_text("theirs")
    lake = pf.Lake(folder / "lake")
    with lake.locked():
        pass
    (folder / "lake" / COMMIT_FILE).write_bytes(msgspec.json.encode({"moves": moves, "deletes": deletes}))
    with suppress(pf.LakeError), lake.locked():
        pass
    assert {path.name for path in folder.iterdir()} == {"lake", "precious.txt"}
