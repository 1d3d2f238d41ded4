"""The journal: every call that was ever sent, with its raw answer. Quota, cache, resume and replay come from it.

One SQLite file. A row is reserved before its call is sent, in the transaction that checks the quota, and completed before
anything reads the answer. A process killed at any moment leaves either nothing or a call that counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pulseframes.client.answer import Answer
from pulseframes.client.database import (
    MIGRATIONS,
    UNREADABLE,
    Database,
    decode_bodies,
    decode_time,
    encode_body,
    encode_time,
)
from pulseframes.client.ledger import Ledger, Outcome, Request
from pulseframes.client.quota_rule import CLOCK_TOLERANCE, Quota, QuotaRule
from pulseframes.endpoints import AUTHENTICATE
from pulseframes.errors import JournalError, JournalWarning, warn

#: A call has to be sent soon after the shared ledger stamped it: the quota allows for a minute in all.
_LATEST: Final = 20


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
    asked_at : datetime
        How old the answer is: ``at``, or the server's time if our clock was wrong; 1970 if that is not known.
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
    asked_at: datetime
    body: bytes

    def answer(self) -> Answer | None:
        """Return the answer; None if there is none."""
        if self.status is None:
            return None
        return Answer(
            self.endpoint, self.status, self.body, None, self.id, self.asked_at, kept=True, forgotten=self.forgotten
        )

    def __repr__(self) -> str:
        return f"CallRecord({self.id}, {self.at:%Y-%m-%d %H:%M:%S}, {self.endpoint}, {self.outcome}, {self.status})"


#: The file's name in PULSEFRAMES_HOME.
JOURNAL_FILE: Final = "journal.sqlite"

_TEXT: Final = str | None
_NUMBER: Final = int | None

_RECORDS: Final = "SELECT id, at, endpoint, params, attempt, outcome, status, size, duration_ms, forgotten, true_at, checksum, {body} FROM calls {rows}"
_RECORD: Final = (int, int, str, str, int, _TEXT, _NUMBER, _NUMBER, _NUMBER, int, _NUMBER, _NUMBER, bytes | None)
_SIZE: Final = 7
_SPENT: Final = "SELECT at FROM calls WHERE application = ? AND counted AND at > ? ORDER BY at"
_BLOCKED: Final = "SELECT max(blocked_until) FROM calls WHERE application = ? AND blocked_until IS NOT NULL"
_ANSWERED: Final = """
    SELECT params, count(*) FROM calls
    WHERE application = ? AND endpoint = ? AND params >= ? AND params < ? AND outcome = 'answered' AND status BETWEEN 200 AND 299
    GROUP BY params
"""
_SUCCESSES: Final = """
    SELECT id FROM calls
    WHERE application = ? AND at >= ? AND at < ? AND endpoint != ? AND outcome = 'answered' AND status BETWEEN 200 AND 299
    ORDER BY id
"""
_DAYS: Final = """
    SELECT DISTINCT at / ? FROM calls
    WHERE application = ? AND endpoint != ? AND outcome IN ('answered', 'forgotten') AND status BETWEEN 200 AND 299
    ORDER BY 1
"""
_DAY: Final = timedelta(days=1) // timedelta.resolution
_APPLICATIONS: Final = """
    SELECT DISTINCT application FROM calls
    WHERE endpoint != ? AND (outcome = 'answered' OR outcome = 'forgotten' AND ?) AND status BETWEEN 200 AND 299
    ORDER BY application
"""
_NEWEST: Final = """
    WHERE id IN (
        SELECT max(id) FROM calls
        WHERE application = ? AND endpoint = ? AND params IN ({questions}) AND outcome = 'answered'
          AND (status BETWEEN 200 AND 299 OR status = 404)
        GROUP BY params
    )
