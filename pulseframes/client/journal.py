"""Every call that was ever sent: when, what for, and the raw answer. Quota, cache, resume and replay come from it.

One SQLite file. A row is reserved before its call is sent, in the transaction that checks the quota, and completed before
anything reads the answer: a process that is killed at any moment leaves either nothing, or a call that counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa

from pulseframes.client.database import Database
from pulseframes.client.records import CallRecord, Outcome, Request

__all__ = ["JOURNAL_FILE", "MIGRATIONS", "Admission", "CallRecord", "Journal", "Outcome", "Request"]

#: The file's name, in PULSEFRAMES_HOME.
JOURNAL_FILE: Final = "journal.sqlite"

#: Takes when the calls of the day were sent, until when the server refuses more, and the present; raises to refuse.
Admission: TypeAlias = Callable[[Sequence[datetime], "datetime | None", datetime], object]

#: Each takes the schema one version further. A released one is never changed: a new one is added.
MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,           -- when it was reserved, microseconds since 1970 in UTC
        application TEXT NOT NULL,     -- a hash of the address and the API key
        endpoint TEXT NOT NULL,
        params TEXT NOT NULL,          -- canonical: the query string
        attempt INTEGER NOT NULL,      -- 1, and more for the same call tried again
        counted INTEGER NOT NULL,      -- whether it is part of the quota
        outcome TEXT,                  -- answered, lost (no complete answer), unsent, or NULL (not heard of again)
        status INTEGER,
        size INTEGER,                  -- of the body, in bytes
        body BLOB,                     -- as it came, compressed with zstd
        duration_ms INTEGER,
        blocked_until INTEGER          -- until when the server refuses more calls, where it said so
    );
    CREATE INDEX calls_by_question ON calls (application, endpoint, params, id);
    CREATE INDEX calls_by_time ON calls (application, at);
    """,
    # How many sessions were taken out of the answer afterwards.
    "ALTER TABLE calls ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0",
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_NEWEST: Final = """
    SELECT id, at, endpoint, params, attempt, outcome, status, size, duration_ms, forgotten, body FROM calls
    WHERE application = ? AND endpoint = ? AND params = ? AND outcome = 'answered'
      AND (status BETWEEN 200 AND 299 OR status = 404)
    ORDER BY id DESC LIMIT 1
"""
_LAST: Final = """
    SELECT id, at, endpoint, params, attempt, outcome, status, size, duration_ms, forgotten, NULL FROM calls
    WHERE application = ? ORDER BY id DESC LIMIT ?
"""
_ANSWERED: Final = """
    SELECT params, count(*) FROM calls
    WHERE application = ? AND endpoint = ? AND outcome = 'answered' AND status BETWEEN 200 AND 299
    GROUP BY params
"""
_ONE: Final = """
    SELECT id, at, endpoint, params, attempt, outcome, status, size, duration_ms, forgotten, body FROM calls WHERE id = ?
"""
_SUCCESSES: Final = """
    SELECT id FROM calls
    WHERE application = ? AND at >= ? AND at < ? AND endpoint != 'authenticate' AND outcome = 'answered' AND status BETWEEN 200 AND 299
    ORDER BY id
"""


