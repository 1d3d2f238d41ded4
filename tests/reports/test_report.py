"""The content of a report: each figure is the analysis function's, whatever the lake holds."""

from __future__ import annotations

import json
import math
import webbrowser
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from cli.test_cli_terminal import on_a_terminal
from conftest import NOW, Run, client_of
from support import report_lakes
from support.report_lakes import LATER, WEEK, Page, drawn_lake, lake_of, truth

import pulseframes as pf
from pulseframes import _text, reports
from pulseframes.analysis.errors import is_noise
from pulseframes.cli.query import open_in_browser
from pulseframes.reports.svg import Picture
from pulseframes.simulator import Simulator
from pulseframes.windows import Window


@pytest.fixture(scope="module")
def shop() -> pf.SessionFrames:
    return truth(1_000)


@pytest.fixture(scope="module")
def whole(shop: pf.SessionFrames, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    """A lake with all details."""
    return lake_of(tmp_path_factory.mktemp("whole") / "lake", shop)


@pytest.fixture(scope="module")
def drawn(shop: pf.SessionFrames, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    """A lake with a sample of which two had no answer."""
    return drawn_lake(tmp_path_factory.mktemp("drawn") / "lake", shop, 80, lost=2)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of words need no pictures, which take most of a report's time."""
    for module in ("sections", "rankings"):
        monkeypatch.setattr(f"pulseframes.reports.{module}.picture", lambda *_: Picture("<svg></svg>", "<svg></svg>"))


def test_with_all_details_the_key_figures_are_the_truth(whole: pf.Lake, shop: pf.SessionFrames) -> None:
    findings = reports.collect(whole).as_dict()
    sessions, views = shop.sessions, shop.page_views
    rated = sessions["satisfaction_rating"].drop_nulls()
    assert findings["basis"] == "all"
    assert findings["sessions"] == findings["details"] == len(sessions)
    assert findings["users"] == sessions["user_id"].drop_nulls().n_unique()
    assert findings["page_views"] == sessions["page_view_count"].sum() == len(views)
    load = views["loading_time_ms"].drop_nulls().sort()
    assert findings["load_p75_ms"]["estimate"] == load[math.ceil(0.75 * len(load)) - 1]
    assert findings["poor_share"]["estimate"] == pytest.approx((rated == "Poor").mean())
    assert findings["error_share"]["estimate"] == pytest.approx(shop.errors["session_id"].n_unique() / len(sessions))
    for name in ("load_p75_ms", "poor_share", "error_share"):
        assert findings[name]["lower"] == findings[name]["estimate"] == findings[name]["upper"]


def test_the_key_figures_of_a_sample_are_those_of_estimate_with_their_intervals(drawn: pf.Lake) -> None:
    page, findings = Page(pf.report(drawn)), reports.collect(drawn).as_dict()
    assert findings["basis"] == "sample"
    for name, measure, write in (
        ("load_p75_ms", "p75(loading_time_ms)", _text.format_seconds),
        ("poor_share", "share(satisfaction_rating = 'Poor')", _text.format_percent),
        ("error_share", "share(error_count > 0)", _text.format_percent),
    ):
        estimate = pf.estimate(drawn, measure, wide=True).row(0, named=True)
        assert findings[name] == {part: estimate[part] for part in findings[name]}
        assert f"{write(estimate['estimate'])} between " in page.text
    assert "78 of" in page.text
    assert "80 of" in page.text
    assert "2; the others are weighted to compensate, which is right if they resemble the missing ones" in page.text


def marked(rows: pl.DataFrame, figure: str, write: Callable[[float | None], str]) -> list[str]:
    """A figure as a table shows it: with an asterisk if it comes from few sessions."""
    flag = f"{figure}_flag" if f"{figure}_flag" in rows.columns else "flag"
    return [write(value) + ("*" if flag else "") for value, flag in rows.select(figure, flag).iter_rows()]


@pytest.mark.parametrize("name", ["whole", "drawn"])
def test_the_tables_hold_the_results_of_the_analysis_functions(name: str, request: pytest.FixtureRequest) -> None:
    lake = request.getfixturevalue(name)
    page = Page(pf.report(lake))
    speed = pf.page_speed(lake, wide=True).head(25)
    caption = "Load times by page: median, 75th and 95th percentile"
    assert [cell[0] for cell in page.column(caption, "Page")] == [
        _text.printable(value) for value in speed["page_template"]
    ]
    assert [cell[0] for cell in page.column(caption, "75th pct.")] == marked(speed, "p75_ms", _text.format_seconds)
    assert [cell[0] for cell in page.column(caption, "95th pct.")] == marked(speed, "p95_ms", _text.format_seconds)
    assert [cell[0] for cell in page.column(caption, "With details")] == [str(value) for value in speed["sessions"]]
    errors = pf.error_impact(lake, wide=True).filter(~is_noise()).head(25)
    caption = "Errors by number of sessions affected"
    assert [cell[0] for cell in page.column(caption, "Error")] == [
        _text.printable(value, 120) for value in errors["title"]
    ]
    assert [cell[0] for cell in page.column(caption, "Share")] == marked(
        errors, "share_of_sessions", _text.format_percent
    )
    assert [cell[0] for cell in page.column(caption, "Users seen")] == [str(value) for value in errors["users_seen"]]
    days = pf.traffic(lake, by=None)
    caption = "Sessions, users and page views by day"
    for column in ("sessions", "users", "page_views"):
        cells = page.column(caption, column.replace("_", " ").capitalize())
        assert [cell[0] for cell in cells] == [_text.format_count(value) for value in days[column]]
    landings = pf.landings(lake, wide=True).head(25)
    cells = page.column("Landing pages", "Bounce rate")
    assert [cell[0] for cell in cells] == marked(landings, "bounce_rate", _text.format_percent)
    times = page.column("Most frequent steps from page to page", "Times")
    assert [cell[0] for cell in times] == marked(pf.paths(lake, wide=True).head(25), "times", _text.format_rounded)
    for by, title in (("country", "Country"), ("browser_name", "Browser")):
        groups = pf.page_speed(lake, by=by, wide=True).head(25)
        cells = page.column(f"Load times by {title.lower()}", "Median")
        assert [cell[0] for cell in cells] == marked(groups, "p50_ms", _text.format_seconds)
    shares = pf.satisfaction(lake, every="1w", wide=True).filter(satisfaction_rating="Poor")
    findings = reports.collect(lake)
    if findings.satisfaction.every == "1w":
        cells = page.column("Share of sessions with each rating, by week", "Poor")
        assert [cell[0] for cell in cells] == marked(shares, "share", _text.format_percent)


def test_each_flag_and_interval_of_a_sample_is_shown(drawn: pf.Lake) -> None:
    page = Page(pf.report(drawn))
    caption = "Load times by page: median, 75th and 95th percentile"
    speed = pf.page_speed(drawn).head(25)
    flags = [cell[1] if len(cell) > 1 else None for cell in page.column(caption, "With details")]
    assert flags == speed["flag"].to_list()
    assert any(flags)
    first = speed.row(0, named=True)
    interval = page.column(caption, "75th pct.")[0][1]
    assert interval == _text.format_range(first["p75_ms_lower"], first["p75_ms_upper"], _text.format_seconds)
    assert " to " in interval


def test_a_lake_without_details_shows_counts_and_says_that_the_rest_is_unknown(
    shop: pf.SessionFrames, tmp_path: Path
) -> None:
    page = Page(pf.report(lake_of(tmp_path / "lake", shop, details=False)))
    assert f"Sessions {len(shop.sessions):,} counted" in page.text
    assert "Load time, 75th percentile not known no data in the details" in page.text
    assert "so load times, ratings and errors are unknown" in page.text
    assert "Load times by page" not in page.text


def test_an_empty_lake_has_a_page_that_says_so(tmp_path: Path) -> None:
    page = Page(pf.report(lake_of(tmp_path / "lake", None)))
    assert "The lake has no sessions in this window." in page.text
    assert "9 November 2026 to 15 November 2026" in page.text


def test_a_lake_that_no_sync_has_filled_is_reported_from_its_first_session_to_its_last(tmp_path: Path) -> None:
    pf.Lake(tmp_path / "empty").write(report_lakes.summaries(truth(8)).clear())
    assert "The lake has no sessions in this window." in pf.report(tmp_path / "empty")
    frames = truth(100)
    pf.Lake(tmp_path / "lake").write(frames, fetched_at=LATER)
    findings = reports.collect(pf.Lake(tmp_path / "lake"))
    assert findings.coverage.counts.sessions == len(frames.sessions)
    assert findings.coverage.window.start == frames.sessions["session_start"][0]


def test_a_window_is_reported_in_the_time_zone(whole: pf.Lake) -> None:
    findings = reports.collect(whole, date_from="2026-11-10", date_to="2026-11-12", time_zone="Pacific/Auckland")
    frame = pf.traffic(
        whole, every="1d", by=None, time_zone="Pacific/Auckland", date_from="2026-11-10", date_to="2026-11-12"
    )
    assert findings.traffic.rows.equals(frame)
    assert findings.coverage.counts.sessions == frame["sessions"].sum()
    assert findings.coverage.outside > 0
    page = pf.report(whole, date_from="2026-11-10", date_to="2026-11-12", time_zone="Pacific/Auckland")
    assert "10 November 2026, 13:00, to 12 November 2026, 13:00" in page
    assert "(Pacific/Auckland)" in page


def test_gaps_and_incomplete_windows_are_reported(shop: pf.SessionFrames, tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", shop)
    day = timedelta(days=1)
    with lake.locked() as state:
        state.coverage.remove(Window(WEEK.start + day, WEEK.start + 2 * day))
        state.incomplete.append(Window(WEEK.start + 3 * day, WEEK.start + 4 * day))
        lake.save_state()
    with pytest.warns(pf.IncompleteWarning, match="lacks sessions of 2026-11-12"):
        page = Page(pf.report(lake))
    assert "Not downloaded 10 November 2026" in page.text
    assert "Sessions missing 12 November 2026" in page.text


def test_the_calls_in_this_machines_journal_are_shown_by_day(tmp_path: Path) -> None:
    with Simulator(sessions=60, days=7, now=NOW, daily_limit=None) as simulator:
        with client_of(simulator) as client:
            pf.sync(tmp_path / "lake", "2026-11-14", "2026-11-19", client=client)
            spent = client.calls_spent
    page = Page(pf.report(tmp_path / "lake"))
    caption = "Pulse API calls by day, from this machine's journal"
    assert [cell[0] for cell in page.column(caption, "Calls")] == [str(spent)]
    assert f"{spent} calls on 1 day (limit 50 a day)" in page.text


def test_a_report_is_written_whole_and_replaces_an_older_one(whole: pf.Lake, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    output.write_text("an older one")
    assert pf.report(whole, output, title="Shop") == output
    assert "<title>Shop: 9 November 2026 to 15 November 2026</title>" in output.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"title": " "}, "title"),
        ({"title": 3}, "title"),
        ({"time_zone": "Middle/Earth"}, "time_zone"),
        ({"date_from": "yesterday"}, "date_from"),
        ({"date_from": "2026-11-12", "date_to": "2026-11-10"}, "date_from"),
        ({"design": "newest"}, "design"),
        ({"output": "."}, "output"),
        ({"output": "nowhere/report.html"}, "output"),
    ],
)
def test_a_wrong_argument_is_named(
    whole: pf.Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, str], argument: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pf.InvalidQuery) as caught:
        pf.report(whole, **options)
    assert caught.value.argument == argument
    assert list(tmp_path.iterdir()) == []


