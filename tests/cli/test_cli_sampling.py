"""The sample on the command line: sync --design, plan --precision and estimate."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from analysis.test_sample import download
from conftest import NOW, Run, requested_details, set_environment
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.fetch.forecast import Plan, PlannedWindow
from pulseframes.fetch.sync_report import SampleReport
from pulseframes.simulator import Simulator
from pulseframes.tables import SESSIONS
from pulseframes.windows import Window

DAY = timedelta(days=1)
START, END = datetime(2026, 11, 14, tzinfo=NOW.tzinfo), datetime(2026, 11, 17, tzinfo=NOW.tzinfo)
WINDOW = ("--from", "2026-11-14", "--to", "2026-11-17")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that has the summaries of three days, and one that also has the details of 60 sessions, drawn by page views.

    They cost no call.
    """
    folder = tmp_path_factory.mktemp("lakes")
    shop = Simulator(sessions=2_000, now=NOW)
    made = pf.Lake(folder / "lake")
    made.write(shop.summaries(START, END), fetched_at=NOW)
    with made.locked() as state:
        state.coverage.add(Window(START, END), NOW, DAY)
        made.save_state()
    shutil.copytree(folder / "lake", folder / "sampled")
    download(pf.Lake(folder / "sampled"), shop, 60, START, END, design=pf.Design())
    return folder


@pytest.fixture
def lake(folders: Path, tmp_path: Path) -> pf.Lake:
    """A copy of the first."""
    return pf.Lake(shutil.copytree(folders / "lake", tmp_path / "lake"))


@pytest.fixture
def sampled(folders: Path, tmp_path: Path) -> pf.Lake:
    """A copy of the second."""
    return pf.Lake(shutil.copytree(folders / "sampled", tmp_path / "lake"))


# sync


@pytest.mark.usefixtures("environment")
def test_sync_downloads_by_the_design_and_reports_the_sample(run: Run, lake: pf.Lake, simulator: Simulator) -> None:
    sessions = lake.sessions().select(SESSIONS.schema.names()).collect()
    chosen = pf.choose_details(sessions, 5, strata="country", seed=3)["session_id"].to_list()
    options = ("--details", "3", "--design", "pageviews", "--strata", "country", "--seed", "3")
    code, out, err = run("sync", lake.location, *WINDOW, *options)
    assert (code, out, requested_details(simulator)) == (0, "", chosen[:3])
    line = (
        f"Sample pageviews by country (seed 3): 3 of {len(sessions)} sessions, all with details; effective sample size "
    )
    assert line in err
    code, out, _ = run("sync", lake.location, *WINDOW, "--details", "2", "--json")
    sample = json.loads(out)["sample"]
    assert (code, requested_details(simulator)) == (0, chosen)
    assert sample.pop("effective") > 1
    assert sample == {
        "design": "pageviews by country",
        "seed": 3,
        "sessions": len(sessions),
        "drawn": 5,
        "unanswered": 0,
        "beside": [],
        "wrong_design": None,
    }
    code, out, err = run("sync", lake.location, *WINDOW, "--details", "1", "--design", "newest", "--json")
    assert (code, json.loads(out)["sample"], "Sample" in err) == (0, None, False)


@pytest.mark.usefixtures("environment")
def test_a_sync_draws_for_a_question_and_a_plan_shows_its_strata(run: Run, lake: pf.Lake, simulator: Simulator) -> None:
    design = pf.Design(for_question="p75(loading_time_ms) by platform_name").allocated(lake.sessions().collect())
    chosen = pf.choose_details(lake.sessions().collect(), 4, design=design)["session_id"].to_list()
    options = ("--details", "4", "--design", "pageviews", "--for", "p75(loading_time_ms) by platform_name")
    code, out, _ = run("plan", lake.location, *WINDOW, *options)
    assert code == 0
    assert re.search(r"Strata: Mobile \d\d%, Desktop \d\d%, Tablet \d\d%", out)
    code, _, err = run("sync", lake.location, *WINDOW, *options)
    assert (code, requested_details(simulator)) == (0, chosen)
    assert "Sample pageviews by platform_name (seed 0): 4 of " in err


