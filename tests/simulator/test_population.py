from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from random import Random

import polars as pl
import pytest
from hypothesis import given, strategies as st

from pulseframes.simulator import Simulator
from pulseframes.simulator.catalog import PAGES, Draws
from pulseframes.simulator.population import Arrivals
from pulseframes.simulator.sessions import Ids, View, satisfaction
from pulseframes.simulator.visitors import Visitors

from .caller import NOW, Caller

NUMBERS = st.integers(-(1 << 40), 1 << 40)


def plans_computed(caller: Caller) -> int:
    """How many sessions were computed so far, rather than taken from the cache."""
    return caller.simulator._population._plan.cache_info().misses


@given(st.integers(0, 1 << 64), st.lists(NUMBERS, min_size=1))
def test_draws_for_many_numbers_are_those_for_each(seed: int, numbers: list[int]) -> None:
    draws = Draws(seed, "test")
    assert draws.uniforms(pl.Series(numbers, dtype=pl.Int64)).to_list() == [draws.uniform(n) for n in numbers]


def test_draws_never_change_between_versions_and_machines() -> None:
    assert Draws(1, "test").uniform(0) == 0.7657002335487836
    assert Draws(1, "test").random(0).random() == 0.18260196358426384


@given(st.integers(0, 1 << 64), NUMBERS)
def test_an_id_is_turned_back_into_its_number(seed: int, number: int) -> None:
    ids = Ids(seed, "test")
    assert ids.number(ids.of(number)) == number
    assert 2**61 <= ids.of(number) < 2**62


def test_ids_of_a_population_differ() -> None:
    ids = Ids(3, "test")
    assert len({ids.of(number) for number in range(100_000)}) == 100_000


