"""Measures the quality of estimates: many samples of populations with known true values, and what their intervals cover."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from random import Random
from typing import Any, Final, NamedTuple

import polars as pl
import populations
from sampling_table import frame_of

import pulseframes as pf
from pulseframes.analysis.answers import answers
from pulseframes.sampling.questions import Grouping, Level, Question, parse_measures
from pulseframes.simulator import Simulator

SIMULATOR: Final = "simulator"
KINDS: Final = (*populations.KINDS, SIMULATOR)
DESIGNS: Final = ("pageviews", "uniform")
#: The newest sessions at a random moment, as if they had been drawn: what sampling is there to avoid. From the simulator only.
NEWEST: Final = "newest"
DETAILS: Final = (20, 40, 120, 400)
#: Populations of each kind, each with its own seed; the draws are divided among them.
SEEDS: Final = 5
SESSIONS: Final = 8_000
PROCESSES: Final = 2
#: The lower ends of classes of figures, by how many sessions of equal weight they rest on.
CLASSES: Final = (10, 20, 40, 80, 160)


class Asked(NamedTuple):
    """Measures that are asked together."""

    level: Level
    by: str | None
    measures: tuple[str, ...]


ASKED: Final = (
    Asked(
        "page_views",
        None,
        (
            *("mean(loading_time_ms)", "total(loading_time_ms)", "share(loading_time_ms > 2000)"),
            *("p50(loading_time_ms)", "p75(loading_time_ms)", "p95(loading_time_ms)"),
            *("mean(viewing_time_ms)", "p50(viewing_time_ms)", "count()"),
        ),
    ),
    Asked("page_views", "country", ("mean(loading_time_ms)", "p75(loading_time_ms)", "total(loading_time_ms)")),
    Asked("page_views", "browser_name", ("mean(loading_time_ms)", "p75(loading_time_ms)")),
    Asked("page_views", "page", ("mean(loading_time_ms)", "p75(loading_time_ms)")),
    Asked("errors", None, ("count()", "sessions()")),
    Asked(
        "sessions",
        None,
        (
            *("share(satisfaction_rating = 'Poor')", "share(satisfaction_rating = 'Excellent')"),
            *("share(error_count > 0)", "total(error_count)", "mean(error_count)"),
        ),
    ),
    Asked("sessions", "country", ("share(satisfaction_rating = 'Poor')",)),
)


class Task(NamedTuple):
    """The samples of one population."""

    kind: str
    population: int
    seeds: range


@cache
def questions() -> tuple[list[Question], pl.DataFrame]:
    """Return all questions, and a row for each: ``question``, its number, ``measure``, ``of`` and ``by``."""
    asked = [
        (Question.of(measure, grouping, group.level), group)
        for group in ASKED
        for grouping in [Grouping.parse(group.by, None)]
        for measure in parse_measures(group.measures)
    ]
    named = [(number, one.measure.text, group.level, group.by or "") for number, (one, group) in enumerate(asked)]
    return [question for question, _ in asked], pl.DataFrame(
        named, schema=["question", "measure", "of", "by"], orient="row"
    )


def figures(sample: pf.Sample) -> pl.DataFrame:
    """Return the answers to all questions, by ``question`` and ``group``."""
    asked, names = questions()
    found = answers({False: sample, True: sample}, asked)
    return pl.concat(
        frame.select(
            pl.lit(number).alias("question"),
            (pl.col(by) if by else pl.lit("")).alias("group"),
            *("estimate", "lower", "upper", "effective_sessions", "flag", "certified"),
        )
        for number, (frame, by) in enumerate(zip(found, names["by"], strict=True))
    )


def simulated(seed: int) -> tuple[pl.DataFrame, pf.SessionFrames]:
    """Return the simulator's ended sessions: their summaries, and their details."""
    simulator = Simulator(sessions=SESSIONS, seed=seed, now=datetime(2026, 11, 20, 12, tzinfo=UTC), daily_limit=None)
    truth = simulator.truth()
    ended = truth["sessions"].filter(pl.col("status") != "active")
    items = (truth[name].join(ended, on="session_id", how="semi") for name in ("page_views", "errors"))
    summaries = simulator.summaries().join(ended, on="session_id", how="semi")
    return summaries, pf.SessionFrames(ended, *items)


