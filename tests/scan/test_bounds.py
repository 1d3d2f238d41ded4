"""Bounds read of filters hold for every row that passes, whatever the filter says besides."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from polars.io.plugins import register_io_source

from pulseframes.query import EVER
from pulseframes.scan.bounds import Bounds, bounds_of

SCHEMA = pl.Schema(
    {
        "session_id": pl.Int64(),
        "session_start": pl.Datetime("us", "UTC"),
        "country": pl.String(),
        "user_identifier": pl.String(),
    }
)
FIRST = datetime(2026, 11, 9, tzinfo=UTC)
TIMES = [FIRST + timedelta(hours=12 * number, microseconds=number % 2) for number in range(8)]
COUNTRIES = ["NZ", "US", "nz", None]
USERS = ["ada", "Ada", None]
#: One row for each combination of values.
ROWS = (
    pl.DataFrame({"session_start": TIMES}, schema_overrides=SCHEMA)
    .join(pl.DataFrame({"country": COUNTRIES}), how="cross")
    .join(pl.DataFrame({"user_identifier": USERS}), how="cross")
    .with_row_index("session_id")
    .cast({"session_id": pl.Int64})
    .select(SCHEMA.names())
)

started = pl.col("session_start")
times = st.sampled_from(TIMES) | st.timedeltas(timedelta(days=-1), timedelta(days=5)).map(lambda since: FIRST + since)


def compared(column: pl.Expr, value: Any, operator: str) -> pl.Expr:
    result: pl.Expr = getattr(column, operator)(value)
    return result


ordered = st.sampled_from(["lt", "le", "gt", "ge", "eq", "ne", "eq_missing", "ne_missing"])
equal = st.sampled_from(["eq", "ne", "eq_missing", "ne_missing"])
leaves = st.one_of(
    st.builds(compared, st.just(started), times, ordered),
    st.builds(compared, st.just(started.dt.date()), st.dates(FIRST.date(), TIMES[-1].date()), ordered),
    st.builds(compared, st.just(started.cast(pl.Date)), st.dates(FIRST.date(), TIMES[-1].date()), ordered),
    st.builds(compared, st.just(started.dt.cast_time_unit("us")), times, ordered),
    st.builds(compared, st.just(started.dt.cast_time_unit("ms")), times, ordered),
    st.builds(compared, st.just(started.dt.truncate("1d")), times, ordered),
    st.builds(compared, st.just(started + timedelta(days=1)), times, ordered),
    st.builds(compared, st.just(started.dt.hour()), st.integers(0, 23), ordered),
    st.builds(started.is_between, times, times, closed=st.sampled_from(["both", "left", "right", "none"])),
    st.builds(started.is_in, st.lists(times, min_size=1, max_size=3)),
    st.builds(compared, st.just(pl.col("country")), st.sampled_from(COUNTRIES[:3]), equal),
    st.builds(pl.col("country").is_in, st.lists(st.sampled_from(COUNTRIES), max_size=3), nulls_equal=st.booleans()),
    st.builds(compared, st.just(pl.col("user_identifier")), st.sampled_from(USERS[:2]), equal),
    st.builds(pl.col("user_identifier").is_in, st.lists(st.sampled_from(USERS), max_size=2)),
    st.builds(compared, st.just(pl.col("session_id")), st.integers(-1, 100), ordered),
    st.builds(pl.col("session_id").is_in, st.lists(st.integers(-1, 100), max_size=5)),
    st.sampled_from([pl.col("country").is_null(), pl.col("user_identifier").is_not_null(), pl.col("country").str.to_uppercase() == "NZ"]),
)  # fmt: skip


def joined(parts: list[pl.Expr], both: bool) -> pl.Expr:
    return reduce(lambda left, right: left & right if both else left | right, parts)


filters = st.recursive(
    leaves,
    lambda inner: (
        st.builds(joined, st.lists(inner, min_size=2, max_size=3), st.booleans())
        | st.builds(lambda each: ~each, inner)
        | st.builds(lambda a, b, c: pl.when(a).then(b).otherwise(c), inner, inner, inner)
    ),
    max_leaves=6,
)


def handed_over(predicate: pl.Expr) -> tuple[pl.Expr | None, pl.DataFrame]:
    """Return the filter as polars hands it to a scan, and the rows that pass."""
    got: list[pl.Expr | None] = []

    def scan(
        columns: list[str] | None, given: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del columns, n_rows, batch_size
        got.append(given)
        yield ROWS if given is None else ROWS.filter(given)

    passed = register_io_source(scan, schema=SCHEMA).filter(predicate).collect()
    return (got[0] if got else None), passed


@settings(max_examples=150)
@given(filters)
def test_every_row_that_passes_is_within_the_bounds(predicate: pl.Expr) -> None:
    handed, passed = handed_over(predicate)
    bounds = bounds_of(handed)
    for session_id, start, country, user in passed.iter_rows():
        assert any(window.start <= start < window.end for window in bounds.windows), (str(handed), bounds, start)
        assert bounds.countries is None or country in bounds.countries, (str(handed), bounds, country)
        assert bounds.users is None or user in bounds.users, (str(handed), bounds, user)
        assert bounds.ids is None or session_id in bounds.ids, (str(handed), bounds, session_id)


def test_no_filter_bounds_nothing() -> None:
    assert bounds_of(None) == Bounds((EVER,), None, None, None)


@pytest.mark.parametrize(("literal", "windows"), [(True, (EVER,)), (False, ())])
def test_a_filter_of_no_column_lets_all_rows_pass_or_none(literal: bool, windows: tuple[object, ...]) -> None:
    assert bounds_of(pl.lit(literal)).windows == windows
