"""Machines that share a ledger in PostgreSQL never send more calls than the limit, and none without it."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from conftest import Run, client_of, set_environment
from support import worker
from support.ledger_contract import *  # noqa: F403  its tests
from support.ledger_contract import CALL, Book, Books
from support.postgres import PASSWORD, Postgres, running_postgres

import pulseframes as pf
from pulseframes._secret import Secret
from pulseframes.client import shared_ledger
from pulseframes.client.ledger import Ledger
from pulseframes.client.quota_rule import DAY, QuotaDay, QuotaRule
from pulseframes.client.shared_ledger import SharedLedger
from pulseframes.simulator import Fault, Simulator


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as started:
        yield started


@pytest.fixture
def postgres(server: Postgres) -> Postgres:
    """The server, running and without a ledger."""
    if server.process is None:
        server.start()
    server.execute("DROP TABLE IF EXISTS pulseframes_calls, pulseframes_refusals")
    return server


class PostgresBook:
    """Time passes as all that is recorded becomes older."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def open(self) -> Ledger:
        return SharedLedger(Secret(self._postgres.url))

    def advance(self, by: timedelta) -> None:
        if self._postgres.execute("SELECT to_regclass('pulseframes_calls')") != [(None,)]:
            self._postgres.execute("UPDATE pulseframes_calls SET at = at - %s", by)
            self._postgres.execute("UPDATE pulseframes_refusals SET until = until - %s", by)

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def books(postgres: Postgres) -> Books:
    @contextmanager
    def make() -> Iterator[Book]:
        postgres.execute("DROP TABLE IF EXISTS pulseframes_calls, pulseframes_refusals")
        yield PostgresBook(postgres)

    return make


def ids_of(simulator: Simulator, count: int) -> list[int]:
    return simulator.summaries()["session_id"].head(count).to_list()


def rows(postgres: Postgres) -> int:
    [(count,)] = postgres.execute("SELECT count(*) FROM pulseframes_calls WHERE counted")
    return int(count)


def test_2_hosts_of_4_processes_use_every_call_and_never_one_more(
    postgres: Postgres, simulator: Simulator, tmp_path: Path
) -> None:
    limit, ids = 60, ids_of(simulator, 400)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(worker.running(worker.start(simulator, daily_limit=limit, ledger=postgres.url)))
            for _ in range(8)
        ]
        for number, process in enumerate(processes):
            worker.give(process, tmp_path / f"host-{number % 2}", calls=ids[number::8])
        told = [worker.result(process) for process in processes]
    assert {one["error"] for one in told} == {"QuotaExhausted"}
    assert len(simulator.requests) == sum(one["spent"] for one in told) == rows(postgres) == limit
    assert {request.status for request in simulator.requests} <= {200, 202}
    for host in ("host-0", "host-1"):
        assert (tmp_path / host / "journal.sqlite").exists()


