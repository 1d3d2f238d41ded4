"""Samples give unbiased estimates and honest intervals: a small part of benchmarks/sampling.py, with fixed seeds."""

from __future__ import annotations

import polars as pl
import pytest
from support.populations import population, sample_of

import pulseframes as pf

SAMPLES = 60
MEASURES = {
    "pageviews": ["mean(loading_time_ms)", "total(loading_time_ms)", "share(loading_time_ms > 2000)"],
    "uniform": ["mean(error_count)", "total(error_count)", "share(satisfaction_rating = 'Excellent')"],
}


@pytest.mark.parametrize("design", ["pageviews", "uniform"])
def test_estimates_are_right_on_average_and_their_intervals_cover_the_truth(design: str) -> None:
    measures = MEASURES[design]
    truth = pf.estimate(pf.Sample.of_details(population()), measures, wide=True).select("measure", truth="estimate")
    estimates = pl.concat(
        [pf.estimate(sample_of(120, design, seed=seed), measures, wide=True) for seed in range(SAMPLES)]
    )
    quality = (
        estimates.join(truth, on="measure")
        .group_by("measure", maintain_order=True)
        .agg(
            ((pl.col("estimate") - pl.col("truth")) / pl.col("truth")).mean().alias("bias"),
            ((pl.col("estimate") - pl.col("truth")) / pl.col("truth")).std().alias("spread"),
            pl.col("truth").is_between("lower", "upper").mean().alias("covers"),
        )
    )
    # What 60 samples can show: three standard errors of a mean, and of a share of 95%.
    assert quality.filter(pl.col("bias").abs() > 0.01 + 3 * pl.col("spread") / SAMPLES**0.5).is_empty(), quality
    assert quality["covers"].min() > 0.95 - 3 * (0.95 * 0.05 / SAMPLES) ** 0.5, quality


def test_page_views_need_fewer_calls_than_uniform_for_the_same_error_of_the_mean_load_time() -> None:
    mean = "mean(loading_time_ms)"
    truth = pf.estimate(pf.Sample.of_details(population()), mean, wide=True)["estimate"][0]
    errors = {
        design: [
            pf.estimate(sample_of(120, design, seed=seed), mean, wide=True)["estimate"][0] - truth for seed in range(40)
        ]
        for design in ("pageviews", "uniform")
    }
    squares = {design: sum(error**2 for error in errors_of) for design, errors_of in errors.items()}
    assert squares["pageviews"] < 0.75 * squares["uniform"]  # the calls needed are in proportion to squared errors
