"""Figures that are added up part by part equal those of all rows at once."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.sampling.columns import BASE, OWNER, VALUE
from pulseframes.sampling.measures import Measure
from pulseframes.sampling.tallies import Tally

VALUES = st.one_of(st.integers(-3, 9).map(float), st.floats(-1e6, 1e6, allow_nan=False))
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", None]), VALUES, st.integers(0, 2).map(float)), max_size=40)
MEASURES = ["total(x)", "mean(x)", "p5(x)", "median(x)", "p75(x)", "p99.9(x)"]


def frame_of(rows: list[tuple[str | None, float, float]], first: int = 0) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"group": pl.String, VALUE: pl.Float64, BASE: pl.Float64}, orient="row")
    return frame.with_columns((pl.int_range(pl.len(), dtype=pl.UInt32) // 2 + first).alias(OWNER))


def of_all_rows(measure: Measure, rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    value, base = pl.col(VALUE), pl.col(BASE)
    figure = {
        "total": value.sum(),
        "mean": pl.when(base.sum() != 0).then(value.sum() / base.sum()),
        "quantile": value.quantile(measure.probability, interpolation="equiprobable"),
    }[measure.kind]
    figures = [figure.alias("estimate"), pl.col(OWNER).n_unique().cast(pl.Int64).alias("sessions")]
    return rows.group_by(names).agg(figures) if names else rows.select(figures)


@pytest.mark.parametrize("text", MEASURES)
@pytest.mark.parametrize("names", [[], ["group"]], ids=["all", "by group"])
@settings(max_examples=40)  # for each of 12 cases
@given(parts=st.lists(ROWS, min_size=1, max_size=4))
def test_parts_add_up_to_the_figures_of_all_rows(
    text: str, names: list[str], parts: list[list[tuple[str | None, float, float]]]
) -> None:
    measure = Measure.parse(text)
    frames = [frame_of(part, 100 * number).select(OWNER, *names, VALUE, BASE) for number, part in enumerate(parts)]
    tally = Tally([measure])
    for frame in frames:
        tally.add(tally.count(frame))
    found = tally.figures(measure, drawn=True)
    expected = of_all_rows(measure, pl.concat(frames), names)
    assert_frame_equal(
        found.select(expected.columns),
        expected,
        check_row_order=False,
        check_exact=measure.kind == "quantile",
        rel_tol=1e-9,
    )
    assert found["lower"].equals(found["estimate"])


def test_infinite_values_are_refused_with_their_number_in_all_parts() -> None:
    tally = Tally([measure := Measure.parse("mean(x)")])
    for _ in range(2):
        rows = frame_of([("a", float("inf"), 1.0), ("a", 1.0, 1.0)]).select(OWNER, VALUE, BASE)
        tally.add(tally.count(rows))
    with pytest.raises(pf.InvalidQuery, match="for 2 rows"):
        tally.figures(measure, drawn=True)
