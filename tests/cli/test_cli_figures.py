"""``pages``, ``errors`` and ``satisfaction``: the analyses as tables, JSON and files."""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from conftest import NOW, Run, client_of
from polars.testing import assert_frame_equal
from support.report_lakes import UNPRINTABLE

import pulseframes as pf
from pulseframes.cli.tables import figures_as_text
from pulseframes.simulator import Simulator

WEEK = ("2026-11-09", "2026-11-16")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week of 1,000 sessions, and the details of a sample of 60."""
    path = tmp_path_factory.mktemp("lakes") / "lake"
    with Simulator(sessions=4_000, now=NOW, daily_limit=None) as shop:
        with (
            client_of(shop, changes={"home": path.with_name("home")}) as client,
            pytest.warns(pf.IncompleteWarning, match="bots"),
        ):
            pf.sync(path, *WEEK, details=60, design="pageviews", client=client)
    return path


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, run: Run) -> Callable[..., str]:
    """Run a command on a terminal of some columns; return what it prints."""

    def printed(columns: int, *arguments: str | Path) -> str:
        monkeypatch.setitem(os.environ, "COLUMNS", str(columns))
        monkeypatch.setattr(monkeypatch, "setenv", lambda *_: None)  # run() would set it wider
        code, out, err = run(*arguments)
        assert code == 0, err
        return out

    return printed


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize(
    ("line", "headings"),
    [
        (("pages",), "page template p75 ms 95% interval"),
        (("pages", "--wide"), "page template p75 ms 95% interval"),
        (("pages", "--by", "country", "--by", "platform_name"), "country platform name p75 ms 95% interval"),
        (("errors",), "title share of sessions 95% interval"),
        (("errors", "--wide"), "title share of sessions 95% interval"),
        (("satisfaction", "--every", "1w"), "period rating share 95% interval"),
        (("satisfaction", "--wide"), "period rating share 95% interval"),
        (("satisfaction", "--by", "browser_name"), "period browser name rating share 95% interval"),
    ],
)
def test_the_main_figure_and_its_interval_fit_any_terminal(
    lake: Path, at: Callable[..., str], columns: int, line: tuple[str, ...], headings: str
) -> None:
    out = at(columns, line[0], lake, *line[1:])
    assert max(map(len, out.splitlines())) < columns
    heading, _, body = out.partition("───")
    assert not set(headings.split()) - set(heading.split())
    assert " to " in body


def test_a_wider_terminal_shows_more_and_hidden_columns_are_named(lake: Path, at: Callable[..., str]) -> None:
    out = at(60, "errors", lake)
    assert "and 2 more columns: group_id, sessions." in out
    assert "group id" not in out.partition("───")[0]
    assert "group id" in at(120, "errors", lake).partition("───")[0]


def test_a_flagged_figure_has_an_asterisk_and_the_asterisk_an_explanation(lake: Path, at: Callable[..., str]) -> None:
    out = at(120, "pages", lake)
    speed = pf.page_speed(lake)
    flagged = speed.filter(pl.col("flag").is_not_null())
    assert 0 < len(flagged) < len(speed)
    lines = [line for line in out.partition("───")[2].splitlines() if line.endswith("*") or " * " in line]
    assert len(lines) == len(flagged.head(50))
    assert f"* {', '.join(sorted(set(flagged['flag'])))}: trust the interval, not the figure." in out


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        (("pages",), pf.page_speed),
        (("pages", "--by", "country", "--wide"), lambda lake: pf.page_speed(lake, by="country", wide=True)),
        (
            ("pages", "--where", "country = 'US'", "--to", "2026-11-12"),
            lambda lake: pf.page_speed(lake, where="country = 'US'", date_to="2026-11-12"),
        ),
        (("errors", "--wide"), lambda lake: pf.error_impact(lake, wide=True)),
        (("errors", "--design", "pageviews"), lambda lake: pf.error_impact(lake, design="pageviews")),
        (
            ("satisfaction", "--every", "1w", "--time-zone", "Pacific/Auckland", "--by", "country"),
            lambda lake: pf.satisfaction(lake, every="1w", time_zone="Pacific/Auckland", by="country"),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_json_files_and_tables_hold_what_the_function_returns(
    lake: Path, run: Run, tmp_path: Path, line: tuple[str, ...], frame: Callable[[Path], pl.DataFrame]
) -> None:
    wanted = frame(lake)
    path = tmp_path / "x.parquet"
    code, out, err = run(line[0], lake, *line[1:], "--json", "-o", path)
    assert code == 0, err
    assert_frame_equal(pl.read_parquet(path), wanted)
    rows = json.loads(out)
    assert len(rows) == len(wanted)
    for row, expected in zip(rows, wanted.to_dicts(), strict=True):
        for name, value in expected.items():
            if isinstance(value, float):
                assert row[name] == (value if math.isfinite(value) else None)
    code, out, _ = run(line[0], lake, *line[1:], "-f", "csv")
    assert (code, pl.read_csv(io.StringIO(out)).shape) == (0, wanted.shape)


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest details of a lake, and in ``all`` those of all sessions."""
    folder = tmp_path_factory.mktemp("newest")
    with Simulator(sessions=80, now=NOW, daily_limit=None) as shop, client_of(shop) as client:
        pf.sync(folder / "newest", "2026-11-01", details=20, design="newest", client=client)
        pf.sync(folder / "all", "2026-11-17", details="all", design="newest", client=client)
    return folder


