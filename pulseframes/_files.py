"""Files that are written whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa

#: The form of a time in formats that have no type for it.
_TIME: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"


def _write_csv(frame: pl.DataFrame, file: IO[bytes]) -> None:
    spans = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Duration)]
    frame.with_columns(pl.col(spans).dt.to_string("iso")).write_csv(file, datetime_format=_TIME)


def _write_ndjson(frame: pl.DataFrame, file: IO[bytes]) -> None:
    # polars would panic, and print that on stderr.
    types = frame.clear()
    types.columns = [str(number) for number in range(len(types.columns))]  # Arrow cannot hold every name
    for name, kind in zip(frame.columns, types.to_arrow().schema.types, strict=True):
        if _holds_binary(kind):
            raise pl.exceptions.ComputeError(f"NDJSON cannot hold {name}, which is binary")
    # polars would write a time without saying that it is UTC.
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    frame.with_columns(pl.col(times).dt.strftime(_TIME)).write_ndjson(file)


def _holds_binary(kind: pa.DataType) -> bool:
    inner = (kind.field(number).type for number in range(kind.num_fields))
    return str(getattr(kind, "storage_type", kind)) == "large_binary" or any(map(_holds_binary, inner))


def _write_parquet(frame: pl.DataFrame, file: IO[bytes]) -> None:
    frame.write_parquet(file, compression="zstd")


#: The formats by file extension.
FORMATS: Final[dict[str, Callable[[pl.DataFrame, IO[bytes]], None]]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "ndjson": _write_ndjson,
}


def format_of(path: Path) -> str:
    """Return the format that a file's extension names.

    Raises
    ------
    ValueError
        If it names none.
    """
    extension = path.suffix.lower().lstrip(".")
    if extension not in FORMATS:
        raise ValueError(f"{path} must end in .parquet, .csv or .ndjson.")
    return extension


def write_frame(frame: pl.DataFrame, path: Path, file_format: str) -> None:
    """Write a frame to a file, which is replaced if it exists.

    Raises
    ------
    OSError
        If the folder does not exist or is read-only; an earlier file is then unchanged.
    """
    write_whole(path, lambda file: FORMATS[file_format](frame, file))


def check_keeps_rows(path: Path, rows: int) -> None:
    """Refuse to replace a file that has rows by one without: the earlier result may be all that there is.

    Raises
    ------
    FileExistsError
        If there is such a file, or one that cannot be read.
    """
    if not rows and path.exists() and path.stat().st_size and _may_have_rows(path):
        raise FileExistsError(
            f"{path} has rows and this result has none, so it was left as it is. Delete it to write an empty file."
        )


def _may_have_rows(path: Path) -> bool:
    try:
        return not _read(path).is_empty()
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return True


def write_bytes(data: bytes, path: Path) -> None:
    """Write bytes to a file, which is replaced if it exists."""
    write_whole(path, lambda file: file.write(data))


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a temporary file beside the path, sync it to disk and move it there, so that no reader sees half of it."""
    path = path.resolve()  # replaces the file that a link leads to, not the link
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
    """Check that a file can be created or replaced, before any call is spent."""
    existed = path.exists()
    with path.open("ab"):
        pass
    if not existed:
        path.unlink()


def _mode(path: Path) -> int:
    """Return the mode of a file, or of a new one: only its owner could read a temporary file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def read_column(path: Path, name: str) -> list[int]:
    """Read a column of integers from a file written by ``write_frame()``.

    Raises
    ------
    ValueError
        If the extension is unknown, the file is unreadable or has no such column.
    """
    try:
        frame = _read(path)
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise ValueError(f"{path} is not readable: {str(problem).splitlines()[0]}") from None
    if frame.columns and name not in frame.columns:
        raise ValueError(f"{path} has no column {name}, only {', '.join(frame.columns[:20])}.")
    return frame[name].to_list() if frame.columns else []


def _read(path: Path) -> pl.DataFrame:
    """Read a file written by ``write_frame()``; an empty NDJSON file has no columns."""
    # The bytes, because polars reads a path with brackets or a star as a pattern.
    readers: dict[str, Callable[[bytes], pl.DataFrame]] = {
        "parquet": pl.read_parquet,
        "csv": lambda data: pl.read_csv(data, infer_schema_length=None),
        "ndjson": lambda data: pl.read_ndjson(data, infer_schema_length=None) if data else pl.DataFrame(),
    }
    return readers[format_of(path)](path.read_bytes())
