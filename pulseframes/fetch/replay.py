"""Rebuilds all frames of a time range from the journal, offline and in constant memory.

The answers are flattened in batches, the rows of each batch are set aside by the day on which their sessions started, and
then the days are merged and written one by one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pulseframes._files import write_frame
from pulseframes.client import ENV_HOME, JOURNAL_FILE, CallRecord, Journal, Settings
from pulseframes.endpoints import DETAIL, ENDPOINTS, Endpoint
from pulseframes.errors import InvalidQuery, JournalError, MalformedAnswer
from pulseframes.flatten import AGE, FROM_DETAIL, ParsedAnswers, newest_details, newest_sessions, parse_answers
from pulseframes.query import DateLike, parse_instant
from pulseframes.tables import ITEM_TABLES, REJECTED, SESSIONS, TABLES

#: Raw bytes that are flattened at once.
BATCH_BYTES: Final = 32 * 2**20


@dataclass
class ReplayReport:
    """The report of a replay.

    Attributes
    ----------
    rows : dict of str to int
        Rows written, by table.
    paths : list of Path
        The files.
    calls : int
        Answers read.
    malformed : list of int
        Calls that were skipped, because their answer is not the documented JSON.
    rejected : int
        Rows that break the schema; they are in ``rejected.parquet``.
    """

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    paths: list[Path] = field(default_factory=list)
    calls: int = 0
    malformed: list[int] = field(default_factory=list)
    rejected: int = 0


def replay_journal(
    directory: Path,
    *,
    date_from: DateLike = "2000-01-01",
    date_to: DateLike = "9999-01-01",
    application: str | None = None,
    settings: Settings | None = None,
) -> ReplayReport:
    """Rebuild all frames from the journal of some settings, as ``replay()`` does. Costs no calls.

    Parameters
    ----------
    directory : Path
        Folder for the files.
    date_from, date_to : str, date or datetime
        Only answers fetched in this window.
    application : str or None
        The application, by the journal's hash; needed only if the journal has several.
    settings : Settings or None
        Where the journal is. Default: from the environment.

    Raises
    ------
    InvalidQuery
        If a time is invalid, or the journal has several applications and none is chosen.
    JournalError, OSError
        As for ``replay()``.
    """
    start, end = parse_instant("date_from", date_from), parse_instant("date_to", date_to)
    folder = (settings or Settings()).folder
    path = None if folder is None else folder / JOURNAL_FILE
    if path is None or not path.exists():
        raise JournalError(f"No journal at {path or 'home, which is in memory'}. Set {ENV_HOME} to its folder.")
    with closing(Journal(path)) as journal:
        known = journal.applications()
        application = known[0] if application is None and len(known) == 1 else application
        if application is None or application not in known:
            choices = f"one of {', '.join(known)}" if known else "omitted: the journal has none"
            raise InvalidQuery(f"application must be {choices}, not {application!r}.", argument="application")
        return replay(journal, application, start, end, directory)


def replay(journal: Journal, application: str, date_from: datetime, date_to: datetime, directory: Path) -> ReplayReport:
    """Rebuild all frames from the answers that were fetched in a time range. Costs no calls.

    The same journal gives the same bytes. A file is replaced once the new one is complete.

    Parameters
    ----------
    journal : Journal
        The journal.
    application : str
        The application, by the journal's hash.
    date_from, date_to : datetime
        Only answers fetched in this window: ``date_from <= fetched < date_to``.
    directory : Path
        Folder for ``sessions.parquet``, ``page_views.parquet``, ``errors.parquet``, and ``rejected.parquet`` if rows break the
        schema; created if necessary.

    Raises
    ------
    JournalError
        If the journal cannot be read.
    OSError
        If a file cannot be written.
    """
    report = ReplayReport()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".replay-") as aside:
        rejected = []
        for number, (records, endpoint) in enumerate(_batches(journal, application, date_from, date_to)):
            parsed = _parsed(records, endpoint, report)
            rejected += [] if parsed.rejected.is_empty() else [parsed.rejected]
            _set_aside(parsed, Path(aside), number, endpoint)
        _write_days(Path(aside), directory, report)
        if rejected:
            rows = pl.concat(rejected)
            report.rejected = len(rows)
            report.paths.append(directory / f"{REJECTED.name}.parquet")
            write_frame(rows, report.paths[-1], "parquet")
    return report


def _batches(
    journal: Journal, application: str, date_from: datetime, date_to: datetime
) -> Iterator[tuple[list[CallRecord], Endpoint]]:
    """Yield the answers in batches of one endpoint, in the order in which they were fetched."""
    waiting: dict[str, list[CallRecord]] = {name: [] for name in ENDPOINTS}
    sizes = dict.fromkeys(ENDPOINTS, 0)
    for record in journal.successes(application, date_from, date_to):
        name = record.endpoint
        waiting[name].append(record)
        sizes[name] += len(record.body)
        if sizes[name] >= BATCH_BYTES:
            yield waiting[name], ENDPOINTS[name]
            waiting[name], sizes[name] = [], 0
    yield from ((records, ENDPOINTS[name]) for name, records in waiting.items() if records)


def _parsed(records: list[CallRecord], endpoint: Endpoint, report: ReplayReport) -> ParsedAnswers:
    """Flatten and check a batch; answers that are not the documented JSON are reported and skipped."""
    report.calls += len(records)
    while True:
        try:
            return parse_answers([record.body for record in records], endpoint)
        except MalformedAnswer as problem:
            malformed = next(record for record in records if record.body == problem.body)
            report.malformed.append(malformed.id)
            records.remove(malformed)


def _set_aside(parsed: ParsedAnswers, folder: Path, number: int, endpoint: Endpoint) -> None:
    marks = [pl.lit(endpoint is DETAIL).alias(FROM_DETAIL), pl.lit(number, pl.Int64).alias(AGE)]
    day = pl.col("session_start").dt.date().alias("_day")
    sessions = parsed.frames[SESSIONS.name].with_columns(*marks, day)
    days = sessions.select("session_id", "_day")
    for name, frame in parsed.frames.items():
        rows = sessions if name == SESSIONS.name else frame.with_columns(*marks).join(days, on="session_id")
        for (date,), part in rows.partition_by("_day", as_dict=True, include_key=False).items():
            place = folder / str(date) / name
            place.mkdir(parents=True, exist_ok=True)
            part.write_parquet(place / f"{number:06}.parquet")


def _write_days(aside: Path, directory: Path, report: ReplayReport) -> None:
    """Merge each day and append it to the files, which get their names once they are complete."""
    writers = {name: _writer(aside / f"{name}.parquet", name) for name in TABLES}
    for day in sorted(path for path in aside.iterdir() if path.is_dir()):
        sessions = pl.read_parquet(day / SESSIONS.name / "*.parquet")
        frames = {SESSIONS.name: newest_sessions(sessions).select(SESSIONS.schema.names())}
        newest = newest_details(sessions).select("session_id", AGE)
        for table in ITEM_TABLES:
            if (day / table.name).is_dir():
                items = pl.read_parquet(day / table.name / "*.parquet").join(newest, on=["session_id", AGE])
                frames[table.name] = items.select(table.schema.names()).sort(table.key)
        for name, frame in frames.items():
            if not frame.is_empty():
                writers[name].write_table(frame.to_arrow().cast(writers[name].schema))
                report.rows[name] += len(frame)
    for name, writer in writers.items():
        writer.close()
        report.paths.append((aside / f"{name}.parquet").replace(directory / f"{name}.parquet"))


def _writer(path: Path, name: str) -> pq.ParquetWriter:
    schema: pa.Schema = TABLES[name].empty().to_arrow().schema
    return pq.ParquetWriter(path, schema, compression="zstd")
