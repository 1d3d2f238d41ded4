"""The journal by itself: it keeps what it recorded, no call is sent without it, and its errors say what to do."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import NOW, Clock, client_of
from hypothesis import given, settings, strategies as st

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.client import database as database_module, journal as journal_module
from pulseframes.client.database import UNREADABLE, decode_bodies, encode_body
from pulseframes.client.journal import JOURNAL_FILE, MIGRATIONS, Journal, Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.simulator import Fault, Simulator

CALL = Request("shop", "session", "id=1")
UNLIMITED = QuotaRule(1_000_000)
DAY = timedelta(hours=24)
WEEK = ("2026-11-09", "2026-11-16")


def reserve(journal: Journal, call: Request = CALL) -> int:
    return journal.reserve(call, UNLIMITED)


def spent(journal: Journal, application: str = "shop") -> int:
    return journal.quota(application, UNLIMITED).used


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / JOURNAL_FILE


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path)
    yield opened
    opened.close()


# Records


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"\x00\xff" * 1000, secrets.token_bytes(100_000), b"a" * 2_000_000, "naïve ☃".encode("utf-16")],
    ids=["empty", "short", "binary", "random", "long", "utf-16"],
)
def test_a_body_is_returned_unchanged(journal: Journal, body: bytes) -> None:
    call_id = reserve(journal)
    journal.complete(call_id, "answered", status=200, body=body, duration_ms=12)
    entry = journal.newest_answer("shop", "session", "id=1")
    assert entry is not None
    assert entry.body == body
    assert (entry.id, entry.size, entry.status, entry.outcome) == (call_id, len(body), 200, "answered")
    assert entry.duration_ms == 12
    assert repr(body) not in repr(entry) or not body


def test_a_reopened_file_has_the_recorded_calls(path: Path) -> None:
    first = Journal(path)
    call_id = reserve(first)
    first.complete(call_id, "answered", status=200, body=b"kept")
    first.close()
    second = Journal(path)
    entry = second.record(call_id)
    assert entry is not None
    assert entry.body == b"kept"
    assert spent(second) == 1
    second.close()


def test_only_the_owner_can_read_the_file_and_its_folder(path: Path) -> None:
    before = os.umask(0)
    try:
        journal = Journal(path)
        reserve(journal)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in path.parent.iterdir()} == {
        JOURNAL_FILE: "0o600",
        f"{JOURNAL_FILE}-wal": "0o600",
        f"{JOURNAL_FILE}-shm": "0o600",
    }
    journal.close()


def test_the_file_has_a_write_ahead_log_and_full_synchronisation(journal: Journal) -> None:
    with journal._database.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_call_that_was_never_completed_counts(path: Path) -> None:
    journal = Journal(path)
    call_id = reserve(journal)
    journal.close()  # to the file, as if the process had been killed while it waited
    again = Journal(path)
    assert spent(again) == 1
    entry = again.record(call_id)
    assert entry is not None
    assert entry.outcome is None
    assert again.newest_answer("shop", "session", "id=1") is None
    again.close()


@pytest.mark.parametrize(("outcome", "counts"), [("answered", 1), ("lost", 1), ("unsent", 0)])
def test_only_a_call_that_was_certainly_never_sent_does_not_count(journal: Journal, outcome: str, counts: int) -> None:
    journal.complete(reserve(journal), outcome)  # type: ignore[arg-type]  # parametrized
    assert spent(journal) == counts


def test_a_call_outside_the_quota_is_recorded_without_being_admitted_or_counted(journal: Journal) -> None:
    journal.reserve(Request("shop", "authenticate", counted=False), QuotaRule(0))
    assert spent(journal) == 0
    assert len(journal.last_calls("shop", 10)) == 1


def test_a_refused_call_leaves_no_row(journal: Journal) -> None:
    for _ in range(2):
        journal.reserve(CALL, QuotaRule(2))
    for _ in range(2):
        with pytest.raises(pf.QuotaExhausted, match="2 of 2 calls used"):
            journal.reserve(CALL, QuotaRule(2))
    assert len(journal.last_calls("shop", 10)) == 2
    reserve(journal)  # a refusal leaves no lock


def test_applications_share_a_file_without_seeing_each_other(journal: Journal) -> None:
    for application, count in (("shop", 3), ("blog", 2)):
        for number in range(count):
            call_id = reserve(journal, Request(application, "session", f"id={number}"))
            journal.complete(call_id, "answered", status=200, body=f"{application} {number}".encode())
    blocked = datetime.now(UTC) + DAY
    journal.complete(
        reserve(journal, Request("blog", "session", "id=9")), "answered", status=429, blocked_until=blocked
    )
    assert (spent(journal, "shop"), spent(journal, "blog")) == (3, 3)
    assert journal.applications() == ["blog", "shop"]
    entry = journal.newest_answer("blog", "session", "id=1")
    assert entry is not None
    assert entry.body == b"blog 1"
    assert journal.newest_answer("blog", "session", "id=2") is None
    assert journal.quota("shop", UNLIMITED).left > 0
    assert (journal.quota("blog", UNLIMITED).left, journal.quota("blog", UNLIMITED).next_call_at) == (0, blocked)


def test_the_newest_answer_is_a_success_or_a_404_and_nothing_else(journal: Journal) -> None:
    for status in (404, 200, 500, 401, 429, 302):
        journal.complete(reserve(journal), "answered", status=status, body=str(status).encode())
    journal.complete(reserve(journal), "lost", status=200, body=b"half of i")
    entry = journal.newest_answer("shop", "session", "id=1")
    assert entry is not None
    assert entry.status == 200


def test_an_intact_file_passes_the_check_and_so_does_a_journal_in_memory(journal: Journal) -> None:
    journal.complete(reserve(journal), "answered", status=200, body=b"x" * 100_000)
    journal.check()
    memory = Journal(None)
    reserve(memory)
    memory.check()
    memory.close()


# Failures: an error, and nothing is sent


def no_call_is_sent(match: str, home: Path) -> pf.JournalError:
    """Search with an unusable journal, and check that nothing is sent and the error says what to do."""
    with Simulator(sessions=10, now=NOW) as simulator:
        with client_of(simulator, changes={"home": str(home)}) as client:
            with pytest.raises(pf.JournalError, match=match) as caught:
                pf.search_sessions(*WEEK, client=client)
            assert client.calls_spent == 0
        assert simulator.requests == []
    assert caught.value.__cause__ is None
    assert "No call is sent without a journal" in str(caught.value)
    return caught.value


def written(path: Path, rows: int = 200) -> None:
    journal = Journal(path)
    for number in range(rows):
        call_id = reserve(journal, Request("shop", "session", f"id={number}"))
        journal.complete(call_id, "answered", status=200, body=secrets.token_bytes(2_000))
    journal.close()


def damage(path: Path) -> None:
    """Overwrite all pages but the first, as a broken disk would."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def test_a_damaged_file(path: Path) -> None:
    written(path)
    damage(path)
    no_call_is_sent("damaged.*Move it away", path.parent)


