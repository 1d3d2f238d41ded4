"""features(): what a row holds, and that nothing from after the start leaks into what was known then."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from support.analysis_lakes import END, ended, figures, grouped, lake_of, rows_of, summaries, template_of
from support.populations import part_of, population, sample_of

import pulseframes as pf

SESSIONS, VIEWS, ERRORS = rows_of(ended())
#: All that becomes known while a session goes on, or after it.
LATER = {
    "session_updated": END,
    "session_end": END,
    "user_is_anonymous": True,
    "user_last_seen": END,
    "satisfaction_rating": "Poor",
    "session_length_ms": 77,
    "status": "ended",
    "page_view_count": 77,
}


def with_another_end(frames: pf.SessionFrames) -> pf.SessionFrames:
    """The same sessions with everything changed after the first page's address."""
    sessions = frames.sessions.with_columns(
        pl.lit(value).cast(frames.sessions.schema[name]).alias(name) for name, value in LATER.items()
    )
    times = [pl.lit(7, pl.Int64).alias(name) for name in ("loading_time_ms", "viewing_time_ms")]
    first = frames.page_views.filter(view_index=0).with_columns(times)
    return pf.SessionFrames(sessions, first, frames.errors.clear())


def test_nothing_after_a_sessions_start_leaks_into_what_was_known_then(tmp_path: Path) -> None:
    for number, frames in enumerate((ended(), with_another_end(ended()))):
        lake_of(frames, tmp_path / str(number))
    found = [pf.features(tmp_path / number, known="start") for number in ("0", "1")]
    assert_frame_equal(*found)
    assert len(found[0].columns) == 15


LABELS = ("satisfaction_rating", "session_length_ms", "page_view_count", "user_is_anonymous")


@pytest.mark.parametrize("label", LABELS)
def test_a_label_stands_after_features_of_the_start_and_leaks_into_none_of_them(label: Any) -> None:
    found = pf.features(ended(), label=label)
    at_start = pf.features(ended(), known="start")
    assert found.columns == [*at_start.columns[:-1], label, "weight"]
    later = pf.features(with_another_end(ended()), label=label)
    both = pl.col("session_id").is_in(found["session_id"].implode())
    assert_frame_equal(found.drop(label), at_start.filter(both))
    assert_frame_equal(later.filter(both).drop(label), found.drop(label))


@pytest.mark.parametrize("known", ["start", "end", None])
def test_sessions_without_a_label_and_those_that_may_still_change_are_left_out(known: Any) -> None:
    frames = population()
    found = pf.features(frames, label="satisfaction_rating", known=known)
    labelled = frames.sessions.drop_nulls("satisfaction_rating").filter(pl.col("status").ne_missing("active"))
    assert 0 < len(found) < len(frames.sessions)
    assert_frame_equal(
        found.select("session_id", "satisfaction_rating"),
        labelled.select("session_id", "satisfaction_rating").sort("session_id"),
    )


@pytest.mark.parametrize("label", LABELS[1:])
def test_a_label_that_is_a_feature_at_the_end_is_refused(label: Any) -> None:
    with pytest.raises(pf.InvalidQuery, match="known='start'") as refused:
        pf.features(ended(), label=label, known="end")
    assert refused.value.argument == "label"


def test_without_a_label_all_features_of_the_end_are_there() -> None:
    assert_frame_equal(pf.features(ended()), pf.features(ended(), known="end"))


def test_later_sessions_do_not_leak_into_earlier_ones() -> None:
    early = ended().sessions.head(700)["session_id"]
    of_early = pf.features(part_of(ended(), early), known="start")
    of_all = pf.features(ended(), known="start")
    assert_frame_equal(of_all.filter(pl.col("session_id").is_in(early.implode())), of_early)


def test_what_is_known_at_the_start() -> None:
    rows = figures(pf.features(ended(), known="start", time_zone="Pacific/Auckland"), "session_id")
    assert rows.keys() == {row["session_id"] for row in SESSIONS}
    first = {view["session_id"]: view["page"] for view in VIEWS if view["view_index"] == 0}
    users = grouped(SESSIONS, lambda row: row["user_id"])
    for session in SESSIONS:
        row, start = rows[session["session_id"]], session["session_start"]
        local = start.astimezone(ZoneInfo("Pacific/Auckland"))
        assert (row["hour"], row["weekday"]) == (local.hour, local.isoweekday())
        assert row["is_weekend"] == (local.isoweekday() > 5)
        assert [row[name] for name in ("country", "browser_name")] == [session["country"], session["browser_name"]]
        version = session["browser_version"]
        assert row["browser_major"] == (None if version is None else int(version.split(".")[0]))
        assert row["landing"] == template_of(first.get(session["session_id"]))
        seen = session["user_first_seen"]
        assert row["is_first_session"] == (None if seen is None else seen == start)
        if seen is not None:
            assert row["days_since_first_seen"] == pytest.approx((start - seen) / timedelta(days=1))
        if session["user_id"] is None:
            assert (row["sessions_before"], row["hours_since_last"]) == (None, None)
            continue
        before = [other["session_start"] for other in users[session["user_id"]] if other["session_start"] < start]
        assert row["sessions_before"] == len(before)
        if before:
            assert row["hours_since_last"] == pytest.approx((start - max(before)) / timedelta(hours=1))
        else:
            assert row["hours_since_last"] is None


