"""The analysis of a sample: intervals that cover the truth, and exact figures of summaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from support.analysis_lakes import BEGIN, END, ended, lake_of, summaries
from support.populations import part_of, sample_of

import pulseframes as pf
from pulseframes.fetch.draw import SampleDraw
from pulseframes.windows import Window

Ask = Callable[[pf.Sample], pl.DataFrame]

#: Five samples of 250 of the 2,000 sessions; of their intervals nearly all cover what the whole population says.
SEEDS = range(1, 6)
CALLS = 250
#: Of 95 % intervals, those of rare pages and small groups cover somewhat less.
COVERED = 0.85


@cache
def samples(design: str) -> list[pf.Sample]:
    return [sample_of(CALLS, design, frames=ended(), seed=seed) for seed in SEEDS]


@cache
def census() -> pf.Sample:
    """All sessions, certain to be drawn."""
    everyone = sample_of(len(ended().sessions), "uniform", frames=ended())
    assert everyone.is_census
    return everyone


def covered(ask: Ask, keys: Sequence[str], figures: Sequence[str], design: str) -> pl.DataFrame:
    """For each figure of each row and sample: whether its interval contains the truth, and is finite."""
    truth = ask(census())
    found = []
    for sample in samples(design):
        both = ask(sample).join(truth, on=keys, suffix="_true", nulls_equal=True) if keys else None
        both = (
            pl.concat([ask(sample), truth.select(pl.all().name.suffix("_true"))], how="horizontal")
            if both is None
            else both
        )
        for name in figures:
            low, high, true = pl.col(f"{name}_lower"), pl.col(f"{name}_upper"), pl.col(f"{name}_true")
            inside = ((low - 1e-9 <= true) & (true <= high + 1e-9)).alias("inside")
            found.append(
                both.filter(true.is_not_null()).select(
                    pl.lit(name).alias("figure"), inside, high.is_finite().alias("ends")
                )
            )
    return pl.concat(found)


@pytest.mark.parametrize("design", ["pageviews", "uniform"])
@pytest.mark.parametrize(
    ("ask", "keys", "figures"),
    [
        (
            lambda sample: pf.page_speed(sample, wide=True),
            ["page_template"],
            ["views", "p50_ms", "p75_ms", "p95_ms", "viewing_ms"],
        ),
        (lambda sample: pf.page_speed(sample, by="country", wide=True), ["country"], ["views", "p50_ms", "p75_ms"]),
        (lambda sample: pf.apdex(sample, by="platform_name", wide=True), ["platform_name"], ["views", "apdex"]),
        (lambda sample: pf.apdex(sample, wide=True), [], ["views", "apdex"]),
        (lambda sample: pf.satisfaction(sample, every="1w", wide=True), ["period", "satisfaction_rating"], ["share"]),
        (
            lambda sample: pf.error_impact(sample, wide=True),
            ["group_id"],
            ["sessions_affected", "share_of_sessions", "errors", "page_views_affected"],
        ),
        (lambda sample: pf.landings(sample, wide=True), ["page_template"], ["entries", "bounce_rate"]),
        (lambda sample: pf.paths(sample, wide=True), ["from_page", "to_page"], ["times"]),
    ],
    ids=["speed", "speed by country", "apdex by platform", "apdex", "satisfaction", "errors", "landings", "paths"],
)
def test_nearly_all_intervals_of_a_sample_cover_the_true_values(
    ask: Ask, keys: list[str], figures: list[str], design: str
) -> None:
    found = covered(ask, keys, figures, design)
    assert len(found) >= 10
    assert found["inside"].mean() >= COVERED, found.group_by("figure").agg(pl.col("inside").mean(), pl.len())
    assert found["ends"].mean() > 0.5, "most say more than nothing"


def test_the_intervals_narrow_with_more_details() -> None:
    def width(calls: int) -> float:
        row = pf.apdex(sample_of(calls, frames=ended()), wide=True).row(0, named=True)
        return float(row["apdex_upper"] - row["apdex_lower"])

    assert width(60) > width(240) > width(960) > 0


def test_the_difference_of_two_segments_is_within_its_interval() -> None:
    segments = ["country = 'US'", "country IN ('IN', 'BR', 'ZA')"]
    measures = ["mean(loading_time_ms)", "share(loading_time_ms > 2000)", "share(satisfaction_rating = 'Poor')"]

    def ask(sample: pf.Sample) -> pl.DataFrame:
        return pf.compare(sample, measures, segments=segments, wide=True)

    found = covered(ask, ["measure"], ["difference", "first", "second"], "pageviews")
    assert found["inside"].mean() >= COVERED
    assert ask(sample_of(1_200, frames=ended()))["differs"].to_list() == [True, True, False]


def test_figures_of_summaries_are_exact_in_a_sample_too() -> None:
    sample = samples("pageviews")[0]
    found = pf.compare(sample, "count()", segments=["country = 'US'", "country = 'NZ'"], wide=True).row(0, named=True)
    countries = ended().sessions["country"]
    assert found["first"] == found["first_lower"] == found["first_upper"] == (countries == "US").sum()
    assert found["sessions_second"] == found["second"] == (countries == "NZ").sum()
    exact = pf.traffic(ended(), every="1w")
    assert_frame_equal(pf.traffic(sample, every="1w").drop("page_views"), exact.drop("page_views"))


def test_figures_have_their_number_of_sessions_and_a_flag_if_they_are_few() -> None:
    sample = samples("pageviews")[0]
    found = pf.page_speed(sample, by="country")
    drawn = (
        sample.details.sessions.join(sample.details.page_views, on="session_id")
        .group_by("country")
        .agg(pl.col("session_id").n_unique().cast(pl.Int64).alias("drawn"))
    )
    both = found.join(drawn, on="country", nulls_equal=True)
    assert len(both) == len(found)
    assert both["sessions"].to_list() == both["drawn"].to_list()
    assert set(both.filter(pl.col("sessions") < 10)["flag"]) == {"few sessions"}


def test_shares_are_between_0_and_1() -> None:
    for sample in samples("uniform"):
        impact = pf.error_impact(sample)
        for name in ("share_of_sessions", "share_of_sessions_lower", "share_of_sessions_upper"):
            assert impact[name].is_between(0, 1).all()
        shares = pf.satisfaction(sample, every="1w", wide=True)
        totals: Any = shares.group_by("period").agg(pl.col("share").sum())["share"]
        assert totals.is_close(1.0).all()


def test_a_lake_with_a_sample_gives_the_figures_of_the_sample(tmp_path: Path) -> None:
    lake = pf.Lake(tmp_path / "lake")
    lake.write(summaries(), fetched_at=END)
    chosen = pf.choose_details(summaries(), CALLS, seed=1)["session_id"]
    lake_of(part_of(ended(), chosen), tmp_path / "lake")
    with lake.locked():
        SampleDraw(lake, pf.Design("pageviews", 1), Window(BEGIN, END)).record()
    sample = sample_of(CALLS, frames=ended())
    for ask in (pf.page_speed, pf.apdex, pf.satisfaction, pf.error_impact, pf.paths, pf.landings):
        found = ask(str(tmp_path / "lake"))  # type: ignore[operator]  # each is a function of a source
        assert_frame_equal(found, ask(sample), check_row_order=False)  # type: ignore[operator]  # as above
    found = pf.features(tmp_path / "lake")
    assert_frame_equal(found, pf.features(sample), categorical_as_str=True)
    windows = [("2026-10-25", "2026-11-06"), ("2026-11-06", "2026-11-18")]
    row = pf.compare(lake, "mean(loading_time_ms)", windows=windows, wide=True).row(0, named=True)
    assert row["difference_lower"] < row["difference"] < row["difference_upper"]
    assert row["sessions_first"] + row["sessions_second"] <= CALLS
