"""The estimators against R's survey package: its figures are kept as data in ``survey_r``, with the scripts that made them.

Points agree to rounding. R's variance for unequal probabilities (``pps = "brewer"``) centres on the plain mean over sessions, and
pulseframes (Deville's form) on one weighted by the sessions' parts of the variance, so standard errors differ by a few per mille;
where all sessions of a stratum have the same probability, the two are the same.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import polars as pl
import pytest

import pulseframes as pf
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.columns import Table

HERE = Path(__file__).parent / "survey_r"
FIGURES = pl.read_csv(HERE / "figures.csv", schema_overrides={"standard_error": pl.Float64}).fill_null("")
DESIGNS = FIGURES["design"].unique(maintain_order=True).to_list()
POINT = 1e-9
#: Of standard errors: where all sessions of a stratum have one probability, and otherwise.
EQUAL, UNEQUAL = 1e-9, 8e-3


def read(name: str) -> pl.DataFrame:
    return pl.read_csv(HERE / name)


def filled(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as a table's frame, with null in the columns that they lack."""
    known = [pl.col(name).cast(table.schema[name]) for name in rows.columns if name in table.schema]
    return pl.concat([table.empty(), rows.select(known)], how="diagonal")


@cache
def sample(design: str) -> pf.Sample:
    """A sample of the data, of whose sessions some did not respond."""
    population = read("population.csv").with_columns(status=pl.lit("ended"))
    chosen = read("samples.csv").filter(design=design).with_columns(pl.col("stratum").fill_null(""))
    came = chosen.filter(responded=1).select("session_id")
    views = read("page_views.csv").with_columns(view_index=pl.int_range(pl.len()).over("session_id"))
    errors = (
        population.select("session_id", error_index=pl.int_ranges(pl.col("errors"))).explode("error_index").drop_nulls()
    )
    frames = (filled(SESSIONS, population), filled(PAGE_VIEWS, views), filled(ERRORS, errors))
    details = pf.SessionFrames(*(frame.join(came, on="session_id", how="semi") for frame in frames))
    strata = ("platform_name",) if chosen["stratum"].n_unique() > 1 else ()
    kind = "pageviews" if (chosen["size"] > 1).any() else "uniform"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pf.IncompleteWarning)  # about nonresponse
        return pf.Sample.of_frames(frames[0], chosen, details, design=pf.Design(kind, strata=strata, bot_share=None))


def beside(design: str, *, calibrate: str = "") -> pl.DataFrame:
    """R's figures of a design, each with ours."""
    theirs = FIGURES.filter(design=design, calibrate=calibrate)
    parts = []
    for (of, by), some in theirs.group_by("of", "by", maintain_order=True):
        measures = some["measure"].unique(maintain_order=True)
        asked = {"of": of, "by": by or None, "calibrate": calibrate.split()}
        ours = pf.estimate(sample(design), measures, **asked, wide=True)
        ours = ours.rename({by: "group"}) if by else ours.with_columns(group=pl.lit(""))
        parts.append(some.join(ours, on=["measure", "group"], suffix="_of_ours", how="left"))
    return pl.concat(parts)


def disagreeing(figures: pl.DataFrame, name: str, within: float) -> pl.DataFrame:
    """The figures whose point or standard error is further off than a share of R's."""
    off = (pl.col(f"{name}_of_ours") - pl.col(name)).abs() > within * pl.col(name).abs()
    return figures.filter(off.fill_null(value=True))


def test_ten_designs_are_compared() -> None:
    assert len(DESIGNS) == 10
    assert len(FIGURES) == 188


@pytest.mark.parametrize("design", DESIGNS)
def test_totals_means_ratios_shares_and_quantiles_are_rs(design: str) -> None:
    both = beside(design)
    assert disagreeing(both, "estimate", POINT).is_empty(), disagreeing(both, "estimate", POINT)


@pytest.mark.parametrize("design", DESIGNS)
def test_standard_errors_are_rs_to_a_few_per_mille(design: str) -> None:
    both = beside(design).drop_nulls("standard_error")  # R has none of quantiles here
    within = EQUAL if set(read("samples.csv").filter(design=design)["size"]) == {1} else UNEQUAL
    assert len(both) == 15
    assert disagreeing(both, "standard_error", within).is_empty(), disagreeing(both, "standard_error", within)


@pytest.mark.parametrize("margins", ["platform_name", "platform_name country"])
def test_calibrated_weights_are_rs_raked_ones(margins: str) -> None:
    both = beside("calibrated", calibrate=margins)
    assert len(both) == 4
    assert disagreeing(both, "estimate", POINT).is_empty(), both
    # Residuals here are from the regression by the calibrated weights, R's by the weights before.
    within = UNEQUAL if " " in margins else EQUAL
    assert disagreeing(both, "standard_error", within).is_empty(), both