def test_what_is_known_at_the_end() -> None:
    rows = figures(pf.features(ended()), "session_id")
    views, errors = (grouped(items, lambda item: item["session_id"]) for items in (VIEWS, ERRORS))
    for session in SESSIONS:
        row, mine = rows[session["session_id"]], views[session["session_id"]]
        assert row["is_anonymous"] == session["user_is_anonymous"]
        assert row["session_length_ms"] == session["session_length_ms"]
        assert row["page_view_count"] == session["page_view_count"]
        assert row["error_count"] == len(errors[session["session_id"]])
        assert row["error_groups"] == len({error["group_id"] for error in errors[session["session_id"]]} - {None})
        if not mine:
            assert row["viewing_ms"] is row["page_templates"] is None
            continue
        loading = [view["loading_time_ms"] for view in mine if view["loading_time_ms"] is not None]
        viewing = [view["viewing_time_ms"] for view in mine if view["viewing_time_ms"] is not None]
        assert row["page_templates"] == len({template_of(view["page"]) for view in mine} - {None})
        assert row["first_loading_ms"] == mine[0]["loading_time_ms"]
        assert row["max_loading_ms"] == max(loading, default=None)
        assert row["mean_loading_ms"] == (pytest.approx(sum(loading) / len(loading)) if loading else None)
        assert row["viewing_ms"] == (sum(viewing) if viewing else None)


def test_sessions_before_counts_the_whole_lake_with_or_without_details(tmp_path: Path) -> None:
    lake = pf.Lake(tmp_path / "lake")
    lake.write(summaries(), fetched_at=END)
    late = ended().sessions.tail(30)["session_id"]
    lake_of(part_of(ended(), late), tmp_path / "lake")
    start = ended().sessions["session_start"][-30]
    census, found = pf.features(lake, known="start", date_from=start), pf.features(lake, known="start")
    whole = pf.features(ended(), known="start").filter(pl.col("session_id").is_in(late.implode()))
    assert found["sessions_before"].to_list() == whole["sessions_before"].to_list()
    assert found["sessions_before"].sum() > 0
    assert found["weight"].to_list() == [None] * 30, "nothing drew them"
    assert_frame_equal(census.drop("weight"), found.drop("weight"))
    assert census["weight"].to_list() == [1.0] * 30, "they are all that there is in the window"


def test_a_session_at_the_same_moment_does_not_count_as_earlier() -> None:
    user = grouped(SESSIONS, lambda row: row["user_id"])
    two = next(rows for name, rows in user.items() if name is not None and len(rows) == 2)
    frames = part_of(ended(), [row["session_id"] for row in two])
    at_once = pf.SessionFrames(
        frames.sessions.with_columns(pl.col("session_start").first()), frames.page_views, frames.errors
    )
    found = pf.features(at_once, known="start")
    assert found["sessions_before"].to_list() == [0, 0]
    assert found["hours_since_last"].to_list() == [None, None]


def test_a_first_seen_time_overwritten_after_the_start_counts_as_unknown() -> None:
    def first_seen(after: timedelta) -> tuple[bool | None, float | None]:
        frames = part_of(ended(), [SESSIONS[0]["session_id"]])
        sessions = frames.sessions.with_columns((pl.col("session_start") + after).alias("user_first_seen"))
        row = pf.features(pf.SessionFrames(sessions, frames.page_views, frames.errors)).row(0, named=True)
        return row["is_first_session"], row["days_since_first_seen"]

    assert first_seen(timedelta(days=3)) == (None, None)
    assert first_seen(timedelta(seconds=2)) == (True, 0.0)
    assert first_seen(timedelta(seconds=-2)) == (True, pytest.approx(2 / 86_400))
    assert first_seen(timedelta(days=-3)) == (False, 3.0)


def test_the_weights_of_a_sample_add_up_to_its_population() -> None:
    sample = sample_of(120, frames=ended())
    found = pf.features(sample)
    assert len(found) == 120
    assert found["weight"].sum() == pytest.approx(len(ended().sessions))


def test_a_sample_whose_population_has_no_users_is_refused() -> None:
    sample = sample_of(20, frames=ended())
    bare = pf.Sample(sample.population.drop("user_id"), sample.members, sample.details)
    with pytest.raises(pf.InvalidQuery, match="user_id") as refused:
        pf.features(bare)
    assert refused.value.argument == "source"
