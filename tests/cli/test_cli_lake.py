"""The lake's commands: their calls of the library, which is mostly a stand-in, their messages and exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from conftest import Run

import pulseframes as pf
from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.fetch.sync import SyncReport
from pulseframes.lake import Counts
from pulseframes.simulator import Fault, Simulator

WEEK = ("--from", "2026-11-09", "--to", "2026-11-16")


@dataclass
class Library:
    """A stand-in for the public functions; records its calls."""

    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    opened: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    frame: pl.DataFrame = field(default_factory=lambda: pl.DataFrame({"country": ["NZ", "US"], "sessions": [3, 2]}))
    problem: Exception | None = None

    def function(self, name: str, answer: Callable[[], object]) -> Callable[..., object]:
        def call(*arguments: Any, **options: Any) -> object:
            self.calls.append((name, arguments, options))
            if self.problem is not None:
                raise self.problem
            return answer()

        return call

    def open(self, path: str, *, privacy: object = None, storage_options: dict[str, str] | None = None) -> object:
        self.opened = {"path": path, "privacy": privacy, "storage_options": storage_options}
        return SimpleNamespace(path=path, sql=self.function("sql", lambda: self.frame))

    def synced(self) -> SyncReport:
        return SyncReport("/lake", calls_spent=3, calls_saved=4, rows={"sessions": Counts(7, 2, 1)}, **self.report)


class Result:
    """A result that can be printed."""

    def as_dict(self) -> dict[str, int]:
        return {"calls": 12}

    def __str__(self) -> str:
        return "12 calls\nin 1 day"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    public = {
        "sync": library.function("sync", library.synced),
        "plan": library.function("plan", Result),
        "forget": library.function("forget", Result),
        "retain": library.function("retain", Result),
        "Lake": library.open,
        "PrivacyPolicy": SimpleNamespace(parse=list),
    }
    for name, member in public.items():
        monkeypatch.setattr(pf, name, member)
    return library


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have a user at the terminal, who types an answer."""

    def typing(answer: str) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: answer))

    return typing


@pytest.mark.usefixtures("environment")
def test_sync_passes_its_defaults_on_and_prints_a_summary_on_stderr(run: Run, library: Library) -> None:
    code, out, err = run("sync", "lake", "--from", "2026-11-01")
    assert (code, out) == (0, "")
    ((name, (place, *window), options),) = library.calls
    assert (name, place.path, window) == ("sync", "lake", ["2026-11-01", None])
    assert options.pop("client").calls_spent == 0
    assert options == {
        "details": 0,
        "design": None,
        "look_back": timedelta(hours=24),
        "progress": None,
        "refresh": False,
    }
    assert library.opened == {"path": "lake", "privacy": None, "storage_options": None}
    assert err.splitlines() == [
        "/lake: sessions 7 new, 2 updated.",
        "Calls: 3 spent, 4 saved by the journal.",
    ]


@pytest.mark.usefixtures("environment")
def test_sync_passes_each_option_on(run: Run, library: Library) -> None:
    rules = ["--privacy", "personal=pseudonymise", "--privacy", "ip_address=truncate"]
    store = ["--storage-option", "aws_region=eu-west-1", "--storage-option", "endpoint=http://127.0.0.1/?a=b"]
    more = ["--to", "2026-11-08", "--details", "all", "--look-back", "36", "--refresh"]
    code, *_ = run("sync", "s3://bucket/lake", "--from", "2026-11-01", *more, *rules, *store)
    assert code == 0
    ((_, (_, *window), options),) = library.calls
    assert window == ["2026-11-01", "2026-11-08"]
    assert (options["details"], options["look_back"], options["refresh"]) == ("all", timedelta(hours=36), True)
    assert library.opened == {
        "path": "s3://bucket/lake",
        "privacy": ["personal=pseudonymise", "ip_address=truncate"],
        "storage_options": {"aws_region": "eu-west-1", "endpoint": "http://127.0.0.1/?a=b"},
    }


