"""What a report says has changed since the period before."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import Run
from polars.testing import assert_frame_equal
from support.report_lakes import LATER, WEEK, Page, drawn_lake, lake_of, part_of, truth

import pulseframes as pf
from pulseframes import reports
from pulseframes._text import format_percent
from pulseframes.reports.changes import FAILING, LOAD, POOR
from pulseframes.reports.svg import Picture
from pulseframes.windows import Window

DAYS = {"date_from": "2026-11-12", "date_to": "2026-11-14"}
BEFORE = ("2026-11-10", "2026-11-12")
CAPTION = "Changes since the period before"


@pytest.fixture(scope="module")
def shop() -> pf.SessionFrames:
    """A shop whose sessions of the last two days were slower than those of the two days before."""
    week = truth(4_000)
    late = week.sessions.filter(pl.col("session_start") >= WEEK.start + timedelta(days=3))["session_id"]
    is_late = pl.col("session_id").is_in(late.implode())
    slower = pl.when(is_late).then(pl.col("loading_time_ms") * 4).otherwise("loading_time_ms")
    return pf.SessionFrames(week.sessions, week.page_views.with_columns(slower.alias("loading_time_ms")), week.errors)


@pytest.fixture(scope="module")
def whole(shop: pf.SessionFrames, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    return lake_of(tmp_path_factory.mktemp("whole") / "lake", shop)


@pytest.fixture(scope="module")
def drawn(shop: pf.SessionFrames, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    return drawn_lake(tmp_path_factory.mktemp("drawn") / "lake", shop, 300)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sections", "rankings"):
        monkeypatch.setattr(f"pulseframes.reports.{module}.picture", lambda *_: Picture("<svg></svg>", "<svg></svg>"))


def counted(shop: pf.SessionFrames, start: str, end: str) -> pl.DataFrame:
    starts = pl.col("session_start").dt.strftime("%Y-%m-%d")
    return shop.sessions.filter(starts >= start, starts < end)


def test_counts_and_figures_of_both_periods_are_shown_with_their_differences(
    whole: pf.Lake, shop: pf.SessionFrames
) -> None:
    page = Page(pf.report(whole, **DAYS, compare="previous"))
    now, before = counted(shop, "2026-11-12", "2026-11-14"), counted(shop, *BEFORE)
    assert page.text.index("What changed") < page.text.index("Traffic")
    names, figures, earlier, changes = (page.column(CAPTION, name) for name in ("Figure", "Now", "Before", "Change"))
    assert [name[0] for name in names] == [
        *("Sessions", "Users", "Load time (75th percentile)", "Sessions rated Poor", "Sessions with errors")
    ]
    for row, count in enumerate((pl.len(), pl.col("user_id").drop_nulls().n_unique())):
        both = [frame.select(count).item() for frame in (now, before)]
        assert [figures[row][0], earlier[row][0]] == [f"{number:,}" for number in both]
        share = (both[0] - both[1]) / both[1]
        assert changes[row][0] == ("\N{MINUS SIGN}" if share < 0 else "+") + format_percent(abs(share))
    assert "Compared with 10 November 2026 to 11 November 2026: sessions " in page.text
    assert re.fullmatch(r"\+\d+\.\d s", changes[2][0])
    assert len(changes[2]) == 1, "exact, so without an interval"


def test_the_changes_of_a_sample_are_those_of_compare(drawn: pf.Lake) -> None:
    findings = reports.collect(drawn, **DAYS, compare="previous")
    assert findings.changes is not None
    expected = pf.compare(
        drawn, [LOAD, POOR, FAILING], windows=[BEFORE, (DAYS["date_from"], DAYS["date_to"])], wide=True
    )
    assert list(findings.changes.figures.values()) == expected.to_dicts()
    changes = Page(pf.report(drawn, **DAYS, compare="previous")).column(CAPTION, "Change")
    for cell, row in zip(changes[2:], expected.to_dicts(), strict=True):
        assert (cell[0] == "no clear change") != row["differs"]
        assert " to " in cell[1]
    assert expected["differs"].to_list()[0], "four times slower"
    assert not all(expected["differs"])


def test_windows_that_overlap_are_compared_as_segments_of_both_together(drawn: pf.Lake) -> None:
    windows = [("2026-11-09", "2026-11-14"), ("2026-11-11", "2026-11-16")]
    overlapping = pf.compare(drawn, [LOAD, POOR], windows=windows, wide=True)
    conditions = [pl.col("session_start").dt.day() < 14, pl.col("session_start").dt.day() >= 11]
    segments = pf.compare(drawn, [LOAD, POOR], segments=conditions, wide=True)
    assert_frame_equal(overlapping, segments)
    same = pf.compare(drawn, "count()", windows=[windows[0]] * 2, wide=True).row(0, named=True)
    assert (same["difference_lower"], same["difference_upper"], same["differs"]) == (0, 0, False)


def test_a_lake_that_lacks_the_period_before_names_the_sync_that_fetches_it(drawn: pf.Lake) -> None:
    for days in ({}, {"date_from": "2026-11-11", "date_to": "2026-11-15"}):
        page = Page(pf.report(drawn, **days, compare="previous"))
        assert "the lake has not read all of the period before" in page.text
        assert CAPTION not in page.tables
    assert "run: pulseframes sync LAKE --from 2026-11-07 --to 2026-11-11 --details " in page.text


def test_a_sample_that_does_not_represent_the_period_before_leaves_the_counts(
    shop: pf.SessionFrames, tmp_path: Path
) -> None:
    lake = drawn_lake(tmp_path / "lake", shop, 60)
    with lake.locked() as state:
        (design,) = state.designs
        design.drop_before(WEEK.start + timedelta(days=2))
        lake.save_state()
    page = Page(pf.report(lake, **DAYS, compare="previous"))
    assert "the sample does not represent the period before" in page.text
    assert "run: pulseframes sync LAKE --from 2026-11-10 --to 2026-11-12 --details " in page.text
    assert [cell[0] for cell in page.column(CAPTION, "Figure")] == ["Sessions", "Users"]


def test_details_that_were_not_sampled_are_not_compared(shop: pf.SessionFrames, tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", shop, details=False)
    page = Page(pf.report(lake, **DAYS, compare="previous"))
    assert "cannot be compared: there are no details." in page.text
    lake.write(part_of(shop, shop.sessions["session_id"].gather_every(20).to_list()), fetched_at=LATER)
    page = Page(pf.report(lake, **DAYS, compare="previous"))
    assert "details of one of the two periods were not sampled at random." in page.text
    assert [cell[0] for cell in page.column(CAPTION, "Figure")] == ["Sessions", "Users"]


def test_counts_of_an_incomplete_period_are_called_so(shop: pf.SessionFrames, tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", shop)
    with lake.locked() as state:
        state.incomplete.append(Window(WEEK.start + timedelta(days=1), WEEK.start + timedelta(days=2)))
        lake.save_state()
    with pytest.warns(pf.IncompleteWarning, match="lacks sessions of 2026-11-10"):
        page = Page(pf.report(lake, **DAYS, compare="previous"))
    assert "The lake may lack sessions of one of the two periods" in page.text
    assert (
        "may lack sessions"
        not in Page(pf.report(lake, date_from="2026-11-14", date_to="2026-11-15", compare="previous")).text
    )


def test_deleted_sessions_are_not_compared_with(shop: pf.SessionFrames, tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", shop)
    with lake.locked() as state:
        state.kept_from = WEEK.start + timedelta(days=2)
        lake.save_state()
    page = Page(pf.report(lake, **DAYS, compare="previous"))
    assert "sessions that started before 2026-11-11 UTC were deleted" in page.text
    assert CAPTION not in page.tables


@pytest.mark.parametrize("compare", ["before", 3, "Previous"])
def test_another_period_is_refused(whole: pf.Lake, compare: object) -> None:
    with pytest.raises(pf.InvalidQuery, match="compare must be one of previous") as caught:
        pf.report(whole, compare=compare)  # type: ignore[call-overload]  # wrong on purpose
    assert caught.value.argument == "compare"


def test_a_window_with_nothing_before_it_is_refused(whole: pf.Lake) -> None:
    with (
        pytest.warns(pf.IncompleteWarning, match="has not read all of this window"),
        pytest.raises(pf.InvalidQuery, match="no period of equal length") as caught,
    ):
        pf.report(whole, date_from="0001-01-02", date_to="2026-11-14", compare="previous")
    assert caught.value.argument == "compare"


def test_the_command_compares_and_prints_the_changes_for_programs(run: Run, drawn: pf.Lake, tmp_path: Path) -> None:
    window = ("--from", DAYS["date_from"], "--to", DAYS["date_to"])
    code, out, _ = run("report", drawn.location, "-o", tmp_path / "r.html", *window, "--compare", "previous", "--json")
    changes = json.loads(out)["changes"]
    assert (code, changes["date_from"], changes["problems"]) == (0, "2026-11-10T00:00:00+00:00", [])
    assert changes["load_p75_ms"]["differs"] is True
    assert changes["sessions"].keys() == {"now", "before"}
    assert run("report", drawn.location, "-o", tmp_path / "r.html", "--compare", "later")[0] == 2
