"""A ledger for several machines: tables in PostgreSQL in which each reserves a call before it sends it.

All times are by the database's clock. A connection is opened for each reservation and closed before the call is sent, so nothing is
left to be lost by a fork, a restart of the database or a night without calls.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from pulseframes._secret import Redactor, Secret
from pulseframes.client.ledger import Outcome, Request
from pulseframes.client.quota_rule import Quota, QuotaRule
from pulseframes.errors import JournalError

if TYPE_CHECKING:
    from psycopg import Connection

_Result = TypeVar("_Result")

#: The longest wait for a connection, and for the database's answers after that.
_CONNECT_SECONDS: Final = 10
_SECONDS: Final = 30.0

#: Of each transaction. A machine that dies in the middle of one must not keep the others waiting.
_OPTIONS: Final = {
    "synchronous_commit": "on",
    "statement_timeout": f"{_SECONDS:g}s",
    "idle_in_transaction_session_timeout": f"{_SECONDS:g}s",
}

_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS pulseframes_calls (
        id BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE,
        application TEXT NOT NULL,            -- a hash of the address and the API key
        at TIMESTAMPTZ NOT NULL,              -- when it was reserved
        counted BOOLEAN NOT NULL,             -- false once it is known that it was never sent
        PRIMARY KEY (application, at, id) INCLUDE (counted)  -- an index of its own would lock the table
    );
    CREATE TABLE IF NOT EXISTS pulseframes_refusals (
        application TEXT PRIMARY KEY,
        until TIMESTAMPTZ NOT NULL            -- until when the server refuses more calls
    )
"""
#: Held until the end of the transaction.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('pulseframes ' || %s, 0))"
_COUNT: Final = "SELECT count(*) FROM pulseframes_calls WHERE application = %s AND counted AND at > %s"
_SPENT: Final = (
    "SELECT at FROM pulseframes_calls WHERE application = %s AND counted AND at > %s ORDER BY at LIMIT 1 OFFSET %s"
)
_REFUSED: Final = "SELECT max(until) FROM pulseframes_refusals WHERE application = %s"
_RESERVE: Final = "INSERT INTO pulseframes_calls (application, at, counted) VALUES (%s, %s, %s) RETURNING id"
_UNCOUNT: Final = "UPDATE pulseframes_calls SET counted = false WHERE id = %s"
_REFUSE: Final = """
    INSERT INTO pulseframes_refusals
    SELECT application, clock_timestamp() + make_interval(secs => %s) FROM pulseframes_calls WHERE id = %s
    ON CONFLICT (application) DO UPDATE SET until = greatest(pulseframes_refusals.until, excluded.until)
"""
#: Older rows count under no rule.
_CLEAN: Final = "DELETE FROM pulseframes_calls WHERE application = %s AND at < clock_timestamp() - interval '8 days'"


