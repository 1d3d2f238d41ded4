"""The limit is never exceeded, whatever the schedule and the number of processes; and a 429 is respected."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from conftest import NOW, Clock, client_of
from hypothesis import given, strategies as st
from support import worker

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.client.journal import JOURNAL_FILE, Journal
from pulseframes.client.quota_rule import DAY, MARGIN, QuotaDay, QuotaRule
from pulseframes.endpoints import SEARCH
from pulseframes.simulator import Fault, Simulator

#: Just before a day ends.
START = datetime(2026, 11, 1, 23, 59, 30, tzinfo=UTC)
WEEK = ("2026-11-09", "2026-11-16")
TICK = timedelta(microseconds=1)

limits = st.integers(1, 6)
days: st.SearchStrategy[QuotaDay] = st.sampled_from(["rolling", "utc"])
#: From a burst to more than a day, and often just about a day.
gaps = st.one_of(
    st.timedeltas(timedelta(), timedelta(minutes=5)),
    st.timedeltas(timedelta(), timedelta(hours=30)),
    st.timedeltas(DAY - MARGIN, DAY + 2 * MARGIN),
    st.sampled_from([timedelta(), TICK, DAY, DAY + MARGIN, DAY + MARGIN - TICK]),
)


def moments(steps: list[timedelta]) -> list[datetime]:
    times, now = [], START
    for step in steps:
        now += step
        times.append(now)
    return times


def is_admitted(rule: QuotaRule, sent: list[datetime], blocked_until: datetime | None, now: datetime) -> bool:
    """Apply the rule as the journal does: to the calls after the start of the day."""
    try:
        rule.admit([at for at in sent if at > rule.since(now)], blocked_until, now)
    except pf.QuotaExhausted:
        return False
    return True


def schedule(rule: QuotaRule, steps: list[timedelta]) -> list[datetime]:
    """Try to send a call at each time; return the times at which one was admitted."""
    sent: list[datetime] = []
    for now in moments(steps):
        if is_admitted(rule, sent, None, now):
            sent.append(now)
    return sent


def arrivals(sent: list[datetime], seed: int) -> list[datetime]:
    """Delay each call by less than the margin."""
    draw = random.Random(seed)
    return [at + draw.choice([0.0, 0.999, draw.random()]) * MARGIN for at in sent]


@given(limits, st.lists(gaps, max_size=30), st.integers())
def test_no_24_hours_on_the_servers_clock_have_more_calls_than_the_limit(
    limit: int, steps: list[timedelta], seed: int
) -> None:
    heard = sorted(arrivals(schedule(QuotaRule(limit), steps), seed))
    for number, first in enumerate(heard):
        assert sum(at - first < DAY for at in heard[number:]) <= limit


@given(limits, st.lists(gaps, max_size=30), st.integers())
def test_no_utc_day_on_the_servers_clock_has_more_calls_than_the_limit(
    limit: int, steps: list[timedelta], seed: int
) -> None:
    heard = [at.date() for at in arrivals(schedule(QuotaRule(limit, "utc"), steps), seed)]
    for day in set(heard):
        assert heard.count(day) <= limit


@given(limits, days, st.lists(gaps, max_size=12), st.none() | st.timedeltas(-DAY, 3 * DAY), gaps, st.floats(0, 1))
def test_the_next_call_is_admitted_at_the_predicted_time_and_not_before(
    limit: int, day: QuotaDay, steps: list[timedelta], block: timedelta | None, later: timedelta, part: float
) -> None:
    rule = QuotaRule(limit, day)
    sent = schedule(rule, steps)
    now = max([START, *sent]) + later
    blocked_until = None if block is None else now + block
    quota = rule.quota([at for at in sent if at > rule.since(now)], blocked_until, now)
    assert (quota.limit, quota.day) == (limit, day)
    assert 0 <= quota.left <= limit
    assert (quota.next_call_at == now) == (quota.left > 0)
    assert is_admitted(rule, sent, blocked_until, quota.next_call_at)
    if quota.left == 0:
        for before in (now, now + part * (quota.next_call_at - now - TICK), quota.next_call_at - TICK):
            assert not is_admitted(rule, sent, blocked_until, before)


@given(days, st.lists(gaps, max_size=12))
def test_no_calls_are_left_after_the_limit_was_lowered_below_the_calls_used(
    day: QuotaDay, steps: list[timedelta]
) -> None:
    rule = QuotaRule(1, day)
    sent = moments(steps)
    now = max([START, *sent])
    quota = rule.quota([at for at in sent if at > rule.since(now)], None, now)
    assert quota.left == max(0, 1 - quota.used)
    assert is_admitted(rule, sent, None, quota.next_call_at)


def test_the_error_has_the_reason_and_the_time_of_the_next_call() -> None:
    with pytest.raises(pf.QuotaExhausted, match=r"2 of 2 calls used.*2026-11-03 00:00:30 UTC") as caught:
        QuotaRule(2).admit([START, START + timedelta(hours=1)], None, START + timedelta(hours=2))
    assert caught.value.resets_at == START + DAY + MARGIN
    assert caught.value.status is None
    with pytest.raises(pf.QuotaExhausted, match=r"0 of 2 calls used, and the server refused more"):
        QuotaRule(2).admit([], START + DAY, START)


# Refusals by the server


def refusal(retry_after: str | None = None, **options: object) -> Fault:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Fault(kind="status", status=429, on="sessions", headers=headers, **options)  # type: ignore[arg-type]  # a fault's


@pytest.fixture
def ready(client: pf.PulseClient) -> pf.PulseClient:
    """A client that has authenticated."""
    client.check_credentials()
    return client


def statuses(simulator: Simulator) -> list[int | None]:
    return [request.status for request in simulator.requests if request.endpoint == "sessions"]


def test_after_a_short_429_the_call_is_retried(simulator: Simulator, ready: pf.PulseClient, clock: Clock) -> None:
    simulator.faults.add(refusal("30"))
    assert len(pf.search_sessions(*WEEK, client=ready)) == len(simulator.summaries(*WEEK))
    assert statuses(simulator) == [429, 200]
    assert len(clock.slept) == 1
    assert clock.slept[0] >= 30


def test_a_short_429_may_have_a_date(simulator: Simulator, ready: pf.PulseClient, clock: Clock) -> None:
    simulator.faults.add(refusal(format_datetime(clock.now + timedelta(seconds=40), usegmt=True)))
    pf.search_sessions(*WEEK, client=ready)
    assert statuses(simulator) == [429, 200]
    assert clock.slept[0] >= 39


def test_retry_after_0_does_not_spend_every_attempt_at_once(
    simulator: Simulator, ready: pf.PulseClient, clock: Clock
) -> None:
    simulator.faults.add(refusal("0", times=None))
    with pytest.raises(pf.QuotaExhausted) as caught:
        pf.search_sessions(*WEEK, client=ready)
    assert caught.value.status == 429
    assert statuses(simulator) == [429] * 3
    assert len(clock.slept) == 2
    assert clock.slept[0] >= 0.5
    assert clock.slept[1] >= 1


@pytest.mark.parametrize(
    ("hours", "header"),
    [
        (3, lambda _: "10800"),
        (3, lambda now: format_datetime(now + timedelta(hours=3), usegmt=True)),
        (24, lambda _: None),
    ],
    ids=["seconds", "a date", "nothing"],
)
def test_a_long_429_is_an_error_and_blocks_calls_until_it_is_over(
    simulator: Simulator, ready: pf.PulseClient, clock: Clock, hours: int, header: object
) -> None:
    simulator.faults.add(refusal(header(clock.now)))  # type: ignore[operator]  # as parametrized
    with pytest.raises(pf.QuotaExhausted) as caught:
        pf.search_sessions(*WEEK, client=ready)
    assert caught.value.status == 429
    assert clock.slept == []
    clock.advance(hours=hours, seconds=-5)
    simulator.advance(hours=hours)
    sent = simulator.calls
    with pytest.raises(pf.QuotaExhausted, match="the server refused more") as caught:
        pf.search_sessions(*WEEK, client=ready)
    assert caught.value.status is None
    assert simulator.calls == sent
    assert ready.quota().left == 0
    assert caught.value.resets_at == ready.quota().next_call_at
    clock.now = ready.quota().next_call_at
    assert len(pf.search_sessions(*WEEK, client=ready)) > 0
    assert simulator.calls > sent


def test_an_unreadable_retry_after_is_worth_one_try_in_a_minute(
    simulator: Simulator, ready: pf.PulseClient, clock: Clock
) -> None:
    simulator.faults.add(refusal("when it is convenient"))
    assert len(pf.search_sessions(*WEEK, client=ready)) == len(simulator.summaries(*WEEK))
    assert statuses(simulator) == [429, 200]
    (slept,) = clock.slept
    assert 59 <= slept <= 60


def test_a_second_unreadable_retry_after_gives_up_the_day(
    simulator: Simulator, ready: pf.PulseClient, clock: Clock
) -> None:
    simulator.faults.add(refusal("when it is convenient", times=None))
    with pytest.raises(pf.QuotaExhausted) as caught:
        pf.search_sessions(*WEEK, client=ready)
    assert statuses(simulator) == [429, 429]
    assert caught.value.resets_at is not None
    assert caught.value.resets_at - clock.now > timedelta(hours=24)


def test_an_unreadable_retry_after_gives_up_the_day_at_once_if_no_calls_are_left(
    simulator: Simulator, clock: Clock
) -> None:
    simulator.faults.add(refusal("soon"))
    changes = {"daily_limit": 2}
    with client_of(simulator, changes=changes, clock=clock, sleep=clock.sleep) as client:
        with pytest.raises(pf.QuotaExhausted) as caught:
            pf.search_sessions(*WEEK, client=client)
    assert caught.value.status == 429
    assert clock.slept == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failed_server_that_says_when_to_return_gets_no_call_before(
    simulator: Simulator, ready: pf.PulseClient, clock: Clock, status: int
) -> None:
    simulator.faults.add(Fault(kind="status", status=status, on="sessions", headers={"Retry-After": "40"}))
    simulator.faults.add(Fault(kind="status", status=status, on="sessions", times=None, headers={"Retry-After": "120"}))
    with pytest.raises(pf.ServerError, match="Next call possible at") as caught:
        ready.call(SEARCH, {"dateFrom": WEEK[0], "dateTo": WEEK[1]})
    assert statuses(simulator) == [status] * 2
    assert clock.slept[0] >= 39
    assert caught.value.retry_at is not None
    assert (caught.value.retry_at - clock.now).total_seconds() == pytest.approx(120, abs=2)
    assert ready.quota().left > 0


def test_a_429_blocks_other_clients_of_the_application_but_no_other_application(
    simulator: Simulator, ready: pf.PulseClient, clock: Clock
) -> None:
    simulator.faults.add(refusal("7200"))
    with pytest.raises(pf.QuotaExhausted):
        pf.search_sessions(*WEEK, client=ready)
    sent = simulator.calls
    with client_of(simulator, clock=clock) as other, pytest.raises(pf.QuotaExhausted, match="This call was not sent"):
        pf.search_sessions(*WEEK, client=other)
    assert simulator.calls == sent
    with (
        Simulator(sessions=10, now=NOW, api_key="of another application") as blog,
        client_of(blog, clock=clock) as other,
    ):
        pf.search_sessions(*WEEK, client=other)
        assert blog.calls == 2


def test_cached_answers_are_available_when_no_calls_are_left(simulator: Simulator, ready: pf.PulseClient) -> None:
    first = pf.search_sessions(*WEEK, client=ready)
    simulator.faults.add(refusal("7200"))
    with pytest.raises(pf.QuotaExhausted):
        pf.search_sessions("2026-11-01", "2026-11-02", client=ready)
    assert pf.search_sessions(*WEEK, client=ready).equals(first)


# Our own count


@contextlib.contextmanager
def limited(clock: Clock, limit: int, **changes: object) -> Iterator[tuple[Simulator, pf.PulseClient]]:
    with Simulator(sessions=200, now=NOW, daily_limit=None) as simulator:
        with client_of(simulator, changes={"daily_limit": limit, **changes}, clock=clock, sleep=clock.sleep) as client:
            yield simulator, client


def ask_for(client: pf.PulseClient, session_id: int) -> None:
    client.call(endpoints.DETAIL, {"id": str(session_id)})


def test_the_call_over_the_limit_is_not_sent(clock: Clock) -> None:
    with limited(clock, 4) as (simulator, client):
        ids = simulator.summaries()["session_id"].to_list()
        for session_id in ids[:3]:
            ask_for(client, session_id)
        with pytest.raises(pf.QuotaExhausted, match="4 of 4 calls used"):
            ask_for(client, ids[3])
        assert simulator.calls == 4
        assert client.calls_spent == 4
        clock.advance(hours=24, seconds=59)
        with pytest.raises(pf.QuotaExhausted):
            ask_for(client, ids[3])
        clock.advance(seconds=1)
        simulator.advance(hours=25)
        ask_for(client, ids[3])


def test_authentication_can_be_excluded_from_the_count(clock: Clock) -> None:
    with limited(clock, 2, count_authenticate=False) as (simulator, client):
        ids = simulator.summaries()["session_id"].to_list()
        ask_for(client, ids[0])
        ask_for(client, ids[1])
        with pytest.raises(pf.QuotaExhausted):
            ask_for(client, ids[2])
        assert [request.endpoint for request in simulator.requests] == ["authenticate", "session", "session"]
        assert client.calls_spent == 2
        assert client.quota().used == 2


def test_each_attempt_counts_unless_it_was_never_sent(clock: Clock) -> None:
    with limited(clock, 10) as (simulator, client):
        client.check_credentials()
        session_id = simulator.summaries()["session_id"][0]
        simulator.faults.add(Fault(kind="reset", on="session", times=2))
        ask_for(client, session_id)
        assert client.quota().used == 4
        simulator.stop()
        with pytest.raises(pf.ServerError, match="refused"):
            ask_for(client, session_id)
        assert client.quota().used == client.calls_spent == 4


@pytest.mark.parametrize(("day", "admitted"), [("rolling", False), ("utc", True)])
def test_the_day_can_be_the_utc_day(clock: Clock, monkeypatch: pytest.MonkeyPatch, day: str, *, admitted: bool) -> None:
    monkeypatch.setenv("PULSEFRAMES_QUOTA_DAY", day)
    clock.now = datetime(2026, 11, 20, 22, tzinfo=UTC)
    with limited(clock, 2, keep_session_key=False) as (simulator, client):
        assert client.quota().day == day
        ids = simulator.summaries()["session_id"].to_list()
        ask_for(client, ids[0])
        with pytest.raises(pf.QuotaExhausted):
            ask_for(client, ids[1])
        clock.now = datetime(2026, 11, 21, 0, 2, tzinfo=UTC)
        simulator.advance(hours=3)
        if admitted:
            ask_for(client, ids[1])
        else:
            with pytest.raises(pf.QuotaExhausted, match="2026-11-21 22:01:00"):
                ask_for(client, ids[1])


def test_each_application_has_its_own_quota(clock: Clock) -> None:
    with limited(clock, 3) as (shop, of_shop), Simulator(sessions=10, now=NOW, api_key="blog", port=0) as blog:
        ids = shop.summaries()["session_id"].to_list()
        for session_id in ids[:2]:
            ask_for(of_shop, session_id)
        with pytest.raises(pf.QuotaExhausted):
            ask_for(of_shop, ids[2])
        with client_of(blog, changes={"daily_limit": 3}, clock=clock) as of_blog:
            assert of_blog.quota().left == 3
            ask_for(of_blog, blog.summaries()["session_id"][0])
            assert of_blog.quota().left == 1


# Many processes


def spend_with_8_processes(home: Path) -> dict[str, object]:
    """Fetch 400 details from 8 processes within a limit of 50, then fetch all that were received again in a new process."""
    with Simulator(sessions=400, daily_limit=50) as simulator, contextlib.ExitStack() as ends:
        ids = simulator.summaries()["session_id"].to_list()
        starting = [worker.start(simulator, daily_limit=50) for _ in range(9)]
        *workers, again = [ends.enter_context(worker.running(process)) for process in starting]
        for number, process in enumerate(workers):
            worker.give(process, home, calls=ids[number * 50 : number * 50 + 50])
        results = [worker.result(process) for process in workers]
        answered = [request.status for request in simulator.requests]
        received = [session_id for result in results for session_id in result["came"]]
        worker.give(again, home, ids=received)
        read = worker.result(again)
        journal = Journal(home / JOURNAL_FILE)
        journal.check()
        rows = sum(len(journal.last_calls(name, 1_000)) for name in journal.applications())
        journal.close()
        return {
            "requests": len(answered),
            "authentications": sum(request.endpoint == "authenticate" for request in simulator.requests),
            "answered 429": answered.count(429),
            "not answered 200 or 202": len([status for status in answered if status not in (200, 202)]),
            "calls spent, by the processes' own count": sum(result["spent"] for result in results),
            "rows in the journal": rows,
            "how they ended": sorted({str(result["error"]) for result in results}),
            "details received": len(set(received)),
            "details fetched again": len(read["came"]),
            "calls spent on that": read["spent"],
            "requests after that": simulator.calls - len(answered),
        }


def test_8_processes_share_exactly_50_calls_and_pay_for_no_answer_twice(tmp_path: Path) -> None:
    assert spend_with_8_processes(tmp_path / "home") == {
        "requests": 50,
        "authentications": 1,
        "answered 429": 0,
        "not answered 200 or 202": 0,
        "calls spent, by the processes' own count": 50,
        "rows in the journal": 50,
        "how they ended": ["QuotaExhausted"],
        "details received": 49,
        "details fetched again": 49,
        "calls spent on that": 0,
        "requests after that": 0,
    }


@pytest.mark.usefixtures("environment")
def test_the_quota_of_a_client_or_of_the_environment_spends_no_call(
    client: pf.PulseClient, simulator: Simulator
) -> None:
    pf.search_sessions("2026-11-09", "2026-11-10", client=client)
    sent = len(simulator.requests)
    assert pf.quota(client=client) == client.quota()
    assert pf.quota(client=client).used == client.calls_spent == 2
    assert pf.quota().limit == 10_000
    assert len(simulator.requests) == sent
