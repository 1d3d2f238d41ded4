"""sync() with a design downloads the details that choose_details() selects, and the lake records their probabilities."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import polars as pl
import pytest
from conftest import NOW, Clock, client_of, requested_details
from lake.test_remote_storage import _no_cloud_of_the_developer, endpoint, options, url  # noqa: F401  pytest finds them here
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.lake.partitions import VERSION_KEY
from pulseframes.lake.state import STATE_FILE
from pulseframes.reports.basis import coverage_section
from pulseframes.reports.findings import collect
from pulseframes.sampling.design import BOTS, OTHERS
from pulseframes.sampling.rates import DesignState, RateWindow
from pulseframes.sampling.suitability import wrong_design
from pulseframes.simulator import Fault, Simulator
from pulseframes.tables import DESIGN, INSTANT, LAKE_VERSION, SESSIONS
from pulseframes.windows import Window

Days: TypeAlias = tuple[datetime, datetime]

DAY = timedelta(days=1)
BY_COUNTRY = pf.Design("pageviews", strata=("country",), seed=3)
#: A question about platforms, for which the strata and their shares are chosen.
FOR_PLATFORMS = pf.Design(for_question="p75(loading_time_ms) by platform_name", seed=1)
DESIGNS = [pf.Design("pageviews"), pf.Design("uniform"), BY_COUNTRY, pf.Design("uniform", strata=("platform_name",))]

#: Details of which each lacks a page view that the summary has counted, as where the server has cut a long list.
CUT = Fault(kind="drift", on="session", times=None, edit=lambda document: document["session"]["pageViews"].pop())


@pytest.fixture
def shop(clock: Clock) -> Iterator[Simulator]:
    """400 sessions of the ten days before NOW, and no limit."""
    clock.now = NOW
    with Simulator(sessions=400, days=10, now=clock.now, daily_limit=None) as running:
        yield running


@pytest.fixture
def client(shop: Simulator, clock: Clock) -> Iterator[pf.PulseClient]:
    with client_of(shop, clock=clock, sleep=clock.sleep) as connected:
        yield connected


@pytest.fixture
def window(shop: Simulator, clock: Clock) -> Days:
    """Eight days that no longer change."""
    return shop.begin, clock.now - 2 * DAY


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of summaries, without details, in a folder."""
    folder = tmp_path_factory.mktemp("summaries") / "lake"
    clock = Clock()
    clock.now = NOW
    with Simulator(sessions=400, days=10, now=NOW, daily_limit=None) as shop, client_of(shop, clock=clock) as client:
        pf.sync(folder, shop.begin, NOW - 2 * DAY, client=client)
    lake = pf.Lake(folder)
    with lake.locked() as state:
        state.application = None  # each test's simulator has another address
        lake.save_state()
    return folder


@pytest.fixture
def lake(summaries: Path, client: pf.PulseClient, tmp_path: Path) -> pf.Lake:
    """A copy of it; the client is authenticated."""
    client.check_credentials()
    return pf.Lake(shutil.copytree(summaries, tmp_path / "lake"))


def copy_of(lake: pf.Lake, name: str) -> pf.Lake:
    place = Path(lake.location)
    return pf.Lake(shutil.copytree(place, place.with_name(name)))


def choice(lake: pf.Lake, calls: int, design: pf.Design = DESIGNS[0], **more: Any) -> pl.DataFrame:
    """Return the selection of choose_details() from the lake's present sessions."""
    sessions = lake.sessions().select(*SESSIONS.schema.names(), "detail_fetched_at").collect()
    return pf.choose_details(
        sessions,
        calls,
        design=design.kind,
        strata=design.strata,
        seed=design.seed,
        allocation=design.allocation,
        bot_share=design.bot_share,
        **more,
    )


def design_of(lake: pf.Lake) -> pl.DataFrame:
    return lake.design().sort(DESIGN.key).collect()


def chances(drawn: pl.DataFrame) -> pl.DataFrame:
    return drawn.select("session_id", "stratum", "inclusion_probability").sort("session_id")


def files(lake: pf.Lake) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(lake.location).glob("design/*/*.parquet"))}


@pytest.fixture
def stranger(shop: Simulator, clock: Clock, tmp_path: Path) -> Iterator[pf.PulseClient]:
    """A client with an empty journal."""
    with client_of(shop, clock=clock, sleep=clock.sleep, changes={"home": tmp_path / "stranger"}) as connected:
        yield connected


# Which details are downloaded


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_a_sync_downloads_the_selection_of_choose_details_in_order_and_records_its_probabilities(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days, design: pf.Design
) -> None:
    chosen = choice(lake, 25, design)
    report = pf.sync(lake, *window, details=25, design=design, client=client)
    assert requested_details(shop) == chosen["session_id"].to_list()
    assert (report.calls_spent, report.details) == (25, 25)
    assert_frame_equal(chances(design_of(lake)), chances(chosen))