@pytest.mark.usefixtures("environment")
def test_a_sync_without_calls_left_exits_with_3_and_reports_its_sample(
    run: Run, lake: pf.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "3")
    code, _, err = run("sync", lake.location, *WINDOW, "--details", "5", "--design", "uniform")
    assert code == 3
    assert "Sample uniform (seed 0): 2 of " in err
    assert "Not finished (3 sessions or details of this run still to download)" in err


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--details", "3", "--design", "views"), "'views' is not one of 'pageviews', 'uniform', 'newest'"),
        (("--details", "3", "--strata", "country"), "it needs --design pageviews or --design uniform"),
        (("--details", "3", "--design", "newest", "--seed", "2"), "it needs --design pageviews or --design uniform"),
        (("--details", "3", "--design", "uniform", "--seed", "-1"), "greater than or equal to 0"),
        (
            ("--details", "3", "--design", "uniform", "--strata", "ip_city"),
            "Unknown column 'ip_city' in --strata. Use one that a search fills",
        ),
        (
            ("--details", "3", "--design", "uniform", "--strata", "ip_address"),
            "ip_address identifies people or single sessions",
        ),
        (
            ("--details", "3", "--design", "newest", "--for", "p75(loading_time_ms) by country"),
            "it needs --design pageviews",
        ),
        (("--details", "3", "--for", ""), "--for must be a measure and the columns to group it by"),
        (("--details", "3", "--design", "uniform", "--for", "p75(loading_time_ms)"), "--for must be a measure and"),
        (
            (
                "--details",
                "3",
                "--design",
                "uniform",
                "--strata",
                "os_name",
                "--for",
                "mean(loading_time_ms) by country",
            ),
            "--strata: the strata are those of --for, country.",
        ),
        (
            ("--details", "3", "--design", "uniform", "--for", "mean(loading_time_ms) by page_template"),
            "--for: Unknown column 'page_template' in --for. Use one that a search fills",
        ),
        (("--design", "pageviews"), "it needs --details"),
        (("--details", "some", "--design", "pageviews"), "'some' is neither a whole number nor all"),
    ],
)
def test_wrong_usage_of_sync_costs_nothing(
    run: Run, lake: pf.Lake, simulator: Simulator, options: tuple[str, ...], message: str
) -> None:
    code, out, err = run("sync", lake.location, *WINDOW, *options)
    assert (code, out, simulator.calls) == (2, "", 0)
    assert message in err


# plan


@pytest.mark.usefixtures("environment")
def test_plan_forecasts_the_details_for_a_precision_and_the_gain_of_a_day(
    run: Run, sampled: pf.Lake, simulator: Simulator
) -> None:
    code, out, _ = run("plan", sampled.location, *WINDOW, "--precision", "20%", "--details", "40")
    assert (code, simulator.calls) == (0, 0)
    plan = pf.plan_precision(sampled, within=0.2, details_a_day=40)
    assert out.endswith(f"{plan}\n")
    assert "no calls needed" not in out
    assert len(plan.groups) == 10
    assert "median(loading_time_ms) to within 20%, from 60 details:" in out
    assert "; after 40 more ±" in out
    assert f"{plan.needed:,} details, {plan.calls:,} calls more: {plan.days} days of 40." in out


