"""The journal: every call that was ever sent, with its raw answer. Quota, cache, resume and replay come from it.

One SQLite file. A row is reserved before its call is sent, in the transaction that checks the quota, and completed before
anything reads the answer. A process killed at any moment leaves either nothing or a call that counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa

from pulseframes.client.database import Database
from pulseframes.client.transport import Answer

Outcome: TypeAlias = Literal["answered", "lost", "unsent", "forgotten"]


@dataclass(frozen=True)
class Request:
    """A call that is about to be sent.

    Attributes
    ----------
    application : str
        A hash of the application, never its key.
    endpoint : str
        The name of the endpoint.
    params : str
        The canonical query string.
    attempt : int
        1, and more for a retry.
    counted : bool
        Whether the call counts towards the quota.
    """

    application: str
    endpoint: str
    params: str = ""
    attempt: int = 1
    counted: bool = True


@dataclass(frozen=True, repr=False)
class CallRecord:
    """One row of the journal.

    Attributes
    ----------
    id : int
        The call's number.
    at : datetime
        When the call was reserved, in UTC.
    endpoint, params, attempt
        As in ``Request``.
    outcome : {"answered", "lost", "unsent", "forgotten"} or None
        None if the call was reserved and never completed; ``"forgotten"`` if its answer was erased afterwards.
    status : int or None
        The HTTP status.
    size : int or None
        Size of the body in bytes.
    duration_ms : int or None
        Time until the answer.
    forgotten : int
        Number of sessions erased from the body afterwards.
    body : bytes
        The answer as received, less those. It holds personal data, so it is not in the ``repr``.
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
    forgotten: int
    body: bytes

    def answer(self) -> Answer | None:
        """Return the answer; None if there is none."""
        if self.status is None:
            return None
        return Answer(
            self.endpoint, self.status, self.body, None, self.id, self.at, kept=True, forgotten=self.forgotten
        )

    def __repr__(self) -> str:
        return f"CallRecord({self.id}, {self.at:%Y-%m-%d %H:%M:%S}, {self.endpoint}, {self.outcome}, {self.status})"


#: The file's name in PULSEFRAMES_HOME.
JOURNAL_FILE: Final = "journal.sqlite"

#: Takes the times of the day's calls, until when the server refuses more, and the current time; raises to refuse a call.
Admission: TypeAlias = Callable[[Sequence[datetime], "datetime | None", datetime], object]

#: Each raises the schema by one version. A released one never changes; add a new one.
MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,           -- when it was reserved: microseconds since 1970, UTC
        application TEXT NOT NULL,     -- a hash of the address and the API key
        endpoint TEXT NOT NULL,
        params TEXT NOT NULL,          -- canonical: the query string
        attempt INTEGER NOT NULL,      -- 1, and more for a retry
        counted INTEGER NOT NULL,      -- whether it counts towards the quota
        outcome TEXT,                  -- answered, lost (no complete answer), unsent, or NULL (never completed)
        status INTEGER,
        size INTEGER,                  -- bytes of the body
        body BLOB,                     -- as received, compressed with zstd
        duration_ms INTEGER,
        blocked_until INTEGER          -- until when the server refuses more calls, if it said so
    );
    CREATE INDEX calls_by_question ON calls (application, endpoint, params, id);
    CREATE INDEX calls_by_time ON calls (application, at);
    """,
    # How many sessions were erased from the answer afterwards.
    "ALTER TABLE calls ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0",
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_COLUMNS: Final = "id, at, endpoint, params, attempt, outcome, status, size, duration_ms, forgotten"
_NEWEST: Final = """
    SELECT {columns}, body FROM calls WHERE id IN (
        SELECT max(id) FROM calls
        WHERE application = ? AND endpoint = ? AND params IN ({questions}) AND outcome = 'answered'
          AND (status BETWEEN 200 AND 299 OR status = 404)
        GROUP BY params
    )
"""
_LAST: Final = """
    SELECT {columns}, NULL FROM calls
    WHERE application = ? ORDER BY id DESC LIMIT ?
"""
_ANSWERED: Final = """
    SELECT params, count(*) FROM calls
    WHERE application = ? AND endpoint = ? AND outcome = 'answered' AND status BETWEEN 200 AND 299
    GROUP BY params
"""
_ONE: Final = """
    SELECT {columns}, body FROM calls WHERE id = ?
"""
_SUCCESSES: Final = """
    SELECT id FROM calls
    WHERE application = ? AND at >= ? AND at < ? AND endpoint != 'authenticate' AND outcome = 'answered' AND status BETWEEN 200 AND 299
    ORDER BY id