def newest(summaries: pl.DataFrame, calls: int, seed: int) -> pl.DataFrame:
    """Return the newest sessions at a random moment, as if ``choose_details()`` had chosen them."""
    last = max(calls, int(Random(seed).uniform(0.05, 1.0) * len(summaries)))
    return (
        summaries.head(last)
        .tail(calls)
        .select(
            "session_id",
            pl.lit("").alias("stratum"),
            pl.lit(1, pl.Int64).alias("size"),
            pl.lit(calls / len(summaries)).alias("inclusion_probability"),
        )
    )


def samples(task: Task) -> Iterator[tuple[str, int, int, pf.Sample]]:
    """Draw the samples of a population: their design, number of details, seed, and themselves."""
    (summaries, details), lost = population(task)
    ways = (*DESIGNS, NEWEST) if task.kind == SIMULATOR else DESIGNS
    for way in ways:
        design = "uniform" if way == NEWEST else way
        for calls in DETAILS:
            for seed in task.seeds:
                if way == NEWEST:
                    chosen = newest(summaries, calls, seed)
                else:
                    chosen = pf.choose_details(summaries, calls, design=design, seed=seed)
                yield way, calls, seed, populations.received(summaries, details, chosen, design, lost)


def population(task: Task) -> tuple[tuple[pl.DataFrame, pf.SessionFrames], Iterable[int]]:
    if task.kind == SIMULATOR:
        return simulated(task.population), ()
    return (
        populations.make(task.kind, SESSIONS, task.population),
        populations.lost(task.kind, SESSIONS, task.population),
    )


def run(task: Task) -> pl.DataFrame:
    """Return the figures of all samples of a population, a row each: whether they cover the true value, and how wide they are."""
    warnings.simplefilter("ignore")  # of lost details, and bots
    (_, details), _ = population(task)
    true = figures(pf.Sample.of_details(details)).select("question", "group", true="estimate")
    true_or_null = pl.when(pl.col("true") != 0).then("true")  # no share of nothing
    found = []
    for design, calls, seed, sample in samples(task):
        drawn = figures(sample).drop_nulls("estimate")
        found.append(
            drawn.join(true, on=["question", "group"]).select(
                pl.lit(task.kind).alias("population"),
                pl.lit(design).alias("design"),
                pl.lit(calls).alias("details"),
                pl.lit(seed).alias("seed"),
                "question",
                pl.col("true").is_between("lower", "upper").alias("covers"),
                pl.col("flag").is_null().alias("unflagged"),
                "certified",
                pl.col("effective_sessions").alias("effective"),
                (pl.col("estimate") / true_or_null - 1).alias("off"),
                ((pl.col("upper") - pl.col("lower")) / 2 / true_or_null).alias("half_width"),
            )
        )
    populations.make.cache_clear()
    return pl.concat(found)


def tasks(kinds: Iterable[str], draws: int) -> list[Task]:
    """Divide the draws of each kind among its populations."""
    seeds = min(SEEDS, draws)
    ends = [round(draws * number / seeds) for number in range(seeds + 1)]
    return [Task(kind, number + 1, range(ends[number], ends[number + 1])) for kind in kinds for number in range(seeds)]


def coverage(covers: str, figures: str, name: str) -> list[pl.Expr]:
    """Return the percentage of figures that cover the true value, and its Monte Carlo error, from both numbers for each sample.

    The figures of one sample are not independent, so the error is that of a ratio of sums over samples; but never less than that of as
    many independent figures of which 95% cover.
    """
    share = pl.col(covers).sum() / pl.col(figures).sum()
    clustered = ((pl.col(covers) - share * pl.col(figures)) ** 2).sum().sqrt() / pl.col(figures).sum()
    independent = (0.95 * 0.05 / pl.col(figures).sum()).sqrt()
    return [(100 * share).alias(name), (100 * pl.max_horizontal(clustered, independent)).alias(f"{name}_error")]