"""


class Journal:
    """The journal's file, opened when it is first used. Safe to share between threads; each process opens it for itself.

    It is also the ledger of the calls that it has. A ledger that several machines share is asked first, so that a call is sent only if
    both admit it.

    Every method raises ``JournalError`` if the file cannot be opened, read or written, is damaged, or was written by a newer
    version; and if a shared ledger cannot count a call.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        shared: Ledger | None = None,
    ) -> None:
        self.path = path
        self._clock = clock
        self._database = Database(path, MIGRATIONS)
        self._shared = shared
        self._shared_ids: dict[int, int] = {}  # of the calls that this process has under way

    def reserve(self, request: Request, rule: QuotaRule) -> int:
        """Record a call that is about to be sent, and return its number; raise ``QuotaExhausted`` if the rule refuses it.

        A call that does not count is always admitted.
        """
        if self._shared is None or not request.counted:
            return self._reserve(request, rule)
        begun = time.monotonic()
        shared_id = self._shared.reserve(request, rule)
        try:
            call_id = self._reserve(request, rule)
        except BaseException:  # whatever ended it, Ctrl-C too: nothing was sent
            self._complete_shared(shared_id, "unsent")
            raise
        self._shared_ids[call_id] = shared_id
        if time.monotonic() - begun > _LATEST:
            self.complete(call_id, "unsent")
            raise JournalError(
                f"Reserving a call in the shared ledger and the journal took more than {_LATEST} seconds, so the call was not sent. "
                "Check the database and this machine's disk, and run it again."
            )
        return call_id

    def _reserve(self, request: Request, rule: QuotaRule) -> int:
        with self._database.writing() as connection:
            now = self._clock()
            if request.counted:
                rule.admit(*self._spent(request.application, rule, now), now)
            cursor = connection.execute(
                "INSERT INTO calls (at, application, endpoint, params, attempt, counted) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    encode_time(now),
                    request.application,
                    request.endpoint,
                    request.params,
                    request.attempt,
                    request.counted,
                ),
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
        true_at: datetime | None = None,
    ) -> None:
        """Record how a call ended. A call that was never sent no longer counts.

        ``true_at`` is when it was sent by the server's clock, if ours was wrong.
        """
        times = [None if moment is None else encode_time(moment) for moment in (blocked_until, true_at)]
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE calls SET outcome = ?, status = ?, size = ?, checksum = ?, body = ?, duration_ms = ?, blocked_until = ?, true_at = ?, "
                "counted = counted AND ? WHERE id = ?",
                (outcome, status, *encode_body(body), duration_ms, *times, outcome != "unsent", call_id),
            )
        shared_id = self._shared_ids.pop(call_id, None)
        if shared_id is not None:
            self._complete_shared(shared_id, outcome, blocked_until)

    def _complete_shared(self, shared_id: int, outcome: Outcome, blocked_until: datetime | None = None) -> None:
        """Tell the shared ledger how a call ended; if that fails, the answer matters more."""
        assert self._shared is not None  # noqa: S101  it gave the number
        try:
            self._shared.complete(shared_id, outcome, blocked_until=blocked_until)
        except JournalError as problem:
            what = (
                "counts although it was not sent" if outcome == "unsent" else "was refused, unknown to other machines"
            )
            warn(JournalWarning, f"Call {shared_id} of the shared ledger {what}: {problem}")

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
                "UPDATE calls SET size = ?, checksum = ?, body = ?, forgotten = forgotten + ?, params = coalesce(?, params), "
                "outcome = CASE WHEN outcome = 'answered' AND ? = 0 THEN 'forgotten' ELSE outcome END WHERE id = ?",
                (*encode_body(body), forgotten, params, len(body), call_id),
            )

    def remove(self, call_ids: Iterable[int]) -> None:
        """Delete calls. Deleted calls no longer count towards the quota."""
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM calls WHERE id = ?", [(call_id,) for call_id in call_ids])

    @contextmanager
    def transaction(self) -> Iterator[None]:
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

    def quota(self, application: str, rule: QuotaRule) -> Quota:
        """Return an application's quota; the stricter one, if a ledger is shared."""
        now = self._clock()
        own = rule.quota(*self._spent(application, rule, now), now)
        if self._shared is None:
            return own
        return min(
            self._shared.quota(application, rule), own, key=lambda quota: (quota.left, -quota.next_call_at.timestamp())
        )

    def identity(self) -> str:
        """Return 8 random hexadecimal digits, which the journal got when it was created."""
        ((identity,),) = self._database.select((str,), "SELECT max(id) FROM identity")  # a row also if there is none
        return str(identity)

    def newest_answer(self, application: str, endpoint: str, params: str) -> CallRecord | None:
        """Return the last success, or 404, for a question; None if there is none."""
        return self.newest_answers(application, endpoint, [params]).get(params)

    def newest_answers(self, application: str, endpoint: str, questions: Sequence[str]) -> dict[str, CallRecord]:
        """Return the last success, or 404, for each question that has one."""
        rows = _NEWEST.format(questions=", ".join("?" * len(questions)))
        return {record.params: record for record in self._records(rows, application, endpoint, *questions)}

    def answered(self, application: str, endpoint: str, prefix: str = "") -> dict[str, int]:
        """Return, for each question that begins with a prefix and was answered with success, how often."""
        return dict(self._database.select((str, int), _ANSWERED, application, endpoint, prefix, prefix + "\x7f"))

    def last_calls(self, application: str, count: int) -> list[CallRecord]:
        """Return an application's last calls, newest first, without their bodies."""
        return self._records("WHERE application = ? ORDER BY id DESC LIMIT ?", application, count, body="NULL")

    def record(self, call_id: int) -> CallRecord | None:
        """Return one call with its body; None if there is no such number."""
        return next(iter(self._records("WHERE id = ?", call_id)), None)

    def applications(self, *, forgotten: bool = False) -> list[str]:
        """Return the hashes of the applications that have responses, or had; one whose key was refused has none."""
        found = self._database.select((str,), _APPLICATIONS, AUTHENTICATE.name, int(forgotten))
        return [application for (application,) in found]

    def days(self, application: str) -> list[date]:
        """Return the UTC days of an application's successes, sorted, also if they were all forgotten; no authentications."""
        days = self._database.select((int,), _DAYS, _DAY, application, AUTHENTICATE.name)
        with self._database.decoding():
            return [decode_time(day * _DAY).date() for (day,) in days]

    def successes(self, application: str, date_from: datetime, date_to: datetime) -> Iterator[CallRecord]:
        """Yield each success of an application in a time range, oldest first, one at a time; no authentications."""
        yield from self._each(_SUCCESSES, application, encode_time(date_from), encode_time(date_to), AUTHENTICATE.name)

    def records(self) -> Iterator[CallRecord]:
        """Yield each call of all applications, whatever its outcome, oldest first, one at a time."""
        yield from self._each("SELECT id FROM calls ORDER BY id")

    def check(self) -> None:
        """Read the whole file; raise ``JournalError`` if it is damaged."""
        self._database.check()

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        self._database.close()

    def _each(self, query: str, *values: str | int) -> Iterator[CallRecord]:
        for (call_id,) in self._database.select((int,), query, *values):
            record = self.record(call_id)
            if record is not None:
                yield record

    def _spent(self, application: str, rule: QuotaRule, now: datetime) -> tuple[list[datetime], datetime | None]:
        """Return when an application's counted calls were sent, oldest first, and until when the server refuses more.

        Calls from the future were recorded by a clock that was wrong. They count as sent now, from the moment that this is seen.
        """
        latest, longest = now + CLOCK_TOLERANCE, rule.day_ends(now) + CLOCK_TOLERANCE
        with self._database.reading():
            spent, blocked = self._recorded(application, rule.since(now))
            if (spent and spent[-1] > latest) or (blocked is not None and blocked > longest):
                self._redate(application, now, latest, longest)
                spent, blocked = self._recorded(application, rule.since(now))
        return [min(moment, now) for moment in spent], blocked

    def _recorded(self, application: str, since: datetime) -> tuple[list[datetime], datetime | None]:
        times = self._database.select((int,), _SPENT, application, encode_time(since))
        ((blocked,),) = self._database.select((_NUMBER,), _BLOCKED, application)
        with self._database.decoding():
            return [decode_time(at) for (at,) in times], None if blocked is None else decode_time(blocked)

    def _redate(self, application: str, now: datetime, latest: datetime, longest: datetime) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE calls SET true_at = coalesce(true_at, 0), at = ? WHERE application = ? AND at > ?",
                (encode_time(now), application, encode_time(latest)),
            )
            connection.execute(
                "UPDATE calls SET blocked_until = ? WHERE application = ? AND blocked_until > ?",
                (encode_time(longest), application, encode_time(longest)),
            )

    def _records(self, rows: str, *values: str | int, body: str = "body") -> list[CallRecord]:
        found = self._database.select(_RECORD, _RECORDS.format(body=body, rows=rows), *values)
        try:
            bodies = decode_bodies((row[_SIZE], *row[-2:]) for row in found)
        except UNREADABLE:
            bodies = [self._body_of(row) for row in found]
        latest = encode_time(self._clock() + CLOCK_TOLERANCE)
        with self._database.decoding():
            return [_record(row, body, latest) for row, body in zip(found, bodies, strict=True)]

    def _body_of(self, row: tuple[Any, ...]) -> bytes:
        try:
            return decode_bodies([(row[_SIZE], *row[-2:])])[0]
        except UNREADABLE as problem:
            raise self._database.problem(
                f"has a damaged answer, call {row[0]} ({problem}); refresh=True fetches it again"
            ) from None


def _record(row: tuple[Any, ...], body: bytes, latest: int) -> CallRecord:
    call_id, at, endpoint, params, attempt, outcome, status, size, ms, forgotten, true_at, *_ = row
    moment = decode_time(at)
    if true_at is None and at > latest:
        true_at = 0
    asked_at = moment if true_at is None else decode_time(true_at)
    return CallRecord(call_id, moment, endpoint, params, attempt, outcome, status, size, ms, forgotten, asked_at, body)
