"""The estimators against svy, and against published figures.

svy follows R's survey package; what it says is worked out here, beside what pulseframes says. The
two agree wherever both mean the same. Where they differ, they are meant to:

- A session that was drawn with a chance of its own has a finite-population correction of its own here; svy has one a stratum. They
  agree where the chance is the same within a stratum, or next to nothing.
- Weights are scaled to the known number of sessions, or of page views. svy says the same after ``calibrate()`` to these.
- The total of a group that every summary knows, such as a country, is its mean times its known number of sessions or page views.
- Intervals take their degrees of freedom from how evenly sessions share in the variance; svy from the number of sessions. So
  estimates and standard errors are compared, and Wilson's interval where all sessions have equal shares.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
import svy
from support.populations import part_of, population, sample_of

import pulseframes as pf
from pulseframes.sampling.inference import WeightedSample
from pulseframes.sampling.weights import weigh
from pulseframes.tables import ERRORS, PAGE_VIEWS

#: How far estimates and standard errors may be apart, as a share of themselves.
CLOSE = 1e-9

VIEWS = "page_view_count"


def estimated(sample: pf.Sample, measures: str | list[str], **asked: Any) -> pl.DataFrame:
    """Estimate as svy does, which predicts no load times."""
    return pf.estimate(sample, measures, wide=True, **{"calibrate": None} | asked)


def agrees(found: pl.DataFrame, expected: Any, *, by: str | None = None, times: float = 1.0) -> None:
    """Check estimates and standard errors against those of svy, group by group, times a known number."""
    theirs = expected.to_polars()
    if by is not None:
        found, theirs = (frame.sort(pl.col(by).cast(pl.String)) for frame in (found, theirs))
        assert found[by].cast(pl.String).to_list() == theirs[by].cast(pl.String).to_list()
    assert len(theirs) > 0
    assert found["estimate"].to_list() == pytest.approx((theirs["est"] * times).to_list(), rel=CLOSE)
    assert found["standard_error"].to_list() == pytest.approx((theirs["se"] * times).to_list(), rel=CLOSE)


def sessions_of(sample: pf.Sample) -> pl.DataFrame:
    """The sessions that responded, one row each, with design weight, stratum and the stratum's size."""
    errors = sample.details.errors.group_by("session_id").agg(pl.len().cast(pl.Int64).alias("error_count"))
    sizes = sample.population.group_by("stratum").len("in_stratum")
    design = sample.members.select("session_id", "stratum", (1 / pl.col("inclusion_probability")).alias("weight"))
    return (
        sample.details.sessions.join(errors, on="session_id", how="left")
        .with_columns(pl.col("error_count").fill_null(0), pl.col(VIEWS).alias("size"))
        .join(design, on="session_id")
        .join(sizes, on="stratum")
    )


def views_of(sample: pf.Sample) -> pl.DataFrame:
    """Their page views, one row each, with the session's columns; a session without any has a row of nulls, so that svy counts it."""
    return sessions_of(sample).join(sample.details.page_views, on="session_id", how="left")


def surveyed(rows: pl.DataFrame, **design: Any) -> svy.Sample:
    """Sessions, or their page views, as svy's clusters of a sample without replacement."""
    return svy.Sample(rows, svy.Design(**{"psu": "session_id", "wgt": "weight", "pop_size": "in_stratum"} | design))


# Simple random samples of sessions


def test_totals_means_and_ratios_of_a_simple_random_sample_are_svys() -> None:
    sample = sample_of(150, "uniform")
    known = sessions_of(sample).filter(pl.col(VIEWS).is_not_null())
    theirs = surveyed(known).estimation
    agrees(estimated(sample, "total(error_count)"), theirs.total("error_count"))
    agrees(estimated(sample, "mean(error_count)"), theirs.mean("error_count"))
    agrees(estimated(sample, f"ratio(error_count, {VIEWS})"), theirs.ratio("error_count", VIEWS))


