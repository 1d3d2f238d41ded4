"""One frame in one file: there whole, or not there at all."""

from __future__ import annotations

import os
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
    write_whole(path, lambda file: FORMATS[file_format](frame, file))


def write_bytes(data: bytes, path: Path) -> None:
    """Write bytes as ``write_frame()`` writes a frame."""
    write_whole(path, lambda file: file.write(data))


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let a file be written beside its place, to the disk, and move it there."""
    path = path.resolve()  # the file that a link leads to is replaced, not the link
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_mode(path))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Try whether a file can be made or replaced, by doing so with nothing; for before something is paid for.

    Raises
    ------
    OSError
        If it cannot.
    """
    was_there = path.exists()
    with path.open("ab"):
        pass
    if not was_there:
        path.unlink()


def _mode(path: Path) -> int:
    """Give the mode that a file has, or that a new one would have: a temporary file is for its owner alone."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def read_column(path: Path, name: str) -> list[int]:
    """Read one column of integers from a file written by ``write_frame``.

    Raises
    ------
    ValueError
        If the file's ending is not a format's, or the file cannot be read or lacks the column.
    """
    # The bytes, not the path: polars would read a path with brackets or a star as a pattern.
    readers = {
        "parquet": lambda: pl.read_parquet(path.read_bytes(), columns=[name]),
        "csv": lambda: pl.read_csv(path.read_bytes(), columns=[name]),
        "ndjson": lambda: pl.read_ndjson(path.read_bytes(), infer_schema_length=None).select(name),
    }
    ending = path.suffix.lower().lstrip(".")
    if ending not in readers:
        raise ValueError(f"{path} ends in none of .{', .'.join(readers)}.")
    try:
        return readers[ending]()[name].to_list()
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise ValueError(f"{path} cannot be read, or has no column {name}: {problem}") from None