def test_details_that_were_not_drawn_are_said_to_represent_no_others(newest: Path, run: Run) -> None:
    code, out, _ = run("pages", newest / "newest")
    assert code == 0
    assert "* not drawn: these details were not drawn at random, and represent no other sessions." in out
    assert " to " not in out.partition("───")[2].partition("\n* ")[0]


@pytest.mark.parametrize("command", ["pages", "errors", "satisfaction"])
def test_only_figures_of_all_sessions_are_said_to_need_no_sample(newest: Path, run: Run, command: str) -> None:
    exact = "No sample was needed: these figures are known for all sessions in the lake.\n"
    assert run(command, newest / "all")[2] == exact
    sessions = len(pf.Lake(newest / "newest").sessions().collect())
    text = "Details: {} of {} sessions, not sampled at random. These figures represent no other sessions.\n"
    assert run(command, newest / "newest")[2] == text.format(20, sessions)
    before = run(command, newest / "newest", "--to", "2026-11-02")[2]
    assert re.fullmatch(text.format("0", "[0-9]+"), before)
    assert str(sessions) not in before


def test_no_rows_are_said_to_be_none(lake: Path, run: Run) -> None:
    code, out, _ = run("errors", lake, "--where", "title = 'none'")
    assert (code, out) == (0, "no rows\n")
    assert json.loads(run("errors", lake, "--where", "title = 'none'", "--json")[1]) == []


def test_text_of_the_data_is_neither_markup_nor_a_control_character() -> None:
    titles = ["[bold]x[/bold] [/]", f"a{UNPRINTABLE}b", "two\nlines", "x" * 200]
    figures = dict.fromkeys(("share_of_sessions", "share_of_sessions_lower", "share_of_sessions_upper"), [0.5] * 4)
    frame = pl.DataFrame({"title": titles} | figures | {"flag": [None] * 4})
    text = figures_as_text(frame, ("title", "share_of_sessions"))
    assert "[bold]x[/bold] [/]" in text
    assert not {*text} & {*UNPRINTABLE}
    assert not any("two" in line and "lines" not in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("pages", "nolake"), "No lake at"),
        (("pages", "{lake}", "--by", "browser"), "Did you mean 'browser_name'?"),
        (("satisfaction", "{lake}", "--every", "often"), "--every: 'often' is not a length of time."),
        (("errors", "{lake}", "-o", "x.docx"), "x.docx must end in"),
    ],
)
def test_wrong_arguments_are_explained(lake: Path, run: Run, line: tuple[str, ...], said: str) -> None:
    code, out, err = run(*(word.format(lake=lake) for word in line))
    assert code in {1, 2}
    assert out == ""
    assert said in " ".join(err.replace("│", " ").split())
