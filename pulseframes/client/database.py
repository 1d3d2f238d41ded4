"""The journal's SQLite file: opening, migrations, transactions, forks, and how times and bodies are stored."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from types import UnionType
from typing import Any, Final

from pulseframes.errors import JournalError

#: The longest wait for another process that is writing.
_BUSY_SECONDS: Final = 30.0

#: What reading a damaged body raises.
UNREADABLE: Final = (OSError, ValueError, TypeError, MemoryError)
#: No recorded body is as long.
_LARGEST: Final = 2**30

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
    # When it was sent by the server's clock, if ours was wrong; 0 if that is not known.
    "ALTER TABLE calls ADD COLUMN true_at INTEGER",
    # The CRC-32 of the body as received; NULL in older rows.
    "ALTER TABLE calls ADD COLUMN checksum INTEGER",
    # What tells one journal from another, wherever the file is: calls of both have the same numbers.
    "CREATE TABLE identity (id TEXT NOT NULL); INSERT INTO identity VALUES (lower(hex(randomblob(4))))",
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

#: The databases that are open in this process.
_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """The file, opened when it is first used. Safe to share between threads; each process opens it for itself.

    Every method raises ``JournalError`` if the file cannot be opened, read or written, is damaged, or was written by a newer
    version.
    """

    def __init__(self, path: Path | None, migrations: Sequence[str]) -> None:
        self.path = path
        self._migrations = migrations
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        _open_databases.add(self)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to this thread alone."""
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
                self._file = self._identity()
            if self._file != self._identity():
                self.close()
                raise self.problem(
                    "was deleted or replaced while it was open. Run the same command again to use the one there now"
                )
            try:
                yield self._connection
            except sqlite3.Error as problem:
                raise self._explained(problem) from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run everything inside as one transaction; a nested one is part of the outer one."""
        with self.reading() as connection:
            if connection.in_transaction:
                yield connection
                return
            with _transaction(connection):
                yield connection

    def select(self, types: Sequence[type | UnionType], query: str, *values: str | int) -> list[tuple[Any, ...]]:
        """Return the rows of a query; raise ``JournalError`` unless their columns have these types: SQLite enforces none."""
        with self.reading() as connection:
            rows = connection.execute(query, values).fetchall()
        for row in rows:
            if not all(map(isinstance, row, types)):
                raise self._damaged("a value has the wrong type")
        return rows

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Raise ``JournalError`` for times that no calendar has."""
        try:
            yield
        except OverflowError as problem:
            raise self._damaged(str(problem)) from None

    def check(self) -> None:
        """Read the whole file; raise ``JournalError`` if it is damaged."""
        with self.reading() as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise self.problem(f"is damaged: {verdict}")

    def scrub(self) -> None:
        """Rewrite the file, so that what was deleted is in none of its pages, nor in the write-ahead log.

        Raises
        ------
        JournalError
            Also if another process is reading the file.
        """
        with self.reading() as connection:
            connection.execute("VACUUM")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise self.problem(
                "still holds what was deleted, because another process is reading it; end that process and try again"
            )

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def before_fork(self) -> None:
        """Close the file and hold the lock until the fork is over: SQLite's locks do not survive one."""
        self._lock.acquire()
        if self.path is not None:
            self.close()

    def after_fork(self) -> None:
        """Release the lock, in parent and child alike."""
        self._lock.release()

    def problem(self, what: str) -> JournalError:
        """Return an error about the file."""
        return JournalError(f"The journal {self.path or 'in memory'} {what}. No call is sent without a journal.")

    def _open(self) -> sqlite3.Connection:
        with ExitStack() as on_failure:
            try:
                if self.path is not None:
                    make_private(self.path.parent)
                    # Created with its mode, so that others can never read it.
                    os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
                connection = sqlite3.connect(
                    ":memory:" if self.path is None else self.path,
                    timeout=_BUSY_SECONDS,
                    isolation_level=None,
                    check_same_thread=False,
                )
                on_failure.callback(connection.close)
                self._check_owner(connection)
                _set_journal_mode(connection)
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA secure_delete = ON")
                self._migrate(connection)
            except (OSError, sqlite3.Error) as problem:
                raise self._explained(problem) from None
            on_failure.pop_all()
        return connection

    def _identity(self) -> tuple[int, int] | None:
        """Return what tells the file from another one at its path; None if there is none."""
        try:
            status = None if self.path is None else self.path.stat()
        except OSError:
            return None
        return None if status is None else (status.st_dev, status.st_ino)

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        """Raise ``JournalError`` for another program's database; make ours readable for its owner only."""
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if (tables and "calls" not in tables) or (tables and self._version(connection) == 0):
            raise self.problem("is another program's database. Set PULSEFRAMES_HOME to another folder")
        if self.path is not None and self.path.stat().st_mode & 0o077 and os.name == "posix":
            self.path.chmod(0o600)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        newest = len(self._migrations)
        if self._version(connection) == newest:
            return
        with _transaction(connection):
            version = self._version(connection)  # another process may have been first
            if version > newest:
                raise self.problem("was written by a newer version of pulseframes: update pulseframes")
            for step in self._migrations[version:]:
                for statement in step.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {newest}")

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def _damaged(self, text: str) -> JournalError:
        return self.problem(
            f"is damaged ({text}). Move it away to start a new one; its answers will have to be paid for again"
        )

    def _explained(self, problem: OSError | sqlite3.Error) -> JournalError:
        text = str(problem)
        if any(sign in text for sign in ("malformed", "not a database", "corrupt", "decode")):
            return self._damaged(text)
        if "locked" in text or "busy" in text:
            return self.problem(f"has been locked by another process for over {_BUSY_SECONDS:g} s: try again")
        if "full" in text:
            return self.problem("cannot be written: the disk is full. Free some space and run the same command again")
        if isinstance(problem, OSError):
            text = problem.strerror or text
        return self.problem(
            f"cannot be used ({text}). Check the folder's permissions, or set PULSEFRAMES_HOME to another folder, on a "
            "local disk"
        )


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, that only their owner can enter."""
    if not folder.exists():
        make_private(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
    elif not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _set_journal_mode(connection: sqlite3.Connection) -> None:
    """Use a write-ahead log or, where its shared memory cannot be, as on network mounts, SQLite's older journal."""
    try:
        _use_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as problem:
        if not any(sign in str(problem) for sign in ("disk I/O", "unable to open", "locking protocol")):
            raise
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # the log then needs no shared memory
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA locking_mode = NORMAL")
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()  # gives the lock back


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite does not wait for another process that is doing the same, so this function does."""
    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


def encode_time(moment: datetime) -> int:
    """Return a time as it is stored: microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def decode_time(number: int) -> datetime:
    """Return the time that a stored number means."""
    return _EPOCH + timedelta(microseconds=number)


