"""No figure of a sampled lake's report reads as if all sessions had been read: each has an interval or a flag, or is said to be of the details."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import polars as pl
import pytest
from support.report_lakes import drawn_lake, truth

import pulseframes as pf
from pulseframes import charts, reports
from pulseframes.reports import rankings, sections
from pulseframes.reports.parts import DOUBT, Section
from pulseframes.reports.svg import Picture
from pulseframes.sampling.inference import DOUBTFUL

pytestmark = pytest.mark.filterwarnings("ignore::pulseframes.IncompleteWarning")

DAYS = {"date_from": "2026-11-12", "date_to": "2026-11-14", "compare": "previous"}
#: Columns that count summaries, or what the details show, and say so.
COUNTED = {"With details", "Users seen", "Seen", "Pages of these sessions", "Browsers"}
#: Sections of what is known of all sessions.
KNOWN = {"traffic", "coverage"}
FIGURE = re.compile(r"[+\N{MINUS SIGN}]?\d[\d,.]*(?: s\b|%| points\b)")


@pytest.fixture(scope="module", params=[40, 300])
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    return drawn_lake(tmp_path_factory.mktemp("drawn") / "lake", truth(4_000), request.param, lost=1)


@pytest.fixture(scope="module")
def findings(lake: pf.Lake) -> reports.Findings:
    found = reports.collect(lake, **DAYS)
    assert found.basis == "sample"
    assert found.changes is not None
    assert found.changes.figures
    return found


@pytest.fixture
def parts(findings: reports.Findings, monkeypatch: pytest.MonkeyPatch) -> list[Section]:
    for module in (sections, rankings):
        monkeypatch.setattr(module, "picture", lambda *_: Picture("<svg></svg>", "<svg></svg>"))
    return [part for part in sections.sections(findings) if part.name not in KNOWN]


def is_honest(lower: float | None, upper: float | None, flag: str | None) -> bool:
    return flag is not None or (lower is not None and upper is not None and lower < upper)


def figures_of(frame: pl.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each estimated figure of each row: the columns that are floats, but for limits."""
    names = [
        name for name, dtype in frame.schema.items() if dtype == pl.Float64 and not name.endswith(("_lower", "_upper"))
    ]
    for row in frame.to_dicts():
        yield from ((name, row) for name in names if row[name] is not None)


@pytest.mark.parametrize("is_wide", [True, False])
def test_each_estimated_figure_of_an_analysis_has_an_interval_or_a_flag(lake: pf.Lake, is_wide: bool) -> None:
    asks = [
        pf.page_speed,
        partial(pf.page_speed, by="country"),
        partial(pf.apdex, by="country"),
        pf.error_impact,
        pf.landings,
        pf.paths,
    ]
    for ask in (*asks, partial(pf.satisfaction, every="1w")):
        frame = ask(lake, wide=is_wide)  # type: ignore[operator]  # each is a function of a source
        for name, row in figures_of(frame.drop("effective_sessions", "standard_error", strict=False)):
            flag = row.get(f"{name}_flag", row["flag"])
            has_limits = f"{name}_lower" in row
            assert has_limits or not is_wide, name
            if has_limits:
                assert is_honest(row[f"{name}_lower"], row[f"{name}_upper"], flag), (name, row)


def test_each_figure_in_a_table_of_a_report_has_an_interval_or_an_asterisk(parts: list[Section]) -> None:
    bare = []
    for part in parts:
        for table in part.tables:
            for row in table.rows:
                for name, cell in zip(table.header[1:], row[1:], strict=True):
                    is_exempt = name in {*COUNTED, *table.words} or (part.name, row[0].text) in {
                        ("changes", "Sessions"),
                        ("changes", "Users"),
                    }
                    if re.search(r"\d", cell.text) and not is_exempt and not (cell.below or cell.text.endswith("*")):
                        bare.append((table.caption, name, row[0].text, cell.text))
    assert bare == []


def test_each_figure_in_a_sentence_of_a_report_is_followed_by_its_interval_or_flag(parts: list[Section]) -> None:
    bare = []
    for sentence in (sentence for part in parts for sentence in part.sentences):
        told = re.sub(r"95% interval", "its interval", sentence)
        outside = re.sub(r"\([^()]*\)", lambda within: "(" + "." * (len(within[0]) - 2) + ")", told)
        bare += [told for match in FIGURE.finditer(outside) if not outside[match.end() :].startswith(" (")]
    assert bare == []


def test_each_key_figure_says_how_certain_it_is(findings: reports.Findings) -> None:
    for figure in sections.key_figures(findings):
        assert re.search(r"counted|between .+ and |few|no data", figure.certainty), figure


def test_an_asterisk_is_explained_where_it_is_shown(parts: list[Section]) -> None:
    for part in parts:
        has_asterisk = any(cell.text.endswith("*") for table in part.tables for row in table.rows for cell in row)
        if has_asterisk:
            assert any(DOUBT in sentence and "asterisk" in sentence for sentence in part.sentences), part.name


def test_each_dot_of_a_chart_of_a_report_has_a_line_or_is_hollow(findings: reports.Findings) -> None:
    drawn = [charts.page_speed(frame) for frame in findings.speed.values()]
    drawn += [charts.error_impact(findings.errors), charts.landings(findings.landings), charts.paths(findings.paths)]
    for chart in drawn:
        text = json.loads(json.dumps(chart.to_dict()))
        rows = text.get("data", {}).get("values") or next(
            layer["data"]["values"] for layer in text["layer"] if "lower" in layer["data"]["values"][0]
        )
        assert all(not row["firm"] or row["lower"] < row["upper"] for row in rows)
    bars = charts.satisfaction(findings.satisfaction.rows).to_dict()
    [shares] = [
        values
        for layer in bars["layer"]
        for values in [layer.get("data", bars.get("data"))["values"]]
        if "pale" in values[0]
    ]
    flagged = findings.satisfaction.rows.filter(pl.col("flag").is_in(DOUBTFUL), pl.col("share") >= 0)
    assert sum(row["pale"] for row in shares) == len(flagged)


def test_the_json_of_a_report_has_limits_or_flags(findings: reports.Findings) -> None:
    found = findings.as_dict()
    for name in ("load_p75_ms", "poor_share", "error_share"):
        figure, change = found[name], found["changes"][name]
        assert is_honest(figure["lower"], figure["upper"] if figure["upper"] is not None else math.inf, figure["flag"])
        assert {"difference_lower", "difference_upper", "flag"} <= change.keys()


def test_what_is_said_of_missing_details_depends_on_their_likeness(lake: pf.Lake) -> None:
    page = pf.report(lake)
    assert "the others are weighted to compensate, which is right if they resemble the missing ones" in page
    assert "with details have" in page, "the number of groups of errors is that of the details"