@pytest.mark.usefixtures("environment")
def test_plan_prints_the_forecast_as_json_for_another_measure_and_groups(
    run: Run, sampled: pf.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "50")
    options = ("--precision", "5", "--measure", "mean(viewing_time_ms)", "--by", "country", "--top", "2", "--json")
    code, out, _ = run("plan", sampled.location, *WINDOW, "--no-probe", *options)
    document = json.loads(out)
    plan = pf.plan_precision(
        sampled, "mean(viewing_time_ms)", within=0.05, by=["country"], top=2, details_a_day=47, design=None
    )
    assert (code, document["precision"], document["calls"]) == (0, plan.as_dict(), 0)
    assert [row["country"] for row in document["precision"]["groups"]] == plan.groups["country"].to_list()
    assert "precision" not in json.loads(run("plan", sampled.location, *WINDOW, "--json")[1])


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--precision", "0"), 2, "'0' is not a percentage between 0% and 100%"),
        (("--precision", "100%"), 2, "'100%' is not a percentage"),
        (("--precision", "nan"), 2, "'nan' is not a percentage"),
        (("--precision", "ten"), 2, "'ten' is not a percentage"),
        (("--precision", "0.1"), 2, "'0.1' is ambiguous: write 10% or 0.1%"),
        (
            ("--measure", "count()"),
            2,
            "Invalid value for --measure: it needs --precision",
        ),
        (("--by", "country"), 2, "Invalid value for --by: it needs --precision"),
        (("--top", "3"), 2, "Invalid value for --top: it needs --precision"),
        (("--whole",), 2, "Invalid value for --whole: it needs --precision"),
        (
            ("--precision", "10%", "--whole", "--by", "country"),
            2,
            "Invalid value for --by: not with --whole, which has no groups",
        ),
        (
            ("--precision", "10%", "--whole", "--top", "3"),
            2,
            "Invalid value for --top: not with --whole, which has no groups",
        ),
        (("--precision", "10%", "--top", "0"), 2, "greater than or equal to 1"),
        (("--precision", "10%", "--measure", "speed"), 2, "Unknown measure 'speed'"),
        (("--precision", "10%", "--by", "planet"), 2, "planet"),
        (("--precision", "10%", "--design", "newest"), 2, "newest is not a random sample"),
        (("--precision", "10%", "--design", "uniform"), 2, "the lake has no sample uniform (seed 0); it has pageviews"),
    ],
)
def test_wrong_usage_of_plan_costs_nothing(
    run: Run, sampled: pf.Lake, simulator: Simulator, options: tuple[str, ...], code: int, message: str
) -> None:
    found, out, err = run("plan", sampled.location, "--from", "2026-11-01", *options)
    assert (found, out, simulator.calls) == (code, "", 0)
    assert message in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("environment")
def test_a_plan_that_needs_no_call_has_no_duration(run: Run, sampled: pf.Lake) -> None:
    code, out, _ = run("plan", sampled.location, *WINDOW)
    assert code == 0
    assert out.splitlines()[:2] == ["Search: nothing to download.", "Total: no calls needed."]
    assert out.splitlines()[2].endswith(" calls left today.")


def test_nouns_agree_with_their_number() -> None:
    window = PlannedWindow(START, END, sessions=1, calls=1, kept=1, estimated=False)
    plan = Plan([window], 0, 0, authentications=0, calls=1, calls_left=1, daily_limit=50, days=1, probe_cost=0)
    search, calls, left = str(plan).splitlines()
    assert search.endswith(": 1 session, 1 call, 1 page in the journal.")
    assert calls == "Total: 1 call, 0 of them to authenticate."
    assert left == "Quota: 1 of 50 calls left today, which is enough."
    unknown = replace(plan, details=None, details_kept=3, calls=None, days=None)
    assert "Details: unknown number to download, 3 in the journal." in str(unknown)


@pytest.mark.parametrize(
    ("drawn", "unanswered", "said"),
    [
        (0, 0, "no sessions yet."),
        (45, 0, "45 of 751 sessions, all with details; effective sample size 20 for page views."),
        (45, 3, "45 of 751 sessions, 3 without details; effective sample size 20 for page views."),
        (2, 2, "2 of 751 sessions, none with details."),
    ],
)
def test_a_sync_reports_the_sample_size_and_missing_details(drawn: int, unanswered: int, said: str) -> None:
    report = SampleReport("pageviews", 0, 751, drawn, unanswered, effective=20.0)
    assert str(report) == f"Sample pageviews (seed 0): {said}"


