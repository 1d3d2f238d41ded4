"""Writes the journal's responses to Parquet files, which engines on a cluster read, in constant memory.

Each day has numbered files of about equal size. A file is replaced when the new one is complete, and the same journal always
gives the same files, so an export that was killed is run again.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import parse_qsl

import polars as pl
import pyarrow.parquet as pq

from pulseframes._arguments import check_type
from pulseframes._card import Card, Row, short_path
from pulseframes._text import plural
from pulseframes.client import CallRecord, Settings
from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.fetch.replay import chosen_application, opened_journal
from pulseframes.lake import STATE_FILE, Store, open_store
from pulseframes.query import DateLike, parse_window
from pulseframes.tables import PULSE_V1, RAW_ANSWERS

#: Bytes of responses in a row group, which is written at once, and in a file. Both limit the memory.
GROUP_BYTES: Final = 8 * 2**20
FILE_BYTES: Final = 64 * 2**20
#: What a killed export leaves behind in a folder: the temporary files of ``write_whole()``.
_HALF_WRITTEN: Final = r"\.[a-z0-9_]{8}\.part"
_ONE_DAY: Final = timedelta(days=1)


@dataclass(repr=False)
class RawExport(Card):
    """The result of a raw export.

    Attributes
    ----------
    location : str
        The folder or address.
    answers : int
        Number of responses written.
    files : list of str
        The files written, relative to the location.
    not_utf8 : int
        Number of responses whose bytes are in ``body_bytes`` because they are not UTF-8.

    Examples
    --------
    >>> pf.export_raw("raw").not_utf8
    0
    """

    location: str
    answers: int = 0
    files: list[str] = field(default_factory=list)
    not_utf8: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON types.

        Returns
        -------
        dict
            ``location``, ``answers``, ``files`` and ``not_utf8``.

        Examples
        --------
        >>> files = pf.export_raw("raw").as_dict()["files"]
        """
        return asdict(self)

    def __repr__(self) -> str:
        return f"RawExport({short_path(self.location)!r}, answers={self.answers}, files={len(self.files)})"

    def _rows(self) -> Iterator[Row]:
        days = plural(len({file.partition("/")[0] for file in self.files}), "day")
        yield (
            short_path(self.location),
            f"{plural(self.answers, 'response')} of {days}, {plural(len(self.files), 'file')}.",
        )
        if self.not_utf8:
            yield "", f"{plural(self.not_utf8, 'response')} not in UTF-8; see body_bytes."


