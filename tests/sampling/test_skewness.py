"""Limits of sums of skewed values: longer towards the long tail, where a sample without the rare large value would miss the truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, strategies as st

from pulseframes.sampling.columns import AUXILIARY, CELL, FRACTION, GROUP, WEIGHT
from pulseframes.sampling.inference import WeightedSample, skewed

TIMES = st.floats(1.9, 60.0)


@given(t=TIMES, skewness=st.floats(0.001, 1.0))
def test_the_long_tail_has_a_limit_one_to_two_times_as_far_and_the_other_a_nearer_one(
    t: float, skewness: float
) -> None:
    below, above = skewed(t, skewness)
    assert 0 < below < t <= above <= 2 * t
    assert skewed(t, -skewness) == (above, below)


@given(t=TIMES, skewness=st.floats(-1e-5, 1e-5))
def test_without_skewness_limits_are_students(t: float, skewness: float) -> None:
    assert skewed(t, skewness) == pytest.approx((t, t), rel=0.02)


def test_the_transformation_is_halls() -> None:
    # Hall (1992), On the removal of skewness by transformation: the limits x solve g(x) = -t and t, where, for the skewness of the
    # estimate s, g(x) = x + s x^2 / 3 + s^2 x^3 / 27 + s / 6.
    below, above = skewed(2.0, 0.2)
    for x, t in ((below, 2.0), (-above, -2.0)):
        assert x + 0.2 * x**2 / 3 + 0.04 * x**3 / 27 + 0.2 / 6 == pytest.approx(t)


def test_means_of_heavy_tails_are_covered_more_often_than_by_students_t() -> None:
    rng = np.random.default_rng(1)
    times = rng.random(10_000) ** (-1 / 1.5)  # a Pareto tail whose variance is not finite
    drawn = {WEIGHT: 250.0, FRACTION: 0.004, AUXILIARY: 1.0, GROUP: "", CELL: ""}
    sample, one = WeightedSample(pl.DataFrame({name: [value] * 40 for name, value in drawn.items()})), np.ones(40)
    found = [sample.mean(rng.choice(times, 40, replace=False), one, one) for _ in range(400)]
    true = times.mean()
    covered = sum(one.lower <= true <= one.upper for one in found) / len(found)
    # With Student's limits, 80% here.
    assert covered > 0.87
    assert all(one.estimate - one.lower < one.upper - one.estimate for one in found)
