"""What the command line shows and writes: frames, files, bars and messages.

Like the commands, it imports what is heavy where it is used.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import polars as pl

    from pulseframes.api.client import PulseClient
    from pulseframes.journal import Entry
    from pulseframes.progress import Progress, ProgressHook
    from pulseframes.quota import Quota


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
    """Where a search's frame goes: checked before the first call is spent.

    Parameters
    ----------
    output : Path or None
        A file; its ending says the format. None prints.
    text_format : TextFormat
        How to print.
    """

    def __init__(self, output: Path | None, text_format: TextFormat) -> None:
        self._output = output
        self._text_format = text_format
        if output is None:
            return
        endings = [str(file_format) for file_format in FileFormat]
        if output.suffix.lower().lstrip(".") not in endings:
            raise typer.BadParameter(f"{output} ends in none of .{', .'.join(endings)}.", param_hint="--output")
        check_writable(output.parent)

    def __call__(self, frame: pl.DataFrame | None) -> None:
        """Write or print a frame; nothing for None."""
        if frame is None:
            return
        if self._output is None:
            print_frame(frame, self._text_format)
        else:
            self._write(frame, self._output)

    def rejected(self, frame: pl.DataFrame | None) -> None:
        """Write rejected rows beside the output; without one, the error's message has to do."""
        if frame is not None and self._output is not None:
            self._write(frame, self._output.with_suffix(".rejected.ndjson"))

    @staticmethod
    def _write(frame: pl.DataFrame, path: Path) -> None:
        from pulseframes.files import write_frame

        write_frame(frame, path, path.suffix.lower().lstrip("."))
        say(f"{path} written: {len(frame)} rows.")


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before anything is paid for."""
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise typer.BadParameter(f"{folder} is not a folder that can be written to.", param_hint="--output")


def ids_in(path: Path | None) -> list[int]:
    """Give the session ids in a file; none for no file."""
    if path is None:
        return []
    from pulseframes.files import read_column

    try:
        return read_column(path, "session_id")
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--ids-from") from None


def print_frame(frame: pl.DataFrame, text_format: TextFormat) -> None:
    """Print a frame on stdout."""
    from pulseframes.files import FORMATS, as_text

    if text_format is TextFormat.TABLE:
        typer.echo(as_text(frame))
    else:
        FORMATS[text_format](frame, sys.stdout.buffer)
        sys.stdout.flush()


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
        grid.add_row(str(entry["column"]), kind, null, str(path), str(answers), str(what))
    Console(width=None if sys.stdout.isatty() else 140).print(grid)


def print_quota(quota: Quota, calls: list[Entry], *, as_json: bool) -> None:
    """Print how an application stands, and its last calls, on stdout."""
    if as_json:
        import json

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
        typer.echo(
            json.dumps({**numbers, "next_call_at": quota.next_call_at.isoformat(), "last_calls": last}, indent=2)
        )
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
def counted_client() -> Iterator[PulseClient]:
    """Give a client, and say at the end what was spent."""
    from pulseframes.api.client import PulseClient

    with PulseClient() as client:
        try:
            yield client
        finally:
            say(f"{client.calls_spent} calls spent.")


@contextmanager
def progress_bar() -> Iterator[ProgressHook | None]:
    """Show a bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[calls]} calls"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None, calls=0)

        def show(progress: Progress) -> None:
            bars.update(
                task, description=progress.what, completed=progress.done, total=progress.total, calls=progress.calls
            )

        yield show


def say(text: str) -> None:
    """Say something on stderr."""
    typer.echo(text, err=True)


def show_warnings() -> None:
    """Say each of our warnings on stderr, whatever filters are set; the line of code it came from means nothing here."""
    from pulseframes.errors import PulseWarning

    def show(message: Warning | str, *_where: object) -> None:
        say(f"warning: {message}")

    warnings.showwarning = show  # type: ignore[assignment]  # what it has no use for is taken as one
    warnings.simplefilter("always", PulseWarning)
