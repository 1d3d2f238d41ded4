"""All frames of a time range, made again from the journal: no network, and no more memory for a larger journal.

The answers are flattened in pieces, the rows of each piece are put aside by the day on which their sessions began, and then
each day is merged by itself and written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
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
PIECE_BYTES: Final = 32 * 2**20


@dataclass
class ReplayReport:
    """What a replay made.

    Attributes
    ----------
    rows : dict of str to int
        Rows written of each table.
    paths : list of Path
        The files.
    calls : int
        Answers that were read.
    malformed : list of int
        Calls whose answer is not the documented JSON; they were left out.
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
    """Make all frames again from the journal of one's settings, as ``replay()`` does; costs no call.

    Parameters
    ----------
    directory : Path
        Where the files go.
    date_from, date_to : str, date or datetime
        When the answers were fetched.
    application : str or None
        Whose answers, by the journal's hash; not needed where it has those of one application only.
    settings : Settings or None
        Where the journal is; from the environment if not given.

    Raises
    ------
    InvalidQuery
        If a time is none, or the journal has several applications and none is named.
    JournalError, OSError
        As for ``replay()``.
    """
    start, end = parse_instant("date_from", date_from), parse_instant("date_to", date_to)
    folder = (settings or Settings()).folder
    path = None if folder is None else folder / JOURNAL_FILE
    if path is None or not path.exists():
        raise JournalError(
            f"There is no journal at {path or 'home, which is in memory'}; set {ENV_HOME} to its folder."
        )
    journal = Journal(path)
    try:
        known = journal.applications()
        if application is None and len(known) == 1:
            application = known[0]
        if application is None or application not in known:
            raise InvalidQuery(
                f"application: the journal has {', '.join(known) or 'none'}; name one of them.", argument="application"
            )
        return replay(journal, application, start, end, directory)
    finally:
        journal.close()


def replay(journal: Journal, application: str, date_from: datetime, date_to: datetime, directory: Path) -> ReplayReport:
    """Make all frames again from the answers that were fetched in a time range; costs no call.

    The same journal gives the same bytes. A file is replaced when all of it is there.

    Parameters
    ----------
    journal : Journal
        Where the answers are.
    application : str
        Whose answers: the journal's hash of it.
    date_from, date_to : datetime
        When they were fetched: ``date_from <= fetched < date_to``.
    directory : Path
        Gets ``sessions.parquet``, ``page_views.parquet``, ``errors.parquet``, and ``rejected.parquet`` if rows break the
        schema; made if it is not there.

    Raises
    ------
    JournalError
        If the journal cannot be read.
    OSError
        If a file cannot be written.
    """
    done = ReplayReport()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".replay-") as aside:
        rejected = []
        for number, (entries, endpoint) in enumerate(_pieces(journal, application, date_from, date_to)):
            piece = _assembled(entries, endpoint, done)
            if not piece.rejected.is_empty():
                rejected.append(piece.rejected)
            _put_aside(piece, Path(aside), number, endpoint)
        _write_days(Path(aside), directory, done)
        if rejected:
            rows = pl.concat(rejected)
            done.rejected = len(rows)
            done.paths.append(directory / f"{REJECTED.name}.parquet")
            write_frame(rows, done.paths[-1], "parquet")
    return done


def _pieces(
    journal: Journal, application: str, date_from: datetime, date_to: datetime
) -> Iterator[tuple[list[CallRecord], Endpoint]]:
    """Give the answers in pieces, each of one kind, in the order they were fetched."""
    waiting: dict[str, list[CallRecord]] = {name: [] for name in ENDPOINTS}
    sizes = dict.fromkeys(ENDPOINTS, 0)
    for entry in journal.successes(application, date_from, date_to):
        name = entry.endpoint
        waiting[name].append(entry)
        sizes[name] += len(entry.body)
        if sizes[name] >= PIECE_BYTES:
            yield waiting[name], ENDPOINTS[name]
            waiting[name], sizes[name] = [], 0
    yield from ((entries, ENDPOINTS[name]) for name, entries in waiting.items() if entries)


def _assembled(entries: list[CallRecord], endpoint: Endpoint, done: ReplayReport) -> ParsedAnswers:
    """Flatten and check a piece; answers that are not the documented JSON are noted and left out."""
    done.calls += len(entries)
    while True:
        try:
            return parse_answers([entry.body for entry in entries], endpoint)
        except MalformedAnswer as problem:
            bad = next(entry for entry in entries if entry.body == problem.body)
            done.malformed.append(bad.id)
            entries.remove(bad)


def _put_aside(piece: ParsedAnswers, folder: Path, number: int, endpoint: Endpoint) -> None:
    marks = [pl.lit(endpoint is DETAIL).alias(FROM_DETAIL), pl.lit(number, pl.Int64).alias(AGE)]
    day = pl.col("session_start").dt.date().alias("_day")
    sessions = piece.frames[SESSIONS.name].with_columns(*marks, day)
    days = sessions.select("session_id", "_day")
    for name, frame in piece.frames.items():
        rows = sessions if name == SESSIONS.name else frame.with_columns(*marks).join(days, on="session_id")
        for (when,), part in rows.partition_by("_day", as_dict=True, include_key=False).items():
            place = folder / str(when) / name
            place.mkdir(parents=True, exist_ok=True)
            part.write_parquet(place / f"{number:06}.parquet")


def _write_days(aside: Path, directory: Path, done: ReplayReport) -> None:
    """Merge each day and append it to the files, which appear under their names when they are whole."""
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
                done.rows[name] += len(frame)
    for name, writer in writers.items():
        writer.close()
        done.paths.append((aside / f"{name}.parquet").replace(directory / f"{name}.parquet"))


def _writer(path: Path, name: str) -> pq.ParquetWriter:
    schema: pa.Schema = TABLES[name].empty().to_arrow().schema
    return pq.ParquetWriter(path, schema, compression="zstd")