def test_a_damaged_file_fails_the_check(path: Path) -> None:
    written(path)
    damage(path)
    journal = Journal(path)
    with pytest.raises(pf.JournalError, match="damaged"):
        journal.check()
    journal.close()


def test_a_damaged_body_is_an_error_that_names_its_call(path: Path) -> None:
    written(path, rows=1)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE calls SET body = x'28b52ffd00010203'")
        other.commit()
    journal = Journal(path)
    with pytest.raises(pf.JournalError, match="damaged"):
        journal.record(1)
    with pytest.raises(pf.JournalError, match="damaged"):
        journal.newest_answer("shop", "session", "id=0")
    journal.close()


@settings(max_examples=60)
@given(answer=st.binary(min_size=1, max_size=200), repeats=st.integers(1, 20), data=st.data())
def test_an_answer_with_any_flipped_bit_is_an_error_or_reads_as_before(
    answer: bytes, repeats: int, data: st.DataObject
) -> None:
    size, checksum, stored = encode_body(answer * repeats)
    bit = data.draw(st.integers(0, len(stored) * 8 - 1))
    damaged = bytearray(stored)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        (body,) = decode_bodies([(size, checksum, bytes(damaged))])
    except UNREADABLE:
        return
    assert body == answer * repeats


def test_an_answer_of_an_earlier_version_has_no_checksum(path: Path) -> None:
    written(path, rows=1)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE calls SET checksum = NULL")
        other.commit()
    with contextlib.closing(Journal(path)) as journal:
        assert len(journal.newest_answers("shop", "session", ["id=0"])["id=0"].body) == 2_000


def test_an_answer_whose_checksum_differs_is_an_error(path: Path) -> None:
    written(path, rows=1)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE calls SET checksum = checksum + 1")
        other.commit()
    with contextlib.closing(Journal(path)) as journal, pytest.raises(pf.JournalError, match="damaged answer, call 1"):
        journal.record(1)