def by_sample(drawn: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Return the numbers of figures of each sample: all, those without a flag and those that are certified, and of each those that cover; and by how much they are off."""
    firm = pl.col("unflagged")
    return drawn.group_by(*by, "seed").agg(
        pl.len().alias("figures"),
        pl.col("covers").sum().alias("covering"),
        firm.sum().alias("firm"),
        (pl.col("covers") & firm).sum().alias("firm_covering"),
        pl.col("certified").sum().alias("sure"),
        pl.col("covers").filter("certified").sum().alias("sure_covering"),
        pl.col("off").sum(),
        pl.col("off").count().alias("with_off"),
    )


def cells(drawn: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each population, design, number of details and question, in percent."""
    by = ["population", "design", "details", "question"]
    found = (
        by_sample(drawn, by)
        .group_by(by)
        .agg(
            *coverage("covering", "figures", "covers"),
            (100 * pl.col("firm").sum() / pl.col("figures").sum()).alias("unflagged"),
            *coverage("firm_covering", "firm", "unflagged_covers"),
            (100 * pl.col("sure").sum() / pl.col("figures").sum()).alias("certified"),
            *coverage("sure_covering", "sure", "certified_covers"),
            (100 * pl.col("off").sum() / pl.col("with_off").sum()).alias("bias"),
        )
    )
    spread = (100 * (pl.col("off") ** 2).mean().sqrt()).alias("spread")
    widths = drawn.group_by(by).agg(spread, (100 * pl.col("half_width").median()).alias("half_width"))
    return _in_order(found.join(widths, on=by), by)


def classes(drawn: pl.DataFrame) -> pl.DataFrame:
    """Return what unflagged figures cover by how many sessions they rest on: a row for each population, design, question and class."""
    by = ["population", "design", "question", "effective"]
    least = pl.lit(CLASSES[0])
    for size in CLASSES[1:]:
        least = pl.when(pl.col("effective") >= size * (1 - 1e-12)).then(size).otherwise(least)
    firm = drawn.filter("unflagged").with_columns(least.alias("effective"))
    found = (
        by_sample(firm, by)
        .group_by(by)
        .agg(pl.col("firm").sum().alias("figures"), *coverage("covering", "figures", "covers"))
    )
    return _in_order(found, by)


def _in_order(found: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Sort cells as the kinds and designs are declared, and name their questions."""
    names = questions()[1].select("question", "measure", "of", "by")
    enums = {"population": pl.Enum(KINDS), "design": pl.Enum((*DESIGNS, NEWEST))}
    ordered = found.cast(enums).sort(by).join(names, on="question", maintain_order="left")
    first = [column for name in by for column in (("measure", "of", "by") if name == "question" else (name,))]
    return ordered.select(*first, pl.exclude(*first, "question")).cast(dict.fromkeys(enums, pl.String))


def listed(frame: pl.DataFrame) -> dict[str, Any]:
    """Return a frame for JSON; what is infinite or undefined is null."""
    rounded = frame.with_columns(pl.when(pl.selectors.float().is_finite()).then(pl.selectors.float().round(2)))
    return {"columns": rounded.columns, "rows": [list(row) for row in rounded.rows()]}


def written(results: dict[str, Any]) -> str:
    """Return results as JSON, a cell a line, so that a change shows as one."""
    parts = {name: value for name, value in results.items() if name not in {"cells", "classes"}}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in parts.items()]
    for name in ("cells", "classes"):
        rows = ",\n".join(json.dumps(row) for row in results[name]["rows"])
        lines.append(f'"{name}": {{"columns": {json.dumps(results[name]["columns"])}, "rows": [\n{rows}\n]}}')
    return "{" + ",\n".join(lines) + "}\n"


def measured(kinds: Iterable[str], draws: int) -> dict[str, Any]:
    """Draw all samples, in two processes."""
    started, found, todo = time.perf_counter(), [], tasks(kinds, draws)
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:  # a fork would share polars' threads
        for number, part in enumerate(pool.map(run, todo), 1):
            found.append(part)
            print(
                f"{number} of {len(todo)} populations, {time.perf_counter() - started:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    drawn = pl.concat(found)
    versions = {name: version(name) for name in ("pulseframes", "polars", "numpy", "scipy")}
    return {
        "sessions": SESSIONS, "populations": SEEDS, "draws": draws, "versions": versions,
        "cells": listed(cells(drawn)), "classes": listed(classes(drawn)),
    }  # fmt: skip


def merged(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return results with those of the populations that were not run, if they have as many draws."""
    if earlier.get("draws") != now["draws"]:
        return now
    for name in ("cells", "classes"):
        old, new = frame_of(earlier, name), frame_of(now, name)
        kept = old.filter(~pl.col("population").is_in(new["population"].unique().implode()))
        order = pl.col("population").replace_strict(KINDS, range(len(KINDS)), return_dtype=pl.Int64)
        now[name] = listed(pl.concat([kept, new], how="vertical_relaxed").sort(order, maintain_order=True))
    return now
