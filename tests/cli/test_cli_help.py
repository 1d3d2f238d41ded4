"""The command line's help, examples, exit codes, completion, progress bar and JSON."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COMMANDS, Run, check_command_line

from pulseframes.cli.app import EXIT_CODES
from pulseframes.simulator import Fault, Simulator

WEEK = ("2026-11-09", "2026-11-16")
SCRIPT = Path(sys.executable).with_name("pulseframes")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_ends_with_examples_whose_commands_and_options_exist(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    lines = re.findall(r"^- `(.*)`$", COMMANDS[command].epilog, re.MULTILINE)
    assert 1 <= len(lines) <= 3
    for line in lines:
        assert line.startswith(f"pulseframes {command}")
        check_command_line(line)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(monkeypatch, "setenv", lambda *_: None)  # run() would set it wider
    code, out, _ = run(command, "--help")
    assert code == 0
    shown = [line.strip(" •") for line in out.partition("Examples:")[2].splitlines()]
    assert [line for line in shown if line] == lines


def test_help_groups_the_commands_and_explains_the_exit_codes(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert re.findall(r"─ ([A-Z][\w ]*) ─", out)[1:] == ["Fetch", "Lake", "Maintenance", "Try it"]
    for number, meaning in EXIT_CODES.items():
        assert f"• {number}: {meaning}" in out


@pytest.mark.usefixtures("environment")
def test_a_run_that_is_stopped_by_ctrl_c_exits_with_130_and_explains_how_to_resume(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="delay", seconds=20, on="sessions"))
    command = [sys.executable, "-m", "pulseframes", "search", *WEEK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as search:
        while simulator.calls < 2:  # the second one is under way
            assert search.poll() is None
        search.send_signal(signal.SIGINT)
        out, err = search.communicate(timeout=20)
    assert search.returncode == 130
    assert out == ""
    assert "run the same command again to resume" in err
    assert "Traceback" not in err


def test_the_completion_script_of_bash_is_printed() -> None:
    # The trailing command keeps bash there: it is the shell that is found by looking at the parent processes.
    done = subprocess.run(
        ["bash", "-c", f"{SCRIPT} --show-completion bash; exit $?"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "_PULSEFRAMES_COMPLETE=complete_bash" in done.stdout
    subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["sea"], ["search"]),
        (["de"], ["details", "demo"]),
        (["details", "--table", "page"], ["page_views"]),
        (["search", "--f"], ["--format"]),
        (["schema", "e"], ["errors"]),
    ],
)
def test_commands_options_and_values_are_completed(words: list[str], completed: list[str]) -> None:
    environment = os.environ | {
        "_PULSEFRAMES_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["pulseframes", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (completed, "")


@pytest.mark.usefixtures("environment")
def test_quiet_leaves_only_errors_and_warnings_on_stderr(run: Run, tmp_path: Path) -> None:
    assert run("-q", "search", *WEEK, "-o", tmp_path / "week.csv") == (0, "", "")
    assert (tmp_path / "week.csv").exists()
    assert run("--quiet", "replay", "-o", tmp_path) == (0, "", "")
    assert run("-q", "details", "1")[2].splitlines() == ["warning: 1 session not found: 1."]
    code, _, err = run("-q", "search", "tomorrow", "today")
    assert code == 2
    assert err.startswith("error: FROM: 'tomorrow'")
    assert "calls spent." in run("search", *WEEK)[2]


@pytest.mark.usefixtures("environment")
def test_on_a_terminal_a_bar_shows_the_calls_spent_and_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "50")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    err = run("search", *WEEK, "--limit", "10")[2]
    assert "10/10" in err
    assert "0 calls spent, 50 left" in err
    assert "2 calls spent, 48 left" in err
    assert "left" not in run("-q", "search", *WEEK, "--limit", "10")[2]


@pytest.mark.usefixtures("environment")
def test_replay_and_doctor_print_json_for_programs(run: Run, tmp_path: Path) -> None:
    run("search", *WEEK, "-o", tmp_path / "week.csv")
    code, out, err = run("replay", "-o", tmp_path / "again", "--json")
    assert code == 0
    assert "1 response read" in err
    done = json.loads(out)
    assert (done["calls"], done["rejected"], done["malformed"]) == (1, 0, [])
    assert done["rows"]["sessions"] == len((tmp_path / "week.csv").read_text().splitlines()) - 1
    assert all(Path(path).exists() for path in done["paths"])
    code, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert (code, found["ok"]) == (0, True)
    assert [step["step"] for step in found["steps"]] == ["settings", "journal", "reachability", "clock", "credentials"]


def test_doctor_as_json_has_the_step_that_fails(run: Run) -> None:
    code, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["steps"][-1]["ok"]) == (1, False, False)
    assert "PULSEFRAMES_API_KEY" in found["steps"][-1]["said"]
