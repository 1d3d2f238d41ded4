"""search_sessions() and session_details() over real HTTP: every cell, what it costs, and what is said when it goes wrong."""

from __future__ import annotations

import json
import warnings
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import NOW, Clock, client_of
from hypothesis import given, settings, strategies as st
from polars.testing import assert_frame_equal
from support.documents import DETAIL

import pulseframes as pf
from pulseframes.simulator import Fault, Simulator
from pulseframes.tables import REJECTED, TABLES

WEEK = ("2026-11-09", "2026-11-16")


def edit(change: Any, **options: Any) -> Fault:
    return Fault(kind="drift", edit=change, **options)


def test_1234_sessions_cost_one_authentication_and_three_pages_and_every_cell_is_what_the_server_holds() -> None:
    with Simulator(sessions=1_234, days=7, now=NOW) as simulator, client_of(simulator) as client:
        sessions = pf.search_sessions("2026-11-01", NOW, client=client)
        assert [request.endpoint for request in simulator.requests] == ["authenticate"] + ["sessions"] * 3
        assert [request.query["limit"] for request in simulator.requests[1:]] == ["500"] * 3
        assert client.calls_spent == 4
        assert_frame_equal(sessions, simulator.summaries("2026-11-01", NOW))
    assert len(sessions) == 1_234


def test_details_are_every_cell_that_the_server_holds(simulator: Simulator, client: pf.PulseClient) -> None:
    truth = simulator.truth(*WEEK)
    ids = truth["sessions"]["session_id"].head(60)
    frames = pf.session_details(ids.sample(fraction=1, shuffle=True, seed=1), client=client)
    assert client.calls_spent == 61
    for name, table in TABLES.items():
        expected = truth[name].filter(pl.col("session_id").is_in(ids.implode()))
        assert_frame_equal(frames.tables()[name], expected)
        assert frames.tables()[name].schema == table.schema
    assert frames.missing == []
    assert frames.rejected.is_empty()


def test_the_default_order_is_by_start_and_then_by_id(client: pf.PulseClient) -> None:
    sessions = pf.search_sessions(*WEEK, client=client)
    assert sessions.equals(sessions.sort("session_start", "session_id"))


@pytest.mark.usefixtures("environment")
def test_with_no_client_given_the_environment_is_used_and_the_session_key_kept(simulator: Simulator) -> None:
    sessions = pf.search_sessions(*WEEK, limit=2)
    details = pf.session_details(sessions["session_id"])
    assert len(details.sessions) == 2
    assert [request.endpoint for request in simulator.requests] == ["authenticate", "sessions", "session", "session"]


def test_filters_are_passed_on(simulator: Simulator, client: pf.PulseClient) -> None:
    everything = simulator.summaries(*WEEK)
    found = pf.search_sessions(*WEEK, country=["nz", "DE"], client=client)
    assert_frame_equal(found, everything.filter(pl.col("country").is_in(["NZ", "DE"])))
    user = everything["user_identifier"].drop_nulls()[0]
    found = pf.search_sessions(*WEEK, user_identifier=user, client=client)
    assert_frame_equal(found, everything.filter(pl.col("user_identifier") == user))
    found = pf.search_sessions(*WEEK, user_type="known", client=client)
    assert 0 < len(found) < len(everything)


@pytest.mark.parametrize(
    ("skip", "limit", "pages"),
    [
        (0, 1, ["1"]),
        (0, 500, ["500"]),
        (0, 501, ["500", "2"]),
        (100, 300, ["300"]),
        (2_000, None, ["500"]),
        (1_400, None, ["500", "500"]),
    ],
)
def test_skip_and_limit_are_kept_to_in_as_few_calls_as_possible(
    simulator: Simulator, client: pf.PulseClient, skip: int, limit: int | None, pages: list[str]
) -> None:
    everything = simulator.summaries().sort("session_start", descending=True)  # the server's own order
    found = pf.search_sessions("2026-01-01", NOW, skip=skip, limit=limit, client=client)
    assert [request.query["limit"] for request in simulator.requests if request.endpoint == "sessions"] == pages
    expected = everything.slice(skip, limit)
    assert_frame_equal(found, expected.sort("session_start", "session_id"))


def test_a_window_with_no_sessions_is_an_empty_frame_with_the_full_schema(client: pf.PulseClient) -> None:
    sessions = pf.search_sessions("2020-01-01", "2020-01-02", client=client)
    assert sessions.is_empty()
    assert sessions.schema == TABLES["sessions"].schema
    assert client.calls_spent == 2


