"""Rebuilds all tables from the journal, without a network and in constant memory.

It flattens the responses in batches, writes each batch's rows to temporary files by the day of their session, and then merges
and writes one day at a time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pulseframes._files import check_keeps_rows
from pulseframes.client import ENV_HOME, JOURNAL_FILE, CallRecord, Journal, Settings, as_settings
from pulseframes.endpoints import DETAIL, ENDPOINTS, Endpoint
from pulseframes.errors import InvalidQuery, JournalError, LakeError, MalformedAnswer
from pulseframes.fetch.sync_report import Loader
from pulseframes.flatten import AGE, FROM_DETAIL, ParsedAnswers, newest_details, newest_sessions, parse_answers
from pulseframes.lake import Lake, Written
from pulseframes.query import EVER, DateLike, parse_instant
from pulseframes.tables import ITEM_TABLES, REJECTED, SESSIONS, TABLES

#: Bytes of responses that are flattened together. More would take more memory, and no less time.
BATCH_BYTES: Final = 8 * 2**20
#: The file in a temporary folder that is locked while its replay runs.
_IN_USE: Final = "in-use"


@dataclass
class ReplayReport:
    """The result of a replay.

    Attributes
    ----------
    rows : dict of str to int
        Rows written, for each table.
    paths : list of Path
        The files.
    calls : int
        Responses read.
    malformed : list of int
        Calls whose responses are not the documented JSON. They were skipped.
    rejected : int
        Invalid rows, which are in ``rejected.parquet``.
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
    """Rebuild all tables from the journal that the settings name, as ``replay()`` does. Costs no calls.

    Parameters
    ----------
    directory : Path
        The folder to write to.
    date_from, date_to : str, date or datetime
        The time range in which responses were fetched.
    application : str or None
        The application's hash in the journal; optional if the journal has only one application.
    settings : Settings or None
        Settings that name the journal; by default from the environment.

    Raises
    ------
    InvalidQuery
        If a time is invalid, the journal has several applications and none is named, or has not the one that is.
    JournalError, OSError
        As for ``replay()``; also if the journal has no responses.
    """
    start, end = parse_instant("date_from", date_from), parse_instant("date_to", date_to)
    with opened_journal(settings) as journal:
        return replay(journal, chosen_application(journal, application), start, end, directory)


def restore_lake(lake: Lake, *, settings: Settings | None = None) -> Written:
    """Put back into a lake what it has lost of the windows that it covers, from the journal. Costs no calls.

    Raises
    ------
    LakeError
        If there is no lake, it was never synced, or it cannot be read or written.
    JournalError
        If the journal cannot be read, or has no responses.
    """
    state = lake.state()
    if state.application is None:
        raise LakeError(
            f"The lake {lake.location} was never synced, so it is not known what belongs in it. `pulseframes replay -o FOLDER` "
            "rebuilds all tables.",
            python="Lake.write(FOLDER) adds them to a lake.",
        )
    covered = pl.any_horizontal(
        pl.lit(value=False),
        *(pl.col("session_start").is_between(*window, closed="left") for window in state.coverage.windows()),
    )
    loader = Loader(lake)
    with opened_journal(settings) as journal, lake.locked():
        for records, endpoint in _batches(journal, chosen_application(journal, state.application), *EVER):
            parsed = _parsed(records, endpoint, ReplayReport())
            loader.load(parsed, endpoint, [record.at for record in records], only=covered)
            loader.detailed.clear()  # they would grow with the journal, and nobody is told of them
            loader.rejected.clear()
    return loader.written


@contextmanager
def opened_journal(settings: Settings | None) -> Iterator[Journal]:
    """Open the journal that the settings name, and close it afterwards."""
    folder = (as_settings(settings)).folder
    path = None if folder is None else folder / JOURNAL_FILE
    if path is None or not path.exists():
        raise JournalError(
            f"No journal at {path or 'home, which is in memory'}. Set {ENV_HOME} to the journal's folder."
        )
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()


def chosen_application(journal: Journal, application: str | None, *, forgotten: bool = False) -> str:
    """Return the application that is named, or the only one with responses, or with those that were forgotten, too."""
    known = journal.applications(forgotten=forgotten)
    if not known:
        raise JournalError(f"The journal {journal.path} has no responses.")
    if application is None and len(known) == 1:
        return known[0]
    if application not in known:
        problem = "the journal has several" if application is None else f"the journal has no {application!r}"
        raise InvalidQuery(
            f"application: {problem}. Name one of {', '.join(known)}; `pulseframes quota` prints the one of your API key.",
            argument="application",
        )
    return application