def test_a_killed_process_has_spent_its_reservation(postgres: Postgres, simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.add(Fault(kind="delay", seconds=5, on="session"))
    with client_of(simulator, changes={"home": tmp_path / "one", "ledger": postgres.url}) as other:
        other.check_credentials()
        with worker.running(worker.start(simulator, ledger=postgres.url)) as process:
            worker.give(process, tmp_path / "two", calls=ids_of(simulator, 1))
            while rows(postgres) < 3:
                time.sleep(0.02)
            process.kill()
            process.wait()
        assert other.quota().used == 3


def test_a_call_that_reached_no_server_is_given_back(postgres: Postgres, simulator: Simulator) -> None:
    with client_of(simulator, changes={"ledger": postgres.url}) as client:
        client.check_credentials()
        simulator.stop()
        with pytest.raises(pf.ServerError):
            pf.session_details(5, client=client)
    assert rows(postgres) == 1


def test_a_429_on_one_host_stops_the_other(postgres: Postgres, simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.add(Fault(kind="status", status=429, on="session"))
    changes = {"ledger": postgres.url}
    with client_of(simulator, changes=changes | {"home": tmp_path / "one"}) as one:
        with pytest.raises(pf.QuotaExhausted):
            pf.session_details(ids_of(simulator, 1)[0], client=one)
    calls = len(simulator.requests)
    with client_of(simulator, changes=changes | {"home": tmp_path / "two"}) as two:
        with pytest.raises(pf.QuotaExhausted, match="the server refused more"):
            pf.session_details(ids_of(simulator, 1)[0], client=two)
    assert len(simulator.requests) == calls


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_when_the_database_is_gone_no_call_is_sent_and_when_it_is_back_the_count_goes_on(
    postgres: Postgres, simulator: Simulator, how: signal.Signals
) -> None:
    first, second = ids_of(simulator, 2)
    with client_of(simulator, changes={"ledger": postgres.url}) as client:
        pf.session_details(first, client=client)
        calls = len(simulator.requests)
        postgres.stop(how)
        with pytest.raises(
            pf.JournalError, match=r"127\.0\.0\.1:\d+/postgres, cannot be used .* No call is sent"
        ) as caught:
            pf.session_details(second, client=client)
        assert len(simulator.requests) == calls
        assert len(pf.session_details(first, client=client).sessions) == 1  # from the journal
        postgres.start()
        pf.session_details(second, client=client)
        assert client.quota().used == calls + 1
    assert PASSWORD not in str(caught.value)


def test_a_database_that_hangs_ends_a_call_before_it_is_sent(
    postgres: Postgres, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_ledger, "_SECONDS", 1.0)
    create = shared_ledger._create_tables

    def hang(connection: psycopg.Connection) -> None:
        os.kill(connection.info.backend_pid, signal.SIGSTOP)
        stopped.append(connection.info.backend_pid)
        create(connection)

    stopped: list[int] = []
    monkeypatch.setattr(shared_ledger, "_create_tables", hang)
    try:
        with client_of(simulator, changes={"ledger": postgres.url}) as client:
            with pytest.raises(pf.JournalError, match="cannot be used"):
                client.check_credentials()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert simulator.requests == []


def test_a_wrong_password_is_an_error_that_does_not_show_it(postgres: Postgres, simulator: Simulator) -> None:
    wrong = postgres.url.replace("pa%2Fss", "wr%2Fong")
    with client_of(simulator, changes={"ledger": wrong}) as client:
        with pytest.raises(pf.JournalError, match="password authentication failed") as caught:
            client.check_credentials()
    assert caught.value.__context__ is None
    assert "ong@w0rd" not in f"{caught.value!r}"
    assert simulator.requests == []


@pytest.mark.parametrize("day", ["rolling", "utc"])
def test_a_call_that_is_given_back_while_the_quota_is_counted_makes_one_possible_now(
    day: QuotaDay, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, rule = SharedLedger(Secret(postgres.url)), QuotaRule(1, day)
    call_id = ledger.reserve(CALL, rule)
    of_index = shared_ledger._Spent.__getitem__

    def given_back(spent: shared_ledger._Spent, index: int) -> datetime:
        SharedLedger(Secret(postgres.url)).complete(call_id, "unsent")
        return of_index(spent, index)

    monkeypatch.setattr(shared_ledger._Spent, "__getitem__", given_back)
    counted = ledger.quota(CALL.application, rule)
    assert (counted.used, counted.left) == (1, 0)
    assert counted.next_call_at < datetime.now(UTC) + timedelta(minutes=1)
    assert ledger.quota(CALL.application, rule).left == 1


def test_a_connection_that_is_gone_at_once_is_an_error_that_names_the_ledger(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(**_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(shared_ledger.socket, "socket", gone)
    with pytest.raises(pf.JournalError, match=r"PostgreSQL at .* cannot be used .*Bad file descriptor"):
        SharedLedger(Secret(postgres.url)).quota(CALL.application, QuotaRule(1))


def test_the_tables_are_made_once_by_processes_that_start_at_the_same_moment(postgres: Postgres) -> None:
    problems = list[Exception]()
    start = threading.Barrier(8)

    def reserve() -> None:
        start.wait()
        try:
            SharedLedger(Secret(postgres.url)).reserve(CALL, QuotaRule(100))
        except pf.PulseError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=reserve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert rows(postgres) == 8


def test_rows_that_count_under_no_rule_are_deleted(postgres: Postgres) -> None:
    book, rule = PostgresBook(postgres), QuotaRule(100)
    book.open().reserve(CALL, rule)
    book.advance(9 * DAY)
    book.open().reserve(CALL, rule)
    assert rows(postgres) == 1


def test_a_wrong_clock_of_a_machine_changes_nothing(postgres: Postgres) -> None:
    def wrong() -> datetime:
        return datetime.now(UTC) + timedelta(days=1000)

    ledger, rule = SharedLedger(Secret(postgres.url), clock=wrong), QuotaRule(5)
    call_id = ledger.reserve(CALL, rule)
    ledger.complete(call_id, "answered", blocked_until=wrong() + timedelta(hours=1))
    quota = SharedLedger(Secret(postgres.url)).quota("shop", rule)
    assert quota.used == 1
    assert abs(quota.next_call_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


def test_doctor_and_quota_name_the_ledger_and_count_with_it(
    postgres: Postgres, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    set_environment(monkeypatch, simulator)
    monkeypatch.setenv("PULSEFRAMES_LEDGER", postgres.url)
    with client_of(simulator, changes={"ledger": postgres.url, "home": ":memory:"}) as elsewhere:
        elsewhere.check_credentials()
    code, out, err = run("doctor")
    assert code == 0, out + err
    assert f"; ledger PostgreSQL at 127.0.0.1:{postgres.port}/postgres\n" in out
    assert "1 of 50 calls used" in out
    assert PASSWORD not in out + err
