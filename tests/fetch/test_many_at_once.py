"""Details, several at once: the same frames, calls and journal as one at a time, whatever the server does."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import NOW, Clock, client_of
from hypothesis import given, settings, strategies as st
from polars.testing import assert_frame_equal
from support import worker
from support.raw_server import KEY, RawServer, ok, raw_server
from support.scripted_server import Details, detail, details_server

import pulseframes as pf
from pulseframes.client import JOURNAL_FILE, Journal
from pulseframes.simulator import Fault, Simulator

AT_ONCE = 4
IDS = list(range(1, 21))
SOON = 60.0


@contextmanager
def client_for(server: RawServer, home: Path, *, later: int = 0, **changes: Any) -> Iterator[pf.PulseClient]:
    """A client so many days later, whose clock moves when it sleeps."""
    clock = Clock()
    clock.advance(days=later)
    given = {"base_url": server.url, "home": home, "daily_limit": 10_000, "concurrency": AT_ONCE} | changes
    credentials = pf.Credentials("an-api-key", "a-client-id", "a-client-secret")
    with pf.PulseClient(credentials, settings=pf.Settings(**given), clock=clock, sleep=clock.sleep) as client:
        yield client


class Outcome:
    """What came of asking for details: frames, all or the beginning, and what ended it."""

    def __init__(self, client: pf.PulseClient, ids: Sequence[int]) -> None:
        self.problem: pf.PulseError | None = None
        try:
            self.frames = pf.session_details(ids, client=client)
        except pf.PulseError as problem:
            self.problem, self.frames = problem, problem.partial
        self.spent = client.calls_spent

    @property
    def came(self) -> int:
        return len(self.frames.sessions) + len(self.frames.missing)


def calls_in(home: Path) -> list[tuple[str, str, str | None, int | None]]:
    """The journal's calls: endpoint, question, outcome, status."""
    with closing(sqlite3.connect(home / JOURNAL_FILE)) as journal:
        return journal.execute("SELECT endpoint, params, outcome, status FROM calls ORDER BY id").fetchall()


def details_in(home: Path) -> list[int]:
    """The sessions whose details the journal has, in the order of their calls."""
    return [int(params[3:]) for name, params, _, status in calls_in(home) if (name, status) == ("session", 200)]


def waits_for(home: Path) -> int:
    """How many calls have no end in the journal."""
    return sum(outcome is None for _, _, outcome, _ in calls_in(home))


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


# A server that misbehaves at random

#: What happens to a session's attempts before it is answered, if it ever is.
SCRIPTS = st.one_of(
    st.just([]),
    st.just([]),
    st.just(["404"] * 9),
    st.sampled_from([["500"], ["503, wait 0"], ["429, wait 1"], ["401"], ["lost"]]),
    st.sampled_from([["500"] * 3, ["lost", "500", "lost"], ["429"], ["401", "401"], ["garbled"]]),
)


@settings(max_examples=12)
@given(
    scripts=st.lists(SCRIPTS, min_size=2, max_size=14),
    at_once=st.integers(2, 6),
    limit=st.sampled_from([3, 8, 10_000]),
    slow=st.sampled_from([0.0, 0.004]),
)
@pytest.mark.filterwarnings("ignore::pulseframes.MissingSessionsWarning")
def test_several_at_once_are_as_one_at_a_time_whatever_the_server_does(
    tmp_path_factory: pytest.TempPathFactory, scripts: list[list[str]], at_once: int, limit: int, slow: float
) -> None:
    ids = [31 * number % 97 + 1 for number in range(len(scripts))]
    first: list[Outcome] = []
    last: list[Outcome] = []
    for concurrency in (1, at_once):
        details = Details(dict(zip(ids, scripts, strict=True)), slow=slow)
        home = tmp_path_factory.mktemp("home")
        with details_server(details) as server:
            with client_for(server, home, daily_limit=limit, concurrency=concurrency) as client:
                first.append(Outcome(client, ids))
                assert first[-1].spent == server.calls == len(calls_in(home)) == client.quota().used <= limit
                assert details.most <= concurrency
                assert waits_for(home) == 0
                assert set(details_in(home)) >= {session_id for session_id, times in details.given.items() if times}
            if first[-1].problem is not None:
                assert first[-1].problem.remaining == len(ids) - first[-1].came
            # The rest is asked for on other days, and what was answered is paid for once.
            for day in range(2, 30):
                with client_for(server, home, later=2 * day, concurrency=concurrency) as client:
                    last.append(Outcome(client, ids))
                if last[-1].problem is None:
                    break
            assert all(
                details.given[session_id] == ("404" not in steps)
                for session_id, steps in zip(ids, scripts, strict=True)
            )
    one, several = first
    if one.problem is None:
        assert several.problem is None
        assert_same(several.frames, one.frames)
        renewals = sum(steps == ["401"] for steps in scripts)  # shared by those that were under way
        assert one.spent - renewals <= several.spent <= one.spent
    assert last[-1].problem is None
    assert_same(last[-1].frames, next(outcome.frames for outcome in last if outcome.problem is None))