def replay(journal: Journal, application: str, date_from: datetime, date_to: datetime, directory: Path) -> ReplayReport:
    """Rebuild all tables from the responses that were fetched in a time range. Costs no calls.

    The same journal always gives the same bytes. A file is replaced only when the new one is complete.

    Parameters
    ----------
    journal : Journal
        The journal.
    application : str
        The application's hash in the journal.
    date_from, date_to : datetime
        The time range: ``date_from <= fetched < date_to``.
    directory : Path
        The folder for ``sessions.parquet``, ``page_views.parquet``, ``errors.parquet`` and, if there are invalid rows,
        ``rejected.parquet``. Created if necessary.

    Raises
    ------
    JournalError
        If the journal cannot be read.
    OSError
        If a file cannot be written.
    """
    report = ReplayReport()
    directory.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(directory)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".replay-") as name, ExitStack() as stack:
        temporary = Path(name)
        stack.enter_context(FileLock(temporary / _IN_USE))
        for number, (records, endpoint) in enumerate(_batches(journal, application, date_from, date_to)):
            parsed = _parsed(records, endpoint, report)
            if not parsed.rejected.is_empty():
                parsed.rejected.write_parquet(temporary / f"{REJECTED.name}-{number:06}.parquet")
            report.rejected += len(parsed.rejected)
            _write_by_day(parsed, temporary, number, endpoint)
        _merge_days(temporary, directory, report)
        if report.rejected:
            report.paths.append(_merge_rejected(temporary, directory))
    return report


def _remove_leftovers(directory: Path) -> None:
    """Remove the temporary folders of killed replays, which hold personal data."""
    for folder in directory.glob(".replay-*"):
        if folder.is_symlink() or not (folder / _IN_USE).is_file():
            continue
        with suppress(Timeout):  # that replay is running
            FileLock(folder / _IN_USE, timeout=0).acquire().lock.release()
            shutil.rmtree(folder)


def _batches(
    journal: Journal, application: str, date_from: datetime, date_to: datetime
) -> Iterator[tuple[list[CallRecord], Endpoint]]:
    """Yield the responses in batches of one endpoint each, in the order in which they were fetched."""
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
    """Flatten and check a batch. Report and skip responses that are not the documented JSON."""
    report.calls += len(records)
    while True:
        try:
            return parse_answers([record.body for record in records], endpoint)
        except MalformedAnswer as problem:
            malformed = next(record for record in records if record.body == problem.body)
            report.malformed.append(malformed.id)
            records.remove(malformed)


def _write_by_day(parsed: ParsedAnswers, temporary: Path, number: int, endpoint: Endpoint) -> None:
    marks = [pl.lit(endpoint is DETAIL).alias(FROM_DETAIL), pl.lit(number, pl.Int64).alias(AGE)]
    day = pl.col("session_start").dt.date().alias("_day")
    sessions = parsed.frames[SESSIONS.name].with_columns(*marks, day)
    days = sessions.select("session_id", "_day")
    for name, frame in parsed.frames.items():
        rows = sessions if name == SESSIONS.name else frame.with_columns(*marks).join(days, on="session_id")
        for (date,), part in rows.partition_by("_day", as_dict=True, include_key=False).items():
            folder = temporary / str(date) / name
            folder.mkdir(parents=True, exist_ok=True)
            part.write_parquet(folder / f"{number:06}.parquet")


def _merge_days(temporary: Path, directory: Path, report: ReplayReport) -> None:
    """Merge each day and append it to the files. Move the files to the directory when they are complete."""
    writers = {name: _writer(temporary / f"{name}.parquet", name) for name in TABLES}
    for day in sorted(path for path in temporary.iterdir() if path.is_dir()):
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
    for writer in writers.values():
        writer.close()
    check_keeps_rows(directory / f"{SESSIONS.name}.parquet", report.rows[SESSIONS.name])
    for name in writers:
        report.paths.append((temporary / f"{name}.parquet").replace(directory / f"{name}.parquet"))


def _merge_rejected(temporary: Path, directory: Path) -> Path:
    """Append the invalid rows of all batches, and move the file to the directory."""
    path = temporary / f"{REJECTED.name}.parquet"
    with pq.ParquetWriter(path.absolute(), REJECTED.empty().to_arrow().schema, compression="zstd") as writer:
        for part in sorted(temporary.glob(f"{REJECTED.name}-*.parquet")):
            writer.write_table(pl.read_parquet(part).to_arrow().cast(writer.schema))
    return path.replace(directory / path.name)


def _writer(path: Path, name: str) -> pq.ParquetWriter:
    schema: pa.Schema = TABLES[name].empty().to_arrow().schema
    return pq.ParquetWriter(path.absolute(), schema, compression="zstd")
