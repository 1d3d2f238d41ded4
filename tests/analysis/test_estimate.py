"""estimate(): totals, means, ratios, shares and quantiles of all sessions, from a sample of details."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from support.populations import part_of, population, sample_of

import pulseframes as pf

#: What estimate() gives, after the columns of the groups.
COLUMNS = [
    "measure",
    "estimate",
    "standard_error",
    "lower",
    "upper",
    "sessions",
    "effective_sessions",
    "flag",
    "certified",
]

#: Measures of each kind, of sessions, of page views and of errors, that need details.
MEASURES = [
    "total(loading_time_ms)",
    "mean(loading_time_ms)",
    "mean(loading_time_ms - 1000)",
    "total(loading_time_ms > 2000)",
    "share(loading_time_ms > 2000)",
    "share(loading_time_ms > 0)",
    "share(page LIKE '%checkout%')",
    "ratio(loading_time_ms, viewing_time_ms)",
    "median(loading_time_ms)",
    "p5(loading_time_ms)",
    "p99.5(loading_time_ms)",
    "p75(-loading_time_ms)",
    "mean(error_count)",
    "ratio(error_count, page_view_count)",
    "share(satisfaction_rating = 'Poor')",
    "p90(error_count)",
    "total(title IS NOT NULL)",
]


def asked(source: Any, measure: str, **options: Any) -> dict[str, Any]:
    """The single row of an estimate without groups."""
    return pf.estimate(source, measure, **options, wide=True).row(0, named=True)


def truth(measure: str, **options: Any) -> Any:
    """The figure for the details of all sessions."""
    return asked(sample_of(2_000), measure, **options)["estimate"]


def edited(sample: pf.Sample, **views: pl.Expr) -> pf.Sample:
    """The same sample with other page views."""
    details = sample.details
    frames = pf.SessionFrames(details.sessions, details.page_views.with_columns(**views), details.errors)
    return pf.Sample(sample.population, sample.members, frames)


# What comes back


def test_the_frame_has_a_row_for_each_measure_in_their_order() -> None:
    found = pf.estimate(sample_of(60), MEASURES, wide=True)
    assert found.columns == COLUMNS
    assert found["measure"].to_list() == MEASURES
    assert found.schema == {
        "measure": pl.String,
        "estimate": pl.Float64,
        "standard_error": pl.Float64,
        "lower": pl.Float64,
        "upper": pl.Float64,
        "sessions": pl.Int64,
        "effective_sessions": pl.Float64,
        "flag": pl.String,
        "certified": pl.Boolean,
    }


def test_measures_may_be_any_iterable() -> None:
    sample = sample_of(60)
    listed = pf.estimate(sample, MEASURES[:3], wide=True)
    for given_as in (
        tuple(MEASURES[:3]),
        iter(MEASURES[:3]),
        (text for text in MEASURES[:3]),
        dict.fromkeys(MEASURES[:3]),
    ):
        assert pf.estimate(sample, given_as, wide=True).equals(listed)


def test_measures_of_sessions_page_views_and_errors_are_asked_together() -> None:
    found = pf.estimate(sample_of(150), ["count()", "mean(loading_time_ms)", "total(group_id IS NOT NULL)"], wide=True)
    assert found["sessions"].to_list()[0] == 2_000
    assert found["sessions"].to_list()[1] == 150
    assert 0 < found["sessions"].to_list()[2] < 150


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("design", ["uniform", "pageviews"])
def test_a_census_is_exact(design: str, measure: str) -> None:
    found = asked(sample_of(2_000, design), measure)
    assert found["lower"] == found["estimate"] == found["upper"]
    assert found["standard_error"] == 0
    assert found["flag"] is None


def test_a_census_agrees_with_polars() -> None:
    census, views = sample_of(2_000), population().page_views
    times = views["loading_time_ms"]
    assert truth("total(loading_time_ms)") == times.sum()
    assert truth("mean(loading_time_ms)") == pytest.approx(times.mean())
    assert truth("share(loading_time_ms > 2000)") == pytest.approx((times > 2_000).mean())
    assert truth("p75(loading_time_ms)") == times.quantile(0.75, "equiprobable")
    assert truth("count()", of="errors") == len(population().errors)
    assert truth("sessions()", of="page_views") == views["session_id"].n_unique()
    by = pf.estimate(census, "mean(loading_time_ms)", by="country", wide=True)
    expected = (
        views.join(population().sessions, on="session_id").group_by("country").agg(pl.col("loading_time_ms").mean())
    )
    assert dict(by.select("country", "estimate").iter_rows()) == pytest.approx(dict(expected.iter_rows()))


@pytest.mark.parametrize(
    "measure", ["mean(loading_time_ms)", "total(loading_time_ms)", "share(loading_time_ms > 2000)", "mean(error_count)"]
)
@pytest.mark.parametrize("design", ["uniform", "pageviews"])
def test_over_many_seeds_estimates_are_near_the_truth_and_intervals_contain_it(design: str, measure: str) -> None:
    true = truth(measure)
    found = [asked(sample_of(150, design, seed=seed), measure) for seed in range(40)]
    spread = pl.Series([one["estimate"] for one in found])
    assert abs(float(spread.mean()) - true) < 3.5 * float(spread.std()) / math.sqrt(len(found))  # type: ignore[arg-type]  # a column of numbers or times
    assert sum(one["lower"] <= true <= one["upper"] for one in found) >= 34


def test_figures_of_summaries_need_no_sample_and_are_exact() -> None:
    sessions = population().sessions
    found = pf.estimate(
        sample_of(5), ["count()", "mean(session_length_ms)", "p75(session_length_ms)"], by="country", wide=True
    )
    assert found["standard_error"].unique().to_list() == [0.0]
    assert found["flag"].null_count() == len(found)
    counts = dict(found.filter(measure="count()").select("country", "estimate").iter_rows())
    assert counts == dict(sessions.group_by("country").len().iter_rows())
    assert asked(sample_of(5), "count()", where="country = 'NZ'")["estimate"] == sessions.filter(country="NZ").height


# Groups, conditions and tables


def test_each_value_has_an_estimate_and_null_is_a_value() -> None:
    sample = sample_of(400)
    found = pf.estimate(sample, "mean(loading_time_ms)", by="platform_name", wide=True)
    assert found.columns == ["platform_name", *COLUMNS]
    assert found["platform_name"].to_list() == [None, "Desktop", "Mobile", "Tablet"]
    assert found["sessions"].sum() <= 400
    mobile = asked(sample, "mean(loading_time_ms)", where="platform_name = 'Mobile'")
    assert found.row(2, named=True) == {"platform_name": "Mobile"} | mobile


def test_groups_are_columns_sql_or_expressions_of_any_type() -> None:
    sample = sample_of(100)
    day = pl.col("viewed_on").dt.truncate("1d").alias("day")
    found = pf.estimate(sample, "count()", by=["loading_time_ms > 2000", day, pl.lit("all").alias("what")], wide=True)
    assert found.schema["loading_time_ms > 2000"] == pl.Boolean
    assert found.schema["day"] == pl.Datetime("us", "UTC")
    assert found["what"].unique().to_list() == ["all"]
    assert found.filter(pl.col("day").is_not_null())["day"].min() >= datetime(2026, 10, 1, tzinfo=UTC)  # type: ignore[operator]  # a column of numbers or times
    totals = pf.estimate(sample, "count()", of="page_views", wide=True)["estimate"].item()
    assert found["estimate"].sum() == pytest.approx(totals)


def test_without_groups_the_estimate_is_of_the_whole() -> None:
    sample = sample_of(60)
    whole = pf.estimate(sample, "mean(loading_time_ms)", wide=True)
    assert pf.estimate(sample, "mean(loading_time_ms)", by=[], wide=True).equals(whole)


def test_a_condition_is_sql_or_an_expression() -> None:
    sample = sample_of(100)
    sql = pf.estimate(
        sample, "count()", of="page_views", where="loading_time_ms > 2000 AND country IN ('US', 'NZ')", wide=True
    )
    polars = pl.col("loading_time_ms").gt(2_000) & pl.col("country").is_in(["US", "NZ"])
    assert pf.estimate(sample, "count()", of="page_views", where=polars, wide=True).equals(sql)
    assert 0 < sql["sessions"].item() < 100


def test_of_chooses_what_is_counted() -> None:
    sample = sample_of(200)
    counts = {of: asked(sample, "count()", of=of)["estimate"] for of in ("sessions", "page_views", "errors")}
    assert counts["sessions"] == 2_000
    assert counts["page_views"] == pytest.approx(len(population().page_views), rel=0.01)
    assert 0 < counts["errors"] < counts["sessions"]


def test_sessions_are_counted_once_whatever_rows_they_have() -> None:
    sample = sample_of(200, "uniform")
    slow = {"where": "loading_time_ms > 2000"}
    assert (
        asked(sample, "sessions()", **slow)["estimate"] < asked(sample, "count()", of="page_views", **slow)["estimate"]
    )
    ids = sample.details.page_views.filter(pl.col("loading_time_ms") > 2_000)["session_id"].unique()
    assert asked(sample, "sessions()", **slow)["estimate"] == pytest.approx(len(ids) * 10)
    views = sample.details.sessions.filter(pl.col("session_id").is_in(ids.implode()))["page_view_count"].sum()
    whole = sample.details.sessions["page_view_count"].sum()
    known = sample.population["page_view_count"].sum()
    plain = asked(sample, "sessions(page_view_count)", **slow, calibrate=None)
    assert plain["estimate"] == pytest.approx(views / whole * known)


def test_a_window_function_over_a_session_is_allowed() -> None:
    sample = sample_of(100)
    slowest = pf.estimate(sample, "mean(MAX(loading_time_ms) OVER (PARTITION BY session_id))", wide=True)
    assert slowest["estimate"].item() > asked(sample, "mean(loading_time_ms)")["estimate"]


def test_page_templates_are_a_column_of_page_views() -> None:
    found = pf.estimate(sample_of(100), "count()", by="page_template", wide=True)
    assert 1 < len(found) < sample_of(100).details.page_views["page"].n_unique()
    assert found["estimate"].sum() == pytest.approx(asked(sample_of(100), "count()", of="page_views")["estimate"])


# Intervals


@settings(max_examples=40)
@given(
    calls=st.integers(0, 200),
    seed=st.integers(0, 50),
    design=st.sampled_from(["uniform", "pageviews"]),
    strata=st.sampled_from([None, "country"]),
    measure=st.sampled_from(MEASURES),
    confidence=st.sampled_from([0.5, 0.9, 0.95, 0.999]),
    by=st.sampled_from([None, "platform_name"]),
    lost=st.integers(0, 3),
)
def test_an_estimate_lies_within_its_interval(
    calls: int, seed: int, design: str, strata: Any, measure: str, confidence: float, by: Any, lost: int
) -> None:
    sample = sample_of(calls, design, seed=seed, strata=strata, lost=min(lost, calls))
    found = pf.estimate(sample, measure, by=by, confidence=confidence, wide=True)
    assert by is not None or len(found) == 1
    for row in found.iter_rows(named=True):
        if row["estimate"] is None:
            assert (row["lower"], row["upper"], row["flag"]) == (-math.inf, math.inf, "no sessions")
            continue
        rounding = 1e-9 * abs(row["estimate"])
        assert row["lower"] <= row["estimate"] + rounding
        assert row["estimate"] <= row["upper"] + rounding
        assert row["standard_error"] is None or row["standard_error"] >= 0
        assert 0 <= row["effective_sessions"] <= row["sessions"] + 1e-6
        assert row["sessions"] <= calls
        if math.isinf(row["upper"]) or row["sessions"] < 10:
            assert row["flag"] is not None


@pytest.mark.parametrize("measure", ["mean(loading_time_ms)", "share(loading_time_ms > 2000)", "p75(loading_time_ms)"])
def test_more_confidence_is_a_wider_interval(measure: str) -> None:
    sample = sample_of(100)
    found = [asked(sample, measure, confidence=confidence) for confidence in (0.5, 0.8, 0.95, 0.99)]
    widths = [one["upper"] - one["lower"] for one in found]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert len({one["estimate"] for one in found}) == 1


@pytest.mark.parametrize(
    "measure", ["mean(loading_time_ms)", "share(loading_time_ms > 2000)", "median(loading_time_ms)"]
)
def test_a_bigger_sample_mostly_has_a_narrower_interval(measure: str) -> None:
    widths = []
    for calls in (60, 240, 960):
        found = [asked(sample_of(calls, seed=seed), measure) for seed in range(12)]
        widths.append(statistics.median(one["upper"] - one["lower"] for one in found))
    assert widths[0] > 1.5 * widths[1] > 2.25 * widths[2]


def test_calibrated_estimates_differ_and_exact_ones_do_not() -> None:
    sample = sample_of(300, "uniform")
    asked_for = ["mean(loading_time_ms)", "count()"]
    plain, known = (
        pf.estimate(sample, asked_for, calibrate=names, wide=True) for names in ((), ["country", "platform_name"])
    )
    assert plain["estimate"][0] != known["estimate"][0]
    assert plain["estimate"][0] == pytest.approx(known["estimate"][0], rel=0.1)
    assert plain.row(1) == known.row(1)
    assert pf.estimate(sample, "mean(loading_time_ms)", calibrate=["country", "country"], wide=True).equals(
        pf.estimate(sample, "mean(loading_time_ms)", calibrate="country", wide=True)
    )


def test_unequal_weights_lower_the_effective_number_of_sessions() -> None:
    uniform, by_views = sample_of(100, "uniform"), sample_of(100, "pageviews")
    assert asked(uniform, "mean(error_count)")["effective_sessions"] == pytest.approx(100)
    assert asked(by_views, "mean(error_count)")["effective_sessions"] < 60
    assert asked(by_views, "mean(loading_time_ms)")["effective_sessions"] > 80


# Too little data


@pytest.mark.parametrize("measure", ["mean(loading_time_ms)", "total(loading_time_ms)", "median(loading_time_ms)"])
def test_one_session_shows_nothing_of_the_others(measure: str) -> None:
    found = asked(sample_of(1), measure)
    assert found["estimate"] > 0
    assert (found["standard_error"], found["lower"], found["upper"]) == (None, 0, math.inf)
    assert (found["sessions"], found["flag"]) == (1, "few sessions")


def test_one_session_shows_next_to_nothing_of_a_share() -> None:
    found = asked(sample_of(1), "share(loading_time_ms > 2000)")
    assert found["standard_error"] is None
    assert found["upper"] - found["lower"] > 0.9
    assert found["flag"] == "few sessions"


def test_without_variance_a_value_that_may_be_negative_has_no_lower_limit() -> None:
    found = asked(sample_of(1), "mean(loading_time_ms - 10000)")
    assert (found["lower"], found["upper"]) == (-math.inf, math.inf)


def test_sessions_that_are_all_alike_show_no_variance() -> None:
    same = edited(sample_of(60), loading_time_ms=pl.lit(500, pl.Int64))
    found = asked(same, "mean(loading_time_ms)")
    assert found["estimate"] == pytest.approx(500)
    assert (found["standard_error"], found["lower"], found["upper"], found["flag"]) == (None, 0, math.inf, "few cases")
    none = asked(same, "share(loading_time_ms > 2000)")
    assert (none["estimate"], none["standard_error"], none["lower"]) == (0, None, 0)
    assert 0.01 < none["upper"] < 0.2
    assert none["flag"] == "few cases"


@pytest.mark.parametrize("calls", [20, 60, 120])
@pytest.mark.parametrize("measure", ["p75(loading_time_ms)", "mean(loading_time_ms)", "share(loading_time_ms > 2000)"])
def test_few_sessions_are_fewer_than_10_or_too_few_for_a_limit(measure: str, calls: int) -> None:
    found = pf.estimate(sample_of(calls), measure, by="page_template", wide=True).filter(flag="few sessions")
    assert not found.is_empty()
    many = found.filter(pl.min_horizontal("sessions", "effective_sessions") >= 10)
    assert many["standard_error"].is_null().all()


def test_a_total_of_zero_in_the_sample_has_no_upper_limit() -> None:
    found = asked(sample_of(60), "total(loading_time_ms > 10000000)")
    assert (found["estimate"], found["upper"]) == (0, math.inf)
    assert found["flag"] == "few cases"
    nobody = asked(sample_of(60), "count()", of="page_views", where="country = 'XX'")
    assert (nobody["estimate"], nobody["upper"], nobody["flag"]) == (0, math.inf, "few sessions")


def test_certain_sessions_show_nothing_of_the_others() -> None:
    sessions = population().sessions.head(8).with_columns(pl.Series("page_view_count", [400] * 5 + [1] * 3))
    frames = part_of(pf.SessionFrames(sessions, population().page_views, population().errors), sessions["session_id"])
    found = asked(sample_of(6, frames=frames), "mean(loading_time_ms)")
    assert (found["standard_error"], found["upper"], found["flag"]) == (None, math.inf, "few sessions")


def test_a_number_of_sessions_never_exceeds_that_of_all() -> None:
    found = asked(sample_of(60, "uniform"), "sessions()", where="loading_time_ms > 0")
    assert found["estimate"] == pytest.approx(2_000)
    assert 1_800 < found["lower"] < 1_991 < found["upper"] <= 2_000.001
    assert found["flag"] == "few cases"
    nobody = asked(sample_of(60, "uniform"), "sessions()", where="loading_time_ms > 10000000")
    assert (nobody["estimate"], nobody["sessions"]) == (0, 0)
    assert 20 < nobody["upper"] < 400


def test_few_sessions_and_few_cases_are_flagged_and_many_are_not() -> None:
    assert asked(sample_of(8), "mean(loading_time_ms)")["flag"] == "few sessions"
    assert asked(sample_of(100), "mean(loading_time_ms)")["flag"] is None
    rare = asked(sample_of(100, "uniform"), "share(error_count > 0)")
    assert (rare["sessions"], rare["flag"]) == (100, "few cases")
    assert asked(sample_of(100, "uniform"), "total(error_count)")["flag"] == "few cases"
    assert asked(sample_of(100, "uniform"), "share(satisfaction_rating = 'Excellent')")["flag"] is None


@pytest.mark.parametrize("calls", [0, 20])
@pytest.mark.parametrize(
    "measure", ["mean(loading_time_ms)", "total(loading_time_ms)", "share(loading_time_ms > 1)", "p75(error_count)"]
)
def test_without_respondents_there_is_no_estimate(measure: str, calls: int) -> None:
    found = asked(sample_of(calls, lost=calls), measure)
    assert (found["estimate"], found["standard_error"]) == (None, None)
    assert (found["lower"], found["upper"]) == (-math.inf, math.inf)
    assert (found["sessions"], found["flag"]) == (0, "no sessions")


def test_no_row_at_all_gives_no_group() -> None:
    assert pf.estimate(
        sample_of(20), "mean(loading_time_ms)", by="country", where="country = 'XX'", wide=True
    ).is_empty()


def test_details_that_were_not_drawn_have_no_interval_but_a_flag() -> None:
    newest = part_of(population(), population().sessions["session_id"].tail(45))
    found = pf.estimate(
        pf.Sample.of_details(newest), ["mean(loading_time_ms)", "p75(loading_time_ms)", "count()"], wide=True
    )
    assert found["flag"].to_list() == ["not drawn"] * 3
    assert found["estimate"][0] == pytest.approx(newest.page_views["loading_time_ms"].mean())
    for column in ("standard_error", "lower", "upper"):
        assert found[column].null_count() == 3


def test_nonresponse_widens_the_interval() -> None:
    whole, part = (asked(sample_of(200, "uniform", lost=lost), "mean(loading_time_ms)") for lost in (0, 100))
    assert part["upper"] - part["lower"] > whole["upper"] - whole["lower"]


# What is so for all samples

SAMPLES = st.builds(
    sample_of,
    st.integers(15, 150),
    st.sampled_from(["uniform", "pageviews"]),
    seed=st.integers(0, 100),
    strata=st.sampled_from([None, "country"]),
)


@settings(max_examples=15)
@given(sample=SAMPLES, by=st.sampled_from([None, "platform_name"]))
def test_a_total_is_the_mean_times_the_count(sample: pf.Sample, by: Any) -> None:
    known = {"where": "loading_time_ms IS NOT NULL", "by": by}
    total, mean, count = (
        pf.estimate(sample, text, of="page_views", **known, calibrate=None, wide=True)["estimate"]
        for text in ("total(loading_time_ms)", "mean(loading_time_ms)", "count()")
    )
    assert total.to_list() == pytest.approx((mean * count).to_list())


@settings(max_examples=15)
@given(sample=SAMPLES, times=st.integers(1, 10_000))
def test_another_unit_scales_estimate_error_and_interval(sample: pf.Sample, times: int) -> None:
    for form in ("mean", "total", "p75", "median"):
        one, other = (asked(sample, f"{form}({text})") for text in ("loading_time_ms", f"loading_time_ms * {times}"))
        for name in ("estimate", "standard_error", "lower", "upper"):
            assert other[name] == (None if one[name] is None else pytest.approx(one[name] * times))
        assert (other["flag"], other["effective_sessions"]) == (one["flag"], pytest.approx(one["effective_sessions"]))


@settings(max_examples=15)
@given(sample=SAMPLES, limit=st.integers(100, 8_000))
def test_a_share_and_that_of_the_opposite_mirror_each_other(sample: pf.Sample, limit: int) -> None:
    one, other = (asked(sample, f"share({negated} loading_time_ms > {limit})") for negated in ("", "NOT"))
    assert one["estimate"] + other["estimate"] == pytest.approx(1)
    assert one["lower"] + other["upper"] == pytest.approx(1)
    assert one["upper"] + other["lower"] == pytest.approx(1)
    assert one["standard_error"] == pytest.approx(other["standard_error"], abs=1e-9)


@settings(max_examples=15)
@given(sample=SAMPLES, limit=st.integers(100, 8_000))
def test_a_share_is_the_mean_of_ones_and_zeros_and_a_ratio_of_counts(sample: pf.Sample, limit: int) -> None:
    case = f"CASE WHEN loading_time_ms > {limit} THEN 1 WHEN loading_time_ms <= {limit} THEN 0 END"
    share, mean, ratio = (
        asked(sample, text)
        for text in (
            f"share(loading_time_ms > {limit})",
            f"mean({case})",
            f"ratio({case}, loading_time_ms IS NOT NULL)",
        )
    )
    assert mean["estimate"] == pytest.approx(share["estimate"], abs=1e-12)
    assert ratio["estimate"] == pytest.approx(share["estimate"], abs=1e-12)
    assert mean["standard_error"] == (
        None if share["standard_error"] is None else pytest.approx(share["standard_error"])
    )


@settings(max_examples=15)
@given(sample=SAMPLES, cut=st.integers(100, 5_000))
def test_parts_add_up_to_the_whole(sample: pf.Sample, cut: int) -> None:
    parts = pf.estimate(sample, "total(loading_time_ms)", by=f"loading_time_ms > {cut}", wide=True)
    assert parts["estimate"].sum() == pytest.approx(asked(sample, "total(loading_time_ms)")["estimate"])


@settings(max_examples=15)
@given(sample=SAMPLES)
def test_higher_quantiles_are_higher(sample: pf.Sample) -> None:
    found = pf.estimate(sample, [f"p{number}(loading_time_ms)" for number in (1, 10, 25, 50, 75, 90, 99)], wide=True)
    # Limits need not be: of few sessions, more is known of the median than of a tail.
    assert found["estimate"].to_list() == sorted(found["estimate"].to_list())


def test_cases_in_certain_sessions_only_leave_the_others_unknown() -> None:
    sample = sample_of(300)
    sure = sample.members.filter(pl.col("inclusion_probability") >= 1)["session_id"]
    assert len(sure) > 10
    # An invented error in some of those, and in no other session that was drawn.
    errors = sample.details.errors.clear()
    some = pl.DataFrame({"session_id": sure.head(3), "error_index": [0, 0, 0]}, schema_overrides=errors.schema)
    errors = pl.concat([errors, some], how="diagonal")
    details = pf.SessionFrames(sample.details.sessions, sample.details.page_views, errors)
    found = asked(pf.Sample(sample.population, sample.members, details), "total(error_count)")
    assert (found["estimate"], found["lower"], found["standard_error"], found["flag"]) == (3, 3, None, "few cases")
    assert 6 < found["upper"] < math.inf


def test_one_session_shows_nothing_of_a_quantile() -> None:
    sample = sample_of(120)
    one = sample.details.sessions["session_id"][0]
    found = asked(sample, "median(loading_time_ms)", where=f"session_id = {one}")
    assert (found["standard_error"], found["lower"], found["upper"]) == (None, 0, math.inf)


def test_the_order_of_rows_makes_no_difference() -> None:
    sample = sample_of(80, strata="country")
    details = pf.SessionFrames(*(frame.reverse() for frame in sample.details.tables().values()))
    mixed = pf.Sample(sample.population.reverse(), sample.members.reverse(), details)
    measures = ["mean(loading_time_ms)", "total(error_count)", "share(loading_time_ms > 2000)", "p75(loading_time_ms)"]
    one, other = (pf.estimate(source, measures, wide=True) for source in (sample, mixed))
    for column in ("estimate", "standard_error", "lower", "upper"):
        assert other[column].to_list() == pytest.approx(one[column].to_list())


# Values


def test_nulls_are_ignored() -> None:
    sample = edited(sample_of(60), viewing_time_ms=pl.when(pl.col("view_index") > 0).then("viewing_time_ms"))
    first = asked(sample, "mean(loading_time_ms)", where="view_index > 0 AND viewing_time_ms IS NOT NULL")
    both = asked(sample, "ratio(loading_time_ms, viewing_time_ms / viewing_time_ms)")
    assert both["estimate"] == pytest.approx(first["estimate"])
    nothing = edited(sample_of(60), loading_time_ms=pl.lit(None, pl.Int64))
    found = asked(nothing, "mean(loading_time_ms)")
    assert (found["estimate"], found["sessions"], found["flag"]) == (None, 0, "no sessions")


def test_a_ratio_to_zero_is_null_and_flagged() -> None:
    for sample in (sample_of(60), sample_of(2_000)):
        found = asked(sample, "ratio(loading_time_ms, view_index < 0)")
        assert (found["estimate"], found["flag"]) == (None, "zero base")
        assert found["sessions"] > 0


@pytest.mark.parametrize(
    "measure",
    [
        "mean(loading_time_ms / 0)",
        "total(viewing_time_ms / view_index)",
        "mean(LN(view_index))",
        "p75(1.0E0 / view_index)",
    ],
)
@pytest.mark.parametrize("calls", [60, 2_000])
def test_infinite_values_and_nan_raise_with_a_remedy(measure: str, calls: int) -> None:
    with pytest.raises(pf.InvalidQuery, match="is infinite or not a number for [0-9]+ rows, .* NULLIF") as caught:
        pf.estimate(sample_of(calls), measure, wide=True)
    assert caught.value.argument == "measures"


def test_dividing_by_nullif_omits_these_rows() -> None:
    sample = sample_of(60)
    found = asked(sample, "mean(viewing_time_ms / NULLIF(view_index, 0))")
    assert found["estimate"] == asked(sample, "mean(viewing_time_ms / view_index)", where="view_index > 0")["estimate"]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"measures": "mean(CAST(page AS INTEGER))"}, "measures"),
        ({"where": "CAST(page AS INTEGER) > 1"}, "where"),
        ({"by": "CAST(page AS INTEGER)"}, "by"),
    ],
)
def test_a_message_about_values_does_not_show_them(options: dict[str, Any], argument: str) -> None:
    with pytest.raises(pf.InvalidQuery, match="cannot be computed for all rows. TRY_CAST") as caught:
        pf.estimate(sample_of(20), **({"measures": "mean(loading_time_ms)"} | options), wide=True)
    assert caught.value.argument == argument
    assert "shop.example" not in str(caught.value)


# Bad input


def of_others(options: dict[str, Any], argument: str) -> None:
    for calls in (60, 2_000):
        with pytest.raises(pf.InvalidQuery, match="depends on other sessions' rows") as caught:
            pf.estimate(
                sample_of(calls), **({"of": "page_views", "measures": "mean(loading_time_ms)"} | options), wide=True
            )
        assert caught.value.argument == argument


@pytest.mark.parametrize(
    "expression",
    [
        "MAX(loading_time_ms)",
        "loading_time_ms / AVG(loading_time_ms)",
        "FIRST(loading_time_ms)",
        "COUNT(*)",
        "ROW_NUMBER() OVER ()",
        "RANK() OVER (ORDER BY loading_time_ms)",
        "SUM(loading_time_ms) OVER (PARTITION BY country)",
    ],
)
def test_measures_and_groups_must_not_depend_on_other_sessions(expression: str) -> None:
    of_others({"measures": f"mean({expression})"}, "measures")
    of_others({"measures": f"ratio(loading_time_ms, {expression})"}, "measures")
    of_others({"by": expression}, "by")


@pytest.mark.parametrize(
    "condition",
    ["loading_time_ms > AVG(loading_time_ms)", "loading_time_ms = MAX(loading_time_ms)", "ROW_NUMBER() OVER () > 10"],
)
def test_conditions_must_not_depend_on_other_sessions(condition: str) -> None:
    of_others({"where": condition}, "where")


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"measures": []}, "measures", "measures is empty; pass one"),
        ({"measures": iter(())}, "measures", "measures is empty"),
        ({"measures": None}, "measures", "must be strings .* not NoneType"),
        ({"measures": 5}, "measures", "must be strings .* not int"),
        ({"measures": ["count()", 5]}, "measures", "Unknown measure 5"),
        ({"measures": "mean(nope)"}, "measures", "Unknown column 'nope'"),
        ({"measures": "mean(_owner)"}, "measures", "Unknown column '_owner'"),
        ({"measures": "mean(page)"}, "measures", "needs a number, not String"),
        ({"measures": "mean('seven')"}, "measures", "needs a number, not String"),
        ({"measures": "mean(viewed_on)"}, "measures", "needs a number, not Datetime"),
        ({"measures": "mean(NULL)"}, "measures", "needs a number, not Null"),
        ({"measures": "mean((SELECT 1))"}, "measures", "cannot be computed"),
        ({"measures": "mean(loading_time_ms + page)"}, "measures", "cannot be computed"),
        ({"measures": "ratio(loading_time_ms, page)"}, "measures", "needs a number to divide by"),
        ({"measures": "share(loading_time_ms)"}, "measures", "needs a condition, not Int64"),
        ({"measures": "sessions(loading_time_ms)"}, "measures", "needs a column of sessions"),
        ({"measures": "p100(loading_time_ms)"}, "measures", "Unknown measure"),
        ({"measures": "mean(loading_time_ms); DROP TABLE sessions"}, "measures", "Unknown measure"),
        ({"of": "sessions"}, "measures", "Unknown column 'loading_time_ms' of sessions"),
        ({"of": "views"}, "of", "must be one of sessions, page_views, errors, not 'views'"),
        ({"where": "loading_time_ms"}, "where", "is not a condition"),
        ({"where": "page"}, "where", "is not a condition"),
        ({"where": "1=1; DROP TABLE sessions"}, "where", "is not a SQL expression"),
        ({"where": "1=1 UNION SELECT 1"}, "where", "is not a SQL expression"),
        ({"where": ""}, "where", "is not a SQL expression"),
        ({"where": True}, "where", "must be SQL or a polars expression"),
        ({"where": "loading_time_ms > 'a'"}, "where", "cannot be computed"),
        ({"by": "nope"}, "by", "Unknown column 'nope'"),
        ({"where": 'country = "US"'}, "where", "Unknown column 'US' .*single quotes in SQL: 'US'"),
        ({"where": "title = 'x'", "of": "page_views"}, "where", "Unknown column 'title' of page_views"),
        ({"by": 5}, "by", "by must be .* not int"),
        ({"by": ["country", None]}, "by", "must be SQL or a polars expression"),
        ({"by": ["country", "country"]}, "by", "already has a column country"),
        ({"by": pl.col("country").alias("estimate")}, "by", "already has a column estimate"),
        ({"by": pl.col("country").alias("_owner")}, "by", "already has a column _owner"),
        ({"by": pl.all()}, "by", "several columns"),
        ({"by": pl.struct("country")}, "by", "several values per row"),
        ({"by": "country; DROP TABLE sessions"}, "by", "is not a SQL expression"),
        ({"calibrate": "nope"}, "calibrate", "Use one that a search fills"),
        ({"calibrate": "ip_city"}, "calibrate", "Use one that a search fills"),
        ({"calibrate": "session_id"}, "calibrate", "identifies people or single sessions"),
        ({"calibrate": "user_email_address"}, "calibrate", "identifies people or single sessions"),
        ({"calibrate": 5}, "calibrate", "must be column names,"),
        ({"confidence": 1}, "confidence", "between 0 and 1, such as 0.95, not 1"),
        ({"confidence": 95}, "confidence", "between 0 and 1, such as 0.95, not 95"),
        ({"confidence": 0.0}, "confidence", "between 0 and 1, such as 0.95, not 0.0"),
        ({"confidence": math.nan}, "confidence", "between 0 and 1, such as 0.95, not nan"),
        ({"confidence": "0.95"}, "confidence", "between 0 and 1, such as 0.95, not '0.95'"),
        ({"date_from": "2026-11-01"}, "source", "a Sample has its own window"),
        ({"source": 5}, "source", "source must be a Lake or its path, a Sample or SessionFrames, not int"),
        ({"source": pl.DataFrame()}, "source", "SessionFrames, not DataFrame"),
    ],
)
def test_invalid_arguments_are_explained(options: dict[str, Any], argument: str, message: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=message) as caught:
        pf.estimate(**({"source": sample_of(20), "measures": "mean(loading_time_ms)"} | options), wide=True)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"by": "DATE(session_start)"}, "by", r"'DATE\(session_start\)' .* \(session_start is a time\).* x::DATE"),
        ({"where": "DATE(viewed_on) > 1"}, "where", r"'DATE\(viewed_on\) > 1' .* \(viewed_on is a time\)"),
        ({"measures": "total(0.0/0.0)"}, "measures", r"'total\(0.0/0.0\)' cannot be computed: .*NULLIF\(x, 0\)"),
        ({"measures": "mean(page + 1)"}, "measures", r"\(page is String\).* TRY_CAST"),
        ({"by": pl.col("page") + pl.col("view_index")}, "by", r"col\(\"page\"\)"),
    ],
)
def test_mismatched_types_are_explained_in_our_words(options: dict[str, Any], argument: str, message: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=message) as caught:
        pf.estimate(sample_of(20), **({"measures": "mean(loading_time_ms)", "of": "page_views"} | options), wide=True)
    assert caught.value.argument == argument
    for theirs in ("occurred", "strptime", "decimal_div", "dtype"):
        assert theirs not in str(caught.value)


def test_days_are_groups() -> None:
    found = pf.estimate(sample_of(150), "mean(loading_time_ms)", by="session_start::date", wide=True)
    days = population().sessions["session_start"].dt.date()
    assert {*found["session_start::date"]} <= {*days}
    assert found.schema["session_start::date"] == pl.Date


def test_without_a_lake_there_is_a_lake_error(tmp_path: Any) -> None:
    with pytest.raises(pf.LakeError, match="No lake at"):
        pf.estimate(tmp_path / "none", "count()", wide=True)
