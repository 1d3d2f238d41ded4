"""Files that are written whole, or not at all."""

from __future__ import annotations

import io
import math
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa

#: The form of a time in formats that have no type for it.
_TIME: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
#: How many rows a sheet of Excel has below the names, how long a text is, and up to where it keeps all digits of a number.
_EXCEL_ROWS: Final = 1_048_575
EXCEL_TEXT: Final = 32_767
_EXCEL_EXACT: Final = 10**15


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


def _write_excel(frame: pl.DataFrame, file: IO[bytes]) -> None:
    # Text of a page must not become a formula or a link.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "in_memory": True}
    names = [name.lower() for name in frame.columns]
    if len(frame) > _EXCEL_ROWS or len({*names}) < len(names):
        many = f"more than {_EXCEL_ROWS:,} rows" if len(frame) > _EXCEL_ROWS else "two columns of the same name"
        raise pl.exceptions.ComputeError(f"Excel cannot hold {many}")
    with excel().Workbook(file, options) as workbook:
        _excel_frame(frame).with_columns(pl.col(pl.String).str.head(EXCEL_TEXT)).write_excel(workbook, autofit=True)


def excel() -> Any:
    """Return the package that writes Excel files.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise ImportError("An Excel file needs XlsxWriter: pip install 'pulseframes[excel]'") from None
    return xlsxwriter


def _excel_frame(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([_excel_column(column) for column in frame.get_columns()])


def _excel_column(column: pl.Series) -> pl.Series:
    """Return a column as Excel can hold it: ids and other long numbers as text, and times without a zone, in UTC."""
    kind = column.dtype
    if kind.is_integer():
        ends: list[Any] = [column.min(), column.max()]  # of Python, because not every type holds the limit
        is_long = any(end is not None and abs(end) > _EXCEL_EXACT for end in ends)
        return column.cast(pl.String if is_long or column.name.endswith("_id") else pl.Int64)
    if kind.is_float():
        return column.replace([math.inf, -math.inf, math.nan], None)
    if isinstance(kind, pl.Datetime):
        return (column.dt.convert_time_zone("UTC") if kind.time_zone else column).dt.replace_time_zone(None)
    if isinstance(kind, pl.Duration):
        return column.dt.to_string("iso")
    if isinstance(kind, pl.List):
        column = column.list.eval(pl.element().cast(pl.String)).list.join(", ")
    elif kind.is_nested() or kind in (pl.Binary, pl.Object):
        raise pl.exceptions.ComputeError(f"Excel cannot hold {column.name}, which is {kind}")
    return column


def cut_columns(frame: pl.DataFrame, file_format: str) -> list[str]:
    """Return the names of the columns that a file of this format has only the beginnings of texts of."""
    if file_format != "xlsx":
        return []
    texts = _excel_frame(frame).select(pl.col(pl.String).str.len_chars().max() > EXCEL_TEXT)
    return [column.name for column in texts if column.any()]


#: The formats of text and data by file extension.
FORMATS: Final[dict[str, Callable[[pl.DataFrame, IO[bytes]], None]]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "ndjson": _write_ndjson,
}
#: The formats that files can have, and the endings of their names.
_WRITERS: Final = FORMATS | {"xlsx": _write_excel}


def format_of(path: Path | str) -> str:
    """Return the format that the extension of a file's path or address names.

    Raises
    ------
    ValueError
        If it names none.
    """
    extension = PurePath(path).suffix.lower().lstrip(".")
    if extension not in _WRITERS:
        raise ValueError(f"{path} must end in .parquet, .csv, .ndjson or .xlsx.")
    return extension


def encoded(frame: pl.DataFrame, file_format: str) -> bytes:
    """Return the bytes of a frame's file."""
    file = io.BytesIO()
    _WRITERS[file_format](frame, file)
    return file.getvalue()


def write_frame(frame: pl.DataFrame, path: Path, file_format: str) -> None:
    """Write a frame to a file, which is replaced if it exists.

    Raises
    ------
    OSError
        If the folder does not exist or is read-only; an earlier file is then unchanged.
    """
    write_whole(path, lambda file: _WRITERS[file_format](frame, file))


def check_keeps_rows(path: Path, rows: int) -> None:
    """Refuse to replace a file that has rows by one without: the earlier result may be all that there is.

    Raises
    ------
    FileExistsError
        If there is such a file, or one that cannot be read.
    """
    if not rows and path.exists() and may_have_rows(path.read_bytes(), format_of(path)):
        raise would_lose_rows(path)


def would_lose_rows(path: Path | str) -> FileExistsError:
    """Return the error of a file that a result without rows would replace."""
    return FileExistsError(
        f"{path} has rows and this result has none, so it was left as it is. Delete it to write an empty file."
    )


def may_have_rows(data: bytes, file_format: str) -> bool:
    """Return whether a file has rows, or cannot be read; an empty one has none."""
    try:
        if file_format == "xlsx" and data:  # polars needs another package to read it
            with zipfile.ZipFile(io.BytesIO(data)) as parts:
                return b'<row r="2"' in parts.read("xl/worksheets/sheet1.xml")
        return bool(data) and not _parsed(data, file_format).is_empty()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, pl.exceptions.PolarsError):
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
        file_format = format_of(path)
        if file_format not in FORMATS:
            raise ValueError(f"{path} must end in .parquet, .csv or .ndjson to be read.")
        # The bytes, because polars reads a path with brackets or a star as a pattern.
        frame = _parsed(path.read_bytes(), file_format)
    except OSError as problem:
        raise ValueError(f"{path} is not readable: {problem.strerror}.") from None
    except pl.exceptions.PolarsError as problem:
        raise ValueError(f"{path} is not readable: {str(problem).splitlines()[0]}") from None
    if frame.columns and name not in frame.columns:
        raise ValueError(f"{path} has no column {name}, only {', '.join(frame.columns[:20])}.")
    return frame[name].to_list() if frame.columns else []


def _parsed(data: bytes, file_format: str) -> pl.DataFrame:
    """Read a file written by ``write_frame()``; an empty NDJSON file has no columns."""
    readers: dict[str, Callable[[bytes], pl.DataFrame]] = {
        "parquet": pl.read_parquet,
        "csv": lambda data: pl.read_csv(data, infer_schema_length=None),
        "ndjson": lambda data: pl.read_ndjson(data, infer_schema_length=None) if data else pl.DataFrame(),
    }
    return readers[file_format](data)
