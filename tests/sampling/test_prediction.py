"""Load times predicted from summaries, and weights calibrated to the predictions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, strategies as st
from support.populations import part_of, population, sample_of
from support.small_sites import Site

import pulseframes as pf
from pulseframes.sampling import prediction
from pulseframes.sampling.calibration import calibrate_to_predictions
from pulseframes.sampling.columns import AUXILIARY, CELL, PREDICTION, VIEWS, WEIGHT
from pulseframes.sampling.prediction import PREDICTORS, learn
from pulseframes.sampling.weights import weigh
from pulseframes.simulator import Simulator

TIMES = ["mean(loading_time_ms)", "p75(loading_time_ms)", "share(loading_time_ms > 2000)"]


def summaries_and_times(sample: pf.Sample) -> tuple[pl.DataFrame, pl.DataFrame]:
    sessions = sample.details.sessions.select("session_id", pl.col("page_view_count").alias(VIEWS), *PREDICTORS)
    return sessions, sample.details.page_views


def half_width(estimates: pl.DataFrame) -> Any:
    return (estimates["upper"] - estimates["lower"]).to_numpy() / 2


@pytest.mark.parametrize("position", [0, 57, 119])
def test_a_session_is_predicted_by_a_model_that_learned_from_all_others(
    position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "_PENALTIES", (10.0,))
    monkeypatch.setattr(prediction, "_USEFUL", float("inf"))
    monkeypatch.setattr(prediction, "_terms", lambda _: [pl.col(VIEWS).log(), pl.col("country") == "US"])
    sessions, views = summaries_and_times(sample_of(120))
    whole = learn(sessions, views)
    left_out = whole.own["session_id"][position]  # type: ignore[union-attr]  # 120 are enough
    one, others = pl.col("session_id") == left_out, pl.col("session_id") != left_out
    rest = learn(sessions.filter(others), views.filter(others))
    logarithms = views.drop_nulls("loading_time_ms").with_columns(pl.col("loading_time_ms").clip(1).log())
    slowness = logarithms.group_by("session_id").agg(pl.col("loading_time_ms").mean())
    mean_of_all, mean_of_rest = (slowness.filter(those)["loading_time_ms"].mean() for those in (True, others))
    predicted = sessions.filter(one).select(rest.prediction).item()  # type: ignore[union-attr]  # 119 are enough
    expected = predicted + mean_of_rest - mean_of_all  # type: ignore[operator]  # there are load times
    assert whole.own.filter(one)[PREDICTION].item() == pytest.approx(expected)  # type: ignore[union-attr]  # as above


def test_calibrated_weights_have_the_populations_mean_prediction_and_keep_all_that_was_known() -> None:
    sample = sample_of(150, strata="platform_name")
    auxiliary = pl.col(VIEWS)
    population = sample.population.with_columns(auxiliary.cast(pl.Float64).alias(AUXILIARY))
    before = weigh(sample.population, sample.members, auxiliary)
    model = learn(before, sample.details.page_views)
    assert model is not None
    population = population.with_columns(model.prediction).update(model.own, on="session_id")
    predicted = before.join(population.select("session_id", PREDICTION), on="session_id", maintain_order="left")
    calibrated = calibrate_to_predictions(predicted, population)
    assert calibrated is not None
    after = calibrated[0]
    certain = pl.col("inclusion_probability") >= 1
    assert after.filter(certain)[WEIGHT].to_list() == pytest.approx(before.filter(certain)[WEIGHT].to_list())
    totals = [
        frame.group_by(CELL).agg((pl.col(WEIGHT) * pl.col(AUXILIARY)).sum()).sort(CELL) for frame in (before, after)
    ]
    assert totals[1][WEIGHT].to_list() == pytest.approx(totals[0][WEIGHT].to_list())
    mean = [
        frame.filter(~certain).select((pl.col(PREDICTION) * weight).sum() / weight.sum()).item()
        for frame, weight in ((after, pl.col(WEIGHT) * pl.col(AUXILIARY)), (population, pl.col(AUXILIARY)))
    ]
    assert mean[0] == pytest.approx(mean[1])
    assert after[WEIGHT].to_list() != pytest.approx(before[WEIGHT].to_list())


def test_load_times_have_narrower_intervals_with_enough_details_and_still_cover_the_truth() -> None:
    truth = pf.estimate(pf.Sample.of_details(population()), TIMES, wide=True)["estimate"].to_numpy()
    narrower, covered = [], []
    for seed in range(20):
        sample = sample_of(150, seed=seed)
        plain, calibrated = (pf.estimate(sample, TIMES, calibrate=to, wide=True) for to in (None, "auto"))
        narrower.append(half_width(calibrated) / half_width(plain))
        covered.append((calibrated["lower"].to_numpy() <= truth) & (truth <= calibrated["upper"].to_numpy()))
    assert np.median(narrower, axis=0).max() < 0.97
    assert np.mean(covered) > 0.9


def test_earlier_details_teach_what_a_small_sample_cannot() -> None:
    middle = datetime(2026, 11, 17, tzinfo=UTC)
    early, late = (
        part_of(population(), population().sessions.filter(those)["session_id"])
        for those in (pl.col("session_start") < middle, pl.col("session_start") >= middle)
    )
    before = part_of(early, early.sessions["session_id"].sample(300, seed=1))
    widths = []
    for seed in range(10):
        sample = sample_of(40, frames=late, seed=seed)
        assert pf.estimate(sample, TIMES).equals(pf.estimate(sample, TIMES, calibrate=None))  # 40 teach nothing
        widths.append(half_width(pf.estimate(replace(sample, earlier=before), TIMES, wide=True)))
        widths[-1] /= half_width(pf.estimate(sample, TIMES, wide=True))
    assert np.median(widths, axis=0)[0] < 0.95


def test_other_questions_are_not_calibrated_to_predicted_load_times() -> None:
    sample = sample_of(150)
    asked = ["mean(viewing_time_ms)", "share(satisfaction_rating = 'Poor')", "count()", "total(loading_time_ms)"]
    for by in (None, "country"):
        plain, default = (pf.estimate(sample, asked, by=by, of="page_views", calibrate=to) for to in (None, "auto"))
        assert default.equals(plain)


def test_a_sample_without_the_predictors_is_estimated_without_them() -> None:
    sample = sample_of(150)
    lacking = replace(sample, population=sample.population.drop("country"), members=sample.members.drop("country"))
    assert pf.estimate(lacking, TIMES).equals(pf.estimate(sample, TIMES, calibrate=None))


def test_if_summaries_predict_nothing_figures_stay_as_they_are() -> None:
    changed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        loads = [rng.lognormal(7, 0.5, 1 + rng.integers(3)).astype(int).tolist() for _ in range(400)]
        site = Site(loads, country=rng.choice(["NZ", "AU", "US"], 400).tolist())
        sample = site.sample(150, seed, "uniform")
        plain, default = (pf.estimate(sample, TIMES, calibrate=to, wide=True)["upper"] for to in (None, "auto"))
        changed += not default.equals(plain)
    assert changed <= 1


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("sessions", [pl.lit("x").alias("session_id")]),
        ("sessions", [pl.col("session_start").dt.replace_time_zone(None)]),
        ("page_views", [pl.col("loading_time_ms").cast(pl.String)]),
    ],
)
def test_earlier_details_with_other_types_are_refused(table: str, columns: list[pl.Expr]) -> None:
    sample, frames = sample_of(20), population()
    earlier = replace(frames, **{table: frames.tables()[table].with_columns(columns)})  # type: ignore[arg-type]  # a table
    with pytest.raises(pf.InvalidQuery, match=f"earlier: {table} has no column") as caught:
        pf.Sample.of_frames(
            frames.sessions,
            pf.choose_details(frames.sessions, 20, seed=1),
            sample.details,
            earlier=earlier,
        )
    assert caught.value.argument == "earlier"


def test_a_sample_whose_predictors_have_other_types_is_estimated_without_them() -> None:
    sample = sample_of(150)
    dates = pl.col("session_start").dt.date()
    other = replace(
        sample, population=sample.population.with_columns(dates), members=sample.members.with_columns(dates)
    )
    assert pf.estimate(other, TIMES).equals(pf.estimate(sample, TIMES, calibrate=None))


@pytest.mark.parametrize("given", [["auto", "country"], ["none"], [["country"]], [None]])
def test_what_to_calibrate_to_is_checked(given: Any) -> None:
    with pytest.raises(pf.InvalidQuery, match="calibrate: .* is not a column") as caught:
        pf.estimate(sample_of(20), TIMES, calibrate=given)
    assert caught.value.argument == "calibrate"


@pytest.mark.parametrize("more", [1.0, 1.5])
def test_details_that_count_more_page_views_than_summaries_bias_nothing(more: float) -> None:
    sessions = population().sessions
    told = (pl.col("page_view_count") / more).ceil().cast(pl.Int64)
    slow = pl.col("loading_time_ms") * (pl.len().over("session_id") ** 0.5)
    details = replace(population(), page_views=population().page_views.with_columns(slow.cast(pl.Int64)))
    truth = details.page_views["loading_time_ms"].mean()
    found = []
    for seed in range(10):
        summaries = sessions.with_columns(told)
        chosen = pf.choose_details(summaries, 300, seed=seed)
        sample = pf.Sample.of_frames(summaries, chosen, part_of(details, chosen["session_id"]))
        found.append(pf.estimate(sample, "mean(loading_time_ms)", wide=True)["estimate"].item())
    assert np.mean(found) == pytest.approx(truth, rel=0.03)


def test_summaries_that_name_platforms_otherwise_than_details_bias_nothing() -> None:
    truth = pf.estimate(population(), "mean(loading_time_ms)")["estimate"].item()
    found = []
    for seed in range(10):
        sample = sample_of(300, seed=seed)
        drawn = pl.col("session_id").is_in(sample.members["session_id"].implode())
        other = pl.when(drawn).then("platform_name").otherwise(pl.lit("Mobile")).alias("platform_name")
        named = replace(sample, population=sample.population.with_columns(other))
        found.append(pf.estimate(named, "mean(loading_time_ms)", wide=True)["estimate"].item())
    assert np.mean(found) == pytest.approx(truth, rel=0.03)


#: A session's country, length, page views as its summary reports them, and load times.
sessions = st.tuples(
    st.sampled_from([None, "US", "NZ", ""]),
    st.sampled_from([None, 0, 60_000, 2**62]),
    st.sampled_from([None, 0, 1, 7, 10**9]),
    st.lists(st.sampled_from([None, 0, 1, 1_500, 2**50]), max_size=3),
)


@given(drawn=st.lists(sessions, min_size=4, max_size=16), earlier=st.lists(sessions, max_size=6))
def test_whatever_summaries_and_load_times_are_estimates_are_numbers_within_their_intervals(
    drawn: list[Any], earlier: list[Any]
) -> None:
    now, before = (
        Site(
            [row[3] for row in rows],
            told=[row[2] for row in rows],
            country=[row[0] for row in rows],
            session_length_ms=[row[1] for row in rows],
        )
        for rows in (drawn, earlier)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "FEWEST", 2)
        found = pf.estimate(replace(now.sample(3), earlier=before.details), TIMES, wide=True).drop_nulls("estimate")
    assert found["estimate"].is_finite().all()
    assert (found["lower"] <= found["estimate"]).all()
    assert (found["estimate"] <= found["upper"]).all()


def test_a_lakes_estimates_learn_from_the_details_of_the_weeks_before(tmp_path: Path) -> None:
    simulator = Simulator(sessions=900, now=datetime(2026, 11, 16, tzinfo=UTC), daily_limit=None)
    lake = pf.Lake(tmp_path / "lake")
    with simulator.client() as client:
        pf.sync(lake, "2026-11-06", "2026-11-13", details=150, client=client)
        pf.sync(lake, "2026-11-13", "2026-11-16", details=40, client=client)
    window = {"date_from": "2026-11-13", "date_to": "2026-11-16"}
    sample = pf.Sample.of_lake(lake, **window)
    assert sample.earlier is not None
    assert len(sample.earlier.sessions) > 100
    assert sample.earlier.sessions["session_start"].max() < datetime(2026, 11, 13, tzinfo=UTC)  # type: ignore[operator]  # a time
    default, plain = (pf.estimate(lake, TIMES, calibrate=to, **window) for to in ("auto", None))
    assert not default.equals(plain)
    assert default.equals(pf.estimate(sample, TIMES))