@given(st.integers(1, 10_000_000), st.integers(1, 400), st.timedeltas(timedelta(days=-9000), timedelta(days=27_000)))
def test_starts_never_go_back_and_are_counted_to_the_microsecond(sessions: int, days: int, since: timedelta) -> None:
    now = NOW + since
    arrivals = Arrivals(5, sessions, now - timedelta(days=days), now)
    for number in (0, sessions // 3, sessions - 1, sessions + 10):
        start = arrivals.start(number)
        assert start <= arrivals.start(number + 1)
        assert arrivals.count_before(start + timedelta.resolution) > number >= arrivals.count_before(start)
    assert arrivals.count_before(now) == sessions
    assert arrivals.count_before(now - timedelta(days=days)) == 0


def test_the_visitors_of_many_sessions_are_those_of_each() -> None:
    visitors = Visitors(1, 700.0)
    numbers = pl.int_range(-500, 5000, eager=True)
    assert visitors.of_sessions(numbers).to_list() == [visitors.of_session(number) for number in numbers]


def test_a_visitor_is_found_by_the_identifier_and_returns_later() -> None:
    visitors = Visitors(1, 700.0)
    numbers = visitors.of_sessions(pl.int_range(5000, eager=True))
    for number in numbers.unique().head(200):
        assert visitors.find(visitors.visitor(number).identifier) == number
    visits = Counter(numbers.to_list())
    assert max(visits.values()) >= 10
    assert sum(count == 1 for count in visits.values()) > len(visits) / 3


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(make: Callable[..., Caller]) -> None:
    query = {"dateFrom": "2026-10-10", "dateTo": "2026-10-20", "limit": 100}
    first, same, other = (make(seed=seed).get("sessions", **query).body for seed in (1, 1, 2))
    assert first == same != other


def test_the_number_of_sessions_is_of_the_days_before_now_and_more_follow(make: Callable[..., Caller]) -> None:
    caller = make(sessions=2800, days=28)
    assert caller.search(limit=1)["totalSessions"] == 2800
    newest = caller.search(limit=1)["sessions"][0]
    assert newest["sessionStart"] < "2026-11-01T12:00:00"
    caller.simulator.advance(days=7)
    caller.authenticate()
    assert caller.search(limit=1)["totalSessions"] == 3500


def test_a_running_clock_shows_sessions_as_they_start() -> None:
    simulator = Simulator(sessions=20_000_000, days=1)
    before = simulator.now
    time.sleep(0.05)
    assert len(simulator.summaries(before)) > 0


def test_traffic_follows_the_hour_and_the_day() -> None:
    arrivals = Arrivals(1, 20_000, NOW - timedelta(days=28), NOW)
    starts = [arrivals.start(number) for number in range(20_000)]
    hours = Counter(start.hour for start in starts)
    days = Counter(start.weekday() for start in starts)
    assert hours[20] > 4 * hours[3]
    assert days[6] > 1.2 * days[2]
    assert [arrivals.count_before(NOW - timedelta(weeks=weeks)) for weeks in range(5)] == [
        20_000,
        15_000,
        10_000,
        5000,
        0,
    ]


def test_of_millions_of_sessions_only_those_on_a_page_are_computed_in_little_memory(
    make: Callable[..., Caller],
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    caller = make(sessions=5_000_000)
    page = caller.search(skip=2_500_000, limit=100)
    assert plans_computed(caller) == 100
    assert page["totalSessions"] == 5_000_000
    assert caller.detail(page["sessions"][50]["id"])["sessionStart"][:18] == page["sessions"][50]["sessionStart"][:18]
    filtered = caller.search("2026-10-31", "2026-11-01", country="NZ", limit=10)
    assert 10_000 < filtered["totalSessions"] < 40_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_an_active_session_grows_and_ends_as_the_clock_moves(make: Callable[..., Caller]) -> None:
    whole = make()
    whole.simulator.advance(days=1)
    truth = whole.simulator.truth("2026-11-01T13:00:00Z")
    long = truth["sessions"].filter(pl.col("page_view_count").is_between(5, 50), pl.col("status") == "ended")
    final = next(row for row in long.iter_rows(named=True) if None not in row.values())
    views = truth["page_views"].filter(pl.col("session_id") == final["session_id"])

    caller = make()
    caller.simulator.advance(final["session_start"] - NOW)
    first = caller.detail(final["session_id"])
    assert (first["status"], first["sessionEnd"], len(first["pageViews"])) == ("active", None, 1)
    assert first["sessionLength"] == 0

    caller.simulator.advance(views["viewed_on"][3] - caller.simulator.now)
    caller.authenticate()
    later = caller.detail(final["session_id"])
    assert (later["status"], len(later["pageViews"])) == ("active", 4)
    assert later["pageViews"][3].get("viewingTime") is None
    assert later["pageViews"][:3] == whole.detail(final["session_id"])["pageViews"][:3]
    summary = next(item for item in caller.search(limit=500)["sessions"] if item["id"] == final["session_id"])
    assert summary["pageViewCount"] == 4

    caller.simulator.advance(final["session_end"] - caller.simulator.now)
    assert caller.simulator.detail(final["session_id"])["session"]["status"] == "ended"


def test_counts_of_page_views_are_skewed_and_some_lists_are_cut_at_500(make: Callable[..., Caller]) -> None:
    simulator = make(sessions=3000).simulator
    counts = simulator.summaries()["page_view_count"].drop_nulls()
    assert (counts <= 2).mean() > 0.4
    assert 0.001 < (counts > 30).mean() < 0.05
    lists = simulator.truth()["sessions"]["page_view_count"]
    assert counts.max() > 500 == lists.max()


def test_satisfaction_falls_with_load_times_and_errors(make: Callable[..., Caller]) -> None:
    def views(loading: int) -> list[View]:
        return [View(0, PAGES[0], (0.5, 0.5), loading, loading, ())] * 4

    assert [satisfaction(views(ms), 0) for ms in (500, 3000, 9000)] == ["Excellent", "Average", "Poor"]
    assert [satisfaction(views(500), errors) for errors in (1, 2, 5)] == ["Excellent", "Good", "Average"]

    truth = make(sessions=3000).simulator.truth()
    rated = truth["page_views"].join(truth["sessions"], on="session_id").drop_nulls("satisfaction_rating")
    means = dict(rated.group_by("satisfaction_rating").agg(pl.col("loading_time_ms").mean()).iter_rows())
    assert means["Excellent"] < means["Good"] < means["Average"] < means["Poor"]


def test_errors_cluster_on_pages_and_browsers(make: Callable[..., Caller]) -> None:
    truth = make(sessions=5000).simulator.truth()
    sessions = truth["sessions"]
    assert 0.01 < sessions["session_id"].is_in(truth["errors"]["session_id"].implode()).mean() < 0.15

    views = truth["page_views"].join(sessions, on="session_id")
    per_browser = truth["errors"].join(sessions, on="session_id")["browser_name"].value_counts()
    rates = views["browser_name"].value_counts(name="views").join(per_browser, on="browser_name")
    rate = dict(rates.select("browser_name", pl.col("count") / pl.col("views")).iter_rows())
    assert rate["Mobile Safari"] > 2 * rate["Chrome"]

    payment = next(page for page in PAGES if "payment" in page.address)
    on_payment = truth["errors"]["title"].is_in(payment.errors).mean()
    assert on_payment > 2 * truth["page_views"]["page"].drop_nulls().str.contains("/checkout/payment").mean()


def test_details_of_a_page_that_was_just_listed_compute_no_session_again(make: Callable[..., Caller]) -> None:
    caller = make(seed=4242)  # a shop of no other test
    page = caller.search(limit=500)
    for session in page["sessions"][:100]:
        caller.detail(session["id"])
    assert plans_computed(caller) == 500


def test_a_clock_needs_a_time_zone_and_goes_forward_only(make: Callable[..., Caller]) -> None:
    with pytest.raises(ValueError, match="time zone"):
        make(now=NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="forward"):
        make().simulator.advance(minutes=-1)


def test_random_draws_by_number_are_spread_evenly() -> None:
    draws = Draws(Random(1).getrandbits(60), "test")
    tenths = Counter(int(10 * draws.uniform(number)) for number in range(20_000))
    assert all(1800 < tenths[tenth] < 2200 for tenth in range(10))


def test_a_shop_that_nobody_visits_has_no_sessions() -> None:
    simulator = Simulator(sessions=0, now=NOW)
    assert simulator.summaries().is_empty()
    assert all(frame.is_empty() for frame in simulator.truth().values())
    simulator.advance(days=30)
    assert simulator.summaries().is_empty()
    with pytest.raises(KeyError):
        simulator.detail(2**61)


def test_a_removed_session_is_in_no_list_detail_or_truth() -> None:
    simulator = Simulator(sessions=300, now=NOW)
    before = simulator.summaries()["session_id"].to_list()
    removed = before[10:13]
    simulator.remove(*removed)
    left = [session_id for session_id in before if session_id not in removed]
    assert simulator.summaries()["session_id"].to_list() == left
    assert simulator.truth()["sessions"]["session_id"].to_list() == left
    for session_id in removed:
        with pytest.raises(KeyError):
            simulator.detail(session_id)
        with pytest.raises(KeyError):
            simulator.remove(session_id)
