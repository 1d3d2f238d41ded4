"""Whatever is written to a lake, erased from it and published, in whatever order, the tables equal the lake after each publish."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

import pulseframes as pf
from publishing.places import FORMATS, Place
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS, Table

BEGIN = datetime(2026, 11, 9, 12, tzinfo=UTC)
MEMORY = pf.Settings(home=":memory:")
#: How many sequences are tried: a commit to Iceberg takes five times as long.
EXAMPLES = {"delta": 12, "iceberg": 6}

sessions = st.integers(1, 4)
days = st.integers(0, 3)
#: Details with so many page views, of a session that may have moved to another day; a summary has None.
writes = st.tuples(st.just("write"), sessions, days, st.none() | st.integers(0, 3))
erasures = st.tuples(st.just("forget"), sessions) | st.tuples(st.just("retain"), days)
steps = st.lists(writes | writes | erasures | st.tuples(st.just("publish")), min_size=3, max_size=9)


def filled(table: Table, **columns: list[Any]) -> pl.DataFrame:
    frame = pl.DataFrame({name: pl.Series(values, dtype=table.schema[name]) for name, values in columns.items()})
    return pl.concat([table.empty(), frame], how="diagonal")


def write(lake: pf.Lake, at: datetime, session: int, day: int, views: int | None) -> None:
    start = BEGIN + timedelta(days=day)
    row = filled(
        SESSIONS,
        session_id=[session],
        session_start=[start],
        session_updated=[at],
        user_identifier=[f"user-number-{session}"],
        page_view_count=[views or 1],
        status=["ended"],
    )
    if views is None:
        lake.write(row, fetched_at=at)
        return
    numbers = [*range(views)]
    pages = filled(PAGE_VIEWS, session_id=[session] * views, view_index=numbers, page=[f"/{views}"] * views)
    errors = filled(ERRORS, session_id=[session] * views, error_index=numbers, title=[str(at)] * views)
    lake.write(pf.SessionFrames(row, pages, errors), fetched_at=at)


@pytest.mark.parametrize("table_format", FORMATS)
def test_the_tables_equal_the_lake_after_each_publish(table_format: str) -> None:
    @settings(max_examples=EXAMPLES[table_format], derandomize=True)
    @given(steps)
    def check(sequence: list[tuple[Any, ...]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            lake, place = pf.Lake(Path(folder) / "lake"), Place(Path(folder) / "published", table_format)
            write(lake, BEGIN, 1, 0, 2)
            for number, (step, *arguments) in enumerate([*sequence, ("publish",)]):
                if step == "write":
                    write(lake, BEGIN + timedelta(days=10, minutes=number), *arguments)
                elif step == "forget":
                    pf.forget(lake, f"user-number-{arguments[0]}", settings=MEMORY)
                elif step == "retain":
                    now = BEGIN + timedelta(days=30 + arguments[0])
                    pf.retain(lake, 30, settings=MEMORY, clock=lambda now=now: now)
                else:
                    place.publish(lake)
                    place.check(lake)
                    assert not place.publish(lake).changed

    check()
