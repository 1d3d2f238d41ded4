"""Load times estimated with and without predictions from summaries: how much narrower intervals are, and what they cover.

Earlier details are those of 600 sessions of another week of the same population, by page views: two weeks of 45 a day.

Usage: python benchmarks/prediction.py [--only KIND ...] [--draws N]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from typing import Final

import polars as pl
import populations
import quality

import pulseframes as pf

SIZES: Final = (45, 135, 315)
EARLIER: Final = 600
MEASURES: Final = ("mean(loading_time_ms)", "p75(loading_time_ms)", "share(loading_time_ms > 2000)")
WAYS: Final = ("none", "own details", "earlier details")


@cache
def weeks(kind: str) -> tuple[tuple[pl.DataFrame, pf.SessionFrames], tuple[pl.DataFrame, pf.SessionFrames]]:
    """Return a week's summaries and details, and those of another one, whose sessions have other ids."""
    this, other = (
        quality.simulated(seed) if kind == quality.SIMULATOR else populations.make(kind, seed=seed)  # type: ignore[arg-type]  # a kind
        for seed in (1, 2)
    )
    frames = (frame.with_columns(pl.col("session_id") + 10**9) for frame in (other[0], *other[1].tables().values()))
    return this, (next(frames), pf.SessionFrames(*frames))


def samples(kind: str, calls: int, seed: int) -> Iterator[tuple[pf.Sample, str | None]]:
    """Draw a sample, and return it for each way, with what to calibrate to."""
    (summaries, details), (before, earlier) = weeks(kind)
    chosen = pf.choose_details(summaries, calls, seed=seed)
    gone = () if kind == quality.SIMULATOR else populations.lost(kind)  # type: ignore[arg-type]  # a kind
    sample = populations.received(summaries, details, chosen, "pageviews", gone)
    taught = populations.received(before, earlier, pf.choose_details(before, EARLIER, seed=seed), "pageviews")
    yield sample, None
    yield sample, "auto"
    yield replace(sample, earlier=taught.details), "auto"


def draw(kind: str, calls: int, seed: int) -> pl.DataFrame:
    found = [pf.estimate(sample, MEASURES, calibrate=to, wide=True) for sample, to in samples(kind, calls, seed)]
    return pl.concat(frame.with_columns(pl.lit(way).alias("way")) for way, frame in zip(WAYS, found, strict=True))


def quality_of(drawn: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Return, for each measure and way, the median half width, the root of the mean squared error, and the coverage."""
    true = pl.col("true")
    return (
        drawn.join(truth.select("measure", pl.col("estimate").alias("true")), on="measure", maintain_order="left")
        .group_by("measure", "way", maintain_order=True)
        .agg(
            ((pl.col("upper") - pl.col("lower")) / 2 / true).median().alias("half_width"),
            (((pl.col("estimate") - true) / true) ** 2).mean().sqrt().alias("error"),
            ((pl.col("lower") <= true) & (true <= pl.col("upper"))).mean().alias("covers"),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=quality.KINDS, default=quality.KINDS, metavar="KIND")
    parser.add_argument("--draws", type=int, default=200, help="samples of each population and size")
    options = parser.parse_args()
    kinds, count = options.only, options.draws
    os.environ["POLARS_MAX_THREADS"] = "1"  # of the processes; each has one core
    print(
        f"{count} samples of each; the ratios are to those without predictions; calls for the same width: their square"
    )
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:  # a fork would share polars' threads
        for kind, calls in product(kinds, SIZES):
            drawn = pl.concat(pool.map(partial(draw, kind, calls), range(count), chunksize=10))
            found = quality_of(drawn, populations.truth(weeks(kind)[0][1], MEASURES))
            for of_measure in found.partition_by("measure", maintain_order=True):
                none, *_ = of_measure.iter_rows(named=True)
                for row in of_measure.iter_rows(named=True):
                    width = row["half_width"] / none["half_width"]
                    print(
                        f"{kind:12} {calls:4} {row['measure']:30} {row['way']:15} half width {row['half_width']:6.1%} x{width:.2f}, "
                        f"calls x{width**2:.2f}, error x{row['error'] / none['error']:.2f}, covered {row['covers']:6.1%}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