def test_no_ids_are_empty_frames_and_cost_nothing(client: pf.PulseClient) -> None:
    frames = pf.session_details([], client=client)
    assert client.calls_spent == 0
    assert {name: frame.schema for name, frame in frames.tables().items()} == {n: t.schema for n, t in TABLES.items()}
    assert frames.rejected.schema == REJECTED.schema
    assert pf.session_details([]).sessions.is_empty()  # not even credentials are needed


def test_repeated_ids_cost_one_call(simulator: Simulator, client: pf.PulseClient) -> None:
    session_id = simulator.summaries(*WEEK)["session_id"][0]
    frames = pf.session_details([session_id] * 5, client=client)
    assert client.calls_spent == 2
    assert frames.sessions["session_id"].to_list() == [session_id]


def test_ids_that_the_server_does_not_know_are_listed_and_the_rest_comes_back(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    known = simulator.summaries(*WEEK)["session_id"].head(2).to_list()
    with pytest.warns(pf.MissingSessionsWarning, match="2 sessions not found: 1, 2"):
        frames = pf.session_details([1, known[0], 2, known[1]], client=client)
    assert frames.missing == [1, 2]
    assert sorted(frames.sessions["session_id"]) == sorted(known)


def test_a_wrong_argument_costs_nothing(simulator: Simulator, client: pf.PulseClient) -> None:
    for wrong in ({"skip": -1}, {"on_invalid": "ignore"}, {"country": "NZL"}):
        with pytest.raises(pf.InvalidQuery):
            pf.search_sessions(*WEEK, client=client, **wrong)
    for ids in ("123", [1.5]):
        with pytest.raises(pf.InvalidQuery):
            pf.session_details(ids, client=client)
    with pytest.raises(pf.InvalidQuery):
        pf.session_details([1], client=client, on_invalid="ignore")
    assert simulator.requests == []


def test_progress_is_told_after_each_answer(client: pf.PulseClient) -> None:
    told: list[pf.Progress] = []
    sessions = pf.search_sessions("2026-01-01", NOW, client=client, progress=told.append)
    assert [(step.what, step.done, step.total, step.calls) for step in told] == [
        ("sessions", 500, 2_000, 2),
        ("sessions", 1_000, 2_000, 3),
        ("sessions", 1_500, 2_000, 4),
        ("sessions", 2_000, 2_000, 5),
    ]
    told.clear()
    pf.session_details(sessions["session_id"].head(2), client=client, progress=told.append)
    assert [(step.what, step.done, step.total) for step in told] == [("details", 1, 2), ("details", 2, 2)]
    # Calls that are under way are spent.
    assert 1 <= told[0].calls <= told[1].calls == 2


# What goes wrong on the way


def test_when_the_quota_ends_in_mid_search_the_pages_before_it_are_at_hand() -> None:
    with Simulator(sessions=2_000, now=NOW, daily_limit=3) as simulator, client_of(simulator) as client:
        with pytest.raises(pf.QuotaExhausted) as caught:
            pf.search_sessions("2026-01-01", NOW, client=client)
        everything = simulator.summaries().sort("session_start", descending=True)
    assert_frame_equal(caught.value.partial, everything.head(1_000).sort("session_start", "session_id"))
    made_of = pf.certificate(caught.value.partial)
    assert (made_of.declared, made_of.distinct, made_of.complete) == (2_000, 1_000, False)
    assert caught.value.remaining == 1_000
    end = "1,000 sessions are in .partial (1,000 still to download); the same call resumes there."
    assert str(caught.value).endswith(end)
    with pytest.raises(ValueError, match="no certificate"):
        pf.certificate(None)  # type: ignore[arg-type]  # as .partial is where nothing came


def test_when_a_detail_fails_the_ones_before_it_are_at_hand(simulator: Simulator, clock: Clock) -> None:
    ids = simulator.summaries(*WEEK)["session_id"].head(5).to_list()
    simulator.faults.add(Fault(kind="status", status=500, on="session", after=3, times=None))
    one_at_a_time = client_of(simulator, changes={"concurrency": 1}, clock=clock, sleep=clock.sleep)
    with one_at_a_time as client, pytest.raises(pf.ServerError) as caught:
        pf.session_details([*ids[:2], 1, *ids[2:]], client=client)
    partial = caught.value.partial
    assert sorted(partial.sessions["session_id"]) == sorted(ids[:2])
    assert partial.missing == [1]
    assert "2 sessions are in .partial (3 still to download); the same call resumes there." in str(caught.value)


def test_an_error_before_the_first_answer_has_nothing_at_hand(simulator: Simulator, client: pf.PulseClient) -> None:
    simulator.faults.add(Fault(kind="status", status=500, on="sessions", times=None))
    with pytest.raises(pf.ServerError) as caught:
        pf.search_sessions(*WEEK, client=client)
    assert caught.value.partial is None


def test_a_page_that_is_not_json_raises_and_keeps_the_pages_before_it(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    simulator.faults.add(Fault(kind="body", body="<html>", on="sessions", after=1))
    with pytest.raises(pf.MalformedAnswer) as caught:
        pf.search_sessions("2026-01-01", NOW, client=client)
    assert caught.value.body == b"<html>"
    assert len(caught.value.partial) == 500


def test_the_details_of_another_session_are_not_taken_for_the_one_asked_for(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    first, second = simulator.summaries(*WEEK)["session_id"].head(2)
    simulator.faults.add(edit(lambda document: document["session"].update(id=second), on="session"))
    with pytest.raises(pf.MalformedAnswer, match=f"session {second} when asked for {first}"):
        pf.session_details(first, client=client)
    again = pf.session_details(first, client=client)
    assert again.sessions["session_id"].to_list() == [first], "and not from the journal either"


def test_the_details_of_another_session_are_noticed_though_they_break_the_schema(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    session_id = simulator.summaries(*WEEK)["session_id"][0]
    simulator.faults.add(edit(lambda document: document["session"].update(id=6, sessionEnd=""), on="session"))
    with pytest.raises(pf.MalformedAnswer, match="session 6 when asked for"):
        pf.session_details(session_id, client=client)


def test_rows_without_an_id_again_and_again_do_not_burn_the_quota(simulator: Simulator, client: pf.PulseClient) -> None:
    bad = '{"totalSessions": 2000, "sessions": [{"id": "bad"}]}'
    simulator.faults.add(Fault(kind="body", body=bad, on="sessions", times=None))
    with pytest.warns(pf.IncompleteWarning), pytest.raises(pf.SchemaViolation):
        pf.search_sessions(*WEEK, client=client)
    assert client.calls_spent <= 4


def test_a_cut_list_is_noticed_though_its_last_item_is_bad(simulator: Simulator, client: pf.PulseClient) -> None:
    session_id = simulator.summaries(*WEEK)["session_id"][0]
    views = [DETAIL["pageViews"][0]] * 499 + [{"page": 5}]
    simulator.faults.add(edit(lambda document: document["session"].update(pageViews=views), on="session"))
    with pytest.warns(pf.PulseWarning) as caught:
        pf.session_details(session_id, client=client)
    assert {warning.category for warning in caught} == {pf.IncompleteWarning, pf.RejectedRowsWarning}


def test_a_search_with_a_row_that_breaks_the_schema_raises_with_both_kinds_of_rows(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    def spoil(document: Any) -> None:
        document["sessions"][0]["sessionLength"] = "long"
        document["sessions"][1]["sessionStart"] = None
        document["sessions"][2]["sessionLength"] = -1

    simulator.faults.add(edit(spoil, on="sessions"))
    with pytest.raises(pf.SchemaViolation, match="Rows that break the schema: 3 of sessions") as caught:
        pf.search_sessions(*WEEK, client=client)
    valid, rejected = caught.value.valid, caught.value.rejected
    assert len(valid) + 3 == len(simulator.summaries(*WEEK))
    assert caught.value.partial is valid
    assert rejected is not None
    assert set(rejected["reason"]) == {
        "session_length_ms: expected an integer, got a string",
        "session_start: required but missing",
        "session_length_ms: -1 is less than 0",
    }
    for row in rejected.iter_rows(named=True):
        assert json.loads(row["raw_json"])["id"] == row["session_id"]


def test_a_search_can_go_on_without_the_rows_that_break_the_schema(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    simulator.faults.add(edit(lambda document: document["sessions"][0].update(status=5), on="sessions"))
    with pytest.warns(pf.RejectedRowsWarning, match="1 of sessions"):
        sessions = pf.search_sessions(*WEEK, client=client, on_invalid="warn")
    assert len(sessions) + 1 == len(simulator.summaries(*WEEK))


def test_details_set_aside_what_breaks_the_schema_and_warn(simulator: Simulator, client: pf.PulseClient) -> None:
    bought = simulator.truth(*WEEK)["sessions"].filter(pl.col("page_view_count") > 1)["session_id"].head(2).to_list()

    def spoil(document: Any) -> None:
        document["session"]["pageViews"][0]["loadingTime"] = -5
        document["session"]["pageViews"][1]["viewedOn"] = ""

    simulator.faults.add(edit(spoil, on="session"))
    with pytest.warns(pf.RejectedRowsWarning, match="2 of page_views"):
        frames = pf.session_details(bought, client=client)
    assert sorted(frames.sessions["session_id"]) == sorted(bought)
    assert frames.rejected.sort("item_index").select("table", "session_id", "item_index").rows() == [
        ("page_views", bought[0], 0),
        ("page_views", bought[0], 1),
    ]
    assert json.loads(frames.rejected.sort("item_index")["raw_json"][0])["loadingTime"] == -5


def test_the_page_views_of_a_session_that_breaks_the_schema_are_set_aside_with_it(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    session_id = simulator.truth(*WEEK)["sessions"].filter(pl.col("page_view_count") == 2)["session_id"][0]
    simulator.faults.add(edit(lambda document: document["session"].update(sessionStart=None), on="session"))
    with pytest.raises(pf.SchemaViolation) as caught:
        pf.session_details(session_id, client=client, on_invalid="raise")
    assert caught.value.valid.page_views.is_empty()
    assert caught.value.rejected is not None
    views = caught.value.rejected.filter(table="page_views")
    assert views["reason"].to_list() == ["its session is missing or invalid"] * 2


def test_new_fields_and_values_are_reported_once_and_values_are_kept(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    def drift(document: Any) -> None:
        for session in document["sessions"]:
            session["device"] = {"model": "x"}
            session["status"] = "paused"

    simulator.faults.add(edit(drift, on="sessions", times=None))
    with pytest.warns(pf.SchemaDriftWarning) as caught:
        sessions = pf.search_sessions("2026-01-01", NOW, client=client)
    assert len(caught) == 1
    assert "sessions[].device" in str(caught[0].message)
    assert "sessions.status = 'paused'" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert set(sessions["status"]) == {"paused"}


def test_a_list_of_exactly_500_items_is_reported_with_its_session(simulator: Simulator, client: pf.PulseClient) -> None:
    first, second = simulator.truth(*WEEK)["sessions"]["session_id"].head(2)
    view = DETAIL["pageViews"][0]
    simulator.faults.add(edit(lambda document: document["session"].update(pageViews=[view] * 500), on="session"))
    simulator.faults.add(
        edit(lambda document: document["session"].update(pageViews=[view] * 501), on="session", after=1)
    )
    with pytest.warns(pf.IncompleteWarning, match=rf"1 session came with exactly 500 page views.* {first}\.") as caught:
        frames = pf.session_details([first, second], client=client)
    assert len(caught) == 1
    assert frames.sessions["page_view_count"].sort().to_list() == [500, 501]


# Lists that move


def test_what_arrives_while_a_search_is_read_is_in_it(simulator: Simulator, client: pf.PulseClient) -> None:
    def arrive(progress: pf.Progress) -> None:
        if progress.done == 500:
            simulator.advance(hours=6)

    sessions = pf.search_sessions("2026-01-01", "2027-01-01", client=client, progress=arrive)
    assert set(sessions["session_id"]) == set(simulator.summaries()["session_id"])
    made_of = pf.certificate(sessions)
    assert made_of.complete
    assert made_of.repaired == 1
    assert made_of.duplicates > 0
    assert len(made_of.totals) == 2
    assert set(made_of.still_active) == set(sessions.filter(status="active")["session_id"])


def test_what_goes_while_a_search_is_read_pulls_nothing_out_of_sight(
    simulator: Simulator, client: pf.PulseClient
) -> None:
    newest_first = simulator.summaries()["session_id"].reverse()

    def leave(progress: pf.Progress) -> None:
        if progress.done == 500:
            simulator.remove(*newest_first[3:6])

    sessions = pf.search_sessions("2026-01-01", NOW, client=client, progress=leave)
    assert set(sessions["session_id"]) == set(newest_first)  # what went had been read already
    assert pf.certificate(sessions).complete
    assert client.calls_spent == 1 + 4 + 1


@settings(max_examples=12)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.lists(st.integers(0, 1_100), max_size=5)), max_size=4), st.integers(1, 99)
)
def test_however_a_real_list_moves_what_is_missing_is_said(moves: list[tuple[int, list[int]]], seed: int) -> None:
    steps = list(moves)

    with Simulator(sessions=1_100, days=14, now=NOW, seed=seed, daily_limit=None) as simulator:
        at_the_last_page: set[int] = set()

        def move(_: pf.Progress) -> None:
            there = simulator.summaries()["session_id"]
            at_the_last_page.clear()
            at_the_last_page.update(there)
            if steps:
                hours, places = steps.pop(0)
                simulator.remove(*{there[place % len(there)] for place in places})
                simulator.advance(hours=hours)

        with client_of(simulator, changes={"home": ":memory:"}) as client, warnings.catch_warnings():
            warnings.simplefilter("ignore", pf.IncompleteWarning)
            sessions = pf.search_sessions("2026-01-01", "2027-01-01", client=client, progress=move)
    here, there = set(sessions["session_id"]), at_the_last_page
    made_of = pf.certificate(sessions)
    assert made_of.distinct == len(sessions) == len(here)
    assert made_of.repaired <= client.settings.repair_calls
    if made_of.complete:
        assert len(there - here) <= len(here - there)  # as many may have come unseen as were read and then went


def test_a_total_that_cannot_be_reached_warns_with_both_counts(simulator: Simulator, client: pf.PulseClient) -> None:
    count = len(simulator.summaries(*WEEK))
    simulator.faults.add(edit(lambda document: document.update(totalSessions=count + 3), on="sessions", times=None))
    with pytest.warns(
        pf.IncompleteWarning, match=f"The server reported {count + 3} sessions, but {count} were received"
    ):
        sessions = pf.search_sessions(*WEEK, client=client)
    assert len(sessions) == count
    assert client.calls_spent <= 2 + 1 + client.settings.repair_calls
    assert not pf.certificate(sessions).complete


def test_an_absurd_total_does_not_burn_the_quota(simulator: Simulator, client: pf.PulseClient) -> None:
    simulator.faults.add(edit(lambda document: document.update(totalSessions=10**18), on="sessions", times=None))
    with pytest.warns(pf.IncompleteWarning):
        sessions = pf.search_sessions(*WEEK, client=client)
    assert len(sessions) == len(simulator.summaries(*WEEK))
    assert client.calls_spent <= 4


def test_an_id_that_is_repeated_within_a_page_is_one_row(simulator: Simulator, client: pf.PulseClient) -> None:
    simulator.faults.add(edit(lambda document: document["sessions"].append(document["sessions"][0]), on="sessions"))
    sessions = pf.search_sessions(*WEEK, client=client)
    assert_frame_equal(sessions, simulator.summaries(*WEEK))


def test_one_fault_costs_one_call_and_the_second_run_none() -> None:
    faults = (
        Fault(kind="status", status=504, on="sessions", after=4),
        edit(lambda page: page["sessions"].clear(), on="sessions", after=4),
        edit(lambda page: page["sessions"].pop(250), on="sessions", after=4),
    )
    with Simulator(sessions=5_300, days=7, now=NOW - timedelta(days=30), daily_limit=None) as simulator:
        window = (simulator.begin, simulator.begin + timedelta(days=7))
        pages = -(-len(simulator.summaries(*window)) // 500)
        assert pages > 10
        for fault in faults:
            simulator.faults.clear()
            simulator.faults.add(fault)
            with client_of(simulator, changes={"home": ":memory:"}) as client:
                first = pf.search_sessions(*window, client=client)
                assert pf.certificate(first).complete
                assert client.calls_spent == 1 + pages + 1
                again = pf.search_sessions(*window, client=client)
                assert client.calls_spent == 1 + pages + 1
            assert_frame_equal(first, again)
            assert_frame_equal(first, simulator.summaries(*window))


@pytest.mark.parametrize("window", [(date.min, date.max), ("0001-01-01", "2026-11-20"), (WEEK[0], "9999-12-31")])
def test_a_window_may_reach_to_the_ends_of_the_calendar(
    client: pf.PulseClient, tmp_path: Path, window: tuple[Any, Any]
) -> None:
    found = pf.search_sessions(*window, client=client)
    assert pf.certificate(found).complete
    assert not found.is_empty()
    for ask in (pf.plan, pf.sync, pf.plan):
        ask(tmp_path / "lake", *window, client=client)
    assert pf.estimate(tmp_path / "lake", "count()", date_from=window[0])["estimate"].item() > 0
