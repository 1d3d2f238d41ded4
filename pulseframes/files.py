"""One frame in one file: there whole, or not there at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import polars as pl

#: How a time is written where the format has none of its own.
_TIME: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"


def _write_csv(frame: pl.DataFrame, file: IO[bytes]) -> None:
    frame.write_csv(file, datetime_format=_TIME)


def _write_ndjson(frame: pl.DataFrame, file: IO[bytes]) -> None:
    # polars would write a time with no sign that it is UTC.
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    frame.with_columns(pl.col(times).dt.strftime(_TIME)).write_ndjson(file)


def _write_parquet(frame: pl.DataFrame, file: IO[bytes]) -> None:
    frame.write_parquet(file, compression="zstd")


#: The formats by the ending of a file's name.
FORMATS: Final[dict[str, Callable[[pl.DataFrame, IO[bytes]], None]]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "ndjson": _write_ndjson,
}


def write_frame(frame: pl.DataFrame, path: Path, file_format: str) -> None:
    """Write a frame beside its place and move it there, so that a reader never sees half of it.

    Parameters
    ----------
    frame : polars.DataFrame
        What to write.
    path : Path
        Where to; a file that is there is replaced.
    file_format : {"parquet", "csv", "ndjson"}
        How.

    Raises
    ------
    OSError
        If the folder is not there or cannot be written to; what was there before is still there.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            FORMATS[file_format](frame, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_column(path: Path, name: str) -> list[int]:
    """Read one column of integers from a file written by ``write_frame``.

    Raises
    ------
    ValueError
        If the file's ending is not a format's, or the file cannot be read or lacks the column.
    """
    readers = {
        "parquet": lambda: pl.read_parquet(path, columns=[name]),
        "csv": lambda: pl.read_csv(path, columns=[name]),
        "ndjson": lambda: pl.read_ndjson(path, infer_schema_length=None).select(name),
    }
    ending = path.suffix.lower().lstrip(".")
    if ending not in readers:
        raise ValueError(f"{path} ends in none of .{', .'.join(readers)}.")
    try:
        return readers[ending]()[name].to_list()
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise ValueError(f"{path} cannot be read, or has no column {name}: {problem}") from None


def as_text(frame: pl.DataFrame) -> str:
    """Draw a frame as a table: its first rows, and as many columns as the terminal has room for."""
    width = shutil.get_terminal_size((120, 24)).columns
    with pl.Config(tbl_rows=20, tbl_cols=max(4, width // 18), tbl_width_chars=width, tbl_hide_column_data_types=True):
        return str(frame)
