"""The files that commands read and write, checked before a call is spent."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import pulseframes as pf
from pulseframes._text import plural
from pulseframes.cli.options import TextFormat, parse_options
from pulseframes.cli.output import alert, info, print_frame, print_rows

if TYPE_CHECKING:
    import polars as pl

    from pulseframes.lake import Store


class Output:
    """A file to write, in a folder or in a bucket, whose ending names its format.

    Parameters
    ----------
    target : str
        A path, or an address such as ``s3://bucket/week.parquet``.
    storage_options : dict of str to str or None
        For an address, what is not in the environment.

    Raises
    ------
    typer.BadParameter
        If the address is none of a file in a bucket.
    """

    def __init__(self, target: str, storage_options: dict[str, str] | None = None) -> None:
        self.target = target
        self._options = storage_options
        self._path = Path(target)
        folder, _, self._name = target.rpartition("/")
        self._store = _bucket(folder, self._name, storage_options) if "://" in target else None

    def with_ending(self, ending: str) -> Output:
        """Return the file beside this one with another ending."""
        return Output(f"{self.target.removesuffix(self._path.suffix)}{ending}", self._options)

    def check(self) -> None:
        """Refuse a file that cannot be written, before a call is spent."""
        from pulseframes import _files

        if self._store is not None:
            self._store.list(self._name)  # raises if there is no such bucket, or no right to use it
            return
        try:
            _files.check_writable(self._path)
        except OSError as problem:
            raise _unfit(f"{self.target} is not writable: {problem.strerror}.") from None

    def write(self, data: bytes) -> None:
        """Write or replace the file, whole or not at all."""
        from pulseframes._files import write_bytes

        if self._store is None:
            write_bytes(data, self._path)
        else:
            self._store.write(self._name, data)

    def check_keeps_rows(self, rows: int) -> None:
        """Refuse to replace a file that has rows by a result without."""
        from pulseframes._files import check_keeps_rows, format_of, may_have_rows, would_lose_rows

        if self._store is None:
            check_keeps_rows(self._path, rows)
        elif not rows and may_have_rows(self._store.read(self._name) or b"", format_of(self.target)):
            raise would_lose_rows(self.target)

    def write_frame(self, frame: pl.DataFrame) -> None:
        """Write or replace the file with a frame."""
        from pulseframes._files import EXCEL_TEXT, cut_columns, encoded, format_of, write_frame

        file_format = format_of(self.target)
        if self._store is None:
            write_frame(frame, self._path, file_format)
        else:
            self._store.write(self._name, encoded(frame, file_format))
        info(f"Wrote {self.target}: {plural(len(frame), 'row')}.")
        if cut := cut_columns(frame, file_format):
            alert(
                f"warning: texts in {', '.join(cut)} were cut to {EXCEL_TEXT:,} characters, the most in a cell of Excel. Write "
                "Parquet to keep them whole."
            )

    def delete(self) -> None:
        """Delete the file, if there is one."""
        if self._store is None:
            self._path.unlink(missing_ok=True)
        else:
            self._store.delete([self._name])


def _bucket(folder: str, name: str, storage_options: dict[str, str] | None) -> Store:
    """Return the storage of a file's address, which may hold a secret and is not shown if it is wrong."""
    from pulseframes.lake import open_store

    invalid = _unfit("it is not the address of a file in a bucket, such as s3://bucket/week.parquet.")
    if {*"?#"} & {*name}:  # a token, as of Azure
        raise invalid
    try:
        return open_store(folder, storage_options)
    except pf.InvalidQuery as problem:
        if problem.argument == "storage_options":
            raise
        raise invalid from None


