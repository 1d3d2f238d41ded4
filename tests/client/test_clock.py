"""A clock that was wrong once locks no calls and freezes no answers; one that is wrong now is told."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Clock, Run, client_of, set_environment
from hypothesis import given, settings, strategies as st
from support.raw_server import ok, raw_server

import pulseframes as pf
from pulseframes.client.auth import KEY_LIFETIME
from pulseframes.client.journal import Journal, Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.endpoints import SEARCH
from pulseframes.simulator import Simulator

CALL = Request("shop", "session", "id=1")
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TWO_DAYS = timedelta(days=2)


@pytest.fixture
def journal(clock: Clock) -> Iterator[Journal]:
    clock.now = NOW
    opened = Journal(None, clock=clock)
    yield opened
    opened.close()


def answered(journal: Journal, true_at: datetime | None = None) -> int:
    call_id = journal.reserve(CALL, QuotaRule(100))
    journal.complete(call_id, "answered", status=200, body=b"{}", true_at=true_at)
    return call_id


@pytest.mark.parametrize("ahead", [timedelta(minutes=6), TWO_DAYS, timedelta(days=400)])
def test_calls_from_the_future_count_for_a_day_from_when_they_are_seen(
    journal: Journal, clock: Clock, ahead: timedelta
) -> None:
    rule = QuotaRule(3)
    clock.now = NOW + ahead
    for _ in range(3):
        journal.reserve(CALL, rule)
    clock.now = NOW
    quota = journal.quota("shop", rule)
    assert (quota.used, quota.left) == (3, 0)
    assert quota.next_call_at - NOW <= timedelta(hours=24, minutes=1)
    clock.now = quota.next_call_at
    assert journal.quota("shop", rule).left == 3
    journal.reserve(CALL, rule)


def test_a_refusal_by_a_clock_that_was_ahead_blocks_for_a_day_at_most(journal: Journal, clock: Clock) -> None:
    rule = QuotaRule(50)
    clock.now = NOW + timedelta(days=400)
    journal.complete(journal.reserve(CALL, rule), "answered", status=429, blocked_until=clock.now + timedelta(hours=24))
    clock.now = NOW
    blocked_until = journal.quota("shop", rule).next_call_at
    assert blocked_until - NOW < timedelta(hours=25)
    clock.now = blocked_until
    assert journal.quota("shop", rule).left > 0


@settings(max_examples=30)
@given(ahead=st.timedeltas(timedelta(minutes=6), timedelta(days=4000)), later=st.lists(st.integers(0, 40), max_size=4))
def test_an_answer_from_the_future_is_never_younger_than_it_is(ahead: timedelta, later: list[int]) -> None:
    clock = Clock()
    clock.now = NOW + ahead
    journal = Journal(None, clock=clock)
    call_id = answered(journal)
    clock.now = NOW  # put right, and so it stays
    for days in (0, *sorted(later)):
        clock.now = NOW + timedelta(days=days)
        journal.quota("shop", QuotaRule(100))
        record = journal.record(call_id)
        assert record is not None
        assert record.asked_at < NOW - timedelta(days=365)
    journal.close()


def test_an_answer_of_a_wrong_clock_has_the_servers_time(journal: Journal, clock: Clock) -> None:
    clock.now = NOW + TWO_DAYS
    call_id = answered(journal, true_at=NOW)
    clock.now = NOW
    for _ in range(2):
        record = journal.record(call_id)
        assert record is not None
        answer = record.answer()
        assert answer is not None
        assert answer.asked_at == record.asked_at == NOW
        journal.quota("shop", QuotaRule(100))


def test_clocks_that_differ_by_seconds_are_right(journal: Journal, clock: Clock) -> None:
    call_id = answered(journal)
    clock.now = NOW - timedelta(seconds=30)
    assert journal.quota("shop", QuotaRule(100)).used == 1
    record = journal.record(call_id)
    assert record is not None
    assert record.asked_at == NOW


def dated(date: str, *headers: str, status: str = "200 OK") -> Any:
    """A server whose answers have this date."""
    return raw_server(lambda connection, _: connection.sendall(ok(b"{}", f"Date: {date}", *headers, status=status)))


def client_at(url: str) -> pf.PulseClient:
    return pf.PulseClient(pf.Credentials("an-api-key", "a-client-id", "a-secret"), settings=pf.Settings(base_url=url))


@pytest.mark.parametrize("ahead", [timedelta(days=3), timedelta(days=-3)], ids=["ahead", "behind"])
def test_a_wrong_clock_is_told_once_and_the_answer_has_the_servers_time(ahead: timedelta) -> None:
    servers = datetime.now(UTC) - ahead
    word = "ahead of" if ahead > timedelta(0) else "behind"
    with dated(format_datetime(servers)) as server, client_at(server.url) as client:
        with pytest.warns(pf.PulseWarning, match=f"clock is 72 hours {word} the server's") as warned:
            answers = [client.call(SEARCH, {"skip": skip}) for skip in "01"]
        assert len(warned) == 1
        for answer in answers:
            record = client.journal.record(answer.call_id)
            assert record is not None
            assert record.asked_at == answer.asked_at
            assert abs(answer.asked_at - servers) < timedelta(minutes=1)


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Nov 2026 12:00:30 GMT", None])
def test_a_server_without_a_clock_is_believed(date: str | None) -> None:
    date = format_datetime(datetime.now(UTC) - timedelta(minutes=4)) if date is None else date
    with dated(date) as server, client_at(server.url) as client, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.call(SEARCH, {}).ok


def test_a_date_to_retry_after_is_read_by_the_servers_clock() -> None:
    servers = datetime.now(UTC) + timedelta(days=400)
    retry = f"Retry-After: {format_datetime(servers + timedelta(hours=1))}"
    with dated(format_datetime(servers), retry, status="429 No") as server, client_at(server.url) as client:
        with pytest.warns(pf.PulseWarning, match="behind the server's"), pytest.raises(pf.QuotaExhausted) as caught:
            client.call(SEARCH, {})
        assert caught.value.resets_at is not None
        assert abs(caught.value.resets_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


def test_a_session_key_of_a_clock_that_was_ahead_is_not_used(simulator: Simulator, clock: Clock) -> None:
    clock.advance(days=2)
    with client_of(simulator, clock=clock) as client:
        client.check_credentials()
        assert client.has_session_key
        clock.advance(days=-2)
        assert not client.has_session_key
        assert client.check_credentials() == 1
        clock.advance(seconds=(KEY_LIFETIME - timedelta(seconds=1)).total_seconds())
        assert client.has_session_key


def test_doctor_fails_if_the_clock_is_wrong(
    run: Run, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_environment(monkeypatch, simulator)
    monkeypatch.setenv("PULSEFRAMES_HOME", str(tmp_path))
    monkeypatch.setattr("pulseframes.client.transport._ahead", lambda _: timedelta(minutes=17))
    code, out, _ = run("doctor")
    assert code == 1
    assert "FAIL clock: This machine's clock is 17 minutes ahead of the server's. Set it right" in out
    assert "ok   credentials" in out