def test_a_file_that_is_not_a_database(path: Path) -> None:
    content = b"no database at all, and long enough to see that" * 100
    path.parent.mkdir()
    path.write_bytes(content)
    no_call_is_sent("damaged.*Move it away", path.parent)
    assert path.read_bytes() == content


def test_a_folder_where_the_file_should_be(path: Path) -> None:
    path.mkdir(parents=True)
    no_call_is_sent("Is a directory.*PULSEFRAMES_HOME", path.parent)


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("")
    no_call_is_sent("PULSEFRAMES_HOME", home)


def test_a_home_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    no_call_is_sent("Not a directory.*PULSEFRAMES_HOME", tmp_path / "file" / "home")


def test_a_file_without_permission_to_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not stop root, so the system's refusal is simulated."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(database_module.os, "open", refuse)
    no_call_is_sent("Permission denied.*Check the folder's permissions", path.parent)


def test_a_read_only_file(simulator: Simulator) -> None:
    with client_of(simulator) as client:
        with client.journal._database.reading() as connection:
            connection.execute("PRAGMA query_only = ON")  # what SQLite does with a read-only file
        with pytest.raises(pf.JournalError, match="readonly.*Check the folder's permissions"):
            pf.search_sessions(*WEEK, client=client)
        assert client.calls_spent == 0
    assert simulator.requests == []


def fill(journal: Journal) -> None:
    """Limit the size of the file, as on a full disk; some rows still fit."""
    with journal._database.reading() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk(simulator: Simulator) -> None:
    with client_of(simulator) as client:
        fill(client.journal)
        with contextlib.suppress(pf.JournalError):
            for _ in range(1_000):  # until the last page is full
                reserve(client.journal)
        with pytest.raises(pf.JournalError, match="disk is full. Free some space"):
            client.call(endpoints.DETAIL, {"id": "1" * 4000})
        sent = len(simulator.requests)
        with client.journal._database.reading() as connection:
            connection.execute("PRAGMA max_page_count = 1000000")
        client.call(endpoints.SEARCH, {"dateFrom": "2026-11-01", "dateTo": "2026-11-02"})  # there is space again
    assert [request.endpoint for request in simulator.requests][sent:][-1] == "sessions"
    assert all(request.endpoint != "session" for request in simulator.requests)


def test_a_file_of_a_newer_version(path: Path) -> None:
    written(path, rows=3)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    no_call_is_sent("newer version of pulseframes: update", path.parent)
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM calls").fetchone() == (3,)


def test_a_file_that_another_process_locks_for_too_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, rows=1)
    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.1)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sqlite3, sys, time\n"
            "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "connection.execute('BEGIN IMMEDIATE')\n"
            "print('held', flush=True)\n"
            "time.sleep(600)",
            str(path),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        no_call_is_sent("locked by another process for over 0.1 s: try again", path.parent)
    finally:
        holder.kill()
        holder.communicate()
    journal = Journal(path)  # the lock died with its holder
    reserve(journal)
    journal.close()


# Answers that cannot be recorded


def search_and_break(simulator: Simulator, client: pf.PulseClient, break_it: object) -> None:
    """Break the journal while the server has the call, and check that the answer is used nevertheless."""
    simulator.faults.add(Fault(kind="drift", on="sessions", edit=break_it))  # type: ignore[arg-type]  # it takes a document
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = client.call(endpoints.SEARCH, {"dateFrom": WEEK[0], "dateTo": WEEK[1], "limit": "500"})
    assert b"totalSessions" in answer.body
    assert [warning.category for warning in caught] == [pf.JournalWarning]
    assert "could not be recorded" in str(caught[0].message)


