"""The quality of samples: bias, coverage and spread over many samples of a population with known true values.

Each sample is drawn from the simulator's 20,000 sessions with its own seed. For comparison, the newest sessions at a random moment
are estimated as if they were a random sample.

Usage: python benchmarks/sampling.py [SAMPLES]
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import cache
from multiprocessing import get_context
from random import Random
from typing import Final

import polars as pl

import pulseframes as pf
from pulseframes.simulator import Simulator

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
SESSIONS: Final = 20_000
SIZES: Final = (40, 120, 400)
METHODS: Final = ("pageviews", "uniform", "newest")

#: The measures: of page views and errors, then of sessions.
MEASURES: Final = {
    "mean(loading_time_ms)": "page_views",
    "mean(viewing_time_ms)": "page_views",
    "total(loading_time_ms)": "page_views",
    "share(loading_time_ms > 2000)": "page_views",
    "median(loading_time_ms)": "page_views",
    "p75(loading_time_ms)": "page_views",
    "p95(loading_time_ms)": "page_views",
    "count() of errors": "errors",
    "ratio(error_count, page_view_count)": "sessions",
    "share(satisfaction_rating = 'Poor')": "sessions",
    "share(satisfaction_rating = 'Excellent')": "sessions",
    "share(error_count > 0)": "sessions",
    "total(error_count)": "sessions",
}


@cache
def population() -> tuple[pl.DataFrame, pf.SessionFrames]:
    """Return the summaries of all ended sessions, and their details."""
    simulator = Simulator(sessions=SESSIONS, now=NOW, daily_limit=None)
    truth = simulator.truth()
    ended = truth["sessions"].filter(pl.col("status") != "active")
    items = (truth[name].join(ended, on="session_id", how="semi") for name in ("page_views", "errors"))
    summaries = simulator.summaries().join(ended, on="session_id", how="semi")
    return summaries, pf.SessionFrames(ended, *items)


def estimates_of(sample: pf.Sample) -> list[tuple[str, float, float, float]]:
    """Return each measure with its estimate and interval."""
    rows = []
    for level in dict.fromkeys(MEASURES.values()):
        names = [name for name, of in MEASURES.items() if of == level]
        estimates = pf.estimate(sample, [name.removesuffix(" of errors") for name in names], of=level, wide=True)
        rows += zip(names, *estimates.select("estimate", "lower", "upper"), strict=True)
    return rows


def draw(method: str, calls: int, seed: int) -> list[tuple[str, float, float, float]]:
    """Select N sessions by a method, and estimate."""
    sessions, details = population()
    if method == "newest":
        moment = Random(seed).uniform(0.05, 1.0)
        upto = sessions.head(max(calls, int(moment * len(sessions))))  # in order of time
        chosen = upto.tail(calls).select(
            "session_id",
            pl.lit("").alias("stratum"),
            pl.lit(1, pl.Int64).alias("size"),
            pl.lit(calls / len(sessions)).alias("inclusion_probability"),
        )
    else:
        chosen = pf.choose_details(sessions, calls, design=method, seed=seed)  # type: ignore[arg-type]  # one of METHODS
    ids = chosen["session_id"].implode()
    downloaded = pf.SessionFrames(
        *(frame.filter(pl.col("session_id").is_in(ids)) for frame in details.tables().values())
    )
    design = "uniform" if method == "newest" else method
    return estimates_of(pf.Sample.of_frames(sessions, chosen, downloaded, design=design))


def draws(method: str, calls: int, count: int) -> pl.DataFrame:
    """Draw many samples, on all cores."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:  # a fork would share polars' threads
        samples = pool.map(draw, [method] * count, [calls] * count, range(count), chunksize=20)
        rows = [row for sample in samples for row in sample]
    return pl.DataFrame(rows, schema=["measure", "estimate", "lower", "upper"], orient="row")


def summary(estimates: pl.DataFrame, truth: dict[str, float]) -> pl.DataFrame:
    """Return each measure's bias with its standard error, spread (root of the mean squared error), median half width and coverage."""
    true = pl.col("measure").replace_strict(truth, return_dtype=pl.Float64)
    off = (pl.col("estimate") - true) / true
    return estimates.group_by("measure", maintain_order=True).agg(
        off.mean().alias("bias"),
        (off.std() / pl.len().sqrt()).alias("bias_error"),
        (off**2).mean().sqrt().alias("spread"),
        ((pl.col("lower") <= true) & (pl.col("upper") >= true)).mean().alias("covers"),
        ((pl.col("upper") - pl.col("lower")) / 2 / true).median().alias("half_width"),
    )


def main(count: int) -> None:
    started = time.perf_counter()
    _, details = population()
    everything = pf.Sample.of_details(details)
    truth = {name: estimate for name, estimate, _, _ in estimates_of(everything)}
    spreads = {}
    print(f"{count} samples of {len(details.sessions)} sessions, {len(details.page_views)} page views")
    for calls in SIZES:
        for method in METHODS:
            quality = summary(draws(method, calls, count), truth)
            spreads[method, calls] = dict(quality.select("measure", "spread").iter_rows())
            print(
                f"\n{calls} details, {method}\n{'':42} {'truth':>14} {'bias':>8} {'its error':>9} {'spread':>8} {'half width':>10} "
                f"{'covers':>7}"
            )
            for row in quality.iter_rows(named=True):
                name = row["measure"]
                print(
                    f"{name:42} {truth[name]:14.4f} {row['bias']:8.2%} {row['bias_error']:9.2%} {row['spread']:8.2%} "
                    f"{row['half_width']:10.2%} {row['covers']:7.1%}",
                    flush=True,
                )
        # Errors narrow with the square root of the number of calls, so the calls needed are in proportion to squared errors.
        needs = (
            spreads["pageviews", calls]["mean(loading_time_ms)"] / spreads["uniform", calls]["mean(loading_time_ms)"]
        ) ** 2
        print(
            f"\n{calls} details: for the same error of the mean load time, pageviews needs {needs:.2f} of uniform's calls"
        )
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
