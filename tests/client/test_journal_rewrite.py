"""Data removed from the journal is gone from its files; the rest still counts and answers."""

from __future__ import annotations

import json
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from conftest import Clock, client_of
from fetch.test_pagination import TimedServer, evenly
from support.moving_server import START, WEEK

import pulseframes as pf
from pulseframes.client import Answer, database as database_module
from pulseframes.client.journal import JOURNAL_FILE, MIGRATIONS, CallRecord, Journal, Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.fetch.chain import Page
from pulseframes.fetch.pagination import ListReader
from pulseframes.query import SearchQuery
from pulseframes.simulator import Simulator

MARK = b"anna.smith.000000000042@example.com"
SETTLED = ("2020-01-01", "2020-01-29")
THEN = datetime(2020, 1, 29, tzinfo=UTC)
UNLIMITED = QuotaRule(1_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / JOURNAL_FILE


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path)
    yield opened
    opened.close()


def put(journal: Journal, params: str, body: bytes, endpoint: str = "sessions") -> int:
    call = Request("shop", endpoint, params)
    call_id = journal.reserve(call, UNLIMITED)
    journal.complete(call_id, "answered", status=200, body=body)
    return call_id


def used(journal: Journal) -> int:
    return journal.quota("shop", UNLIMITED).used


def files_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def fill(journal: Journal) -> tuple[list[int], list[int]]:
    """Record several hundred incompressible answers with the mark; return the ids to clean and the ids to remove."""
    every = [
        put(journal, f"userIdentifier={MARK.decode()}&skip={n}", secrets.token_bytes(3_000) + MARK) for n in range(400)
    ]
    return every[::2], every[1::2]


def test_removed_data_is_in_no_file_and_no_body(journal: Journal, path: Path) -> None:
    rewritten, removed = fill(journal)
    other = sqlite3.connect(path)  # open, but not reading
    assert other.execute("SELECT count(*) FROM calls").fetchone() == (400,)
    assert files_of(path).count(MARK) > 400
    for call_id in rewritten:
        journal.rewrite(call_id, b"clean", forgotten=1, params="skip=0")
    journal.remove(removed)
    journal.scrub()
    assert MARK not in files_of(path)
    entries = list(journal.records())
    assert [(entry.id, entry.body, entry.params, entry.forgotten) for entry in entries] == [
        (call_id, b"clean", "skip=0", 1) for call_id in rewritten
    ]
    assert path.stat().st_size < 200_000
    assert other.execute("SELECT count(*) FROM calls").fetchone() == (200,)
    other.close()
    journal.check()
    put(journal, "skip=1", b"goes on")


def test_scrubbing_fails_while_another_process_reads_the_file(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.remove([])
    call_id = put(journal, "skip=0", MARK)
    put(journal, "id=1", b"{}")
    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.1)
    journal.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM calls").fetchall()
    journal.rewrite(call_id, b"")
    with pytest.raises(pf.JournalError, match="another process is reading it; end that"):
        journal.scrub()
    other.execute("COMMIT")
    journal.scrub()
    assert MARK not in files_of(path)
    other.close()


def test_scrubbing_fails_while_another_process_locks_the_file(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(journal, "id=1", b"{}")
    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.1)
    journal.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(pf.JournalError, match="locked by another process for over 0.1 s: try again"):
        journal.scrub()
    other.execute("ROLLBACK")
    other.close()


def test_a_journal_in_memory_can_be_scrubbed() -> None:
    journal = Journal(None)
    journal.rewrite(put(journal, "skip=0", b"x"), b"")
    journal.scrub()
    journal.close()


def test_a_rewritten_call_still_counts_and_keeps_its_time(journal: Journal) -> None:
    first = put(journal, "skip=0", b"abc")
    before = journal.record(first)
    journal.rewrite(first, b"a", forgotten=2)
    journal.rewrite(first, b"", forgotten=3)
    after = journal.record(first)
    assert isinstance(before, CallRecord)
    assert isinstance(after, CallRecord)
    assert (after.at, after.params, after.status, after.duration_ms) == (
        before.at,
        before.params,
        before.status,
        before.duration_ms,
    )
    assert (after.body, after.size, after.forgotten, after.outcome) == (b"", 0, 5, "forgotten")
    assert used(journal) == 1
    journal.remove([first])
    assert used(journal) == 0


def test_an_emptied_answer_is_replaced_by_an_older_one(journal: Journal) -> None:
    older, newer = put(journal, "skip=0", b"older"), put(journal, "skip=0", b"newer")
    journal.rewrite(newer, b"")
    newest = journal.newest_answer("shop", "sessions", "skip=0")
    assert newest is not None
    assert newest.id == older
    assert [entry.id for entry in journal.successes("shop", THEN, datetime(2100, 1, 1, tzinfo=UTC))] == [older]