def test_an_answer_that_does_not_fit_on_the_disk_still_reaches_the_caller(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    client.check_credentials()
    search_and_break(simulator, client, lambda _: fill(client.journal))
    assert client.quota().used == 2  # the call counts, because its row was reserved
    assert client.last_calls(1)[0].outcome is None


def test_an_answer_that_a_broken_journal_cannot_record_still_reaches_the_caller(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    client.check_credentials()
    search_and_break(simulator, client, lambda _: client.journal._database._connection.close())


# Versions


def test_an_older_file_is_migrated_with_its_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, rows=5)
    step = "ALTER TABLE calls ADD COLUMN note TEXT; UPDATE calls SET note = 'from version 1'"
    monkeypatch.setattr(journal_module, "MIGRATIONS", (*MIGRATIONS, step))
    journal = Journal(path)
    assert spent(journal) == 5
    with journal._database.reading() as connection:
        assert connection.execute("SELECT DISTINCT note FROM calls").fetchall() == [("from version 1",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    journal.close()
    monkeypatch.undo()
    with pytest.raises(pf.JournalError, match="newer version"):
        spent(Journal(path))


def test_a_journal_keeps_its_identity_and_another_has_another(path: Path, tmp_path: Path) -> None:
    journal = Journal(path)
    identity = journal.identity()
    assert len(identity) == 8
    journal.scrub()
    journal.close()
    assert journal.identity() == identity == Journal(path).identity()
    assert Journal(tmp_path / "other.sqlite").identity() != identity
    with journal._database.writing() as connection:
        connection.execute("DELETE FROM identity")
    with pytest.raises(pf.JournalError, match="is damaged"):
        journal.identity()
    journal.close()


def test_a_failed_migration_leaves_the_file_unchanged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, rows=5)
    monkeypatch.setattr(journal_module, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE calls ADD COLUMN a; BROKEN"))
    with pytest.raises(pf.JournalError, match="syntax error"):
        spent(Journal(path))
    monkeypatch.undo()
    journal = Journal(path)
    assert spent(journal) == 5
    with journal._database.reading() as connection:
        assert "a" not in [row[1] for row in connection.execute("PRAGMA table_info(calls)")]
    journal.close()


def test_processes_that_create_the_file_at_the_same_moment_all_succeed(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from pulseframes.client.journal import Request, Journal
        from pulseframes.client.quota_rule import QuotaRule
        print("ready", flush=True)
        for line in sys.stdin:
            journal = Journal(Path(line.strip()))
            journal.reserve(Request("shop", "session"), QuotaRule(100))
            journal.close()
            print("done", flush=True)
    """)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(4)
    ]
    with contextlib.ExitStack() as ends:
        for worker in workers:
            ends.callback(worker.wait)
            assert worker.stdin is not None
            assert worker.stdout is not None
            ends.enter_context(worker.stdout)
            ends.enter_context(worker.stdin)
            assert worker.stdout.readline() == "ready\n"
        for number in range(25):
            place = tmp_path / str(number) / JOURNAL_FILE
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write(f"{place}\n")
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "done\n"
            journal = Journal(place)
            assert spent(journal) == len(workers)
            journal.check()
            journal.close()


# Forks


def forked() -> int:
    """Fork. Python 3.12 and later warn about threads of earlier tests; none is used here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_a_fork(work: object) -> None:
    """Run something in a forked child, and check that it succeeds."""
    child = forked()
    if child == 0:
        code = 1
        try:
            work()  # type: ignore[operator]  # any callable
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_can_use_the_same_journal(journal: Journal) -> None:
    reserve(journal)
    in_a_fork(lambda: journal.complete(reserve(journal), "answered", status=200, body=b"from the child"))
    reserve(journal)
    assert spent(journal) == 3
    assert [entry.id for entry in journal.last_calls("shop", 10)] == [3, 2, 1]
    entry = journal.record(2)
    assert entry is not None
    assert entry.body == b"from the child"
    journal.check()


def test_a_forked_child_can_record_calls_after_its_parent_closed_the_journal(path: Path) -> None:
    journal = Journal(path)
    reserve(journal)
    parent_closed, child_ready = os.pipe(), os.pipe()

    def work() -> None:
        reserve(journal)
        os.write(child_ready[1], b"1")
        os.read(parent_closed[0], 1)
        reserve(journal)

    child = forked()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    os.read(child_ready[0], 1)
    journal.close()
    os.write(parent_closed[1], b"1")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for end in (*parent_closed, *child_ready):
        os.close(end)
    again = Journal(path)
    assert spent(again) == 3
    again.check()
    again.close()


def test_a_killed_child_leaves_its_records_and_no_lock(journal: Journal) -> None:
    child = forked()
    if child == 0:
        reserve(journal)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    reserve(journal)
    assert spent(journal) == 2
    journal.check()


def test_rows_are_dated_by_the_clock_of_the_journal(path: Path, clock: Clock) -> None:
    journal = Journal(path, clock=clock)
    clock.advance(hours=-30)
    reserve(journal)
    clock.advance(hours=30)
    reserve(journal)
    assert spent(journal) == 1
    assert journal.last_calls("shop", 2)[1].at == clock.now - timedelta(hours=30)
    journal.close()
