"""Tables rebuilt from the journal: the same bytes each time, merged by the rules, in batches of any size."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import NOW, Clock, client_of
from filelock import FileLock
from hypothesis import given, strategies as st
from polars.testing import assert_frame_equal
from support.documents import DETAIL, SUMMARY, detail_body, search_body

import pulseframes as pf
from pulseframes.client.journal import Journal, Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.fetch import replay as replaying
from pulseframes.fetch.replay import ReplayReport, replay
from pulseframes.flatten.merge import AGE, FROM_DETAIL, newest_sessions
from pulseframes.simulator import Fault, Simulator
from pulseframes.tables import REJECTED, SESSIONS, TABLES

ALWAYS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
APPLICATION = "shop"


def journal_of(*answers: tuple[str, bytes]) -> Journal:
    """Return a journal in memory with these responses, in this order."""
    journal = Journal(None)
    for endpoint, body in answers:
        call_id = journal.reserve(Request(APPLICATION, endpoint), QuotaRule(1_000))
        journal.complete(call_id, "answered", status=200, body=body)
    return journal


def replayed(journal: Journal, folder: Path) -> tuple[ReplayReport, dict[str, pl.DataFrame]]:
    report = replay(journal, APPLICATION, *ALWAYS, folder)
    return report, {name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES}


def updated(second: int) -> str:
    return f"2017-01-25T02:00:{second:02}Z"


def test_a_replay_has_every_cell_that_was_fetched_and_the_same_bytes_each_time(
    simulator: Simulator, client: pf.PulseClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = pf.search_sessions("2026-01-01", NOW, client=client)
    details = pf.session_details(sessions["session_id"].sample(40, seed=3), client=client)
    simulator.stop()
    first = replay(client.journal, client.application, *ALWAYS, tmp_path / "first")
    monkeypatch.setattr(replaying, "BATCH_BYTES", 10_000)  # many small batches
    second = replay(client.journal, client.application, *ALWAYS, tmp_path / "second")
    assert first.calls == second.calls == 4 + 40
    assert [path.name for path in first.paths] == ["sessions.parquet", "page_views.parquet", "errors.parquet"]
    for path in first.paths:
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    frames = {name: pl.read_parquet(tmp_path / "first" / f"{name}.parquet") for name in TABLES}
    assert_frame_equal(frames["page_views"].sort("session_id", "view_index"), details.page_views)
    assert_frame_equal(frames["errors"].sort("session_id", "error_index"), details.errors)
    detailed = frames["sessions"].join(details.sessions.select("session_id"), on="session_id", how="semi")
    assert_frame_equal(detailed, details.sessions)
    others = frames["sessions"].join(details.sessions.select("session_id"), on="session_id", how="anti")
    assert_frame_equal(others, sessions.join(details.sessions.select("session_id"), on="session_id", how="anti"))
    assert first.rows == {name: len(frame) for name, frame in frames.items()}
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(path.name for path in first.paths)


def test_a_newer_summary_updates_a_session_and_keeps_the_fields_of_its_details(tmp_path: Path) -> None:
    detail = detail_body(id=1, sessionUpdated=updated(1), status="active", satisfactionRating="Poor")
    summary = search_body(SUMMARY | {"id": 1, "sessionUpdated": updated(2), "status": "ended", "pageViewCount": 9})
    for answers in ([("session", detail), ("sessions", summary)], [("sessions", summary), ("session", detail)]):
        _, frames = replayed(journal_of(*answers), tmp_path)
        (row,) = frames["sessions"].to_dicts()
        assert (row["status"], row["satisfaction_rating"], row["ip_city"], row["page_view_count"]) == (
            "ended",
            "Poor",
            "string",
            9,
        )
        assert len(frames["page_views"]) == 1


def test_the_page_views_of_a_session_are_those_of_its_newest_details_only(tmp_path: Path) -> None:
    view = DETAIL["pageViews"][0]
    old = detail_body(id=1, sessionUpdated=updated(1), pageViews=[view | {"page": "old"}] * 3)
    new = detail_body(id=1, sessionUpdated=updated(2), pageViews=[view | {"page": "new"}] * 2)
    for answers in ([old, new], [new, old]):
        _, frames = replayed(journal_of(*(("session", body) for body in answers)), tmp_path)
        assert frames["page_views"]["page"].to_list() == ["new", "new"]
        assert len(frames["errors"]) == 1


def test_responses_that_are_not_json_are_skipped_and_reported_and_rejected_rows_are_kept(tmp_path: Path) -> None:
    journal = journal_of(
        ("session", detail_body(id=1)),
        ("session", b"<html>"),
        ("session", detail_body(id=2, pageViews=[{"loadingTime": -1}])),
        ("sessions", b"{}"),
        ("sessions", search_body(SUMMARY | {"id": "x"})),
    )
    report, frames = replayed(journal, tmp_path)
    assert sorted(report.malformed) == [2, 4]
    assert report.rejected == 2
    rejected = pl.read_parquet(tmp_path / "rejected.parquet")
    assert sorted(rejected["table"]) == ["page_views", "sessions"]
    assert frames["sessions"]["session_id"].to_list() == [1, 2]


def test_invalid_rows_of_all_batches_are_kept_in_the_order_of_their_calls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(replaying, "BATCH_BYTES", 1)
    bodies = [("session", detail_body(id=number, pageViews=[{"loadingTime": -number}])) for number in range(1, 13)]
    report, _ = replayed(journal_of(*bodies), tmp_path)
    rejected = pl.read_parquet(tmp_path / "rejected.parquet")
    assert rejected["session_id"].to_list() == list(range(1, report.rejected + 1))
    assert rejected.schema == REJECTED.schema
    assert len(rejected) == len(bodies)


def test_an_empty_journal_gives_empty_tables_with_the_full_schema(tmp_path: Path) -> None:
    report, frames = replayed(journal_of(), tmp_path)
    assert report.calls == 0
    assert {name: frame.schema for name, frame in frames.items()} == {n: table.schema for n, table in TABLES.items()}


def test_only_responses_of_the_time_range_and_the_application_are_read(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(None, clock=clock)
    for day, application in ((0, APPLICATION), (1, APPLICATION), (2, "another")):
        call_id = journal.reserve(Request(application, "session"), QuotaRule(1_000))
        journal.complete(call_id, "answered", status=200, body=detail_body(id=day))
        clock.advance(days=1)
    start = clock.now.replace(year=clock.now.year - 1)
    assert replay(journal, APPLICATION, start, clock.now, tmp_path).calls == 2
    middle = clock.now.fromtimestamp(clock.now.timestamp() - 2.5 * 86400, UTC)
    assert replay(journal, APPLICATION, middle, clock.now, tmp_path).calls == 1


def test_failures_are_not_replayed(simulator: Simulator, client: pf.PulseClient, tmp_path: Path) -> None:
    simulator.faults.add(Fault(kind="status", status=500, on="session"), Fault(kind="truncate", on="session", after=1))
    session_id = simulator.summaries()["session_id"][0]
    with pytest.warns(pf.MissingSessionsWarning):
        pf.session_details([session_id, 1], client=client)
    report = replay(client.journal, client.application, *ALWAYS, tmp_path)
    assert report.calls == 1
    assert report.malformed == []


def test_a_journal_of_several_applications_needs_the_name_of_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PULSEFRAMES_HOME", str(tmp_path / "home"))
    for seed in (1, 2):
        with Simulator(sessions=50, seed=seed, now=NOW, api_key=f"key number {seed}") as simulator:
            with client_of(simulator, changes={"home": str(tmp_path / "home")}) as client:
                pf.search_sessions("2026-01-01", NOW, client=client)
                application = client.application
    with pytest.raises(pf.InvalidQuery, match="application: the journal has several. Name one of ") as caught:
        replaying.replay_journal(tmp_path / "out")
    assert application in str(caught.value)
    assert replaying.replay_journal(tmp_path / "out", application=application).rows["sessions"] == 50
    with pytest.raises(pf.InvalidQuery, match=r"the journal has no 'no such'\. Name one of "):
        replaying.replay_journal(tmp_path / "out", application="no such")


def test_an_application_that_was_never_answered_is_none_to_choose_from(
    simulator: Simulator, client: pf.PulseClient, tmp_path: Path
) -> None:
    with pf.PulseClient(pf.Credentials("a typo", "id", "secret"), settings=client.settings) as mistaken:
        with pytest.raises(pf.AuthenticationFailed):
            mistaken.check_credentials()
        with pytest.raises(pf.JournalError, match="has no responses"):
            replaying.replay_journal(tmp_path / "out", settings=client.settings)
    pf.search_sessions("2026-01-01", NOW, client=client)
    report = replaying.replay_journal(tmp_path / "out", settings=client.settings)
    assert report.rows["sessions"] == len(simulator.summaries())


versions_of_sessions = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 3) | st.none(), st.booleans(), st.text("ab", max_size=2)), max_size=8
)


@given(versions_of_sessions, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_to_the_merge(drawn: list[tuple[Any, ...]], order: Any) -> None:
    rows = [
        {
            "session_id": session_id,
            "session_start": NOW,
            "session_updated": None if when is None else NOW.replace(second=when),
            "status": text,
            "ip_city": text if detail else None,
            FROM_DETAIL: detail,
            AGE: age,
        }
        for age, (session_id, when, detail, text) in enumerate(drawn)
    ]
    schema = {**SESSIONS.schema, FROM_DETAIL: pl.Boolean, AGE: pl.Int64}
    merged = newest_sessions(pl.DataFrame(rows, schema=schema))
    shuffled = order.sample(rows, len(rows))
    assert_frame_equal(newest_sessions(pl.DataFrame(shuffled, schema=schema)), merged)
    for row in merged.iter_rows(named=True):
        versions = [other for other in rows if other["session_id"] == row["session_id"]]
        newest = max(
            versions,
            key=lambda it: (it["session_updated"] is not None, it["session_updated"] or NOW, it[FROM_DETAIL], it[AGE]),
        )
        assert row["status"] == newest["status"]
        details = [other for other in versions if other[FROM_DETAIL]]
        assert (row["ip_city"] is None) == (not details)
    assert json.dumps(merged["session_id"].to_list()) == json.dumps(sorted({it["session_id"] for it in rows}))


def test_the_next_replay_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    """A running replay holds a lock, and a folder without one is the user's."""
    for name in (".replay-killed00", ".replay-running0", ".replay-theirs00"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sessions.parquet").write_bytes(b"personal")
    (tmp_path / ".replay-killed00" / "in-use").touch()
    journal = Journal(None)
    with FileLock(tmp_path / ".replay-running0" / "in-use"):
        replay(journal, "nobody", datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), tmp_path)
    left = {path.name for path in tmp_path.glob(".replay-*")}
    assert left == {".replay-running0", ".replay-theirs00"}