class Journal:
    """The file; safe to share between threads, and between processes that each open it.

    Parameters
    ----------
    path : Path or None
        The file; it and its folder are made if they are not there. None keeps everything in memory.
    clock : callable
        The present, in UTC; a test gives its own.

    Raises
    ------
    JournalError
        If the file cannot be opened, read or written, is damaged, or was written by a newer version.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock
        self._database = Database(path, MIGRATIONS)

    def reserve(self, call: Request, admit: Admission, *, since: Callable[[datetime], datetime]) -> int:
        """Put down a call that is about to be sent, if it is admitted; give its number.

        Parameters
        ----------
        call : Request
            What will be asked.
        admit : callable
            Told of the application's calls of the day; it raises to refuse this one. Not asked for a call that does
            not count.
        since : callable
            Gives the start of the day, from the present.

        Raises
        ------
        JournalError
            If it cannot be put down; the call must not be sent then.
        """
        with self._database.writing() as connection:
            now = self._clock()
            if call.counted:
                admit(*self._spent(connection, call.application, since(now)), now)
            cursor = connection.execute(
                "INSERT INTO calls (at, application, endpoint, params, attempt, counted) VALUES (?, ?, ?, ?, ?, ?)",
                (_number(now), call.application, call.endpoint, call.params, call.attempt, call.counted),
            )
            assert cursor.lastrowid is not None  # noqa: S101  an insert has one
            return cursor.lastrowid

    def complete(
        self,
        call_id: int,
        outcome: Outcome,
        *,
        status: int | None = None,
        body: bytes = b"",
        duration_ms: int = 0,
        blocked_until: datetime | None = None,
    ) -> None:
        """Put down how a call ended. One that was never sent no longer counts.

        Raises
        ------
        JournalError
            If it cannot be put down.
        """
        blocked = None if blocked_until is None else _number(blocked_until)
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE calls SET outcome = ?, status = ?, size = ?, body = ?, duration_ms = ?, blocked_until = ?, "
                "counted = counted AND ? WHERE id = ?",
                (outcome, status, len(body), _compressed(body), duration_ms, blocked, outcome != "unsent", call_id),
            )

    def rewrite(self, call_id: int, body: bytes, *, forgotten: int = 0, params: str | None = None) -> None:
        """Replace what came of a call; whether and when it counts stays as it is.

        Parameters
        ----------
        call_id : int
            Its number.
        body : bytes
            What is left of its answer; with nothing left, it is an answer to no question any more.
        forgotten : int
            How many sessions are no longer in the body.
        params : str or None
            What was asked, where that is not to stay as it was either.

        Raises
        ------
        JournalError
            If it cannot be put down.
        """
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE calls SET body = ?, size = ?, forgotten = forgotten + ?, params = coalesce(?, params), "
                "outcome = CASE WHEN outcome = 'answered' AND ? = 0 THEN 'forgotten' ELSE outcome END WHERE id = ?",
                (_compressed(body), len(body), forgotten, params, len(body), call_id),
            )

    def remove(self, call_ids: Iterable[int]) -> None:
        """Remove calls wholly; one of the last day would then no longer count.

        Raises
        ------
        JournalError
            If they cannot be removed.
        """
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM calls WHERE id = ?", [(call_id,) for call_id in call_ids])

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Put down everything inside or, if it fails or is killed, nothing; other processes wait until it is over."""
        with self._database.writing():
            yield

    def scrub(self) -> None:
        """Write the file anew, so that what was removed can be read in it no more, by no tool.

        Raises
        ------
        JournalError
            If another process keeps the file in use.
        """
        self._database.scrub()

    def spent(self, application: str, since: datetime) -> tuple[list[datetime], datetime | None]:
        """Give when an application's counted calls were sent, oldest first, and until when the server refuses more."""
        with self._database.reading() as connection:
            return self._spent(connection, application, since)

    def newest_answer(self, application: str, endpoint: str, params: str) -> CallRecord | None:
        """Give the last success, or 404, for a question; None where there is none."""
        with self._database.reading() as connection:
            row = connection.execute(_NEWEST, (application, endpoint, params)).fetchone()
        return None if row is None else self._entry(row)

    def answered(self, application: str, endpoint: str) -> dict[str, int]:
        """Give the questions to an endpoint that have a success, and how many each has."""
        with self._database.reading() as connection:
            return dict(connection.execute(_ANSWERED, (application, endpoint)).fetchall())

    def last_calls(self, application: str, count: int) -> list[CallRecord]:
        """Give an application's last calls, newest first, without their bodies."""
        with self._database.reading() as connection:
            rows = connection.execute(_LAST, (application, count)).fetchall()
        return [self._entry(row) for row in rows]

    def entry(self, call_id: int) -> CallRecord | None:
        """Give one call, with its body; None where there is none of this number."""
        with self._database.reading() as connection:
            row = connection.execute(_ONE, (call_id,)).fetchone()
        return None if row is None else self._entry(row)

    def applications(self) -> list[str]:
        """Give the hashes of the applications that have calls here."""
        with self._database.reading() as connection:
            return [row[0] for row in connection.execute("SELECT DISTINCT application FROM calls ORDER BY application")]

    def successes(self, application: str, date_from: datetime, date_to: datetime) -> Iterator[CallRecord]:
        """Give each success of an application in a time range, oldest first; one at a time is in memory."""
        times = (_number(date_from), _number(date_to))
        yield from self._each(_SUCCESSES, (application, *times))

    def everything(self) -> Iterator[CallRecord]:
        """Give each call of all applications, whatever came of it, oldest first; one at a time is in memory."""
        yield from self._each("SELECT id FROM calls ORDER BY id", ())

    def check(self) -> None:
        """Read the whole file.

        Raises
        ------
        JournalError
            If it is damaged.
        """
        self._database.check()

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self._database.close()

    def _each(self, query: str, values: tuple[str | int, ...]) -> Iterator[CallRecord]:
        with self._database.reading() as connection:
            ids = [row[0] for row in connection.execute(query, values)]
        for call_id in ids:
            entry = self.entry(call_id)
            if entry is not None:
                yield entry

    def _spent(
        self, connection: sqlite3.Connection, application: str, since: datetime
    ) -> tuple[list[datetime], datetime | None]:
        times = connection.execute(
            "SELECT at FROM calls WHERE application = ? AND counted AND at > ? ORDER BY at",
            (application, _number(since)),
        ).fetchall()
        blocked = connection.execute(
            "SELECT max(blocked_until) FROM calls WHERE application = ? AND blocked_until IS NOT NULL", (application,)
        ).fetchone()[0]
        return [_moment(row[0]) for row in times], None if blocked is None else _moment(blocked)

    def _entry(self, row: tuple[Any, ...]) -> CallRecord:
        call_id, at, endpoint, params, attempt, outcome, status, size, duration_ms, forgotten, body = row
        try:
            raw = pa.decompress(body, decompressed_size=size, codec="zstd", asbytes=True) if body else b""
        except (OSError, ValueError, TypeError) as problem:
            raise self._database.problem(
                f"has a damaged answer, call {call_id} ({problem}); refresh=True asks for it again"
            ) from None
        return CallRecord(
            call_id, _moment(at), endpoint, params, attempt, outcome, status, size, duration_ms, forgotten, raw
        )


def _compressed(body: bytes) -> bytes:
    compressed: bytes = pa.compress(body, codec="zstd", asbytes=True) if body else b""
    return compressed


def _number(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(number: int) -> datetime:
    return _EPOCH + number * _MICROSECOND