@pytest.mark.usefixtures("environment")
def test_plan_forecasts_a_precision_of_less_than_one_per_cent_for_all_sessions(run: Run, sampled: pf.Lake) -> None:
    code, out, _ = run("plan", sampled.location, *WINDOW, "--precision", "0.5%", "--whole", "--details", "40")
    assert code == 0
    assert out.endswith(f"\n\n{pf.plan_precision(sampled, within=0.005, by=None, details_a_day=40)}\n")
    assert "to within 0.5%, from 60 details:\n  all: " in out


@pytest.mark.usefixtures("environment")
def test_a_forecast_without_a_sample_explains_how_to_draw_one_and_costs_nothing(
    run: Run, lake: pf.Lake, simulator: Simulator, tmp_path: Path
) -> None:
    code, out, err = run("plan", lake.location, "--from", "2026-11-01", "--precision", "10%")
    assert (code, out, simulator.calls) == (1, "", 0)
    assert "has no random sample" in err
    code, _, err = run("plan", tmp_path / "none", "--from", "2026-11-01", "--precision", "10%")
    assert (code, simulator.calls) == (1, 0)
    assert "No lake at" in err


# estimate


def test_estimate_prints_the_result_of_the_function_and_the_response(
    run: Run, sampled: pf.Lake, tmp_path: Path
) -> None:
    asked = ("p75(loading_time_ms)", "share(loading_time_ms > 3000)")
    options = (
        "--by",
        "country",
        "--where",
        "loading_time_ms > 100",
        "--confidence",
        "0.9",
        "--calibrate",
        "browser_name",
    )
    expected = pf.estimate(
        sampled, asked, by="country", where="loading_time_ms > 100", confidence=0.9, calibrate="browser_name", wide=True
    )
    code, out, err = run("estimate", sampled.location, *asked, *options, "-f", "ndjson")
    assert (code, err) == (0, "Sample pageviews (seed 0): 60 drawn, all with details.\n")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["country"] for row in rows] == expected["country"].to_list()
    assert [row["estimate"] for row in rows] == pytest.approx(expected["estimate"].to_list())
    output = tmp_path / "found.parquet"
    code, out, err = run("estimate", sampled.location, *asked, *options, "-o", output)
    assert (code, out) == (0, "")
    assert_frame_equal(pl.read_parquet(output), expected)
    assert run("-q", "estimate", sampled.location, "count()")[2] == ""


@pytest.mark.parametrize("width", [80, 130])
def test_estimates_fit_the_terminal_with_their_limits_and_flags(
    run: Run, sampled: pf.Lake, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(monkeypatch, "setenv", lambda *_: None)  # run() would set it wider
    asked = ("p75(loading_time_ms)", "share(loading_time_ms > 3000)")
    lines = run("estimate", sampled.location, *asked, "--by", "page_template")[1].splitlines()
    wide = ["page_template", "estimate", "standard_error", "lower", "upper", "sessions", "effective_sessions", "flag"]
    shown = wide if width == 130 else [name for name in wide if name not in {"standard_error", "effective_sessions"}]
    assert lines[0] == asked[0]
    assert lines[1].split() == shown
    assert [line for line in lines if line in asked] == [*asked]
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines if line.startswith(("/ ", "/search "))]
    found = pf.estimate(sampled, asked, by="page_template", wide=True).filter(
        pl.col("page_template").is_in(["/", "/search"])
    )
    figures = [f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}" for value in found["estimate"]]
    assert [row[1] for row in rows] == figures
    assert any("∞" in line and line.endswith("few sessions") for line in lines)
    note = " ".join(lines[-2:])
    assert ("and 2 more columns: standard_error, effective_sessions. -f csv prints all of it" in note) == (width == 80)