def assert_same(frames: pf.SessionFrames, others: pf.SessionFrames) -> None:
    assert frames.missing == others.missing
    for name, frame in frames.tables().items():
        assert_frame_equal(frame, others.tables()[name])


# No more calls than are left, and none after a failure for good


def test_the_calls_that_are_left_are_spent_in_order_and_no_more(tmp_path: Path) -> None:
    details = Details({}, slow=0.02)
    with details_server(details) as server, client_for(server, tmp_path, daily_limit=4) as client:
        outcome = Outcome(client, IDS)
        assert isinstance(outcome.problem, pf.QuotaExhausted)
        assert (outcome.spent, outcome.problem.remaining) == (4, 17)
        assert outcome.frames.sessions["session_id"].to_list() == sorted(details.requested) == IDS[:3]
        assert details_in(tmp_path) == IDS[:3]


@pytest.mark.parametrize(
    ("step", "kind"), [("429", pf.QuotaExhausted), ("garbled", pf.MalformedAnswer), ("403", pf.AuthenticationFailed)]
)
def test_a_failure_for_good_lets_the_others_under_way_finish_and_begins_no_more(
    tmp_path: Path, step: str, kind: type[pf.PulseError]
) -> None:
    details = Details({3: [step]})

    def answer(connection: Any, head: bytes) -> None:
        if b"?id=3 " in head:
            wait_until(lambda: server.calls == 1 + 1 + AT_ONCE)  # all that may be under way
        elif b"?id=1 " not in head:
            wait_until(lambda: any(params == "id=3" and status for _, params, _, status in calls_in(tmp_path)))
            time.sleep(0.2)
        details(connection, head)

    with raw_server(answer) as server, client_for(server, tmp_path) as client:
        outcome = Outcome(client, IDS)
    assert isinstance(outcome.problem, kind)
    assert outcome.frames.sessions["session_id"].to_list() == [1, 2, 4, 5]
    assert (sorted(details.requested), waits_for(tmp_path)) == ([1, 2, 3, 4, 5], 0)
    assert outcome.problem.remaining == len(IDS) - 4


@pytest.mark.parametrize(("status", "calls"), [("401 No", 1), ("500 Down", 3)])
def test_credentials_that_are_refused_and_a_server_that_is_down_cost_what_they_cost_one_call(
    tmp_path: Path, status: str, calls: int
) -> None:
    server = RawServer(lambda connection, _: connection.sendall(ok(b"", status=status)), None, authenticate=False)
    try:
        with client_for(server, tmp_path) as client:
            outcome = Outcome(client, IDS)
            assert isinstance(outcome.problem, pf.AuthenticationFailed | pf.ServerError)
            assert (outcome.spent, server.calls, outcome.problem.remaining) == (calls, calls, len(IDS))
    finally:
        server.stop()


def test_a_server_that_goes_down_is_asked_by_one_at_a_time(tmp_path: Path) -> None:
    details = Details({session_id: ["500"] * 3 for session_id in IDS[6:]}, slow=0.02)
    with details_server(details) as server, client_for(server, tmp_path) as client:
        outcome = Outcome(client, IDS)
    assert isinstance(outcome.problem, pf.ServerError)
    # At most four fail at once; the first of them is tried again twice, by itself.
    assert outcome.came >= 6
    tries = sorted(Counter(session_id for session_id in details.requested if session_id > 6).values())
    assert tries in ([1] * others + [3] for others in range(AT_ONCE))


