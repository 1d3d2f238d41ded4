"""Samples whose strata a question chose, against samples by page views alone: errors and coverage, by country and overall.

The error by country is the root of the mean squared relative error over countries and samples; samples without a session of a country
have no figure to compare. After earlier details, shares are also chosen by the first 45 sessions of the same seed, by page views alone.

Usage: python benchmarks/for_question.py [--only KIND ...] [--draws N]
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from typing import Final

import polars as pl
import populations
import quality

import pulseframes as pf

SIZES: Final = (45, 135, 315)
MEASURES: Final = ("p75(loading_time_ms)", "mean(loading_time_ms)")
QUESTION: Final = f"{MEASURES[0]} by country"
DESIGNS: Final = ("pageviews", "for question", "after 45")
EARLIER: Final = 45
KINDS: Final = (quality.SIMULATOR, "shop", "pareto")
ALL: Final = "all sessions"


@cache
def population(name: str) -> tuple[pl.DataFrame, pf.SessionFrames]:
    """Return the summaries and details of a population."""
    return quality.simulated(1) if name == quality.SIMULATOR else populations.make(name)  # type: ignore[arg-type]  # a kind


def figures(source: pf.Sample | pf.SessionFrames) -> pl.DataFrame:
    """Estimate the measures of all sessions, and by country."""
    whole, by_country = (pf.estimate(source, MEASURES, by=by, wide=True) for by in (None, "country"))
    found = pl.concat([whole.with_columns(pl.lit(ALL).alias("country")), by_country], how="diagonal")
    return found.drop_nulls(["country", "estimate"])


def draw(name: str, calls: int, design: str, seed: int) -> pl.DataFrame:
    """Choose sessions by a design, and estimate."""
    sessions, details = population(name)
    chosen_by = pf.Design(seed=seed)
    if design != "pageviews":
        first = pf.choose_details(sessions, EARLIER, seed=seed)
        earlier = populations.received(sessions, details, first, chosen_by).details if design == "after 45" else None
        chosen_by = pf.Design(seed=seed, for_question=QUESTION).allocated(sessions, earlier)
    chosen = pf.choose_details(sessions, calls, design=chosen_by)
    return figures(populations.received(sessions, details, chosen, chosen_by))


def quality_of(estimates: pl.DataFrame, truth: pl.DataFrame) -> dict[str, float]:
    """Return errors and coverage, overall and by country, and the share of countries with a figure."""
    true = pl.col("true")
    off, covers = (pl.col("estimate") - true) / true, (pl.col("lower") <= true) & (pl.col("upper") >= true)
    joined = estimates.join(truth.select("country", pl.col("estimate").alias("true")), on="country")
    found: dict[str, float] = {}
    for part, rows in (("overall", pl.col("country") == ALL), ("country", pl.col("country") != ALL)):
        by_country = joined.filter(rows).group_by("country").agg((off**2).mean().alias("squares"), covers.mean())
        found[part] = float(by_country.select(pl.col("squares").mean().sqrt()).item())
        found[f"{part} covered"] = float(joined.filter(rows).select(covers.mean()).item())
    unflagged = joined.filter(pl.col("country") != ALL, pl.col("flag").is_null())
    found["unflagged covered"] = float(unflagged.select(covers.mean()).item() or float("nan"))
    return found | {"unflagged": len(unflagged) / len(joined)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=quality.KINDS, default=KINDS, metavar="KIND")
    parser.add_argument("--draws", type=int, default=200, help="samples of each population, design and size")
    options = parser.parse_args()
    os.environ["POLARS_MAX_THREADS"] = "1"  # of the processes; each has one core
    names, samples = options.only, options.draws
    print(f"{samples} samples of each; errors, and their ratios to those by page views alone")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:  # a fork would share polars' threads
        for name, calls in product(names, SIZES):
            truth, alone = figures(population(name)[1]), dict[str, dict[str, float]]()
            for design, measure in product(DESIGNS, MEASURES):
                if measure == MEASURES[0]:
                    drawn = [*pool.map(partial(draw, name, calls, design), range(samples), chunksize=10)]
                    rows = pl.concat(drawn, how="diagonal")
                found = quality_of(rows.filter(measure=measure), truth.filter(measure=measure))
                before = alone.setdefault(measure, found)
                print(
                    f"{name:10} {measure:22} {calls:4} {design:13} overall {found['overall']:6.1%} x{found['overall'] / before['overall']:.2f}, "
                    f"covered {found['overall covered']:6.1%}; by country {found['country']:6.1%} x{found['country'] / before['country']:.2f}, "
                    f"covered {found['country covered']:6.1%}, {found['unflagged']:4.0%} unflagged: {found['unflagged covered']:6.1%}; "
                    f"with a figure {len(rows) / len(truth) / samples:4.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
