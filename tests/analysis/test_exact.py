"""The analysis of a lake with all details: each figure equals what plain Python computes from the simulator's truth."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from support.analysis_lakes import END, ended, figures, grouped, is_exact, lake_of, quantile, rows_of, template_of

import pulseframes as pf

AUCKLAND = ZoneInfo("Pacific/Auckland")
SESSIONS, VIEWS, ERRORS = rows_of(ended())


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("analysis") / "lake"
    lake_of(ended(), place)
    return place


def test_page_speed_by_template(lake: Path) -> None:
    found = pf.page_speed(lake, wide=True)
    views = grouped(VIEWS, lambda view: template_of(view["page"]))
    rows = figures(found, "page_template")
    assert rows.keys() == views.keys()
    for template, mine in views.items():
        row, loading = rows[template], [view["loading_time_ms"] for view in mine]
        assert row["views"] == len(mine)
        assert row["sessions"] == len({view["session_id"] for view in mine})
        assert [row["p50_ms"], row["p75_ms"], row["p95_ms"]] == [quantile(loading, p) for p in (0.5, 0.75, 0.95)]
        assert row["viewing_ms"] == quantile([view["viewing_time_ms"] for view in mine], 0.5)
    assert is_exact(found, "views", "p50_ms", "p75_ms", "p95_ms", "viewing_ms")
    assert found["views"].is_sorted(descending=True)


def test_page_speed_by_session_columns_of_some_views_with_rules(lake: Path) -> None:
    where = "loading_time_ms > 1000 AND platform_name = 'Mobile'"
    rules = {"/c/*": "/c/{category}"}
    rows = figures(
        pf.page_speed(lake, by=["country", "page_template"], where=where, rules=rules), "country", "page_template"
    )
    some = [
        view for view in VIEWS if (view["loading_time_ms"] or 0) > 1000 and view["session"]["platform_name"] == "Mobile"
    ]

    def key(view: dict[str, object]) -> tuple[object, object]:
        template = template_of(view["page"])  # type: ignore[arg-type]  # a page is text
        folded = "/c/{category}" if template and template.startswith("/c/") else template
        return view["session"]["country"], folded  # type: ignore[index]  # its session

    assert {name: row["views"] for name, row in rows.items()} == Counter(map(key, some))


def test_rules_apply_wherever_a_question_names_the_template(lake: Path) -> None:
    rules = {"/c/*": "/c/{category}", "/p/**": "/c/{category}"}
    some = [view for view in VIEWS if (template_of(view["page"]) or "").startswith(("/c/", "/p/"))]
    where = "page_template = '/c/{category}'"
    for found in (
        pf.page_speed(lake, rules=rules, where=where),
        pf.apdex(lake, by="page_template", rules=rules, wide=True),
    ):
        (row,) = found.filter(page_template="/c/{category}").to_dicts()
        assert row["views"] == len([view for view in some if "apdex" not in row or view["loading_time_ms"] is not None])
    assert pf.page_speed(lake, rules=rules, where=where)["page_template"].to_list() == ["/c/{category}"]
    assert "/c/{category}" in pf.paths(lake, rules=rules, wide=True)["to_page"]
    assert "/c/{category}" in pf.landings(lake, rules=rules, wide=True)["page_template"]
    assert any(
        "/c/{category}" in pages for pages in pf.error_impact(lake, rules=rules, wide=True)["pages"].drop_nulls()
    )
    assert "/c/{category}" in pf.features(lake, rules=rules)["landing"].cast(pl.String)


@pytest.mark.parametrize("threshold", [500, 2000])
def test_apdex_is_the_mean_of_one_a_half_and_nothing(lake: Path, threshold: int) -> None:
    def score(views: list[dict[str, int]]) -> float:
        times = [view["loading_time_ms"] for view in views]
        return sum((time <= threshold) + (time <= 4 * threshold) for time in times) / 2 / len(times)

    known = [view for view in VIEWS if view["loading_time_ms"] is not None]
    assert len(known) < len(VIEWS)
    (row,) = pf.apdex(lake, threshold_ms=threshold, wide=True).to_dicts()
    assert row["views"] == len(known)
    assert row["apdex"] == pytest.approx(score(known))
    rows = figures(pf.apdex(lake, threshold_ms=threshold, by="country", wide=True), "country")
    by_country = grouped(known, lambda view: view["session"]["country"])
    assert {name: row["apdex"] for name, row in rows.items()} == pytest.approx(
        {name: score(views) for name, views in by_country.items()}
    )


def test_satisfaction_by_day_in_a_time_zone(lake: Path) -> None:
    found = pf.satisfaction(lake, time_zone="Pacific/Auckland", wide=True)
    rated = [row for row in SESSIONS if row["satisfaction_rating"]]
    days = grouped(rated, lambda row: row["session_start"].astimezone(AUCKLAND).date())
    rows = figures(found.with_columns(pl.col("period").dt.date()), "period", "satisfaction_rating")
    assert len(rows) == 4 * len(days)
    for day, mine in days.items():
        counts = Counter(row["satisfaction_rating"] for row in mine)
        for rating in ("Excellent", "Good", "Average", "Poor"):
            assert rows[day, rating]["share"] == pytest.approx(counts[rating] / len(mine))
            assert rows[day, rating]["sessions"] == len(mine)
    assert found["period"].dtype == pl.Datetime("us", "Pacific/Auckland")
    assert found["period"].is_sorted()
    assert found["satisfaction_rating"].head(4).to_list() == ["Excellent", "Good", "Average", "Poor"]
    assert is_exact(found, "share")


@pytest.mark.parametrize("country", [None, "US"])
def test_error_impact_by_group(lake: Path, country: str | None) -> None:
    where = None if country is None else f"country = '{country}'"
    found = pf.error_impact(lake, where=where, wide=True)
    groups = grouped(
        [error for error in ERRORS if country in (None, error["session"]["country"])], lambda error: error["group_id"]
    )
    rows = figures(found, "group_id")
    assert rows.keys() == groups.keys()
    pages = grouped(VIEWS, lambda view: view["session_id"])
    for group, errors in groups.items():
        row, mine = rows[group], {error["session_id"]: error["session"] for error in errors}
        assert row["errors"] == len(errors)
        assert row["sessions"] == row["sessions_affected"] == len(mine)
        assert row["share_of_sessions"] == pytest.approx(len(mine) / len(SESSIONS))
        assert row["page_views_affected"] == sum(session["page_view_count"] or 0 for session in mine.values())
        assert row["users_seen"] == len({session["user_id"] for session in mine.values()} - {None})
        starts = [session["session_start"] for session in mine.values()]
        assert (row["first_seen"], row["last_seen"]) == (min(starts), max(starts))
        browsers = Counter(session["browser_name"] for session in mine.values() if session["browser_name"])
        ranked = [name for name, _ in sorted(browsers.items(), key=lambda item: (-item[1], item[0]))]
        assert (row["browsers"] or []) == ranked[:3]
        seen = Counter(page for one in mine for page in {template_of(view["page"]) for view in pages[one]} if page)
        ranked = [name for name, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0]))]
        assert (row["pages"] or []) == ranked[:3]
        latest = max(
            (error for error in errors if error["title"]),
            key=lambda error: (error["session"]["session_start"], error["session_id"], error["error_index"]),
        )
        assert row["title"] == latest["title"]
    assert is_exact(found, "sessions_affected", "share_of_sessions", "errors", "page_views_affected")
    assert found["sessions_affected"].is_sorted(descending=True)


def test_traffic_counts_sessions_users_and_views_by_hour_in_a_time_zone(lake: Path) -> None:
    found = pf.traffic(lake, every="1h", time_zone="Pacific/Auckland")
    hours = grouped(
        SESSIONS,
        lambda row: (
            row["session_start"].astimezone(AUCKLAND).replace(minute=0, second=0, microsecond=0),
            row["country"],
        ),
    )
    rows = figures(found, "period", "country")
    assert {key: row["sessions"] for key, row in rows.items()} == {key: len(mine) for key, mine in hours.items()}
    for key, mine in hours.items():
        assert rows[key]["users"] == len({row["user_id"] for row in mine} - {None})
        assert rows[key]["page_views"] == sum(row["page_view_count"] or 0 for row in mine)
    assert found["period"].is_sorted()


def test_traffic_of_a_window_has_its_start_and_not_its_end(lake: Path) -> None:
    start, end = (row["session_start"] for row in (SESSIONS[100], SESSIONS[900]))
    found = pf.traffic(lake, by=None, date_from=start, date_to=end)
    assert found["sessions"].sum() == 800
    assert found.columns == ["period", "sessions", "users", "page_views"]


def test_traffic_of_a_lake_is_that_of_its_frames(lake: Path) -> None:
    found = pf.traffic(lake, every="1w")
    sessions = ended().sessions
    for source in (ended(), sessions, sessions.lazy(), pf.Lake(lake), str(lake)):
        assert_frame_equal(pf.traffic(source, every="1w"), found)


def test_paths_count_each_step_once_with_entries_and_exits(lake: Path) -> None:
    found = pf.paths(lake, wide=True)
    ways: Counter[tuple[str | None, str | None]] = Counter()
    for views in grouped(VIEWS, lambda view: view["session_id"]).values():
        pages = [template_of(view["page"]) or "(not known)" for view in views]
        ways.update(zip([None, *pages], [*pages, None], strict=True))
    rows = figures(found, "from_page", "to_page")
    assert {key: row["times"] for key, row in rows.items()} == ways
    leaving = Counter[str | None]()
    for (page, _), times in ways.items():
        leaving[page] += times
    assert all(row["share"] == pytest.approx(row["times"] / leaving[row["from_page"]]) for row in rows.values())
    entries, exits = (found.filter(pl.col(name).is_null())["times"].sum() for name in ("from_page", "to_page"))
    assert entries == exits == len({view["session_id"] for view in VIEWS})
    assert is_exact(found, "times")


def test_landings_count_entries_and_bounces(lake: Path) -> None:
    found = pf.landings(lake, wide=True)
    first = [view for view in VIEWS if view["view_index"] == 0]
    entries = grouped(first, lambda view: template_of(view["page"]) or "(not known)")
    rows = figures(found, "page_template")
    assert {name: row["entries"] for name, row in rows.items()} == {name: len(mine) for name, mine in entries.items()}
    for name, mine in entries.items():
        counts = [view["session"]["page_view_count"] for view in mine if view["session"]["page_view_count"] is not None]
        assert rows[name]["bounce_rate"] == pytest.approx(counts.count(1) / len(counts))
    assert is_exact(found, "entries", "bounce_rate")


def test_compare_two_windows(lake: Path) -> None:
    windows = [("2026-11-01", "2026-11-08"), ("2026-11-08", "2026-11-15")]
    found = pf.compare(lake, ["count()", "p75(loading_time_ms)"], windows=windows, by="country", wide=True)
    rows = figures(found, "country", "measure")
    edges = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 8, 15)]
    weeks = [
        grouped([row for row in SESSIONS if start <= row["session_start"] < end], lambda row: row["country"])
        for start, end in pairwise(edges)
    ]
    loading = [
        grouped(
            [view for view in VIEWS if start <= view["session"]["session_start"] < end],
            lambda view: view["session"]["country"],
        )
        for start, end in pairwise(edges)
    ]
    assert {country for country, _ in rows} == weeks[0].keys() | weeks[1].keys()
    for country in weeks[0].keys() & weeks[1].keys():
        row = rows[country, "count()"]
        first, second = (len(week[country]) for week in weeks)
        assert (row["first"], row["second"], row["difference"]) == (first, second, second - first)
        assert row["difference_lower"] == row["difference_upper"] == second - first
        assert row["ratio"] == pytest.approx(second / first)
        assert row["differs"] == (first != second)
        row = rows[country, "p75(loading_time_ms)"]
        assert [row["first"], row["second"]] == [
            quantile([view["loading_time_ms"] for view in week[country]], 0.75) for week in loading
        ]


def test_compare_two_segments(lake: Path) -> None:
    segments = ["platform_name = 'Mobile'", pl.col("platform_name") == "Desktop"]
    (row,) = pf.compare(
        lake, "total(session_length_ms)", segments=segments, where="country = 'NZ'", wide=True
    ).to_dicts()
    mobile, desktop = (
        [row["session_length_ms"] for row in SESSIONS if (row["country"], row["platform_name"]) == ("NZ", platform)]
        for platform in ("Mobile", "Desktop")
    )
    assert row["first"] == sum(length for length in mobile if length is not None)
    assert row["second"] == sum(length for length in desktop if length is not None)
    assert row["sessions_first"] == len([length for length in mobile if length is not None])


@pytest.mark.parametrize(
    "ask",
    [pf.page_speed, pf.apdex, pf.satisfaction, pf.error_impact, pf.paths, pf.landings],
    ids=lambda ask: ask.__name__,
)
def test_details_alone_give_the_figures_of_a_lake_without_intervals(lake: Path, ask: object) -> None:
    found, of_details = ask(lake), ask(ended())  # type: ignore[operator]  # a function of pulseframes
    figures_only = [name for name in found.columns if not name.endswith(("_lower", "_upper", "flag"))]
    assert_frame_equal(found.select(figures_only), of_details.select(figures_only))
    assert_frame_equal(found, ask(str(lake)))  # type: ignore[operator]  # as above
    limits = [name for name in found.columns if name.endswith(("_lower", "_upper"))]
    assert of_details.select(pl.all_horizontal(pl.col(limits).is_null().all())).item()
    assert of_details["flag"].unique().to_list() == ["not drawn"]


def test_a_window_omits_the_sessions_outside_it(lake: Path) -> None:
    start = SESSIONS[1000]["session_start"]
    later = [view for view in VIEWS if view["session"]["session_start"] >= start]
    assert pf.page_speed(lake, date_from=start)["views"].sum() == len(later)
    assert pf.page_speed(lake, date_from=start, date_to=END)["views"].sum() == len(later)