def test_a_share_of_a_simple_random_sample_is_svys_with_its_wilson_interval() -> None:
    sample = sample_of(40, "uniform", seed=2)
    rows = sessions_of(sample).filter(pl.col("satisfaction_rating").is_not_null())
    assert len(rows) == 40
    rows = rows.with_columns((pl.col("satisfaction_rating") == "Excellent").cast(pl.Int64).alias("case"))
    found = estimated(sample, "share(satisfaction_rating = 'Excellent')").row(0, named=True)
    expected = surveyed(rows).estimation.prop("case", ci_method="wilson").to_polars().filter(pl.col("case") == 1)
    for ours, its in {"estimate": "est", "standard_error": "se", "lower": "lci", "upper": "uci"}.items():
        assert found[ours] == pytest.approx(expected[its].item(), rel=CLOSE)


def test_estimates_for_parts_of_a_simple_random_sample_are_svys_domains() -> None:
    sample = sample_of(300, "uniform")
    theirs = surveyed(sessions_of(sample)).estimation
    for country in ("US", "GB"):
        where = svy.col("country") == country
        asked = {"where": f"country = '{country}'"}
        mean, known = theirs.mean("error_count", where=where), sample.population.filter(country=country).height
        agrees(estimated(sample, "mean(error_count)", **asked), mean)
        agrees(estimated(sample, "total(error_count)", **asked), mean, times=known)


def test_nulls_are_ignored_as_svy_drops_them() -> None:
    sample = sample_of(400, "uniform", seed=3)
    assert sample.details.page_views["loading_time_ms"].null_count() > 0
    theirs = surveyed(views_of(sample)).estimation
    agrees(estimated(sample, "mean(loading_time_ms)"), theirs.mean("loading_time_ms", drop_nulls=True))


def test_nonresponse_is_adjusted_for_as_in_svy() -> None:
    sample = sample_of(200, "uniform", lost=30)
    drawn = sample.members.select(
        "session_id",
        pl.when("responded").then(pl.lit("rr")).otherwise(pl.lit("nr")).alias("resp"),
        (1 / pl.col("inclusion_probability")).alias("weight"),
        pl.lit(len(sample.population)).alias("in_stratum"),
    ).join(sessions_of(sample).select("session_id", "error_count"), on="session_id", how="left")
    assert drawn["resp"].value_counts(sort=True)["count"].to_list() == [170, 30]
    theirs = surveyed(drawn, psu=None).weighting.adjust("resp").estimation
    agrees(estimated(sample, "total(error_count)"), theirs.total("error_count"))
    agrees(estimated(sample, "mean(error_count)"), theirs.mean("error_count"))


# Stratified samples


def test_a_stratified_sample_is_svys_with_a_correction_for_each_stratum() -> None:
    sample = sample_of(300, "uniform", strata="platform_name")
    rows = sessions_of(sample)
    assert rows["stratum"].n_unique() == 4
    theirs = surveyed(rows, stratum="stratum").estimation
    agrees(estimated(sample, "total(error_count)"), theirs.total("error_count"))
    agrees(estimated(sample, "mean(error_count)"), theirs.mean("error_count"))
    mean = theirs.mean("error_count", where=svy.col("country") == "US")
    american = {"where": "country = 'US'"}
    agrees(estimated(sample, "mean(error_count)", **american), mean)
    known = sample.population.filter(country="US").height
    agrees(estimated(sample, "total(error_count)", **american), mean, times=known)


# Clusters: sessions are drawn, page views are asked about


def test_means_ratios_and_shares_of_page_views_are_svys_with_sessions_as_clusters() -> None:
    sample = sample_of(150, "uniform", seed=4)
    rows = views_of(sample).with_columns(slow=(pl.col("loading_time_ms") > 2_000).cast(pl.Int64))
    theirs, nulls = surveyed(rows).estimation, {"drop_nulls": True}
    agrees(estimated(sample, "mean(loading_time_ms)"), theirs.mean("loading_time_ms", **nulls))
    agrees(estimated(sample, "share(loading_time_ms > 2000)"), theirs.mean("slow", **nulls))
    times = ("loading_time_ms", "viewing_time_ms")
    agrees(estimated(sample, f"ratio({', '.join(times)})"), theirs.ratio(*times, **nulls))
    by = {"by": "satisfaction_rating"}
    found = estimated(sample, "mean(loading_time_ms)", **by).drop_nulls("satisfaction_rating")
    agrees(found, theirs.mean("loading_time_ms", **by, **nulls), **by)