class SharedLedger:
    """The tables at an address. They are created when they are first used.

    Parameters
    ----------
    url : Secret
        The database's address, which may hold a password.
    clock : callable
        Returns the present by this machine, to which ``blocked_until`` refers.

    Raises
    ------
    ImportError
        If psycopg is not installed: ``pip install 'pulseframes[postgres]'``.
    """

    def __init__(self, url: Secret, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        try:
            import psycopg
        except ModuleNotFoundError as problem:
            if problem.name != "psycopg":
                raise
            raise ImportError("A shared ledger needs psycopg: pip install 'pulseframes[postgres]'") from None
        self._psycopg = psycopg
        self._url = url
        self._clock = clock

    def reserve(self, request: Request, rule: QuotaRule) -> int:
        """Count a call that is about to be sent, and return its number; raise ``QuotaExhausted`` if the rule refuses it."""

        def reserving(connection: Connection) -> int:
            connection.execute(_LOCK, [request.application])
            now = _now(connection)
            if request.counted:
                rule.admit(*_spent(connection, request.application, rule, now), now)
            connection.execute(_CLEAN, [request.application])
            (call_id,) = _row(connection, _RESERVE, request.application, now, request.counted)
            return int(call_id)

        return self._run(reserving)

    def complete(self, call_id: int, outcome: Outcome, *, blocked_until: datetime | None = None) -> None:
        """Record how a call ended. A call that was never sent no longer counts."""
        if outcome == "unsent":
            self._run(lambda connection: connection.execute(_UNCOUNT, [call_id]))
        if blocked_until is not None:
            seconds = (blocked_until - self._clock()).total_seconds()
            self._run(lambda connection: connection.execute(_REFUSE, [seconds, call_id]))

    def quota(self, application: str, rule: QuotaRule) -> Quota:
        """Return an application's quota."""

        def counting(connection: Connection) -> Quota:
            now = _now(connection)
            return rule.quota(*_spent(connection, application, rule, now), now)

        return self._run(counting)

    def _run(self, step: Callable[[Connection], _Result]) -> _Result:
        """Run a step in a transaction of its own, and commit it."""
        try:
            # Closed without a rollback, for whose answer it would wait.
            with closing(self._psycopg.connect(self._url.reveal(), connect_timeout=_CONNECT_SECONDS)) as connection:
                # With a snapshot from before the lock, the calls of those who had it before would not be seen.
                connection.isolation_level = self._psycopg.IsolationLevel.READ_COMMITTED
                with _deadline(connection):
                    for name, value in _OPTIONS.items():
                        connection.execute("SELECT set_config(%s, %s, true)", [name, value])
                    _create_tables(connection)
                    result = step(connection)
                    connection.commit()
                    return result
        except (self._psycopg.Error, OSError) as caught:  # OSError: the connection is gone before it is used
            text = self._explanation(caught)
        raise JournalError(  # outside the handler, without what led to it, which has the address in its variables
            f"The ledger, {ledger_place(self._url)}, cannot be used ({text}). No call is sent without it; cached responses are still "
            "available. Check the database and PULSEFRAMES_LEDGER."
        )

    def _explanation(self, problem: Exception) -> str:
        """Return what the database says, unless a password may be in it."""
        if isinstance(problem, self._psycopg.ProgrammingError) and getattr(problem, "sqlstate", None) is None:
            return "the address is invalid"  # the text quotes it
        text = " ".join(str(problem).split()) or type(problem).__name__
        return Redactor(*_passwords(self._url)).explanation(text.encode()).decode()


@contextmanager
def _deadline(connection: Connection) -> Iterator[None]:
    """Cut the connection when the time is over: a database that hangs would be waited for without end."""
    link = socket.socket(fileno=connection.fileno())

    def cut() -> None:
        with suppress(OSError):  # it is closed
            link.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        link.detach()  # the connection closes it


def _create_tables(connection: Connection) -> None:
    # Looked for first: creating nothing takes the right to create.
    if _row(connection, "SELECT to_regclass('pulseframes_calls')") == (None,):
        connection.execute(_LOCK, ["table"])  # two at once would fail
        connection.execute(_TABLES)


def _now(connection: Connection) -> datetime:
    (now,) = _row(connection, "SELECT clock_timestamp()")
    return _in_utc(now)


def _spent(connection: Connection, application: str, rule: QuotaRule, now: datetime) -> tuple[_Spent, datetime | None]:
    """Return when an application's counted calls were reserved, oldest first, and until when the server refuses more."""
    (until,) = _row(connection, _REFUSED, application)
    return _Spent(connection, application, rule.since(now), now), None if until is None else _in_utc(until)


class _Spent:
    """When calls were reserved. They stay in the database, for there may be 100,000: a rule needs their number and one of them."""

    def __init__(self, connection: Connection, application: str, since: datetime, now: datetime) -> None:
        self._connection, self._wanted, self._now = connection, (application, since), now
        (self._count,) = _row(connection, _COUNT, *self._wanted)

    def __len__(self) -> int:
        return int(self._count)

    def __getitem__(self, index: int, /) -> datetime:
        row = self._connection.execute(_SPENT.encode(), (*self._wanted, index)).fetchone()
        if row is None:  # without the lock, a call may have been given back since they were counted
            _, since = self._wanted
            return since - timedelta.resolution  # so that one is possible now
        return min(_in_utc(row[0]), self._now)


def _row(connection: Connection, query: str, *values: object) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None  # noqa: S101  each of these queries has one
    return row


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def ledger_place(url: Secret | str) -> str:
    """Return where a ledger is, without user and password."""
    parts = urlsplit(url.reveal() if isinstance(url, Secret) else url)
    host = parts.hostname or parse_qs(parts.query).get("host", ["this machine"])[0]
    return f"PostgreSQL at {host}{'' if parts.port is None else f':{parts.port}'}{parts.path}"


def _passwords(url: Secret) -> list[Secret]:
    parts = urlsplit(url.reveal())
    given = [parts.password or "", unquote(parts.password or "")]
    given += [value for name, value in parse_qsl(parts.query) if name in ("password", "sslpassword")]
    return [Secret(password) for password in given if password]
