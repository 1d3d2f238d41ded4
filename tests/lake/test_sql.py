"""SQL over a lake ends, is bounded, and returns types that polars can reckon with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import Run

import pulseframes as pf
from lake.test_lake import START, session_rows
from pulseframes.lake import sql
from pulseframes.tables import SESSIONS

NAME = "Zoë O'Neil"


@pytest.fixture
def lake(tmp_path: Path) -> pf.Lake:
    lake = pf.Lake(tmp_path / "lake")
    end = START + timedelta(hours=1)
    lake.write(session_rows({"session_id": 1, "page_view_count": 5, "session_end": end, "user_full_name": NAME}))
    lake.write(session_rows({"session_id": 2, "page_view_count": 2, "session_end": end}))
    return lake


def test_a_sum_is_an_integer_if_it_fits(lake: pf.Lake) -> None:
    sums = lake.sql("SELECT sum(page_view_count) AS views, count(*) AS n, 2::hugeint ** 70 AS wide FROM sessions")
    assert sums.schema["views"] == pl.Int64
    assert sums.select(pl.col("views") / pl.col("n")).item() == 3.5
    assert sums.select("views").write_ndjson() == '{"views":7}\n'


@pytest.mark.parametrize("form", ["{}", "[{}]", "{{'a': {}}}", "map{{'a': {}}}", "[{{'a': [{}]}}]", "array_value({})"])
def test_integers_of_128_bits_are_numbers_wherever_they_stand(lake: pf.Lake, form: str) -> None:
    for value, number in (("7", "7"), ("1000000000000000000000", "1e+21"), ("-1", "-1")):
        result = lake.sql(f"SELECT {form.format(f'{value}::hugeint')} AS x, {form.format('null::hugeint')} AS y")
        assert "Decimal" not in str(result.schema)
        assert number in result.select("x").write_ndjson()
        assert f'"{number}"' not in result.select("x").write_ndjson()
        assert "null" in result.select("y").write_ndjson()


def test_an_error_while_rows_are_streamed_is_an_invalid_query(lake: pf.Lake) -> None:
    late = "SELECT cast(CASE WHEN range = 99999 THEN 'a' ELSE '1' END AS int) FROM range(100000)"
    with pytest.raises(pf.InvalidQuery, match="Could not convert string 'a'"):
        lake.sql(late)


def test_parameters_are_values_whatever_is_in_them(lake: pf.Lake) -> None:
    query = "SELECT session_id FROM sessions WHERE user_full_name = "
    assert lake.sql(f"{query} ?", [NAME]).item() == 1
    assert lake.sql(f"{query} $name", {"name": NAME}).item() == 1
    with pytest.raises(pf.InvalidQuery):
        lake.sql(f"{query} ?", [])


@pytest.mark.parametrize("nested", ["union_value(n := 1)", "[union_value(n := 1)]"])
def test_unions_are_rejected_with_advice(lake: pf.Lake, nested: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=r"x is a union.*cast\(x as varchar\)"):
        lake.sql(f"SELECT {nested} AS x")


@pytest.mark.parametrize("nested", ["[{}]", "{{'a': {}}}", "map{{'a': {}}}", "[{{'a': [{}]}}]"])
def test_intervals_inside_other_types_are_rejected_with_advice(lake: pf.Lake, nested: str) -> None:
    with pytest.raises(pf.InvalidQuery, match="epoch_ms"):
        lake.sql(f"SELECT {nested.format('session_end - session_start')} AS x FROM sessions")


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::timestamp",
        "'-infinity'::timestamptz",
        "'infinity'::date",
        "'290000-01-01'::date",
        "'290000-01-01'::timestamp_s",
        "'infinity'::timestamp_s",
        "time '24:00:00'",
    ],
)
@pytest.mark.parametrize("form", ["{}", "[{}]", "{{'a': {}}}", "map{{'a': {}}}", "[{{'a': [{}]}}]", "array_value({})"])
def test_a_time_that_polars_cannot_print_is_rejected_with_advice(lake: pf.Lake, form: str, value: str) -> None:
    value = form.format(value)
    with pytest.raises(pf.InvalidQuery, match=r"far has times outside .*cast\(x as varchar\)"):
        lake.sql(f"SELECT {value} AS far FROM sessions")
    assert lake.sql(f"SELECT cast({value} AS varchar) AS far").schema["far"] == pl.String
    ends = lake.sql("SELECT '0001-01-01'::date AS a, '9999-12-31 23:59:59.999999'::timestamp AS b, null::date AS c")
    assert ends.row(0) == (date.min, datetime(9999, 12, 31, 23, 59, 59, 999_999), None)  # noqa: DTZ001  as stored


def test_durations_in_csv_are_in_iso_8601(lake: pf.Lake, run: Run) -> None:
    query = "SELECT avg(session_end - session_start) + INTERVAL 500 MILLISECOND AS length FROM sessions"
    assert run("sql", lake.location, query, "-f", "csv") == (0, "length\nPT1H0.5S\n", "")


@pytest.mark.parametrize(
    "value", ["'ab'::blob", "['ab'::blob]", "{'a': 'ab'::blob}", "map{'a': 'ab'::blob}", "'101'::bit", "1::bignum"]
)
def test_binary_data_in_ndjson_are_wrong_usage_and_no_panic(
    lake: pf.Lake, run: Run, capfd: pytest.CaptureFixture[str], value: str
) -> None:
    code, out, err = run("sql", lake.location, f"SELECT {value} AS x", "-f", "ndjson")
    assert (code, out, "Traceback" in err) == (2, "", False)
    assert "NDJSON cannot hold x, which is binary" in " ".join(err.replace("│", " ").split())
    assert "panicked" not in err + capfd.readouterr().err


def test_a_result_is_bounded(lake: pf.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_LARGEST", 10_000_000)
    with pytest.raises(pf.InvalidQuery, match="more than 1 GiB"):
        lake.sql("SELECT * FROM range(1_000_000_000)")
    settings = lake.sql("SELECT current_setting('memory_limit') AS memory, current_setting('temp_directory') AS folder")
    assert settings.row(0) == ("4.0 GiB", "")


ENDLESS = """
import sys
from pulseframes import cli
from pulseframes.lake import sql
really = sql._result
def result(*args):
    print("begun", flush=True)
    return really(*args)
