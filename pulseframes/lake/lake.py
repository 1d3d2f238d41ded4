"""A lake: sessions, page views and errors as Parquet files by day, updated by key and readable by any tool."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import polars as pl

from pulseframes._arguments import check_type
from pulseframes._card import Row, as_html, short_path
from pulseframes._process import check_process
from pulseframes.errors import InvalidQuery, PulseError
from pulseframes.lake.partitions import read_day, scan, versions_of
from pulseframes.lake.state import LakeFiles
from pulseframes.lake.storage import open_store
from pulseframes.lake.upsert import (
    Batch,
    Writable,
    Written,
    add_rejected,
    as_batches,
    mark_failed,
    replace_design,
    upsert,
)
from pulseframes.query import DateLike, parse_instant
from pulseframes.sampling.rates import DesignState
from pulseframes.tables import DATE, DESIGN, ERRORS, PAGE_VIEWS, REJECTED, SESSIONS, TABLES
from pulseframes.tables.privacy import PrivacyPolicy
from pulseframes.windows import Window, span_text

if TYPE_CHECKING:
    import duckdb

#: The storage options that hold no secret, and so may be pickled.
_PLAIN_OPTION: Final = re.compile(
    "((aws|google|azure)_)?(storage_)?(region|default_region|endpoint|endpoint_url|account_name|allow_http|virtual_hosted_style_request"
    "|connect_timeout|read_timeout|timeout|max_retries|unsigned_payload|skip_signature)",
    re.IGNORECASE,
)


class Lake(LakeFiles):
    """Parquet files in a folder or a bucket, partitioned by the UTC day on which the session started.

    The first write creates the lake. Writers take turns, in this process and others; readers never wait.

    Parameters
    ----------
    path : str or path
        A folder, or an address such as ``s3://bucket/folder`` (with the ``cloud`` extra).
    privacy : PrivacyPolicy or None
        How to alter personal data before it is written. Fixed when the lake is created, and stored in it.
    storage_options : mapping or None
        For a bucket: options as polars takes them, such as ``aws_region``. Others come from the environment.

    Raises
    ------
    InvalidQuery
        If an argument is invalid.

    Examples
    --------
    >>> lake = pf.Lake("lake")
    >>> lake.sessions().filter(country="NZ").select(pl.len()).collect().shape
    (1, 1)
    >>> by_day = lake.sql("SELECT date, count(*) AS sessions FROM sessions GROUP BY date ORDER BY date")
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
                f"privacy must be a PrivacyPolicy, not {type(privacy).__name__}. Pass "
                "PrivacyPolicy({'user_email_address': 'drop'}), for example.",
                argument="privacy",
            )
        super().__init__(open_store(path, storage_options), privacy)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lake) and self.location == other.location

    def __hash__(self) -> int:
        return hash(self.location)

    def __repr__(self) -> str:
        return f"Lake({short_path(self.location)!r})"

    def _repr_html_(self) -> str:
        """Return what the lake records of itself, for a notebook; without its rows if it is in a bucket, as counting them takes long."""
        rows: list[Row] = [("", "There is no lake yet: sync() or Lake.write() creates it.")]
        try:
            rows = [*self._rows()] if self.is_there() else rows
        except PulseError as problem:
            rows = [("", problem)]
        return as_html(repr(self), rows)

    def _rows(self) -> Iterator[Row]:
        state = self.state()
        if "://" not in self.location:
            counts = self.sessions().select(pl.len(), pl.col("detail_fetched_at").count()).collect().row(0)
            yield "Sessions", "{:,}, {:,} of them with details".format(*counts)
        yield from (("Covered", span_text(window)) for window in state.coverage.windows())
        yield from (("Incomplete", span_text(window)) for window in state.incomplete)
        yield from (("Sample", design.label) for design in state.designs if design.rate_windows)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path and the options, so that other processes open the same lake; refuse what may be a secret."""
        options = self.store.storage_options
        secret = [name for name, value in (options or {}).items() if not _PLAIN_OPTION.fullmatch(name) or "@" in value]
        if secret:
            raise TypeError(
                f"This lake cannot be pickled, because the pickle would show {', '.join(secret)}. Set secrets in the environment of each "
                "process instead of storage_options, such as AWS_SECRET_ACCESS_KEY."
            )
        if self._privacy is not None and self._privacy.key is not None:
            raise TypeError(
                f"This lake cannot be pickled, because the pickle would show the key of its pseudonyms. Pass Lake({self.location!r}) "
                "without privacy: the lake stores its rules, and each process reads the key from PULSEFRAMES_PSEUDONYM_KEY."
            )
        return partial(type(self), privacy=self._privacy, storage_options=options), (self.location,)

    def write(self, frames: Writable, *, fetched_at: DateLike | None = None) -> Written:
        """Add or update sessions; costs no calls.

        A session that the lake has already is replaced unless its ``session_updated`` is older. A summary never erases values
        that only details have; newer details replace all page views and errors of their session.

        Parameters
        ----------
        frames : polars.DataFrame or SessionFrames or path
            The result of ``search_sessions()`` or ``session_details()``, a folder that ``write_parquet()`` or ``pulseframes
            replay`` wrote, or a Parquet file of sessions. Frames of pandas and others are converted by way of Arrow.
        fetched_at : str, date, datetime or None
            When the sessions were fetched, which decides between two with the same ``session_updated``. By default, the
            time in the certificate, when the folder was written, or the present.

        Returns
        -------
        Written
            The numbers of new, updated and unchanged rows, and the days that were rewritten.

        Raises
        ------
        InvalidQuery
            If the frames are something else, lack columns, have other types, or hold details without their page views.
        LakeError
            If the lake cannot be written. Either all of the change is made, or none.

        Examples
        --------
        >>> sessions = pf.search_sessions("2026-11-01", "2026-11-02")
        >>> written = pf.Lake("another").write(sessions)
        >>> written.rows["sessions"].new == len(sessions)
        True
        """
        check_process()
        at = None if fetched_at is None else parse_instant("fetched_at", fetched_at)
        batches = as_batches(frames, at)
        written = Written()
        with self.locked():
            for batch in batches:
                written.add(self.put(batch))
        return written

    def put(self, batch: Batch) -> Written:
        """Write a checked batch, for ``write()`` and ``sync()``."""
        written = Written()
        with self.rewrite() as partitions:
            batch = self._altered(batch)
            if not batch.sessions.is_empty():
                upsert(partitions, batch, self._known(batch.sessions["session_id"]), written)
            if not batch.rejected.is_empty():
                known = self.rejected().select(REJECTED.schema.names()).collect()
                add_rejected(partitions, batch.rejected, known, written)
        return written

    def mark_failed(self, session_ids: Sequence[int], at: datetime) -> None:
        """Record that sessions had no details at a time."""
        with self.rewrite() as partitions:
            mark_failed(partitions, self._known(pl.Series(session_ids, dtype=pl.Int64)), at)

    def put_design(self, name: str, seed: int, rows: pl.DataFrame) -> None:
        """Replace the rows of a design, which have the design table's columns and ``date``, and write the state."""
        with self.rewrite(save_state=True) as partitions:
            replace_design(partitions, name, seed, rows)

    def versions(self, table: str) -> dict[date, str]:
        """Return the days of a table, in order, each with a text that changes with its rows."""
        return versions_of(self.store, table)

    def read_day(self, table: str, day: date) -> tuple[pl.DataFrame, str] | None:
        """Return a day's rows and the text that ``versions()`` has for them; None if the table has no such day."""
        return read_day(self.store, table, day)

    def sessions(self) -> pl.LazyFrame:
        """Scan the sessions.

        Returns
        -------
        polars.LazyFrame
            The columns of the sessions table; ``fetched_at``, ``detail_updated``, ``detail_fetched_at``, ``detail_failed_at``,
            ``settled_at`` and ``settled_page_views``; and ``date``, the UTC day of ``session_start``. A filter on ``date`` reads
            only those days.

        Raises
        ------
        LakeError
            If there is no lake; when the query is collected, if a file is damaged.

        Examples
        --------
        >>> from datetime import date
        >>> monday = pf.Lake("lake").sessions().filter(date=date(2026, 11, 9)).collect()
        """
        return self._scan(SESSIONS.name)

    def page_views(self) -> pl.LazyFrame:
        """Scan the page views of the sessions that have details.

        Returns
        -------
        polars.LazyFrame
            The table's columns and ``date``, the session's day.

        Examples
        --------
        >>> slow = pf.Lake("lake").page_views().filter(pl.col("loading_time_ms") > 4_000).collect()
        """
        return self._scan(PAGE_VIEWS.name)

    def errors(self) -> pl.LazyFrame:
        """Scan the errors of the sessions that have details.

        Returns
        -------
        polars.LazyFrame
            The table's columns and ``date``, the session's day.

        Examples
        --------
        >>> titles = pf.Lake("lake").errors().group_by("title").len().collect()
        """
        return self._scan(ERRORS.name)

    def design(self) -> pl.LazyFrame:
        """Scan the sampled sessions, with their inclusion probabilities and weights.

        Returns
        -------
        polars.LazyFrame
            The design table's columns and ``date``, the session's day.

        Examples
        --------
        >>> weights = pf.Lake("lake").design().select("session_id", "weight").collect()
        """
        return self._scan(DESIGN.name)

    def rejected(self) -> pl.LazyFrame:
        """Scan the invalid rows.

        Returns
        -------
        polars.LazyFrame
            Reason and raw JSON; ``fetched_at``; and ``date``, the day on which they were fetched.

        Examples
        --------
        >>> pf.Lake("lake").rejected().collect().height
        0
        """
        return self._scan(REJECTED.name)

    def sql(self, query: str, parameters: Sequence[object] | Mapping[str, object] | None = None) -> pl.DataFrame:
        """Run a DuckDB query on the views ``sessions``, ``page_views``, ``errors``, ``design`` and ``rejected``.

        If the details are a sample, ``weight`` is how many sessions, page views or errors a row represents: null for rows that are
        not of the sample. ``w_count()``, ``w_sum(x)``, ``w_avg(x)`` and ``w_quantile(x, q)`` use it, and give what
        ``estimate(calibrate=None)`` gives. After a join, pass the weight: ``w_avg(loading_time_ms, page_views.weight)``.

        A query can read nothing else, cannot write, and uses up to 4 GiB of memory. Ctrl-C ends it. DuckDB keeps to neither in
        a function that makes a huge list, such as ``unnest(range(300000000))``: it can use more, and Ctrl-C raises
        ``KeyboardInterrupt`` after 5 seconds while the query ends in the background.

        Parameters
        ----------
        query : str
            The query.
        parameters : sequence or mapping, optional
            The values for each ``?``, or by name for each ``$name``.

        Returns
        -------
        polars.DataFrame
            The result. Times are in UTC. Integers of 128 bits, such as sums, are Int64 if all of a column fit, and Float64
            otherwise, also in lists, structs and maps.

        Raises
        ------
        InvalidQuery
            If DuckDB rejects the query, with DuckDB's message, or the result has more than 1 GiB, or types or times that polars
            has not, such as infinity.
        LakeError
            If there is no lake, or a file is damaged.
        ImportError
            If DuckDB is not installed; ``pip install 'pulseframes[duckdb]'`` installs it.

        Warns
        -----
        PulseWarning
            Once for each lake, if plain aggregates describe only the sessions with details.

        Examples
        --------
        >>> countries = pf.Lake("lake").sql("SELECT country, count(*) AS sessions FROM sessions GROUP BY ALL")
        """
        from pulseframes.lake import sql, weights

        weights.refuse_natural_joins(query)
        weights.warn_of_sample(self, query)
        return sql.run(self.store, query, parameters, weights.weights_of(self))

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB connection with the views of ``sql()``.

        Returns
        -------
        duckdb.DuckDBPyConnection
            A new connection, which sees the files that are there now. A damaged file is an error of DuckDB's. The macros need the
            weight: ``w_count(weight)``, ``w_avg(x, weight)``.

        Raises
        ------
        LakeError, ImportError
            As for ``sql()``.

        Examples
        --------
        >>> with pf.Lake("lake").duckdb() as connection:
        ...     [(users,)] = connection.sql("SELECT count(DISTINCT user_id) FROM sessions").fetchall()
        """
        from pulseframes.lake import sql, weights

        return sql.connect(self.store, weights.weights_of(self))

    def coverage(self) -> list[Window]:
        """Return the windows that ``sync()`` has read.

        Returns
        -------
        list of Window
            In order, each with ``start`` and ``end`` in UTC.

        Examples
        --------
        >>> [window] = pf.Lake("lake").coverage()
        >>> f"{window.start:%d %B} to {window.end:%d %B}"
        '09 November to 16 November'
        """
        return self.state().coverage.windows()

    def default_window(self, drawn: DesignState | None = None) -> Window | None:
        """Return the window to analyse if the user names none; None if the lake is empty.

        It is the window of a sample, or that of all coverage or, in a lake that was never synced, of all sessions.
        """
        covered = self.coverage()
        if drawn is not None and drawn.window is not None:
            return drawn.window
        if covered:
            return Window(covered[0].start, covered[-1].end)
        start = pl.col("session_start")
        first, last = self.sessions().select(start.min(), start.max().alias("last")).collect().row(0)
        return None if first is None else Window(first, last + timedelta.resolution)

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
        """Return ``session_id`` and ``date`` of the sessions that the lake has."""
        ids = session_ids.unique().to_frame("session_id").lazy()
        return self._scan(SESSIONS.name).select("session_id", DATE).join(ids, on="session_id", how="semi").collect()


def as_lake(lake: Lake | str | os.PathLike[str], argument: str = "lake") -> Lake:
    """Return a lake, opened if a path or an address is given; raise ``InvalidQuery`` if it is neither."""
    example = "a Lake, or its folder or address, such as 'lake'"
    check_type(argument, lake, (Lake, str, os.PathLike), example)
    if lake == "":
        raise InvalidQuery(f"{argument} must be {example}, not empty.", argument=argument)
    return lake if isinstance(lake, Lake) else Lake(lake)
