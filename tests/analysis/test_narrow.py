"""Results as they are printed: few columns, few digits, and intervals that still hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, strategies as st
from polars.testing import assert_frame_equal
from support.populations import population, sample_of

import pulseframes as pf
from pulseframes.sampling.columns import rounded

SEGMENTS = ["platform_name = 'Mobile'", "platform_name = 'Desktop'"]
MEASURES = ["p75(loading_time_ms)", "share(loading_time_ms > 3000)", "count()", "mean(loading_time_ms)"]
#: Each analysis with columns that only a wide result has; its main figure with the limits of its interval, and its keys.
Ask = Callable[..., pl.DataFrame]
ASKS: dict[str, tuple[Ask, str, list[str]]] = {
    "estimate": (
        lambda it, **wide: pf.estimate(it, MEASURES, by="country", **wide),
        "estimate",
        ["country", "measure"],
    ),
    "page_speed": (pf.page_speed, "p75_ms", ["page_template"]),
    "apdex": (lambda it, **wide: pf.apdex(it, by="country", **wide), "apdex", ["country"]),
    "error_impact": (pf.error_impact, "share_of_sessions", ["group_id"]),
    "landings": (pf.landings, "entries", ["page_template"]),
    "paths": (pf.paths, "times", ["from_page", "to_page"]),
    "satisfaction": (
        lambda it, **wide: pf.satisfaction(it, every="1w", **wide),
        "share",
        ["period", "satisfaction_rating"],
    ),
    "compare": (
        lambda it, **wide: pf.compare(it, MEASURES, segments=SEGMENTS, by="country", **wide),
        "difference",
        ["country", "measure"],
    ),
}


def limits(figure: str) -> tuple[str, str]:
    return ("lower", "upper") if figure == "estimate" else (f"{figure}_lower", f"{figure}_upper")


@pytest.mark.parametrize("name", ASKS)
def test_a_result_shows_all_its_columns_in_80_characters(name: str) -> None:
    found = ASKS[name][0](sample_of(80))
    assert len(found.columns) <= 8
    with pl.Config(tbl_width_chars=80):
        header = str(found.clear()).splitlines()
    cells = [line.strip("│").split("┆") for line in header if "┆" in line]
    printed = ["".join(parts) for parts in zip(*([cell.strip() for cell in row] for row in cells), strict=True)]
    assert "…" not in printed
    assert [text.split("---")[0] for text in printed] == found.columns


@pytest.mark.parametrize("name", ASKS)
def test_a_result_is_the_wide_one_with_fewer_columns_and_digits(name: str) -> None:
    ask, figure, keys = ASKS[name]
    narrow, wide = ask(sample_of(80)), ask(sample_of(80), wide=True)
    assert {*narrow.columns} < {*wide.columns}
    both = narrow.select(*keys, figure, *limits(figure)).join(wide, on=keys, nulls_equal=True, suffix="_exact")
    assert len(both) == len(narrow) == len(wide)
    lower, upper = (pl.col(limit) for limit in limits(figure))
    exact_lower, exact_upper = (pl.col(f"{limit}_exact") for limit in limits(figure))
    known = both.drop_nulls(figure)
    assert known.select(((lower <= pl.col(figure)) & (pl.col(figure) <= upper)).all()).item()
    assert known.select(((lower == upper) == (exact_lower == exact_upper)).all()).item()
    whole = 1 if figure in ("entries", "times") else 0
    width = pl.when((exact_upper - exact_lower).is_finite()).then(exact_upper - exact_lower)
    for column in (figure, *limits(figure)):
        change = (pl.col(column) - pl.col(f"{column}_exact")).abs()
        assert known.filter(width > 0).select((change <= pl.max_horizontal(0.0051 * width, whole)).all()).item()
        assert not whole or known.filter(pl.col(column).is_finite(), pl.col(column) % 1 != 0).is_empty()


def test_numbers_are_whole_in_results_for_reading() -> None:
    for frame, figure in (
        (pf.apdex(sample_of(80), by="session_start::DATE"), "views"),
        (pf.page_speed(sample_of(80)), "views"),
        (pf.error_impact(sample_of(80)), "sessions_affected"),
        (pf.landings(sample_of(80)), "entries"),
    ):
        assert frame.select((pl.col(figure) % 1 == 0).all()).item()


def test_the_flag_of_a_row_is_that_of_any_figure_in_it() -> None:
    for ask, others in ((pf.page_speed, ["views_flag"]), (pf.landings, ["bounce_rate_flag"])):
        wide = ask(sample_of(80), wide=True)
        assert ask(sample_of(80))["flag"].to_list() == wide.select(pl.coalesce("flag", *others)).to_series().to_list()


def test_exact_figures_and_those_without_an_interval_keep_all_their_digits() -> None:
    for source in (pf.Sample.of_details(population()), population()):
        found = pf.estimate(source, MEASURES, by="country")
        assert_frame_equal(found, pf.estimate(source, MEASURES, by="country", wide=True).select(found.columns))


def one(value: float | None, lower: float | None, upper: float | None, *other: float) -> tuple[Any, ...]:
    frame = pl.DataFrame({"x": [value], "l": [lower], "u": [upper], "o": [*other] or [0.0]}, strict=False)
    row = rounded(frame.with_columns(pl.all().cast(pl.Float64)), "x", "l", "u", "o").row(0)
    return row if other else row[:3]


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ((7655.4001, 7012.3456, 8301.9999), (7655, 7012, 8302)),
        ((27.566047, 20.44444, 35.55555), (27.6, 20.4, 35.6)),
        ((0.123456, 0.0871234, 0.171299), (0.1235, 0.0871, 0.1713)),
        ((0.0091234, 0.00057123, 0.13033123), (0.00912, 0.00057, 0.13033)),
        ((1242.25, 0.0, math.inf), (1242, 0, math.inf)),
        ((-3.25, -math.inf, math.inf), (-3.25, -math.inf, math.inf)),
        ((1e-17, -0.123456, 0.123456), (0, -0.123, 0.123)),
        ((0.0, 0.0, 0.84912345), (0, 0, 0.849)),
        ((1234.5678, 1234.5678, 1234.5678), (1234.5678, 1234.5678, 1234.5678)),
        ((1234.5678, None, None), (1234.5678, None, None)),
        ((None, 0.0, math.inf), (None, 0, math.inf)),
    ],
)
def test_figures_are_rounded_to_whole_numbers_or_three_digits(
    figures: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    assert one(*figures) == expected


def test_other_columns_are_rounded_to_the_same_place() -> None:
    assert one(10.26, 5.0, 15.0, 123.456) == (10.3, 5, 15, 123.5)


@given(st.tuples(*[st.floats(-1e12, 1e12)] * 3).map(sorted))
def test_a_rounded_interval_contains_its_figure_and_has_a_width(values: list[float]) -> None:
    lower, value, upper = values
    found = one(value, lower, upper)
    assert found[1] <= found[0] <= found[2]
    if upper - lower > max(1e-9, 1e-3 * abs(upper), 1e-3 * abs(lower)):
        assert found[1] < found[2]
