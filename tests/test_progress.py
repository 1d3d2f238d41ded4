"""Bars: where they appear, what they show, and that nothing collides with them."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from cli.test_cli_terminal import on_a_terminal

import pulseframes as pf
from pulseframes import _progress
from pulseframes._progress import paused, reporting

WEEK = ("2026-11-09", "2026-11-16")


class Notebook:
    """What a notebook shows: the present content of each display, and all that it had."""

    def __init__(self) -> None:
        self.displays: dict[str, str] = {}
        self.history: list[str] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: str, update: bool) -> None:
        assert raw
        assert update == (display_id in self.displays)
        self.displays[display_id] = data["text/html"]
        self.history.append(data["text/html"])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    book = Notebook()
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()), display=book)
    monkeypatch.setitem(sys.modules, "IPython", kernel)  # type: ignore[arg-type]  # all that is used of it
    monkeypatch.setitem(sys.modules, "IPython.display", book)  # type: ignore[arg-type]  # as above
    return book


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call takes long."""
    monkeypatch.setattr(_progress, "DELAY", 0.0)
    monkeypatch.setattr(_progress, "_REDRAWN", 0.0)


Ask = Callable[..., Any]
ASKS: dict[str, Ask] = {
    "search_sessions": lambda client, **options: pf.search_sessions(*WEEK, client=client, **options),
    "session_details": lambda client, **options: pf.session_details(
        pf.search_sessions(*WEEK, limit=3, client=client, progress=False)["session_id"], client=client, **options
    ),
    "sync": lambda client, **options: pf.sync("lake", *WEEK, details=2, client=client, **options),
    "plan": lambda client, **options: pf.plan("lake", *WEEK, client=client, **options),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path_factory.mktemp("progress"))
    monkeypatch.setenv("TERM", "xterm")
    yield
    assert _progress._shown is None


@pytest.mark.parametrize("name", ASKS)
def test_true_shows_a_bar_on_the_terminal_at_once(name: str, client: pf.PulseClient) -> None:
    with on_a_terminal() as terminal:
        ASKS[name](client, progress=True)
        assert re.search(r"spent, [0-9,]+ left", terminal.text())


def test_the_bar_counts_sessions_and_calls(client: pf.PulseClient) -> None:
    left = client.quota().left
    with on_a_terminal() as terminal:
        pf.search_sessions(*WEEK, limit=10, client=client, progress=True)
        shown = terminal.text()
    assert f"0 calls spent, {left:,} left" in shown
    assert f"2 calls spent, {left - 2:,} left" in shown
    assert "10/10" in shown


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", ["search_sessions", "session_details", "sync"])
def test_a_call_that_takes_long_shows_a_bar_on_a_terminal(name: str, client: pf.PulseClient) -> None:
    with on_a_terminal() as terminal:
        ASKS[name](client)
        assert "spent, " in terminal.text()


@pytest.mark.parametrize("name", ASKS)
def test_a_short_call_shows_no_bar(name: str, client: pf.PulseClient) -> None:
    with on_a_terminal() as terminal:
        ASKS[name](client)
        assert terminal.text() == ""


