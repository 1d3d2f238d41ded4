"""The benchmark of estimates counts rightly, and its table says what the figures say. Only a few samples are drawn."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
import quality
from quality import Task, cells, classes, listed, merged, questions, run, tasks, written
from sampling_table import frame_of, judged, markdown

KINDS = ["pareto", "shop"]


def figures(covers: list[bool], unflagged: list[bool] | None = None, **columns: Any) -> pl.DataFrame:
    """Figures of one cell, each of a sample of its own."""
    rows = len(covers)
    row = {
        "population": "shop",
        "design": "pageviews",
        "details": 120,
        "question": 0,
        "effective": 50.0,
        "off": 0.1,
        "certified": False,
    }
    seeds = {"seed": range(rows), "half_width": [0.2] * rows}
    return pl.DataFrame({"covers": covers, "unflagged": unflagged or [True] * rows} | seeds | columns).with_columns(
        pl.lit(value).alias(name) for name, value in row.items() if name not in columns
    )


def test_coverage_is_the_share_that_covers_with_its_monte_carlo_error() -> None:
    cell = cells(figures([True] * 90 + [False] * 10)).row(0, named=True)
    assert (cell["measure"], cell["of"], cell["by"]) == ("mean(loading_time_ms)", "page_views", "")
    assert (cell["covers"], cell["unflagged"], cell["unflagged_covers"]) == (90, 100, 90)
    assert cell["covers_error"] == pytest.approx(100 * (0.9 * 0.1 / 100) ** 0.5)
    assert (cell["bias"], cell["spread"], cell["half_width"]) == (
        pytest.approx(10),
        pytest.approx(10),
        pytest.approx(20),
    )


def test_figures_of_one_sample_count_as_one_in_the_error() -> None:
    alike = figures([True] * 80 + [False] * 20, seed=[number // 10 for number in range(100)])
    assert cells(alike)["covers_error"].item() == pytest.approx(100 * (0.8 * 0.2 / 10) ** 0.5)


def test_figures_that_all_cover_still_have_an_error() -> None:
    assert cells(figures([True] * 100))["covers_error"].item() == pytest.approx(100 * (0.95 * 0.05 / 100) ** 0.5)


def test_figures_with_a_flag_are_told_apart() -> None:
    cell = cells(figures([True, True, False, False], [True, False, False, False])).row(0, named=True)
    assert (cell["covers"], cell["unflagged"], cell["unflagged_covers"]) == (50, 25, 100)


def test_classes_are_of_unflagged_figures_by_the_sessions_they_rest_on() -> None:
    found = classes(figures([True, True, False, True], [True, True, True, False], effective=[10.0, 19.0, 40.0, 40.0]))
    assert found.select("effective", "figures", "covers").rows() == [(10, 2, 100), (40, 1, 0)]


def test_all_draws_are_divided_among_the_populations() -> None:
    divided = tasks(KINDS, 12)
    assert [task.kind for task in divided] == [kind for kind in KINDS for _ in range(5)]
    for kind in KINDS:
        assert [seed for task in divided if task.kind == kind for seed in task.seeds] == [*range(12)]
    assert len(tasks(KINDS, 2)) == 4


def test_a_population_answers_every_question_of_every_design_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "SESSIONS", 400)
    monkeypatch.setattr(quality, "DETAILS", (20, 40))
    drawn = run(Task("nonresponse", 1, range(2)))
    assert {*drawn["question"]} == {*range(len(questions()[0]))}
    assert {*drawn.select("design", "details", "seed").unique().rows()} == {
        (design, size, seed) for design in ("pageviews", "uniform") for size in (20, 40) for seed in (0, 1)
    }
    assert not drawn["covers"].has_nulls()


def results(**given: pl.DataFrame) -> dict[str, Any]:
    drawn = given.get("drawn", figures([True] * 95 + [False] * 5))
    return {
        "sessions": 8_000, "populations": 5, "draws": 100, "versions": {"polars": "2"},
        "cells": listed(cells(drawn)), "classes": listed(classes(drawn)),
    }  # fmt: skip


def test_results_of_populations_that_were_not_run_stay() -> None:
    earlier = results(drawn=figures([True] * 100, population=["pareto"] * 100))
    both = merged(earlier, results())
    assert frame_of(both, "cells")["population"].to_list() == ["pareto", "shop"]
    assert frame_of(both, "classes")["population"].to_list() == ["pareto", "shop"]
    assert merged(earlier | {"draws": 7}, results()) == results()


def test_what_is_written_can_be_read() -> None:
    assert json.loads(written(results())) == results()


@pytest.mark.parametrize(
    ("covering", "details", "low", "high"),
    [
        (95, 120, False, False),
        (84, 120, True, False),
        (84, 40, False, False),
        (80, 40, True, False),
        (100, 120, False, False),
    ],
)
def test_cells_outside_the_aim_are_marked(covering: int, details: int, low: bool, high: bool) -> None:
    some = figures([True] * covering + [False] * (100 - covering), details=[details] * 100)
    cell = judged(cells(some)).row(0, named=True)
    assert (cell["low"], cell["high"]) == (low, high)


def test_the_table_has_the_coverage_of_figures_without_a_flag() -> None:
    text = markdown(results())
    assert "| `mean(loading_time_ms)` | 95 |" in text
    assert "at least 93% in 1 of 1 cells" in text
    low = markdown(results(drawn=figures([True] * 50 + [False] * 50)))
    assert "| `mean(loading_time_ms)` | **50** |" in low
    assert "in 0 of 1 cells" in low
