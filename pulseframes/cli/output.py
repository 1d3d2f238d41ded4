"""What the command line prints: frames, progress bars and messages.

Like the commands, it imports heavy modules where it uses them.
"""

from __future__ import annotations

import io
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import typer

import pulseframes as pf
from pulseframes._progress import is_terminal, paused, reporting
from pulseframes._text import escaped, plural
from pulseframes.cli.options import TextFormat

if TYPE_CHECKING:
    import polars as pl

    from pulseframes.client import CallRecord

#: Printed after Ctrl-C by a command that writes its result at the end.
STOPPED: Final = (
    "Stopped; nothing was written. Responses so far are in the journal: run the same command again to resume."
)

#: Whether stderr gets only errors and warnings.
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


def print_frame(
    frame: pl.DataFrame, text_format: TextFormat, *, estimates: bool = False, first: Sequence[str] = ()
) -> None:
    """Print a frame on stdout: a result of ``estimate()``, one of another analysis with its ``first`` columns, or any other."""
    from pulseframes._files import FORMATS

    if text_format == "table":
        from pulseframes.cli.tables import estimates_as_text, figures_as_text, frame_as_text

        if first:
            say(figures_as_text(frame, first))
        else:
            say((estimates_as_text if estimates else frame_as_text)(frame))
        return
    text = io.BytesIO()  # polars, writing to stdout itself, raises its own error if the reader stops early
    FORMATS[text_format](frame, text)
    if sys.stdout.isatty():
        say(text.getvalue().decode(), nl=False)
        return
    sys.stdout.buffer.write(text.getvalue())  # a program gets the data as they are
    sys.stdout.flush()


def print_rows(frame: pl.DataFrame) -> None:
    """Print a frame as a JSON array of its rows; what is infinite or not a number is null."""
    from polars import selectors

    finite = frame.with_columns(selectors.float().replace([math.inf, -math.inf], None).fill_nan(None))
    print_json(finite.to_dicts())


def print_json(document: object) -> None:
    """Print a document for another program on stdout; times in ISO 8601."""
    say(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def print_quota(quota: pf.Quota, application: str, calls: list[CallRecord], *, as_json: bool) -> None:
    """Print the quota of an application, its name in the journal and its last calls on stdout."""
    if as_json:
        last = [{name: getattr(call, name) for name in ("id", "at", "endpoint", "outcome", "status")} for call in calls]
        numbers = {"limit": quota.limit, "used": quota.used, "left": quota.left, "day": quota.day}
        print_json({**numbers, "application": application, "next_call_at": quota.next_call_at, "last_calls": last})
        return
    say(str(quota))
    typer.echo(f"Application {application} in the journal.")
    for call in calls:
        outcome = call.outcome or "no outcome recorded"
        status = f" {call.status}" if call.status else ""
        say(f"{call.id:6}  {call.at:%Y-%m-%d %H:%M:%S}  {call.endpoint:12}  {outcome}{status}")


@contextmanager
def counted_client(stopped: str = STOPPED, *, reported: bool = False) -> Iterator[pf.PulseClient]:
    """Yield a client, and print at the end how many calls were spent; after Ctrl-C, also how to resume; after an error, below it.

    Parameters
    ----------
    stopped : str
        How to resume.
    reported : bool
        Whether the command's result says how many calls were spent.
    """
    with pf.PulseClient() as client:
        try:
            yield client
        except KeyboardInterrupt:
            alert(f"{stopped} {_spent(client)}")
            raise
        except pf.PulseError as problem:
            if client.calls_spent and not (reported and problem.partial is not None) and not _QUIET.get():
                problem.add_note(_spent(client))
            raise
        if not reported:
            info(_spent(client))


def _spent(client: pf.PulseClient) -> str:
    return f"{plural(client.calls_spent, 'call')} spent."


@contextmanager
def progress_bar(client: pf.PulseClient) -> Iterator[pf.ProgressHook | None]:
    """Show progress, and the calls spent and left, on a terminal; yield None elsewhere."""
    wanted = not _QUIET.get() and is_terminal(sys.stderr)
    with reporting(wanted, lambda: client.quota().left) as hook:
        yield hook


def set_quiet(quiet: bool) -> None:
    """Set whether stderr gets only errors and warnings."""
    _QUIET.set(quiet)


def info(text: str) -> None:
    """Print on stderr what was or will be done, unless the user wants it quiet."""
    if not _QUIET.get():
        alert(text)


def alert(text: str) -> None:
    """Print on stderr what a user must know."""
    say(text, err=True)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text, in which no character controls the terminal or reorders what is read, and no progress bar stands."""
    with paused():
        typer.echo(escaped(text), err=err, nl=nl)


def print_warnings(worded: Callable[[object], str] = str) -> None:
    """Print each of our warnings on stderr once, whatever filters are set, without the line of code that it came from.

    Parameters
    ----------
    worded : callable
        Returns the message of a warning for the command line.
    """
    printed = set[str]()

    def show(message: Warning | str, *_where: object) -> None:
        text = f"warning: {worded(message)}"
        if text not in printed:  # several figures of one command can rest on the same
            printed.add(text)
            alert(text)

    warnings.showwarning = show  # type: ignore[assignment]  # it ignores the other arguments
    warnings.simplefilter("always", pf.PulseWarning)