def test_estimates_without_groups_are_one_table(run: Run, sampled: pf.Lake) -> None:
    lines = run("estimate", sampled.location, "count()", "total(page = 'nowhere')")[1].splitlines()
    assert lines[0].split()[0] == "measure"
    assert lines[2].split()[:2] == ["count()", f"{len(sampled.sessions().collect())}"]
    assert lines[3].startswith("total(page = 'nowhere')")
    assert run("estimate", sampled.location, "count()")[1].splitlines()[0] == "count()"
    nothing = ("mean(loading_time_ms)", "--by", "country", "--where", "page = 'nowhere'")
    assert run("estimate", sampled.location, *nothing)[1] == "no rows\n"


def test_groups_beyond_the_fiftieth_are_counted_and_their_labels_are_harmless(
    run: Run, lake: pf.Lake, simulator: Simulator
) -> None:
    truth = simulator.truth(START, END)
    titled = truth["page_views"].with_columns(page=pl.lit("[red]\x1b[31m") + pl.col("view_index").cast(pl.String))
    lake.write(pf.SessionFrames(truth["sessions"], titled, truth["errors"]), fetched_at=NOW)
    out = run("estimate", lake.location, "count()", "--by", "page")[1]
    assert "[red]\N{REPLACEMENT CHARACTER}[31m1 " in out
    assert "\x1b" not in out
    out = run("estimate", lake.location, "count()", "--by", "session_id")[1]
    assert f"and {len(truth['sessions']) - 50} more rows. -f csv prints all of it" in out


@pytest.mark.parametrize("width", [80, 100])
def test_a_wide_result_shows_the_first_columns_of_a_table_and_names_the_hidden_ones(
    run: Run, sampled: pf.Lake, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(monkeypatch, "setenv", lambda *_: None)
    out = run("sql", sampled.location, "select * from design limit 3")[1]
    heading = out.splitlines()[2]
    assert "inclusion_probability ┆ weight" in heading
    assert max(map(len, out.splitlines())) <= width
    left_out = [name for name in sampled.design().collect_schema() if f" {name} " not in heading]
    note = " ".join(out.splitlines()[-2:])
    assert f"and {len(left_out)} more columns: {', '.join(left_out)}. -f csv prints all of it, -o writes it." in note
    short = run("sql", sampled.location, "select weight, session_id from design limit 3")[1]
    assert "weight" in short.splitlines()[2].split("┆")[0]
    assert "more column" not in short


def test_estimate_takes_a_window_a_table_and_a_design(run: Run, sampled: pf.Lake, simulator: Simulator) -> None:
    download(sampled, simulator, 20, START, END, design=pf.Design("uniform"))
    options = ("--from", "2026-11-15", "--to", "2026-11-16", "--of", "errors", "--design", "pageviews")
    code, out, err = run("estimate", sampled.location, "count()", *options, "-f", "csv")
    expected = pf.estimate(
        sampled, "count()", of="errors", date_from=START + DAY, date_to=END - DAY, design="pageviews", wide=True
    )
    assert (code, out) == (0, expected.write_csv())
    assert "Sample pageviews (seed 0)" in err
    assert "Sample uniform (seed 0)" in run("estimate", sampled.location, "mean(loading_time_ms)")[2]


def test_estimate_of_a_lake_with_all_details_needs_no_sample(run: Run, lake: pf.Lake, simulator: Simulator) -> None:
    truth = simulator.truth(START, END)
    lake.write(pf.SessionFrames(truth["sessions"], truth["page_views"], truth["errors"]), fetched_at=NOW)
    code, out, err = run("estimate", lake.location, "mean(loading_time_ms)", "-f", "ndjson")
    assert json.loads(out)["estimate"] == pytest.approx(truth["page_views"]["loading_time_ms"].mean())
    assert (code, err) == (0, "No sample was needed: these figures are known for all sessions in the lake.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("speed",), 2, "Unknown measure 'speed'"),
        (("mean(nothing)",), 2, "nothing"),
        (("mean(loading_time_ms",), 2, "mean(loading_time_ms"),
        (("count()", "--where", "country"), 2, "is not a condition"),
        (("count()", "--of", "rejected"), 2, "'rejected' is not one of"),
        (("count()", "--confidence", "1.5"), 2, "--confidence must be between 0 and 1, such as 0.95, not 1.5"),
        (("count()", "--from", "someday"), 2, "--from: 'someday'"),
        (("mean(loading_time_ms)", "--from", "2026-10-01"), 0, ""),
        (("mean(loading_time_ms)", "--design", "uniform"), 2, "the lake has no sample uniform; it has pageviews"),
        (
            ("mean(loading_time_ms)", "--calibrate", "ip_city"),
            2,
            "Unknown column 'ip_city' in --calibrate. Use one that a search fills",
        ),
        (("count()", "-o", "count.docx"), 2, "must end in .parquet"),
        ((), 2, "Missing argument 'MEASURE...'"),
    ],
)
def test_invalid_estimates_are_explained(
    run: Run, sampled: pf.Lake, arguments: tuple[str, ...], code: int, message: str
) -> None:
    found, _, err = run("estimate", sampled.location, *arguments)
    assert found == code
    assert message in err
    assert "Traceback" not in err


