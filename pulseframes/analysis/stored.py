"""The details that a lake has, read in parts, so that figures of them take the memory of one part, however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self, TypeAlias, TypeVar

import polars as pl

from pulseframes.analysis.page_template import Rules, with_page_template
from pulseframes.lake import Lake, in_window, is_active
from pulseframes.tables import DATE, ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.columns import Table
from pulseframes.tables.frames import SessionFrames
from pulseframes.windows import LOOK_BACK, Window

#: The columns that are wanted of each table; a table that is not named is not read.
Columns: TypeAlias = Mapping[str, set[str]]

#: The sessions and page views of a part.
PART_ROWS: Final = 1_000_000
#: How many parts are in memory at once.
_MOST_AT_ONCE: Final = 2

Result = TypeVar("Result")


@dataclass(frozen=True)
class StoredDetails:
    """The details that a lake has of the sessions of a window, except those that are active.

    Attributes
    ----------
    lake : Lake
        The lake.
    window : Window
        The sessions' starts.
    days : polars.DataFrame
        For each day of it, the number of ``sessions``, of those that have ``details``, and of the ``rows`` of the latter.
    is_summary : bool
        Whether only summaries are wanted, which all sessions have.
    rules : mapping or sequence of pairs, or None
        Those of the page templates.
    """

    lake: Lake
    window: Window
    days: pl.DataFrame
    is_summary: bool = False
    rules: Rules | None = None

    @classmethod
    def of_window(cls, lake: Lake, window: Window, *, is_summary: bool = False) -> Self:
        """Count the sessions of each day; without ``is_summary``, those with details are wanted."""
        wanted = pl.col("session_id" if is_summary else "detail_fetched_at").is_not_null()
        rows = 1 + pl.col("page_view_count").fill_null(1)
        counts = [pl.len().alias("sessions"), wanted.sum().alias("details"), rows.filter(wanted).sum().alias("rows")]
        days = _settled(lake, window).group_by(DATE).agg(counts).sort(DATE).collect()
        return cls(lake, window, days, is_summary)

    def __len__(self) -> int:
        return int(self.days["details"].sum())

    @property
    def is_drawn(self) -> bool:
        """Whether it has the details of all sessions, so that they represent all."""
        return len(self) == self.days["sessions"].sum()

    def map_parts(self, function: Callable[[SessionFrames], Result], wanted: Columns) -> Iterator[Result]:
        """Apply a function to part after part, each with the page views and errors of its sessions; to at least one.

        It runs in threads, on as many parts at once as polars uses cores. The results are in the parts' order.
        """
        sessions = _settled(self.lake, self.window)
        if not self.is_summary:
            sessions = sessions.filter(pl.col("detail_fetched_at").is_not_null())

        def of_part(named: pl.Expr) -> Result:
            return function(self._read(sessions, named, wanted))

        at_once = min(_MOST_AT_ONCE, pl.thread_pool_size())
        pool, waiting = ThreadPoolExecutor(at_once), deque[Future[Result]]()
        try:
            for named in self._filters(sessions):
                waiting.append(pool.submit(of_part, named))
                if len(waiting) > at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, sessions: pl.LazyFrame, of_part: pl.Expr, wanted: Columns) -> SessionFrames:
        columns = _selected(SESSIONS, wanted.get(SESSIONS.name, set()))
        views, errors = (
            self._items(table, scan, of_part, wanted)
            for table, scan in ((PAGE_VIEWS, self.lake.page_views()), (ERRORS, self.lake.errors()))
        )
        return SessionFrames(sessions.filter(of_part).select(columns).collect(), views, errors)

    def _items(self, table: Table, scan: pl.LazyFrame, of_part: pl.Expr, wanted: Columns) -> pl.DataFrame:
        if table.name not in wanted:
            return table.empty()
        columns = wanted[table.name]
        if "page_template" not in columns:
            return scan.filter(of_part).select(_selected(table, columns)).collect()
        rows = scan.filter(of_part).select(_selected(table, {*columns, "page"})).collect()
        return with_page_template(rows, self.rules).drop([] if "page" in columns else "page")

    def _filters(self, sessions: pl.LazyFrame) -> Iterator[pl.Expr]:
        """Return a filter for each part: of days and, where these have many rows, of ids."""
        if self.days.is_empty():
            yield pl.col(DATE) == self.window.start.date()
        number = ((pl.col("rows").cum_sum() - pl.col("rows")) // PART_ROWS).alias("number")
        ranges = self.days.group_by(number).agg(
            pl.col(DATE).min(), pl.col(DATE).max().alias("last"), pl.col("rows").sum()
        )
        for _, first, last, rows in ranges.sort("number").iter_rows():
            of_days = pl.col(DATE).is_between(first, last)
            if rows < 2 * PART_ROWS:
                yield of_days
                continue
            ids = sessions.filter(of_days).select("session_id").collect().to_series().sort()
            for start in range(0, len(ids), size := -(-len(ids) * PART_ROWS // rows)):
                yield of_days & pl.col("session_id").is_between(ids[start], ids[min(start + size, len(ids)) - 1])


def _settled(lake: Lake, window: Window) -> pl.LazyFrame:
    return lake.sessions().filter(in_window(window), ~is_active(LOOK_BACK))


def _selected(table: Table, wanted: set[str]) -> list[str]:
    return [name for name in table.schema.names() if name == "session_id" or name in wanted]