def _unfit(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--output")


@dataclass(frozen=True)
class Destination:
    """Where a frame goes.

    Attributes
    ----------
    output : Output or None
        A file; None prints.
    text_format : {"table", "csv", "ndjson"}
        The format to print.
    estimates : bool
        Whether the frame is a result of ``estimate()``, which has tables of its own.
    first : tuple of str
        For a result of another analysis, the columns that matter most.
    as_json : bool
        Whether to print its rows as JSON, whether or not they are written to a file as well.
    """

    output: Output | None
    text_format: TextFormat
    estimates: bool = False
    first: tuple[str, ...] = ()
    as_json: bool = False

    @classmethod
    def of(
        cls,
        target: str | None,
        text_format: TextFormat,
        storage_option: list[str] | None = None,
        *,
        estimates: bool = False,
        first: tuple[str, ...] = (),
        as_json: bool = False,
    ) -> Destination:
        """Return the destination that options name, if it can be written; to be called before the first call is spent."""
        output = None if target is None else Output(target, parse_options(storage_option))
        if output is not None and target is not None:
            _check_format(target)
            output.check()
        return cls(output, text_format, estimates=estimates, first=first, as_json=as_json)

    def write(self, frame: pl.DataFrame | None) -> None:
        """Write or print a frame; None if nothing was received."""
        from polars.exceptions import PanicException, PolarsError

        try:
            self._write(frame)
        except (PolarsError, PanicException) as problem:  # CSV cannot hold lists, and NDJSON no blobs
            raise typer.BadParameter(
                f"The result cannot be written in this format: {problem}. Convert the column, as in cast(x as varchar), or write Parquet."
            ) from None

    def _write(self, frame: pl.DataFrame | None) -> None:
        if frame is None:
            if self.output is not None:
                alert(f"No data was received, so {self.output.target} was not written.")
            return
        if self.output is not None:
            self.output.check_keeps_rows(len(frame))
            self.output.write_frame(self._flat(frame, self.output.target))
        elif not self.as_json:
            flat = self._flat(frame, f".{self.text_format}")
            print_frame(flat, self.text_format, estimates=self.estimates, first=self.first)
        if self.as_json:
            print_rows(frame)

    def _flat(self, frame: pl.DataFrame, name: str) -> pl.DataFrame:
        """Return the result of an analysis with texts in place of lists, which CSV cannot hold."""
        import polars as pl

        if not self.first or not name.lower().endswith(".csv"):
            return frame
        return frame.with_columns(pl.col(pl.List(pl.String)).list.join(", "))

    def write_rejected(self, rejected: pl.DataFrame | None) -> None:
        """Write rejected rows beside the file; without any, remove those of an earlier run. Printing omits them."""
        if self.output is None:
            return
        output = self.output.with_ending(".rejected.ndjson")
        if rejected is None:
            output.delete()
        else:
            output.write_frame(rejected)


def _check_format(target: str) -> None:
    from pulseframes._files import excel, format_of

    try:
        if format_of(target) == "xlsx":
            excel()  # raises if it is not installed
    except ValueError as problem:
        raise _unfit(str(problem)) from None


def tables_output(folder: str, file_format: str) -> Callable[[pf.SessionFrames], None]:
    """Return a function that writes the tables of sessions into a folder, also of a bucket, after checking that it can."""
    from pulseframes.tables import REJECTED, SESSIONS, TABLES

    if "://" not in folder:
        make_folder(Path(folder))
    outputs = {name: Output(f"{folder.rstrip('/')}/{name}.{file_format}") for name in (*TABLES, REJECTED.name)}
    for name in TABLES:
        outputs[name].check()

    def write(frames: pf.SessionFrames) -> None:
        outputs[SESSIONS.name].check_keeps_rows(len(frames.sessions) + len(frames.rejected))
        for name, frame in frames.tables().items():
            outputs[name].write_frame(frame)
        if frames.rejected.is_empty():  # an earlier run's file would look like this one's
            outputs[REJECTED.name].delete()
        else:
            outputs[REJECTED.name].write_frame(frames.rejected)

    return write


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

    if re.match(r"\w[\w+.-]+:/", str(path)):  # which may hold a secret
        raise typer.BadParameter("it must be a file of this machine, not an address.", param_hint="--ids-from")
    if path.is_dir():
        message = f"{path} is a folder. Name a file with session ids, such as {path / 'sessions.parquet'}."
        raise typer.BadParameter(message, param_hint="--ids-from")
    try:
        return read_column(path, "session_id")
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--ids-from") from None