def test_a_total_of_page_views_is_svys_ratio_to_all_page_views_times_their_known_number() -> None:
    sample = sample_of(200, "uniform", seed=5)
    times = sample.details.page_views.group_by("session_id").agg(pl.col("loading_time_ms").sum())
    rows = (
        sessions_of(sample)
        .join(times, on="session_id", how="left")
        .with_columns(pl.col("loading_time_ms").fill_null(0))
    )
    expected = surveyed(rows).estimation.ratio("loading_time_ms", "size").to_polars()
    found = estimated(sample, "total(loading_time_ms)").row(0, named=True)
    known = sample.population[VIEWS].sum()
    assert found["estimate"] == pytest.approx(known * expected["est"].item(), rel=CLOSE)
    assert found["standard_error"] == pytest.approx(known * expected["se"].item(), rel=CLOSE)


def test_a_total_of_page_views_of_a_stratified_sample_is_the_sum_of_svys_ratios_by_stratum() -> None:
    sample = sample_of(300, "uniform", strata="platform_name")
    times = sample.details.page_views.group_by("session_id").agg(pl.col("loading_time_ms").sum())
    rows = (
        sessions_of(sample)
        .join(times, on="session_id", how="left")
        .with_columns(pl.col("loading_time_ms").fill_null(0))
    )
    ratios = surveyed(rows, stratum="stratum").estimation.ratio("loading_time_ms", "size", by="stratum").to_polars()
    known = ratios.join(sample.population.group_by("stratum").agg(pl.col(VIEWS).sum()), on="stratum")
    found = estimated(sample, "total(loading_time_ms)").row(0, named=True)
    assert found["estimate"] == pytest.approx((known["est"] * known[VIEWS]).sum(), rel=CLOSE)
    assert found["standard_error"] == pytest.approx(((known["se"] * known[VIEWS]) ** 2).sum() ** 0.5, rel=CLOSE)


@pytest.mark.parametrize("design", ["uniform", "pageviews"])
def test_quantiles_of_page_views_are_svys_by_the_same_weights(design: str) -> None:
    sample = sample_of(150, design)
    weights = weigh(sample.population, sample.members, pl.col(VIEWS)).select("session_id", "weight")
    rows = views_of(sample).drop("weight").join(weights, on="session_id").drop_nulls("loading_time_ms")
    probabilities = [0.05, 0.5, 0.75, 0.99]
    theirs = svy.Sample(rows, svy.Design(psu="session_id", wgt="weight")).estimation
    expected = theirs.quantile("loading_time_ms", p=probabilities, q_method="higher")
    found = estimated(sample, [f"p{100 * one:g}(loading_time_ms)" for one in probabilities])
    assert found["estimate"].to_list() == [one.to_polars()["est"].item() for one in expected]


# Unequal chances


def by_views() -> pf.SessionFrames:
    """Sessions with one to four page views, stratified by that number."""
    sessions = population().sessions.filter(pl.col(VIEWS).is_between(1, 4))
    frames = part_of(population(), sessions["session_id"])
    named = pl.col(VIEWS).cast(pl.String).alias("country")
    return pf.SessionFrames(frames.sessions.with_columns(named), frames.page_views, frames.errors)


def test_unequal_probabilities_agree_with_svy_if_each_stratum_has_one() -> None:
    sample = sample_of(250, "pageviews", frames=by_views(), strata="country")
    assert sample.members["inclusion_probability"].n_unique() == 4
    theirs, nulls = surveyed(views_of(sample), stratum="stratum").estimation, {"drop_nulls": True}
    agrees(estimated(sample, "mean(loading_time_ms)"), theirs.mean("loading_time_ms", **nulls))
    agrees(estimated(sample, "total(loading_time_ms)"), theirs.total("loading_time_ms", **nulls))
    asked, mobile = {"where": "platform_name = 'Mobile'"}, svy.col("platform_name") == "Mobile"
    agrees(
        estimated(sample, "mean(loading_time_ms)", **asked),
        theirs.mean("loading_time_ms", where=mobile, **nulls),
    )
    by_session = surveyed(sessions_of(sample), stratum="stratum").estimation
    agrees(estimated(sample, "mean(error_count)"), by_session.mean("error_count"))