def test_estimate_without_a_lake_or_a_sample_exits_with_1(run: Run, lake: pf.Lake, tmp_path: Path) -> None:
    code, out, err = run("estimate", lake.location, "mean(loading_time_ms)")
    assert (code, out) == (1, "")
    assert "has no random sample" in err
    assert run("estimate", lake.location, "count()", "--by", "country")[0] == 0, "what all summaries say needs none"
    code, _, err = run("estimate", tmp_path / "none", "count()")
    assert code == 1
    assert "No lake at" in err


# With few calls left


def test_with_three_calls_left_a_plan_costs_one_at_most_and_an_estimate_none(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "9")
    with Simulator(sessions=400, now=datetime.now(NOW.tzinfo), daily_limit=9) as shop:
        set_environment(monkeypatch, shop)
        window = ("--from", f"{shop.begin:%Y-%m-%d}", "--to", f"{shop.now - 8 * DAY:%Y-%m-%d}")
        lake = tmp_path / "lake"
        assert run("sync", lake, *window, "--details", "4", "--design", "pageviews")[0] == 0
        assert shop.calls == 6
        assert run("estimate", lake, "count()", "mean(loading_time_ms)")[0] == 0
        assert shop.calls == 6
        longer = ("--from", f"{shop.begin - 30 * DAY:%Y-%m-%d}", "--details", "9", "--design", "pageviews")
        code, out, _ = run("plan", lake, *longer, "--precision", "10%")
        assert (code, shop.calls) == (0, 6)
        assert "number of sessions unknown" in out
        assert "median(loading_time_ms) to within 10%, from 4 details:" in out
        code, out, _ = run("plan", lake, *longer)
        assert (code, shop.calls) == (0, 7)
        assert "Planning used 1 call." in out


def test_schema_and_sql_have_the_design(run: Run, sampled: pf.Lake) -> None:
    entries: list[dict[str, Any]] = json.loads(run("schema", "design", "--format", "json")[1])
    assert [entry["column"] for entry in entries if entry["key"]] == ["session_id", "design", "seed"]
    assert {entry["json_path"] for entry in entries} == {entry["answers"] for entry in entries} == {None}
    assert "| lake | Probability that the session was selected. |" in run("schema", "design", "-f", "markdown")[1]
    code, out, _ = run("sql", sampled.location, "select count(*), sum(inclusion_probability) from design", "-f", "csv")
    assert (code, out.splitlines()[1].split(",")[0]) == (0, "60")
