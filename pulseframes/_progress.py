"""The progress of a call: what is reported after each answer, and a bar that shows it on a terminal or in a notebook."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from threading import Lock
from typing import Any, Final, Protocol

from pulseframes._arguments import check_callable
from pulseframes._text import plural
from pulseframes.errors import PulseError

#: Seconds until a bar appears that nobody asked for.
DELAY: Final = 2.0
#: Seconds until a bar in a notebook is drawn again.
_REDRAWN: Final = 0.1
#: Terminals that cannot draw one.
_DUMB: Final = ("dumb", "unknown")

#: The bar on the terminal, which has room for one.
_shown: _OnTerminal | None = None
_showing = Lock()


@dataclass(frozen=True)
class Progress:
    """The progress of a call.

    Attributes
    ----------
    what : str
        The things counted: ``"sessions"`` while searching, ``"details"`` while fetching details.
    done, total : int
        How many have been received, and how many are expected.
    calls : int
        Calls spent since the function was called, authentication included.

    Examples
    --------
    >>> steps = []
    >>> sessions = pf.search_sessions("2026-11-09", "2026-11-10", progress=steps.append)
    >>> steps[-1].what, steps[-1].done == len(sessions)
    ('sessions', True)
    """

    what: str
    done: int
    total: int
    calls: int


class ProgressHook(Protocol):
    """Called after each answer. An exception that it raises stops the run.

    Examples
    --------
    >>> def show(progress: pf.Progress) -> None:
    ...     print(f"{progress.done} of {progress.total} {progress.what}")
    >>> details = pf.session_details(pf.Lake("lake").sessions().collect()["session_id"][0], progress=show)
    1 of 1 details
    """

    def __call__(self, progress: Progress, /) -> object:
        """Receive the progress."""


@contextmanager
def reporting(progress: ProgressHook | bool | None, calls_left: Callable[[], int]) -> Iterator[ProgressHook | None]:
    """Yield what to call with the progress: the caller's function, a bar, or None.

    Parameters
    ----------
    progress : callable, bool or None
        A function; True for a bar; False for none; None for a bar if the call takes long and somebody watches.
    calls_left : callable
        Returns how many calls the quota has left.
    """
    if isinstance(progress, bool) or progress is None:
        if progress is False or (progress is None and not is_watched()):
            yield None
            return
        bar = _Bar(calls_left)
        try:
            if progress:
                bar.open()
            yield bar
        finally:
            bar.close()
        return
    check_callable("progress", progress)
    yield progress


def is_watched() -> bool:
    """Return whether a person probably watches: this is a notebook, or stderr is a terminal that can draw."""
    if _in_notebook():
        return True
    return is_terminal(sys.stderr) and os.environ.get("TERM") not in _DUMB


def is_terminal(stream: object) -> bool:
    """Return whether a stream is a terminal; a missing or closed one, or one that only writes, is not."""
    isatty = getattr(stream, "isatty", None)
    try:
        return isatty is not None and bool(isatty())
    except ValueError:  # closed
        return False


def _in_notebook() -> bool:
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def paused() -> Iterator[None]:
    """Take the bar away from the terminal while something else is printed."""
    bar = _shown
    if bar is not None:
        bar.stop()
    try:
        yield
    finally:
        if bar is not None:
            bar.start()


class _Bar:
    """A progress bar with the calls spent and left; it opens when the call has taken a while."""

    def __init__(self, calls_left: Callable[[], int]) -> None:
        self._calls_left = calls_left
        self._begun = time.monotonic()
        self._view: _OnTerminal | _InNotebook | None = None
        self._opened = False
        self._left = 0

    def __call__(self, progress: Progress, /) -> None:
        if not self._opened and time.monotonic() - self._begun >= DELAY:
            self.open(progress.calls)
        if self._view is not None:
            self._view.update(progress, self._calls(progress.calls))

    def open(self, spent: int = 0) -> None:
        """Draw the bar; it stays hidden if another one is on the terminal, stderr is closed, or the quota cannot be read."""
        global _shown  # noqa: PLW0603  a terminal has one
        self._opened = True
        try:
            # Read once and counted down, because hundreds of cached responses may come in a second.
            self._left = self._calls_left() + spent
        except PulseError:  # a bar is not worth stopping a run that was paid for
            return
        with _showing:
            if _in_notebook():
                self._view = _InNotebook()
            elif _shown is None and not getattr(sys.stderr, "closed", False):
                self._view = _shown = _OnTerminal(self._calls(spent))
            else:
                return
        self._view.start()

    def close(self) -> None:
        """Remove the bar."""
        global _shown  # noqa: PLW0603  a terminal has one
        if self._view is not None:
            self._view.stop()
            with _showing:
                _shown = None if self._view is _shown else _shown

    def _calls(self, spent: int) -> str:
        return f"{plural(spent, 'call')} spent, {max(0, self._left - spent):,} left"


class _OnTerminal:
    """A bar of rich's. While it stands, rich prints above it what goes to the terminal, such as warnings."""

    def __init__(self, calls: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bars, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[calls]}"),
        )
        # Redirected to a file or pipe, stdout is data: rich would write it to stderr.
        console, to_terminal = Console(stderr=True), is_terminal(sys.stdout)
        self._bars = Bars(*columns, console=console, transient=True, redirect_stdout=to_terminal)
        self._task = self._bars.add_task("", total=None, calls=calls)
        self.start, self.stop = self._bars.start, self._bars.stop

    def update(self, progress: Progress, calls: str) -> None:
        self._bars.update(
            self._task, description=progress.what, completed=progress.done, total=progress.total, calls=calls
        )


class _InNotebook:
    """A bar of HTML: rich's needs ipywidgets, and leaves something behind."""

    def __init__(self) -> None:
        self._name = f"pulseframes-{id(self)}-{time.monotonic_ns()}"
        self._drawn = 0.0

    def start(self) -> None:
        self._show("", update=False)

    def update(self, progress: Progress, calls: str) -> None:
        if time.monotonic() - self._drawn < _REDRAWN and progress.done < progress.total:
            return
        self._drawn = time.monotonic()
        bar = f'<progress value="{progress.done}" max="{max(progress.total, 1)}"></progress>'
        self._show(f"{escape(progress.what)} {bar} {progress.done:,}/{progress.total:,}, {calls}")

    def stop(self) -> None:
        self._show("")

    def _show(self, html: str, *, update: bool = True) -> None:
        import IPython.display  # it is there, in a notebook

        show: Any = IPython.display.display
        show({"text/html": html, "text/plain": ""}, raw=True, display_id=self._name, update=update)
