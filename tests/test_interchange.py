"""Every result that is one table goes into pyarrow, polars, pandas and DuckDB, by Arrow's PyCapsule protocol."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import NOW, client_of
from support.populations import sample_of

import pulseframes as pf
from pulseframes.simulator import Simulator

SEGMENTS = ["platform_name = 'Mobile'", "platform_name = 'Desktop'"]


def pandas_frame(table: Any) -> pd.DataFrame:
    """pandas reads Arrow streams itself since version 3."""
    return pd.DataFrame.from_arrow(table) if hasattr(pd.DataFrame, "from_arrow") else pa.table(table).to_pandas()


def sample() -> pf.Sample:
    return sample_of(60)


def found() -> pl.DataFrame:
    with Simulator(sessions=200, now=NOW) as simulator, client_of(simulator) as client:
        return pf.search_sessions("2026-11-09", "2026-11-16", client=client)


#: Each public function that returns one table.
TABLES: dict[str, Callable[[], Any]] = {
    "apdex": lambda: pf.apdex(sample(), by="country"),
    "choose_details": lambda: pf.choose_details(sample().population, 5),
    "compare": lambda: pf.compare(sample(), "p75(loading_time_ms)", segments=SEGMENTS),
    "error_impact": lambda: pf.error_impact(sample()),
    "estimate": lambda: pf.estimate(sample(), "p75(loading_time_ms)", by="country"),
    "features": lambda: pf.features(sample().details),
    "landings": lambda: pf.landings(sample()),
    "page_speed": lambda: pf.page_speed(sample()),
    "paths": lambda: pf.paths(sample()),
    "plan_precision": lambda: pf.plan_precision(sample(), top=3),
    "satisfaction": lambda: pf.satisfaction(sample(), every="1w"),
    "search_sessions": found,
    "traffic": lambda: pf.traffic(sample().details),
}


def test_all_public_functions_that_return_a_table_are_tested_here() -> None:
    returned = {
        name: inspect.signature(thing).return_annotation
        for name in pf.__all__
        if inspect.isfunction(thing := getattr(pf, name))
    }
    assert {name for name, kind in returned.items() if kind in ("pl.DataFrame", "PrecisionPlan")} == TABLES.keys()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_goes_into_other_tools_with_all_its_rows_and_columns(name: str) -> None:
    result = TABLES[name]()
    frame = pl.DataFrame(result)
    assert len(frame) > 0
    table = pa.table(result)
    assert (table.num_rows, table.column_names) == (len(frame), frame.columns)
    in_duckdb = duckdb.sql("FROM result")
    assert (len(in_duckdb), in_duckdb.columns) == (len(frame), frame.columns)
    in_pandas = pandas_frame(result)
    assert (len(in_pandas), list(in_pandas.columns)) == (len(frame), frame.columns)


def test_the_tables_of_details_go_into_other_tools() -> None:
    details = sample().details
    for frame in details.values():
        assert pa.table(frame).num_rows == len(duckdb.sql("FROM frame")) == len(pandas_frame(frame))
