"""The journal's responses as Parquet: each as it was received, by day, in little memory, and nothing of anybody else's touched."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import Clock, Run, client_of, credentials_of
from hypothesis import given, settings, strategies as st
from lake.test_remote_storage import _no_cloud_of_the_developer, endpoint, options, url  # noqa: F401  pytest finds them here
from support.documents import detail_body

import pulseframes as pf
from pulseframes.client import JOURNAL_FILE, CallRecord, Journal
from pulseframes.client.journal import Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.fetch import raw_export
from pulseframes.fetch.raw_export import export_raw
from pulseframes.simulator import Simulator
from pulseframes.tables import RAW_ANSWERS

APPLICATION = "shop"
START = datetime(2026, 11, 1, 22, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def fill(
    home: Path, bodies: list[bytes], *, apart: timedelta = timedelta(hours=1), application: str = APPLICATION
) -> None:
    """Add responses to a journal, at these distances from each other."""
    clock = Clock()
    clock.now = START
    home.mkdir(exist_ok=True)
    journal = Journal(home / JOURNAL_FILE, clock=clock)
    for number, body in enumerate(bodies):
        call_id = journal.reserve(Request(application, "session", f"id={number}"), QuotaRule(10_000))
        journal.complete(call_id, "answered", status=200, body=body)
        clock.advance(seconds=apart.total_seconds())
    journal.close()


def names(home: Path, *days: int, application: str = APPLICATION) -> list[str]:
    """Return the paths of the first files of some days."""
    identity = Journal(home / JOURNAL_FILE).identity()
    return [f"date=2026-11-{day:02}/{application}-{identity}-00000.parquet" for day in days]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file of an export, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("date=*/*"))}


def rows(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(f"{folder}/**/*.parquet", hive_partitioning=True).sort("call_id")


def records(home: Path) -> list[CallRecord]:
    return [record for record in Journal(home / JOURNAL_FILE).records() if record.endpoint != "authenticate"]


def test_every_response_is_exported_as_it_was_received_and_no_secret_is(
    simulator: Simulator, tmp_path: Path, home: Path, clock: Clock
) -> None:
    with client_of(simulator, changes={"home": home}, clock=clock, sleep=clock.sleep) as client:
        found = pf.search_sessions("2026-11-09", "2026-11-12", country=["NZ", "US"], user_type="known", client=client)
        clock.advance(days=2)
        pf.session_details(found["session_id"].head(5), client=client)
        before = len(simulator.requests)
        report = export_raw(tmp_path / "raw", settings=client.settings)
        assert len(simulator.requests) == before
    kept = records(home)
    exported = rows(tmp_path / "raw")
    assert exported.drop("date").schema == RAW_ANSWERS
    assert exported["call_id"].to_list() == [record.id for record in kept]
    assert exported["fetched_at"].to_list() == [record.at for record in kept]
    assert [body.encode() for body in exported["body"]] == [record.body for record in kept]
    assert (exported["date"] == exported["fetched_at"].dt.date()).all()
    assert json.loads(exported["parameters"][0])["country"] == "NZ,US"
    assert json.loads(exported["parameters"][-1]).keys() == {"id"}
    assert report.answers == len(kept) == len(exported)
    assert set(exported["endpoint"]) == {"sessions", "session"}
    text = str(exported.drop("body_bytes").to_dicts())
    credentials = credentials_of(simulator)
    for secret in (credentials.api_key, credentials.client_id, credentials.client_secret):
        assert secret.reveal() not in text


@settings(max_examples=25)
@given(
    bodies=st.lists(
        st.binary(min_size=1, max_size=40) | st.text(min_size=1, max_size=40).map(str.encode), min_size=1, max_size=8
    )
)
def test_no_byte_of_a_response_is_lost_whatever_its_encoding(
    bodies: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bodies")
    fill(folder / "home", bodies)
    report = export_raw(folder / "raw", settings=pf.Settings(home=folder / "home"))
    exported = rows(folder / "raw")
    texts, others = exported["body"], exported["body_bytes"]
    assert [other if text is None else text.encode() for text, other in zip(texts, others, strict=True)] == bodies
    assert (texts.is_null() != others.is_null()).all()
    assert report.not_utf8 == texts.null_count()


def test_an_export_that_is_run_again_gives_the_same_files(tmp_path: Path, home: Path) -> None:
    fill(home, [detail_body(id=number) for number in range(5)])
    first = export_raw(tmp_path / "raw", settings=pf.Settings(home=home))
    assert first.files == names(home, 1, 2)
    before = contents(tmp_path / "raw")
    assert export_raw(tmp_path / "raw", settings=pf.Settings(home=home)) == first
    assert contents(tmp_path / "raw") == before


def test_a_day_is_exported_whole_and_other_days_stay(tmp_path: Path, home: Path) -> None:
    fill(home, [detail_body(id=number) for number in range(60)])
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    report = export_raw(tmp_path / "raw", noon, noon + timedelta(hours=1), settings=pf.Settings(home=home))
    assert (report.answers, report.files) == (24, names(home, 2))
    assert export_raw(tmp_path / "raw", "2026-11-02", "2026-11-03", settings=pf.Settings(home=home)) == report
    export_raw(tmp_path / "raw", "2026-11-03", settings=pf.Settings(home=home))
    assert len(rows(tmp_path / "raw")) == 60 - 2


def test_files_of_others_are_left_as_they_are(tmp_path: Path, home: Path) -> None:
    fill(home, [detail_body(id=number) for number in range(3)])
    folder = tmp_path / "raw" / "date=2026-11-01"
    folder.mkdir(parents=True)
    others = [
        folder / name
        for name in (
            *("part-0.parquet", "shop-1.parquet", "other-00007.parquet", ".hidden", "shop-00000.parquet.bak"),
            *(".downloads.part", ".video1.part", ".Abc123_x.part", ".abc-23_x.part"),
        )
    ]
    identity = Journal(home / JOURNAL_FILE).identity()
    gone = [folder / name for name in (f"shop-{identity}-00007.parquet", ".abc123_x.part")]
    for path in [*others, *gone]:
        path.write_bytes(b"x")
    export_raw(tmp_path / "raw", settings=pf.Settings(home=home))
    assert [path.read_bytes() for path in others] == [b"x"] * len(others)
    assert not any(path.exists() for path in gone)


def test_two_applications_share_a_destination(tmp_path: Path, home: Path) -> None:
    fill(home, [detail_body(id=1)])
    fill(home, [detail_body(id=2)], application="club")
    kept = pf.Settings(home=home)
    with pytest.raises(pf.InvalidQuery, match="club, shop"):
        export_raw(tmp_path / "raw", settings=kept)
    for application in ("shop", "club"):
        export_raw(tmp_path / "raw", application=application, settings=kept)
    assert sorted(contents(tmp_path / "raw")) == [
        *names(home, 1, application="club"),
        *names(home, 1),
    ]


def test_two_journals_of_an_application_share_a_destination(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("one", "two")]
    for number, home in enumerate(homes):
        fill(home, [detail_body(id=number)])
    for home in (*homes, *homes):
        export_raw(tmp_path / "raw", settings=pf.Settings(home=home))
    assert [*contents(tmp_path / "raw")] == sorted(name for home in homes for name in names(home, 1))
    assert rows(tmp_path / "raw")["parameters"].n_unique() == 1
    assert rows(tmp_path / "raw")["body"].n_unique() == 2


def test_what_was_forgotten_is_gone_from_the_next_export(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_export, "FILE_BYTES", 1)
    jane, joe = (
        {"user": {"identifier": name, "emailAddress": f"{name}@example.com"}, "links": None}
        for name in ("jane-1", "joe-2")
    )
    people = [jane, joe, jane]
    fill(home, [detail_body(id=number, **person) for number, person in enumerate(people)])
    kept = pf.Settings(home=home)
    assert len(export_raw(tmp_path / "raw", settings=kept).files) == 3
    assert pf.forget(None, "jane-1", settings=kept).found
    assert export_raw(tmp_path / "raw", settings=kept).files == names(home, 1)
    assert rows(tmp_path / "raw")["call_id"].to_list() == [2]
    assert all(b"jane" not in data for data in contents(tmp_path / "raw").values())


@pytest.mark.parametrize("others", [0, 1], ids=["of the journal", "of one application"])
def test_files_go_even_if_the_last_response_was_forgotten(others: int, tmp_path: Path, home: Path) -> None:
    jane = detail_body(id=1, user={"identifier": "jane-1", "emailAddress": "jane-1@example.com"}, links=None)
    fill(home, [jane])
    for number in range(others):
        fill(home, [detail_body(id=5)], application=f"other{number}")
    kept = pf.Settings(home=home)
    for application in (APPLICATION, *(f"other{number}" for number in range(others))):
        export_raw(tmp_path / "raw", application=application, settings=kept)
    before = contents(tmp_path / "raw")
    assert any(b"jane" in data for data in before.values())
    assert pf.forget(None, "jane-1", settings=kept).found
    report = export_raw(tmp_path / "raw", application=APPLICATION if others else None, settings=kept)
    assert (report.answers, report.files) == (0, [])
    assert len(contents(tmp_path / "raw")) == len(before) - 1 == others
    assert not any(b"jane" in data for data in contents(tmp_path / "raw").values())


@pytest.mark.parametrize("moment", range(4))
def test_an_export_that_is_killed_half_way_and_run_again_equals_one_that_was_not(
    moment: int, tmp_path: Path, home: Path
) -> None:
    fill(home, [detail_body(id=number) for number in range(40)])
    kept = pf.Settings(home=home)
    export_raw(tmp_path / "whole", settings=kept)
    killed = f"""