def test_a_server_that_recovers_is_asked_by_several_again(tmp_path: Path) -> None:
    details = Details({2: ["500"], 3: ["lost"], 4: ["503, wait 0"], 5: ["429, wait 1"]}, slow=0.05)
    with details_server(details) as server, client_for(server, tmp_path) as client:
        outcome = Outcome(client, IDS)
        assert outcome.problem is None
        assert (outcome.spent, details.most) == (1 + len(IDS) + 4, AT_ONCE)


@contextmanager
def expiring_keys(good_for: int) -> Iterator[tuple[RawServer, list[str]]]:
    """A server whose session keys are good for so many details each, and which heard what."""
    heard: list[str] = []
    lock, left = threading.Lock(), [0]

    def answer(connection: Any, head: bytes) -> None:
        with lock:
            is_key = b"/authenticate" in head
            number = sum(name == "authenticate" for name in heard)
            if is_key:
                left[0] = good_for
            is_good = is_key or (f"key-{number}\r\n".encode() in head and left[0] > 0)
            left[0] -= is_good and not is_key
            heard.append("authenticate" if is_key else "details" if is_good else "refused")
        time.sleep(0.02)
        if is_key:
            connection.sendall(ok(KEY.replace(b"a-session-key-of-the-wire", f"key-{number + 1}".encode())))
        else:
            session_id = int(head.split(b" ")[1].split(b"id=")[1])
            connection.sendall(detail(session_id) if is_good else ok(b"", status="401 Who"))

    server = RawServer(answer, None, authenticate=False)
    try:
        yield server, heard
    finally:
        server.stop()


def test_a_session_key_that_is_refused_to_all_is_renewed_once(tmp_path: Path) -> None:
    with expiring_keys(10) as (server, heard), client_for(server, tmp_path) as client:
        outcome = Outcome(client, IDS[:18])
        assert outcome.problem is None
        assert (heard.count("authenticate"), heard.count("details")) == (2, 18)
        assert 1 <= heard.count("refused") <= AT_ONCE
        assert outcome.spent == len(heard)


def test_session_keys_that_are_always_refused_cost_few_calls(tmp_path: Path) -> None:
    with expiring_keys(0) as (server, heard), client_for(server, tmp_path) as client:
        outcome = Outcome(client, IDS)
        assert isinstance(outcome.problem, pf.AuthenticationFailed)
        assert heard == ["authenticate", "refused", "authenticate", "refused"]


def test_session_keys_that_are_refused_from_some_moment_on_cost_few_calls(tmp_path: Path) -> None:
    details = Details({session_id: ["401"] * 9 for session_id in IDS[5:]}, slow=0.02)
    with details_server(details) as server, client_for(server, tmp_path) as client:
        outcome = Outcome(client, IDS)
        assert isinstance(outcome.problem, pf.AuthenticationFailed)
        assert outcome.came == 5
        assert server.calls <= 1 + 5 + AT_ONCE + 2  # one renewal, and one repetition


# The journal


