"""sync() and plan(): everything is in the lake, in the fewest calls, whatever comes between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Clock, client_of, requested_details
from polars.testing import assert_frame_equal
from support.documents import SUMMARY, search_body

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.client import Journal
from pulseframes.fetch.draw import SampleDraw
from pulseframes.simulator import Fault, Simulator
from pulseframes.tables import SESSIONS
from pulseframes.windows import Window

DAY = timedelta(days=1)
ONLY_IN_DETAILS = [column.name for column in SESSIONS.columns if endpoints.SEARCH not in column.endpoints]


@pytest.fixture
def shop(clock: Clock) -> Iterator[Simulator]:
    """1,700 sessions of the last 17 days, and no limit."""
    with Simulator(sessions=1_700, days=17, now=clock.now, daily_limit=None) as running:
        yield running


@pytest.fixture
def lake(tmp_path: Path) -> pf.Lake:
    return pf.Lake(tmp_path / "lake")


@pytest.fixture
def client(shop: Simulator, clock: Clock) -> Iterator[pf.PulseClient]:
    with client_of(shop, clock=clock, sleep=clock.sleep) as connected:
        yield connected


def advance(shop: Simulator, clock: Clock, **by: float) -> None:
    clock.advance(**by)
    shop.advance(**by)


def asked(shop: Simulator, endpoint: str = "sessions") -> int:
    return sum(request.endpoint == endpoint for request in shop.requests)


def in_lake(lake: pf.Lake) -> pl.DataFrame:
    return lake.sessions().select(SESSIONS.schema.names()).sort("session_start", "session_id").collect()


def assert_has_all(lake: pf.Lake, shop: Simulator, *window: datetime) -> None:
    """The lake has the sessions of a window as the server has them now."""
    truth = shop.summaries(*window).drop(ONLY_IN_DETAILS)
    assert_frame_equal(in_lake(lake).drop(ONLY_IN_DETAILS).join(truth, on="session_id", how="semi"), truth)


# The fewest calls


def test_settled_sessions_cost_a_call_for_every_500_and_nothing_the_next_time(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    count = len(shop.summaries(*window))
    first = pf.sync(lake, *window, client=client)
    assert first.calls_spent == -(-count // 500) + 1 == asked(shop) + 1
    assert first.finished
    assert first.rows["sessions"].new == count
    assert first.coverage == [Window(*window)]
    assert_frame_equal(in_lake(lake), shop.summaries(*window))
    again = pf.sync(lake, *window, client=client)
    assert (again.calls_spent, again.asked) == (0, [])
    clock.advance(days=40)
    assert pf.sync(lake, *window, client=client).calls_spent == 0


def test_a_nightly_sync_asks_for_the_new_day_and_the_one_before_in_one_search(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    pf.sync(lake, shop.begin, client=client)
    for _ in range(3):
        advance(shop, clock, days=1)
        before = asked(shop)
        report = pf.sync(lake, shop.begin, client=client)
        assert asked(shop) == before + 1
        ((start, end),) = report.asked
        assert end - start < 2 * DAY + timedelta(minutes=1)
        assert report.rows["sessions"].new > 50
        assert_has_all(lake, shop)


def test_a_sync_a_moment_later_costs_nothing(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    pf.sync(lake, shop.begin, client=client)
    advance(shop, clock, minutes=5)
    assert pf.sync(lake, shop.begin, clock.now - timedelta(minutes=5, seconds=1), client=client).calls_spent == 0
    assert pf.sync(lake, shop.begin, client=client).calls_spent == 0
    assert pf.plan(lake, shop.begin, client=client).calls == 0
    advance(shop, clock, minutes=11)
    assert pf.sync(lake, shop.begin, client=client).calls_spent > 0
    assert_has_all(lake, shop, shop.begin, clock.now.replace(microsecond=0))


def test_sessions_that_go_on_for_days_are_asked_for_until_they_end(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    pf.sync(lake, shop.begin, client=client)
    old = shop.summaries().filter(pl.col("session_start") < clock.now - 9 * DAY).row(500, named=True)
    goes_on = pl.DataFrame(
        [old | {"status": "active", "session_end": None, "session_updated": clock.now - timedelta(minutes=10)}],
        schema=SESSIONS.schema,
    )
    lake.write(goes_on, fetched_at=clock.now)  # as it was when the sync above read it
    advance(shop, clock, days=1)
    shop.faults.add(Fault(kind="status", status=500, on="session", times=99))  # no details are needed for it
    report = pf.sync(lake, shop.begin, client=client)
    assert len(report.asked) == 2
    assert report.asked[0] == Window(old["session_start"], old["session_start"] + timedelta.resolution)
    lake.write(goes_on, fetched_at=clock.now + 2 * DAY)  # the server still says so: nothing more will come
    advance(shop, clock, days=1)
    assert len(pf.sync(lake, shop.begin, client=client).asked) == 1


def test_a_look_back_of_three_days_reads_three_days_again(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    pf.sync(lake, shop.begin, client=client, look_back=3 * DAY)
    advance(shop, clock, days=1)
    ((start, _),) = pf.sync(lake, shop.begin, client=client, look_back=3 * DAY).asked
    assert start == pytest.approx(clock.now - 4 * DAY, abs=timedelta(minutes=1))


def test_gaps_are_asked_for_and_nothing_between_them(lake: pf.Lake, shop: Simulator, client: pf.PulseClient) -> None:
    begin = shop.begin.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    pf.sync(lake, begin + 2 * DAY, begin + 13 * DAY, client=client)
    report = pf.sync(lake, begin, begin + 14 * DAY, client=client)
    assert report.asked == [Window(begin, begin + 2 * DAY), Window(begin + 13 * DAY, begin + 14 * DAY)]
    assert report.coverage == [Window(begin, begin + 14 * DAY)]
    assert_has_all(lake, shop, begin, begin + 14 * DAY)


def test_small_gaps_are_read_with_what_lies_between_where_that_is_one_call(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient
) -> None:
    begin = shop.begin + DAY
    pf.sync(lake, begin + DAY, begin + 2 * DAY, client=client)
    report = pf.sync(lake, begin, begin + 3 * DAY, client=client)
    assert report.asked == [Window(begin, begin + 3 * DAY)]
    assert report.calls_spent == 1


def test_what_search_sessions_has_paid_for_costs_the_sync_nothing(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    pf.search_sessions(*window, client=client)
    report = pf.sync(lake, *window, client=client)
    assert report.calls_spent == 0
    assert report.calls_saved == asked(shop) > 2


# The end of the calls


def test_a_sync_that_runs_out_of_calls_goes_on_the_next_day_and_pays_for_no_page_twice(
    lake: pf.Lake, shop: Simulator, clock: Clock
) -> None:
    days = 0
    with client_of(shop, changes={"daily_limit": 4}, clock=clock) as client:
        while not (report := pf.sync(lake, shop.begin, client=client)).finished:
            days += 1
            assert report.resume_at is not None
            assert report.resume_at > clock.now
            assert len(in_lake(lake)) > 0
            advance(shop, clock, seconds=(report.resume_at - clock.now).total_seconds() + 1)
            advance(shop, clock, days=1)
            assert days < 10
    assert_has_all(lake, shop)
    questions = [tuple(sorted(request.query.items())) for request in shop.requests if request.endpoint == "sessions"]
    assert len(questions) == len(set(questions))
    settled = -(-len(shop.summaries()) // 500)
    assert asked(shop) <= settled + 2 * days, "a tail of each day, which still changes"


def test_a_quota_that_ends_tells_what_is_still_to_come(lake: pf.Lake, shop: Simulator, clock: Clock) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    with client_of(shop, changes={"daily_limit": 3}, clock=clock) as client:
        report = pf.sync(lake, *window, client=client)
    assert (report.finished, report.calls_spent) == (False, 3)
    assert report.remaining == len(shop.summaries(*window)) - 999
    assert report.quota is not None
    assert report.quota.left == 0
    assert "Not finished (" in str(report)
    assert f"run the same sync again after {report.resume_at:%Y-%m-%d}" in str(report)
    assert len(in_lake(lake)) == 999
    assert report.as_dict()["rows"]["sessions"]["new"] == 999


def test_another_error_has_the_report_and_what_came_is_in_the_lake(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    shop.faults.add(Fault(kind="status", status=403, on="sessions", after=2, times=99))
    with pytest.raises(pf.AuthenticationFailed) as caught:
        pf.sync(lake, shop.begin, clock.now - 3 * DAY, client=client)
    assert caught.value.partial.rows["sessions"].new == len(in_lake(lake)) == 999


def test_ctrl_c_leaves_what_came_in_the_lake(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    def stop(progress: pf.Progress) -> None:
        if progress.done > 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pf.sync(lake, shop.begin, clock.now - 3 * DAY, client=client, progress=stop)
    assert len(in_lake(lake)) == 999
    report = pf.sync(lake, shop.begin, clock.now - 3 * DAY, client=client)
    assert report.calls_saved == 2
    assert_has_all(lake, shop, shop.begin, clock.now - 3 * DAY)


# Details


def test_all_details_make_the_lake_equal_to_the_truth(lake: pf.Lake, clock: Clock) -> None:
    with (
        Simulator(sessions=30, days=6, now=clock.now, daily_limit=None) as shop,
        client_of(shop, clock=clock) as client,
    ):
        report = pf.sync(lake, shop.begin, clock.now - DAY, details="all", client=client)
        truth = shop.truth(shop.begin, clock.now - DAY)
        assert report.details == len(truth["sessions"]) == asked(shop, "session")
        for name, frame in truth.items():
            order = ["session_start", "session_id"] if name == "sessions" else frame.columns[:2]
            kept = {"sessions": lake.sessions, "page_views": lake.page_views, "errors": lake.errors}[name]()
            assert_frame_equal(kept.select(frame.columns).sort(order).collect(), frame)
        again = pf.sync(lake, shop.begin, clock.now - DAY, details="all", client=client)
        assert (again.calls_spent, again.details) == (0, 0)


def test_details_go_to_ended_sessions_before_active_ones_and_to_none_twice(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient
) -> None:
    pf.sync(lake, shop.begin, client=client)
    pf.sync(lake, shop.begin, client=client, details=10, design="newest")
    detailed = lake.sessions().filter(pl.col("detail_fetched_at").is_not_null()).collect()
    ended = shop.summaries().filter(status="ended").sort("session_start")
    assert set(detailed["session_id"]) == set(ended["session_id"].tail(10))
    report = pf.sync(lake, shop.begin, client=client, details=7, design="newest")
    assert report.details == 7
    ids = [request.query["id"] for request in shop.requests if request.endpoint == "session"]
    assert len(set(ids)) == len(ids) == 17


def test_details_that_a_notebook_has_bought_come_into_the_lake_and_count_for_nothing(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    pf.sync(lake, *window, client=client)
    pf.session_details(shop.summaries(*window)["session_id"].head(12), client=client)
    report = pf.sync(lake, *window, details=3, client=client)
    assert (report.details, report.calls_spent, report.calls_saved) == (15, 3, 12)


def test_a_session_whose_details_are_not_to_be_had_is_asked_for_once(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (clock.now - 5 * DAY, clock.now - 3 * DAY)
    pf.sync(lake, *window, client=client)
    ids = in_lake(lake).sort("session_start", descending=True)["session_id"].to_list()
    shop.remove(ids[0])

    def spoil(document: Any) -> None:
        if document["session"]["id"] == ids[1]:
            document["session"]["sessionStart"] = "yesterday"

    shop.faults.add(Fault(kind="drift", on="session", times=None, edit=spoil))
    with pytest.warns(pf.RejectedRowsWarning, match="1 of sessions"):
        report = pf.sync(lake, *window, details=3, design="newest", client=client)
    assert (report.missing, report.details) == ([ids[0]], 1)
    assert set(lake.rejected().collect()["session_id"]) == {ids[1]}
    failed = lake.sessions().filter(pl.col("detail_failed_at").is_not_null()).collect()
    assert set(failed["session_id"]) == set(ids[:2])
    clock.advance(hours=1)
    before = asked(shop, "session")
    pf.sync(lake, *window, details=1, design="newest", client=client)
    last = [request.query["id"] for request in shop.requests if request.endpoint == "session"]
    assert (asked(shop, "session"), last[-1]) == (before + 1, str(ids[3]))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, "quota"])
def test_sessions_that_were_not_asked_for_when_a_sync_stopped_are_asked_for_the_next_time(
    lake: pf.Lake, shop: Simulator, clock: Clock, stop: object
) -> None:
    def interrupt(progress: pf.Progress) -> None:
        if stop is KeyboardInterrupt and progress.what == "details" and progress.done == 2:
            raise KeyboardInterrupt

    window = (clock.now - 5 * DAY, clock.now - 3 * DAY)
    # With several at once, those under way when it is interrupted come as well.
    changes = {"daily_limit": 4} if stop == "quota" else {"concurrency": 1}
    with client_of(shop, changes=changes, clock=clock) as client:
        if stop == "quota":
            report = pf.sync(lake, *window, details=5, client=client)
            assert (report.finished, report.remaining, report.details) == (False, 3, 2)
        else:
            with pytest.raises(KeyboardInterrupt):
                pf.sync(lake, *window, details=5, client=client, progress=interrupt)
    assert lake.sessions().filter(pl.col("detail_failed_at").is_not_null()).collect().is_empty()
    with client_of(shop, clock=clock) as client:
        assert pf.sync(lake, *window, details=5, client=client).details == 5
    ids = [request.query["id"] for request in shop.requests if request.endpoint == "session"]
    assert len(set(ids)) == len(ids) == 7


def test_an_answer_that_cannot_be_read_does_not_stand_in_the_way_of_the_next_sync(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (clock.now - 5 * DAY, clock.now - 3 * DAY)
    shop.faults.add(Fault(kind="body", body="<html>", on="session", times=2))
    for _ in range(2):  # it may have been a moment's trouble
        with pytest.raises(pf.MalformedAnswer):
            pf.sync(lake, *window, details=3, client=client)
    report = pf.sync(lake, *window, details=3, client=client)
    assert report.details == 3
    ids = [request.query["id"] for request in shop.requests if request.endpoint == "session"]
    assert ids[0] == ids[1]
    assert ids[0] not in ids[2:]
    assert len(set(ids)) == 4


def test_a_sync_that_is_stopped_remembers_who_is_gone_and_nobody_else(
    lake: pf.Lake, shop: Simulator, clock: Clock
) -> None:
    window = (clock.now - 5 * DAY, clock.now - 3 * DAY)
    client = client_of(shop, changes={"concurrency": 1}, clock=clock)  # others under way would come as well
    pf.sync(lake, *window, client=client)
    ids = in_lake(lake).sort("session_start", descending=True)["session_id"].to_list()
    shop.remove(ids[0])
    seen = []

    def look(progress: pf.Progress) -> None:
        rows = lake.sessions().filter(pl.col("detail_failed_at").is_not_null()).collect()
        seen.append(rows["session_id"].to_list())
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pf.sync(lake, *window, details=10, design="newest", client=client, progress=look)
    assert seen == [[ids[0]]] * 3, "put down at once: a killed sync has no end to do it in"
    rows = lake.sessions().filter(pl.col("detail_failed_at").is_not_null()).collect()
    assert rows["session_id"].to_list() == [ids[0]]
    clock.advance(hours=1)
    pf.sync(lake, *window, details=7, design="newest", client=client)
    assert requested_details(shop) == ids[:10]
    client.close()


def test_details_of_a_session_that_went_on_are_fetched_again_once_it_has_changed(lake: pf.Lake, clock: Clock) -> None:
    with (
        Simulator(sessions=20_000, days=1, now=clock.now, daily_limit=None) as shop,
        client_of(shop, clock=clock) as client,
    ):
        # Of few page views so far: a list of 500 would be warned of.
        recent = shop.summaries(clock.now - timedelta(hours=1), clock.now)
        active = recent.filter(status="active").drop_nulls("page_view_count").sort("page_view_count").head(1)
        start = active["session_start"][0]
        lake.write(pf.session_details(active["session_id"], client=client))
        advance(shop, clock, hours=6)
        report = pf.sync(lake, start, start + timedelta.resolution, client=client, details="all")
        assert (report.details, asked(shop, "session")) == (1, 2)
        views = shop.truth(start, start + timedelta.resolution)["page_views"]
        assert_frame_equal(lake.page_views().drop("date").sort("view_index").collect(), views)
        assert lake.sessions().collect()["status"].to_list() == ["ended"]


# What is refused, and what is told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"date_from": "soon"}, "date_from: 'soon' is not an ISO 8601 date or time"),
        ({"date_from": "2100-01-01"}, r"date_from \(2100-01-01 00:00:00\) must be before the present"),
        ({"date_from": "2026-02-01", "date_to": "2026-01-01"}, r"must be before date_to \(2026-01-01"),
        ({"date_from": "2026-01-01", "details": -1}, "details must be a whole number of at least 0, or 'all', not -1"),
        (
            {"date_from": "2026-01-01", "details": "some"},
            "details must be a whole number of at least 0, or 'all', not 'some'",
        ),
        (
            {"date_from": "2026-01-01", "details": True},
            "details must be a whole number of at least 0, or 'all', not True",
        ),
        ({"date_from": "2026-01-01", "look_back": 24}, "look_back must be a timedelta from 0 to 3650 days, not 24"),
        ({"date_from": "2026-01-01", "look_back": -DAY}, "look_back must be a timedelta from 0 to 3650 days"),
    ],
)
def test_wrong_arguments_cost_nothing_and_make_no_lake(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, arguments: dict[str, Any], told: str
) -> None:
    for function in (pf.sync, pf.plan):
        with pytest.raises(pf.InvalidQuery, match=told):
            function(lake, client=client, **arguments)
    assert shop.calls == 0
    assert not lake.is_there()


def test_a_lake_takes_the_sessions_of_one_application(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    pf.sync(lake, clock.now - 5 * DAY, clock.now - 3 * DAY, client=client)
    other = pf.Credentials("another-key", shop.client_id, shop.client_secret)
    with pf.PulseClient(other, settings=client.settings, clock=clock) as another:
        for function in (pf.sync, pf.plan):
            with pytest.raises(pf.LakeError, match="sessions of another application"):
                function(lake, clock.now - 5 * DAY, client=another)
    assert shop.requests[-1].endpoint == "sessions"


def test_rejected_rows_are_in_the_lake_with_a_warning_and_the_others_too(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    start = (clock.now - 4 * DAY).isoformat()
    rows = [SUMMARY | {"id": 1, "sessionStart": start}, SUMMARY | {"id": "two", "sessionStart": start}]
    shop.faults.add(Fault(kind="body", body=search_body(*rows).decode(), on="sessions", times=1))
    with pytest.warns(pf.RejectedRowsWarning, match="1 of sessions"):
        report = pf.sync(lake, clock.now - 5 * DAY, clock.now - 3 * DAY, client=client)
    assert (report.rejected, report.rows["sessions"].new) == (1, 1)
    assert '"two"' in lake.rejected().collect()["raw_json"][0]
    assert "1 row broke the schema" in str(report)


def test_what_is_missing_is_requested_once_more_by_the_next_sync_and_not_every_night(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    short = search_body(SUMMARY | {"id": 1, "sessionStart": (clock.now - 4 * DAY).isoformat()}, total=5)
    shop.faults.add(Fault(kind="body", body=short.decode(), on="sessions", times=50))
    window = (clock.now - 5 * DAY, clock.now - 3 * DAY)
    for calls in (4, 1):  # authentication, the page, the one behind it twice; then only what was empty
        with pytest.warns(pf.IncompleteWarning, match="The server reported 5 sessions, but 1 were received"):
            report = pf.sync(lake, *window, client=client)
        assert report.incomplete == [Window(*window)]
        assert report.calls_spent == calls
        assert "Incomplete: " in str(report)
    assert pf.sync(lake, *window, client=client).calls_spent == 0


def test_what_was_missing_and_comes_is_in_the_lake_after_the_next_sync(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    shop.faults.add(Fault(kind="drift", on="sessions", after=1, times=2, edit=lambda page: page["sessions"].clear()))
    with pytest.warns(pf.IncompleteWarning):
        pf.sync(lake, *window, client=client)
    assert len(in_lake(lake)) < len(shop.summaries(*window))
    clock.advance(days=1)
    report = pf.sync(lake, *window, client=client)
    assert (report.incomplete, report.calls_spent) == ([], 2)
    assert_has_all(lake, shop, *window)


def test_refresh_asks_for_all_of_it_again(lake: pf.Lake, client: pf.PulseClient, clock: Clock) -> None:
    window = (clock.now - 5 * DAY, clock.now - 3 * DAY)
    pf.sync(lake, *window, client=client)
    clock.advance(seconds=1)
    report = pf.sync(lake, *window, client=client, refresh=True)
    assert (report.calls_spent, report.asked) == (1, [Window(*window)])
    assert report.rows["sessions"].unchanged > 100


def test_a_refresh_that_the_calls_do_not_suffice_for_is_gone_on_with(
    lake: pf.Lake, shop: Simulator, clock: Clock
) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    with client_of(shop, clock=clock) as client:
        pages = pf.sync(lake, *window, client=client).calls_spent - 1
    clock.advance(hours=2)
    with client_of(shop, changes={"daily_limit": 3}, clock=clock) as client:
        before, days = asked(shop), 0
        while not pf.sync(lake, *window, client=client, refresh=True).finished:
            clock.advance(days=2)
            days += 1
            assert days < 10
        assert asked(shop) == before + pages
        assert lake.state().refreshing is None
        clock.advance(days=2)
        assert pf.sync(lake, window[0], window[0] + DAY, client=client, refresh=True).calls_spent > 0


def test_with_no_call_left_what_the_journal_has_comes_all_the_same(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    kept, other = (clock.now - 5 * DAY, clock.now - 3 * DAY), (clock.now - 25 * DAY, clock.now - 24 * DAY)
    sessions = pf.search_sessions(*kept, client=client)
    pf.session_details(sessions["session_id"].head(3), client=client)
    pf.sync(lake, other[1], kept[0], client=client)  # so that kept and other are windows of their own
    with client_of(shop, changes={"daily_limit": 1}, clock=clock) as spent:
        report = pf.sync(lake, other[0], kept[1], details=10, client=spent)
    assert (report.finished, report.calls_spent, report.details) == (False, 0, 3)
    assert_has_all(lake, shop, *kept)


def test_privacy_rules_that_are_not_the_lakes_cost_nothing(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (clock.now - 5 * DAY, clock.now - 4 * DAY)
    pf.sync(lake, *window, client=client)
    before = shop.calls
    for rules in ({"personal": "drop"}, {"country": "drop"}):
        other = pf.Lake(lake.location, privacy=pf.PrivacyPolicy(rules))
        for end in (window[1], clock.now - 2 * DAY):
            for function in (pf.sync, pf.plan):
                with pytest.raises(pf.LakeError, match="created with other privacy rules"):
                    function(other, window[0], end, client=client)
    assert shop.calls == before


def test_a_session_that_the_server_lost_is_not_asked_for_for_ever(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    pf.sync(lake, shop.begin, client=client)
    old = shop.summaries().filter(pl.col("session_start") < clock.now - 9 * DAY).row(500, named=True)
    row = old | {"status": "active", "session_end": None, "session_updated": clock.now - timedelta(minutes=10)}
    lake.write(pl.DataFrame([row], schema=SESSIONS.schema), fetched_at=clock.now)
    shop.remove(old["session_id"])
    asked_for = 0
    for _ in range(12):
        advance(shop, clock, days=1)
        asked_for += len(pf.sync(lake, shop.begin, client=client).asked) - 1
    assert 0 < asked_for <= 7


def test_a_session_that_the_server_lost_is_not_asked_for_a_moment_later(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    pf.sync(lake, shop.begin, client=client)
    old = shop.summaries().filter(pl.col("session_start") < clock.now - 9 * DAY).row(500, named=True)
    row = old | {"status": "active", "session_end": None, "session_updated": clock.now - timedelta(minutes=10)}
    lake.write(pl.DataFrame([row], schema=SESSIONS.schema), fetched_at=clock.now)
    shop.remove(old["session_id"])
    advance(shop, clock, days=1)
    end = clock.now.replace(microsecond=0)
    assert len(pf.sync(lake, shop.begin, end, client=client).asked) == 2
    advance(shop, clock, minutes=5)
    assert pf.sync(lake, shop.begin, end, client=client).asked == []


# Plans


def test_a_plan_with_no_call_left_says_what_it_knows(lake: pf.Lake, shop: Simulator, clock: Clock) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    with client_of(shop, changes={"daily_limit": 3}, clock=clock) as client:
        pf.sync(lake, *window, client=client)
        plan = pf.plan(lake, shop.begin - 9 * DAY, window[1], details=5, design="newest", client=client)
    assert (plan.calls_left, plan.probe_cost, plan.details) == (0, 0, 5)
    assert "0 of 3 calls left today" in str(plan)


def test_a_plan_says_what_the_sync_then_costs_and_costs_one_call_at_most(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    client.check_credentials()
    plan = pf.plan(lake, *window, details=20, client=client)
    assert plan.probe_cost == 1
    assert not lake.is_there()
    assert pf.plan(lake, *window, details=20, client=client).probe_cost == 0, "the journal knows"
    report = pf.sync(lake, *window, details=20, client=client)
    assert plan.calls == report.calls_spent == plan.windows[0].calls + 20
    assert plan.windows[0].sessions == report.rows["sessions"].new
    after = pf.plan(lake, *window, details=0, client=client)
    assert (after.calls, after.days, after.windows, after.probe_cost) == (0, 0, [], 0)
    assert "Search: nothing to download." in str(after)


def test_a_plan_without_a_probe_costs_nothing_and_says_what_it_does_not_know(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    plan = pf.plan(lake, shop.begin, clock.now - 3 * DAY, details="all", probe=False, client=client)
    assert (plan.calls, plan.days, plan.details) == (None, None, None)
    assert "number of sessions unknown" in str(plan)
    assert shop.calls == 0


def test_a_plan_knows_the_pages_and_details_that_the_journal_has(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    sessions = pf.search_sessions(*window, client=client)
    before = shop.calls
    plan = pf.plan(lake, *window, client=client)
    assert (plan.calls, plan.probe_cost, plan.windows[0].sessions) == (0, 0, len(sessions))
    assert plan.windows[0].kept == -(-len(sessions) // 500)
    pf.sync(lake, *window, client=client)
    pf.session_details(sessions["session_id"].head(5), client=client)
    plan = pf.plan(lake, *window, details="all", client=client)
    assert (plan.details_kept, plan.details) == (5, len(sessions) - 5)
    assert shop.calls == before + 5


@pytest.mark.parametrize(("limit", "days"), [(10_000, 1), (60, 3), (2, 127), (1, None)])
def test_a_plan_counts_the_days_of_calls(
    lake: pf.Lake, shop: Simulator, clock: Clock, limit: int, days: int | None
) -> None:
    window = (shop.begin, clock.now - 3 * DAY)
    with client_of(shop, clock=clock) as rich:
        count = len(pf.search_sessions(*window, client=rich))
        pf.sync(lake, *window, client=rich)
        clock.advance(days=2)
    with client_of(shop, changes={"daily_limit": limit}, clock=clock) as client:
        plan = pf.plan(lake, *window, details=127, client=client)
    assert count > 127
    assert plan.days == days
    if days is not None:
        assert plan.calls == 127 + plan.authentications
        assert plan.authentications == days
        assert (" left today, which is enough." if days == 1 else f" left today; this takes {days} days.") in str(plan)


def test_the_plan_of_a_nightly_sync_reckons_with_what_the_lake_has(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock
) -> None:
    pf.sync(lake, shop.begin, client=client)
    advance(shop, clock, days=1)
    plan = pf.plan(lake, shop.begin, client=client)
    report = pf.sync(lake, shop.begin, client=client)
    assert plan.probe_cost == 0, "a page in any case, by the week before"
    assert plan.calls == plan.authentications + 1 == report.calls_spent
    assert plan.as_dict()["windows"][0]["date_to"] == plan.windows[0].date_to.isoformat()
    assert plan.windows[0].date_to <= datetime.now(UTC) + 2 * DAY


def test_days_that_were_read_by_a_clock_that_was_ahead_are_read_again(
    lake: pf.Lake, shop: Simulator, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, ahead = clock.now - DAY, Clock()
    ahead.now = clock.now + 2 * DAY
    with monkeypatch.context() as patched, client_of(shop, clock=ahead) as client:
        patched.setattr("pulseframes.client.transport._ahead", lambda _: 2 * DAY)
        with pytest.warns(pf.PulseWarning, match="ahead of the server's"):
            pf.sync(lake, start, client=client)
    clock.advance(days=10)
    shop.advance(days=10)
    with client_of(shop, clock=clock) as client:
        assert pf.sync(lake, start, client=client).calls_spent > 0
    assert_has_all(lake, shop, start, clock.now)


@pytest.mark.parametrize(("ahead", "later"), [(2 * DAY, DAY / 3), (60 * DAY, DAY / 8)])
def test_days_that_were_read_by_a_clock_that_was_ahead_of_a_server_without_one_are_read_again(
    lake: pf.Lake, shop: Simulator, clock: Clock, ahead: timedelta, later: timedelta
) -> None:
    start, wrong = clock.now - DAY / 4, Clock()
    wrong.now = clock.now + ahead
    with client_of(shop, clock=wrong) as client:
        pf.sync(lake, start, details=5, client=client)
    advance(shop, clock, seconds=later.total_seconds())
    with client_of(shop, clock=clock) as client:
        pf.sync(lake, start, details=5, client=client)
        assert_has_all(lake, shop, start, clock.now)
        assert pf.sync(lake, start, client=client).calls_spent == 0
    assert lake.state().coverage.windows()[-1].end <= clock.now


# Details in the lake


def detailed(lake: pf.Lake) -> int:
    return int(lake.sessions().select(pl.col("detail_fetched_at").is_not_null().sum()).collect().item())


@pytest.mark.parametrize(("home", "seen"), [("home", {1: 0, 49: 0, 50: 50, 51: 50}), (":memory:", {1: 1, 2: 2, 3: 3})])
def test_details_are_in_the_lake_50_at_a_time_or_at_once_if_the_journal_keeps_nothing(
    shop: Simulator, clock: Clock, tmp_path: Path, home: str, seen: dict[int, int]
) -> None:
    lake, week = pf.Lake(tmp_path / "lake"), (clock.now - 7 * DAY, clock.now)
    found: dict[int, int] = {}

    def look(progress: pf.Progress) -> None:
        if progress.what == "details" and progress.done in seen:
            found[progress.done] = detailed(lake)

    where = home if home == ":memory:" else tmp_path / home
    with client_of(shop, clock=clock, changes={"home": where}) as client:
        pf.sync(lake, *week, details=max(seen) + 1, client=client, progress=look)
    assert found == seen
    assert detailed(lake) == max(seen) + 1


def test_a_session_without_details_ends_its_batch_and_is_not_asked_for_again(
    shop: Simulator, clock: Clock, tmp_path: Path
) -> None:
    lake, week = pf.Lake(tmp_path / "lake"), (clock.now - 7 * DAY, clock.now)
    with client_of(shop, clock=clock, changes={"home": tmp_path / "home"}) as client:
        pf.sync(lake, *week, client=client)
        gone = SampleDraw(lake, pf.Design(), Window(*week)).pending()[2]
        shop.remove(gone)
        found: dict[int, int] = {}
        steps = lambda step: found.setdefault(step.done, detailed(lake))  # noqa: E731  short
        report = pf.sync(lake, *week, details=5, client=client, progress=steps)
        assert report.missing == [gone]
        assert found == {1: 0, 2: 0, 3: 2, 4: 2, 5: 2}
        assert detailed(lake) == 4
        failed = lake.sessions().filter(pl.col("detail_failed_at").is_not_null()).collect()["session_id"]
        assert failed.to_list() == [gone]


@pytest.mark.filterwarnings("ignore::pulseframes.IncompleteWarning")
def test_a_plan_of_a_list_whose_cached_page_lacks_a_session_ends(shop: Simulator, clock: Clock, lake: pf.Lake) -> None:
    shop.faults.add(Fault(kind="drift", on="sessions", edit=lambda page: page["sessions"].pop(), times=None))
    end = clock.now.replace(minute=0, second=0, microsecond=0)
    window = (end - DAY, end)
    with client_of(shop, clock=clock) as client:
        found = pf.search_sessions(*window, client=client)
        shop.faults.clear()
        assert pf.plan(lake, *window, client=client).windows[0].sessions == len(found) + 1


def out_of_reach(*_: object) -> None:
    raise pf.JournalError("The ledger cannot be used.")


@pytest.mark.parametrize("design", ["pageviews", "newest"])
def test_a_sync_that_needs_no_call_needs_no_ledger(
    design: str, client: pf.PulseClient, clock: Clock, lake: pf.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = (clock.now - 3 * DAY, clock.now - 2 * DAY)
    paid = pf.sync(lake, *window, details="all", design=design, client=client)
    monkeypatch.setattr(Journal, "quota", out_of_reach)
    monkeypatch.setattr(Journal, "reserve", out_of_reach)
    report = pf.sync(tmp_path / "again", *window, details="all", design=design, client=client)
    assert (report.finished, report.calls_spent, report.details) == (True, 0, paid.details)
    assert report.coverage == paid.coverage
    assert report.quota is None
    assert report.as_dict()["quota"] is None
    assert "saved by the journal." in str(report)


@pytest.mark.parametrize("design", ["pageviews", "newest"])
def test_a_sync_without_its_ledger_reports_what_it_has_done(
    design: str, client: pf.PulseClient, clock: Clock, lake: pf.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = (clock.now - 3 * DAY, clock.now - 2 * DAY)
    paid = pf.sync(lake, *window, client=client)
    monkeypatch.setattr(Journal, "quota", out_of_reach)
    monkeypatch.setattr(Journal, "reserve", out_of_reach)
    with pytest.raises(pf.JournalError, match="cannot be used") as caught:
        pf.sync(tmp_path / "again", *window, details=5, design=design, client=client)
    assert caught.value.partial is not None
    assert caught.value.partial.coverage == paid.coverage
    assert caught.value.partial.quota is None