def test_certain_sessions_are_a_complete_stratum_to_svy() -> None:
    frames = by_views()
    many = pl.col(VIEWS) == 4
    certain = frames.sessions.filter(many).height
    sessions = frames.sessions.with_columns(pl.when(many).then(400).otherwise(1).cast(pl.Int64).alias(VIEWS))
    sample = sample_of(certain + 25, frames=pf.SessionFrames(sessions, frames.page_views, frames.errors))
    chances = sample.members["inclusion_probability"].unique().sort().to_list()
    assert chances == [pytest.approx(25 / (len(sessions) - certain)), 1.0]
    rows = sessions_of(sample).with_columns(
        sure=(pl.col("size") > 1).cast(pl.Int64),
        in_stratum=pl.when(pl.col("size") > 1).then(certain).otherwise(len(sessions) - certain),
    )
    rows = rows.with_columns(good=(pl.col("satisfaction_rating") == "Good").cast(pl.Int64))
    expected = surveyed(rows, stratum="sure").estimation.mean("good", drop_nulls=True)
    agrees(estimated(sample, "share(satisfaction_rating = 'Good')"), expected)


def drawn_by_size(rows: pl.DataFrame, *, auxiliary: pl.Expr) -> WeightedSample:
    """Sessions drawn in proportion to their page views, from a population so large that each has a tiny probability."""
    everything = 10**15
    chance = len(rows) * pl.col("size") / everything
    members = rows.select(
        "session_id", pl.lit("").alias("stratum"), "size", VIEWS, responded=True, inclusion_probability=chance
    )
    population = pl.DataFrame(
        {"session_id": 0, "stratum": "", "size": everything, VIEWS: everything, "inclusion_probability": 0.5}
    )
    return WeightedSample(weigh(population, members, auxiliary))


def test_sessions_drawn_by_size_from_very_many_are_svys_drawn_with_replacement() -> None:
    rows = sessions_of(sample_of(120)).select("session_id", "size", "error_count", pl.col("size").alias(VIEWS))
    rows = rows.with_columns(weight=10**15 / (len(rows) * pl.col("size")), one=1)
    theirs = svy.Sample(rows, svy.Design(psu="session_id", wgt="weight")).estimation
    errors, size = rows["error_count"].to_numpy().astype(float), rows["size"].to_numpy().astype(float)
    one = size * 0 + 1

    by_views = drawn_by_size(rows, auxiliary=pl.col(VIEWS))
    by_number = drawn_by_size(rows, auxiliary=pl.lit(1.0))
    for ours, expected in (
        (by_views.total(errors, one), theirs.total("error_count")),
        (by_views.mean(errors, size, one), theirs.ratio("error_count", "size")),
        (by_number.mean(errors, one, one), theirs.mean("error_count")),
        (by_number.mean(errors, size, one), theirs.ratio("error_count", "size")),
    ):
        its = expected.to_polars()
        assert ours.estimate == pytest.approx(its["est"].item(), rel=CLOSE)
        assert ours.standard_error == pytest.approx(its["se"].item(), rel=CLOSE)


# Calibrated weights


def known_of(sample: pf.Sample, *names: str) -> tuple[pl.DataFrame, dict[str, dict[str, float]]]:
    """The sampled sessions with values of fewer than five of them merged, and the population's numbers of each."""
    rows, population = sessions_of(sample), sample.population
    for name in names:
        common = rows.drop_nulls(name).group_by(name).len().filter(pl.col("len") >= 5)[name]
        kept = pl.when(pl.col(name).is_in(common.implode())).then(name).otherwise(pl.lit("other")).alias(name)
        rows, population = rows.with_columns(kept), population.with_columns(kept)
    return rows, {name: dict(population.group_by(name).agg(pl.len().cast(pl.Float64)).iter_rows()) for name in names}


