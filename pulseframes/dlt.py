"""A source for dlt, which loads a lake's tables into the warehouses that dlt knows. ``from pulseframes.dlt import source``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from pulseframes.client import PulseClient
from pulseframes.errors import IncompleteWarning, InvalidQuery, warn
from pulseframes.fetch.backlog import Details
from pulseframes.fetch.sync import sync
from pulseframes.fetch.sync_report import SyncReport
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.tables import DATE, LAKE_TABLES, Table, partitioned

if TYPE_CHECKING:
    from dlt.extract import DltSource

__all__ = ["source"]


def source(
    lake: Lake | str | os.PathLike[str],
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    *,
    details: Details = 0,
    design: Design | str | None = None,
    client: PulseClient | None = None,
) -> DltSource:
    """Return a dlt source that syncs a lake, and loads the days of each of its tables that changed since the last load.

    The tables in the warehouse are those of the lake: a load replaces whole days, by ``date``, and if the lake has lost a day of a
    table, as after ``forget()`` or ``retain()``, that table. So give each lake its own pipeline and its own dataset. The pipeline's state
    records which days were loaded; dlt stores it in the dataset. The lake and the journal must outlast the run: calls are spent
    for nothing that is in them.

    Costs as much as ``sync()``, when the pipeline runs; nothing without ``date_from``.

    Parameters
    ----------
    lake : Lake or path
        The lake.
    date_from, date_to : str, date, datetime or None
        The window to sync first, as for ``sync()``. Without ``date_from``, only what the lake has is loaded.
    details, design, client
        As for ``sync()``.

    Returns
    -------
    dlt.sources.DltSource
        The resources ``sessions``, ``page_views``, ``errors``, ``rejected`` and ``design``: Arrow tables with the lake's columns and
        ``date``, and with their primary keys. Ids are bigint, times are timestamps in UTC. If details are a sample, weight
        them with ``weight`` of ``design``.

    Raises
    ------
    InvalidQuery
        If ``lake`` is not a lake or path, or another argument is given without ``date_from``, so that it would do nothing.
    ImportError
        If dlt is not installed: ``pip install 'pulseframes[dlt]'``.

    Warns
    -----
    IncompleteWarning
        When the pipeline runs, if the quota ran out: what was received is loaded, and the next run resumes. Also what ``sync()``
        warns of. What ``sync()`` raises ends the run before it loads anything.

    See Also
    --------
    pulseframes.sync : What is downloaded, and what it costs.

    Examples
    --------
    >>> import dlt
    >>> from pulseframes.dlt import source
    >>> pipeline = dlt.pipeline("rum", destination=dlt.destinations.duckdb("warehouse.duckdb"), dataset_name="rum")
    >>> loaded = pipeline.run(source("lake", "2026-11-09", "2026-11-16"))
    >>> loaded.has_failed_jobs
    False
    """
    try:
        import dlt
    except ModuleNotFoundError as problem:
        if problem.name != "dlt":
            raise
        raise ImportError("A dlt source needs dlt: pip install 'pulseframes[dlt]'") from None
    lake = as_lake(lake)
    if date_from is None:
        _check_loads_only(date_to=date_to, details=details or None, design=design)

    @dlt.resource(name="sync", selected=False)
    def synced() -> Iterator[Lake]:
        if date_from is not None:
            _warn_of_rest(sync(lake, date_from, date_to, details=details, design=design, client=client))
        _check_same_lake(lake, dlt.current.source_state())
        yield lake

    @dlt.source(name="pulseframes")
    def pulseframes() -> Iterator[Any]:
        for table in LAKE_TABLES.values():
            yield synced | dlt.transformer(
                _changes_of(table),
                name=table.name,
                write_disposition="merge",
                primary_key=table.key,
                merge_key=DATE,
            )

    return pulseframes()


def _check_loads_only(**arguments: object) -> None:
    """Refuse arguments of a sync that will not run."""
    for name, value in arguments.items():
        if value is not None:
            raise InvalidQuery(
                f"{name}: without date_from, nothing is synced. Add date_from, such as '2026-11-09', or omit {name}.",
                argument=name,
            )


def _warn_of_rest(report: SyncReport) -> None:
    if report.resume_at is not None:
        left = "" if report.remaining is None else f" ({report.remaining:,} sessions or details still to download)"
        warn(
            IncompleteWarning,
            f"Daily quota used up{left}. What was received is loaded; run the pipeline again after "
            f"{report.resume_at:%Y-%m-%d %H:%M:%S} UTC to resume.",
        )


def _check_same_lake(lake: Lake, state: dict[str, Any]) -> None:
    """Refuse another application's lake: its days would replace those that were loaded."""
    application = lake.state().application
    if application is not None and state.setdefault("application", application) != application:
        raise InvalidQuery(
            f"lake: this pipeline has loaded another application's lake, and {lake.location} would replace its days. Load each lake "
            "with a pipeline and a dataset of its own, such as dlt.pipeline('shop_nz', dataset_name='shop_nz').",
            argument="lake",
        )


def _changes_of(table: Table) -> Any:
    """Return a function that yields what the warehouse lacks of a table, day by day."""
    import dlt

    def changes(lake: Lake) -> Iterator[Any]:
        loaded: dict[str, str] = dlt.current.resource_state(table.name).setdefault("days", {})
        present = {day.isoformat(): version for day, version in lake.versions(table.name).items()}
        replaces = bool(loaded.keys() - present.keys())
        if replaces:  # rows of a day that is gone are deleted with all others, and these are loaded again
            loaded.clear()
            hints = dlt.mark.make_hints(write_disposition="replace")
            yield dlt.mark.with_hints(_as_arrow(table, pl.DataFrame(schema=partitioned(table))), hints)
        for day, version in present.items():
            # The rows and their version are read together: another process may have changed them by now, or removed the day.
            if loaded.get(day) != version and (found := lake.read_day(table.name, date.fromisoformat(day))) is not None:
                yield _as_arrow(table, found[0].with_columns(pl.lit(date.fromisoformat(day), pl.Date).alias(DATE)))
                loaded[day] = found[1]

    return changes


def _as_arrow(table: Table, rows: pl.DataFrame) -> pa.Table:
    """Return rows as an Arrow table whose keys are not nullable, as dlt wants them."""
    arrow = rows.to_arrow()
    keys = {*table.key, DATE}
    return arrow.cast(pa.schema([field.with_nullable(field.name not in keys) for field in arrow.schema]))