@pytest.mark.usefixtures("at_once")
def test_nothing_is_shown_if_nobody_watches_or_none_is_wanted(
    client: pf.PulseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_terminal() as terminal:
        pf.search_sessions(*WEEK, client=client, progress=False)
        monkeypatch.setenv("TERM", "dumb")
        pf.search_sessions(*WEEK, client=client, refresh=True)
        assert terminal.text() == ""
    monkeypatch.delenv("TERM")
    with redirect_stderr(io.StringIO()) as file:
        pf.search_sessions(*WEEK, client=client, refresh=True)
        assert file.getvalue() == ""
    with redirect_stderr(None):  # as under pythonw
        assert len(pf.search_sessions(*WEEK, client=client, refresh=True)) > 0


@pytest.mark.usefixtures("at_once")
def test_a_notebook_shows_a_bar_and_removes_it(client: pf.PulseClient, notebook: Notebook) -> None:
    left = client.quota().left
    pf.search_sessions(*WEEK, limit=10, client=client)
    assert notebook.history[-2] == (
        f'sessions <progress value="10" max="10"></progress> 10/10, 2 calls spent, {left - 2:,} left'
    )
    assert set(notebook.displays.values()) == {""}


def test_a_function_receives_the_progress_and_there_is_no_bar(client: pf.PulseClient) -> None:
    steps: list[pf.Progress] = []
    with on_a_terminal() as terminal:
        pf.search_sessions(*WEEK, client=client, progress=steps.append)
        assert terminal.text() == ""
    assert steps[-1].done == steps[-1].total > 0


@pytest.mark.parametrize("name", ASKS)
def test_anything_else_is_refused_before_a_call_is_spent(name: str, client: pf.PulseClient) -> None:
    spent = 2 if name == "session_details" else 0
    with pytest.raises(pf.InvalidQuery, match="progress must be a function") as caught:
        ASKS[name](client, progress="yes")
    assert caught.value.argument == "progress"
    assert client.calls_spent == spent


def test_a_warning_stands_above_the_bar() -> None:
    with on_a_terminal() as terminal, warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: sys.stderr.write(f"warning: {message}\n")  # type: ignore[assignment]  # pytest's is silent
        with reporting(progress=True, calls_left=lambda: 7) as bar:
            assert bar is not None
            bar(pf.Progress("sessions", 1, 2, 1))
            warnings.warn("Look here.", stacklevel=1)
        lines = re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", terminal.text())
    assert "warning: Look here." in lines


def test_a_bar_is_away_while_it_is_paused() -> None:
    with on_a_terminal() as terminal, reporting(progress=True, calls_left=lambda: 7):
        with paused():
            before = terminal.text()
            sys.stderr.write("A line.\n")
            assert terminal.text() == f"{before}A line.\n"
        assert terminal.text().count("7 left") > before.count("7 left")


def test_of_two_bars_the_second_is_not_drawn_and_the_first_stays() -> None:
    with on_a_terminal() as terminal:
        with reporting(progress=True, calls_left=lambda: 7):
            first = _progress._shown
            with reporting(progress=True, calls_left=lambda: 8) as second:
                assert second is not None
                second(pf.Progress("details", 1, 2, 1))
            assert _progress._shown is first is not None
        assert "8 left" not in terminal.text()


@pytest.mark.usefixtures("at_once")
def test_a_hidden_bar_reads_the_quota_once() -> None:
    reads: list[int] = []

    def calls_left() -> int:
        reads.append(1)
        return 8

    with on_a_terminal(), reporting(progress=True, calls_left=lambda: 7), reporting(None, calls_left) as second:
        assert second is not None
        for done in range(5):
            second(pf.Progress("details", done, 5, done))
    assert len(reads) == 1


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("progress", [True, None])
def test_a_quota_that_cannot_be_read_stops_no_run(
    client: pf.PulseClient, monkeypatch: pytest.MonkeyPatch, progress: bool | None
) -> None:
    def locked(_: pf.PulseClient) -> pf.Quota:
        raise pf.JournalError("The journal is locked.")

    monkeypatch.setattr(pf.PulseClient, "quota", locked)
    with on_a_terminal() as terminal:
        assert len(pf.search_sessions(*WEEK, limit=10, client=client, progress=progress)) == 10
        assert terminal.text() == ""


class _WritesOnly:
    """A stderr as some servers and test runners set it."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """There is nothing to flush."""


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("progress", [True, None])
@pytest.mark.parametrize("stderr", [_WritesOnly(), _closed()], ids=["writes only", "closed"])
def test_a_stderr_that_cannot_be_a_terminal_stops_no_run(
    client: pf.PulseClient, stderr: Any, progress: bool | None
) -> None:
    with redirect_stderr(stderr):
        assert len(pf.search_sessions(*WEEK, limit=10, client=client, progress=progress)) == 10


@pytest.mark.parametrize("stdout_is_a_file", [True, False], ids=["a file", "the terminal"])
def test_what_other_threads_print_meanwhile_goes_where_stdout_goes(tmp_path: Path, stdout_is_a_file: bool) -> None:
    rows = [f"row {number}" for number in range(20)]
    path = tmp_path / "rows.txt"
    shown: list[bytes] = []
    with _pty(shown) as terminal, path.open("w", encoding="utf-8") as file, redirect_stderr(terminal):
        with redirect_stdout(file if stdout_is_a_file else terminal), reporting(progress=True, calls_left=lambda: 7):
            thread = Thread(target=lambda: sys.stdout.write("".join(f"{row}\n" for row in rows)))
            thread.start()
            thread.join()
    lines = re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", b"".join(shown).decode())
    assert any("7 left" in line for line in lines)
    assert [line for line in lines if line.startswith("row")] == ([] if stdout_is_a_file else rows)
    assert path.read_text(encoding="utf-8").splitlines() == (rows if stdout_is_a_file else [])


@contextmanager
def _pty(shown: list[bytes]) -> Iterator[io.TextIOWrapper]:
    """Yield a real terminal; what it shows is in ``shown`` at the end."""
    screen, end = os.openpty()

    def read() -> None:
        with suppress(OSError):  # the other end is closed
            while chunk := os.read(screen, 4096):
                shown.append(chunk)

    reader = Thread(target=read)
    reader.start()
    try:
        with os.fdopen(end, "w", encoding="utf-8") as terminal:
            yield terminal
    finally:
        reader.join()
        os.close(screen)


def test_a_bar_is_removed_if_the_call_fails() -> None:
    def fails() -> None:
        with reporting(progress=True, calls_left=lambda: 7):
            raise KeyError

    with on_a_terminal():
        with pytest.raises(KeyError):
            fails()
        assert _progress._shown is None