def export_raw(
    destination: str | os.PathLike[str],
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    *,
    application: str | None = None,
    settings: Settings | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> RawExport:
    """Write the journal's responses to Parquet files, one folder for each UTC day; costs no calls.

    The files hold personal data, namely the responses as they were received, and no key. ``forget()`` and ``retain()`` do not reach
    them: after ``forget()``, export again; after ``retain()``, delete the folders of the removed days.

    Each row is a successful search or detail: ``call_id`` (int, unique in one journal), ``api``, ``endpoint`` (``"sessions"`` or
    ``"session"``), ``parameters`` (a JSON object), ``fetched_at`` (UTC), ``body`` (the response) and ``body_bytes`` (its bytes
    if it is not UTF-8, and then ``body`` is null). The files are ``date=YYYY-MM-DD/APPLICATION-JOURNAL-NUMBER.parquet``, where
    APPLICATION is the hash in ``pulseframes quota`` and JOURNAL is stored in the journal, so that several applications and journals can
    share a destination.

    An export replaces its journal's earlier files of the days that it writes, each whole, and deletes those that are no longer needed. It
    leaves everything else as it is, also days that the journal no longer has.

    Parameters
    ----------
    destination : str or path
        A folder, or an address such as ``s3://bucket/raw``.
    date_from, date_to : str, date, datetime or None
        The time range in which responses were fetched; by default all. Each day that it touches is exported whole.
    application : str or None
        The application's hash in the journal; optional if the journal has only one application.
    settings : Settings or None
        Where the journal is; by default from the environment.
    storage_options : mapping of str to str or None
        For an address: options as polars takes them. Others come from the environment, where secrets belong.

    Returns
    -------
    RawExport
        How many responses are in which files.

    Raises
    ------
    InvalidQuery
        If an argument is invalid, the destination is or lies in a lake, or the journal has several applications and none is named, or has not the one
        that is.
    JournalError
        If there is no journal, it cannot be read, or it never had responses.
    LakeError
        If the destination cannot be written.

    Examples
    --------
    >>> pf.export_raw("raw", "2026-11-01").files
    ['date=...-00000.parquet']
    """
    start, end = parse_window(date_from, date_to)
    check_type("application", application, (str, type(None)), "a hash that `pulseframes quota` prints, or None")
    store = _destination(destination, storage_options)
    report = RawExport(store.location)
    with opened_journal(settings) as journal, store.locked():
        name = chosen_application(journal, application, forgotten=True)
        prefix = f"{name}-{journal.identity()}"
        for day in journal.days(name):
            if start.date() <= day <= (end - timedelta.resolution).date():
                _export_day(journal.successes(name, *_span(day)), f"date={day}", prefix, store, report)
    return report


def _destination(destination: str | os.PathLike[str], storage_options: Mapping[str, str] | None) -> Store:
    """Return the storage to write to. Files of a lake must not get mixed up with those of an export."""
    example = "a folder or an address, such as 'raw' or 's3://bucket/raw'"
    check_type("destination", destination, (str, os.PathLike), example)
    try:
        store = open_store(destination, storage_options)
    except InvalidQuery as problem:
        if problem.argument != "path":
            raise
        raise InvalidQuery(f"destination must be {example}. {problem}", argument="destination") from None
    if (lake := _lake_around(store, storage_options)) is not None:
        relation = "is" if lake == store.location else f"lies in {lake}, which is"
        raise InvalidQuery(
            f"destination: {store.location} {relation} a lake. Name another folder, such as 'raw'.",
            argument="destination",
        )
    return store


def _lake_around(store: Store, storage_options: Mapping[str, str] | None) -> str | None:
    """Return the lake that a destination is or lies in; None if there is none."""
    if store.read(STATE_FILE) is not None:
        return store.location
    if "://" not in store.location:
        # A lake is read through links, so both the path as it is written and where it leads must be outside.
        folders = [*Path(store.location).parents, *Path(os.path.realpath(store.location)).parents]
        return next((str(folder) for folder in folders if os.path.exists(folder / STATE_FILE)), None)  # noqa: PTH110  unlike Path's, no error for a folder of others
    scheme, _, path = store.location.partition("://")
    for parent in list(PurePosixPath(path).parents)[:-1]:
        above = open_store(f"{scheme}://{parent}", storage_options)
        with suppress(LakeError):  # who may write to a folder need not be allowed to read those above it
            if above.read(STATE_FILE) is not None:
                return above.location
    return None


def _span(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), UTC)
    return start, start + _ONE_DAY


def _export_day(records: Iterator[CallRecord], folder: str, prefix: str, store: Store, report: RawExport) -> None:
    """Write the files of a day, and delete those that an earlier export, of more responses, or a killed one left."""
    written = set()
    for number, run in enumerate(_cut(records, FILE_BYTES)):
        path = f"{folder}/{prefix}-{number:05}.parquet"
        store.write(path, _encoded(run, report))
        store.keep_lock()
        written.add(path)
    own = re.compile(rf"{re.escape(folder)}/(?:{re.escape(prefix)}-\d{{5,}}\.parquet|{_HALF_WRITTEN})")
    store.delete([path for path in store.list(folder) if own.fullmatch(path) and path not in written])
    report.files += sorted(written)


def _cut(records: Iterator[CallRecord], most: int) -> Iterator[Iterator[CallRecord]]:
    """Yield runs of records of about this many bytes together, one after the other, each to be read to its end."""
    for first in records:

        def run(first: CallRecord = first) -> Iterator[CallRecord]:
            yield first
            size = len(first.body)
            while size < most and (record := next(records, None)) is not None:
                yield record
                size += len(record.body)

        yield run()


def _encoded(records: Iterable[CallRecord], report: RawExport) -> bytes:
    """Return the Parquet file of some responses."""
    file = io.BytesIO()
    schema = RAW_ANSWERS.to_frame().to_arrow().schema
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=["api", "endpoint"]) as writer:
        for group in _cut(iter(records), GROUP_BYTES):
            rows = pl.DataFrame(map(_row, group), RAW_ANSWERS, orient="row")
            report.answers += len(rows)
            report.not_utf8 += rows["body"].null_count()
            writer.write_table(rows.to_arrow())
    return file.getvalue()


def _row(record: CallRecord) -> tuple[object, ...]:
    parameters = json.dumps(dict(parse_qsl(record.params, keep_blank_values=True)), ensure_ascii=False)
    try:
        body, body_bytes = record.body.decode(), None
    except UnicodeDecodeError:
        body, body_bytes = None, record.body
    return record.id, PULSE_V1, record.endpoint, parameters, record.at, body, body_bytes