sql._result = result
cli.main()
"""


def interrupted(lake: pf.Lake, query: str, after: float = 0) -> tuple[int, str]:
    """The exit code and the messages of a query that Ctrl-C stops after some seconds."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ENDLESS, "sql", lake.location, query]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT count(*) FROM t",
        "SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b WHERE (a.range * b.range) % 7 = 3",
    ],
)
def test_ctrl_c_ends_a_query_that_would_not_end(lake: pf.Lake, query: str) -> None:
    code, errors = interrupted(lake, query)
    assert (code, "Traceback" in errors) == (130, False), errors


def test_ctrl_c_ends_the_command_though_duckdb_cannot_stop_the_query(lake: pf.Lake) -> None:
    code, errors = interrupted(
        lake, "SELECT sum(x) FROM (SELECT unnest(generate_series(1, 20_000_000)) x ORDER BY random())", 0.5
    )
    assert (code, "Traceback" in errors) == (130, False), errors


@pytest.mark.parametrize("after", [0.02 * step for step in range(8)])
def test_ctrl_c_at_any_moment_of_a_short_query_ends_it_or_comes_too_late(lake: pf.Lake, after: float) -> None:
    code, errors = interrupted(lake, "SELECT count(*) FROM range(30_000_000)", after)
    # Python itself, at its end, has no handler any more: a shell reports that as 130, too.
    assert code in {0, 130, -signal.SIGINT}, errors
    assert "Traceback" not in errors


def test_a_process_ends_after_a_query_that_reads_a_part_of_many_days(tmp_path: Path) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    rows = [{"session_id": day, "session_start": start + timedelta(days=day)} for day in range(25)]
    pf.Lake(tmp_path / "lake").write(pl.DataFrame(rows, SESSIONS.schema))
    script = f"import pulseframes as pf; print(len(pf.Lake({str(tmp_path / 'lake')!r}).sql('select * from sessions limit 1')))"
    for _ in range(3):  # Arrow may still read ahead when Python ends
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "1\n")
