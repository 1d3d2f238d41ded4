"""What ``session_details()`` returns: the three tables, and what could not be put into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes._files import FORMATS, write_frame
from pulseframes.tables import REJECTED, TABLES
from pulseframes.tables.certificate import Certificate

if TYPE_CHECKING:
    import os

    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, repr=False)
class SessionFrames:
    """Sessions with their page views and errors.

    Attributes
    ----------
    sessions : polars.DataFrame
        One row a session, in ``session_start``, ``session_id`` order.
    page_views : polars.DataFrame
        One row a page view, in ``session_id``, ``view_index`` order. Times in ms, instants in UTC.
    errors : polars.DataFrame
        One row an error, in ``session_id``, ``error_index`` order.
    missing : list of int
        Ids that the server does not know.
    rejected : polars.DataFrame
        Rows that broke the schema: ``table``, ``session_id``, ``item_index``, ``reason``, ``raw_json``.
    certificate : Certificate or None
        What the frames are made of.
    """

    sessions: pl.DataFrame
    page_views: pl.DataFrame
    errors: pl.DataFrame
    missing: list[int] = field(default_factory=list)
    rejected: pl.DataFrame = field(default_factory=REJECTED.empty)
    certificate: Certificate | None = None

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give the three frames by name.

        Returns
        -------
        dict of str to polars.DataFrame
            ``sessions``, ``page_views`` and ``errors``.
        """
        return {name: getattr(self, name) for name in TABLES}

    def to_arrow(self) -> dict[str, pa.Table]:
        """Give the three tables as Arrow, by name.

        Returns
        -------
        dict of str to pyarrow.Table
            Ids are int64, times are ``timestamp[us, tz=UTC]``.
        """
        return {name: frame.to_arrow() for name, frame in self.tables().items()}

    def to_pandas(self) -> dict[str, pd.DataFrame]:
        """Give the three tables as pandas frames with Arrow types, by name.

        Arrow types, since pandas' own would turn an id column with a null into floats, which cannot hold the ids.

        Returns
        -------
        dict of str to pandas.DataFrame
            ``sessions``, ``page_views`` and ``errors``.

        Raises
        ------
        ImportError
            If pandas is not installed; ``pip install 'pulseframes[pandas]'`` gets it.
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
            Made if it is not there. Files of these names are replaced, each at once.

        Returns
        -------
        list of Path
            The files written; ``rejected.parquet`` is among them if rows were rejected, and an earlier one is removed if none
            were.

        Raises
        ------
        OSError
            If a file cannot be written.
        """
        return self.write(directory, "parquet")

    def write(self, directory: str | os.PathLike[str], file_format: str) -> list[Path]:
        """Write each table as one file, as ``write_parquet()`` does.

        Parameters
        ----------
        directory : path
            Made if it is not there. Files of these names are replaced, each at once.
        file_format : {"parquet", "csv", "ndjson"}
            The files' format, and the end of their names.

        Returns
        -------
        list of Path
            The files written.

        Raises
        ------
        InvalidQuery
            If there is no such format.
        OSError
            If a file cannot be written.
        """
        check_choice("file_format", file_format, [*FORMATS])
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        frames = self.tables() | ({} if self.rejected.is_empty() else {REJECTED.name: self.rejected})
        if self.rejected.is_empty():  # an earlier run's would look like this one's
            (folder / f"{REJECTED.name}.{file_format}").unlink(missing_ok=True)
        paths = {folder / f"{name}.{file_format}": frame for name, frame in frames.items()}
        for path, frame in paths.items():
            write_frame(frame, path, file_format)
        return list(paths)

    def __repr__(self) -> str:
        rows = ", ".join(f"{name}={len(frame)} rows" for name, frame in self.tables().items())
        return f"SessionFrames({rows}, missing={len(self.missing)}, rejected={len(self.rejected)} rows)"
