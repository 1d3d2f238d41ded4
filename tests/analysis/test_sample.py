"""Sample: its population and members, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import NOW
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes import reports
from pulseframes.fetch.draw import SampleDraw
from pulseframes.lake.state import LakeState
from pulseframes.sampling.design import Design
from pulseframes.simulator import Simulator
from pulseframes.tables.frames import SessionFrames
from pulseframes.windows import Window

DAY = timedelta(days=1)
START, MIDDLE, END = NOW - 6 * DAY, NOW - 4 * DAY, NOW - 2 * DAY
UNIFORM = Design("uniform", strata=("country",))


@pytest.fixture(scope="module")
def shop() -> Simulator:
    """600 sessions of the six days before NOW."""
    return Simulator(sessions=600, days=6, now=NOW, daily_limit=None)


@pytest.fixture
def lake(shop: Simulator, tmp_path: Path) -> pf.Lake:
    """A lake of all summaries of four days."""
    made = pf.Lake(tmp_path / "lake")
    made.write(shop.summaries(START, END), fetched_at=NOW)
    with made.locked() as state:
        state.coverage.add(Window(START, END), NOW, DAY)
        made.save_state()
    return made


def frames_of(shop: Simulator, ids: pl.Series, *window: datetime) -> SessionFrames:
    """The details of sessions, with no call."""
    there = shop.truth(*(window or (START, END)))
    truth = {name: frame.filter(pl.col("session_id").is_in(ids.implode())) for name, frame in there.items()}
    return SessionFrames(truth["sessions"], truth["page_views"], truth["errors"])


def download(lake: pf.Lake, shop: Simulator, count: int, *window: datetime, design: Design = UNIFORM) -> None:
    """Do what a sync does, with no call."""
    with lake.locked():
        sample_draw = SampleDraw(lake, design, Window(*window))
        ids = sample_draw.pending()[:count]
        sample_draw.begin(ids)
        lake.write(frames_of(shop, pl.Series(ids), *window), fetched_at=NOW)
        sample_draw.record()


# From a lake


def test_a_sample_of_a_lake_has_its_population_members_and_details(lake: pf.Lake, shop: Simulator) -> None:
    download(lake, shop, 30, START, END)
    sample = pf.Sample.of_lake(lake)
    assert_frame_equal(pf.Sample.of_lake(Path(lake.location)).population, sample.population)
    assert len(sample.population) == len(lake.sessions().collect())
    assert sample.population["inclusion_probability"].sum() == pytest.approx(30, rel=1e-6)
    assert {*sample.members["session_id"]} == {*lake.design().collect()["session_id"]}
    assert sample.members["responded"].all()
    assert {*sample.details.sessions["session_id"]} == {*sample.members["session_id"]}
    views = lake.page_views().drop("date").sort("session_id", "view_index").collect()
    assert_frame_equal(sample.details.page_views.sort("session_id", "view_index"), views)
    assert (sample.is_drawn, sample.is_census) == (True, False)


def test_a_window_has_its_own_sessions_and_the_probabilities_of_the_whole(lake: pf.Lake, shop: Simulator) -> None:
    download(lake, shop, 30, START, END)
    whole = pf.Sample.of_lake(lake)
    part = pf.Sample.of_lake(lake, MIDDLE, END)
    late = whole.population.filter(pl.col("session_start") >= MIDDLE)
    assert_frame_equal(part.population, late, check_row_order=False)
    assert 0 < len(part.members) < 30
    assert part.members["session_start"].min() >= MIDDLE
    assert {*part.details.sessions["session_id"]} == {*part.members["session_id"]}


def test_only_the_requested_columns_are_read(lake: pf.Lake, shop: Simulator) -> None:
    download(lake, shop, 5, START, END)
    columns = {*pf.Sample.of_lake(lake, columns=["browser_name"]).population.columns}
    assert {"session_id", "session_start", "browser_name", "country", "inclusion_probability"} <= columns
    assert not columns & {"user_email_address", "ip_address", "os_name"}


def test_the_last_sample_is_the_default(lake: pf.Lake, shop: Simulator) -> None:
    download(lake, shop, 12, START, END, design=Design("pageviews", seed=1))
    download(lake, shop, 4, START, END, design=Design("pageviews", seed=2))
    download(lake, shop, 7, START, END)
    drawn = lake.design().group_by("design", "seed").len().collect()
    counts = {(design, seed): count for design, seed, count in drawn.iter_rows()}
    for named, key in [
        (None, ("uniform by country", 0)),
        ("uniform by country", ("uniform by country", 0)),
        ("pageviews", ("pageviews", 2)),
        (Design("pageviews", seed=1), ("pageviews", 1)),
    ]:
        assert len(pf.Sample.of_lake(lake, design=named).members) == counts[key]


def test_a_window_that_the_sample_does_not_represent_is_refused(lake: pf.Lake, shop: Simulator) -> None:
    download(lake, shop, 10, START, MIDDLE)
    assert pf.Sample.of_lake(lake).population["session_start"].max() < MIDDLE
    for window, argument in [((START, END), "date_from"), ((None, END), "date_to"), ((MIDDLE, None), "date_from")]:
        if window == (MIDDLE, None):
            expected, message = "date_from", "must be before"
        else:
            expected, message = argument, "uniform by country does not represent [0-9]+ sessions of this window"
        with pytest.raises(pf.InvalidQuery, match=message) as caught:
            pf.Sample.of_lake(lake, *window)
        assert caught.value.argument == expected


def test_a_lake_without_a_sample_says_how_to_draw_one(lake: pf.Lake, shop: Simulator, tmp_path: Path) -> None:
    with pytest.raises(pf.LakeError, match=r"has no random sample, .* sync\(\.\.\., details=45, design='pageviews'\)"):
        pf.Sample.of_lake(lake)
    lake.write(frames_of(shop, shop.summaries(START, END)["session_id"].head(9)), fetched_at=NOW)
    with pytest.raises(pf.LakeError, match="nothing can be estimated from its details"):
        pf.Sample.of_lake(lake)
    with pytest.raises(pf.LakeError, match="No lake at"):
        pf.Sample.of_lake(pf.Lake(tmp_path / "none"))
    empty = pf.Lake(tmp_path / "empty")
    with empty.locked():
        pass
    with pytest.raises(pf.LakeError, match=r"has no sessions. Add some with sync\(\) or Lake.write\(\)"):
        pf.Sample.of_lake(empty)


def test_the_default_window_of_a_lake_without_a_sync_is_from_its_first_session_to_its_last(
    shop: Simulator, tmp_path: Path
) -> None:
    everything = shop.summaries(START, END)
    filled = pf.Lake(tmp_path / "filled")
    filled.write(frames_of(shop, everything["session_id"]), fetched_at=NOW)
    assert len(pf.Sample.of_lake(filled).population) == len(everything.filter(pl.col("status").ne_missing("active")))


def test_an_unknown_design_is_answered_with_those_available(lake: pf.Lake, shop: Simulator) -> None:
    with pytest.raises(pf.InvalidQuery, match="the lake has no sample pageviews; it has none"):
        pf.Sample.of_lake(lake, design="pageviews")
    download(lake, shop, 3, START, END)
    with pytest.raises(pf.InvalidQuery, match=r"no sample pageviews \(seed 9\); it has uniform by country \(seed 0\)"):
        pf.Sample.of_everybody(lake, design=Design("pageviews", seed=9))


@pytest.mark.parametrize(
    ("window", "argument"),
    [
        (("yesterday",), "date_from"),
        ((None, "soon"), "date_to"),
        ((END, START), "date_from"),
        ((START, START), "date_from"),
    ],
)
def test_an_invalid_window_is_refused(lake: pf.Lake, shop: Simulator, window: Any, argument: str) -> None:
    download(lake, shop, 3, START, END)
    for read in (pf.Sample.of_lake, pf.Sample.of_everybody, pf.Sample.of_bought):
        with pytest.raises(pf.InvalidQuery) as caught:
            read(lake, *window)
        assert caught.value.argument == argument


@pytest.mark.parametrize("missing", [1, 2])
def test_nonresponse_of_more_than_one_in_twenty_is_warned_of(lake: pf.Lake, shop: Simulator, missing: int) -> None:
    download(lake, shop, 30, START, END)
    gone = lake.design().head(missing).collect()["session_id"].to_list()
    for path in Path(lake.location).glob("sessions/*/*.parquet"):  # as if the server had not known them
        rows = pl.read_parquet(path, hive_partitioning=False)
        without = pl.when(~pl.col("session_id").is_in(gone)).then("detail_fetched_at").alias("detail_fetched_at")
        rows.with_columns(without).write_parquet(path)
    if missing == 1:
        sample = pf.Sample.of_lake(lake)
    else:
        message = r"2 of the 30 sessions in the sample uniform by country \(seed 0\) have no details"
        with pytest.warns(pf.IncompleteWarning, match=message):
            sample = pf.Sample.of_lake(lake)
    assert {*sample.members.filter(~pl.col("responded"))["session_id"]} == {*gone}
    assert len(sample.details.sessions) == 30 - missing
    assert repr(sample) == f"Sample({len(sample.population)} sessions, 30 drawn, {30 - missing} with details)"


# Everybody, and downloaded details


def test_everybody_is_a_census(lake: pf.Lake) -> None:
    sample = pf.Sample.of_everybody(lake, START, MIDDLE)
    count = lake.sessions().filter(pl.col("session_start") < MIDDLE).collect().height
    assert (len(sample.population), len(sample.members), sample.is_census, sample.is_drawn) == (
        count,
        count,
        True,
        True,
    )
    assert sample.population["inclusion_probability"].unique().to_list() == [1.0]


def test_downloaded_details_represent_only_themselves_unless_they_are_all(lake: pf.Lake, shop: Simulator) -> None:
    ids = shop.summaries(START, END)["session_id"]
    lake.write(frames_of(shop, ids.head(20)), fetched_at=NOW)
    some = pf.Sample.of_bought(lake)
    assert (len(some.population), len(some.members), some.is_drawn) == (20, 20, False)
    assert repr(some) == "Sample(20 sessions, not drawn, 20 with details)"
    lake.write(frames_of(shop, ids), fetched_at=NOW)
    for everything in (pf.Sample.of_bought(lake), pf.Sample.of_lake(lake)):
        assert (len(everything.population), everything.is_census, everything.is_drawn) == (len(ids), True, True)


def test_a_design_without_details_is_not_the_lakes_last(lake: pf.Lake, shop: Simulator) -> None:
    download(lake, shop, 5, START, END)
    with lake.locked():
        SampleDraw(lake, Design("pageviews"), Window(START, END)).record(latest=False)
    assert [drawn.design for drawn in lake.state().designs] == [Design("pageviews"), UNIFORM]


@pytest.mark.parametrize(
    "question", [pf.page_speed, pf.error_impact, pf.paths, pf.features, lambda it: reports.collect(it).figures]
)
def test_a_design_that_has_drawn_nothing_leaves_details_as_they_are(
    lake: pf.Lake, shop: Simulator, question: Callable[[pf.Lake], Any]
) -> None:
    lake.write(frames_of(shop, shop.summaries(START, END)["session_id"].head(9)), fetched_at=NOW)
    before = question(lake)
    with lake.locked():
        draw = SampleDraw(lake, Design("pageviews"), Window(START, END))
        draw.begin([])  # the quota is used up
        draw.record(latest=False)
    after = question(lake)
    assert len(lake.state().designs) == 1
    assert str(after) == str(before)


def test_a_sample_whose_design_was_deleted_is_reported_and_the_next_details_draw_it_again(
    lake: pf.Lake, shop: Simulator
) -> None:
    download(lake, shop, 30, START, END)
    drawn = {*lake.design().collect()["session_id"]}
    shutil.rmtree(Path(lake.location) / "design")
    with pytest.raises(
        pf.LakeError, match=r"no longer has any session of its sample uniform .* draws the sample again"
    ):
        pf.estimate(lake, "median(loading_time_ms)")
    download(lake, shop, 1, START, END)
    assert {*lake.design().collect()["session_id"]} > drawn
    assert len(pf.Sample.of_lake(lake).members) == 31


def test_a_sync_killed_before_its_sample_was_recorded_is_reported(lake: pf.Lake) -> None:
    with lake.locked():
        sample_draw = SampleDraw(lake, UNIFORM, Window(START, END))
        sample_draw.begin(sample_draw.pending()[:3])
    with pytest.raises(pf.LakeError, match="was interrupted before it recorded the sample. Run it again"):
        pf.Sample.of_lake(lake)


def test_a_window_that_the_lake_has_not_read_is_reported(lake: pf.Lake, shop: Simulator) -> None:
    download(lake, shop, 20, START, END)
    with pytest.warns(pf.IncompleteWarning, match="has not read all of this window: the figures omit .* UTC"):
        count = pf.estimate(lake, "count()", date_from=START - DAY, date_to=END)["estimate"].item()
    assert count == len(pf.Sample.of_everybody(lake).population)
    with pytest.raises(pf.InvalidQuery, match="has nothing of this window, only"):
        pf.estimate(lake, "count()", date_from=END + DAY, date_to=END + 2 * DAY)


# From frames


def test_missing_details_are_warned_of(shop: Simulator) -> None:
    population = shop.summaries(START, END)
    chosen = pf.choose_details(population, 20)
    with pytest.warns(pf.IncompleteWarning, match="8 of the 20 sessions in the sample pageviews have no details"):
        pf.Sample.of_frames(population, chosen, frames_of(shop, chosen["session_id"].head(12)))


@pytest.mark.parametrize("calls", [40, 10_000])
@pytest.mark.parametrize("kind", ["pageviews", "uniform"])
def test_frames_give_the_same_sample_as_a_lake(shop: Simulator, lake: pf.Lake, kind: Any, calls: int) -> None:
    population = shop.summaries(START, END)
    chosen = pf.choose_details(population, calls, design=kind, strata="country")
    design = Design(kind, strata=("country",))
    of_frames = pf.Sample.of_frames(population, chosen, frames_of(shop, chosen["session_id"]), design=design)
    download(lake, shop, calls, START, END, design=design)
    of_lake = pf.Sample.of_lake(lake)
    by_id = ["session_id", "stratum", "size", "inclusion_probability"]
    for name in ("population", "members"):
        one, other = (getattr(sample, name).select(by_id).sort("session_id") for sample in (of_frames, of_lake))
        assert_frame_equal(one, other)
    assert of_frames.is_census == of_lake.is_census == (calls == 10_000)
    assert_frame_equal(of_frames.details.page_views, of_lake.details.page_views, check_row_order=False)


def test_details_alone_are_not_drawn(shop: Simulator) -> None:
    details = frames_of(shop, shop.summaries(START, END)["session_id"].head(7))
    sample = pf.Sample.of_details(details)
    assert (len(sample.population), len(sample.members), sample.is_drawn, sample.is_census) == (7, 7, False, True)


def test_frames_that_do_not_belong_together_are_refused(shop: Simulator) -> None:
    population = shop.summaries(START, END)
    chosen = pf.choose_details(population, 5)
    details = frames_of(shop, chosen["session_id"])
    make = pf.Sample.of_frames
    wrong: list[tuple[Callable[[], object], str, str]] = [
        (lambda: make(population.to_dicts(), chosen, details), "sessions", "must be a polars DataFrame, not list"),
        (lambda: make(population.drop("page_view_count"), chosen, details), "sessions", "no column page_view_count"),
        (lambda: make(pl.concat([population, population]), chosen, details), "sessions", "occurs twice"),
        (lambda: make(population, pl.concat([chosen, chosen]), details), "chosen", "occurs twice"),
        (
            lambda: make(population, chosen.with_columns(inclusion_probability=5.0), details),
            "chosen",
            "each inclusion_probability must be above 0 and at most 1",
        ),
        (lambda: make(population, chosen.drop("size"), details), "chosen", "no column size; pass what choose_details"),
        (lambda: make(population, None, details), "chosen", "must be a polars DataFrame, not NoneType"),
        (
            lambda: make(population.head(0), chosen, details),
            "chosen",
            "was not chosen from these sessions by the design",
        ),
        (lambda: make(population, chosen, details, design="uniform"), "chosen", "by the design uniform"),
        (lambda: make(population, chosen, details, design="newest"), "design", "not 'newest'"),
        (
            lambda: make(population, chosen, details.sessions),
            "details",
            "what session_details.. returned, not DataFrame",
        ),
        (lambda: pf.Sample.of_details(details.sessions), "details", "what session_details.. returned, not DataFrame"),
        (lambda: pf.Sample.of_lake(5), "lake", "lake must be a Lake, or its folder"),
    ]
    for ask, argument, message in wrong:
        with pytest.raises(pf.InvalidQuery, match=message) as caught:
            ask()
        assert caught.value.argument == argument


def test_a_sample_shows_nothing_personal(lake: pf.Lake, shop: Simulator) -> None:
    download(lake, shop, 30, START, END)
    sample = pf.Sample.of_lake(lake)
    assert repr(sample) == f"Sample({len(sample.population)} sessions, 30 drawn, 30 with details)" == str(sample)
    assert LakeState.decode(lake.state().encode(), "x").designs == lake.state().designs
