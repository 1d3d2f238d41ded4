"""Weights calibrated to the known totals of other columns."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from support.populations import population, sample_of

import pulseframes as pf
from pulseframes.sampling.calibration import calibrate_weights
from pulseframes.sampling.columns import AUXILIARY
from pulseframes.sampling.weights import weigh


def calibrated_to(sample: pf.Sample, *names: str) -> pl.DataFrame:
    one = pl.lit(1.0)
    weighed = weigh(sample.population, sample.members, one)
    return calibrate_weights(weighed, sample.population.with_columns(one.alias(AUXILIARY)), names)[0]


def test_calibrated_weights_meet_the_known_number_of_sessions_for_each_common_value() -> None:
    sample = sample_of(200, "uniform")
    weighed = calibrated_to(sample, "country", "platform_name")
    assert (weighed["weight"] > 0).all()
    assert weighed["weight"].sum() == pytest.approx(2_000)
    for name in ("country", "platform_name"):
        known = dict(sample.population.group_by(name).len().iter_rows())
        found = weighed.group_by(name).agg(pl.len(), pl.col("weight").sum()).filter(pl.col("len") >= 5)
        assert len(found) > 2
        assert dict(found.select(name, "weight").iter_rows()) == pytest.approx({one: known[one] for one in found[name]})


def test_values_of_fewer_than_five_sampled_sessions_are_merged() -> None:
    sample = sample_of(120, "uniform")
    weighed = calibrated_to(sample, "country")
    rare = weighed.group_by("country").len().filter(pl.col("len") < 5)["country"].to_list()
    assert len(rare) > 1
    common = weighed.group_by("country").len().filter(pl.col("len") >= 5)["country"].to_list()
    elsewhere = ~pl.col("country").is_in(common, nulls_equal=True)
    assert weighed.filter(elsewhere)["weight"].sum() == pytest.approx(sample.population.filter(elsewhere).height)


def test_a_numeric_column_meets_its_known_total_and_nulls_add_nothing() -> None:
    sample = sample_of(200, "uniform")
    assert sample.population["session_length_ms"].null_count() > 0
    weighed = calibrated_to(sample, "session_length_ms")
    total = weighed.select((pl.col("session_length_ms") * pl.col("weight")).sum()).item()
    assert total == pytest.approx(population().sessions["session_length_ms"].sum())


def test_a_constant_column_changes_nothing() -> None:
    sample = sample_of(60, "uniform")
    same = pf.Sample(
        *(frame.with_columns(country=pl.lit("NZ")) for frame in (sample.population, sample.members)), sample.details
    )
    assert calibrated_to(same, "country")["weight"].to_list() == pytest.approx([2_000 / 60] * 60)


def test_calibrated_weights_are_the_raking_solution() -> None:
    # The raking solution: log of the ratio of the weights is a sum of one term for each value.
    sample = sample_of(300, "uniform")
    weighed = calibrated_to(sample, "country", "platform_name")
    common = weighed.group_by("country").len().filter(pl.col("len") >= 5)["country"]
    ratios = (
        weighed.filter(pl.col("country").is_in(common.implode()))
        .group_by("country", "platform_name")
        .agg(pl.col("weight").log().first(), pl.col("weight").log().std().fill_null(0).alias("spread"))
    )
    assert ratios["spread"].max() == pytest.approx(0, abs=1e-9)
    table = ratios.pivot("platform_name", index="country", values="weight").drop_nulls()
    assert len(table) > 1
    apart = (table["Desktop"] - table["Mobile"]).to_numpy()
    assert np.ptp(apart) == pytest.approx(0, abs=1e-9)


def test_totals_that_no_weights_can_meet_raise() -> None:
    sample = sample_of(12, "uniform")
    few = pl.col("session_length_ms").clip(upper_bound=1)
    short = pf.Sample(sample.population, sample.members.with_columns(few), sample.details)
    with pytest.raises(
        pf.InvalidQuery, match="no weights of 12 sessions add up to the known totals of session_length_ms"
    ) as caught:
        calibrated_to(short, "session_length_ms")
    assert caught.value.argument == "calibrate"


def test_calibrating_to_a_correlated_column_narrows_the_interval() -> None:
    sample = sample_of(150, "uniform")
    plain, known = (
        pf.estimate(
            sample, "total(page_view_count)", where="satisfaction_rating IS NOT NULL", calibrate=names, wide=True
        )
        .select(pl.col("upper") - pl.col("lower"))
        .item()
        for names in ((), "page_view_count")
    )
    assert 0 < known < plain / 3
