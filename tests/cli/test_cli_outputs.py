"""Files keep their rows if a run brings none, and nothing is printed into a progress bar."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from conftest import NOW, Run, client_of, set_environment
from hypothesis import given, settings, strategies as st

import pulseframes as pf
from pulseframes._files import FORMATS, check_keeps_rows, write_frame
from pulseframes.simulator import Simulator

WEEK = ("2026-11-09", "2026-11-16")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulator]:
    """A simulator in the environment, and a limit of 8 calls a day."""
    with Simulator(sessions=4_000, now=NOW, daily_limit=None) as running:
        set_environment(monkeypatch, running)
        monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "8")
        monkeypatch.chdir(tmp_path)
        yield running


@settings(max_examples=20)
@given(st.sampled_from([*FORMATS]), st.integers(0, 2), st.integers(0, 2))
def test_only_a_file_with_rows_is_protected_from_a_result_without(
    tmp_path_factory: pytest.TempPathFactory, file_format: str, before: int, after: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"x.{file_format}"
    write_frame(pl.DataFrame({"session_id": range(before)}, {"session_id": pl.Int64}), path, file_format)
    if before and not after:
        with pytest.raises(FileExistsError, match="was left as it is. Delete it"):
            check_keeps_rows(path, after)
    else:
        check_keeps_rows(path, after)


def test_details_that_the_quota_cuts_off_before_the_first_leave_the_folder_as_it_was(shop: Simulator, run: Run) -> None:
    del shop
    assert run("search", *WEEK, "-o", "week.parquet")[0] == 0
    assert run("details", "--ids-from", "week.parquet", "--limit", "3", "-o", "out")[0] == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    others = pl.read_parquet("week.parquet").tail(400)
    others.write_parquet("others.parquet")
    assert run("details", "--ids-from", "others.parquet", "-o", "rest")[0] == 3
    others.tail(9).write_parquet("last.parquet")
    code, _, said = run("details", "--ids-from", "last.parquet", "-o", "out")
    assert code == 3
    assert "No data was received, so nothing was written to out." in said
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_details_into_a_file_are_refused_before_a_call_is_spent(shop: Simulator, run: Run) -> None:
    Path("a.csv").write_text("mine")
    code, _, said = run("details", "5", "-o", "a.csv")
    assert code == 2
    assert "a.csv cannot be a folder: File exists. Name one, such as week." in " ".join(said.split())
    assert Path("a.csv").read_text() == "mine"
    assert shop.requests == []


@pytest.mark.parametrize("extension", [*FORMATS])
def test_a_search_that_finds_nobody_leaves_a_file_with_sessions_as_it_was(
    shop: Simulator, run: Run, extension: str
) -> None:
    del shop
    name = f"week.{extension}"
    assert run("search", *WEEK, "-o", name, "--limit", "5")[0] == 0
    before = Path(name).read_bytes()
    code, _, said = run("search", "2030-01-01", "2030-01-02", "-o", name)
    assert code == 1
    assert (
        f"{name} has rows and this result has none, so it was left as it is. Delete it to write an empty file." in said
    )
    assert Path(name).read_bytes() == before
    Path(name).unlink()
    assert run("search", "2030-01-01", "2030-01-02", "-o", name)[0] == 0
    assert Path(name).exists()


def test_a_replay_of_other_days_leaves_the_tables_as_they_were(shop: Simulator, run: Run) -> None:
    del shop
    assert run("search", *WEEK, "-o", "week.parquet")[0] == 0
    assert run("replay", "-o", "out")[0] == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    code, _, said = run("replay", "-o", "out", "--to", "2001-01-01")
    assert code == 1
    assert "was left as it is" in said or "no responses" in said
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_frames_without_rows_do_not_replace_files_with_rows(shop: Simulator, tmp_path: Path) -> None:
    with client_of(shop) as client:
        ids = pf.search_sessions(*WEEK, client=client, limit=2)["session_id"]
        pf.session_details(ids, client=client).write_parquet(tmp_path / "out")
    with pytest.raises(FileExistsError, match="has rows and this result has none"):
        pf.session_details([]).write_parquet(tmp_path / "out")
    assert len(pl.read_parquet(tmp_path / "out" / "sessions.parquet")) == 2


def on_terminal(*arguments: str, columns: int = 100) -> tuple[int, list[str]]:
    """Run a command on a terminal of some columns; return the exit code, and the lines that stand there at the end."""
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "pulseframes", *arguments]
    environment = os.environ | {
        "TERM": "xterm",
        "COLUMNS": str(columns),
        "PYTHONPATH": str(Path(pf.__file__).parents[1]),
    }
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    text = b""
    try:
        while part := os.read(leader, 65_536):
            text += part
    except OSError:  # how a terminal ends
        pass
    os.close(leader)
    return process.wait(), screen(text.decode())


def screen(text: str) -> list[str]:
    """Return the lines that a terminal shows after some output."""
    lines, row, column = [""], 0, 0
    for control, letter, character in re.findall(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b])", text):
        if letter == "A":
            row = max(0, row - int(control or 1))
        elif letter == "K":
            lines[row] = "" if control == "2" else lines[row][:column]
        elif character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif character:
            lines[row] = lines[row].ljust(column)[:column] + character + lines[row][column + 1 :]
            column += 1
    return lines


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sync", "lake", "--from", WEEK[0], "--to", WEEK[1], "--details", "30", "--design", "pageviews"), 3),
        (("details", "--ids-from", "week.parquet", "-o", "out"), 3),
        (("details", "--ids-from", "week.parquet"), 3),
        (("search", "2026-10-25", WEEK[1]), 3),
    ],
    ids=["sync", "details into a folder", "details printed", "search"],
)
def test_messages_warnings_and_tables_stand_on_lines_of_their_own(
    shop: Simulator, run: Run, arguments: tuple[str, ...], code: int
) -> None:
    del shop
    assert run("search", *WEEK, "-o", "week.parquet")[0] == 0
    ended, lines = on_terminal(*arguments)
    assert ended == code
    assert any(re.search("calls spent|Calls: .* spent", line) for line in lines)
    assert [line for line in lines if "━" in line] == []


def test_the_data_dictionary_is_readable_on_a_narrow_terminal() -> None:
    _, lines = on_terminal("schema", "errors", columns=50)
    assert max(map(len, map(str.rstrip, lines))) <= 50
    assert any(re.search(r"group_id +ID of the group of similar", line) for line in lines)
    assert any("errors[].groupId" in line for line in on_terminal("schema", "errors")[1])
