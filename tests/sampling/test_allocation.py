"""Strata and shares that are chosen for a question."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import product
from typing import Any

import polars as pl
import pytest
from hypothesis import given, strategies as st
from support.populations import part_of, population

import pulseframes as pf
from pulseframes.sampling.allocation import _shares
from pulseframes.sampling.design import BOTS, OTHERS, stratum_of

BY_COUNTRY = "p75(loading_time_ms) by country"
GROUPS = st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.3, 3)), min_size=1, max_size=12)


def variances(groups: list[tuple[float, float]], shares: list[float]) -> tuple[float, float]:
    """Return the variance of the figure for all, and the mean of the groups' relative variances."""
    of_groups = [spread**2 / share for (_, spread), share in zip(groups, shares, strict=True)]
    return sum(size**2 * one for (size, _), one in zip(groups, of_groups, strict=True)), sum(of_groups) / len(groups)


def with_rest(groups: list[tuple[float, float]], rest: float) -> tuple[list[tuple[float, float]], list[float]]:
    """Return groups of relative sizes, the others last, and the shares of all."""
    total = sum(size for size, _ in groups) / (1 - rest)
    sized = [(size / total, spread) for size, spread in groups]
    shares = _shares(sized, rest)
    return [*sized, (rest, 1.0)], [*shares, 1 - math.fsum(shares)]


@given(groups=GROUPS, rest=st.floats(0.01, 0.5))
def test_the_whole_loses_at_most_a_tenth_of_its_precision_and_groups_are_as_precise_as_that_allows(
    groups: list[tuple[float, float]], rest: float
) -> None:
    sized, shares = with_rest(groups, rest)
    assert min(shares) > 0
    best = [size * spread for size, spread in sized]
    neyman = [one / math.fsum(best) for one in best]
    least = variances(sized, neyman)[0]
    whole = variances(sized, shares)[0]
    assert whole <= 1.15 * least * 1.01  # the shares are rounded
    assert shares[-1] >= rest / 1.15 - 0.001
    named = slice(0, len(groups))
    mean = variances(sized[named], shares[named])[1]
    for power in (0.0, 0.25, 0.5, 0.75, 1.0):  # of the groups' sizes, with the same share for the others
        parts = [spread * size**power for size, spread in sized[named]]
        other = [part / math.fsum(parts) * (1 - shares[-1]) for part in parts]
        if variances(sized, [*other, shares[-1]])[0] <= 1.15 * least:
            assert mean <= variances(sized[named], other)[1] * 1.01


def test_a_small_group_gets_more_than_its_part_and_a_varied_one_more_than_another() -> None:
    alike = _shares([(0.5, 1.0), (0.3, 1.0), (0.1, 1.0), (0.09, 1.0)], 0.01)
    assert alike[3] > 0.15
    assert alike[0] < 0.5
    varied = _shares([(0.5, 1.0), (0.3, 1.0), (0.1, 1.0), (0.09, 2.0)], 0.01)
    assert varied[3] > 1.4 * alike[3]


@pytest.mark.parametrize("kind", ["pageviews", "uniform"])
def test_rare_groups_share_a_stratum_and_bots_keep_theirs(kind: Any) -> None:
    sessions = population().sessions
    design = pf.Design(kind, for_question=BY_COUNTRY).allocated(sessions)
    assert design.allocation is not None
    strata = sessions.select(stratum_of(pl.col("page_view_count"), design).alias("stratum"), "country")
    bots = {BOTS} if kind == "pageviews" and (sessions["page_view_count"] >= 500).any() else set()
    assert set(strata["stratum"]) == {*design.allocation, OTHERS, *bots}
    others = strata.filter(stratum=OTHERS)
    assert len(others) < 0.02 * len(sessions)
    assert min(design.allocation.values()) > 0.01
    elsewhere = sessions.head(1).select(pl.col("page_view_count"), pl.lit("XX").alias("country"))
    assert elsewhere.select(stratum_of(pl.col("page_view_count"), design)).item() in (OTHERS, BOTS)


def test_at_most_twelve_groups_are_strata() -> None:
    design = pf.Design(for_question="mean(loading_time_ms) by country, browser_name").allocated(population().sessions)
    assert design.strata == ("country", "browser_name")
    assert design.allocation is not None
    assert len(design.allocation) == 12
    assert all(", " in name for name in design.allocation)


