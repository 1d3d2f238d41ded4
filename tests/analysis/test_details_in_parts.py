"""The details of a lake, read in parts, give the figures that all of them give in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.analysis import stored
from pulseframes.analysis.details import Details, sample_or_details, sizes_of
from pulseframes.analysis.estimate import with_templates
from pulseframes.analysis.stored import StoredDetails
from pulseframes.analysis.traffic import rated_sessions
from pulseframes.reports.examples import last_errors, slow_sessions
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS

BEGIN = datetime(2026, 11, 9, tzinfo=UTC)
FETCHED = BEGIN + timedelta(days=4)

MINUTES = st.integers(0, 3 * 24 * 60)
VIEWS = st.fixed_dictionaries(
    {
        "page": st.sampled_from([None, "", "/", "/p/40592-can?ref=x", "/p/70001-can", "https://shop.example/cart"]),
        "loading_time_ms": st.sampled_from([None, 0, 7, 7, 300, 5_000]),
        "viewing_time_ms": st.none() | st.integers(0, 3),
    }
)
ERROR_ROWS = st.fixed_dictionaries(
    {
        "group_id": st.sampled_from([None, 1, 2]),
        "title": st.sampled_from([None, "TypeError: x", "Script error."]),
        "web_url": st.sampled_from([None, "javascript:alert(1)", "https://x.example/1", "https://x.example/2"]),
    }
)
SESSION_ROWS = st.fixed_dictionaries(
    {
        "start": MINUTES,
        "user_id": st.sampled_from([None, 1, 2]),
        "country": st.sampled_from([None, "NZ", "AU"]),
        "browser_name": st.sampled_from([None, "Chrome", "Safari"]),
        "satisfaction_rating": st.sampled_from([None, "Excellent", "Poor", "It's new"]),
        "status": st.sampled_from([None, "ended", "ended", "active"]),
        "idle": st.sampled_from([None, 0, 3]),
        "views": st.lists(VIEWS, max_size=4),
        "errors": st.lists(ERROR_ROWS, max_size=2),
        "is_detailed": st.sampled_from([True, True, True, False]),
    }
)


def frames_of(rows: list[dict[str, Any]]) -> pf.SessionFrames:
    sessions, views, errors = [], [], []
    for number, row in enumerate(rows):
        key = {"session_id": (number * 7919) % 1_009}
        start = BEGIN + timedelta(minutes=row["start"])
        updated = None if row["idle"] is None else FETCHED - timedelta(days=row["idle"])
        of_summary = {
            name: row[name] for name in ("user_id", "country", "browser_name", "satisfaction_rating", "status")
        }
        times = {"session_start": start, "session_updated": updated, "web_url": f"https://x.example/s/{number % 5}"}
        sessions.append(key | of_summary | times | {"page_view_count": len(row["views"])})
        views += [key | {"view_index": index} | view for index, view in enumerate(row["views"])]
        errors += [key | {"error_index": index, "instance_id": 1} | error for index, error in enumerate(row["errors"])]
    return pf.SessionFrames(
        *(
            pl.DataFrame(rows, schema=table.schema, orient="row")
            for table, rows in ((SESSIONS, sessions), (PAGE_VIEWS, views), (ERRORS, errors))
        )
    )


def lake_of(place: str, rows: list[dict[str, Any]], *, details_of_all: bool) -> pf.Lake:
    frames, lake = frames_of(rows), pf.Lake(Path(place) / "lake")
    lake.write(frames.sessions.with_columns(satisfaction_rating=pl.lit(None, pl.String)), fetched_at=FETCHED)
    ids = [
        session["session_id"]
        for session, row in zip(frames.sessions.to_dicts(), rows, strict=True)
        if details_of_all or row["is_detailed"]
    ]
    lake.write(
        pf.SessionFrames(*(frame.filter(pl.col("session_id").is_in(ids)) for frame in frames.values())),
        fetched_at=FETCHED + timedelta(hours=1),
    )
    return lake


def links(found: dict[Any, list[str]]) -> pl.DataFrame:
    rows = [(None if group is None else str(group), addresses) for group, addresses in found.items()]
    return pl.DataFrame(rows, schema={"group": pl.String, "links": pl.List(pl.String)}, orient="row").sort("group")


FIGURES = ["count()", "sessions()", "total(loading_time_ms)", "mean(loading_time_ms / 7.0)", "p75(loading_time_ms)"]
NEXT_PAGE = pl.col("page").shift(-1).over("session_id", order_by="view_index").alias("next")
ANALYSES: dict[str, Callable[[Details], pl.DataFrame]] = {
    "estimate": lambda sample: pf.estimate(sample, FIGURES, of="page_views", wide=True),
    "estimate by": lambda sample: pf.estimate(sample, FIGURES, by=["country", "page_template"], wide=True),
    "estimate where": lambda sample: pf.estimate(sample, FIGURES, by="user_id", where="loading_time_ms >= 7"),
    "estimate sessions": lambda sample: pf.estimate(
        sample,
        ["share(error_count > 0)", "ratio(error_count, page_view_count)", "share(satisfaction_rating = 'Poor')"],
        by="country",
    ),
    "estimate errors": lambda sample: pf.estimate(
        sample, ["count()", "sessions(page_view_count)"], by="title", of="errors"
    ),
    "estimate by an order": lambda sample: pf.estimate(sample, "count()", by=[NEXT_PAGE], of="page_views"),
    "exact": lambda sample: pf.estimate(sample, ["count()", "mean(page_view_count)"], by="country"),
    "page_speed": lambda sample: pf.page_speed(sample, wide=True),
    "page_speed by": lambda sample: pf.page_speed(
        sample, by=["country", "browser_name"], rules={"/p/*": "/p/{product}"}
    ),
    "apdex": lambda sample: pf.apdex(sample, by="page_template", threshold_ms=100, wide=True),
    "satisfaction": lambda sample: pf.satisfaction(sample, time_zone="Pacific/Auckland", by="country", wide=True),
    "error_impact": lambda sample: pf.error_impact(sample, wide=True),
    "error_impact where": lambda sample: pf.error_impact(sample, where="country = 'NZ'"),
    "paths": lambda sample: pf.paths(sample, wide=True),
    "landings": lambda sample: pf.landings(sample, wide=True),
    "compare": lambda sample: pf.compare(
        sample, "p75(loading_time_ms)", segments=["country = 'NZ'", "country <> 'NZ'"], wide=True
    ),
    "ratings": lambda sample: rated_sessions(sample).sort("satisfaction_rating"),
    "slow sessions": lambda sample: links(slow_sessions(with_templates(sample, None))),
    "last errors": lambda sample: links(last_errors(sample)),
}


@settings(max_examples=10)
@given(
    rows=st.lists(SESSION_ROWS, max_size=14),
    details_of_all=st.booleans(),
    window=st.lists(MINUTES, min_size=2, max_size=2, unique=True).map(sorted),
    size=st.sampled_from([1, 5, 2_000]),
)
def test_details_in_parts_give_the_figures_of_details_in_memory(
    rows: list[dict[str, Any]], details_of_all: bool, window: list[int], size: int
) -> None:
    start, end = (BEGIN + timedelta(minutes=minute) for minute in window)
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "PART_ROWS", size)
        lake = lake_of(place, rows, details_of_all=details_of_all)
        in_parts = sample_or_details(lake, start, end, None)
        assert isinstance(in_parts, StoredDetails)
        whole = pf.Sample.of_bought(lake, start, end)
        assert in_parts.is_drawn == whole.is_drawn
        assert sizes_of(in_parts) == sizes_of(whole)
        for name, analysis in ANALYSES.items():
            assert_same(analysis(in_parts), analysis(whole), name)


def assert_same(found: pl.DataFrame, expected: pl.DataFrame, name: str) -> None:
    try:
        assert_frame_equal(found, expected, rel_tol=1e-9)
    except AssertionError as problem:
        raise AssertionError(f"{name}: {problem}") from None
