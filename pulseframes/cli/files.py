"""The files that commands read and write, checked before a call is spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pulseframes._text import plural
from pulseframes.cli.options import TextFormat
from pulseframes.cli.output import alert, info, print_frame, print_rows

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Destination:
    """Where a frame goes.

    Attributes
    ----------
    path : Path or None
        A file, whose extension names the format; None prints.
    text_format : {"table", "csv", "ndjson"}
        The format to print.
    estimates : bool
        Whether the frame is a result of ``estimate()``, which has tables of its own.
    first : tuple of str
        For a result of another analysis, the columns that matter most.
    as_json : bool
        Whether to print its rows as JSON, whether or not they are written to a file as well.
    """

    path: Path | None
    text_format: TextFormat
    estimates: bool = False
    first: tuple[str, ...] = ()
    as_json: bool = False

    def checked(self) -> Destination:
        """Return it if its file can be written; to be called before the first call is spent."""
        if self.path is not None:
            from pulseframes._files import format_of

            try:
                format_of(self.path)
            except ValueError as problem:
                raise typer.BadParameter(str(problem), param_hint="--output") from None
            check_writable([self.path])
        return self

    def write(self, frame: pl.DataFrame | None) -> None:
        """Write or print a frame; None if nothing was received."""
        if frame is not None and self.first and "csv" in (self.text_format, str(self.path)[-3:].lower()):
            frame = _without_lists(frame)
        if self.path is not None:
            if frame is None:
                alert(f"No data was received, so {self.path} was not written.")
            else:
                _write(frame, self.path)
        elif frame is not None and not self.as_json:
            print_frame(frame, self.text_format, estimates=self.estimates, first=self.first)
        if frame is not None and self.as_json:
            print_rows(frame)

    def write_rejected(self, rejected: pl.DataFrame | None) -> None:
        """Write rejected rows beside the file; without any, remove those of an earlier run. Printing omits them."""
        if self.path is None:
            return
        path = self.path.with_suffix(".rejected.ndjson")
        if rejected is None:
            path.unlink(missing_ok=True)
        else:
            _write(rejected, path)


def _without_lists(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame as CSV can hold it."""
    import polars as pl

    return frame.with_columns(pl.col(pl.List(pl.String)).list.join(", "))


def _write(frame: pl.DataFrame, path: Path) -> None:
    from pulseframes._files import check_keeps_rows, format_of, write_frame

    check_keeps_rows(path, len(frame))
    write_frame(frame, path, format_of(path))
    info(f"Wrote {path}: {plural(len(frame), 'row')}.")


def check_writable(paths: Iterable[Path]) -> None:
    """Refuse files that cannot be written, before any call is spent."""
    from pulseframes import _files

    for path in paths:
        try:
            _files.check_writable(path)
        except OSError as problem:
            raise typer.BadParameter(f"{path} is not writable: {problem.strerror}.", param_hint="--output") from None


def make_folder(path: Path) -> None:
    """Create a folder for files, unless it exists, before any call is spent."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        message = f"{path} cannot be a folder: {problem.strerror}. Name one, such as week."
        raise typer.BadParameter(message, param_hint="--output") from None


def ids_in(path: Path | None) -> list[int]:
    """Return the session ids in a file; none without a file."""
    if path is None:
        return []
    from pulseframes._files import read_column

    try:
        return read_column(path, "session_id")
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--ids-from") from None
