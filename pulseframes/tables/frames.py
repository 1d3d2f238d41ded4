"""The result of ``session_details()``: the three tables, and the rows that could not be put into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes._card import Row, as_html
from pulseframes._files import FORMATS, check_keeps_rows, write_frame
from pulseframes._text import plural
from pulseframes.tables import REJECTED, SESSIONS, TABLES
from pulseframes.tables.certificate import Certificate

if TYPE_CHECKING:
    import os

    import pandas as pd
    import pyarrow as pa

#: Rows of each table in a notebook.
_SHOWN: Final = 5


@dataclass(frozen=True, repr=False, eq=False)
class SessionFrames(Mapping[str, pl.DataFrame]):
    """Sessions with their page views and errors, as ``session_details()`` returns them.

    Also a mapping of the three tables: ``details["errors"]``, ``for name, frame in details.items()``. Two are equal if all their
    rows and missing ids are.

    Attributes
    ----------
    sessions : polars.DataFrame
        One row per session, in ``session_start``, ``session_id`` order.
    page_views : polars.DataFrame
        One row per page view, in ``session_id``, ``view_index`` order. Durations are in ms, times in UTC.
    errors : polars.DataFrame
        One row per error, in ``session_id``, ``error_index`` order.
    missing : list of int
        Session ids that the server does not know.
    rejected : polars.DataFrame
        Rows that break the schema: ``table``, ``session_id``, ``item_index``, ``reason``, ``raw_json``.
    certificate : Certificate or None
        The provenance of the frames.

    Examples
    --------
    >>> sessions = pf.search_sessions("2026-11-09", "2026-11-16")
    >>> details = pf.session_details(sessions["session_id"].head(3))
    >>> slowest = details.page_views.sort("loading_time_ms", descending=True, nulls_last=True).head(5)
    >>> len(details.sessions), details.missing, details.rejected.is_empty()
    (3, [], True)
    >>> list(details)
    ['sessions', 'page_views', 'errors']
    """

    sessions: pl.DataFrame
    page_views: pl.DataFrame
    errors: pl.DataFrame
    missing: list[int] = field(default_factory=list)
    rejected: pl.DataFrame = field(default_factory=REJECTED.empty)
    certificate: Certificate | None = None

    def __getitem__(self, table: str) -> pl.DataFrame:
        if table not in TABLES:
            raise KeyError(f"{table!r} is not a table; they are {', '.join(TABLES)}.")
        frame: pl.DataFrame = getattr(self, table)
        return frame

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SessionFrames):
            return NotImplemented
        pairs = zip((*self.values(), self.rejected), (*other.values(), other.rejected), strict=True)
        return self.missing == other.missing and all(mine.equals(theirs) for mine, theirs in pairs)

    __hash__ = None  # type: ignore[assignment]  # its frames can change

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the three tables by name.

        Returns
        -------
        dict of str to polars.DataFrame
            ``sessions``, ``page_views`` and ``errors``.

        Examples
        --------
        >>> details = pf.session_details(pf.search_sessions("2026-11-09", "2026-11-16")["session_id"].head(2))
        >>> list(details.tables())
        ['sessions', 'page_views', 'errors']
        """
        return dict(self)

    def to_arrow(self) -> dict[str, pa.Table]:
        """Return the three tables as Arrow tables, by name.

        Returns
        -------
        dict of str to pyarrow.Table
            Ids are int64, times are ``timestamp[us, tz=UTC]``.

        Examples
        --------
        >>> details = pf.session_details(pf.search_sessions("2026-11-09", "2026-11-16")["session_id"].head(2))
        >>> details.to_arrow()["sessions"].schema.field("session_start").type
        TimestampType(timestamp[us, tz=UTC])
        """
        return {name: frame.to_arrow() for name, frame in self.tables().items()}

    def to_pandas(self) -> dict[str, pd.DataFrame]:
        """Return the three tables as pandas frames with Arrow types, by name.

        pandas' own types would turn an id column with a null into floats, which cannot hold the ids exactly.

        Returns
        -------
        dict of str to pandas.DataFrame
            ``sessions``, ``page_views`` and ``errors``.

        Raises
        ------
        ImportError
            If pandas is not installed: ``pip install 'pulseframes[pandas]'``.

        Examples
        --------
        >>> details = pf.session_details(pf.search_sessions("2026-11-09", "2026-11-16")["session_id"].head(2))
        >>> details.to_pandas()["sessions"]["session_id"].dtype
        int64[pyarrow]
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_pandas() needs pandas: pip install 'pulseframes[pandas]'") from None
        return {name: table.to_pandas(types_mapper=pd.ArrowDtype) for name, table in self.to_arrow().items()}

    def write_parquet(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Write ``sessions.parquet``, ``page_views.parquet`` and ``errors.parquet``.

        Parameters
        ----------
        directory : path
            Created if missing. Existing files of these names are replaced, each atomically.

        Returns
        -------
        list of Path
            The files written. If rows were rejected, ``rejected.parquet`` is one of them; otherwise an existing file of
            that name is deleted.

        Raises
        ------
        OSError
            If a file cannot be written, or would lose its rows because there are none now (``FileExistsError``).

        Examples
        --------
        >>> details = pf.session_details(pf.search_sessions("2026-11-09", "2026-11-16")["session_id"].head(2))
        >>> [path.name for path in details.write_parquet("details")]
        ['sessions.parquet', 'page_views.parquet', 'errors.parquet']
        """
        return self.write(directory, "parquet")

    def write(self, directory: str | os.PathLike[str], file_format: str) -> list[Path]:
        """Write each table to one file, as ``write_parquet()`` does.

        Parameters
        ----------
        directory : path
            Created if missing. Existing files of these names are replaced, each atomically.
        file_format : {"parquet", "csv", "ndjson"}
            The format of the files, and their extension.

        Returns
        -------
        list of Path
            The files written.

        Raises
        ------
        InvalidQuery
            If the format is unknown.
        OSError
            If a file cannot be written, or would lose its rows because there are none now (``FileExistsError``).

        Examples
        --------
        >>> details = pf.session_details(pf.search_sessions("2026-11-09", "2026-11-16")["session_id"].head(2))
        >>> paths = details.write("details", "csv")
        """
        check_choice("file_format", file_format, [*FORMATS])
        folder = Path(directory)
        check_keeps_rows(folder / f"{SESSIONS.name}.{file_format}", len(self.sessions) + len(self.rejected))
        folder.mkdir(parents=True, exist_ok=True)
        frames = self.tables()
        if self.rejected.is_empty():  # an earlier run's file would look like this one's
            (folder / f"{REJECTED.name}.{file_format}").unlink(missing_ok=True)
        else:
            frames[REJECTED.name] = self.rejected
        paths = {folder / f"{name}.{file_format}": frame for name, frame in frames.items()}
        for path, frame in paths.items():
            write_frame(frame, path, file_format)
        return list(paths)

    def __repr__(self) -> str:
        rows = ", ".join(f"{name}={len(frame)} rows" for name, frame in self.tables().items())
        return f"SessionFrames({rows}, missing={len(self.missing)}, rejected={len(self.rejected)} rows)"

    def _repr_html_(self) -> str:
        """Return the sizes and the first rows of each table, for a notebook."""
        parts = (f"<p><b>{name}</b></p>{frame.head(_SHOWN)._repr_html_()}" for name, frame in self.items())
        return as_html(type(self).__name__, self._rows()) + "".join(parts)

    def _rows(self) -> list[Row]:
        sizes = [(name, plural(len(frame), "row")) for name, frame in self.items()]
        return [*sizes, ("missing", plural(len(self.missing), "id")), ("rejected", plural(len(self.rejected), "row"))]