def test_a_question_by_a_column_whose_values_are_all_rare_is_refused() -> None:
    each = pl.col("session_id").cast(pl.String).alias("os_version")
    sessions = population().sessions.with_columns(each, pl.lit(2, pl.Int64).alias("page_view_count"))
    with pytest.raises(pf.InvalidQuery, match="no value of os_version has 1% of all sessions") as caught:
        pf.Design(for_question="mean(loading_time_ms) by os_version").allocated(sessions)
    assert caught.value.argument == "for_question"


def test_if_all_sessions_are_bots_they_are_drawn_alike() -> None:
    sessions = population().sessions.with_columns(pl.lit(800, pl.Int64).alias("page_view_count"))
    design = pf.Design(for_question="mean(loading_time_ms) by country")
    assert design.allocated(sessions).allocation == {}
    drawn = pf.choose_details(sessions, 20, design=design)
    assert drawn["inclusion_probability"].n_unique() == 1
    assert pf.Design(for_question=BY_COUNTRY).allocated(sessions.head(0)).allocation is None


@pytest.mark.parametrize(
    "measure",
    ["p75(loading_time_ms)", "mean(loading_time_ms)", "total(loading_time_ms)", "median(loading_time_ms)"],
)
def test_details_that_differ_more_in_a_group_give_it_more_of_the_sample(measure: str) -> None:
    frames = population()
    sessions = frames.sessions
    design = pf.Design(for_question=f"{measure} by platform_name")
    ids = sessions.filter(pl.col("platform_name") == "Mobile")["session_id"].implode()
    loads = pl.col("loading_time_ms")
    spread_out = (
        pl.when(pl.col("session_id").is_in(ids) & (pl.col("session_id") % 2 == 0)).then(loads * 8).otherwise(loads)
    )
    wild = pf.SessionFrames(sessions, frames.page_views.with_columns(spread_out), frames.errors)
    plain, varied, unknown = (design.allocated(sessions, earlier).allocation for earlier in (frames, wild, None))
    assert plain is not None
    assert varied is not None
    assert varied["Mobile"] > 1.15 * plain["Mobile"]
    few = part_of(wild, sessions["session_id"].head(3))
    assert design.allocated(sessions, few).allocation == pytest.approx(unknown, rel=0.35)  # too few to show much


@pytest.mark.parametrize(
    "question",
    [
        "share(satisfaction_rating = 'Poor') by country",
        "sessions(error_count) by country",
        "ratio(error_count, page_view_count) by country",
        "count() by os_name",
        "total(group_id > 5) BY os_name,country",
        "share(page_template = '/checkout') by country",
        "mean(max(loading_time_ms) OVER (PARTITION BY session_id)) by country",
    ],
)
@pytest.mark.parametrize("earlier", [None, 0, 1, 40])
def test_any_question_of_estimate_gives_shares(question: str, earlier: int | None) -> None:
    frames = population()
    details = None if earlier is None else part_of(frames, frames.sessions["session_id"].head(earlier))
    design = pf.Design(for_question=question).allocated(frames.sessions, details)
    assert design.allocation
    assert 0.3 < sum(design.allocation.values()) < 1


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (5, "for_question must be a measure and the columns to group it by, such as 'p75(loading_time_ms) by country', not 5"),
        ("p75(loading_time_ms)", "and the columns to group it by"),
        ("p75(loading_time_ms) by ", "Unknown column ''"),
        ("avg(loading_time_ms) by country", "Unknown measure 'avg(loading_time_ms)'. Did you mean mean(loading_time_ms)?"),
        ("p75(load_time) by country", "Unknown column 'load_time'"),
        ("p75(country) by country", "'p75(country)' needs a number, not String"),
        ("p75(loading_time_ms) by page_template", "Unknown column 'page_template'"),
        ("p75(loading_time_ms) by satisfaction_rating", "Unknown column 'satisfaction_rating'"),
        ("p75(loading_time_ms) by country, user_email_address", "user_email_address identifies people"),
        ("p75(loading_time_ms) by session_start", "session_start has too many values"),
        ("p75(max(loading_time_ms)) by country", "depends on other sessions' rows"),
        ("p75(loading_time_ms / 0) by country", "is infinite or not a number"),
    ],
)  # fmt: skip
def test_an_invalid_question_is_refused_with_a_valid_example(question: Any, message: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=re.escape(message)) as caught:
        pf.Design(for_question=question)
    assert caught.value.argument == "for_question"
    assert "'p75(loading_time_ms) by country'" in str(caught.value)


