"""plan_precision(): how many details a given precision needs, and what another day gains."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import polars as pl
import pytest
from conftest import NOW
from support.populations import part_of

import pulseframes as pf
from pulseframes.simulator import Simulator


@cache
def shop() -> tuple[pl.DataFrame, pf.SessionFrames]:
    """4,000 sessions that have ended, and the details of all."""
    truth = Simulator(sessions=4_000, now=NOW, daily_limit=None).truth()
    sessions = truth["sessions"].filter(pl.col("status") != "active")
    return sessions, pf.SessionFrames(sessions, truth["page_views"], truth["errors"])


def sample_of(calls: int, seed: int = 0) -> pf.Sample:
    sessions, details = shop()
    chosen = pf.choose_details(sessions, calls, seed=seed)
    return pf.Sample.of_frames(sessions, chosen, part_of(details, chosen["session_id"]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_details_forecast_for_a_group_give_about_the_precision_asked_for(seed: int) -> None:
    plan = pf.plan_precision(sample_of(300, seed), within=0.15)
    forecast = plan.groups.drop_nulls("needed")
    assert len(forecast) >= 7
    found = []
    for group, needed in forecast.select("page_template", "needed").iter_rows():
        then = pf.plan_precision(sample_of(needed, seed), top=99).groups.filter(page_template=group)
        found.append(then["within"].item() / plan.within)
    assert 1 / 1.5 < pl.Series(found).median() < 1.5  # type: ignore[operator]  # there are some


def test_the_forecast_for_the_whole_is_right_within_a_few_percent_over_many_samples() -> None:
    found = []
    for seed in range(12):
        plan = pf.plan_precision(sample_of(120, seed), by=None, within=0.04)
        assert plan.needed is not None
        assert plan.needed > 120
        found.append(pf.plan_precision(sample_of(plan.needed, seed), by=None).groups["within"].item())
    assert 0.85 < pl.Series(found).median() / 0.04 < 1.15  # type: ignore[operator]  # there are some


@pytest.mark.parametrize("measure", ["median(loading_time_ms)", "mean(loading_time_ms)"])
def test_the_precision_is_reached_within_the_range_of_nine_in_ten_plans(measure: str) -> None:
    inside, widths = 0, []
    for seed in range(20, 32):
        plan = pf.plan_precision(sample_of(60, seed), measure, by=None, within=0.12)
        assert None not in (plan.needed_low, plan.needed, plan.needed_high)
        low, needed, high = (number or 0 for number in (plan.needed_low, plan.needed, plan.needed_high))
        assert 60 <= low <= needed <= high
        widths.append(high / low)

        def within(details: int, seed: int = seed) -> float:
            one = pf.estimate(sample_of(details, seed), measure, wide=True).row(0, named=True)
            return max(one["upper"] - one["estimate"], one["estimate"] - one["lower"]) / one["estimate"]

        inside += within(high) <= 0.12 and (low == 60 or within(low - 1) > 0.12)
    assert inside >= 10
    assert sorted(widths)[6] < 7


def test_groups_have_a_range_and_the_plan_that_of_the_one_that_needs_most() -> None:
    plan = pf.plan_precision(sample_of(200), "median(loading_time_ms)", top=4)
    known = plan.groups.drop_nulls("needed")
    assert (known["needed_low"] <= known["needed"]).all()
    assert (known["needed_high"] >= known["needed"]).all()
    assert (plan.needed_low, plan.needed_high) == (known["needed_low"].max(), known["needed_high"].max())
    low, high = plan.needed_low or 0, plan.needed_high or 0
    days = f"{-(-(low - 200) // 45)} to {-(-(high - 200) // 45)} days"
    assert f"In 9 of 10 such plans, it takes between {low:,} and {high:,} details: {days}." in str(plan)


def test_a_sample_drawn_for_other_questions_allows_no_forecast() -> None:
    sessions, details = shop()
    chosen = pf.choose_details(sessions, 60, design="uniform")
    sample = pf.Sample.of_frames(sessions, chosen, part_of(details, chosen["session_id"]), design="uniform")
    plan = pf.plan_precision(sample, "mean(loading_time_ms)", by=None)
    assert (plan.needed, plan.needed_high, plan.calls, plan.is_wrong_design) == (None, None, None, True)
    assert str(plan).endswith("Draw one with the other design to plan for this one.")
    of_sessions = pf.plan_precision(sample, "share(satisfaction_rating = 'Excellent')", by=None)
    assert not of_sessions.is_wrong_design
    assert of_sessions.needed is not None


def test_tomorrow_is_the_precision_after_another_days_details() -> None:
    plan = pf.plan_precision(sample_of(200), "mean(loading_time_ms)", by=None, details_a_day=100)
    estimate, lower, upper, tomorrow = plan.groups.select("estimate", "lower", "upper", "tomorrow").row(0)
    sessions = len(shop()[0])
    narrower = math.sqrt((1 / 300 - 1 / sessions) / (1 / 200 - 1 / sessions))
    half = (upper - lower) / 2
    farther = max(upper - estimate, estimate - lower) - half  # by the skewness, which goes with the variance
    assert tomorrow == pytest.approx((half * narrower + farther * narrower**2) / estimate)
    enough = pf.plan_precision(sample_of(200), "mean(loading_time_ms)", by=None, details_a_day=10**6)
    assert enough.groups["tomorrow"].item() == 0


def test_a_plan_counts_calls_and_days_for_the_groups_with_the_most_rows() -> None:
    plan = pf.plan_precision(sample_of(200), "median(loading_time_ms)", top=4, details_a_day=45)
    assert plan.groups.columns == [
        "page_template",
        "estimate",
        "lower",
        "upper",
        "within",
        "tomorrow",
        "needed",
        "needed_low",
        "needed_high",
    ]
    counts = pf.estimate(sample_of(200), "count()", by="page_template", wide=True).sort("estimate", descending=True)
    assert plan.groups["page_template"].to_list() == counts["page_template"].head(4).to_list()
    assert plan.needed == plan.groups["needed"].max() > 200
    assert plan.calls == plan.needed - 200
    assert plan.days == -(-plan.calls // 45)
    said = str(plan).splitlines()
    assert said[0] == "median(loading_time_ms) to within 10%, from 200 details:"
    assert len(said) == 6
    assert f"{plan.needed:,} details, {plan.calls:,} calls more: {plan.days} days of 45." in said[-1]
    as_dict = plan.as_dict()
    assert json.loads(json.dumps(as_dict)) == as_dict
    assert (as_dict["needed"], len(as_dict["groups"])) == (plan.needed, 4)


def test_groups_without_a_forecast_are_named() -> None:
    plan = pf.plan_precision(sample_of(4), "median(loading_time_ms)", top=3)
    assert (plan.needed, plan.calls, plan.days, plan.at_least) == (None, None, None, True)
    too_few = "Too few details for a forecast"
    assert str(plan).endswith(f"{too_few} for any of these groups: download a few dozen first.")
    assert str(pf.plan_precision(sample_of(4), by=None)).endswith(f"{too_few}: download a few dozen first.")
    assert "±?" in str(plan)
    assert json.loads(json.dumps(plan.as_dict(), allow_nan=False))["groups"][0]["tomorrow"] is None
    some = pf.plan_precision(sample_of(60), "median(loading_time_ms)", top=40)
    assert some.at_least
    unknown = some.groups.filter(pl.col("needed").is_null())["page_template"].to_list()
    assert len(unknown) > 3
    said = str(some).splitlines()[-1]
    assert said.startswith("This needs at least ")
    assert said.endswith(f" Too few details for a forecast of {', '.join(unknown[:3])} and {len(unknown) - 3} more.")
    enough = str(pf.plan_precision(sample_of(400), within=0.99, top=40)).splitlines()[-1]
    assert "The sample is precise enough for the other groups. Too few details for a forecast of " in enough


def test_a_sample_that_is_precise_enough_needs_no_call() -> None:
    plan = pf.plan_precision(sample_of(400), "mean(loading_time_ms)", by=None, within=0.9)
    assert (plan.needed, plan.calls, plan.days) == (400, 0, 0)
    assert str(plan).splitlines()[-1] == "The sample is precise enough."
    sessions, details = shop()
    everything = pf.choose_details(sessions, len(sessions))
    census = pf.plan_precision(pf.Sample.of_frames(sessions, everything, details), "mean(loading_time_ms)", by=None)
    assert (census.calls, census.groups["within"].item()) == (0, 0.0)


def test_with_all_sessions_drawn_nothing_is_left_to_download_however_small_a_group() -> None:
    details = shop()[1]
    sessions = shop()[0].sort("session_id").head(40)
    chosen = pf.choose_details(sessions, 40)
    plan = pf.plan_precision(pf.Sample.of_frames(sessions, chosen, part_of(details, chosen["session_id"])), top=40)
    assert plan.groups["within"].to_list() == [0.0] * len(plan.groups)
    assert (plan.left, plan.needed, plan.calls, plan.at_least) == (0, 40, 0, False)
    said = str(plan).splitlines()
    assert said[-1] == "All sessions are in the sample: there are no more details to download."
    assert said[1].endswith("±0%")
    lost = part_of(details, chosen["session_id"].head(39))
    answered = pf.plan_precision(pf.Sample.of_frames(sessions, chosen, lost), "mean(loading_time_ms)", by=None)
    assert (answered.details, answered.left, answered.calls) == (39, 0, 0)


def test_details_that_were_not_drawn_allow_no_forecast() -> None:
    with pytest.raises(pf.InvalidQuery, match="were not sampled at random") as caught:
        pf.plan_precision(pf.Sample.of_details(shop()[1]))
    assert caught.value.argument == "source"


@pytest.mark.parametrize(("within", "said"), [(0.1, "10%"), (0.005, "0.5%"), (0.125, "12.5%")])
def test_the_precision_is_printed_as_it_was_asked_for(within: float, said: str) -> None:
    assert str(pf.plan_precision(sample_of(60), by=None, within=within)).startswith(
        f"median(loading_time_ms) to within {said}, from 60 details:"
    )


def test_sessions_and_errors_can_be_planned_for() -> None:
    by_country = pf.plan_precision(sample_of(300), "share(satisfaction_rating = 'Poor')", by="country", top=2)
    counts = shop()[0]["country"].value_counts(sort=True)
    assert by_country.groups["country"].to_list() == counts["country"].head(2).to_list()
    titles = pf.plan_precision(sample_of(300), "count()", by="title", top=2)
    assert len(titles.groups) == 2


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"within": 0}, "within"),
        ({"within": 1.0}, "within"),
        ({"within": "10%"}, "within"),
        ({"within": True}, "within"),
        ({"top": 0}, "top"),
        ({"top": 2.5}, "top"),
        ({"details_a_day": 0}, "details_a_day"),
        ({"details_a_day": True}, "details_a_day"),
        ({"measure": "median(nothing)"}, "measures"),
        ({"measure": "loading_time_ms"}, "measures"),
        ({"design": "uniform"}, "source"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, Any], argument: str) -> None:
    with pytest.raises(pf.InvalidQuery) as caught:
        pf.plan_precision(sample_of(20), **({"measure": "median(loading_time_ms)"} | wrong))
    assert caught.value.argument == argument
