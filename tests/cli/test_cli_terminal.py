"""What reaches a terminal: every text of the data, and no character that controls the terminal or reorders what is read."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import polars as pl
import pytest
from conftest import Run
from support.report_lakes import UNPRINTABLE

import pulseframes as pf
from pulseframes._text import escaped
from pulseframes.analysis.precision import PrecisionPlan
from pulseframes.cli.files import Destination
from pulseframes.cli.options import TextFormat
from pulseframes.cli.output import alert, print_frame, print_json, print_warnings
from pulseframes.flatten.notices import warn_of_drift

TITLES = [f"a{letter}b" for letter in UNPRINTABLE] + ["two\r\nlines", "🧑\u200d🌾 山田\u3000太郎"]
FRAME = pl.DataFrame({"title": TITLES}).with_columns(pl.concat_list("title").alias(f"list\u202e{UNPRINTABLE}"))


class Terminal(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        shown: bytes = self.buffer.getvalue()  # type: ignore[attr-defined]  # of the BytesIO
        return shown.decode()


@contextmanager
def on_a_terminal() -> Iterator[Terminal]:
    with Terminal() as screen, redirect_stdout(screen), redirect_stderr(screen):
        yield screen


def assert_harmless(text: str) -> None:
    assert not {*text} & {*UNPRINTABLE, "\r"}


@pytest.mark.parametrize("text_format", ["table", "csv", "ndjson"])
def test_a_printed_frame_does_not_control_the_terminal(text_format: TextFormat) -> None:
    frame = FRAME if text_format != "csv" else FRAME.select("title")  # CSV has no lists
    with on_a_terminal() as terminal:
        for rows in (frame.head(9), frame.tail(9)):
            print_frame(rows, text_format)
        shown = terminal.text()
    assert_harmless(shown)
    assert TITLES[-1] in shown
    if text_format == "ndjson":
        assert [json.loads(line)["title"] for line in shown.splitlines()] == TITLES[:9] + TITLES[-9:]


def test_a_cell_of_a_table_stays_in_its_row() -> None:
    with on_a_terminal() as terminal:
        print_frame(pl.DataFrame({"title": ["one\ntwo"]}), "table")
        lines = [line for line in terminal.text().splitlines() if "one" in line or "two" in line]
    assert len(lines) == 1


def test_estimates_and_forecasts_do_not_control_the_terminal() -> None:
    figures = ["estimate", "standard_error", "lower", "upper", "sessions", "effective_sessions"]
    rows = FRAME.select(pl.col("title").alias("country"), measure=pl.lit("p75(x\x1b)"))
    estimates = rows.with_columns(*(pl.lit(1.0).alias(name) for name in figures), flag=pl.lit(None, pl.String))
    groups = rows.select("country", estimate=1.0, within=0.2, tomorrow=0.1, needed=pl.lit(None, pl.Int64))
    counts = {"details": 9, "left": 9, "needed": 50, "calls": 41, "days": 1, "details_a_day": 45}
    forecast = PrecisionPlan("count()", 0.1, **counts, at_least=True, groups=groups)
    with on_a_terminal() as terminal:
        print_frame(estimates, "table", estimates=True)
        assert_harmless(terminal.text())
    assert_harmless(str(forecast))


def test_messages_and_json_do_not_control_the_terminal() -> None:
    with on_a_terminal() as terminal, warnings.catch_warnings():
        alert(f"error: {UNPRINTABLE}")
        print_warnings(str)
        warn_of_drift([f"status {UNPRINTABLE}"])
        print_json({"title": TITLES})
        shown = terminal.text()
    assert_harmless(shown)
    assert json.loads(shown[shown.index("{") :]) == {"title": TITLES}


def test_warnings_in_python_have_no_hidden_characters_either() -> None:
    with pytest.warns(pf.SchemaDriftWarning) as caught:
        warn_of_drift([f"status {UNPRINTABLE}"])
    assert_harmless(str(caught[0].message))


def test_a_file_and_another_program_get_the_data_as_they_are(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "titles.csv"
    Destination.of(str(path), "table").write(FRAME.select("title"))
    print_frame(FRAME.select("title"), "csv")
    assert pl.read_csv(path)["title"].to_list() == TITLES
    assert capfdbinary.readouterr().out == path.read_bytes()


def test_line_breaks_and_spaces_of_a_message_stay() -> None:
    assert escaped("one\n\ttwo\u00a0three\x1b[1m") == "one\n\ttwo\u00a0three\\u001b[1m"


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "2026-11-01", "2026-11-02", "-o", "\x1b]0;x\x07\u202e.docx"],
        ["search", "2026-11-01", "2026-11-02", "-o", "nowhere/\x1b[31m\u202e.csv"],
        ["details", "--ids-from", "\x1b[31m\u202e.csv"],
        ["sql", "\x1b[31m\u202e", "select 1"],
        ["\x1b[31m\u202e"],
        ["sql", "lake", "select 1", "--no\x1b[31m\u202e"],
        ["sql", "lake", "select 1", "-f", "\x1b[31m\u202e"],
    ],
)
@pytest.mark.usefixtures("environment")
def test_an_error_that_quotes_an_argument_does_not_control_the_terminal(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code in {1, 2}, out) == (True, "")
    assert "\\u202e" in err
    assert not {"\x1b", "\x07", "\u202e"} & {*err}
