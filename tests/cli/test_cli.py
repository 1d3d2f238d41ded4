"""The commands: stdout, stderr, files and exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from conftest import NOW, Run, set_environment
from polars.testing import assert_frame_equal

from pulseframes.simulator import Fault, Simulator
from pulseframes.tables import DICTIONARY, TABLES

WEEK = ("2026-11-09", "2026-11-16")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("ending", "read"), [("parquet", pl.read_parquet), ("csv", pl.read_csv), ("ndjson", pl.read_ndjson)]
)
def test_search_writes_each_format(
    run: Run, simulator: Simulator, tmp_path: Path, ending: str, read: Callable[[Path], pl.DataFrame]
) -> None:
    path = tmp_path / f"week.{ending}"
    code, out, err = run("search", *WEEK, "-o", path)
    assert (code, out) == (0, "")
    expected = simulator.summaries(*WEEK)
    assert f"Wrote {path}: {len(expected)} rows." in err
    assert "2 calls spent." in err
    written = read(path)
    assert written.columns == expected.columns
    assert written["session_id"].to_list() == expected["session_id"].to_list()
    if ending == "parquet":
        assert_frame_equal(written, expected)
    else:
        assert re.fullmatch(r"2026-11-09T\d\d:\d\d:\d\d\.\d{6}Z", str(written["session_start"][0]))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.usefixtures("environment")
def test_search_prints_a_table_or_csv_or_ndjson_and_nothing_else_on_stdout(run: Run, simulator: Simulator) -> None:
    expected = simulator.summaries(*WEEK)
    assert "session_id" in run("search", *WEEK, "--limit", "5")[1]
    csv = run("search", *WEEK, "--country", "NZ", "--country", "US", "-f", "csv")[1]
    assert pl.read_csv(io.StringIO(csv))["session_id"].to_list() == (
        expected.filter(pl.col("country").is_in(["NZ", "US"]))["session_id"].to_list()
    )
    lines = run("search", *WEEK, "--limit", "3", "-f", "ndjson")[1].splitlines()
    assert [list(json.loads(line)) for line in lines] == [TABLES["sessions"].schema.names()] * 3


@pytest.mark.usefixtures("environment")
def test_details_take_the_ids_of_a_search_and_write_the_three_tables(
    run: Run, simulator: Simulator, tmp_path: Path
) -> None:
    run("search", *WEEK, "-o", tmp_path / "week.parquet")
    code, out, err = run("details", "--ids-from", tmp_path / "week.parquet", "--limit", "4", "-o", tmp_path / "week")
    assert (code, out) == (0, "")
    assert err.startswith("At most 4 calls, plus one")
    assert "4 calls spent." in err
    assert (
        "0 calls spent." in run("details", "--ids-from", tmp_path / "week.parquet", "--limit", "4", "-o", tmp_path)[2]
    )
    truth = simulator.truth(*WEEK)
    bought = truth["sessions"].head(4)["session_id"]
    for name in TABLES:
        expected = truth[name].filter(pl.col("session_id").is_in(bought.implode()))
        assert_frame_equal(pl.read_parquet(tmp_path / "week" / f"{name}.parquet"), expected)


@pytest.mark.usefixtures("environment")
def test_details_print_the_table_that_is_chosen(run: Run, simulator: Simulator) -> None:
    session_id = simulator.truth(*WEEK)["page_views"]["session_id"][0]
    code, out, _ = run("details", str(session_id), "--table", "page_views", "-f", "csv")
    assert code == 0
    expected = simulator.truth(*WEEK)["page_views"].filter(session_id=session_id)
    assert pl.read_csv(io.StringIO(out))["page"].to_list() == expected["page"].to_list()


@pytest.mark.usefixtures("environment")
def test_details_of_unknown_sessions_warn_on_stderr(run: Run) -> None:
    code, _, err = run("details", "1", "2")
    assert code == 0
    assert "warning: 2 sessions not found: 1, 2." in err


def test_when_the_quota_runs_out_partial_results_are_written_and_the_exit_code_is_3(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Simulator(sessions=2_000, now=NOW, daily_limit=3) as simulator:
        set_environment(monkeypatch, simulator)
        code, _, err = run("search", "2026-01-01", "2026-11-20T12:00", "-o", tmp_path / "all.parquet")
    assert code == 3
    assert "error: Daily quota used up" in err
    assert len(pl.read_parquet(tmp_path / "all.parquet")) == 1_000


def test_when_the_quota_runs_out_the_details_so_far_are_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Simulator(sessions=200, now=NOW, daily_limit=3) as simulator:
        set_environment(monkeypatch, simulator)
        ids = map(str, simulator.summaries()["session_id"].head(5))
        code, _, _ = run("details", *ids, "-o", tmp_path)
    assert code == 3
    assert len(pl.read_parquet(tmp_path / "sessions.parquet")) == 2


@pytest.mark.usefixtures("environment")
def test_rows_that_break_the_schema_are_written_beside_the_others(
    run: Run, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.faults.add(
        Fault(kind="drift", on="sessions", edit=lambda document: document["sessions"][0].update(id="x"))
    )
    code, _, err = run("search", *WEEK, "-o", tmp_path / "week.parquet")
    assert code == 1
    assert "error: Rows that break the schema: 1 of sessions." in err
    assert len(pl.read_parquet(tmp_path / "week.parquet")) == len(simulator.summaries(*WEEK)) - 1
    (line,) = (tmp_path / "week.rejected.ndjson").read_text().splitlines()
    assert json.loads(json.loads(line)["raw_json"])["id"] == "x"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "tomorrow", "2026-11-08"], "FROM: 'tomorrow' is not an ISO 8601 date or time"),
        (
            ["search", "2026-11-08", "2026-11-01"],
            "FROM (2026-11-08T00:00:00Z) must be before TO (2026-11-01T00:00:00Z)",
        ),
        (["search", *WEEK, "--country", "Neuseeland"], "--country: 'Neuseeland'"),
        (["search", *WEEK, "--limit", "0"], "error: --limit must be a whole number"),
        (["search", *WEEK, "-o", "week.docx"], "must end in .parquet, .csv, .ndjson or .xlsx"),
        (["search", *WEEK, "-o", "no/such/folder/week.csv"], "week.csv is not writable: No such file or directory"),
        (["search", *WEEK, "-o", "."], "must end in .parquet"),
        (["search", "2026-11-01"], "give FROM and TO, such as"),
        (["details"], "no session id"),
        (["details", "abc"], "not a whole number"),
        (["details", "5", "--limit", "0"], "greater than or equal to 1"),
        (["search", *WEEK, "-o", f"{'a' * 300}.csv"], "File name too long"),
        (["search", *WEEK, "-o", "/proc/x.csv"], "is not writable"),
        (["simulate", "--port", "99999"], "less than or equal to 65535"),
        (["simulate", "--faults", "no-such-file"], "does not exist"),
        (["details", "-5"], "No such option"),
        (["details", "--ids-from", "no-such-file.parquet"], "is not readable"),
        (["details", "--ids-from", "README.md"], "must end in .parquet"),
        (["details", "--ids-from", "pyproject.toml"], "must end in .parquet"),
        (["schema", "users"], "'users' is not one of"),
        (["simulate", "--faults", "README.md"], "README.md: not JSON"),
        (["buy"], "No such command"),
    ],
)
def test_wrong_usage_is_explained_exits_with_2_and_costs_nothing(
    run: Run, simulator: Simulator, arguments: list[str], said: str
) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert said in re.sub(r"[\s│]+", " ", err)
    assert out == ""
    assert simulator.requests == []


def test_missing_credentials_are_named_and_exit_with_2(run: Run) -> None:
    code, _, err = run("search", *WEEK)
    assert code == 2
    assert "PULSEFRAMES_API_KEY, PULSEFRAMES_CLIENT_ID, PULSEFRAMES_CLIENT_SECRET" in err


@pytest.mark.usefixtures("environment")
def test_a_server_that_fails_exits_with_1(run: Run, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="status", status=500, on="sessions", times=None))
    code, out, err = run("search", *WEEK)
    assert (code, out) == (1, "")
    assert "error: The server failed at sessions (500)" in err
    assert "Traceback" not in err


def test_schema_prints_every_column_of_every_table_in_each_form(run: Run) -> None:
    entries = json.loads(run("schema", "--format", "json")[1])
    assert [(entry["table"], entry["column"]) for entry in entries] == [
        (table.name, name) for table in DICTIONARY.values() for name in table.schema.names()
    ]
    assert {entry["table"] for entry in json.loads(run("schema", "errors", "-f", "json")[1])} == {"errors"}
    for form in ("table", "markdown"):
        out = run("schema", "--format", form)[1]
        assert all(name in out for table in DICTIONARY.values() for name in table.schema.names())
        assert "…" not in out


def test_the_demo_shows_frames_and_calls_spent(run: Run) -> None:
    code, out, err = run("demo")
    # Who is drawn depends on the day; a visitor of 500 pages, which some are, is warned of.
    assert (code, [line for line in err.splitlines() if "came with exactly 500" not in line]) == (0, [])
    assert "SessionFrames(sessions=25 rows" in out
    assert re.search(r"Spent: \d\d of the day's 50 calls", out)
    assert "pulseframes login" in out


def test_simulate_prints_what_to_export_and_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text('[{"kind": "status", "status": 403, "on": "sessions"}]')
    command = [
        sys.executable,
        "-m",
        "pulseframes",
        "simulate",
        "--port",
        "0",
        "--sessions",
        "50",
        "--faults",
        str(script),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        exports = dict(server.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(5))
        environment = os.environ | exports
        search = [sys.executable, "-m", "pulseframes", "search", "2020-01-01", "2100-01-01", "-f", "csv"]
        failed = subprocess.run(search, env=environment, capture_output=True, text=True, check=False)
        found = subprocess.run(search, env=environment, capture_output=True, text=True, check=True)
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=20)
    assert failed.returncode == 1
    assert "403" in failed.stderr
    assert len(found.stdout.splitlines()) == 51
    assert "3 calls answered." in err
    assert server.returncode == 0


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", ["search", "details"])
def test_a_folder_in_the_place_of_a_file_is_refused_before_a_call_is_spent(
    run: Run, simulator: Simulator, tmp_path: Path, command: str
) -> None:
    (tmp_path / "sessions.parquet").mkdir()
    arguments = [*WEEK, "-o", tmp_path / "sessions.parquet"] if command == "search" else ["5", "-o", tmp_path]
    code, _, err = run(command, *arguments)
    assert code == 2
    assert "Is a directory" in err
    assert simulator.calls == 0


@pytest.mark.usefixtures("environment")
def test_rejected_rows_of_an_earlier_run_are_removed_by_a_later_one(
    run: Run, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.faults.add(
        Fault(kind="drift", on="sessions", edit=lambda document: document["sessions"][0].update(id="x"))
    )
    assert run("search", *WEEK, "-o", tmp_path / "week.csv")[0] == 1
    assert (tmp_path / "week.rejected.ndjson").exists()
    assert run("search", *WEEK, "--refresh", "-o", tmp_path / "week.csv")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["week.csv"]


@pytest.mark.usefixtures("environment")
def test_without_data_an_older_file_is_kept_and_not_presented_as_the_result(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "1")
    (tmp_path / "week.csv").write_text("old")
    code, _, err = run("search", *WEEK, "-o", tmp_path / "week.csv")
    assert code == 3
    assert "No data was received, so" in err
    assert (tmp_path / "week.csv").read_text() == "old"


def test_a_closed_stdout_causes_no_traceback() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m pulseframes --version >&-"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("environment")
def test_a_table_on_a_terminal_wraps_nothing_and_counts_hidden_columns(
    run: Run, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(monkeypatch, "setenv", lambda *_: None)  # run() would set it wider
    out = run("search", *WEEK, "--limit", "3")[1]
    assert max(map(len, out.splitlines())) <= 80
    assert str(simulator.summaries(*WEEK)["session_id"][-1]) in out
    assert re.search(r"and \d+ more columns", out)


@pytest.mark.usefixtures("environment")
def test_a_reader_that_stops_early_causes_no_traceback() -> None:
    command = f"{sys.executable} -m pulseframes search {WEEK[0]} {WEEK[1]} -f csv | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("session_id,")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "error" not in done.stderr


@pytest.mark.usefixtures("environment")
def test_quota_shows_what_is_left_and_the_last_calls_and_costs_nothing(run: Run, simulator: Simulator) -> None:
    assert "Calls: 0 of 10,000 used in the last 24 hours, 10,000 left\n" in run("quota")[1]
    run("search", *WEEK, "--limit", "1")
    code, out, err = run("quota")
    assert (code, err) == (0, "")
    assert "Calls: 2 of 10,000 used in the last 24 hours, 9,998 left\nNext call: possible now\n" in out
    assert re.search(r"1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  authenticate  answered 202", out)
    shown = json.loads(run("quota", "--json", "--last", "1")[1])
    assert (shown["used"], shown["left"], len(shown["last_calls"])) == (2, 9998, 1)
    assert simulator.calls == 2


@pytest.mark.usefixtures("environment")
def test_quota_and_doctor_print_the_application_that_replay_takes(run: Run, tmp_path: Path) -> None:
    run("search", *WEEK, "--limit", "1")
    application = json.loads(run("quota", "--json")[1])["application"]
    assert application in run("quota")[1]
    assert application in run("doctor")[1]
    assert run("replay", "--application", application, "-o", tmp_path / "out")[0] == 0


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_details_of_a_search_without_sessions_are_empty_and_no_failure(
    run: Run, simulator: Simulator, tmp_path: Path, ending: str
) -> None:
    quiet = tmp_path / f"quiet.{ending}"
    run("search", "2020-01-01", "2020-01-02", "-o", quiet)
    spent = simulator.calls
    code, out, err = run("details", "--ids-from", quiet, "-o", tmp_path / "details")
    assert (code, out, simulator.calls) == (0, "", spent)
    assert "has no sessions, so there is nothing to download." in err
    assert pl.read_parquet(tmp_path / "details" / "sessions.parquet").is_empty()


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_a_file_without_session_ids_is_named_in_one_line_with_its_columns(
    run: Run, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"other.{ending}"
    getattr(pl.DataFrame({"country": ["NZ"]}), f"write_{ending}")(path)
    code, _, err = run("details", "--ids-from", path)
    assert code == 2
    assert f"{path} has no column session_id, only country." in err


@pytest.mark.usefixtures("environment")
def test_quota_shows_when_the_next_call_is_possible_if_none_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "2")
    run("search", *WEEK, "--limit", "1")
    assert "Next call: possible at 20" in run("quota")[1]
    code, _, err = run("details", "1")
    assert code == 3
    assert "1 still to download" in err
    assert "This call was not sent" in err


@pytest.mark.usefixtures("environment")
def test_replay_rebuilds_the_tables_offline(run: Run, simulator: Simulator, tmp_path: Path) -> None:
    run("search", *WEEK, "-o", tmp_path / "week.parquet")
    run("details", "--ids-from", tmp_path / "week.parquet", "--limit", "5", "-o", tmp_path / "details")
    simulator.stop()
    code, out, err = run("replay", "-o", tmp_path / "again")
    assert (code, out) == (0, "")
    assert "6 responses read, 0 rows rejected." in err
    again = pl.read_parquet(tmp_path / "again" / "sessions.parquet")
    week = pl.read_parquet(tmp_path / "week.parquet")
    assert again["session_id"].to_list() == week["session_id"].to_list()
    assert again["satisfaction_rating"].drop_nulls().len() > 0
    for name in ("page_views", "errors"):
        assert_frame_equal(
            pl.read_parquet(tmp_path / "again" / f"{name}.parquet"),
            pl.read_parquet(tmp_path / "details" / f"{name}.parquet"),
        )


def test_replay_without_a_journal_names_the_path(run: Run, tmp_path: Path) -> None:
    code, _, err = run("replay", "-o", tmp_path)
    assert code == 1
    assert "No journal at" in err


@pytest.mark.usefixtures("environment")
def test_doctor_passes_and_spends_nothing_without_spend(run: Run, simulator: Simulator) -> None:
    code, out, _ = run("doctor")
    assert code == 0
    assert re.findall(r"^ok   (\w+):", out, re.MULTILINE) == [
        "settings",
        "journal",
        "reachability",
        "clock",
        "credentials",
    ]
    assert "not checked" in out
    assert [(request.method, request.path) for request in simulator.requests] == [("HEAD", "/")]
    _, out, err = run("doctor", "--spend")
    assert "may cost one call" in err
    assert "accepted; 1 call spent" in out
    assert "no call spent" in run("doctor", "--spend")[1]
    assert [request.method for request in simulator.requests].count("GET") == 1


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("variable", "value", "step", "said"),
    [
        ("PULSEFRAMES_API_KEY", "", "credentials", "Not set: PULSEFRAMES_API_KEY"),
        ("PULSEFRAMES_DAILY_LIMIT", "many", "settings", "DAILY_LIMIT must be a whole number, not 'many'"),
        ("PULSEFRAMES_QUOTA_DAY", "lunar", "settings", "QUOTA_DAY must be one of rolling, utc, not 'lunar'"),
        ("PULSEFRAMES_COUNT_AUTHENTICATE", "maybe", "settings", "must be yes or no, not 'maybe'"),
        ("PULSEFRAMES_HOME", "/dev/null/home", "journal", "Check the folder's permissions"),
        ("PULSEFRAMES_BASE_URL", "http://127.0.0.1:1/api", "reachability", "Connection refused"),
        ("PULSEFRAMES_CLIENT_SECRET", "wrong", "credentials", "Check PULSEFRAMES_API_KEY"),
    ],
)
def test_doctor_names_the_step_that_fails_and_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, step: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    code, out, _ = run("doctor", "--spend")
    assert code == 1
    (failure,) = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert failure.startswith(f"FAIL {step}: ")
    assert said in failure
    steps = [line[5:].partition(":")[0] for line in out.splitlines()]
    assert steps == ["settings", "journal", "reachability", "clock", "credentials"]
