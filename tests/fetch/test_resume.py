"""What was paid for is not paid for again: not in another process, not after a kill, not on the next day."""

from __future__ import annotations

import stat
import traceback
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import NOW, Clock, client_of, requested_details
from polars.testing import assert_frame_equal
from soak import killed_searches

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.client.journal import JOURNAL_FILE
from pulseframes.simulator import Fault, Simulator
from pulseframes.windows import FRESH

#: Ended long before the clock of any machine that runs this.
SETTLED = ("2020-01-01", "2020-01-29")
THEN = NOW.replace(year=2020, month=1, day=29, hour=0)


def asked(simulator: Simulator, endpoint: str) -> list[dict[str, str]]:
    return [request.query for request in simulator.requests if request.endpoint == endpoint]


@pytest.mark.parametrize(("kills", "at_once"), [(10, 1), (10, 4)])
def test_kills_lose_nothing_and_each_costs_as_many_calls_as_were_under_way_at_most(kills: int, at_once: int) -> None:
    done = killed_searches.soak(kills, pages=4, details=30, seed=20, longest=0.35, at_once=at_once)
    print(done)  # noqa: T201  pytest shows it if the test fails
    assert done.kills == kills
    assert done.extra_calls <= kills * at_once


# The same question again


def test_the_same_search_again_costs_nothing_in_this_process_and_in_another(
    simulator: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    first = pf.search_sessions("2026-01-01", NOW, client=client)
    sent = simulator.calls
    assert_frame_equal(pf.search_sessions("2026-01-01", NOW, client=client), first)
    with client_of(simulator, clock=clock) as other:
        assert_frame_equal(pf.search_sessions("2026-01-01", NOW, client=other), first)
        assert other.calls_spent == 0
    assert simulator.calls == sent


def test_the_same_details_again_cost_nothing(simulator: Simulator, client: pf.PulseClient, clock: Clock) -> None:
    ids = simulator.summaries()["session_id"].head(5)
    first = pf.session_details(ids, client=client)
    with client_of(simulator, clock=clock) as other:
        again = pf.session_details(ids.reverse(), client=other)
        assert other.calls_spent == 0
    for name, frame in first.tables().items():
        assert_frame_equal(again.tables()[name], frame)


def test_40_details_of_which_12_are_known_cost_28_calls(simulator: Simulator, client: pf.PulseClient) -> None:
    ids = simulator.summaries()["session_id"].head(40).to_list()
    pf.session_details(ids[5:17], client=client)
    before = client.calls_spent
    frames = pf.session_details(ids, client=client)
    assert client.calls_spent - before == 28
    assert len(frames.sessions) == 40


def test_refresh_asks_again(simulator: Simulator, client: pf.PulseClient) -> None:
    ids = simulator.summaries()["session_id"].head(2)
    for refresh, pages, details in ((False, 4, 2), (True, 8, 4), (False, 8, 4)):
        pf.search_sessions("2026-01-01", NOW, client=client, refresh=refresh)
        pf.session_details(ids, client=client, refresh=refresh)
        assert (len(asked(simulator, "sessions")), len(asked(simulator, "session"))) == (pages, details)


# How long an answer may be used again


def test_an_empty_window_is_asked_again_after_15_minutes_until_it_ended_a_week_ago(
    simulator: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (clock.now - timedelta(days=1), clock.now)
    for minutes, calls in ((0, 1), (14.9, 1), (0.1, 2), (14.9, 2), (0.2, 3), (7 * 24 * 60, 4), (7 * 24 * 60, 4)):
        clock.advance(minutes=minutes)
        pf.search_sessions(*window, country="AQ", client=client)
        assert len(asked(simulator, "sessions")) == calls


def test_a_settled_window_is_never_asked_again(clock: Clock) -> None:
    with Simulator(sessions=600, now=THEN, daily_limit=None) as simulator, client_of(simulator, clock=clock) as client:
        first = pf.search_sessions(*SETTLED, client=client)
        sent = simulator.calls
        clock.advance(days=4_000)
        assert_frame_equal(pf.search_sessions(*SETTLED, client=client), first)
        assert simulator.calls == sent


def test_a_window_that_ended_less_than_a_day_before_it_was_asked_is_asked_again_once(
    simulator: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    end = clock.now - timedelta(hours=23)
    window = (end - timedelta(days=400), end)
    pf.search_sessions(*window, client=client)
    clock.advance(hours=2)
    pf.search_sessions(*window, client=client)
    # 2,000 sessions: pages of a window that may still change overlap, and so need one more.
    assert len(asked(simulator, "sessions")) == 5 + 4
    clock.advance(days=30)
    pf.search_sessions(*window, client=client)
    assert len(asked(simulator, "sessions")) == 5 + 4


@pytest.mark.parametrize(("status", "again"), [("active", True), ("ended", False)])
def test_only_an_active_sessions_details_are_asked_again(
    simulator: Simulator, client: pf.PulseClient, clock: Clock, status: str, *, again: bool
) -> None:
    session_id = simulator.summaries()["session_id"][0]
    simulator.faults.add(
        Fault(kind="drift", on="session", times=None, edit=lambda document: document["session"].update(status=status))
    )
    pf.session_details(session_id, client=client)
    clock.advance(minutes=14.9)
    pf.session_details(session_id, client=client)
    assert len(asked(simulator, "session")) == 1
    clock.advance(minutes=0.1 if again else 10**6)
    simulator.advance(minutes=15)
    pf.session_details(session_id, client=client)
    assert len(asked(simulator, "session")) == 1 + again


def test_a_404_is_remembered_for_15_minutes(simulator: Simulator, client: pf.PulseClient, clock: Clock) -> None:
    for minutes, calls in ((0, 1), (14.9, 1), (0.1, 2)):
        clock.advance(minutes=minutes)
        simulator.advance(minutes=minutes)
        with pytest.warns(pf.MissingSessionsWarning):
            frames = pf.session_details(12345, client=client)
        assert frames.missing == [12345]
        assert len(asked(simulator, "session")) == calls
    with pytest.warns(pf.MissingSessionsWarning):
        pf.session_details(12345, client=client, refresh=True)
    assert len(asked(simulator, "session")) == 3


def test_an_answer_that_is_not_as_documented_is_not_used_again(simulator: Simulator, client: pf.PulseClient) -> None:
    simulator.faults.add(Fault(kind="body", body="<html>", on="sessions"))
    with pytest.raises(pf.MalformedAnswer):
        pf.search_sessions("2026-11-09", "2026-11-16", client=client)
    assert len(pf.search_sessions("2026-11-09", "2026-11-16", client=client)) > 0


# The next day


def test_a_search_that_stopped_at_page_7_goes_on_at_page_7(clock: Clock) -> None:
    with Simulator(sessions=5_000, now=THEN, daily_limit=None) as simulator:
        everything = simulator.summaries()
        with client_of(simulator, changes={"daily_limit": 7}, clock=clock) as client:
            with pytest.raises(pf.QuotaExhausted) as caught:
                pf.search_sessions(*SETTLED, client=client)
            assert len(caught.value.partial) == 3_000
            assert caught.value.remaining == 2_000
            assert caught.value.resets_at is not None
        clock.now = caught.value.resets_at
        simulator.advance(hours=25)
        with client_of(simulator, changes={"daily_limit": 7}, clock=clock) as client:
            sessions = pf.search_sessions(*SETTLED, client=client)
            assert client.calls_spent == 5
        assert [query["skip"] for query in asked(simulator, "sessions")] == [str(500 * page) for page in range(10)]
    assert_frame_equal(sessions, everything)


def test_details_that_stopped_go_on_where_they_were(clock: Clock) -> None:
    with Simulator(sessions=100, now=THEN, daily_limit=None) as simulator:
        ids = simulator.summaries()["session_id"].head(8).to_list()
        for came in (4, 8):
            with client_of(simulator, changes={"daily_limit": 5}, clock=clock) as client:
                remaining = 0
                try:
                    frames = pf.session_details(ids, client=client)
                except pf.QuotaExhausted as problem:
                    frames, remaining = problem.partial, problem.remaining
                assert (len(frames.sessions), remaining) == (came, 8 - came)
            clock.advance(hours=24, minutes=2)
            simulator.advance(hours=25)
        assert requested_details(simulator) == ids


# The session key


def key_files(home: Path) -> list[Path]:
    return sorted(home.glob("session-*.json"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_the_next_process_uses_the_session_key(simulator: Simulator, home: Path) -> None:
    for _ in range(2):
        with client_of(simulator, changes={"home": str(home)}) as client:
            client.call(endpoints.SEARCH, {"dateFrom": "2026-11-09", "dateTo": "2026-11-16"})
    assert len(asked(simulator, "authenticate")) == 1
    (file,) = key_files(home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_session_key_is_in_its_file_and_not_in_the_journal(simulator: Simulator, home: Path) -> None:
    with client_of(simulator, changes={"home": str(home)}) as client:
        client.check_credentials()
        assert client._keys._key is not None
        key = client._keys._key.reveal().encode()
        assert key in key_files(home)[0].read_bytes()
        journal = [file for file in home.iterdir() if file.name.startswith(JOURNAL_FILE)]
        assert len(journal) == 3
        assert not any(key in file.read_bytes() for file in journal)


def test_a_session_key_that_is_not_to_be_kept_is_in_no_file(simulator: Simulator, home: Path) -> None:
    for _ in range(2):
        with client_of(simulator, changes={"home": str(home), "keep_session_key": False}) as client:
            client.check_credentials()
            assert client._keys._key is not None
            key = client._keys._key.reveal().encode()
            assert not any(key in file.read_bytes() for file in home.iterdir())
    assert len(asked(simulator, "authenticate")) == 2
    assert key_files(home) == []


def test_a_session_key_is_not_for_another_consumer_or_server(simulator: Simulator, home: Path) -> None:
    with client_of(simulator, changes={"home": str(home)}) as client:
        client.check_credentials()
    wrong = pf.Credentials(simulator.api_key, simulator.client_id, "another secret")
    settings = pf.Settings(base_url=simulator.url, home=str(home))
    with pf.PulseClient(wrong, settings=settings) as client, pytest.raises(pf.AuthenticationFailed):
        client.check_credentials()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "[" * 99_999,
        '{"key": 5, "expires": "2999-01-01T00:00:00+00:00"}',
        '{"key": "", "expires": "2999-01-01T00:00:00+00:00"}',
        '{"key": "a\\nb", "expires": "2999-01-01T00:00:00+00:00"}',
        '{"key": "\\u2603", "expires": "2999-01-01T00:00:00+00:00"}',
        '{"key": "k", "expires": "2999-01-01"}',
        '{"key": "k", "expires": "soon"}',
        '{"key": "k"}',
    ],
)
def test_a_damaged_key_file_costs_one_call_at_most(simulator: Simulator, home: Path, content: str) -> None:
    with client_of(simulator, changes={"home": str(home)}) as client:
        client.check_credentials()
    (file,) = key_files(home)
    file.write_text(content)
    with client_of(simulator, changes={"home": str(home)}) as client:
        client.call(endpoints.SEARCH, {"dateFrom": "2026-11-09", "dateTo": "2026-11-16"})
        assert client.calls_spent == 2
    assert len(asked(simulator, "authenticate")) == 2


@pytest.mark.filterwarnings("ignore:PULSEFRAMES_HOME")
def test_a_home_in_memory_leaves_no_file(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PULSEFRAMES_HOME", ":memory:")
    with client_of(simulator, clock=clock) as client:
        first = pf.search_sessions("2026-11-09", "2026-11-16", client=client)
        sent = simulator.calls
        assert_frame_equal(pf.search_sessions("2026-11-09", "2026-11-16", client=client), first)
        assert simulator.calls == sent
        clock.advance(seconds=FRESH.total_seconds())
        client.quota()
    assert list(tmp_path.iterdir()) == []


def test_a_moving_search_that_stopped_is_not_paid_for_again_when_there_are_more_calls(clock: Clock, home: Path) -> None:
    with Simulator(sessions=6_000, days=14, now=clock.now, daily_limit=None) as simulator:
        window = (clock.now - timedelta(days=14), clock.now + timedelta(hours=1))
        with client_of(simulator, changes={"home": str(home), "daily_limit": 6}, clock=clock) as client:
            with pytest.raises(pf.QuotaExhausted):
                pf.search_sessions(*window, client=client)
        with client_of(simulator, changes={"home": str(home)}, clock=clock) as client:
            assert len(pf.search_sessions(*window, client=client)) == 6_000
        questions = [
            tuple(sorted(request.query.items())) for request in simulator.requests if request.endpoint == "sessions"
        ]
        assert len(questions) == len(set(questions))


@pytest.mark.parametrize("ask", ["search", "details"])
def test_the_traceback_of_a_spent_quota_is_that_of_the_caller_alone(simulator: Simulator, ask: str) -> None:
    ids = simulator.summaries()["session_id"].head(5)
    function, arguments = (pf.search_sessions, ("2026-01-01", NOW)) if ask == "search" else (pf.session_details, (ids,))
    with client_of(simulator, changes={"daily_limit": 3}) as client:
        with pytest.raises(pf.QuotaExhausted) as caught:
            function(*arguments, client=client)
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)] == [
        "test_the_traceback_of_a_spent_quota_is_that_of_the_caller_alone"
    ]
    assert caught.value.partial is not None


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_search_of_cached_pages_costs_nothing_however_few_calls_are_left(left: int) -> None:
    """A list that still changes is cut into windows if the calls do not suffice for it: not if its pages are cached."""
    with Simulator(sessions=2_100, days=2, now=NOW, daily_limit=None) as simulator:
        window = (NOW - timedelta(days=2), NOW)
        with client_of(simulator, changes={"home": ":memory:", "daily_limit": 6 + left}) as client:
            first = pf.search_sessions(*window, client=client)
            assert client.calls_spent == 6
            assert_frame_equal(pf.search_sessions(*window, client=client), first)
            assert client.calls_spent == 6


@pytest.mark.parametrize("limit", [2, 3, 4, 5, 6])
def test_a_search_that_the_quota_ended_has_no_fewer_sessions_when_it_is_repeated(limit: int) -> None:
    with Simulator(sessions=2_600, days=4, now=NOW, daily_limit=None) as simulator:
        window = (NOW - timedelta(days=4), NOW)
        with client_of(simulator, changes={"home": ":memory:", "daily_limit": limit}) as client:
            found = []
            for _ in range(3):
                with pytest.raises(pf.QuotaExhausted) as stopped:
                    pf.search_sessions(*window, client=client)
                found.append(set(stopped.value.partial["session_id"]))
            assert found[0] <= found[1] <= found[2]
            assert client.calls_spent == limit
