"""Delta Lake, by deltalake."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.lake import Lake, Store, open_store
from pulseframes.publishing.publish import arrow_ready, in_days
from pulseframes.tables import DATE, LAKE_TABLES, partitioned

try:
    from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError, DeltaError
except ImportError:
    raise ImportError("Publishing to Delta Lake needs deltalake: pip install 'pulseframes[delta]'") from None

#: No minima and maxima of columns in the log: they would be users' data, in files that outlive the rows.
_CONFIGURATION: Final = {"delta.dataSkippingNumIndexedCols": "0"}
#: The transactions whose versions are marks. Checkpoints keep them, while the metadata of a commit vanishes with its file.
_LAKE: Final = "pulseframes/lake"
_DAY: Final = "pulseframes/date="

#: In a path, deltalake takes these for something else, or panics.
_MISREAD: Final = frozenset("%\\[]^|*?")


def delta_folder(destination: str | os.PathLike[str], storage_options: Mapping[str, str] | None, lake: Lake) -> Store:
    """Return the storage of the tables, which exists or can be created.

    Raises
    ------
    InvalidQuery
        If it is neither a folder nor an address, has characters that deltalake misreads, or the tables would mix with the lake.
    LakeError
        If it cannot be read.
    """
    try:
        folder = open_store(destination, storage_options)
    except InvalidQuery as problem:
        if problem.argument != "path":
            raise
        text = (
            str(problem)
            .replace("path", "destination", 1)
            .replace("A lake is", "Delta tables are")
            .replace("a lake", "this")
        )
        raise InvalidQuery(text, argument="destination") from None
    path = folder.location if "://" in folder.location else Path(folder.location).absolute().as_posix()
    if misread := sorted(_MISREAD.intersection(path)):
        raise InvalidQuery(
            f"destination: Delta tables cannot be in a path with {' '.join(misread)}, as {path} has. Name another folder, such as "
            "'published'.",
            argument="destination",
        )
    for table in LAKE_TABLES:
        ours, theirs = _parts(f"{folder.location}/{table}"), _parts(lake.location)
        shared = min(len(ours), len(theirs))
        if ours[:shared] == theirs[:shared]:
            raise InvalidQuery(
                "destination: its tables would mix with the files of the lake. Name another folder, such as 'published'.",
                argument="destination",
            )
    folder.names()
    return folder


def _parts(location: str) -> tuple[str, ...]:
    return tuple(location.split("/")) if "://" in location else Path(os.path.realpath(location)).parts


class DeltaTarget:
    """A Delta table; created if there is none.

    Raises
    ------
    LakeError
        If it cannot be read, or was not published from this lake.
    """

    def __init__(self, folder: Store, name: str, lake: str) -> None:
        self._location = f"{folder.location}/{name}"
        with self._explained():
            self._table = self._opened(folder, name, lake)
            found = self._table.transaction_version(_LAKE)
        if found != _version(lake):
            raise LakeError(
                f"{self._location} is a Delta table that was not published from this lake, unless the lake was moved. Name another "
                "destination, or delete the table to publish all of it again."
            )

    def published(self) -> dict[date, str]:
        """Return the mark of each day that the table has."""
        with self._explained():
            days = [day for partition in self._table.partitions() if (day := partition[DATE])]
            marks = {date.fromisoformat(day): self._table.transaction_version(_DAY + day) for day in days}
        return {day: "" if mark is None else f"{mark:015x}" for day, mark in marks.items()}

    def replace(self, rows: pl.DataFrame, marks: Mapping[date, str | None]) -> None:
        """Replace some days by rows, and record their marks, in one commit."""
        transactions = {f"{_DAY}{day}": mark for day, mark in marks.items()}
        with self._explained():
            write_deltalake(
                self._table,
                arrow_ready(rows),
                mode="overwrite",
                predicate=in_days(marks),
                schema_mode="merge",
                commit_properties=_commit(transactions),
            )

    def _opened(self, folder: Store, name: str, lake: str) -> DeltaTable:
        options = folder.storage_options
        files = [path for path in folder.list(name) if not path.startswith(f"{name}/_delta_log/")]
        if not DeltaTable.is_deltatable(self._location, storage_options=options):
            if files:
                raise LakeError(f"{self._location} has files, and is not a Delta table. Name another destination.")
            try:
                return self._created(name, lake, options)
            except DeltaError:  # perhaps another publish has just created it
                if not DeltaTable.is_deltatable(self._location, storage_options=options):
                    raise
        return DeltaTable(self._location, storage_options=options)

    def _created(self, name: str, lake: str, options: dict[str, str] | None) -> DeltaTable:
        return DeltaTable.create(
            self._location,
            arrow_ready(pl.DataFrame(schema=partitioned(LAKE_TABLES[name]))).to_arrow().schema,
            partition_by=[DATE],
            name=name,
            description=LAKE_TABLES[name].description,
            configuration=_CONFIGURATION,
            storage_options=options,
            commit_properties=_commit({_LAKE: lake}),
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except CommitFailedError:
            raise LakeError(
                f"{self._location}: another process changed the table at the same time. Publish again: it resumes."
            ) from None
        except (DeltaError, OSError) as problem:
            # A server's answer can hold what it was sent.
            reason = type(problem).__name__ if "://" in self._location else str(problem).partition("\n")[0]
            raise LakeError(
                f"{self._location} cannot be read or written ({reason}). Check it, and publish again: it resumes."
            ) from None


def _commit(marks: Mapping[str, str | None]) -> Any:
    transactions = [Transaction(name, _version(mark)) for name, mark in marks.items()]
    return CommitProperties(app_transactions=transactions)


def _version(mark: str | None) -> int:
    return 0 if mark is None else int(mark, 16)