def test_weights_calibrated_to_one_column_are_svys_poststratified_ones() -> None:
    sample = sample_of(200, "uniform", seed=5)
    rows, known = known_of(sample, "platform_name")
    theirs = surveyed(rows).weighting.poststratify(known["platform_name"], cells="platform_name").estimation
    asked = {"calibrate": "platform_name"}
    agrees(estimated(sample, "total(error_count)", **asked), theirs.total("error_count"))
    agrees(estimated(sample, "mean(error_count)", **asked), theirs.mean("error_count"))
    agrees(estimated(sample, f"ratio(error_count, {VIEWS})", **asked), theirs.ratio("error_count", VIEWS))


def test_weights_calibrated_to_two_columns_are_svys_raked_ones() -> None:
    sample = sample_of(200, "uniform", seed=5)
    names = ["platform_name", "country"]
    rows, known = known_of(sample, *names)
    raked = surveyed(rows).weighting.rake(controls=known, tol=1e-13, max_iter=10_000).estimation
    expected = raked.total("error_count").to_polars()
    found = estimated(sample, "total(error_count)", calibrate=names)
    assert found["estimate"].item() == pytest.approx(expected["est"].item(), rel=CLOSE)
    # Residuals here are from the regression by the calibrated weights, as Deville and Särndal (1992) have it; svy's, as R's, are
    # by the weights before. With more sessions the two come together.
    assert found["standard_error"].item() == pytest.approx(expected["se"].item(), rel=0.01)


# Published figures


def by_hand(strata: dict[str, int], values: dict[str, list[float]]) -> pf.Sample:
    """A uniform sample of sessions with one page view, whose loading time is ten times the value given."""
    count = sum(strata.values())
    sessions = (
        population()
        .sessions.head(count)
        .with_columns(
            pl.Series("country", [name for name, size in strata.items() for _ in range(size)]),
            pl.lit(1, pl.Int64).alias(VIEWS),
            pl.lit("ended").alias("status"),
        )
    )
    drawn = pl.concat(
        sessions.filter(country=name)
        .head(len(given))
        .select(
            "session_id",
            pl.col("country").alias("stratum"),
            pl.lit(1, pl.Int64).alias("size"),
            pl.lit(len(given) / strata[name]).alias("inclusion_probability"),
            pl.Series("loading_time_ms", [round(10 * value) for value in given], dtype=pl.Int64),
        )
        for name, given in values.items()
    )
    views = drawn.select("session_id", "loading_time_ms", view_index=pl.lit(0, pl.Int64))
    page_views = pl.concat([PAGE_VIEWS.empty(), views], how="diagonal").select(*PAGE_VIEWS.schema)
    details = pf.SessionFrames(sessions.join(drawn, on="session_id", how="semi"), page_views, ERRORS.empty())
    return pf.Sample.of_frames(sessions, drawn, details, design=pf.Design("uniform", strata=("country",)))


def test_the_stratified_example_of_rs_survey_package_comes_out() -> None:
    # data(fpc) and its svymean(~x) with finite-population corrections, from the package's documentation:
    # https://r-survey.r-forge.r-project.org/pkgdown/docs/reference/fpc.html
    sample = by_hand({"1": 15, "2": 12}, {"1": [2.8, 4.1, 6.8, 6.8, 9.2], "2": [3.7, 6.6, 4.2]})
    found = estimated(sample, "mean(loading_time_ms / 10)").row(0, named=True)
    assert round(found["estimate"], 4) == 5.4481
    assert round(found["standard_error"], 3) == 0.616


def test_the_simple_random_sample_of_levy_and_lemeshow_comes_out_as_statas() -> None:
    # Levy and Lemeshow, Sampling of Populations, page 106, and Stata's svytotal of it, from UCLA's statistical consulting:
    # https://stats.oarc.ucla.edu/unlinked/how-do-i-analyze-survey-data-with-a-repeated-systematic-sample-design-3
    sample = by_hand({"NZ": 54}, {"NZ": [15, 13, 12, 10, 21, 10]})
    found = estimated(sample, "total(loading_time_ms / 10)").row(0, named=True)
    assert found["estimate"] == pytest.approx(729)
    assert found["standard_error"] == pytest.approx(85.94882, abs=5e-6)
