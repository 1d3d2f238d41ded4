"""``-o`` into a bucket: what a folder gets, with an S3 server on this machine, and Excel files."""

from __future__ import annotations

import io
import math
import sys
import uuid
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import Run, client_of, set_environment
from lake.test_lake import session_rows
from lake.test_remote_storage import KEY, SECRET, _no_cloud_of_the_developer, endpoint, options_of  # noqa: F401  fixtures
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes._files import encoded, may_have_rows
from pulseframes.lake import open_store
from pulseframes.simulator import Simulator

WEEK = ("2026-11-09", "2026-11-16")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> str:  # noqa: F811  the fixture
    """The address of a folder that no other test has; the credentials are in the environment, as they should be."""
    for name, value in options_of(endpoint).items():
        monkeypatch.setenv(name.upper(), value)
    return f"s3://lake/outputs/{uuid.uuid4().hex}"


@pytest.fixture
def shop(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Simulator:
    set_environment(monkeypatch, simulator)
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "10000")
    monkeypatch.chdir(tmp_path)
    return simulator


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A lake of two sessions, and a working folder."""
    monkeypatch.chdir(tmp_path)
    pf.Lake("lake").write(session_rows({"session_id": 1, "country": "NZ"}, {"session_id": 2}))
    return "lake"


READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    "parquet": pl.read_parquet,
    "csv": pl.read_csv,
    "ndjson": pl.read_ndjson,
}


@pytest.mark.parametrize("extension", READERS)
def test_a_search_into_a_bucket_writes_what_one_into_a_folder_does_and_never_replaces_rows_by_none(
    shop: Simulator, run: Run, bucket: str, extension: str
) -> None:
    target = f"{bucket}/week.{extension}"
    code, _, err = run("search", *WEEK, "-o", target)
    assert (code, f"Wrote {target}: " in err) == (0, True), err
    assert run("search", *WEEK, "-o", f"week.{extension}")[0] == 0
    data = open_store(bucket).read(f"week.{extension}")
    assert data is not None
    assert_frame_equal(READERS[extension](data), READERS[extension](Path(f"week.{extension}").read_bytes()))
    code, _, err = run("search", "2030-01-01", "2030-01-02", "-o", target)
    assert code == 1
    assert f"{target} has rows and this result has none, so it was left as it is." in err
    assert open_store(bucket).read(f"week.{extension}") == data
    del shop


def test_rejected_rows_of_an_earlier_run_are_removed_from_the_bucket(shop: Simulator, run: Run, bucket: str) -> None:
    open_store(bucket).write("week.rejected.ndjson", b"{}")
    assert run("search", *WEEK, "-o", f"{bucket}/week.parquet")[0] == 0
    assert open_store(bucket).list("") == ["week.parquet"]
    del shop


def test_details_go_into_a_folder_of_the_bucket(shop: Simulator, run: Run, bucket: str) -> None:
    ids = [str(number) for number in shop.summaries(*WEEK)["session_id"].head(3)]
    code, _, err = run("details", *ids, "-o", f"{bucket}/week")
    assert code == 0, err
    assert sorted(open_store(f"{bucket}/week").list("")) == [
        *("errors.parquet", "page_views.parquet", "sessions.parquet"),
    ]
    sessions = pl.read_parquet(open_store(f"{bucket}/week").read("sessions.parquet") or b"")
    assert sorted(map(str, sessions["session_id"])) == sorted(ids)
    code, _, err = run("details", "123", "-o", f"{bucket}/week")
    assert (code, "has rows and this result has none" in err) == (1, True)


def test_a_report_and_figures_of_a_lake_in_a_bucket_go_into_the_bucket(
    shop: Simulator,
    run: Run,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,  # noqa: F811  the fixture
) -> None:
    with client_of(shop) as client:
        pf.sync(f"{bucket}/lake", *WEEK, details=5, client=client)
    assert run("report", f"{bucket}/lake", "-o", f"{bucket}/week.html")[0] == 0
    assert (open_store(bucket).read("week.html") or b"").startswith(b"<!DOCTYPE html>")
    for name in options_of(endpoint):
        monkeypatch.delenv(name.upper())
    given = [f"--storage-option={name}={value}" for name, value in options_of(endpoint).items()]
    code, _, err = run("pages", f"{bucket}/lake", "-o", f"{bucket}/pages.csv", *given)
    assert code == 0, err
    data = open_store(bucket, options_of(endpoint)).read("pages.csv")
    assert "p75_ms" in pl.read_csv(data or b"").columns


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("s3://no-such-bucket/x.parquet", 1, "there is no such bucket or container. Create it first"),
        ("s3://lake/x.txt", 2, "s3://lake/x.txt must end in .parquet, .csv, .ndjson or .xlsx"),
        (f"az://lake/x.parquet?sv=1&sig={SECRET}", 2, "it is not the address of a file in a bucket"),
        (f"az://lake/x?sig={SECRET}.parquet", 2, "it is not the address of a file in a bucket"),
        (f"s3://lake/x.txt#{SECRET}", 2, "it is not the address of a file in a bucket"),
        ("s3://x.parquet", 2, "it is not the address of a file in a bucket, such as s3://bucket/week.parquet."),
        (f"s3://{KEY}:{SECRET}@lake/x.parquet", 2, "it is not the address of a file in a bucket"),
        ("ftp://lake/x.parquet", 2, "it is not the address of a file in a bucket"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_before_a_call_is_spent(
    shop: Simulator, run: Run, bucket: str, target: str, code: int, said: str
) -> None:
    ended, _, err = run("search", *WEEK, "-o", target)
    assert (ended, shop.requests) == (code, [])
    assert said in " ".join(err.replace("│", " ").split())
    assert SECRET not in err
    del bucket


def test_session_ids_are_not_read_from_an_address_whose_secret_is_not_shown(run: Run) -> None:
    code, _, err = run("details", "--ids-from", f"az://lake/x.parquet?sig={SECRET}")
    assert (code, "it must be a file of this machine, not an address" in err) == (2, True)
    assert SECRET not in err


def test_a_report_in_a_bucket_is_html_and_not_opened(run: Run, bucket: str) -> None:
    code, _, err = run("report", "lake", "-o", f"{bucket}/x.pdf")
    assert (code, "a report must end in .html or .htm" in err) == (2, True)
    code, _, err = run("report", "lake", "-o", f"{bucket}/x.html", "--open")
    assert (code, "only for a file on this machine" in err) == (2, True)


def sheet(data: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        assert "hyperlink" not in parts.read("xl/worksheets/sheet1.xml").decode()
        return parts.read("xl/worksheets/sheet1.xml").decode() + parts.read("xl/sharedStrings.xml").decode()


def test_excel_keeps_every_digit_of_an_id_and_runs_nothing_of_the_data() -> None:
    pytest.importorskip("xlsxwriter", reason="the extra excel")
    day = datetime(2026, 11, 9, 1, 2, 3, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "session_id": [3112576962600745828, 5],
            "count": [10**17, None],
            "title": ["=cmd|'/c calc'!A1", "https://example.com/x"],
            "at": [day, None],
            "upper": [math.inf, 0.5],
            "took": [timedelta(seconds=5), None],
            "pages": [["/a", "/b"], []],
        }
    )
    cells = sheet(encoded(frame, "xlsx"))
    for text in (
        "3112576962600745828",
        "100000000000000000",
        "=cmd|'/c calc'!A1",
        "https://example.com/x",
        "/a, /b",
        "PT5S",
    ):
        assert f">{text}<" in cells
    assert "<f>" not in cells
    assert may_have_rows(encoded(frame, "xlsx"), "xlsx")
    assert not may_have_rows(encoded(frame.clear(), "xlsx"), "xlsx")


@pytest.mark.parametrize("kind", sorted(pl.datatypes.group.INTEGER_DTYPES, key=str), ids=str)
def test_excel_holds_integers_of_every_type_as_numbers_up_to_fifteen_digits(kind: type[pl.DataType]) -> None:
    pytest.importorskip("xlsxwriter", reason="the extra excel")
    largest = pl.select(kind.max()).item()  # type: ignore[attr-defined]  # of integers
    frame = pl.DataFrame({"small": [7, None], "large": [largest, None]}, schema={"small": kind, "large": kind})
    cells = sheet(encoded(frame, "xlsx"))
    assert "<v>7</v>" in cells
    assert (f"<v>{largest}</v>" if largest < 10**15 else f">{largest}<") in cells
    assert not may_have_rows(encoded(frame.clear(), "xlsx"), "xlsx")
    assert may_have_rows(encoded(frame.tail(1), "xlsx"), "xlsx")


def test_a_number_that_sql_computes_goes_into_excel(lake: str, run: Run) -> None:
    pytest.importorskip("xlsxwriter", reason="the extra excel")
    query = "SELECT session_id, CASE WHEN country='NZ' THEN 1 ELSE 0 END AS nz FROM sessions"
    code, _, err = run("sql", lake, query, "-o", "x.xlsx")
    assert code == 0, err
    assert "<v>1</v>" in sheet(Path("x.xlsx").read_bytes())


def test_a_text_that_excel_cuts_is_warned_of(run: Run, lake: str) -> None:
    pytest.importorskip("xlsxwriter", reason="the extra excel")
    code, _, err = run("sql", lake, "SELECT repeat('x', 32768) AS page, repeat('y', 32767) AS y", "-o", "x.xlsx")
    assert code == 0, err
    assert "warning: texts in page were cut to 32,767 characters, the most in a cell of Excel. Write Parquet" in err


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pl.DataFrame({"x": [b"1"]}), "Excel cannot hold x, which is Binary"),
        (pl.DataFrame({"x": [{"a": 1}]}), "Excel cannot hold x, which is Struct"),
        (pl.DataFrame({"x": [1], "X": [2]}), "Excel cannot hold two columns of the same name"),
        (pl.DataFrame({"x": pl.repeat(1, 1_048_576, eager=True)}), "Excel cannot hold more than 1,048,575 rows"),
    ],
)
def test_what_excel_cannot_hold_is_named(frame: pl.DataFrame, said: str) -> None:
    pytest.importorskip("xlsxwriter", reason="the extra excel")
    with pytest.raises(pl.exceptions.ComputeError, match=said):
        encoded(frame, "xlsx")


def test_a_search_writes_an_excel_file_and_keeps_one_with_rows(shop: Simulator, run: Run) -> None:
    pytest.importorskip("xlsxwriter", reason="the extra excel")
    code, _, err = run("search", *WEEK, "-o", "week.xlsx")
    assert code == 0, err
    before = Path("week.xlsx").read_bytes()
    sessions = shop.summaries(*WEEK)
    assert f">{sessions['session_id'][0]}<" in sheet(before)
    assert sheet(before).count("<row ") == len(sessions) + 1
    assert run("search", "2030-01-01", "2030-01-02", "-o", "week.xlsx")[0] == 1
    assert Path("week.xlsx").read_bytes() == before
    code, _, err = run("details", "--ids-from", "week.xlsx", "-o", "out")
    assert (code, "week.xlsx must end in .parquet, .csv or .ndjson to be read." in err) == (2, True)


def test_without_the_package_an_excel_file_is_refused_before_a_call_is_spent(
    shop: Simulator, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    code, _, err = run("search", *WEEK, "-o", "week.xlsx")
    assert (code, shop.requests) == (1, [])
    assert err == "error: An Excel file needs XlsxWriter: pip install 'pulseframes[excel]'\n"
