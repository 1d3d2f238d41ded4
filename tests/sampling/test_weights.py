"""Weights: how many sessions each sampled session represents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from support.populations import population, sample_of

import pulseframes as pf
from pulseframes.sampling.weights import weigh, worth

VIEWS = "page_view_count"


def weights_of(sample: pf.Sample, auxiliary: pl.Expr | None = None) -> pl.DataFrame:
    return weigh(sample.population, sample.members, auxiliary)


@settings(max_examples=25)
@given(
    calls=st.integers(5, 300),
    design=st.sampled_from(["uniform", "pageviews"]),
    strata=st.sampled_from([None, "platform_name", "country"]),
    lost=st.integers(0, 4),
)
def test_weights_meet_the_known_total_in_each_stratum(calls: int, design: str, strata: Any, lost: int) -> None:
    sample = sample_of(calls, design, strata=strata, lost=lost)
    for known in (pl.lit(1.0), pl.col(VIEWS)):
        weighed = weights_of(sample, known)
        assert (weighed["weight"] > 0).all()
        total = weighed.select((known * pl.col("weight")).sum()).item()
        assert total == pytest.approx(
            sample.population.select(known.sum() if known.meta.root_names() else pl.len()).item()
        )
    # Strata with too few answers are taken together; the others have their own totals.
    own = weighed.filter(pl.col("_group") == pl.col("stratum"))
    found = own.group_by("stratum").agg((pl.col(VIEWS) * pl.col("weight")).sum().alias("found"))
    totals = sample.population.group_by("stratum").agg(pl.col(VIEWS).sum().alias("known"))
    both = found.join(totals, on="stratum")
    assert both["found"].to_list() == pytest.approx(both["known"].to_list())


def test_a_uniform_weight_is_the_number_of_sessions_by_the_number_drawn() -> None:
    assert weights_of(sample_of(40, "uniform"), pl.lit(1.0))["weight"].unique().to_list() == [pytest.approx(2_000 / 40)]


def test_sessions_certain_to_be_drawn_represent_only_themselves() -> None:
    sample = sample_of(300)
    certain = sample.members.filter(pl.col("inclusion_probability") >= 1)["session_id"]
    assert 0 < len(certain) < 300
    weighed = weights_of(sample, pl.col(VIEWS)).filter(pl.col("session_id").is_in(certain.implode()))
    assert weighed["weight"].to_list() == pytest.approx([1.0] * len(certain))
    assert weighed["_fraction"].to_list() == [1.0] * len(certain)


def test_respondents_represent_those_without_details() -> None:
    whole, part = sample_of(100, "uniform"), sample_of(100, "uniform", lost=20)
    weighed = weights_of(part, pl.lit(1.0))
    assert len(weighed) == 80
    assert weighed["weight"].unique().to_list() == [pytest.approx(2_000 / 80)]
    assert weighed["_fraction"].unique().to_list() == [pytest.approx(0.05 * 0.8)]
    assert weights_of(whole, pl.lit(1.0))["_fraction"].unique().to_list() == [pytest.approx(0.05)]


def test_strata_with_fewer_than_two_respondents_are_pooled() -> None:
    sample = sample_of(30, "uniform", strata="country")
    weighed = weights_of(sample, pl.lit(1.0))
    counts = dict(weighed.group_by("stratum").len().iter_rows())
    lonely = [name for name, count in counts.items() if count == 1]
    assert len(lonely) > 1
    groups = weighed.filter(pl.col("stratum").is_in(lonely))["_group"].unique()
    assert len(groups) == 1
    assert weighed.group_by("_group").len()["len"].min() > 1
    assert weighed["weight"].sum() == pytest.approx(2_000)


def test_if_no_certain_session_responded_the_others_represent_them() -> None:
    sample = sample_of(300)
    certain = pl.col("inclusion_probability") >= 1
    silent = pf.Sample(sample.population, sample.members.with_columns(pl.col("responded") & ~certain), sample.details)
    weighed = weights_of(silent, pl.col(VIEWS))
    assert weighed.filter(certain).is_empty()
    assert weighed.select((pl.col(VIEWS) * pl.col("weight")).sum()).item() == pytest.approx(
        population().sessions[VIEWS].sum()
    )


def test_without_respondents_there_are_no_weights() -> None:
    assert weights_of(sample_of(20, lost=20)).is_empty()
    assert weights_of(sample_of(0)).is_empty()


def test_the_order_of_rows_makes_no_difference() -> None:
    sample = sample_of(50, strata="country")
    shuffled = pf.Sample(
        sample.population.sample(fraction=1, shuffle=True, seed=3), sample.members.reverse(), sample.details
    )
    ours, theirs = (weights_of(one).sort("session_id")["weight"].to_list() for one in (sample, shuffled))
    assert ours == pytest.approx(theirs)


def test_sessions_certain_to_be_drawn_make_the_others_worth_no_less() -> None:
    parts, random = np.array([500.0, 400.0, *[10.0] * 40]), np.array([False, False, *[True] * 40])
    assert worth(parts, random) == 40
    assert worth(parts, random | True) < 5
    assert worth(parts[2:], random[2:]) == pytest.approx(40)
    assert worth(parts[:2], random[:2]) == 2


def test_certain_sessions_that_stand_for_others_too_are_no_census_of_them() -> None:
    sample = sample_of(100, "uniform")
    drawn = pl.col("session_id").is_in(sample.members["session_id"].implode())
    chance = pl.when(drawn).then(1.0).otherwise(0.0).alias("inclusion_probability")  # the others settled after the draw
    population, members = sample.population.with_columns(chance), sample.members.with_columns(chance)
    weighed = weigh(population, members, pl.lit(1.0))
    assert weighed["weight"].sum() == pytest.approx(2_000)
    assert weighed["_fraction"].to_list() == [pytest.approx(0.05)] * 100
    found = pf.estimate(replace(sample, population=population, members=members), "p75(loading_time_ms)", wide=True)
    assert found["lower"].item() < found["estimate"].item() < found["upper"].item()
    assert not found["certified"].item()
