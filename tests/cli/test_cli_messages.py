"""Messages of the command line: its own words, and a sentence where there is nothing."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COMMANDS, NOW, Run, set_environment

import pulseframes as pf
from pulseframes.simulator import Fault, Simulator
from pulseframes.tables import DICTIONARY, TABLES

WEEK = ("2026-11-09", "2026-11-16")
#: A line of each command; options with bad values come after it. The demo takes none, and the server would run on.
LINES = {
    "search": WEEK,
    "details": ("123",),
    "quota": (),
    "plan": ("lake", "--from", WEEK[0]),
    "sync": ("lake", "--from", WEEK[0], "--to", WEEK[1]),
    "sql": ("lake", "select 1"),
    "estimate": ("lake", "median(loading_time_ms)"),
    "pages": ("lake",),
    "errors": ("lake",),
    "satisfaction": ("lake",),
    "report": ("lake", "-o", "report.html"),
    "forget": ("lake", "--user", "nobody", "--yes"),
    "retain": ("lake", "--days", "300", "--yes"),
    "replay": ("-o", "out"),
    "export-raw": ("raw",),
    "doctor": (),
    "login": ("--remove",),
    "schema": (),
}
COLUMNS = {name for table in DICTIONARY.values() for name in table.schema.names()}
ARGUMENTS = {
    name
    for thing in (getattr(pf, public) for public in pf.__all__)
    if inspect.isfunction(thing) or thing in (pf.Lake, pf.Settings, pf.PulseClient, pf.Design, pf.PrivacyPolicy)
    for name in inspect.signature(thing).parameters
    if "_" in name
}
#: None, a call with dots, a call in backticks, ``name=`` and the names of Python arguments that are not columns.
PYTHON = re.compile(
    rf"\bNone\b|\w+\(\.\.\.|`[^`]*\w\([^`]*`|\w+=[.,;]|\{{\}}|\b(?:{'|'.join(sorted(ARGUMENTS - COLUMNS))})\b"
)


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def wrong_lines(command: str) -> Iterator[tuple[str, ...]]:
    """Yield lines with a bad value of each argument and each option that takes one."""
    line = LINES[command]
    for place, word in enumerate(line):
        if not word.startswith("-"):
            yield from ((*line[:place], bad, *line[place + 1 :]) for bad in ("", "nope", "ftp://x/y"))
    for option in COMMANDS[command].params:
        if option.param_type_name == "option" and not option.is_flag:
            yield from ((*line, option.opts[0], bad) for bad in ("nope", "-1"))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", LINES)
def test_no_message_about_a_bad_value_speaks_python(run: Run, command: str) -> None:
    assert run("sync", *LINES["sync"])[0] == 0
    for line in wrong_lines(command):
        code, _, err = run(command, *line)
        assert code in {0, 1, 2}
        found = PYTHON.search(re.sub(r"[\s│]+", " ", err))
        assert found is None, f"{command} {' '.join(line)}: {found}\n{err}"
        assert "Traceback" not in err


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            ["search", *WEEK, "--country", "New Zealand"],
            "--country: 'New Zealand' is not a country code. Use two-letter",
        ),
        (["search", *reversed(WEEK)], "FROM (2026-11-16T00:00:00Z) must be before TO"),
        (
            ["details", "--", "-1"],
            "ID: expected whole numbers, got -1 (at position 0), outside 0 to 9223372036854775807.",
        ),
        (["estimate", "ftp://x/y", "count()"], "LAKE: unknown scheme ftp://"),
        (
            ["sql", "lake", "select 1", "--storage-option", "a=b"],
            "--storage-option: only a lake in a bucket takes them",
        ),
        (["sync", "lake", "--from", WEEK[0], "--privacy", "x"], "--privacy: 'x' is not a rule"),
        (
            ["sync", "lake", "--from", WEEK[0], "--details", "5", "--strata", "country"],
            "--strata: it needs --design pageviews",
        ),
        (["forget", "lake", "--user", ""], "--user is empty. Give an identifier"),
        (["estimate", "lake", "avg(loading_time_ms)"], "Did you mean mean(loading_time_ms)?"),
        (["estimate", "lake", "count()", "--by", "browser"], "Did you mean 'browser_name'?"),
    ],
)
def test_a_message_names_the_argument_or_option_before_a_call_is_spent(
    run: Run, simulator: Simulator, line: list[str], said: str
) -> None:
    pf.Lake("lake").write(pf.SessionFrames(*(table.empty() for table in TABLES.values())))
    code, _, err = run(*line)
    assert (code, simulator.calls) == (2, 0)
    assert said in re.sub(r"[\s│]+", " ", err)
    assert "calls spent" not in err


@pytest.mark.usefixtures("environment")
def test_how_a_sample_is_drawn_is_explained_for_python_and_for_the_command_line(run: Run) -> None:
    run("sync", *LINES["sync"])
    _, _, err = run("estimate", "lake", "median(loading_time_ms)")
    assert "Draw one with `pulseframes sync` and --details 45 --design pageviews." in err
    with pytest.raises(pf.LakeError, match=r"Draw one with sync\(\.\.\., details=45, design='pageviews'\)"):
        pf.estimate("lake", "median(loading_time_ms)")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PULSEFRAMES_DAILY_LIMIT", "-1", "PULSEFRAMES_DAILY_LIMIT must be a whole number of at least 1, not -1."),
        ("PULSEFRAMES_BASE_URL", "ftp://x", "PULSEFRAMES_BASE_URL: 'ftp://x' is not an http(s) address."),
        ("PULSEFRAMES_QUOTA_DAY", "lunar", "PULSEFRAMES_QUOTA_DAY must be one of rolling, utc, not 'lunar'."),
    ],
)
def test_a_setting_of_the_environment_is_named_by_its_variable(
    run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    code, _, err = run("quota")
    assert code == 2
    assert said in err
    assert "FAIL settings: " + said in run("doctor")[1]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            ["2030-01-01", "2030-01-02"],
            "No sessions between 2030-01-01 and 2030-01-02, which is in the future.",
        ),
        ([*WEEK, "--country", "ZZ"], "No sessions between 2026-11-09 and 2026-11-16 for country ZZ."),
        ([*WEEK, "--user-identifier", "nobody"], "No sessions between 2026-11-09 and 2026-11-16 for user nobody."),
    ],
)
def test_a_search_without_sessions_says_so_in_one_line(run: Run, line: list[str], said: str) -> None:
    code, _, err = run("search", *line)
    assert code == 0
    assert err.splitlines().count(said) == 1


@pytest.mark.usefixtures("environment")
def test_an_unknown_id_alone_is_named_and_no_failure(run: Run) -> None:
    code, out, err = run("details", "123")
    assert (code, out) == (0, "no rows\n")
    assert "1 session not found: 123." in err


@pytest.mark.usefixtures("environment")
def test_calls_are_counted_once_and_below_an_error(
    run: Run, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("plan", "sync"):
        _, out, err = run(command, "lake", "--from", WEEK[0], "--to", WEEK[1], "--details", "2")
        assert "calls spent" not in out + err
    assert "Calls: 3 spent" in err
    simulator.faults.add(Fault(kind="status", status=503, on="sessions", times=3))
    code, _, err = run("search", "2026-11-02", "2026-11-03")
    assert code == 1
    first, *rest = err.splitlines()
    assert first.startswith("error: ")
    assert rest == [
        "Run the same command again later: it resumes, and nothing that was received is paid for twice.",
        "3 calls spent.",
    ]
    monkeypatch.setenv("PULSEFRAMES_API_KEY", "wrong")
    assert "Run the same command again" not in run("search", "2026-11-02", "2026-11-03")[2]


@pytest.mark.usefixtures("environment")
def test_details_are_no_updates_of_a_new_lake(run: Run) -> None:
    assert re.search(r": sessions [\d,]+ new; page_views \d+ new[;.]", run("sync", *LINES["sync"], "--details", "3")[2])
    assert ": nothing new.\n" in run("sync", *LINES["sync"])[2]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (("details", "1.5"), 2, "Invalid value for 'ID': not a whole number"),
        (("sync", "lake", "--from", "7d", "--look-back", "nan"), 2, "'--look-back': not a whole number"),
        (("details", "--ids-from", "."), 2, ". is a folder. Name a file with session ids, such as sessions.parquet."),
        (("details", "--ids-from", "no.csv"), 2, "no.csv is not readable: No such file or directory."),
        (("sql", "two\nlines", "select 1"), 2, r"'two\nlines' has characters that cannot be printed."),
        (
            ("sync", "dangling", "--from", WEEK[0]),
            1,
            "dangling is a link that leads nowhere. Restore what it leads to.",
        ),
        (("sql", "lake", ""), 2, "QUERY: it has nothing to run. Give one statement"),
        (("sql", "lake", "select 1 as a; select 2 as b"), 2, "QUERY: it has 2 statements, whose results but the last"),
    ],
)
@pytest.mark.usefixtures("environment")
def test_a_slip_is_explained_in_plain_words_and_costs_nothing(
    run: Run, simulator: Simulator, line: tuple[str, ...], code: int, said: str
) -> None:
    Path("dangling").symlink_to("nowhere")
    pf.Lake("lake").write(pf.SessionFrames(*(table.empty() for table in TABLES.values())))
    ended, out, err = run(*line)
    assert (ended, out, simulator.calls) == (code, "", 0)
    assert said in re.sub(r"[\s│]+", " ", err)


@pytest.mark.usefixtures("environment")
def test_semicolons_within_or_after_one_statement_are_no_second_one(run: Run) -> None:
    pf.Lake("lake").write(pf.SessionFrames(*(table.empty() for table in TABLES.values())))
    assert run("sql", "lake", "select 'a;b' as x; -- ;", "-f", "csv")[:2] == (0, "x\na;b\n")


@pytest.mark.usefixtures("environment")
def test_a_replay_says_what_it_put_back_and_nothing_else(run: Run) -> None:
    run("sync", *LINES["sync"], "--details", "2")
    assert run("replay", "--lake", "lake") == (0, "", "lake: nothing changed.\n")
    day = next(Path("lake/sessions").iterdir()) / "data.parquet"
    day.unlink()
    assert re.fullmatch(r"lake: \d+ sessions put back.*\n", run("replay", "--lake", "lake")[2])


@pytest.mark.parametrize("line", [("forget", "--user", "x"), ("retain", "--days", "9")])
def test_an_erasure_that_reaches_no_journal_warns(
    run: Run, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PULSEFRAMES_HOME", ":memory:")
    _, _, err = run(*line, "--yes")
    assert "warning: PULSEFRAMES_HOME=:memory: names no journal, so none is searched." in err


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("columns", "shown"), [(60, "country"), (100, "page_view_count")])
def test_a_search_on_a_narrow_terminal_shows_more_than_ids(
    run: Run, monkeypatch: pytest.MonkeyPatch, columns: int, shown: str
) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", str(columns))
    monkeypatch.setattr(monkeypatch, "setenv", lambda *_: None)  # run() would set it wider
    _, out, _ = run("search", *WEEK)
    heading = out.splitlines()[2]
    assert re.findall(r"\w+", heading)[:2] == ["session_id", "session_start"]
    assert shown in heading
    assert max(map(len, out.splitlines())) < columns
    assert re.search(r"┆ 2026-11-09 \d\d:\d\d:\d\d ┆", out)


@pytest.mark.usefixtures("environment")
def test_retain_and_forget_claim_nothing_that_they_did_not_do(run: Run) -> None:
    run("sync", *LINES["sync"])
    _, out, err = run("retain", "lake", "--days", "3000", "--yes", "--json")
    assert re.fullmatch(r"Nothing was older than \d{4}-\d\d-\d\d UTC. Nothing was removed.\n", err)
    assert '"removed": false' in out
    assert run("forget", "lake", "--user", "nobody", "--yes")[2] == "No matching user found. Nothing was removed.\n"


def test_doctor_goes_on_after_a_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, simulator: Simulator
) -> None:
    set_environment(monkeypatch, simulator)
    monkeypatch.delenv("PULSEFRAMES_API_KEY")
    monkeypatch.setenv("PULSEFRAMES_HOME", str(tmp_path / "home"))
    code, out, _ = run("doctor", "--spend")
    assert code == 1
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        *("ok   settings", "ok   journal", "ok   reachability", "ok   clock", "FAIL credentials"),
    ]
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "none")
    _, out, _ = run("doctor")
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        *("FAIL settings", "skip journal", "skip reachability", "skip clock", "FAIL credentials"),
    ]
    assert [request.method for request in simulator.requests] == ["HEAD"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_whole_on_a_terminal_of_80_columns(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(monkeypatch, "setenv", lambda *_: None)  # run() would set it wider
    _, out, _ = run(command, "--help")
    options = [line for line in out.splitlines() if line.startswith("│")]
    assert [line for line in options if "…" in line] == []


def test_the_rest_of_a_stopped_sync_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator(sessions=2_000, now=NOW, daily_limit=3) as simulator:
        set_environment(monkeypatch, simulator)
        monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "3")
        code, _, err = run("sync", "lake", "--from", "2026-11-01", "--details", "10")
    assert code == 3
    assert re.search(r"Not finished \(.* still to download\): run the same sync again", err)
