"""The charts: each draws the figures, intervals and flags of its function's result as they are, and refuses other frames."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
import vl_convert
from support.report_lakes import ENTITY, LONG, REVERSED, SCRIPT, UNPRINTABLE, truth

import pulseframes as pf
from pulseframes import charts
from pulseframes.sampling.inference import DOUBTFUL, NOT_DRAWN

SHOP = truth(400)
SAMPLE = pf.Sample.of_frames(SHOP.sessions, pf.choose_details(SHOP.sessions, 40), SHOP, design="pageviews")

#: Each chart, with a frame for it.
FRAMES: dict[str, Callable[[], pl.DataFrame]] = {
    "page_speed": lambda: pf.page_speed(SAMPLE),
    "apdex": lambda: pf.apdex(SAMPLE, by="country"),
    "error_impact": lambda: pf.error_impact(SAMPLE),
    "landings": lambda: pf.landings(SAMPLE),
    "paths": lambda: pf.paths(SAMPLE),
    "compare": lambda: pf.compare(
        SAMPLE, "p75(loading_time_ms)", segments=["country = 'US'", "country <> 'US'"], by="platform_name"
    ),
    "estimates": lambda: pf.estimate(SAMPLE, "share(satisfaction_rating = 'Poor')", by="browser_name"),
    "traffic": lambda: pf.traffic(SHOP),
    "hours": lambda: pf.traffic(SHOP, every="1h", by=None),
    "satisfaction": lambda: pf.satisfaction(SAMPLE),
    "sessions": lambda: SHOP.sessions,
    "page_views": lambda: SHOP.page_views,
    "errors": lambda: SHOP.errors,
}


def values(chart: Any, layer: int = 0) -> list[dict[str, Any]]:
    """The rows of a layer, which a chart has only once if all layers share them."""
    specification = chart.to_dict()
    return list(specification["layer"][layer].get("data", specification.get("data"))["values"])


def drawn(chart: Any) -> list[dict[str, Any]]:
    """The rows that a chart of groups draws."""
    rows = values(chart)
    return rows if "label" in rows[0] else values(chart, 1)


def speeds(**columns: list[Any]) -> pl.DataFrame:
    """What page_speed() might return."""
    rows = len(next(iter(columns.values())))
    empty = pf.page_speed(SAMPLE).clear()
    filled = {name: columns.get(name, [None] * rows) for name in empty.columns}
    return pl.DataFrame(filled, schema=empty.schema)


@pytest.mark.parametrize("width", [720, 350])
@pytest.mark.parametrize("name", FRAMES)
def test_each_chart_is_valid_and_has_exactly_the_requested_width(name: str, width: int) -> None:
    chart = getattr(charts, name)(FRAMES[name](), width=width)
    svg = vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[])
    assert f'width="{width}"' in svg.partition(">")[0]
    assert svg.count("<path") + svg.count("<line") + svg.count("<rect") > 3


@pytest.mark.parametrize("name", FRAMES)
def test_a_chart_of_an_empty_frame_notes_that_there_are_no_rows(name: str) -> None:
    chart = getattr(charts, name)(FRAMES[name]().clear())
    assert "the frame has no rows" in vl_convert.vegalite_to_svg(chart.to_dict())


@pytest.mark.parametrize("name", FRAMES)
def test_another_frame_is_refused_with_the_expected_source(name: str) -> None:
    for frame in (pl.DataFrame({"a": [1]}), {"a": [1]}):
        with pytest.raises(
            pf.InvalidQuery, match=r"frame (is a dict|has no column).*\. Pass the DataFrame from \S+\("
        ) as caught:
            getattr(charts, name)(frame)
        assert caught.value.argument == "frame"


@pytest.mark.parametrize("width", [0, 199, 10_001, 3.5, True, "wide"])
def test_an_invalid_width_is_refused(width: Any) -> None:
    for name in ("page_speed", "traffic", "hours", "satisfaction", "page_views"):
        with pytest.raises(pf.InvalidQuery, match="width must be") as caught:
            getattr(charts, name)(FRAMES[name](), width=width)
        assert caught.value.argument == "width"


def test_figures_and_intervals_are_those_of_the_frame_in_its_order() -> None:
    frame = pf.page_speed(SAMPLE)
    rows = drawn(charts.page_speed(frame, top=5))
    assert [row["label"] for row in rows] == frame["page_template"].head(5).to_list()
    assert [row["figure"] for row in rows] == pytest.approx((frame["p75_ms"].head(5) / 1000).to_list())
    assert [row["lower"] for row in rows] == pytest.approx((frame["p75_ms_lower"].head(5) / 1000).to_list())
    assert [row["sessions"] for row in rows] == frame["sessions"].head(5).to_list()


def test_flagged_rows_are_hollow_and_dashed() -> None:
    frame = speeds(
        page_template=["/firm", "/loose"],
        p75_ms=[1_000.0, 2_000.0],
        p75_ms_lower=[900.0, 1_000.0],
        p75_ms_upper=[1_100.0, 3_000.0],
        sessions=[50, 3],
        flag=[None, "few sessions"],
    )
    chart = charts.page_speed(frame)
    assert [row["firm"] for row in drawn(chart)] == [True, False]
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    assert svg.count('stroke-dasharray="4,3"') == 1
    paper, accent = charts.style.COLOURS["paper"], charts.style.COLOURS["accent"]
    assert svg.count(f'fill="{accent}"') == 1
    assert svg.count(f'fill="{paper}"') == 2  # the background, and the hollow dot


def test_each_figure_is_hollow_by_its_own_flag() -> None:
    every_second = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("few cases"))
    frame = pf.page_speed(SAMPLE, wide=True).with_columns(every_second.alias("p95_ms_flag"))
    for figure, flag in (("p75_ms", "flag"), ("p95_ms", "p95_ms_flag"), ("viewing_ms", "viewing_ms_flag")):
        rows = drawn(charts.page_speed(frame, figure=figure, top=30))
        assert [row["firm"] for row in rows] == frame.drop_nulls(figure)[flag].is_null().to_list()
    assert not frame["flag"].equals(frame["p95_ms_flag"].alias("flag"))
    with pytest.raises(pf.InvalidQuery, match=r"has no column p95_ms.*Pass the DataFrame from page_speed\(wide=True\)"):
        charts.page_speed(pf.page_speed(SAMPLE), figure="p95_ms")


@pytest.mark.parametrize("flag", [*DOUBTFUL, NOT_DRAWN, None])
def test_shares_with_a_flag_are_pale_and_others_are_not(flag: str | None) -> None:
    average = pl.col("satisfaction_rating") == "Average"
    frame = pf.satisfaction(SAMPLE).with_columns(flag=pl.when(average).then(pl.lit(flag, pl.String)))
    chart = charts.satisfaction(frame)
    assert {row["part"] for row in values(chart) if row["pale"]} == ({"Average"} if flag else set())
    assert ('opacity="0.4"' in vl_convert.vegalite_to_svg(chart.to_dict())) == (flag is not None)


def test_an_infinite_interval_reaches_the_edge_with_an_arrow() -> None:
    frame = speeds(
        page_template=["/a", "/b"],
        p75_ms=[1_000.0, 2_000.0],
        p75_ms_lower=[900.0, -math.inf],
        p75_ms_upper=[1_100.0, math.inf],
        sessions=[50, 3],
        flag=[None, "few sessions"],
    )
    firm, loose = drawn(charts.page_speed(frame))
    assert (firm["beyond"], loose["beyond"]) == (False, True)
    assert loose["lower"] == 0
    assert 2 < loose["upper"] < 4
    assert loose["interval"] == "not known"


def test_without_intervals_only_the_dots_are_drawn() -> None:
    frame = pf.page_speed(SHOP)
    row = drawn(charts.page_speed(frame))[0]
    assert row["lower"] == row["figure"] == row["upper"]
    assert not row["firm"]


def test_labels_are_truncated_and_cleaned() -> None:
    frame = speeds(page_template=[SCRIPT, ENTITY, REVERSED, LONG, None], p75_ms=[1_000.0] * 5, sessions=[20] * 5)
    chart = charts.page_speed(frame)
    labels = [row["label"] for row in drawn(chart)]
    assert labels[0] == SCRIPT
    assert len(labels[3]) <= 60
    assert labels[4] == "not known"
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    assert "<script" not in svg
    assert "\u202e" not in svg
    assert "&lt;script&gt;" in svg


@pytest.mark.parametrize("name", FRAMES)
def test_no_text_of_a_frame_ends_the_process_that_draws_it(name: str) -> None:
    frame = FRAMES[name]()
    texts = pl.lit(pl.Series([f"a{letter}b" for letter in UNPRINTABLE])).gather(
        pl.int_range(pl.len()) % len(UNPRINTABLE)
    )
    columns = [column for column, dtype in frame.schema.items() if dtype == pl.String]
    specification = getattr(charts, name)(frame.with_columns(texts.alias(column) for column in columns)).to_dict()
    as_json = json.dumps(specification)
    assert not [letter for letter in UNPRINTABLE if json.dumps(letter)[1:-1] in as_json]  # or the next line would abort
    assert "<svg" in vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])


def test_the_legend_names_each_group_once_as_it_is_drawn() -> None:
    counts = pl.col("country").replace_strict({"US": "a\u0000", "GB": "a\ufffe"}, default="b" * 40)
    chart = charts.traffic(pf.traffic(SHOP, by="country").with_columns(counts))
    color = chart.to_dict()["layer"][0]["encoding"]["color"]
    assert sorted(color["scale"]["domain"]) == ["a\ufffd", "b" * 40] == sorted({row["part"] for row in values(chart)})


def test_rows_with_the_same_label_stay_separate() -> None:
    frame = pf.error_impact(SAMPLE).head(2).with_columns(title=pl.lit("Script error."))
    rows = drawn(charts.error_impact(frame))
    assert [row["label"] for row in rows] == ["Script error.", "Script error."]
    assert rows[0]["line"] != rows[1]["line"]


def test_traffic_is_stacked_to_its_sums_with_the_largest_groups_by_name() -> None:
    frame = pf.traffic(SHOP, by="country")
    rows = values(charts.traffic(frame))
    tops: dict[int, float] = {}
    for row in rows:
        tops[row["start"]] = max(tops.get(row["start"], 0), row["top"])
    sums = pf.traffic(SHOP, by=None)
    assert [*tops.values()] == sums["sessions"].to_list()
    parts = {row["part"] for row in rows}
    largest = frame.group_by("country").agg(pl.col("sessions").sum()).sort("sessions", descending=True)
    assert parts == {*largest["country"].drop_nulls().head(5), "others"}


def test_users_are_never_added_up_over_groups() -> None:
    frame = pf.traffic(SHOP, by="country")
    chart = charts.traffic(frame, figure="users")
    rows = values(chart)
    counted = {(row["period"].timestamp() * 1000, row["country"]): row["users"] for row in frame.to_dicts()}
    assert {(row["start"], row["part"]): row["top"] for row in rows}.items() <= counted.items()
    assert {row["bottom"] for row in rows} == {0}
    largest = frame.group_by("country").agg(pl.col("sessions").sum()).sort("sessions", descending=True)
    assert {row["part"] for row in rows} == {*largest["country"].drop_nulls().head(5)}, "and no others"
    for start in {row["start"] for row in rows}:
        beside = sorted((row["left"], row["right"]) for row in rows if row["start"] == start)
        assert all(first[1] <= second[0] for first, second in pairwise(beside))
    assert f"Users by country, the 5 largest of {frame['country'].drop_nulls().n_unique()}" in json.dumps(
        chart.to_dict()
    )
    alone = values(charts.traffic(pf.traffic(SHOP, by=None), figure="users"))
    assert [row["top"] for row in alone] == pf.traffic(SHOP, by=None)["users"].to_list()


@pytest.mark.parametrize("frame", [pf.traffic(SHOP, every="1h"), pf.traffic(SHOP, every="15m", by=None)])
def test_users_of_groups_or_of_parts_of_an_hour_have_no_mean_by_hour(frame: pl.DataFrame) -> None:
    with pytest.raises(pf.InvalidQuery, match=r"users cannot be added up.*every='1h', by=None"):
        charts.hours(frame, figure="users")
    charts.hours(frame)
    charts.hours(pf.traffic(SHOP, every="1h", by=None), figure="users")


def test_groups_that_print_alike_keep_their_own_users() -> None:
    frame = pf.traffic(SHOP, by="country").with_columns(
        country=pl.col("country").replace_strict({"US": "a\u0000", "GB": "a\ufffe"}, default=None)
    )
    drawn_users = [row["top"] for row in values(charts.traffic(frame, figure="users"))]
    known = frame.drop_nulls("country")
    assert sorted(drawn_users) == sorted(known["users"].to_list())


def test_periods_are_drawn_in_their_time_zone() -> None:
    frame = pf.traffic(SHOP, by=None, time_zone="Pacific/Auckland")
    first = values(charts.traffic(frame))[0]["start"]
    clock = frame["period"][0].replace(tzinfo=UTC)
    assert datetime.fromtimestamp(first / 1000, UTC) == clock
    assert clock.hour == 0


def test_the_mean_of_an_hour_is_over_all_days_of_the_frame() -> None:
    frame = pf.traffic(SHOP, every="1h", by=None)
    rows = values(charts.hours(frame))
    days = frame["period"].dt.date().n_unique()
    assert len(rows) == 24
    assert sum(row["mean"] for row in rows) == pytest.approx(frame["sessions"].sum() / days)


def test_satisfaction_has_the_interval_of_poor_and_one_group_at_a_time() -> None:
    frame = pf.satisfaction(SAMPLE, every="1w")
    poor = frame.filter(satisfaction_rating="Poor")
    limits = values(charts.satisfaction(frame), 1)
    assert [row["share_lower"] for row in limits] == poor["share_lower"].to_list()
    assert [row["share_upper"] for row in limits] == poor["share_upper"].to_list()
    with pytest.raises(pf.InvalidQuery, match="several groups"):
        charts.satisfaction(pf.satisfaction(SAMPLE, every="1w", by="country"))


def test_unknown_ratings_are_combined_and_all_shares_add_up_to_one() -> None:
    frame = pf.satisfaction(SAMPLE, every="1w", wide=True).with_columns(
        pl.col("satisfaction_rating").replace({"Good": "Superb", "Average": "Awful"})
    )
    rows = values(charts.satisfaction(frame))
    assert {row["part"] for row in rows} == {"Poor", "Excellent", "Other"}
    assert {round(row["top"], 9) for row in rows if row["part"] == "Other"} == {1.0}


def test_the_unit_of_estimates_is_read_from_the_measure() -> None:
    for measure, unit in (
        ("p75(loading_time_ms)", " s"),
        ("share(satisfaction_rating = 'Poor')", "%"),
        ("mean(page_view_count)", ""),
    ):
        (row,) = drawn(charts.estimates(pf.estimate(SAMPLE, measure)))
        assert row["estimate"].endswith(unit)
        assert row["label"] == measure


def test_without_altair_the_error_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(ImportError, match="pip install 'pulseframes\\[report\\]'"):
        charts.page_speed(pf.page_speed(SAMPLE))
    assert pf.charts is charts