"""


class Journal:
    """The journal's file, opened when it is first used. Safe to share between threads; each process opens it for itself.

    Every method raises ``JournalError`` if the file cannot be opened, read or written, is damaged, or was written by a newer
    version.

    Parameters
    ----------
    path : Path or None
        The file; it and its folder are created if necessary. None keeps everything in memory.
    clock : callable
        Returns the current time in UTC.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock
        self._database = Database(path, MIGRATIONS)

    def reserve(self, request: Request, admit: Admission, *, since: Callable[[datetime], datetime]) -> int:
        """Record a call that is about to be sent, if it is admitted, and return its number.

        Parameters
        ----------
        request : Request
            The call.
        admit : callable
            Receives the application's calls of the day and raises to refuse this one. Not called if the call does not count.
        since : callable
            Returns the start of the day, given the current time.
        """
        with self._database.writing() as connection:
            now = self._clock()
            if request.counted:
                admit(*self._spent(connection, request.application, since(now)), now)
            cursor = connection.execute(
                "INSERT INTO calls (at, application, endpoint, params, attempt, counted) VALUES (?, ?, ?, ?, ?, ?)",
                (_number(now), request.application, request.endpoint, request.params, request.attempt, request.counted),
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
        """Record how a call ended. A call that was never sent no longer counts."""
        blocked = None if blocked_until is None else _number(blocked_until)
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE calls SET outcome = ?, status = ?, size = ?, body = ?, duration_ms = ?, blocked_until = ?, "
                "counted = counted AND ? WHERE id = ?",
                (outcome, status, len(body), _compressed(body), duration_ms, blocked, outcome != "unsent", call_id),
            )

    def rewrite(self, call_id: int, body: bytes, *, forgotten: int = 0, params: str | None = None) -> None:
        """Replace the answer of a call. Whether and when it counts does not change.

        Parameters
        ----------
        call_id : int
            The call's number.
        body : bytes
            The rest of its answer; if empty, the answer is never used again.
        forgotten : int
            How many sessions were erased from the body.
        params : str or None
            A replacement for the query string, if that must change too.
        """
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE calls SET body = ?, size = ?, forgotten = forgotten + ?, params = coalesce(?, params), "
                "outcome = CASE WHEN outcome = 'answered' AND ? = 0 THEN 'forgotten' ELSE outcome END WHERE id = ?",
                (_compressed(body), len(body), forgotten, params, len(body), call_id),
            )

    def remove(self, call_ids: Iterable[int]) -> None:
        """Delete calls. Deleted calls no longer count towards the quota."""
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM calls WHERE id = ?", [(call_id,) for call_id in call_ids])

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Record everything inside or, if it fails or is killed, nothing. Other processes wait."""
        with self._database.writing():
            yield

    def scrub(self) -> None:
        """Rewrite the file, so that no tool can recover what was deleted.

        Raises
        ------
        JournalError
            Also if another process is reading the file.
        """
        self._database.scrub()

    def spent(self, application: str, since: datetime) -> tuple[list[datetime], datetime | None]:
        """Return when an application's counted calls were sent, oldest first, and until when the server refuses more."""
        with self._database.reading() as connection:
            return self._spent(connection, application, since)

    def newest_answer(self, application: str, endpoint: str, params: str) -> CallRecord | None:
        """Return the last success, or 404, for a question; None if there is none."""
        return self.newest_answers(application, endpoint, [params]).get(params)

    def newest_answers(self, application: str, endpoint: str, questions: Sequence[str]) -> dict[str, CallRecord]:
        """Return the last success, or 404, for each question that has one."""
        query = _NEWEST.format(columns=_COLUMNS, questions=", ".join("?" * len(questions)))
        with self._database.reading() as connection:
            rows = connection.execute(query, (application, endpoint, *questions)).fetchall()
        return {record.params: record for record in map(self._entry, rows)}

    def answered(self, application: str, endpoint: str) -> dict[str, int]:
        """Return, for each question to an endpoint that was answered with success, how often."""
        with self._database.reading() as connection:
            return dict(connection.execute(_ANSWERED, (application, endpoint)).fetchall())

    def last_calls(self, application: str, count: int) -> list[CallRecord]:
        """Return an application's last calls, newest first, without their bodies."""
        with self._database.reading() as connection:
            rows = connection.execute(_LAST.format(columns=_COLUMNS), (application, count)).fetchall()
        return [self._entry(row) for row in rows]

    def entry(self, call_id: int) -> CallRecord | None:
        """Return one call with its body; None if there is no such number."""
        with self._database.reading() as connection:
            row = connection.execute(_ONE.format(columns=_COLUMNS), (call_id,)).fetchone()
        return None if row is None else self._entry(row)

    def applications(self) -> list[str]:
        """Return the hashes of the applications in the journal."""
        with self._database.reading() as connection:
            return [row[0] for row in connection.execute("SELECT DISTINCT application FROM calls ORDER BY application")]

    def successes(self, application: str, date_from: datetime, date_to: datetime) -> Iterator[CallRecord]:
        """Yield each success of an application in a time range, oldest first, one at a time."""
        times = (_number(date_from), _number(date_to))
        yield from self._each(_SUCCESSES, (application, *times))

    def everything(self) -> Iterator[CallRecord]:
        """Yield each call of all applications, whatever its outcome, oldest first, one at a time."""
        yield from self._each("SELECT id FROM calls ORDER BY id", ())

    def check(self) -> None:
        """Read the whole file; raise ``JournalError`` if it is damaged."""
        self._database.check()

    def close(self) -> None:
        """Close the file. The next use opens it again."""
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
                f"has a damaged answer, call {call_id} ({problem}); refresh=True fetches it again"
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
