"""What the command line shows and writes: frames, files, bars and messages.

Like the commands, it imports what is heavy where it is used.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from pulseframes._text import plural

if TYPE_CHECKING:
    import polars as pl

    from pulseframes.client import CallRecord, PulseClient, Quota
    from pulseframes.progress import Progress, ProgressHook

#: What is said after Ctrl-C where a command writes its result at its end.
STOPPED: Final = (
    "Stopped, and nothing written: what had come is in the journal; run the same command again and it goes on."
)

#: Whether only errors and warnings are said on stderr.
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)

#: What is shown of a table where the terminal has no room for all of it.
FIRST_COLUMNS: Final = {
    "sessions": (
        "session_id",
        "session_start",
        "status",
        "page_view_count",
        "country",
        "browser_name",
        "satisfaction_rating",
        "session_length_ms",
        "os_name",
        "platform_name",
        "user_identifier",
    ),
    "page_views": ("session_id", "view_index", "loading_time_ms", "page"),
    "errors": ("session_id", "error_index", "title"),
    "design": ("session_id", "inclusion_probability", "weight", "responded", "stratum"),
}
#: How to see what the terminal has no room for.
ALL_OF_IT: Final = "-f csv prints all of it, -o writes it."


class FileFormat(StrEnum):
    """What a file can be."""

    PARQUET = "parquet"
    CSV = "csv"
    NDJSON = "ndjson"


class TextFormat(StrEnum):
    """What can be printed."""

    TABLE = "table"
    CSV = "csv"
    NDJSON = "ndjson"


class Sink:
    """Where a frame goes: checked before the first call is spent.

    Parameters
    ----------
    output : Path or None
        A file; its ending says the format. None prints.
    text_format : TextFormat
        How to print.
    table : str or None
        Which table it is, for what is shown of it first; None for the result of a query.
    draw : callable or None
        How to draw it as a table, where that is not as any other frame.
    """

    def __init__(
        self,
        output: Path | None,
        text_format: TextFormat,
        *,
        table: str | None = "sessions",
        draw: Callable[[pl.DataFrame], str] | None = None,
    ) -> None:
        self._output = output
        self._draw = draw
        self._table = table
        self._text_format = text_format
        if output is None:
            return
        from pulseframes._files import format_of

        try:
            format_of(output)
        except ValueError as problem:
            raise typer.BadParameter(str(problem), param_hint="--output") from None
        check_places([output])

    def __call__(self, frame: pl.DataFrame | None, *, rejected: pl.DataFrame | None = None) -> None:
        """Write or print a frame, and write rejected rows beside it; without an output, a message has to do for these."""
        if self._output is None:
            if frame is not None:
                print_frame(frame, self._text_format, self._table, self._draw)
            return
        if frame is None:
            say(f"Nothing came, so {self._output} was not written.")
            return
        self._write(frame, self._output)
        if self._table is None:  # a query's result has no rejected rows
            return
        beside = self._output.with_suffix(".rejected.ndjson")
        if rejected is None:
            beside.unlink(missing_ok=True)  # an earlier run's would look like this one's
        else:
            self._write(rejected, beside)

    @staticmethod
    def _write(frame: pl.DataFrame, path: Path) -> None:
        from pulseframes._files import write_frame

        write_frame(frame, path, path.suffix.lower().lstrip("."))
        note(f"{path} written: {plural(len(frame), 'row')}.")


def check_places(paths: Iterable[Path]) -> None:
    """Refuse files that cannot be written, before anything is paid for."""
    from pulseframes._files import check_writable

    for path in paths:
        try:
            check_writable(path)
        except OSError as problem:
            raise typer.BadParameter(f"{path} cannot be written: {problem.strerror}.", param_hint="--output") from None


def ids_in(path: Path | None) -> list[int]:
    """Give the session ids in a file; none for no file."""
    if path is None:
        return []
    from pulseframes._files import read_column

    try:
        return read_column(path, "session_id")
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--ids-from") from None


def print_frame(
    frame: pl.DataFrame,
    text_format: TextFormat,
    table: str | None,
    draw: Callable[[pl.DataFrame], str] | None = None,
) -> None:
    """Print a frame on stdout."""
    from pulseframes._files import FORMATS

    if text_format is TextFormat.TABLE:
        typer.echo((draw or _table_of(table))(frame))
        return
    text = io.BytesIO()  # polars, writing to stdout by itself, has an error of its own for a reader that stops
    FORMATS[text_format](frame, text)
    sys.stdout.buffer.write(text.getvalue())
    sys.stdout.flush()


def _table_of(name: str | None) -> Callable[[pl.DataFrame], str]:
    """Say how a table is drawn; the result of a query as the table that it has the first columns of."""
    from pulseframes.cli.tables import as_text

    def draw(frame: pl.DataFrame) -> str:
        known = [columns for columns in FIRST_COLUMNS.values() if {*columns} <= {*frame.columns}]
        first = FIRST_COLUMNS[name] if name else next(iter(known), ())
        return as_text(frame, first, all_of_it=ALL_OF_IT)

    return draw


def print_json(document: object) -> None:
    """Print a document for another program on stdout."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_dictionary(name: str, description: str, entries: list[dict[str, object]]) -> None:
    """Draw one table of the data dictionary on stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(title=f"{name}: {description}", title_justify="left", box=box.SIMPLE)
    grid.add_column("column", no_wrap=True)
    for heading in ("type", "null?", "JSON", "in", "what it is"):
        grid.add_column(heading, overflow="fold")
    for entry in entries:
        kind = f"{entry['type']}, {entry['unit']}" if entry["unit"] else str(entry["type"])
        null = "yes" if entry["nullable"] else "key" if entry["key"] else "no"
        path, answers, what = entry["json_path"] or "", entry["answers"], entry["description"]
        grid.add_row(str(entry["column"]), kind, null, str(path), str(answers or "lake"), str(what))
    Console(width=None if sys.stdout.isatty() else 140).print(grid)


def print_quota(quota: Quota, calls: list[CallRecord], *, as_json: bool) -> None:
    """Print how an application stands, and its last calls, on stdout."""
    if as_json:
        last = [
            {
                "id": call.id,
                "at": call.at.isoformat(),
                "endpoint": call.endpoint,
                "outcome": call.outcome,
                "status": call.status,
            }
            for call in calls
        ]
        numbers = {"limit": quota.limit, "used": quota.used, "left": quota.left, "day": quota.day}
        print_json({**numbers, "next_call_at": quota.next_call_at.isoformat(), "last_calls": last})
        return
    day = "in the last 24 hours" if quota.day == "rolling" else "today (UTC)"
    typer.echo(f"{quota.used} of {quota.limit} calls used {day}, {quota.left} left.")
    if not quota.left:
        typer.echo(f"The next one is at {quota.next_call_at:%Y-%m-%d %H:%M:%S} UTC.")
    for call in calls:
        ended = call.outcome or "not heard of again"
        status = f" {call.status}" if call.status else ""
        typer.echo(f"{call.id:6}  {call.at:%Y-%m-%d %H:%M:%S}  {call.endpoint:12}  {ended}{status}")


@contextmanager
def counted_client(stopped: str = STOPPED) -> Iterator[PulseClient]:
    """Give a client, and say at the end what was spent; after Ctrl-C, also what became of the run."""
    from pulseframes.client import PulseClient

    with PulseClient() as client:
        try:
            yield client
        except KeyboardInterrupt:
            say(stopped)
            raise
        finally:
            note(f"{plural(client.calls_spent, 'call')} spent.")


@contextmanager
def progress_bar(client: PulseClient) -> Iterator[ProgressHook | None]:
    """Show how far a run is, what it has spent and what that leaves of the quota; on a terminal, and nothing elsewhere."""
    if _QUIET.get() or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bars, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[calls]} spent, {task.fields[left]} left"),
    )
    left = client.quota().left  # once, and counted down: a run takes hundreds of kept answers in a second
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None, calls="0 calls", left=left)

        def show(progress: Progress) -> None:
            bars.update(
                task,
                description=progress.what,
                completed=progress.done,
                total=progress.total,
                calls=plural(progress.calls, "call"),
                left=max(0, left - progress.calls),
            )

        yield show


def be_quiet(quiet: bool) -> None:
    """Set whether only errors and warnings are said on stderr."""
    _QUIET.set(quiet)


def note(text: str) -> None:
    """Say on stderr what was done or will be, unless the user wants it quiet."""
    if not _QUIET.get():
        say(text)


def say(text: str) -> None:
    """Say something on stderr that a user must know."""
    typer.echo(text, err=True)


def show_warnings() -> None:
    """Say each of our warnings on stderr, whatever filters are set; the line of code it came from means nothing here."""
    from pulseframes.errors import PulseWarning

    def show(message: Warning | str, *_where: object) -> None:
        say(f"warning: {message}")

    warnings.showwarning = show  # type: ignore[assignment]  # what it has no use for is taken as one
    warnings.simplefilter("always", PulseWarning)
