"""Every call that was ever sent: when, what for, and the raw answer. Quota, cache, resume and replay come from it.

One SQLite file. A row is reserved before its call is sent, in the transaction that checks the quota, and completed before
anything reads the answer: a process that is killed at any moment leaves either nothing, or a call that counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa

from pulseframes.database import Database

#: The file's name, in PULSEFRAMES_HOME.
JOURNAL_FILE: Final = "journal.sqlite"

Outcome: TypeAlias = Literal["answered", "lost", "unsent"]
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
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_NEWEST: Final = """
    SELECT id, at, endpoint, params, attempt, outcome, status, size, duration_ms, body FROM calls
    WHERE application = ? AND endpoint = ? AND params = ? AND outcome = 'answered'
      AND (status BETWEEN 200 AND 299 OR status = 404)
    ORDER BY id DESC LIMIT 1
"""
_LAST: Final = """
    SELECT id, at, endpoint, params, attempt, outcome, status, size, duration_ms, NULL FROM calls
    WHERE application = ? ORDER BY id DESC LIMIT ?
"""
_ANSWERED: Final = """
    SELECT DISTINCT params FROM calls
    WHERE application = ? AND endpoint = ? AND outcome = 'answered' AND status BETWEEN 200 AND 299
"""
_ONE: Final = """
    SELECT id, at, endpoint, params, attempt, outcome, status, size, duration_ms, body FROM calls WHERE id = ?
"""
_SUCCESSES: Final = """
    SELECT id FROM calls
    WHERE application = ? AND at >= ? AND at < ? AND endpoint != 'authenticate' AND outcome = 'answered' AND status BETWEEN 200 AND 299
    ORDER BY id
"""


@dataclass(frozen=True)
class Call:
    """What is asked.

    Attributes
    ----------
    application : str
        Whose quota it is: a hash, never a key.
    endpoint : str
        ``authenticate``, ``sessions`` or ``session``.
    params : str
        The canonical query string.
    attempt : int
        1, and more for the same call tried again.
    counted : bool
        Whether it is part of the quota.
    """

    application: str
    endpoint: str
    params: str = ""
    attempt: int = 1
    counted: bool = True


@dataclass(frozen=True, repr=False)
class Entry:
    """One row of the journal.

    Attributes
    ----------
    id : int
        Its number.
    at : datetime
        When the call was reserved, in UTC.
    endpoint, params, attempt
        As in ``Call``.
    outcome : {"answered", "lost", "unsent"} or None
        None for a call that was reserved and not heard of again.
    status : int or None
        The HTTP status.
    size : int or None
        Of the body, in bytes.
    duration_ms : int or None
        How long the answer took.
    body : bytes
        The answer as it came. It holds personal data, and is not in the ``repr``.
    """

    id: int
    at: datetime
    endpoint: str
    params: str
    attempt: int
    outcome: Outcome | None
    status: int | None
    size: int | None
    duration_ms: int | None
    body: bytes

    def __repr__(self) -> str:
        return f"Entry({self.id}, {self.at:%Y-%m-%d %H:%M:%S}, {self.endpoint}, {self.outcome}, {self.status})"


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

    def reserve(self, call: Call, admit: Admission, *, since: Callable[[datetime], datetime]) -> int:
        """Put down a call that is about to be sent, if it is admitted; give its number.

        Parameters
        ----------
        call : Call
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
        kept = pa.compress(body, codec="zstd", asbytes=True) if body else b""
        blocked = None if blocked_until is None else _number(blocked_until)
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE calls SET outcome = ?, status = ?, size = ?, body = ?, duration_ms = ?, blocked_until = ?, "
                "counted = counted AND ? WHERE id = ?",
                (outcome, status, len(body), kept, duration_ms, blocked, outcome != "unsent", call_id),
            )

    def spent(self, application: str, since: datetime) -> tuple[list[datetime], datetime | None]:
        """Give when an application's counted calls were sent, oldest first, and until when the server refuses more."""
        with self._database.reading() as connection:
            return self._spent(connection, application, since)

    def newest_answer(self, application: str, endpoint: str, params: str) -> Entry | None:
        """Give the last success, or 404, for a question; None where there is none."""
        with self._database.reading() as connection:
            row = connection.execute(_NEWEST, (application, endpoint, params)).fetchone()
        return None if row is None else self._entry(row)

    def answered(self, application: str, endpoint: str) -> set[str]:
        """Give the questions to an endpoint that have a success."""
        with self._database.reading() as connection:
            return {row[0] for row in connection.execute(_ANSWERED, (application, endpoint))}

    def last_calls(self, application: str, count: int) -> list[Entry]:
        """Give an application's last calls, newest first, without their bodies."""
        with self._database.reading() as connection:
            rows = connection.execute(_LAST, (application, count)).fetchall()
        return [self._entry(row) for row in rows]

    def entry(self, call_id: int) -> Entry | None:
        """Give one call, with its body; None where there is none of this number."""
        with self._database.reading() as connection:
            row = connection.execute(_ONE, (call_id,)).fetchone()
        return None if row is None else self._entry(row)

    def applications(self) -> list[str]:
        """Give the hashes of the applications that have calls here."""
        with self._database.reading() as connection:
            return [row[0] for row in connection.execute("SELECT DISTINCT application FROM calls ORDER BY application")]

    def successes(self, application: str, date_from: datetime, date_to: datetime) -> Iterator[Entry]:
        """Give each success of an application in a time range, oldest first; one at a time is in memory."""
        times = (_number(date_from), _number(date_to))
        with self._database.reading() as connection:
            ids = [row[0] for row in connection.execute(_SUCCESSES, (application, *times))]
        for call_id in ids:
            entry = self.entry(call_id)
            if entry is not None:
                yield entry

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

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        *values, size, duration_ms, body = row
        try:
            raw = pa.decompress(body, decompressed_size=size, codec="zstd", asbytes=True) if body else b""
        except (OSError, ValueError, TypeError) as problem:
            raise self._database.problem(
                f"has a damaged answer, call {row[0]} ({problem}); refresh=True asks for it again"
            ) from None
        call_id, at, endpoint, params, attempt, outcome, status = values
        return Entry(call_id, _moment(at), endpoint, params, attempt, outcome, status, size, duration_ms, raw)


def _number(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(number: int) -> datetime:
    return _EPOCH + number * _MICROSECOND