def test_the_name_of_a_design_stands_for_seed_0_and_no_strata(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    chosen = choice(lake, 5, pf.Design("uniform"))
    pf.sync(lake, *window, details=5, design="uniform", client=client)
    assert requested_details(shop) == chosen["session_id"].to_list()
    assert design_of(lake).select("design", "seed").unique().rows() == [("uniform", 0)]


@pytest.mark.parametrize("design", [DESIGNS[0], BY_COUNTRY], ids=lambda design: design.name)
def test_ten_syncs_draw_exactly_what_one_of_as_many_details_does(
    lake: pf.Lake,
    shop: Simulator,
    client: pf.PulseClient,
    stranger: pf.PulseClient,
    window: Days,
    design: pf.Design,
) -> None:
    at_once = copy_of(lake, "at once")
    chosen = choice(lake, 30, design)
    for _ in range(10):
        pf.sync(lake, *window, details=3, design=design, client=client)
    assert requested_details(shop) == chosen["session_id"].to_list()
    pf.sync(at_once, *window, details=30, design=design, client=stranger)
    assert_frame_equal(design_of(lake), design_of(at_once))
    assert_frame_equal(chances(design_of(lake)), chances(chosen))


def test_without_a_design_a_sync_continues_the_last_one_of_the_lake(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    chosen = choice(lake, 12, BY_COUNTRY)
    pf.sync(lake, *window, details=6, design=BY_COUNTRY, client=client)
    report = pf.sync(lake, *window, details=6, client=client)
    assert requested_details(shop) == chosen["session_id"].to_list()
    assert report.sample is not None
    assert (report.sample.design, report.sample.seed, report.sample.drawn) == ("pageviews by country", 3, 12)


def test_a_new_lake_draws_a_sample_by_page_views(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    chosen = choice(lake, 4, pf.Design())
    report = pf.sync(lake, *window, details=4, client=client)
    assert requested_details(shop) == chosen["session_id"].to_list()
    assert report.sample is not None
    assert (report.sample.design, report.sample.drawn) == ("pageviews", 4)


def test_the_newest_details_are_fetched_if_named_and_are_no_sample(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    newest = lake.sessions().sort("session_start", descending=True).head(4).collect()["session_id"].to_list()
    report = pf.sync(lake, *window, details=4, design="newest", client=client)
    assert requested_details(shop) == newest
    assert report.sample is None
    assert design_of(lake).is_empty()


def test_newest_details_can_be_added_to_a_lake_with_a_sample_which_stays_unchanged(
    lake: pf.Lake, client: pf.PulseClient, window: Days
) -> None:
    pf.sync(lake, *window, details=8, design="pageviews", client=client)
    before = files(lake)
    report = pf.sync(lake, *window, details=4, design="newest", client=client)
    assert report.sample is None
    assert files(lake) == before != {}
    details = {*lake.sessions().drop_nulls("detail_fetched_at").collect()["session_id"]}
    assert len(details) == 12
    assert details > {*design_of(lake)["session_id"]}


def test_details_downloaded_otherwise_cost_nothing_and_have_the_probability_of_their_place(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    newest = shop.truth(window[1] - 2 * DAY, window[1])  # as downloaded by a sync without a design, or by a notebook
    lake.write(pf.SessionFrames(newest["sessions"], newest["page_views"], newest["errors"]), fetched_at=NOW)
    chosen = choice(lake, 10)
    detailed = chosen.filter("detailed")["session_id"]
    assert len(detailed) > 0
    report = pf.sync(lake, *window, details=10, design="pageviews", client=client)
    assert report.calls_spent == 10
    assert requested_details(shop) == chosen.filter(~pl.col("detailed"))["session_id"].to_list()
    assert_frame_equal(chances(design_of(lake)), chances(chosen))
    assert {*detailed} < {*design_of(lake)["session_id"]}


def test_details_that_a_notebook_downloaded_join_the_sample_when_their_turn_comes(
    lake: pf.Lake, client: pf.PulseClient, window: Days
) -> None:
    chosen = choice(lake, 30)
    nine = chances(choice(lake, 9))
    early, late = chosen["session_id"][2], chosen["session_id"][25]
    pf.session_details([early, late], client=client)
    report = pf.sync(lake, *window, details=8, design="pageviews", client=client)
    assert (report.calls_spent, report.calls_saved, report.details) == (8, 2, 10)
    assert {*design_of(lake)["session_id"]} == {*chosen["session_id"][:9]}
    assert_frame_equal(chances(design_of(lake)), nine)


# Killed, stopped, grown


@pytest.mark.parametrize("after", [1, 7])
def test_a_killed_sync_resumes_as_if_it_had_not_been_killed(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, stranger: pf.PulseClient, window: Days, after: int
) -> None:
    """A copy of the lake during a sync is the lake that a killed sync leaves: what has arrived is in the journal only, which a stranger lacks."""
    chosen = choice(lake, 15)
    shop.faults.add(CUT)
    killed: list[pf.Lake] = []

    def look(progress: pf.Progress) -> None:
        if progress.done == after:
            killed.append(copy_of(lake, "killed"))

    pf.sync(lake, *window, details=10, design="pageviews", client=client, progress=look)
    pf.sync(lake, *window, details=5, client=client)
    assert design_of(killed[0]).is_empty()
    pf.sync(killed[0], *window, details=15, client=stranger)
    assert_frame_equal(design_of(killed[0]), design_of(lake))
    assert_frame_equal(chances(design_of(lake)), chances(chosen))


def test_a_sync_without_calls_left_records_its_sample_and_resumes_the_next_day(
    lake: pf.Lake, shop: Simulator, clock: Clock, window: Days
) -> None:
    chosen, seven = choice(lake, 14), chances(choice(lake, 7))
    with client_of(shop, clock=clock, changes={"daily_limit": 8, "home": ":memory:"}) as poor:
        first = pf.sync(lake, *window, details=14, design="pageviews", client=poor)
        assert (first.finished, first.details, first.remaining) == (False, 7, 7)
        assert first.sample is not None
        assert first.sample.drawn == 7
        assert_frame_equal(chances(design_of(lake)), seven)
        clock.advance(hours=25)
        pf.sync(lake, *window, details=7, client=poor)
    assert requested_details(shop) == chosen["session_id"].to_list()
    assert_frame_equal(chances(design_of(lake)), chances(chosen))


def test_a_design_that_has_drawn_nothing_yet_continues_and_is_not_a_sample(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, clock: Clock, window: Days
) -> None:
    chosen = choice(lake, 3, BY_COUNTRY)
    with client_of(shop, clock=clock, changes={"daily_limit": 1, "home": ":memory:"}) as poor:
        report = pf.sync(lake, *window, details=3, design=BY_COUNTRY, client=poor)
    assert report.sample is not None
    assert (report.finished, report.sample.drawn, report.sample.sessions, report.sample.effective) == (False, 0, 0, 0)
    assert files(lake) == {}
    with pytest.raises(pf.LakeError, match="has no random sample"):
        pf.Sample.of_lake(lake)
    assert pf.page_speed(lake).is_empty()  # none is downloaded, so none is described
    pf.sync(lake, *window, details=3, client=client)
    assert requested_details(shop) == chosen["session_id"].to_list()


def test_only_windows_that_were_read_are_sampled(tmp_path: Path, shop: Simulator, clock: Clock, window: Days) -> None:
    """The quota ends after two days: details from a notebook must not represent the other six days."""
    lake, middle = pf.Lake(tmp_path / "part"), window[0] + 2 * DAY
    with client_of(shop, clock=clock, changes={"daily_limit": 5, "home": ":memory:"}) as poor:
        pf.sync(lake, window[0], middle, client=poor)
        pf.session_details(choice(lake, 3)["session_id"], client=poor)
        report = pf.sync(lake, *window, details=2, design="pageviews", client=poor)
    assert (report.finished, report.details) == (False, 3)
    assert report.sample is not None
    assert (report.sample.drawn, report.sample.sessions) == (3, len(shop.summaries(window[0], middle)))
    assert lake.state().designs[0].window == Window(window[0], middle)


def test_a_sync_that_downloads_no_details_leaves_the_table_unchanged(
    lake: pf.Lake, shop: Simulator, clock: Clock, client: pf.PulseClient, window: Days
) -> None:
    pf.sync(lake, *window, details=9, design="pageviews", client=client)
    before = files(lake)
    assert pf.sync(lake, *window, details=0, client=client).sample is None
    longer = (window[0], window[1] + DAY)  # the quota ends once the new day is read
    with client_of(shop, clock=clock, changes={"daily_limit": 2, "home": ":memory:"}) as poor:
        report = pf.sync(lake, *longer, details=9, client=poor)
    assert (report.finished, report.details, report.rows["sessions"].new > 0) == (False, 0, True)
    assert report.sample is not None
    assert report.sample.drawn == 9
    assert files(lake) == before != {}
    assert len(pf.Sample.of_lake(lake).population) == report.sample.sessions < len(lake.sessions().collect())


def test_new_sessions_join_as_the_window_grows_and_no_probability_decreases(
    tmp_path: Path, shop: Simulator, client: pf.PulseClient
) -> None:
    lake, start = pf.Lake(tmp_path / "grown"), shop.begin
    before = pl.DataFrame()
    for day in range(4, 9):
        pf.sync(lake, start, start + day * DAY, details=8, design="pageviews", client=client)
        sample = pf.Sample.of_lake(lake)
        population = sample.population
        assert len(population) == len(lake.sessions().collect())
        assert population["inclusion_probability"].sum() == pytest.approx(len(sample.members), rel=1e-6)
        if not before.is_empty():
            both = before.join(population, on="session_id")
            assert (both["inclusion_probability_right"] >= both["inclusion_probability"] - 1e-12).all()
        assert design_of(lake)["population_to"].unique().to_list() == [start + day * DAY]
        before = population.select("session_id", "inclusion_probability")
    newest = design_of(lake).filter(pl.col("date") >= (start + 7 * DAY).date())
    assert len(newest) > 0
    assert len(requested_details(shop)) == 40 == len(design_of(lake))


def test_a_sliding_window_leaves_the_probabilities_of_earlier_sessions_unchanged(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    middle = shop.begin + 4 * DAY
    pf.sync(lake, window[0], middle, details=10, design="uniform", client=client)
    before = chances(design_of(lake))
    report = pf.sync(lake, middle, window[1], details=20, client=client)
    assert report.sample is not None
    assert report.sample.sessions == len(lake.sessions().collect())
    after = design_of(lake)
    assert_frame_equal(chances(after.filter(pl.col("session_id").is_in(before["session_id"].implode()))), before)
    sessions = lake.sessions().collect()
    early = sessions.filter(pl.col("session_start") < middle)
    assert before["inclusion_probability"].unique().to_list() == [pytest.approx(10 / len(early))]
    late = after.join(before, on="session_id", how="anti")["inclusion_probability"]
    assert late.unique().to_list() == [pytest.approx(20 / (len(sessions) - len(early)))]


def test_active_sessions_are_drawn_once_they_have_ended(tmp_path: Path, clock: Clock) -> None:
    clock.now = NOW
    start, lake = NOW - timedelta(minutes=30), pf.Lake(tmp_path / "lake")
    with Simulator(sessions=1_000, days=1, now=NOW, daily_limit=None) as shop, client_of(shop, clock=clock) as client:
        pf.sync(lake, start, details="all", design="uniform", client=client)
        active = {*lake.sessions().filter(pl.col("status") == "active").collect()["session_id"]}
        assert len(active) > 0
        drawn = {*design_of(lake)["session_id"]}
        assert len(drawn) > 0
        assert not drawn & active
        shop.advance(days=1)
        clock.advance(days=1)
        report = pf.sync(lake, start, NOW, details="all", client=client)
    assert {*design_of(lake)["session_id"]} >= drawn | active
    assert report.sample is not None
    assert report.sample.drawn == report.sample.sessions == len(lake.sessions().collect())
    assert design_of(lake)["inclusion_probability"].unique().to_list() == [1.0]


# The table


@pytest.fixture
def sampled(lake: pf.Lake, client: pf.PulseClient, window: Days) -> pf.Lake:
    """A lake with a sample of 12 by page views, and one of 10 by countries."""
    pf.sync(lake, *window, details=12, design="pageviews", client=client)
    pf.sync(lake, *window, details=10, design=pf.Design("uniform", strata=("platform_name",), seed=2), client=client)
    return lake


def test_the_table_is_partitioned_as_declared_and_read_without_pulseframes(sampled: pf.Lake) -> None:
    design = design_of(sampled)
    assert design.schema == pl.Schema({**DESIGN.schema, "date": pl.Date()})
    starts = dict(sampled.sessions().select("session_id", "session_start").collect().iter_rows())
    assert all(starts[session_id].date() == day for session_id, day in design.select("session_id", "date").iter_rows())
    pattern = f"{sampled.location}/design/*/*.parquet"
    assert_frame_equal(pl.read_parquet(pattern, hive_partitioning=True).sort(DESIGN.key), design)
    question = "select design, count(*), sum(weight) from {} group by all order by 1"
    raw = duckdb.sql(question.format(f"read_parquet('{pattern}', hive_partitioning = true)")).pl()
    assert_frame_equal(raw, sampled.sql(question.format("design")))
    session_count = len(sampled.sessions().collect())
    by_views, by_platform = raw.rows()
    assert by_views == ("pageviews", 12, pytest.approx(session_count))
    assert by_platform[0] == "uniform by platform_name"
    assert by_platform[2] == pytest.approx(session_count)


def test_the_weights_and_probabilities_of_each_stratum_add_up_to_what_is_known(
    lake: pf.Lake, client: pf.PulseClient, window: Days
) -> None:
    sizes = choice(lake, 10**6, BY_COUNTRY).select("session_id", "stratum", "size")
    pf.sync(lake, *window, details=40, design=BY_COUNTRY, client=client)
    drawn = design_of(lake)
    assert_frame_equal(
        drawn.select("session_id", "stratum", pl.col("page_view_count").alias("size")),
        sizes.join(drawn, on="session_id", how="semi").sort("session_id"),
    )
    large = drawn.group_by("stratum").len().filter(pl.col("len") > 1)["stratum"]
    assert len(large) > 2
    for stratum in large:
        sampled, stratum_sizes = (frame.filter(stratum=stratum) for frame in (drawn, sizes))
        assert sampled["weight"].sum() == pytest.approx(len(stratum_sizes))
        rate = (
            sampled["inclusion_probability"] / sampled["page_view_count"]
        ).max()  # of sessions that are not certain to be drawn
        assert (stratum_sizes["size"] * rate).clip(upper_bound=1).sum() == pytest.approx(len(sampled))


def test_two_designs_coexist_and_share_downloaded_details(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    pf.sync(lake, *window, details=12, design="pageviews", client=client)
    first = design_of(lake)
    second = pf.sync(lake, *window, details=12, design="uniform", client=client)
    assert "It is new; the lake also has pageviews (seed 0)." in str(second)
    both = design_of(lake)
    assert_frame_equal(both.filter(design="pageviews"), first)
    uniform = both.filter(design="uniform")
    assert len(uniform) >= 12
    assert len(requested_details(shop)) == 24 == len({*requested_details(shop)})
    assert uniform["weight"].sum() == pytest.approx(len(lake.sessions().collect()))
    third = pf.sync(lake, *window, details=3, design="pageviews", client=client)
    assert "It is new" not in str(third)
    assert_frame_equal(design_of(lake).filter(design="uniform"), uniform)
    assert len(design_of(lake).filter(design="pageviews")) >= 15


# Sessions without details


def test_weights_compensate_for_deleted_sessions_and_the_report_counts_them(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    design = pf.Design("uniform")
    chosen = choice(lake, 20, design)
    gone = chosen["session_id"].gather([0, 7, 19]).to_list()
    shop.remove(*gone)
    report = pf.sync(lake, *window, details=20, design=design, client=client)
    drawn = design_of(lake)
    assert_frame_equal(chances(drawn), chances(chosen))
    assert {*drawn.filter(~pl.col("responded"))["session_id"]} == {*gone}
    assert_frame_equal(drawn.filter(~pl.col("responded")), drawn.filter(pl.col("weight").is_null()))
    count = len(lake.sessions().collect())
    assert drawn["weight"].drop_nulls().to_list() == pytest.approx([count / 17] * 17)
    assert report.sample is not None
    assert report.as_dict()["sample"] == {
        "design": "uniform",
        "seed": 0,
        "sessions": count,
        "drawn": 20,
        "unanswered": 3,
        "effective": pytest.approx(17),
        "beside": [],
        "wrong_design": report.sample.wrong_design,
    }
    line = f"Sample uniform (seed 0): 20 of {count} sessions, 3 without details; effective sample size 17 for sessions."
    assert line in str(report).splitlines()
    before = len(requested_details(shop))
    pf.sync(lake, *window, details=2, client=client)
    assert not {*gone} & {*requested_details(shop)[before:]}, "no second call for them"


@pytest.mark.parametrize("kind", ["pageviews", "uniform"])
def test_the_sync_and_the_report_name_the_same_effective_size_for_the_same_question(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days, kind: str
) -> None:
    design = pf.Design(kind, strata=("country",))
    shop.remove(choice(lake, 30, design)["session_id"][2])
    sample = pf.sync(lake, *window, details=30, design=design, client=client).sample
    assert sample is not None
    size = collect(lake).sample
    shown = {"pageviews": size.effective_views, "uniform": size.effective_sessions}
    assert sample.effective == pytest.approx(shown[kind])
    assert size.effective_views != pytest.approx(size.effective_sessions)
    facts = {row[0].text: row[1].text for row in coverage_section(collect(lake)).tables[0].rows}
    unit = {"pageviews": "page views", "uniform": "sessions"}[kind]
    assert f"{sample.effective:,.0f} for {unit}" in facts["Effective sample size"]
    assert f"effective sample size {sample.effective:,.0f} for {unit}." in str(sample)
    poor = pf.estimate(lake, "share(error_count >= 0)", of="sessions", wide=True)["effective_sessions"].item()
    assert size.effective_sessions == pytest.approx(poor)


def test_an_invalid_row_is_drawn_and_has_not_responded(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    chosen = choice(lake, 6)
    third = chosen["session_id"][2]

    def spoil(document: Any) -> None:
        if document["session"]["id"] == third:
            del document["session"]["sessionStart"]

    shop.faults.add(Fault(kind="drift", on="session", times=None, edit=spoil))
    with pytest.warns(pf.errors.RejectedRowsWarning):
        report = pf.sync(lake, *window, details=6, design="pageviews", client=client)
    drawn = design_of(lake)
    assert drawn.filter(~pl.col("responded"))["session_id"].to_list() == [third]
    assert report.sample is not None
    assert (report.sample.drawn, report.sample.unanswered) == (6, 1)
    assert_frame_equal(chances(drawn), chances(chosen))


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: document["session"].pop("sessionStart"),
        lambda document: document["session"].update(sessionLength="long"),
    ],
)
def test_a_cached_detail_that_breaks_the_schema_is_fetched_once_more_and_does_not_block_the_sample(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days, edit: Callable[[Any], object]
) -> None:
    first = choice(lake, 1)["session_id"][0]
    shop.faults.add(Fault(kind="drift", on="session", times=2, edit=edit))
    with pytest.warns(pf.errors.RejectedRowsWarning):
        pf.session_details([first], client=client)
    with pytest.warns(pf.errors.RejectedRowsWarning):
        report = pf.sync(lake, *window, details=3, design="pageviews", client=client)
    assert requested_details(shop).count(first) == 2
    assert report.sample is not None
    assert (report.sample.drawn, report.sample.unanswered) == (3, 1)
    again = pf.sync(lake, *window, details=2, design="pageviews", client=client)
    assert again.sample is not None
    assert (requested_details(shop).count(first), again.sample.drawn, again.calls_saved) == (2, 5, 0)


def test_details_that_arrive_later_take_their_place(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    first = choice(lake, 1)["session_id"][0]
    shop.faults.add(Fault(kind="status", status=404, on="session"))
    pf.sync(lake, *window, details=5, design="pageviews", client=client)
    assert design_of(lake).filter(~pl.col("responded"))["session_id"].to_list() == [first]
    lake.write(pf.session_details([first], client=client, refresh=True))
    report = pf.sync(lake, *window, details=1, client=client)
    assert design_of(lake)["responded"].all()
    assert report.sample is not None
    assert report.sample.unanswered == 0


# Other changes of a lake


def test_forget_removes_a_persons_rows_from_the_sample(sampled: pf.Lake) -> None:
    sessions = sampled.sessions().collect()
    drawn = sessions.join(design_of(sampled), on="session_id", how="semi").drop_nulls("user_id")
    user = drawn["user_id"][0]
    of_user = {*sessions.filter(user_id=user)["session_id"]}
    count = len(design_of(sampled))
    forgotten = pf.forget(sampled, user, settings=pf.Settings(home=":memory:"))
    left = design_of(sampled)
    assert not of_user & {*left["session_id"]}
    assert forgotten.lake is not None
    assert forgotten.lake.rows["design"] == count - len(left) > 0
    with pytest.warns(pf.IncompleteWarning, match="lacks sessions of"):
        sample = pf.Sample.of_lake(sampled)
    assert len(sample.members) == len(left.filter(seed=2))


def test_forget_leaves_nothing_of_a_sync_that_was_killed(lake: pf.Lake, client: pf.PulseClient, window: Days) -> None:
    killed: list[pf.Lake] = []

    def look(progress: pf.Progress) -> None:
        if progress.done == 1:
            killed.append(copy_of(lake, "killed"))

    pf.sync(lake, *window, details=3, design="pageviews", client=client, progress=look)
    (left_over,) = killed
    state = Path(left_over.location) / STATE_FILE
    named = lake.sessions().join(lake.design(), on="session_id", how="semi").drop_nulls("user_id").collect()
    person, session_id = named["user_id"][0], str(named["session_id"][0])
    assert session_id in state.read_text()
    pf.forget(left_over, person, settings=pf.Settings(home=":memory:"))
    assert session_id not in state.read_text()


def test_retain_drops_old_days_of_the_sample_which_represents_the_rest(
    sampled: pf.Lake, client: pf.PulseClient, clock: Clock, window: Days
) -> None:
    cutoff = (NOW - 7 * DAY).replace(hour=0)
    old = design_of(sampled).filter(pl.col("date") < cutoff.date())
    retained = pf.retain(sampled, 7, settings=pf.Settings(home=":memory:"), clock=clock)
    assert retained.lake is not None
    assert retained.lake.rows["design"] == len(old) > 0
    sample = pf.Sample.of_lake(sampled, design="pageviews")
    assert sample.population["session_start"].min() >= cutoff
    assert len(sample.population) == len(sampled.sessions().collect())
    report = pf.sync(sampled, *window, details=2, design="pageviews", client=client)
    assert report.sample is not None
    assert report.sample.sessions == len(sample.population)
    assert design_of(sampled).filter(design="pageviews")["population_from"].unique().to_list() == [cutoff]


def test_a_lake_of_version_1_is_upgraded_and_gets_a_sample(lake: pf.Lake, client: pf.PulseClient, window: Days) -> None:
    """Version 1 had no such table, and nothing of designs in its state."""
    state = Path(lake.location) / STATE_FILE
    stored = json.loads(state.read_text())
    old = {name: stored[name] for name in ("application", "privacy", "reading", "incomplete")}
    old |= dict.fromkeys(("active_asked_at", "refreshing", "kept_from"))
    old["covered"] = [[*window, read_at] for window, read_at in stored["coverage"]["reads"]]
    state.write_text(json.dumps(old | {"version": 1}))
    for path in Path(lake.location).glob("*/*/*.parquet"):
        rows = pl.read_parquet(path, hive_partitioning=False)
        rows.write_parquet(path, metadata={VERSION_KEY: "1"})
    assert design_of(lake).is_empty()
    assert lake.sql("select count(*) from design").item() == 0
    pf.sync(lake, *window, details=4, design="pageviews", client=client)
    assert lake.state().version == LAKE_VERSION
    assert len(design_of(lake)) == 4


def test_writing_sessions_does_not_disturb_the_sample(sampled: pf.Lake, shop: Simulator, window: Days) -> None:
    before = files(sampled)
    sampled.write(shop.summaries(*window))
    assert files(sampled) == before != {}


def test_page_view_counts_that_details_change_leave_the_probabilities_unchanged(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    shop.faults.add(CUT)
    pf.sync(lake, *window, details=8, design="pageviews", client=client)
    drawn = design_of(lake)
    counted = drawn.join(lake.sessions().collect(), on="session_id", suffix="_now")
    assert (counted["page_view_count"] == counted["page_view_count_now"] + 1).all()
    pf.sync(lake, *window, details=1, client=client)
    again = design_of(lake).join(drawn, on="session_id", suffix="_before")
    assert (again["page_view_count"] == again["page_view_count_before"]).all()


def test_a_sample_in_a_bucket_is_the_one_of_a_folder(
    url: str,  # noqa: F811  the fixture
    options: dict[str, str],  # noqa: F811  the fixture
    lake: pf.Lake,
    client: pf.PulseClient,
    stranger: pf.PulseClient,
    window: Days,
) -> None:
    bucket = pf.Lake(url, storage_options=options)
    for place, its_client in ((lake, client), (bucket, stranger)):
        for _ in range(2):
            pf.sync(place, *window, details=4, design=BY_COUNTRY, client=its_client)
    assert_frame_equal(design_of(bucket), design_of(lake))
    question = "select stratum, sum(weight) from design group by all order by 1"
    assert_frame_equal(bucket.sql(question), lake.sql(question))
    estimates = [pf.estimate(place, "mean(loading_time_ms)", wide=True) for place in (lake, bucket)]
    assert_frame_equal(*estimates)


# Invalid designs


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("views", "design must be one of pageviews, uniform, newest, not 'views'"),
        (5, "design must be one of pageviews, uniform, newest, not 5"),
        (pf.Design("pageviews", strata=("country",), allocation={"NZ": 0.5}), None),
    ],
)
def test_a_wrong_design_costs_nothing(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days, wrong: Any, message: str | None
) -> None:
    if message is None:
        message = "design: the lake's sample pageviews by country (seed 0) was drawn with another allocation, bot_share or for_question, which cannot change"
        pf.sync(lake, *window, details=1, design=pf.Design("pageviews", strata=("country",)), client=client)
    calls = shop.calls
    for ask in (pf.sync, pf.plan):
        with pytest.raises(pf.InvalidQuery, match=re.escape(message)) as caught:
            ask(lake, *window, details=1, design=wrong, client=client)
        assert caught.value.argument == "design"
    assert shop.calls == calls


def test_a_sample_of_a_version_that_drew_bots_like_others_goes_on_like_that(
    lake: pf.Lake, client: pf.PulseClient, window: Days
) -> None:
    as_others = pf.Design(bot_share=None)
    pf.sync(lake, *window, details=4, design=as_others, client=client)
    path = Path(lake.location) / STATE_FILE
    stored = json.loads(path.read_text())
    del stored["designs"][0]["design"]["bot_share"]
    path.write_text(json.dumps(stored | {"version": 3}))
    for design in (None, "pageviews", pf.Design()):
        pf.sync(pf.Lake(lake.location), *window, details=2, design=design, client=client)
        assert lake.state().designs[-1].design == as_others
    assert set(design_of(lake)["session_id"]) == set(choice(lake, 0, as_others)["session_id"])
    with pytest.raises(pf.InvalidQuery, match="another allocation, bot_share or for_question"):
        pf.sync(lake, *window, details=1, design=pf.Design(bot_share=0.5), client=client)


def test_an_allocation_is_stored_with_the_lake_and_continues(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    design = pf.Design("uniform", strata=("country",), allocation={"NZ": 0.5})
    chosen = choice(lake, 16, design)
    pf.sync(lake, *window, details=8, design=design, client=client)
    pf.sync(pf.Lake(lake.location), *window, details=8, client=client)
    assert requested_details(shop) == chosen["session_id"].to_list()
    assert_frame_equal(chances(design_of(lake)), chances(chosen))
    assert design_of(lake).filter(stratum="NZ").height == pytest.approx(8, abs=1)


# A design for a question


def allocated(lake: pf.Lake, design: pf.Design = FOR_PLATFORMS) -> pf.Design:
    """Return a design with the shares that the lake's present sessions and details give it."""
    detailed = lake.sessions().filter(pl.col("detail_fetched_at").is_not_null())
    earlier = pf.SessionFrames(*(scan.collect() for scan in (detailed, lake.page_views(), lake.errors())))
    return design.allocated(lake.sessions().collect(), earlier)


def test_a_design_for_a_question_draws_with_the_shares_of_its_first_day(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, stranger: pf.PulseClient, window: Days
) -> None:
    pf.sync(lake, *window, details=20, design="uniform", client=client)  # they show how the groups differ
    at_once, before = copy_of(lake, "at once"), len(requested_details(shop))
    first = allocated(lake)
    assert first.allocation != FOR_PLATFORMS.allocated(lake.sessions().collect()).allocation
    sessions = lake.sessions().select(*SESSIONS.schema.names(), "detail_fetched_at").collect()
    chosen = pf.choose_details(sessions, 24, design=first)
    for design in (FOR_PLATFORMS, None, FOR_PLATFORMS):
        pf.sync(pf.Lake(lake.location), *window, details=8, design=design, client=client)
    assert lake.state().designs[-1].design == first
    assert allocated(lake).allocation != first.allocation
    wanted = chosen.filter(~pl.col("detailed"))["session_id"].to_list()
    assert requested_details(shop)[before:] == wanted
    drawn = design_of(lake).filter(design=first.name)
    assert_frame_equal(chances(drawn), chances(chosen))
    pf.sync(at_once, *window, details=24, design=FOR_PLATFORMS, client=stranger)
    assert_frame_equal(design_of(at_once), design_of(lake))
    assert {"Desktop", "Mobile", "Tablet"} <= {
        *pf.estimate(lake, "count()", of="page_views", by="platform_name")["platform_name"]
    }


def test_a_sample_of_another_design_stays_as_it_is_beside_one_for_a_question(
    lake: pf.Lake, client: pf.PulseClient, window: Days
) -> None:
    pf.sync(lake, *window, details=6, design="pageviews", client=client)
    before = design_of(lake)
    report = pf.sync(lake, *window, details=6, design=FOR_PLATFORMS, client=client)
    assert "It is new; the lake also has pageviews (seed 0)." in str(report)
    assert_frame_equal(design_of(lake).filter(design="pageviews"), before)


def test_a_killed_sync_for_a_question_goes_on_with_its_shares(
    lake: pf.Lake, client: pf.PulseClient, window: Days
) -> None:
    killed: list[pf.Lake] = []

    def look(_: pf.Progress) -> None:
        if not killed:
            killed.append(copy_of(lake, "killed"))

    shares = allocated(lake).allocation
    pf.sync(lake, *window, details=9, design=FOR_PLATFORMS, client=client, progress=look)
    (left_over,) = killed
    assert left_over.state().designs[0].design.allocation == shares
    pf.sync(left_over, *window, details=1, design="newest", client=client)  # other details have come since
    assert allocated(left_over).allocation != shares
    pf.sync(left_over, *window, details=0, design=FOR_PLATFORMS, client=client)
    pf.sync(left_over, *window, details=9, design=FOR_PLATFORMS, client=client)
    assert left_over.state().designs[-1].design.allocation == shares


@pytest.mark.parametrize("shares", [None, {"Desktop": 0.7}])
def test_a_killed_sync_with_shares_of_its_own_leaves_them_open(
    lake: pf.Lake, client: pf.PulseClient, window: Days, shares: dict[str, float] | None
) -> None:
    killed: list[pf.Lake] = []

    def look(_: pf.Progress) -> None:
        if not killed:
            killed.append(copy_of(lake, "killed"))

    begun = pf.Design(strata=("platform_name",), allocation={"Mobile": 0.6})
    pf.sync(lake, *window, details=4, design=begun, client=client, progress=look)
    other = pf.Design(strata=("platform_name",), allocation=shares)
    pf.sync(killed[0], *window, details=4, design=other, client=client)
    assert killed[0].state().designs[-1].design == other


def test_sessions_of_a_value_that_comes_later_are_drawn_with_the_rare_ones(
    tmp_path: Path, shop: Simulator, clock: Clock
) -> None:
    lake, middle = pf.Lake(tmp_path / "lake"), shop.begin + DAY
    design = pf.Design(for_question="mean(loading_time_ms) by country, browser_name, os_name, platform_name")
    with client_of(shop, clock=clock, sleep=clock.sleep) as client:
        pf.sync(lake, shop.begin, middle, details=15, design=design, client=client)
        first = lake.state().designs[-1].design
        pf.sync(lake, shop.begin, clock.now - 2 * DAY, details=40, design=design, client=client)
    assert lake.state().designs[-1].design == first
    drawn = design_of(lake)
    assert {*drawn["stratum"]} <= {*(first.allocation or {}), OTHERS, BOTS}
    assert drawn.filter(stratum=OTHERS).height > 5
    assert drawn["weight"].sum() == pytest.approx(lake.sessions().collect().height)


@pytest.mark.parametrize(
    "design",
    [
        pf.Design(for_question="mean(loading_time_ms) by platform_name", seed=1),
        pf.Design(strata=("platform_name",), seed=1),
    ],
)
def test_a_sample_for_a_question_is_not_continued_for_another(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days, design: pf.Design
) -> None:
    pf.sync(lake, *window, details=2, design=FOR_PLATFORMS, client=client)
    calls = shop.calls
    for ask in (pf.sync, pf.plan):
        with pytest.raises(pf.InvalidQuery, match="another allocation, bot_share or for_question"):
            ask(lake, *window, details=1, design=design, client=client)
    assert shop.calls == calls


def test_a_plan_shows_the_strata_and_their_shares_of_the_details(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    calls = shop.calls
    planned = pf.plan(lake, *window, details=10, design=FOR_PLATFORMS, client=client)
    assert {*planned.shares} - {BOTS, "null"} == {"Desktop", "Mobile", "Tablet"}
    assert sum(planned.shares.values()) == pytest.approx(1)
    assert [*planned.shares.values()] == sorted(planned.shares.values(), reverse=True)
    line = next(text for text in str(planned).splitlines() if text.startswith("Strata"))
    assert re.search(r"Tablet \d+", line)
    assert planned.as_dict()["shares"] == planned.shares
    assert pf.plan(lake, *window, details=10, design="pageviews", client=client).shares == {}
    assert pf.plan(lake.location + "x", *window, details=10, design=FOR_PLATFORMS, client=client).shares == {}
    assert shop.calls == calls + 1  # to count the sessions of a lake that does not exist


def test_a_damaged_design_in_the_state_is_an_error(sampled: pf.Lake) -> None:
    state = Path(sampled.location) / STATE_FILE
    whole = state.read_text()
    for change in (
        {"design": {"kind": "views"}},
        {"rate_windows": [[["x", "y"], {}]]},
        {"pending": [[1]]},
        {"design": None},
    ):
        stored = json.loads(whole)
        stored["designs"][0] |= change
        state.write_text(json.dumps(stored))
        with pytest.raises(pf.LakeError, match="damaged _pulseframes/lake.json"):
            pf.Lake(sampled.location).design()


def test_a_plan_forecasts_the_details_of_a_design_and_costs_at_most_one_call(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    third = choice(lake, 3)["session_id"][2]
    pf.session_details([third], client=client)
    calls = shop.calls
    planned = pf.plan(lake, *window, details=10, design="pageviews", client=client)
    assert (planned.calls, planned.details, planned.details_kept, shop.calls - calls) == (10, 10, 1, 0)
    report = pf.sync(lake, *window, details=10, design="pageviews", client=client)
    assert (report.calls_spent, report.calls_saved) == (10, 1)


def test_a_plan_says_before_a_call_is_spent_that_a_design_is_wrong_for_other_questions(
    lake: pf.Lake, shop: Simulator, client: pf.PulseClient, window: Days
) -> None:
    calls = shop.calls
    views = lake.sessions().collect()["page_view_count"].fill_null(1).clip(lower_bound=1)
    planned = pf.plan(lake, *window, details=30, design="uniform", client=client)
    worth = 30 * views.sum() ** 2 / (len(views) * (views**2).sum())
    assert worth < 10
    said = (
        f"For figures of page views, 30 details by this design are worth about {worth:.0f}, since few sessions have most page views. "
        "Draw by pageviews for such questions."
    )
    assert planned.as_dict()["wrong_design"] == planned.wrong_design == said
    assert said in str(planned).splitlines()
    assert shop.calls == calls
    for suited in (
        {"details": 30, "design": "pageviews"},
        {"details": 5, "design": "uniform"},
        {"details": "all", "design": "uniform"},
    ):
        assert pf.plan(lake, *window, **suited, client=client).wrong_design is None  # type: ignore[arg-type]  # options of both kinds
    report = pf.sync(lake, *window, details=30, design="uniform", client=client)
    assert report.sample is not None
    assert report.sample.wrong_design == said
    assert said in str(report).splitlines()
    assert pf.estimate(lake, "mean(loading_time_ms)")["flag"].item() is not None


def test_a_design_by_page_views_that_seldom_draws_short_sessions_is_wrong_for_questions_about_sessions() -> None:
    population = pl.DataFrame({"page_view_count": [1] * 200 + [100] * 40}).with_columns(
        pl.col("page_view_count").alias("size"),
        (30 * pl.col("page_view_count") / pl.col("page_view_count").sum()).alias("inclusion_probability"),
    )
    said = wrong_design(population, pf.Design(), 30)
    assert said is not None
    assert said.startswith("For figures of sessions, 30 details by this design are worth about 2, since short")
    assert said.endswith("Draw by uniform for such questions.")
    assert wrong_design(population, pf.Design(), 9) is None


# Rates by window


def test_a_draw_replaces_the_rates_of_earlier_ones_where_they_were_lower() -> None:
    one, two, three, four = (NOW + day * DAY for day in range(4))
    drawn = DesignState(pf.Design())
    assert drawn.window is None
    drawn.add_rates(Window(one, three), {"": 0.2}, two)
    drawn.add_rates(Window(two, four), {"": 0.1, "NZ": 0.3}, three)
    both = [RateWindow(Window(one, three), {"": 0.2}, two), RateWindow(Window(two, four), {"": 0.1, "NZ": 0.3}, three)]
    assert drawn.rate_windows == both
    assert drawn.window == Window(one, four)
    drawn.add_rates(Window(two, three), {"": 0.2, "NZ": 0.3}, four)
    assert drawn.rate_windows == [
        RateWindow(Window(one, two), {"": 0.2}, two),
        RateWindow(Window(three, four), {"": 0.1, "NZ": 0.3}, three),
        RateWindow(Window(two, three), {"": 0.2, "NZ": 0.3}, four),
    ]
    drawn.add_rates(Window(one, four), {"": 0.5, "NZ": 0.4}, four)
    assert drawn.rate_windows == [RateWindow(Window(one, four), {"": 0.5, "NZ": 0.4}, four)]
    drawn.drop_before(three)
    assert drawn.window == Window(three, four)


def test_a_session_has_the_highest_rate_of_the_draws_that_knew_it() -> None:
    one, two, three = (NOW + day * DAY for day in range(3))
    drawn = DesignState(
        pf.Design(),
        [RateWindow(Window(one, two), {"NZ": 0.25}, two), RateWindow(Window(one, two), {"NZ": 0.125}, three)],
    )
    rows = [
        (one, "NZ", two, 0.25),
        (two - timedelta.resolution, "NZ", one, 0.25),
        (one, "NZ", two + timedelta.resolution, 0.125),
        (one, "NZ", three + timedelta.resolution, 0.0),
        (one, "NZ", None, 0.25),  # of an older lake
        (one, "US", one, 0.0),
        (two, "NZ", one, None),
        (one - timedelta.resolution, "NZ", one, None),
    ]
    starts, strata, settled, expected = zip(*rows, strict=True)
    population = pl.DataFrame(
        {"session_id": range(len(rows)), "session_start": starts, "stratum": strata, "settled_at": settled},
        schema_overrides=dict.fromkeys(("session_start", "settled_at"), INSTANT),
    )
    assert drawn.with_rate(population).sort("session_id")["rate"].to_list() == [*expected]
