"""`doctor LAKE` names what lies in a lake and does not count, what is lost or damaged, and what to do; it changes nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Run
from lake.test_lake import START, session_rows

import pulseframes as pf

DAY = "sessions/date=2026-11-01"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    lake = pf.Lake(tmp_path / "lake")
    lake.write(session_rows({"session_id": 1}, {"session_id": 2, "session_start": START + timedelta(days=3)}))
    return Path(lake.location)


def said_of_the_lake(run: Run, lake: Path) -> list[str]:
    return [line for line in run("doctor", str(lake))[1].splitlines() if " lake: " in line]


def test_doctor_finds_nothing_wrong_with_a_lake(run: Run, lake: Path) -> None:
    (lake / "README.txt").write_text("the user's")
    assert said_of_the_lake(run, lake) == [f"ok   lake: {lake} has no damaged files, links, copies or leftovers"]
    assert " lake: " not in run("doctor")[1]


def link_a_day(lake: Path) -> None:
    (lake / DAY).rename(lake.parent / "elsewhere")
    (lake / DAY).symlink_to(lake.parent / "elsewhere")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a conflicted copy": (
        lambda lake: shutil.copy(lake / DAY / "data.parquet", lake / DAY / "data (conflicted copy).parquet"),
        rf"1 file that the lake does not read, .*: {DAY}/data \(conflicted copy\)\.parquet\. Move",
    ),
    "a copy of the state": (
        lambda lake: shutil.copy(lake / "_pulseframes/lake.json", lake / "_pulseframes/lake (copy).json"),
        r"1 file that the lake does not read, .*: _pulseframes/lake \(copy\)\.json\. Move",
    ),
    "leftovers": (
        lambda lake: (
            (lake / "_pulseframes/staging/ab12").mkdir(parents=True)
            or (lake / "_pulseframes/staging/ab12/0").write_bytes(b"PAR1")
        ),
        "1 file that a killed writer left.*The next write",
    ),
    "a link": (link_a_day, r"data\.parquet is a link, or behind one"),
    "a lost state": (lambda lake: (lake / "_pulseframes/lake.json").unlink(), r"has lost its _pulseframes/lake\.json"),
    "a damaged state": (
        lambda lake: (lake / "_pulseframes/lake.json").write_text("{"),
        r"has a damaged _pulseframes/lake\.json",
    ),
    "a damaged file": (lambda lake: truncate(lake / DAY / "data.parquet"), "cannot be read .*pulseframes replay"),
    "a folder that is a file": (lambda lake: (lake / "errors").write_text(""), "Cannot use the lake"),
    "no lake": (shutil.rmtree, "No lake at .*Create one with `pulseframes sync"),
}


@pytest.mark.parametrize(("make", "message"), FAULTS.values(), ids=FAULTS)
def test_doctor_names_a_fault_of_a_lake_and_what_to_do(
    run: Run, lake: Path, make: Callable[[Path], object], message: str
) -> None:
    make(lake)
    before = sorted(lake.rglob("*"))
    [line] = said_of_the_lake(run, lake)
    assert line.startswith("FAIL lake: ")
    assert re.search(message, line), line
    assert run("doctor", str(lake))[0] == 1
    assert sorted(lake.rglob("*")) == before


def test_doctor_lists_some_of_many_faults(run: Run, lake: Path) -> None:
    rows = [{"session_id": n, "session_start": START + timedelta(days=n)} for n in range(20)]
    pf.Lake(lake).write(session_rows(*rows))
    (lake / "sessions").rename(lake.parent / "elsewhere")
    (lake / "sessions").symlink_to(lake.parent / "elsewhere")
    lines = said_of_the_lake(run, lake)
    assert (len(lines), lines[-1]) == (11, "FAIL lake: and 10 more problems")
