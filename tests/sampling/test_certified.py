"""Certified figures are of kinds that cover what they say in every population of benchmarks/sampling.json, and have no flag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from populations import KINDS
from quality import questions
from sampling_table import AIM, ERRORS, LEAST, frame_of
from support.populations import population, sample_of

import pulseframes as pf
from pulseframes.sampling.certified import CERTIFIED, Certified, least_sessions

RESULTS = json.loads((Path(__file__).parents[2] / "benchmarks" / "sampling.json").read_text(encoding="utf-8"))
#: Where few figures are certified, these are the ones that chance has made look firm.
DRAWN = frame_of(RESULTS, "cells").filter(pl.col("design") != "newest", pl.col("certified") >= LEAST)


def test_certified_figures_cover_93_percent_in_every_cell() -> None:
    low = DRAWN.filter(pl.col("certified_covers") < AIM[0] - ERRORS * pl.col("certified_covers_error"))
    assert low.is_empty(), low


@pytest.mark.parametrize("kind", CERTIFIED, ids=lambda kind: f"{kind.kind} of {kind.column}")
def test_each_certified_kind_is_measured_in_every_population_that_has_nearly_all_details(kind: Certified) -> None:
    asked = [question.measure.text for question in questions()[0] if kind.includes(question)]
    measured = DRAWN.filter(pl.col("of") == kind.of, pl.col("measure").is_in(asked))
    assert {*measured["population"]} == {*KINDS, "simulator"} - {"nonresponse"}


def certified(sample: Any, measure: str, **options: Any) -> list[bool]:
    return pf.estimate(sample, measure, **options)["certified"].to_list()


def test_figures_of_certified_kinds_are_certified_from_40_sessions_on() -> None:
    found = pf.estimate(sample_of(200), "p75(loading_time_ms)", by="country", wide=True)
    expected = (found["effective_sessions"] >= 40) & found["flag"].is_null()
    assert found["certified"].to_list() == expected.to_list()
    assert expected.any()
    assert not expected.all()


@pytest.mark.parametrize(
    ("measure", "options"),
    [
        ("mean(loading_time_ms)", {}),  # a few values may make up most of it
        ("total(loading_time_ms)", {}),
        ("p95(loading_time_ms)", {}),
        ("p75(loading_time_ms * 2)", {"by": "page"}),  # few sessions in each
        ("p75(viewing_time_ms)", {}),
        ("share(loading_time_ms > viewing_time_ms)", {}),
        ("share(satisfaction_rating = 'Good')", {"of": "page_views"}),
        ("p75(loading_time_ms)", {"confidence": 0.9}),
        ("p75(loading_time_ms)", {"calibrate": "country"}),
        ("share(loading_time_ms > 60000)", {}),  # few cases
    ],
)
def test_no_other_figure_is_certified(measure: str, options: dict[str, Any]) -> None:
    assert True not in certified(sample_of(120), measure, **options)


def test_a_sample_that_lacks_many_details_has_no_certified_figure() -> None:
    assert certified(sample_of(120), "p75(loading_time_ms)") == [True]
    assert certified(sample_of(120, lost=6), "p75(loading_time_ms)") == [True]
    assert certified(sample_of(120, lost=7), "p75(loading_time_ms)") == [False]


def test_exact_figures_and_details_that_were_not_drawn_are_not_certified() -> None:
    assert certified(sample_of(2_000), "p75(loading_time_ms)") == [False]
    assert certified(population(), "p75(loading_time_ms)") == [False]


def test_a_kind_that_is_not_declared_needs_infinitely_many_sessions() -> None:
    needed = {
        question.measure.text: least_sessions(question) for question in questions()[0] if not question.grouping.groups
    }
    assert needed["p75(loading_time_ms)"] == 40
    assert needed["mean(loading_time_ms)"] == float("inf")