def test_a_question_is_the_same_with_more_blanks() -> None:
    assert pf.Design(for_question=" p75(loading_time_ms)  BY  country ") == pf.Design(for_question=BY_COUNTRY)


@pytest.mark.parametrize("column", ["session_id", "country", "page_view_count"])
def test_earlier_details_without_a_column_are_refused(column: str) -> None:
    earlier = replace(population(), sessions=population().sessions.drop(column))
    with pytest.raises(pf.InvalidQuery, match=f"earlier: sessions has no column {column}") as caught:
        pf.Design(for_question=BY_COUNTRY).allocated(population().sessions, earlier)
    assert caught.value.argument == "earlier"


def test_strata_besides_those_of_the_question_are_refused() -> None:
    with pytest.raises(pf.InvalidQuery, match="the strata are those of for_question, country. Omit one") as caught:
        pf.Design(strata=("os_name",), for_question=BY_COUNTRY)
    assert caught.value.argument == "strata"
    with pytest.raises(pf.InvalidQuery, match="earlier must be what session_details"):
        pf.Design(for_question=BY_COUNTRY).allocated(population().sessions, population().sessions)  # type: ignore[arg-type]  # refused


@pytest.mark.parametrize("more", [{"strata": "country"}, {"allocation": {"NZ": 0.5}}, {"seed": 4}, {"bot_share": 0.5}])
def test_a_design_has_its_own_strata_shares_and_seed(more: dict[str, Any]) -> None:
    with pytest.raises(pf.InvalidQuery, match="a Design has its own") as caught:
        pf.choose_details(population().sessions, 5, design=pf.Design(), **more)
    assert [caught.value.argument] == [*more]


def test_an_allocated_choice_grows_as_sessions_do() -> None:
    frames = population()
    week = frames.sessions.head(1_500)
    design = pf.Design(for_question=BY_COUNTRY, seed=5).allocated(week, part_of(frames, week["session_id"].head(40)))
    today = pf.choose_details(week, 45, design=design)["session_id"]
    later = pf.choose_details(week, 45, design=design, detailed=today)
    assert later["session_id"].to_list() == pf.choose_details(week, 90, design=design)["session_id"].to_list()
    more = pf.choose_details(frames.sessions, 45, design=design, detailed=today)
    sample = pf.Sample.of_frames(frames.sessions, more, part_of(frames, more["session_id"]), design=design)
    assert (
        sample.population["stratum"].n_unique()
        == sample.population["stratum"].unique().is_in([*(design.allocation or {}), OTHERS, BOTS]).sum()
    )


def test_a_question_by_country_has_smaller_errors_by_country_and_hardly_larger_ones_for_all() -> None:
    sessions = population().sessions
    loads = population().page_views.group_by("session_id").agg(pl.col("loading_time_ms").sum(), pl.len().alias("views"))
    loads = loads.join(sessions.select("session_id", pl.col("country").fill_null("null")), on="session_id")

    def means(weighted: pl.DataFrame) -> pl.DataFrame:
        mean = (pl.col("loading_time_ms") / pl.col("chance")).sum() / (pl.col("views") / pl.col("chance")).sum()
        by_country = weighted.group_by("country").agg(mean.alias("mean"))
        return pl.concat([by_country, weighted.select(pl.lit("all").alias("country"), mean.alias("mean")).head(1)])

    truth = means(loads.with_columns(chance=1.0))
    errors = []
    for name, seed in product((None, "mean(loading_time_ms) by country"), range(50)):
        chosen = pf.choose_details(sessions, 90, design=pf.Design(seed=seed, for_question=name))
        found = means(loads.join(chosen.select("session_id", chance="inclusion_probability"), on="session_id"))
        off = (pl.col("mean") / pl.col("mean_right") - 1) ** 2
        errors.append(
            found.join(truth, on="country").select(
                "country", off.alias("square"), for_question=pl.lit(name is not None)
            )
        )
    error = pl.col("square").mean().sqrt()
    spread = {
        whole: pl.concat(errors)
        .filter((pl.col("country") == "all") == whole)
        .group_by("for_question")
        .agg(error)
        .sort("for_question")
        for whole in (False, True)
    }
    by_country, overall = (spread[whole]["square"].to_list() for whole in (False, True))
    assert by_country[1] < 0.8 * by_country[0]
    assert overall[1] < 1.1 * overall[0]