def test_a_shortened_answer_is_still_an_answer(journal: Journal) -> None:
    call_id = put(journal, "skip=0", b"abc")
    journal.rewrite(call_id, b"ab", forgotten=1)
    newest = journal.newest_answer("shop", "sessions", "skip=0")
    assert newest is not None
    assert (newest.body, newest.forgotten, newest.outcome) == (b"ab", 1, "answered")


def test_a_call_that_was_lost_stays_lost(journal: Journal) -> None:
    call_id = journal.reserve(Request("shop", "sessions"), UNLIMITED)
    journal.complete(call_id, "lost", status=200, body=b"half")
    journal.rewrite(call_id, b"")
    (entry,) = journal.records()
    assert (entry.outcome, entry.body) == ("lost", b"")


def test_changes_in_one_transaction_are_recorded_together_or_not_at_all(journal: Journal, path: Path) -> None:
    ids = [put(journal, f"skip={n}", b"abc") for n in range(3)]

    def stop_halfway() -> None:
        with journal.transaction():
            journal.rewrite(ids[0], b"")
            journal.remove(ids[1:])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop_halfway()
    assert [entry.body for entry in journal.records()] == [b"abc"] * 3
    program = (
        "import os, signal, sys; from pathlib import Path; from pulseframes.client.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "with journal.transaction():\n"
        "    journal.rewrite(1, b''); journal.remove([2]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode < 0
    assert [entry.body for entry in journal.records()] == [b"abc"] * 3
    with journal.transaction():
        journal.rewrite(ids[0], b"")
        journal.remove(ids[1:])
    assert [entry.body for entry in journal.records()] == [b""]


def test_a_journal_of_the_first_version_has_no_erased_sessions(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as old:
        old.executescript(MIGRATIONS[0] + "; PRAGMA user_version = 1;")
        old.execute(
            "INSERT INTO calls (at, application, endpoint, params, attempt, counted, outcome, status, size, body) "
            "VALUES (1, 'shop', 'sessions', 'skip=0', 1, 1, 'answered', 200, 0, x'')"
        )
    old.close()
    journal = Journal(path)
    (entry,) = journal.records()
    assert (entry.id, entry.forgotten, entry.outcome) == (1, 0, "answered")
    journal.close()


# A cached page that lacks a session


def take_out(journal: Journal, session_ids: set[int]) -> None:
    for entry in list(journal.records()):
        if entry.endpoint == "sessions":
            answer = json.loads(entry.body)
            left = [session for session in answer["sessions"] if session["id"] not in session_ids]
            gone = len(answer["sessions"]) - len(left)
            journal.rewrite(entry.id, json.dumps(answer | {"sessions": left}).encode(), forgotten=gone)


def test_a_settled_search_with_erased_sessions_is_not_paid_for_again(clock: Clock) -> None:
    with (
        Simulator(sessions=1_700, now=THEN, daily_limit=None) as simulator,
        client_of(simulator, clock=clock) as client,
    ):
        before = pf.search_sessions(*SETTLED, client=client)
        spent = client.calls_spent
        gone = set(before["session_id"][::7])
        gone |= set(before.sort("session_start", descending=True)["session_id"][500:1000])  # all of the second page
        take_out(client.journal, gone)
        clock.advance(days=1)
        with pytest.warns(pf.IncompleteWarning, match="deleted from the journal"):
            after = pf.search_sessions(*SETTLED, client=client)
        assert client.calls_spent == spent
        assert after.equals(before.filter(~pl.col("session_id").is_in(gone)))
        made_of = pf.certificate(after)
        assert not made_of.complete
        assert made_of.forgotten == len(gone)
        assert made_of.distinct == len(after)
        assert made_of.declared == len(before) == made_of.distinct + made_of.forgotten
        assert made_of.duplicates == 0
        assert pf.certificate(before).forgotten == 0


class ErasingServer(TimedServer):
    """A server all of whose answers are cached, with every tenth session erased."""

    def paid_page(self, query: SearchQuery, skip: int, size: int) -> Page:
        page = super().paid_page(query, skip, size)
        left = {number: start for number, start in page.starts.items() if number % 10}
        answer = Answer("sessions", 200, b"", kept=True)
        return replace(page, ids=[*left], starts=left, forgotten=len(page.ids) - len(left), answer=answer)


def test_each_window_of_a_split_search_knows_how_many_sessions_were_erased() -> None:
    server = ErasingServer(evenly(6_000, START, 7), calls=3)
    reader = ListReader(server, WEEK, repair_calls=6)
    assert len([*reader.pages()]) == len(server.asked)
    assert len(set(server.windows)) > 1
    assert reader.reading.complete
    assert len(reader.reading.starts) == 6_000 - 600
    places = [*zip(server.windows, server.asked, strict=True)]
    assert len(places) == len(set(places))  # nothing is read again
