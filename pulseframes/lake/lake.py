"""A lake: sessions, page views and errors as Parquet files by day, which any tool reads, and which are added to by key."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.lake.commit import Commit, recover
from pulseframes.lake.files import Days, days_of
from pulseframes.lake.inputs import Writable, as_batches
from pulseframes.lake.opening import check_place, opened
from pulseframes.lake.places import open_store
from pulseframes.lake.reading import arrow_dataset, check_files, collected, scan
from pulseframes.lake.state import STATE_FILE, LakeState
from pulseframes.lake.storage import LOCK_SECONDS
from pulseframes.lake.upsert import Batch, Written, add_rejected, mark_failed, upsert
from pulseframes.query import DateLike, parse_instant
from pulseframes.sampling.rates import DesignState
from pulseframes.tables import (
    DATE,
    DESIGN,
    ERRORS,
    LAKE_TABLES,
    PAGE_VIEWS,
    REJECTED,
    SESSIONS,
    TABLES,
)
from pulseframes.tables.privacy import PrivacyPolicy
from pulseframes.windows import Window

if TYPE_CHECKING:
    import duckdb


class Lake:
    """Parquet files in a folder or an object store, partitioned by the UTC day on which the session started.

    It is made when it is first written to. Writers take turns, in this process and others; readers wait for nobody.

    Parameters
    ----------
    path : str or path
        A folder, or an address such as ``s3://bucket/prefix`` (with the ``cloud`` extra).
    privacy : PrivacyPolicy or None
        How personal data is altered before it is written. It is settled when the lake is made, and kept with it.
    storage_options : mapping or None
        For an object store: what polars takes by this name, such as ``aws_region``. What is not given is taken from the
        environment.

    Raises
    ------
    InvalidQuery
        If the path is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        privacy: PrivacyPolicy | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        if privacy is not None and not isinstance(privacy, PrivacyPolicy):
            raise InvalidQuery(
                f"privacy: {type(privacy).__name__} is no PrivacyPolicy; give PrivacyPolicy({{...}}).",
                argument="privacy",
            )
        self.store = open_store(path, storage_options)
        self._privacy = privacy
        self._turn = threading.RLock()
        self._held: LakeState | None = None  # while it is this lake's turn to write

    @property
    def location(self) -> str:
        """The folder or address."""
        return self.store.location

    def write(self, frames: Writable, *, fetched_at: DateLike | None = None) -> Written:
        """Put sessions into the lake; costs no call.

        A session that is there already is replaced if its ``session_updated`` is not older; what only details know stays,
        and newer details replace all page views and errors of their session.

        Parameters
        ----------
        frames : polars.DataFrame or SessionFrames or path
            What ``search_sessions()`` or ``session_details()`` returned, or a folder that ``write_parquet()`` or ``pulseframes
            replay`` wrote.
        fetched_at : str, date, datetime or None
            When the answers came, which decides between two with the same ``session_updated``; what the certificate
            says, when the folder was written, or the present, if not given.

        Returns
        -------
        Written
            How many rows were new, updated and unchanged, and the days that were rewritten.

        Raises
        ------
        InvalidQuery
            If the frames are none of these, lack columns, have other types, or hold some details but not their page views.
        LakeError
            If the lake cannot be written. It is then as it was, or as it was to be.
        """
        at = None if fetched_at is None else parse_instant("fetched_at", fetched_at)
        batches = as_batches(frames, at)
        written = Written()
        with self.locked():
            for batch in batches:
                written.add(self.put(batch))
        return written

    def put(self, batch: Batch) -> Written:
        """Put a checked batch into the lake, for ``write()`` and ``sync()``."""
        written = Written()
        with self.locked():
            batch = self._altered(batch)
            commit = Commit(self.store)
            days = Days(self.store, commit)
            if not batch.sessions.is_empty():
                upsert(days, batch, self._known(batch.sessions["session_id"]), written)
            if not batch.rejected.is_empty():
                add_rejected(
                    days,
                    batch.rejected,
                    self.read(self.rejected().select(REJECTED.schema.names())),
                    written,
                )
            commit.done()
        return written

    def mark_failed(self, session_ids: Sequence[int], at: datetime) -> None:
        """Put down that the details of sessions were asked for in vain."""
        with self.locked():
            known = self._known(pl.Series(session_ids, dtype=pl.Int64))
            commit = Commit(self.store)
            mark_failed(
                Days(self.store, commit),
                known.with_columns(pl.lit(at).cast(pl.Datetime("us", "UTC")).alias("detail_failed_at")),
            )
            commit.done()

    def put_design(self, name: str, seed: int, rows: pl.DataFrame) -> None:
        """Put down what a design has drawn, in the place of all it had drawn before, together with the state.

        Parameters
        ----------
        name : str
            The design, as the table calls it.
        seed : int
            Its seed.
        rows : polars.DataFrame
            The design table's columns and ``date``.
        """
        with self.locked() as state:
            commit = Commit(self.store)
            days = Days(self.store, commit)
            for day in sorted({*days_of(self.store, DESIGN.name), *rows[DATE]}):
                old = days.read(DESIGN.name, [day])
                others = old.filter((pl.col("design") != name) | (pl.col("seed") != seed))
                new = pl.concat([others, rows.filter(pl.col(DATE) == day).select(old.columns)])
                if not new.sort(DESIGN.key).equals(old.sort(DESIGN.key)):
                    days.replace(DESIGN.name, day, new)
            commit.put(STATE_FILE, state.as_json())
            commit.done()

    def sessions(self) -> pl.LazyFrame:
        """Scan the sessions.

        Returns
        -------
        polars.LazyFrame
            The columns of the sessions table; ``fetched_at``, ``detail_updated``, ``detail_fetched_at`` and
            ``detail_failed_at``; and ``date``, the UTC day of ``session_start``. A filter on ``date`` reads those days only.

        Raises
        ------
        LakeError
            If there is no lake.
        """
        return self._scan(SESSIONS.name)

    def page_views(self) -> pl.LazyFrame:
        """Scan the page views of the sessions that have details.

        Returns
        -------
        polars.LazyFrame
            The table's columns and ``date``, the session's day.
        """
        return self._scan(PAGE_VIEWS.name)

    def errors(self) -> pl.LazyFrame:
        """Scan the errors of the sessions that have details.

        Returns
        -------
        polars.LazyFrame
            The table's columns and ``date``, the session's day.
        """
        return self._scan(ERRORS.name)

    def design(self) -> pl.LazyFrame:
        """Scan what the lake's designs have drawn.

        Returns
        -------
        polars.LazyFrame
            The design table's columns and ``date``, the session's day.
        """
        return self._scan(DESIGN.name)

    def rejected(self) -> pl.LazyFrame:
        """Scan the rows that broke a schema.

        Returns
        -------
        polars.LazyFrame
            Reason and raw JSON; ``fetched_at``; ``date`` is the day on which they were fetched.
        """
        return self._scan(REJECTED.name)

    def sql(self, query: str) -> pl.DataFrame:
        """Ask a question in DuckDB's SQL of the views ``sessions``, ``page_views``, ``errors``, ``design`` and ``rejected``.

        Nothing else can be read, and nothing written, by a query.

        Parameters
        ----------
        query : str
            The question.

        Returns
        -------
        polars.DataFrame
            The answer. Times are in UTC.

        Raises
        ------
        InvalidQuery
            If DuckDB refuses the query; the message is its own.
        LakeError
            If there is no lake, or a file of it is damaged.
        ImportError
            If DuckDB is not installed; ``pip install 'pulseframes[duckdb]'`` gets it.
        """
        from pulseframes.lake.sql import ask

        with self.duckdb() as connection:
            try:
                return ask(connection, query)
            except InvalidQuery:
                check_files(self.store)  # it may not be the query's fault
                raise

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """Give a DuckDB connection with the views of ``sql()``.

        Returns
        -------
        duckdb.DuckDBPyConnection
            One of its own, which sees the files that are there now.

        Raises
        ------
        LakeError, ImportError
            As for ``sql()``.
        """
        from pulseframes.lake.sql import connect

        self.state()
        return connect({name: arrow_dataset(self.store, name) for name in LAKE_TABLES})

    def read(self, query: pl.LazyFrame) -> pl.DataFrame:
        """Collect a query over the lake's tables.

        Parameters
        ----------
        query : polars.LazyFrame
            Built from ``sessions()`` and the other scans.

        Returns
        -------
        polars.DataFrame
            Its result.

        Raises
        ------
        LakeError
            If a file is damaged; the message names the file.
        """
        return collected(self.store, query)

    def coverage(self) -> list[Window]:
        """Give the windows that ``sync()`` has read.

        Returns
        -------
        list of Window
            In order; each with ``start`` and ``end``, in UTC.
        """
        return self.state().coverage.windows()

    def default_window(self, drawn: DesignState | None = None) -> Window | None:
        """Return the window to analyse if the user names none.

        Parameters
        ----------
        drawn : DesignState or None
            The design whose sample is analysed, if any.

        Returns
        -------
        Window or None
            The window of the sample; without one, from the first time that ``sync()`` has read to the last; in a lake that was
            never synced, from the first session to the last. None if the lake is empty.
        """
        covered = self.coverage()
        if drawn is not None and drawn.window is not None:
            return drawn.window
        if covered:
            return Window(covered[0].start, covered[-1].end)
        start = pl.col("session_start")
        first, last = self.read(self.sessions().select(start.min(), start.max().alias("last"))).row(0)
        return None if first is None else Window(first, last + timedelta.resolution)

    def state(self) -> LakeState:
        """Read what the lake knows of itself.

        Raises
        ------
        LakeError
            If there is no lake, or it is of a newer version.
        """
        if self._held is not None:
            return self._held
        data = self.store.read(STATE_FILE)
        if data is None:
            raise LakeError(f"There is no lake at {self.location}; sync() or Lake.write() makes one.")
        return LakeState.from_json(data, self.location)

    @contextmanager
    def locked(self) -> Iterator[LakeState]:
        """Take the turn to write, and give the state; what a killed writer began is finished first.

        Raises
        ------
        LakeError
            If somebody else is writing for too long, or this is no place for a lake.
        """
        if not self._turn.acquire(timeout=LOCK_SECONDS):
            raise LakeError(f"The lake {self.location} is being written by another thread; try again later.")
        try:
            if self._held is not None:
                yield self._held
                return
            check_place(self.store)
            with self.store.locked():
                recover(self.store)
                self._held = opened(self.store, self._privacy or PrivacyPolicy())
                try:
                    yield self._held
                finally:
                    self._held = None
        finally:
            self._turn.release()

    def save_state(self) -> None:
        """Write the state of the turn."""
        self.store.write(STATE_FILE, self.state().as_json())

    def is_there(self) -> bool:
        """Tell whether there is a lake."""
        return self.store.read(STATE_FILE) is not None

    def policy(self) -> PrivacyPolicy:
        """Give the rules by which personal data is altered.

        Raises
        ------
        LakeError
            If they need a key and there is none, or another than the lake was begun with.
        """
        settled = self.state().privacy
        if self._privacy is None:
            return PrivacyPolicy.from_description(settled)
        if self._privacy.describe() != settled:
            raise LakeError(
                f"The lake {self.location} was begun with other privacy rules ({settled.get('rules')}), or another key. "
                "Leave them out to go on with those, or begin another lake: what the journal has costs nothing."
            )
        return self._privacy

    def _altered(self, batch: Batch) -> Batch:
        policy = self.policy()
        items = batch.items
        if items is not None:
            items = {name: policy.apply(TABLES[name], frame) for name, frame in items.items()}
        return Batch(policy.apply(SESSIONS, batch.sessions), items, policy.apply(REJECTED, batch.rejected))

    def _scan(self, table: str) -> pl.LazyFrame:
        self.state()
        return scan(self.store, table)

    def _known(self, session_ids: pl.Series) -> pl.DataFrame:
        """Give ``session_id`` and ``date`` of those sessions that the lake has."""
        wanted = pl.DataFrame({"session_id": session_ids}).unique()
        found = (
            scan(self.store, SESSIONS.name).select("session_id", DATE).join(wanted.lazy(), on="session_id", how="semi")
        )
        return self.read(found)


def as_lake(lake: Lake | str | os.PathLike[str]) -> Lake:
    """Return a lake, opened if a path or an address is given."""
    return lake if isinstance(lake, Lake) else Lake(lake)
