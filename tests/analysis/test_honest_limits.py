"""Intervals say no more than the sessions show: of width 0 only if all were read, and flagged where the method cannot hold."""

from __future__ import annotations

from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from support.small_sites import Site

import pulseframes as pf

#: Draws of a coverage; 95% of 150 have a standard error of 1.8 points.
DRAWS = 150

MEASURES = [
    "count()",
    "mean(loading_time_ms)",
    "median(loading_time_ms)",
    "p95(loading_time_ms)",
    "total(loading_time_ms)",
    "share(loading_time_ms > 1500)",
]


def asked(sample: pf.Sample, measure: str, **options: Any) -> dict[str, Any]:
    return pf.estimate(sample, measure, **({"of": "page_views", "wide": True} | options)).row(0, named=True)


def covered(site: Site, truth: float, measure: str, calls: int, **options: Any) -> float:
    """Return the share of samples whose interval contains the truth."""
    rows = [asked(site.sample(calls, seed), measure, **options) for seed in range(DRAWS)]
    return sum(row["lower"] <= truth <= row["upper"] for row in rows) / DRAWS


sites = st.lists(
    st.lists(st.sampled_from([0, 700, 1_200, 1_200, 2_000, 9_000]), min_size=1, max_size=6), min_size=2, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(
    loads=sites,
    design=st.sampled_from(["pageviews", "uniform"]),
    calls=st.integers(1, 40),
    unknown=st.booleans(),
    by=st.sampled_from([None, "country"]),
    calibrate=st.booleans(),
)
def test_only_a_census_has_an_interval_of_width_0(
    loads: list[list[int]], design: str, calls: int, unknown: bool, by: str | None, calibrate: bool
) -> None:
    told = [None if unknown and number % 5 == 0 else len(times) for number, times in enumerate(loads)]
    site = Site(loads, told=told, country=["NZ" if number % 3 else "US" for number in range(len(loads))])
    sample = site.sample(calls, design=design)
    options = {"calibrate": "platform_name"} if calibrate else {}
    found = pf.estimate(sample, MEASURES, of="page_views", by=by, wide=True, **options)
    assert (found["lower"] <= found["estimate"]).all(ignore_nulls=True)
    assert (found["upper"] >= found["estimate"]).all(ignore_nulls=True)
    assert sample.is_census or (found["lower"] < found["upper"]).all()


def test_a_share_of_which_no_case_was_seen_is_limited_by_sessions_not_by_their_rows() -> None:
    slow = Site([[9_000] * 20 if number % 50 == 7 else [500] * 20 for number in range(1_000)])
    assert covered(slow, 0.02, "share(loading_time_ms > 5000)", 45) > 0.89


def test_the_slow_tail_of_sessions_that_are_slow_throughout_is_covered_or_flagged() -> None:
    random = Random(1)
    loads = [
        [(10_000 if number % 17 == 3 else 800) + random.randrange(400) for _ in range(12)] for number in range(1_000)
    ]
    truth = pl.Series([time for times in loads for time in times]).quantile(0.95, interpolation="equiprobable")
    assert truth is not None
    site = Site(loads)
    assert covered(site, truth, "p95(loading_time_ms)", 45) > 0.89
    assert asked(site.sample(45), "p95(loading_time_ms)")["flag"] is not None


def test_the_number_of_page_views_is_not_exact_because_all_sampled_summaries_were_right() -> None:
    loads = [[800] * 5] * 400 + [[800] * 60] * 20
    site = Site(loads, told=[5] * 400 + [None] * 20)
    assert covered(site, 3_200, "count()", 45) > 0.93
    right = asked(Site([[800] * 5] * 400).sample(45), "count()")
    assert right["lower"] < right["estimate"] == 2_000 < right["upper"] < 2_300


@pytest.mark.parametrize("margins", ["country", ["country", "browser_name"], "page_view_count"])
def test_calibrating_makes_no_question_about_page_views_worse(margins: Any) -> None:
    random = Random(3)
    loads = [[random.randrange(300, 3_000) for _ in range(random.choice([1, 1, 2, 3, 5, 8, 40]))] for _ in range(800)]
    kinds = {
        "country": [random.choice(["US", "US", "GB", "NZ"]) for _ in loads],
        "browser_name": [random.choice(["Chrome", "Safari"]) for _ in loads],
    }
    site = Site(loads, **kinds)
    truth = sum(map(sum, loads)) / sum(map(len, loads))
    errors = {
        options: [
            asked(site.sample(135, seed), "mean(loading_time_ms)", **dict(options))["estimate"] - truth
            for seed in range(30)
        ]
        for options in ((), (("calibrate", tuple([margins] if isinstance(margins, str) else margins)),))
    }
    plain, calibrated = (sum(error**2 for error in each) for each in errors.values())
    assert calibrated < 1.3 * plain


def test_a_session_that_was_certain_to_be_drawn_represents_itself_calibrated_or_not() -> None:
    random = Random(5)
    loads = [[1_000] * random.choice([1, 1, 2, 3, 5, 8]) for _ in range(800)]
    loads[100] = [1_000] * 600
    site = Site(loads, country=[random.choice(["US", "US", "GB", "NZ"]) for _ in loads])
    for seed in range(4):
        for options in ({}, {"calibrate": "country"}):
            row = asked(site.sample(45, seed), "count()", where="session_id = 101", **options)
            assert row["estimate"] == pytest.approx(600)


def test_details_that_are_there_twice_are_refused() -> None:
    site = Site([[800, 900]] * 30)
    chosen = pf.choose_details(site.summaries, 30)
    twice = pf.SessionFrames(*(pl.concat([frame, frame.head(1)]) for frame in site.details.tables().values()))
    with pytest.raises(pf.InvalidQuery, match="session 1 is in sessions twice") as caught:
        pf.Sample.of_frames(site.summaries, chosen, twice)
    assert caught.value.argument == "details"
    with pytest.raises(pf.InvalidQuery, match="session 1 is in page_views twice"):
        pf.Sample.of_details(pf.SessionFrames(site.details.sessions, twice.page_views, site.details.errors))


def test_a_question_for_which_the_sample_was_not_drawn_is_flagged() -> None:
    crawled = Site([[900]] * 1_000 + [[200] * 2_000] * 2)
    samples = [crawled.sample(120, seed, "uniform") for seed in range(10)]
    flags = {asked(sample, "mean(loading_time_ms)")["flag"] for sample in samples}
    assert "wrong design" in flags  # of those without a crawler, which show nothing of it
    assert None not in flags
    assert asked(samples[0], "share(page_view_count > 0)", of="sessions")["flag"] != "wrong design"
    alike = Site([[900, 800]] * 1_000)
    assert asked(alike.sample(120, design="uniform"), "share(loading_time_ms > 850)")["flag"] is None


def test_a_total_of_which_one_session_has_most_is_flagged() -> None:
    errors = [1 if number % 10 else 0 for number in range(600)]
    even = Site([[900]] * 600, errors=errors)
    assert asked(even.sample(200, design="uniform"), "total(error_count)", of="sessions")["flag"] is None
    errors[7::40] = [400] * len(errors[7::40])
    clustered = Site([[900]] * 600, errors=errors)
    assert asked(clustered.sample(200, design="uniform"), "total(error_count)", of="sessions")["flag"] == "few cases"


def test_the_total_of_a_group_uses_what_the_summaries_know_of_it() -> None:
    random = Random(9)
    country = [random.choice(["US", "GB", "NZ", "FR", "JP"]) for _ in range(1_500)]
    loads = [[random.randrange(500, 2_000) for _ in range(random.randrange(1, 9))] for _ in country]
    site = Site(loads, country=country)
    truth = sum(sum(times) for times, where in zip(loads, country, strict=True) if where == "NZ")
    assert covered(site, truth, "total(loading_time_ms)", 60, where="country = 'NZ'") > 0.89
    row = asked(site.sample(60), "total(loading_time_ms)", where="country = 'NZ'")
    other = asked(site.sample(60), "total(loading_time_ms)", where="country = 'NZ' AND view_index >= 0")
    assert row["upper"] - row["lower"] < 0.8 * (other["upper"] - other["lower"])


def test_equal_load_times_show_nothing_of_others_whatever_is_asked_of_them() -> None:
    alike = Site([[1_200] * (1 + number % 4) for number in range(300)], country=["NZ"] * 300)
    for measure in ("mean(loading_time_ms)", "total(loading_time_ms)", "p75(loading_time_ms)"):
        for where in (None, "country = 'NZ'"):
            row = asked(alike.sample(45), measure, where=where)
            assert (row["upper"], row["flag"] is not None) == (float("inf"), True)


def test_a_group_may_be_each_of_very_many_users() -> None:
    site = Site([[900]] * 30_000, user_id=list(range(30_000)))
    found = pf.estimate(site.sample(40), "total(loading_time_ms)", of="page_views", by="user_id", wide=True)
    assert len(found) == 40
    assert (found["upper"] == float("inf")).all()


def test_a_sample_that_looks_better_than_its_design_can_be_lacks_the_sessions_that_matter_most() -> None:
    # The design is worth 11 sessions; a sample without one of the crawlers looks like 120 equal ones.
    crawled = Site([[900 + number % 7] * 5 for number in range(1_000)] + [[200] * 200] * 20)
    samples = [crawled.sample(120, seed, "uniform") for seed in range(30)]
    found = [asked(sample, "mean(loading_time_ms)") for sample in samples]
    assert {row["flag"] for row in found if row["effective_sessions"] > 100} == {"wrong design"}
    even = Site([[900 + number % 7] * (1 + number % 3) for number in range(1_000)])
    assert {asked(even.sample(120, seed, "uniform"), "mean(loading_time_ms)")["flag"] for seed in range(30)} == {None}
