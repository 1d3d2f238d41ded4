"""What both formats share: which days changed since the last publish, and their rows in batches.

A day is replaced as a whole. A merge by key would leave the rows that the lake no longer has, such as those of an erased user.
The table itself records the version of each day, in the commit that writes its rows, so the two cannot diverge.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final, Protocol, get_args

import polars as pl

from pulseframes._arguments import check_choice, check_type
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.publishing.report import Format, PublishedTable, PublishReport
from pulseframes.tables import DATE, LAKE_TABLES, LAKE_VERSION, partitioned

#: A commit is complete once it has so many rows or days: few commits, and memory for not much more than one day.
_ROWS: Final = 100_000
_DAYS: Final = 100


class Target(Protocol):
    """A published table."""

    def published(self) -> dict[date, str]:
        """Return the mark of each day that the table has."""

    def replace(self, rows: pl.DataFrame, marks: Mapping[date, str | None]) -> None:
        """Replace some days by rows, and record their marks, in one commit; None is the mark of a day without rows."""


def publish(
    lake: Lake | str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    format: Format,  # noqa: A002  what it is called everywhere
    catalog: str | Mapping[str, str] | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> PublishReport:
    """Copy a lake's tables to Delta Lake or Apache Iceberg; costs no calls.

    Each table of the lake becomes a table partitioned by ``date``. The first publish copies all days, later ones only those
    that changed. A changed day is replaced as a whole, so rows that the lake no longer has vanish from the table. A day's rows
    and the record that they were published are one commit: after a killed publish, the next one resumes.

    Parameters
    ----------
    lake : Lake, path or address
        The lake.
    destination : str or path
        For Delta Lake, the folder of the tables, or an address such as ``s3://bucket/folder`` (with the ``cloud`` extra). For
        Iceberg, a namespace of the catalog, such as ``"pulse"``; it is created if it does not exist.
    format : {"delta", "iceberg"}
        The format.
    catalog : str or mapping or None
        For Iceberg: the name of a catalog in pyiceberg's configuration, or its properties, with its ``name`` among them
        if it has another than ``default``. By default, the catalog ``default``.
    storage_options : mapping or None
        For Delta Lake in a bucket: options as for a lake. Others come from the environment.

    Returns
    -------
    PublishReport
        For each table, the days written, removed and unchanged.

    Raises
    ------
    InvalidQuery
        If an argument is invalid, or the tables would lie in the lake.
    LakeError
        If there is no lake, a table cannot be written, was not published from this lake, or another process changed it at the
        same time. Days that were published by then stay, and the next publish resumes.
    ImportError
        If the format's library is not installed; ``pip install 'pulseframes[delta]'`` or ``'pulseframes[iceberg]'`` installs it.

    Examples
    --------
    >>> report = pf.publish("lake", "published", format="delta")
    >>> sorted(report.tables)
    ['design', 'errors', 'page_views', 'rejected', 'sessions']
    """
    place = as_lake(lake)
    check_choice("format", format, get_args(Format))
    example = "a folder or an address, such as 'published'" if format == "delta" else "a namespace, such as 'pulse'"
    check_type("destination", destination, (str, os.PathLike) if format == "delta" else str, example)
    if not os.fspath(destination):
        raise InvalidQuery(f"destination must be {example}, not empty.", argument="destination")
    if format == "delta":
        if catalog is not None:
            raise InvalidQuery("catalog: only the format iceberg has one. Omit it.", argument="catalog")
        from pulseframes.publishing.delta import DeltaTarget, delta_folder

        place.state()
        folder = delta_folder(destination, storage_options, place)
        location = folder.location
        target: Callable[[str], Target] = lambda name: DeltaTarget(folder, name, _lake_mark(place))  # noqa: E731
    else:
        if storage_options is not None:
            raise InvalidQuery(
                "storage_options: only the format delta takes them. Configure the storage in the catalog's properties.",
                argument="storage_options",
            )
        from pulseframes.publishing.iceberg import IcebergTarget, open_catalog

        location = str(destination)
        opened = open_catalog(catalog)
        place.state()
        target = lambda name: IcebergTarget(opened, location, name, _lake_mark(place))  # noqa: E731
    report = PublishReport(location, format)
    for name in LAKE_TABLES:
        report.tables[name] = _publish_table(place, name, target(name))
    return report


def arrow_ready(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows without the types that the formats lack."""
    return rows.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))


def in_days(days: Iterable[date]) -> str:
    """Return the condition of rows of some days, as both formats read it."""
    listed = ", ".join(f"'{day}'" for day in days)
    return f"{DATE} IN ({listed})"


def _publish_table(lake: Lake, name: str, target: Target) -> PublishedTable:
    # The table's state is older than the rows that replace it: if another publish has been faster, its commit is in the way.
    published = target.published()
    wanted = {day: _mark(version) for day, version in lake.versions(name).items()}
    done = PublishedTable(removed=sorted({*published} - {*wanted}))
    stale = [day for day, mark in sorted(wanted.items()) if published.get(day) != mark]
    done.unchanged = len(wanted) - len(stale)
    for rows, marks in _batches(lake, name, done.removed, stale):
        target.replace(rows, marks)
        done.rows += len(rows)
        done.written += [day for day, mark in marks.items() if mark is not None]
    return done


def _batches(
    lake: Lake, name: str, removed: Sequence[date], stale: Sequence[date]
) -> Iterator[tuple[pl.DataFrame, dict[date, str | None]]]:
    """Yield rows with the marks of their days; the lake is read as they are taken."""
    empty = pl.DataFrame(schema=partitioned(LAKE_TABLES[name]))
    frames, marks = [empty], dict[date, str | None]()
    rows = 0
    for day in (*removed, *stale):
        found = lake.read_day(name, day)
        marks[day] = None
        if found is not None:
            frames.append(found[0].with_columns(pl.lit(day, pl.Date).alias(DATE)))
            marks[day] = _mark(found[1])
            rows += len(found[0])
        if rows >= _ROWS or len(marks) >= _DAYS:
            yield pl.concat(frames), marks
            frames, marks, rows = [empty], {}, 0
    if marks:
        yield pl.concat(frames), marks


def _mark(version: str) -> str:
    """Return the mark of a day's content in the present columns: 60 bits, which an integer of Delta Lake holds."""
    return _digest(f"{LAKE_VERSION} {version}")


def _lake_mark(lake: Lake) -> str:
    return _digest(lake.location)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:15]