@pytest.mark.usefixtures("environment", "library")
def test_sync_prints_json_for_programs_and_nothing_else_when_it_is_quiet(run: Run) -> None:
    code, out, err = run("-q", "sync", "lake", "--from", "2026-11-01", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["rows"]["sessions"]["new"] == 7


@pytest.mark.usefixtures("environment")
def test_a_sync_without_calls_left_prints_when_to_resume_even_if_quiet_and_exits_with_3(
    run: Run, library: Library
) -> None:
    library.report = {"finished": False, "resume_at": datetime(2026, 11, 21, 9, tzinfo=UTC), "remaining": 40}
    code, out, err = run("-q", "sync", "lake", "--from", "2026-11-01", "--json")
    assert code == 3
    assert (
        "Not finished (40 sessions or details of this run still to download): run the same sync again after 2026-11-21 09:00:00 UTC"
        in err
    )
    assert json.loads(out)["finished"] is False


@pytest.mark.usefixtures("environment")
def test_plan_prints_text_or_json_and_probes_the_server_unless_told_not_to(run: Run, library: Library) -> None:
    assert run("plan", "lake", "--from", "2026-11-01", "--details", "5")[:2] == (0, "12 calls\nin 1 day\n")
    code, out, err = run("plan", "lake", "--from", "2026-11-01", "--no-probe", "--json")
    assert (code, json.loads(out), err) == (0, {"calls": 12}, "")
    (_, _, first), (_, _, second) = library.calls
    assert (first["details"], first["probe"], second["probe"]) == (5, True, False)
    assert first["look_back"] == timedelta(hours=24)


def test_sql_prints_or_writes_its_result_with_the_columns_in_the_order_of_the_query(
    run: Run, library: Library, tmp_path: Path
) -> None:
    code, out, err = run("sql", "lake", "select 1", "-f", "csv")
    assert (code, out, err) == (0, "country,sessions\nNZ,3\nUS,2\n", "")
    assert library.calls == [("sql", ("select 1",), {})]
    assert "NZ" in run("sql", "lake", "select 1")[1]
    library.frame = pl.DataFrame({"os_name": ["a"], "session_id": [1]})
    assert run("sql", "lake", "select 1")[1].index("os_name") < run("sql", "lake", "select 1")[1].index("session_id")
    code, out, err = run("sql", "lake", "select 1", "-o", tmp_path / "result.parquet")
    assert (code, out) == (0, "")
    assert "1 row." in err
    assert pl.read_parquet(tmp_path / "result.parquet").equals(library.frame)


def test_sql_with_no_rows_or_no_columns_causes_no_traceback(run: Run, library: Library) -> None:
    for frame in (library.frame.clear(), pl.DataFrame()):
        library.frame = frame
        for form in ("table", "csv", "ndjson"):
            assert run("sql", "lake", "select 1", "-f", form)[0] == 0


def test_a_result_that_a_format_cannot_hold_is_wrong_usage(run: Run, library: Library, tmp_path: Path) -> None:
    library.frame = pl.DataFrame({"pages": [["/a", "/b"]]})
    code, out, err = run("sql", "lake", "select 1", "-o", tmp_path / "result.csv")
    assert (code, out) == (2, "")
    assert "cannot be written in this format" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (InvalidQuery("Parser Error: syntax error"), 2),
        (LakeError("No lake at /lake"), 1),
        (ImportError("SQL over a lake needs DuckDB: pip install 'pulseframes[duckdb]'"), 1),
    ],
)
def test_errors_of_a_lake_are_printed_without_a_traceback(
    run: Run, library: Library, problem: Exception, code: int
) -> None:
    library.problem = problem
    assert run("sql", "lake", "selec") == (code, "", f"error: {problem}\n")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sync", "lake"], "--from: required, such as --from 2026-11-01, or --last 7d."),
        (["sync", "--from", "2026-11-01"], "Missing argument 'LAKE'"),
        (["sync", "lake", "--from", "2026-11-01", "--details", "-1"], "'-1' is neither a whole number nor all"),
        (["plan", "lake", "--from", "2026-11-01", "--details", "many"], "'many' is neither"),
        (["plan", "lake", "--from", "2026-11-01", "--details", "1.5"], "'1.5' is neither"),
        (["plan", "lake", "--from", "2026-11-01", "--look-back", "-1"], "greater than or equal to 0"),
        (
            ["sql", "lake", "select 1", "--storage-option", "s3cret"],
            "One is not KEY=VALUE, such as aws_region=us-east-1.",
        ),
        (["sql", "lake", "select 1", "-o", "result.docx"], "must end in .parquet"),
        (["retain", "lake", "--days", "0", "--yes"], "greater than or equal to 1"),
        (["forget", "lake"], "Missing option '--user'"),
    ],
)
def test_wrong_usage_of_a_lake_is_refused_before_anything_is_done(
    run: Run, library: Library, arguments: list[str], said: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert library.calls == []


REMOVALS = pytest.mark.parametrize(
    ("arguments", "name", "given", "question"),
    [
        (["forget", "lake", "--user", "jane"], "forget", "jane", "user 'jane' from the lake 'lake' and the journal?"),
        (["retain", "lake", "--days", "90"], "retain", 90, "older than 90 days from the lake 'lake' and the journal?"),
        (["retain", "--days", "90"], "retain", 90, "older than 90 days from the journal?"),
    ],
)


@REMOVALS
def test_a_removal_asks_at_a_terminal_and_does_nothing_without_a_yes(
    run: Run,
    library: Library,
    terminal: Callable[[str], None],
    arguments: list[str],
    name: str,
    given: object,
    question: str,
) -> None:
    for answer in ("n\n", "\n", "", "yet\n"):
        terminal(answer)
        code, out, err = run(*arguments)
        assert (code, out, library.calls) == (1, "", [])
        assert question in err
        assert "Nothing was removed." in err
    terminal("Y\n")
    code, out, err = run(*arguments)
    assert (code, out) == (0, "")
    ((called, (place, argument), _),) = library.calls
    assert (called, argument) == (name, given)
    assert (place is None) == ("lake" not in arguments)
    assert "12 calls\nin 1 day" in err


@REMOVALS
def test_without_a_terminal_a_removal_needs_a_yes(
    run: Run,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    name: str,
    given: object,
    question: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    code, out, err = run(*arguments)
    assert (code, out, library.calls) == (2, "", [])
    assert "Nothing was removed" in err
    code, out, err = run(*arguments, "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"calls": 12})
    assert question not in err
    assert library.calls[0][0] == name
    assert library.calls[0][1][1] == given


@pytest.mark.usefixtures("environment")
def test_a_week_is_planned_synced_and_queried(run: Run, simulator: Simulator, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    code, out, err = run("plan", lake, *WEEK, "--json")
    planned = json.loads(out)
    assert (code, err) == (0, "")
    code, out, err = run("sync", lake, *WEEK, "--details", "3", "--privacy", "personal=drop", "--json")
    assert code == 0
    done = json.loads(out)
    assert done["calls_spent"] == planned["calls"] + 3 - planned["authentications"]
    sessions = len(simulator.summaries("2026-11-09", "2026-11-16"))
    assert done["rows"]["sessions"]["new"] == sessions
    assert f"sessions {sessions} new" in err
    code, out, err = run("sql", lake, "select count(*) as n, count(user_email_address) as e from sessions", "-f", "csv")
    assert (code, out, err) == (0, f"n,e\n{sessions},0\n", "")
    code, _, err = run("sql", lake, "select nothing from sessions")
    assert code == 2
    assert err.startswith("error: QUERY: ")


@pytest.mark.usefixtures("environment")
def test_the_same_command_resumes_a_sync_when_calls_are_left_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "3")
    command = ["sync", str(tmp_path / "lake"), *WEEK, "--details", "5"]
    code, out, err = run(*command)
    assert (code, out) == (3, "")
    assert "Not finished" in err
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "50")
    code, _, err = run(*command)
    assert code == 0
    assert "Not finished" not in err


@pytest.mark.usefixtures("environment")
def test_a_sync_that_fails_reports_what_it_wrote_before(run: Run, simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.add(Fault(kind="status", status=500, on="session", times=None))
    code, out, err = run("sync", tmp_path / "lake", *WEEK, "--details", "1")
    assert (code, out) == (1, "")
    assert "sessions " in err
    assert "error: The server failed at session (500)" in err


@pytest.mark.usefixtures("environment")
def test_an_invalid_window_is_wrong_usage_and_a_missing_lake_a_failure(
    run: Run, simulator: Simulator, tmp_path: Path
) -> None:
    for command in ("plan", "sync"):
        code, _, err = run(command, tmp_path / "lake", "--from", "tomorrow")
        assert (code, "--from: 'tomorrow'" in err) == (2, True)
    code, _, err = run("sql", tmp_path / "lake", "select 1")
    assert (code, "No lake at" in err) == (1, True)
    assert simulator.requests == []