import os
from pathlib import Path
from pulseframes import Settings, export_raw
left = {moment}
replace = Path.replace
def dies(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return replace(self, target)
Path.replace = dies
export_raw({str(tmp_path / "raw")!r}, settings=Settings(home={str(home)!r}))
"""
    died = subprocess.run([sys.executable, "-c", killed], check=False).returncode
    assert died == (-9 if moment < 3 else 0)
    complete = {name: data for name, data in contents(tmp_path / "raw").items() if name.endswith(".parquet")}
    assert complete.items() <= contents(tmp_path / "whole").items()
    assert len(complete) == moment
    export_raw(tmp_path / "raw", settings=kept)
    assert contents(tmp_path / "raw") == contents(tmp_path / "whole")


def test_a_large_journal_is_exported_in_little_memory(tmp_path: Path, home: Path) -> None:
    body = random.Random(1).randbytes(2_000_000).hex().encode()  # hardly compresses
    fill(home, [b"%d" % number + body for number in range(100)], apart=timedelta(seconds=1))  # 400 MB
    code = f"""
import resource
import polars as pl
from pulseframes import Settings, export_raw
import pulseframes.fetch.raw_export
pl.DataFrame({{"a": [1]}}).to_arrow()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = export_raw({str(tmp_path / "raw")!r}, settings=Settings(home={str(home)!r}))
print(report.answers, len(report.files), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    answers, files, megabytes = map(int, done.stdout.split())
    assert (answers, files) == (100, 6)
    assert megabytes < 250


def test_a_bucket_gets_the_same_files_as_a_folder(
    url: str,  # noqa: F811  the fixture
    options: dict[str, str],  # noqa: F811  the fixture
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(raw_export, "FILE_BYTES", 2_000)
    fill(home, [detail_body(id=number) for number in range(30)])
    kept = pf.Settings(home=home)
    in_folder = export_raw(tmp_path / "raw", settings=kept)
    in_bucket = export_raw(url, settings=kept, storage_options=options)
    assert in_bucket.files == in_folder.files
    assert len(in_folder.files) > 10
    read = pl.read_parquet(f"{url}/date=*/*.parquet", storage_options=options, hive_partitioning=True).sort("call_id")
    assert read.equals(rows(tmp_path / "raw"))


def test_a_lake_is_no_destination(tmp_path: Path, home: Path, simulator: Simulator) -> None:
    fill(home, [detail_body(id=1)])
    pf.Lake(tmp_path / "lake").write(simulator.summaries().head(1))
    with pytest.raises(pf.InvalidQuery, match="is a lake. Name another folder"):
        export_raw(tmp_path / "lake", settings=pf.Settings(home=home))


@pytest.mark.parametrize("inside", ["lake/sessions", "lake/raw/deeper", "link"])
def test_a_folder_in_a_lake_is_no_destination(inside: str, tmp_path: Path, home: Path, simulator: Simulator) -> None:
    fill(home, [detail_body(id=1)])
    pf.Lake(tmp_path / "lake").write(simulator.summaries().head(1))
    (tmp_path / "link").symlink_to(tmp_path / "lake" / "sessions")
    with pytest.raises(pf.InvalidQuery, match="lies in .*lake, which is a lake. Name another folder"):
        export_raw(tmp_path / inside, settings=pf.Settings(home=home))


def test_a_prefix_in_a_lake_in_a_bucket_is_no_destination(
    url: str,  # noqa: F811  the fixture
    options: dict[str, str],  # noqa: F811  the fixture
    home: Path,
    simulator: Simulator,
) -> None:
    fill(home, [detail_body(id=1)])
    pf.Lake(url, storage_options=options).write(simulator.summaries().head(1))
    with pytest.raises(pf.InvalidQuery, match="lies in .*, which is a lake. Name another folder"):
        export_raw(f"{url}/sessions/raw", settings=pf.Settings(home=home), storage_options=options)


def test_the_command_prints_what_it_wrote(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    fill(home, [detail_body(id=1), b"\xff"])
    monkeypatch.setenv("PULSEFRAMES_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    code, out, err = run("export-raw", "raw", "--json")
    assert (code, err) == (0, "raw: 2 responses of 1 day, 1 file.\n1 response not in UTF-8; see body_bytes.\n")
    assert json.loads(out)["files"] == names(home, 1)
    assert "personal data" in " ".join(run("export-raw", "--help")[1].split())
