"""Scans of the API or of a lake, as polars LazyFrames."""

from __future__ import annotations

import os
from importlib.util import find_spec

import polars as pl
from polars.io.plugins import register_io_source

from pulseframes.client import PulseClient, as_client
from pulseframes.lake import Lake, as_lake
from pulseframes.query import EVER, DateLike, parse_window
from pulseframes.scan.source import OF_SESSION, ApiScan
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.columns import Table
from pulseframes.tables.lake_tables import in_window


def scan_sessions(
    lake: Lake | str | os.PathLike[str] | None = None,
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    client: PulseClient | None = None,
) -> pl.LazyFrame:
    """Return a lazy query over the sessions of the API, or of a lake.

    Costs nothing until it is collected; ``cost()`` returns the calls that this takes. Filters on ``session_start``, ``country`` and
    ``user_identifier`` become the search, so collecting costs one call per 500 sessions that pass them. Cached responses cost
    nothing. Source: ``GET /sessions``; or the lake's files, which cost nothing.

    Parameters
    ----------
    lake : Lake, str, path or None
        A lake to read; None for the API.
    date_from, date_to : str, date, datetime or None
        Only sessions that started in this window, in UTC. A filter on ``session_start`` does the same. The API needs a start, by
        one or the other; a window without an end ends at present.
    client : PulseClient or None
        Default: a client of the environment.

    Returns
    -------
    polars.LazyFrame
        The columns of the sessions table. Collected from the API, the rows are in the order of ``session_start`` and
        ``session_id``; ``head(n)`` alone returns any ``n`` of them, for one call per 500.

    Raises
    ------
    InvalidQuery
        If an argument is invalid; when it is collected, if no start is known.
    LakeError
        If there is no lake.
    ImportError
        For the API: if ``pulseframes[scan]`` is not installed.

    See Also
    --------
    cost : The calls that a query would take.
    search_sessions : The same sessions at once.

    Notes
    -----
    polars hands a filter to a scan only if it stands on the scan's own columns: after ``with_columns()``, ``unique()`` or a
    ``head()`` it no longer narrows the search. Ctrl-C takes effect when all rows have arrived. polars marks this interface as
    unstable.

    Examples
    --------
    >>> monday = pl.col("session_start").is_between(datetime(2026, 11, 9, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC), closed="left")
    >>> by_browser = pf.scan_sessions().filter(monday, pl.col("country") == "NZ").group_by("browser_name").len()
    >>> print(pf.cost(by_browser))
    Search 2026-11-09 00:00 to 2026-11-10 00:00: ... in the journal.
    Total: no calls needed.
    Quota: ...
    >>> by_browser.collect().columns
    ['browser_name', 'len']
    """
    return _scan(SESSIONS, lake, date_from, date_to, client)


def scan_page_views(
    lake: Lake | str | os.PathLike[str] | None = None,
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    client: PulseClient | None = None,
) -> pl.LazyFrame:
    """Return a lazy query over the page views of the API's sessions, or of a lake's.

    Collecting costs one call per 500 sessions that pass the filters on ``session_start``, ``country`` and ``user_identifier``, and
    one for the details of each. A filter on ``session_id`` needs no search: it costs one call per id. Cached responses cost
    nothing. Source: ``GET /sessions`` and ``GET /session``, ``pageViews``; or the lake's files, which cost nothing.

    Parameters
    ----------
    lake, date_from, date_to, client
        As for ``scan_sessions()``.

    Returns
    -------
    polars.LazyFrame
        The columns of the page views table, and ``session_start``, ``country`` and ``user_identifier`` of the session.

    Raises
    ------
    InvalidQuery, LakeError, ImportError
        As for ``scan_sessions()``.

    Examples
    --------
    >>> ids = pf.search_sessions("2026-11-09", "2026-11-10")["session_id"].head(3)
    >>> slow = pf.scan_page_views().filter(pl.col("session_id").is_in(ids.to_list()), pl.col("loading_time_ms") > 4_000)
    >>> pf.cost(slow).windows  # no search
    []
    """
    return _scan(PAGE_VIEWS, lake, date_from, date_to, client)


def scan_errors(
    lake: Lake | str | os.PathLike[str] | None = None,
    *,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    client: PulseClient | None = None,
) -> pl.LazyFrame:
    """Return a lazy query over the errors of the API's sessions, or of a lake's.

    Costs as much as ``scan_page_views()``. Source: ``GET /sessions`` and ``GET /session``, ``errors``; or the lake's files.

    Parameters
    ----------
    lake, date_from, date_to, client
        As for ``scan_sessions()``.

    Returns
    -------
    polars.LazyFrame
        The columns of the errors table, and ``session_start``, ``country`` and ``user_identifier`` of the session.

    Raises
    ------
    InvalidQuery, LakeError, ImportError
        As for ``scan_sessions()``.

    Examples
    --------
    >>> titles = pf.scan_errors("lake", date_from="2026-11-09").group_by("title").len().collect()
    """
    return _scan(ERRORS, lake, date_from, date_to, client)


def _scan(
    table: Table,
    lake: Lake | str | os.PathLike[str] | None,
    date_from: DateLike | None,
    date_to: DateLike | None,
    client: PulseClient | None,
) -> pl.LazyFrame:
    window = parse_window(date_from, date_to)
    if lake is not None:
        rows = _lake_rows(table, as_lake(lake))
        return (rows if window == EVER else rows.filter(in_window(window))).drop("date")
    if find_spec("polars_io_tools") is None:
        raise ImportError(f"scan_{table.name}() over the API needs polars-io-tools: pip install 'pulseframes[scan]'")
    source = ApiScan(table, window, None if client is None else as_client(client))
    return register_io_source(source, schema=source.schema, validate_schema=True, is_pure=True)


def _lake_rows(table: Table, lake: Lake) -> pl.LazyFrame:
    """Return a lake's rows in the columns of a scan of the API, and their day."""
    sessions = lake.sessions()
    if table is SESSIONS:
        return sessions.select(*table.schema, "date")
    rows = lake.page_views() if table is PAGE_VIEWS else lake.errors()
    return rows.join(
        sessions.select("session_id", *OF_SESSION, session_day="date"),
        left_on=["date", "session_id"],
        right_on=["session_day", "session_id"],
        how="left",
    ).select(*table.schema, *OF_SESSION, "date")