def test_a_journal_that_cannot_be_written_any_more_ends_it_and_what_was_paid_for_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve, complete = Journal.reserve, Journal.complete
    reserved: list[int] = []

    def full(self: Journal, *arguments: Any, **options: Any) -> Any:
        if len(reserved) >= 7:  # one authentication and six details
            raise pf.JournalError("the disk is full")
        reserved.append(reserve(self, *arguments, **options))
        return reserved[-1]

    def all_but_the_last(self: Journal, call_id: int, *arguments: Any, **options: Any) -> None:
        if reserved.index(call_id) == 6:
            raise pf.JournalError("the disk is full")
        complete(self, call_id, *arguments, **options)

    monkeypatch.setattr(Journal, "reserve", full)
    monkeypatch.setattr(Journal, "complete", all_but_the_last)
    details = Details({}, slow=0.02)
    with details_server(details) as server, client_for(server, tmp_path) as client:
        with pytest.warns(pf.JournalWarning, match="could not be recorded") as caught:
            outcome = Outcome(client, IDS)
    assert isinstance(outcome.problem, pf.JournalError)
    assert (outcome.frames.sessions["session_id"].to_list(), outcome.spent) == (IDS[:6], 7)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_process_that_is_killed_with_four_calls_under_way_pays_again_for_those_alone(tmp_path: Path) -> None:
    with Simulator(sessions=200, now=NOW - timedelta(days=30), daily_limit=None) as simulator:
        ids = simulator.summaries()["session_id"].head(14).to_list()
        # Five answers, and then none.
        simulator.faults.add(Fault(kind="delay", on="session", after=5, times=AT_ONCE, seconds=60))
        with worker.running(worker.start(simulator, "frames", at_once=AT_ONCE)) as process:
            worker.give(process, tmp_path, ids=ids)
            wait_until(lambda: simulator.calls == 1 + 5 + AT_ONCE)
            wait_until(lambda: len(details_in(tmp_path)) == 5)
            process.kill()
            process.wait()
        assert waits_for(tmp_path) == AT_ONCE
        with client_of(simulator, changes={"home": str(tmp_path)}) as client:
            frames = pf.session_details(ids, client=client)
            assert set(frames.sessions["session_id"]) == set(ids)
            assert client.quota().used == simulator.calls
        assert sum(request.endpoint == "session" for request in simulator.requests) == len(ids) + AT_ONCE


# Ctrl-C


@contextmanager
def interrupting(details: Details, *, at: int, held: threading.Event | None = None) -> Iterator[RawServer]:
    """A server during whose nth call Ctrl-C is pressed; it then holds its answers back until ``held`` is set."""
    lock, heard = threading.Lock(), [0]

    def answer(connection: Any, head: bytes) -> None:
        with lock:
            heard[0] += 1
            if heard[0] == at:
                os.kill(os.getpid(), signal.SIGINT)
        if held is not None and heard[0] >= at:
            held.wait(SOON)
        details(connection, head)

    with raw_server(answer) as server:
        yield server


def test_ctrl_c_waits_for_the_calls_under_way_and_sends_no_more(tmp_path: Path) -> None:
    details = Details({}, slow=0.1)
    with interrupting(details, at=5) as server, client_for(server, tmp_path) as client:
        with pytest.raises(KeyboardInterrupt):
            pf.session_details(IDS, client=client)
        sent = server.calls
        assert 1 + 5 <= sent <= 1 + 5 + AT_ONCE
        assert waits_for(tmp_path) == 0
        assert len(details_in(tmp_path)) == sent - 1
        frames = pf.session_details(IDS, client=client)
        assert server.calls == 1 + len(IDS)
        assert frames.sessions["session_id"].to_list() == IDS


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    details, held = Details({}), threading.Event()
    pressed: list[int] = []

    def press(*_: object) -> None:
        pressed.append(1)
        raise KeyboardInterrupt

    def press_again() -> None:
        wait_until(lambda: bool(pressed))
        time.sleep(0.2)  # it waits for the calls
        os.kill(os.getpid(), signal.SIGINT)

    usual = signal.signal(signal.SIGINT, press)
    with interrupting(details, at=5, held=held) as server, client_for(server, tmp_path) as client:
        second = threading.Thread(target=press_again)
        second.start()
        with pytest.raises(KeyboardInterrupt):
            pf.session_details(IDS, client=client)
        signal.signal(signal.SIGINT, usual)
        assert (len(pressed), held.is_set()) == (2, False)
        assert waits_for(tmp_path) > 0
        second.join()
        held.set()
        wait_until(lambda: waits_for(tmp_path) == 0)  # it is recorded all the same
        assert len(details_in(tmp_path)) < len(IDS)