def test_a_missing_lake_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(pf.LakeError, match="No lake at"):
        pf.report(tmp_path / "lake", tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_page_and_prints_the_figures_for_programs(
    run: Run, drawn: pf.Lake, tmp_path: Path
) -> None:
    output = tmp_path / "report.html"
    code, out, err = run("report", drawn.location, "-o", output)
    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == f"Wrote {output}."
    code, out, _ = run(
        "-q", "report", drawn.location, "-o", output, "--from", "2026-11-09", "--title", "Shop", "--json"
    )
    document = json.loads(out)
    assert (code, document["path"], document["basis"]) == (0, str(output), "sample")
    assert document["load_p75_ms"]["lower"] < document["load_p75_ms"]["estimate"] < document["load_p75_ms"]["upper"]
    assert "<h1>Shop</h1>" in output.read_text(encoding="utf-8")
    assert run("report", drawn.location, "-o", tmp_path)[0] == 2
    assert run("report", tmp_path / "none", "-o", output)[0] == 1


def test_the_demo_ends_with_a_report(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulseframes.cli.demo.EVENINGS", 1)
    code, out, _ = run("demo", "--report", tmp_path / "report.html")
    assert code == 0
    assert (tmp_path / "report.html").absolute().as_uri() in out
    assert "A simulated shop" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_demo_explains_how_to_install_the_extra(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulseframes.reports.NEEDED", ("altair", "a_package_that_is_not_there"))
    code, out, _ = run("demo", "--report", tmp_path / "report.html")
    assert code == 0
    assert "A report needs a_package_that_is_not_there" in out
    assert "pip install 'pulseframes[report]'" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (_text.format_seconds, 43.0, "0.04 s"),
        (_text.format_seconds, 1_234.0, "1.2 s"),
        (_text.format_seconds, 12_345.0, "12 s"),
        (_text.format_seconds, 240_000.0, "4 min"),
        (_text.format_seconds, None, "not known"),
        (_text.format_percent, 0.1234, "12%"),
        (_text.format_percent, 0.0412, "4.1%"),
        (_text.format_percent, 0.0002, "<0.1%"),
        (_text.format_percent, 0.0, "0%"),
        (_text.format_count, 1_234_567, "1,234,567"),
        (_text.format_rounded, 1_234_567.0, "1,230,000"),
        (_text.format_rounded, 87.4, "87"),
        (_text.format_rounded, math.inf, "not known"),
    ],
)
def test_figures_are_formatted_for_readers(write: object, value: float | None, text: str) -> None:
    assert write(value) == text  # type: ignore[operator]  # one of the functions


def test_a_span_names_its_unit_once() -> None:
    assert _text.format_range(4_520.0, 6_800.0, _text.format_seconds) == "4.5 to 6.8 s"
    assert _text.format_range(0.04, 0.13, _text.format_percent) == "4.0% to 13%"
    assert _text.format_range(500.0, math.inf, _text.format_seconds) == "0.50 s or more"
    assert _text.format_range(59_000.0, 240_000.0, _text.format_seconds) == "59 s to 4 min"


@pytest.mark.parametrize("name", ["report.pdf", "report.xlsx", "report", "report.html.txt"])
def test_a_report_is_only_written_as_html(run: Run, whole: pf.Lake, tmp_path: Path, name: str) -> None:
    code, out, err = run("report", whole.location, "-o", tmp_path / name)
    assert (code, out) == (2, "")
    assert "must end in .html or .htm" in " ".join(err.replace("│", " ").split())
    with pytest.raises(pf.InvalidQuery, match="must end in .html or .htm") as caught:
        pf.report(whole, tmp_path / name)
    assert caught.value.argument == "output"
    assert run("demo", "--report", tmp_path / name)[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_both_endings_of_html_are_written(whole: pf.Lake, tmp_path: Path) -> None:
    for name in ("a.html", "b.htm", "C.HTML"):
        assert pf.report(whole, tmp_path / name).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_open_opens_the_report_in_the_browser_of_a_terminal_only(
    run: Run, whole: pf.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, visited = tmp_path / "report.html", tmp_path / "visited"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {visited}\n')
    browser.chmod(0o755)
    monkeypatch.setattr("webbrowser._tryorder", [])
    monkeypatch.setattr("webbrowser._browsers", {})
    webbrowser.register("test", None, webbrowser.GenericBrowser(str(browser)))
    code, _, err = run("report", whole.location, "-o", output, "--open")
    assert code == 0
    assert f"--open needs a terminal. Open {output.as_uri()} in a browser." in err
    assert not visited.exists()
    with on_a_terminal() as terminal:
        open_in_browser(output)
        assert terminal.text() == ""
    assert visited.read_text() == f"{output.as_uri()}\n"
    monkeypatch.setattr("webbrowser._tryorder", [])
    with on_a_terminal() as terminal:
        open_in_browser(output)
        assert f"No browser was found. Open {output.as_uri()} in one." in terminal.text()