def encode_body(body: bytes) -> tuple[int, int, bytes]:
    """Return what is stored of a body: its size, its checksum and its compressed bytes."""
    import pyarrow as pa  # takes as long to import as polars

    compressed: bytes = pa.compress(body, codec="zstd", asbytes=True) if body else b""
    return len(body), zlib.crc32(body), compressed


def decode_bodies(stored: Iterable[tuple[int | None, int | None, bytes | None]]) -> list[bytes]:
    """Return bodies from what is stored of each; raise one of ``UNREADABLE`` if one is damaged."""
    import pyarrow as pa

    parts = [((size or 0) if part else 0, checksum, part or b"") for size, checksum, part in stored]
    if any(not 0 <= size <= _LARGEST for size, _, _ in parts):
        raise ValueError("its recorded size is impossible")
    # As one stream and in one piece, since setting up zstd and each read take longer than decompressing a small body.
    with pa.CompressedInputStream(pa.BufferReader(b"".join(part for _, _, part in parts)), "zstd") as stream:
        whole = stream.read(sum(size for size, _, _ in parts))
        if stream.read(1):
            raise ValueError("its size is not the recorded one")
    ends = list(accumulate((size for size, _, _ in parts), initial=0))
    bodies = [whole[start:end] for start, end in pairwise(ends)]
    # Without checksums, a body that is too long and one that is too short would make up for each other.
    if len(whole) != ends[-1] or (len(parts) > 1 and any(checksum is None for _, checksum, part in parts if part)):
        raise ValueError("its size is not the recorded one")
    for body, (_, checksum, part) in zip(bodies, parts, strict=True):
        if part and checksum not in (None, zlib.crc32(body)):
            raise ValueError("its checksum is not the recorded one")
    return bodies


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


_forking: list[Database] = []


def _before_fork() -> None:
    _forking.extend(_open_databases)
    for database in _forking:
        database.before_fork()


def _after_fork() -> None:
    for database in _forking:
        database.after_fork()
    _forking.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