def test_a_command_that_is_interrupted_ends_with_its_calls_in_the_journal(tmp_path: Path) -> None:
    with Simulator(sessions=200, now=NOW - timedelta(days=30), daily_limit=None) as simulator:
        ids = simulator.summaries()["session_id"].head(20)
        simulator.faults.add(Fault(kind="delay", on="session", times=None, seconds=0.3))
        environment = os.environ | {
            "PULSEFRAMES_BASE_URL": simulator.url,
            "PULSEFRAMES_HOME": str(tmp_path),
            "PULSEFRAMES_API_KEY": simulator.api_key,
            "PULSEFRAMES_CLIENT_ID": simulator.client_id,
            "PULSEFRAMES_CLIENT_SECRET": simulator.client_secret,
        }
        command = [sys.executable, "-m", "pulseframes", "details", *map(str, ids)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_until(lambda: simulator.calls >= 1 + 1 + AT_ONCE)
            process.send_signal(signal.SIGINT)
            assert process.wait(SOON) == 130
        assert waits_for(tmp_path) == 0
        assert len(details_in(tmp_path)) == simulator.calls - 1 < len(ids)


# Syncs


def test_a_sync_reports_what_it_fetched_at_once(tmp_path: Path, clock: Clock) -> None:
    with (
        Simulator(sessions=300, days=10, now=clock.now, daily_limit=None) as shop,
        client_of(shop, changes={"daily_limit": 24}, clock=clock, sleep=clock.sleep) as client,
    ):
        window, lake = (shop.begin, clock.now - timedelta(days=2)), pf.Lake(tmp_path / "lake")
        pf.sync(lake, *window, client=client)
        shop.faults.add(Fault(kind="status", status=404, on="session", after=3))
        steps: list[pf.Progress] = []
        report = pf.sync(lake, *window, details=60, design="newest", client=client, progress=steps.append)
        used = shop.calls - report.calls_spent
        assert (report.finished, report.calls_spent, shop.calls) == (False, 24 - used, 24)
        assert (report.details, len(report.missing), report.remaining) == (
            report.calls_spent - 1,
            1,
            60 - report.calls_spent,
        )
        assert [step.done for step in steps] == [*range(1, report.calls_spent + 1)]
        assert {step.total for step in steps} == {60}
        assert steps[-1].calls == report.calls_spent
        detailed = lake.sessions().select("detail_fetched_at").collect()["detail_fetched_at"].count()
        assert detailed == report.details


@pytest.mark.filterwarnings("ignore:PULSEFRAMES_HOME")
def test_without_a_journal_on_disk_a_sync_has_each_detail_in_the_lake_before_the_next_call(
    tmp_path: Path, clock: Clock
) -> None:
    with (
        Simulator(sessions=100, days=4, now=clock.now, daily_limit=None) as shop,
        client_of(shop, changes={"home": ":memory:"}, clock=clock, sleep=clock.sleep) as client,
    ):
        lake = pf.Lake(tmp_path / "lake")
        pf.sync(lake, shop.begin, client=client)
        seen: list[int] = []

        def look(progress: pf.Progress) -> None:
            detailed = lake.sessions().select("detail_fetched_at").collect()["detail_fetched_at"].count()
            seen.append(detailed - progress.done)
            assert sum(request.endpoint == "session" for request in shop.requests) == progress.done

        pf.sync(lake, shop.begin, details=6, design="newest", client=client, progress=look)
        assert seen == [0] * 6


@pytest.mark.filterwarnings("ignore::pulseframes.MissingSessionsWarning")
@settings(max_examples=12, deadline=None)
@given(
    asked=st.lists(st.lists(st.sampled_from(IDS), min_size=1, max_size=12, unique=True), min_size=2, max_size=4),
    gone=st.sets(st.sampled_from(IDS), max_size=3),
    refresh=st.booleans(),
    slow=st.sampled_from([0.0, 0.005]),
)
def test_threads_that_share_a_client_pay_once_for_each_session(
    tmp_path_factory: pytest.TempPathFactory, asked: list[list[int]], gone: set[int], refresh: bool, slow: float
) -> None:
    """Also where one asks for what another has just received."""
    details = Details({session_id: ["404"] * 9 for session_id in gone}, slow=slow)
    with details_server(details) as server, client_for(server, tmp_path_factory.mktemp("home")) as client:

        def ask(ids: list[int]) -> pf.SessionFrames:
            return pf.session_details(ids, client=client, refresh=refresh)

        together = threading.Barrier(len(asked))
        with ThreadPoolExecutor(len(asked)) as pool:
            frames = list(pool.map(lambda ids: (together.wait(SOON), ask(ids))[1], asked))
    for ids, found in zip(asked, frames, strict=True):
        assert {*found.sessions["session_id"]} == {*ids} - gone
        assert {*found.missing} == {*ids} & gone
    assert sorted(details.requested) == sorted({session_id for ids in asked for session_id in ids})
