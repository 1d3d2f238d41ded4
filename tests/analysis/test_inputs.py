"""The analysis of empty input, nulls and hostile values, and wrong arguments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from support.analysis_lakes import END, ended, lake_of, summaries
from support.populations import sample_of

import pulseframes as pf
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS

Ask = Callable[..., pl.DataFrame]

#: What is asked of details, and what with no argument but the source.
OF_DETAILS: list[Ask] = [
    pf.page_speed,
    pf.apdex,
    pf.satisfaction,
    pf.error_impact,
    pf.paths,
    pf.landings,
    pf.features,
]
ALL = [*OF_DETAILS, pf.traffic]
by_name = pytest.mark.parametrize("ask", ALL, ids=lambda ask: ask.__name__)
of_details = pytest.mark.parametrize("ask", OF_DETAILS, ids=lambda ask: ask.__name__)

HOSTILE = ["<script>alert(1)</script>", 'it\'s \\ "quoted" -- ; %s {0}\n', "\u202etxt.exe", "", "📈" * 50]


def one_view_each(values: dict[str, Any], count: int = 3) -> pf.SessionFrames:
    """A few sessions with a view and an error each; other values are null."""
    ids = list(range(1, count + 1))

    def table(of: Any, **more: Any) -> pl.DataFrame:
        given = {name: value for name, value in (values | more).items() if name in of.schema}
        return pl.DataFrame({"session_id": ids}).with_columns(
            *(
                (
                    pl.Series(name, given[name], dtype)
                    if isinstance(given.get(name), list)
                    else pl.lit(given.get(name), dtype)
                ).alias(name)
                for name, dtype in of.schema.items()
                if name != "session_id"
            )
        )

    return pf.SessionFrames(
        table(SESSIONS, session_start=END), table(PAGE_VIEWS, view_index=0), table(ERRORS, error_index=0)
    )


def nothing(frames: pf.SessionFrames) -> pf.SessionFrames:
    return pf.SessionFrames(*(frame.clear() for frame in frames.tables().values()))


@by_name
def test_no_sessions_give_a_frame_with_all_columns(ask: Ask) -> None:
    found, usual = ask(nothing(ended())), ask(ended())
    assert found.schema == usual.schema
    assert found.is_empty() or ask is pf.apdex
    if ask is pf.apdex:  # the one figure of no page views is none
        assert found.select("views", "apdex", "sessions", "flag").row(0) == (0, None, 0, "no sessions")


@by_name
def test_a_lake_without_sessions_gives_a_frame_with_all_columns(ask: Ask, tmp_path: Path) -> None:
    lake = lake_of(nothing(ended()), tmp_path / "lake")
    assert ask(lake).drop("flag", strict=False).is_empty() or ask is pf.apdex


@of_details
def test_a_lake_without_details_gives_a_frame_with_all_columns(ask: Ask, tmp_path: Path) -> None:
    found = ask(lake_of(summaries(), tmp_path / "lake"))
    assert found.schema == ask(ended()).schema
    assert found.is_empty() or ask is pf.apdex


@by_name
def test_sessions_without_page_views_and_errors_are_accepted(ask: Ask) -> None:
    bare = pf.SessionFrames(ended().sessions, ended().page_views.clear(), ended().errors.clear())
    assert ask(bare).schema == ask(ended()).schema


@by_name
def test_unknown_values_are_accepted(ask: Ask) -> None:
    found = ask(one_view_each({}))
    assert found.schema == ask(ended()).schema
    if ask in (pf.page_speed, pf.error_impact, pf.landings, pf.traffic):
        assert len(found) == 1


def test_unknown_pages_and_error_groups_are_groups_of_their_own() -> None:
    frames = one_view_each({"page": ["/a/1", None, "/a/2"], "group_id": [5, None, 5], "title": ["x", "y", None]})
    assert sorted(pf.page_speed(frames)["page_template"].to_list(), key=str) == ["/a/{id}", None]
    assert pf.landings(frames)["page_template"].to_list() == ["/a/{id}", "(not known)"]
    impact = pf.error_impact(frames, wide=True)
    assert impact.select("group_id", "title", "errors").rows() == [(5, "x", 2.0), (None, "y", 1.0)]
    ways = pf.paths(frames).select("from_page", "to_page", "times").rows()
    assert (None, "(not known)", 1.0) in ways
    assert ("(not known)", None, 1.0) in ways


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_strings_in_the_data_are_never_interpreted(text: str) -> None:
    names = ("title", "page", "browser_name", "country", "satisfaction_rating", "user_identifier", "browser_version")
    frames = one_view_each(dict.fromkeys(names, text) | {"group_id": 1, "user_id": 9})
    impact = pf.error_impact(frames, wide=True)
    assert impact["title"].to_list() == [text]
    assert impact["browsers"].to_list() == [[text]]
    rated = pf.satisfaction(frames).filter(pl.col("share") > 0)
    assert rated.select("satisfaction_rating", "share").rows() == [(text, 1.0)]
    assert pf.traffic(frames)["country"].to_list() == [text]
    assert pf.page_speed(frames, by="country")["country"].to_list() == [text]
    assert pf.features(frames)["country"].cast(pl.String).to_list() == [text] * 3
    for ask in ALL:
        assert not ask(frames).is_empty()


def test_a_new_rating_comes_after_the_known_ones() -> None:
    frames = one_view_each({"satisfaction_rating": ["Poor", "Divine", "Divine"]})
    found = pf.satisfaction(frames)
    assert found["satisfaction_rating"].to_list() == ["Excellent", "Good", "Average", "Poor", "Divine"]
    assert found["share"].to_list() == pytest.approx([0, 0, 0, 1 / 3, 2 / 3])


@of_details
def test_a_sample_of_a_few_sessions_is_flagged_and_not_refused(ask: Ask) -> None:
    found = ask(sample_of(3, frames=ended()))
    assert not found.is_empty()
    if "flag" in found.columns:
        assert set(found["flag"]) <= {"few sessions", "no sessions"}


@of_details
def test_a_sample_without_details_gives_no_rows(ask: Ask) -> None:
    found = ask(sample_of(5, frames=ended(), lost=5))
    assert found.schema == ask(ended()).schema
    assert found.is_empty() or ask is pf.apdex


@by_name
def test_an_invalid_source_is_refused(ask: Ask) -> None:
    with pytest.raises(pf.InvalidQuery, match="source must be a Lake or its path, .* not int") as refused:
        ask(7)
    assert refused.value.argument == "source"


@by_name
def test_a_missing_lake_raises(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(pf.LakeError, match="No lake"):
        ask(tmp_path / "nothing")


@of_details
def test_frames_have_their_own_window(ask: Ask) -> None:
    for source in (ended(), sample_of(10, frames=ended())):
        with pytest.raises(pf.InvalidQuery, match="its own window"):
            ask(source, date_from="2026-11-01")


@by_name
@pytest.mark.parametrize(("start", "end"), [("2026-11-08", "2026-11-01"), ("2026-11-08", "2026-11-08"), ("soon", None)])
def test_an_invalid_window_is_refused(ask: Ask, start: str, end: str | None, tmp_path: Path) -> None:
    lake = lake_of(nothing(ended()), tmp_path / "lake")
    with pytest.raises(pf.InvalidQuery) as refused:
        ask(lake, date_from=start, date_to=end)
    assert refused.value.argument == "date_from"


@pytest.mark.parametrize(
    ("ask", "arguments", "argument"),
    [
        (pf.traffic, {"by": "page"}, "by"),
        (pf.traffic, {"by": ["country"]}, "by"),
        (pf.traffic, {"every": "0d"}, "every"),
        (pf.traffic, {"every": "-1d"}, "every"),
        (pf.traffic, {"every": ""}, "every"),
        (pf.traffic, {"every": "day"}, "every"),
        (pf.traffic, {"every": timedelta(days=1)}, "every"),
        (pf.traffic, {"time_zone": "Mars/Olympus"}, "time_zone"),
        (pf.traffic, {"time_zone": ""}, "time_zone"),
        (pf.traffic, {"time_zone": None}, "time_zone"),
        (pf.satisfaction, {"every": "0h"}, "every"),
        (pf.satisfaction, {"by": "page"}, "by"),
        (pf.page_speed, {"by": "no_such_column"}, "by"),
        (pf.page_speed, {"where": "loading_time_ms"}, "where"),
        (pf.page_speed, {"where": "loading_time_ms >"}, "where"),
        (pf.page_speed, {"rules": {"/a": ""}}, "rules"),
        (pf.page_speed, {"by": "views", "where": None}, "by"),
        (pf.apdex, {"threshold_ms": 0}, "threshold_ms"),
        (pf.apdex, {"threshold_ms": True}, "threshold_ms"),
        (pf.apdex, {"threshold_ms": 1.5}, "threshold_ms"),
        (pf.error_impact, {"where": "page = '/'"}, "where"),
        (pf.features, {"known": "later"}, "known"),
        (pf.features, {"label": "country"}, "label"),
        *(
            (ask, {"wide": "yes"}, "wide")
            for ask in (pf.page_speed, pf.apdex, pf.error_impact, pf.satisfaction, pf.paths, pf.landings)
        ),
        (pf.estimate, {"measures": "count()", "wide": 1}, "wide"),
        (pf.compare, {"measures": "count()", "segments": ["true", "false"], "wide": None}, "wide"),
        (pf.features, {"time_zone": "nowhere"}, "time_zone"),
        (pf.compare, {"measures": "count()"}, "windows"),
        (pf.compare, {"measures": "count()", "segments": ["country = 'NZ'"]}, "windows"),
        (pf.compare, {"measures": "count()", "segments": "ab"}, "windows"),
        (pf.compare, {"measures": "count()", "windows": [("2026-11-01",), ("2026-11-02",)]}, "windows"),
        (pf.compare, {"measures": "count()", "segments": ["country =", "country = 'NZ'"]}, "segments"),
        (pf.compare, {"measures": "nothing", "segments": ["true", "false"]}, "measures"),
    ],
)
def test_a_wrong_argument_is_named(ask: Ask, arguments: dict[str, Any], argument: str) -> None:
    with pytest.raises(pf.InvalidQuery) as refused:
        ask(ended(), **arguments)
    assert refused.value.argument == argument


def test_windows_of_frames_are_refused() -> None:
    windows = [("2026-11-01", "2026-11-08"), ("2026-11-08", "2026-11-15")]
    with pytest.raises(pf.InvalidQuery, match="its own window"):
        pf.compare(sample_of(10, frames=ended()), "count()", windows=windows, wide=True)


def test_a_frame_that_lacks_a_column_is_refused() -> None:
    with pytest.raises(pf.InvalidQuery, match="no column user_id"):
        pf.traffic(ended().sessions.drop("user_id"))


def test_a_group_in_only_one_of_two_segments_is_null_in_the_other() -> None:
    segments = ["country = 'US'", "country = 'NZ'"]
    found = pf.compare(ended(), ["count()", "count()"], segments=segments, by="country", wide=True)
    us, nz = (int((ended().sessions["country"] == code).sum()) for code in ("US", "NZ"))
    columns = ("country", "first", "second", "difference", "differs", "sessions_first", "sessions_second")
    assert found.select(columns).rows() == [("US", us, None, None, None, us, 0), ("NZ", None, nz, None, None, 0, nz)]


@of_details
def test_the_order_of_the_given_rows_does_not_matter(ask: Ask) -> None:
    some = [frame.sample(fraction=1, shuffle=True, seed=3) for frame in ended().tables().values()]
    assert_frame_equal(ask(pf.SessionFrames(*some)), ask(ended()), categorical_as_str=True)
