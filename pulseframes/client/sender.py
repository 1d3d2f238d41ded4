"""Sends calls: reserves each in the journal before, records its end after, and retries where that may help."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from pulseframes._process import ForkedLock
from pulseframes._secret import Redactor
from pulseframes._text import plural
from pulseframes.client.answer import Answer, NoAnswer, is_success
from pulseframes.client.failures import TOO_MANY_REQUESTS, error_for, is_temporary, retry_time, with_retries
from pulseframes.client.journal import Journal
from pulseframes.client.ledger import Outcome, Request
from pulseframes.client.quota_rule import CLOCK_TOLERANCE, Quota, QuotaRule
from pulseframes.client.settings import Settings
from pulseframes.client.turns import ALONE, Turn
from pulseframes.endpoints import AUTHENTICATE, Endpoint
from pulseframes.errors import AuthenticationFailed, JournalError, JournalWarning, PulseError, PulseWarning, warn

if TYPE_CHECKING:
    from pulseframes.client.transport import Auth

#: The wait before the one try that an unreadable Retry-After is worth.
_ONE_TRY: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = timedelta(days=365)

_log = logging.getLogger("pulseframes.client")


class Sender:
    """Sends one application's calls, within its quota."""

    def __init__(
        self,
        settings: Settings,
        application: str,
        journal: Journal,
        redactor: Redactor,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        from pulseframes.client.transport import (
            Transport,
        )  # requests takes long to import, and most scripts need polars first

        self._settings = settings
        self._application = application
        self._journal = journal
        self._redactor = redactor
        self._clock = clock
        self._sleep = sleep
        self._rule = QuotaRule(settings.daily_limit, settings.quota_day)
        self._transport = Transport(settings)
        self._counting = ForkedLock()
        self._clock_was_told = False
        self.calls_spent = 0
        self.rejected = False  # whether the server ever rejected the credentials

    def quota(self) -> Quota:
        """Return the application's quota."""
        return self._journal.quota(self._application, self._rule)

    def authenticate_methods(self) -> tuple[str, ...]:
        """Return the methods to try in turn; from the last that the server has ever accepted after refusing another."""
        first, *others = AUTHENTICATE.methods
        accepted = [
            method for method in others if self._journal.newest_answer(self._application, AUTHENTICATE.name, method)
        ]
        return tuple(accepted[-1:]) or (first, *others)

    def send(
        self,
        endpoint: Endpoint,
        auth: Auth,
        *,
        method: str = "",
        params: Mapping[str, str] | None = None,
        retry_timeouts: bool = True,
        turn: Turn = ALONE,
    ) -> Answer:
        """Send a request until it is answered or another attempt would be useless.

        Raises
        ------
        QuotaExhausted, ServerError, JournalError
            A refusal other than 408, 429 and 5xx is an answer.
        Stopped
            If nothing may be sent in this turn any more.
        """
        method = method or endpoint.methods[0]
        is_authenticate = endpoint is AUTHENTICATE
        # An authentication has no parameters: the journal keeps the method that was used in their place.
        question = method if is_authenticate else urlencode(params or {})
        counted = self._settings.count_authenticate or not is_authenticate

        def attempt(number: int) -> Answer:
            request = Request(self._application, endpoint.name, question, number, counted)
            answer = self._send_once(request, endpoint, method, auth, params, turn)
            if is_temporary(answer.status):
                raise self.error(answer)
            return answer

        def wait(seconds: float) -> None:
            until = self._clock() + timedelta(seconds=seconds)
            if not is_authenticate:  # which is alone anyway; a call that is being tried again may be waiting for it
                turn.retry()
            turn.sleep(max(0.0, (until - self._clock()).total_seconds()), self._sleep)

        return with_retries(
            attempt,
            retry_timeouts=retry_timeouts,
            sleep=wait,
            now=self._clock,
            others_retry=lambda: turn.others_retry,
        )

    def error(self, answer: Answer, *, session_id: int | None = None) -> PulseError:
        """Return the exception for a refusal, with its call's number."""
        problem = error_for(answer, session_id=session_id)
        problem.call_id = answer.call_id
        self.rejected |= isinstance(problem, AuthenticationFailed)
        return problem

    def reach(self) -> Answer:
        """Ask the host for nothing, as a call would; raise ``ServerError`` if there is no way to it. Spends no call."""
        try:
            return self._transport.reach()
        except NoAnswer as caught:
            problem = caught.error
        raise problem  # outside the handler, without what led to it

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _send_once(
        self,
        request: Request,
        endpoint: Endpoint,
        method: str,
        auth: Auth,
        params: Mapping[str, str] | None,
        turn: Turn,
    ) -> Answer:
        """Send one request. Every call goes through here."""
        turn.check()
        asked_at = self._clock()
        call_id = self._journal.reserve(request, self._rule)
        self._count(request, 1)
        if endpoint is not AUTHENTICATE:
            turn.reserved()
        started = time.perf_counter()
        try:
            answer = self._transport.send(method, endpoint, auth=auth, params=params)
        except NoAnswer as caught:
            missed = caught
            turn.failed()
        else:
            if is_temporary(answer.status):
                turn.failed()  # before the journal has it: a 429 there refuses other calls
            # The body of an authentication is a session key: it is used and kept nowhere.
            is_key = answer.ok and endpoint is AUTHENTICATE
            answer = replace(
                answer,
                body=answer.body if is_key else self._redacted(answer.status, answer.body),
                call_id=call_id,
                asked_at=self._when(asked_at, answer),
                retry_at=self._retry_at(answer, request),
            )
            return replace(answer, recorded=self._record_answer(answer, endpoint, started))
        if missed.unsent:
            self._count(request, -1)
        received = b"" if endpoint is AUTHENTICATE else self._redacted(missed.status, missed.received)
        self._record(call_id, "unsent" if missed.unsent else "lost", missed.status, received, started)
        _log.info("%s: no answer (call %d)", endpoint.name, call_id)
        missed.error.call_id = call_id
        raise missed.error

    def _count(self, request: Request, change: int) -> None:
        with self._counting:
            self.calls_spent += change * request.counted

    def _record_answer(self, answer: Answer, endpoint: Endpoint, started: float) -> bool:
        body = b"" if endpoint is AUTHENTICATE else answer.body
        blocked_until = answer.retry_at if answer.status == TOO_MANY_REQUESTS else None
        true_at = None if clock_problem(answer.ahead) is None else answer.asked_at
        recorded = self._record(
            answer.call_id, "answered", answer.status, body, started, blocked_until=blocked_until, true_at=true_at
        )
        if _log.isEnabledFor(logging.INFO):
            milliseconds, size = 1000 * (time.perf_counter() - started), len(answer.body)
            text = "%s %d, %.0f ms, %d bytes, %s calls left (call %d)"
            _log.info(text, endpoint.name, answer.status, milliseconds, size, self._calls_left(), answer.call_id)
        return recorded

    def _when(self, asked_at: datetime, answer: Answer) -> datetime:
        """Return when a call was sent: by the server's clock if ours is wrong, which is told once."""
        problem = clock_problem(answer.ahead)
        if problem is None:
            return asked_at
        if not self._clock_was_told:
            self._clock_was_told = True
            warn(PulseWarning, problem)
        return asked_at - answer.ahead

    def _redacted(self, status: int | None, body: bytes) -> bytes:
        return self._redactor.data(body) if status is None or is_success(status) else self._redactor.explanation(body)

    def _retry_at(self, answer: Answer, request: Request) -> datetime | None:
        """Return when a refusal allows the next call, by our clock; for a 429, in a day at most."""
        if not is_temporary(answer.status):
            return None
        now = self._clock()
        servers_now = now - answer.ahead
        asked_for = retry_time(answer.retry_after, now=servers_now)
        if asked_for is not None:
            asked_for = now + min(asked_for - servers_now, _LONGEST_WAIT)
        if answer.status != TOO_MANY_REQUESTS:
            return asked_for
        if asked_for is None and answer.retry_after and request.attempt == 1 and self._calls_left() != 0:
            asked_for = now + _ONE_TRY  # what it says is unreadable: worth a call before a day is given up
        day_ends = self._rule.day_ends(now)
        return min(asked_for or day_ends, day_ends)

    def _calls_left(self) -> int | str:
        try:
            return self.quota().left
        except JournalError:  # the answer matters more than a line in a log
            return "?"

    def _record(
        self,
        call_id: int,
        outcome: Outcome,
        status: int | None,
        body: bytes,
        started: float,
        *,
        blocked_until: datetime | None = None,
        true_at: datetime | None = None,
    ) -> bool:
        """Record how a call ended, and return whether that is on disk. If it fails, the run continues with a warning."""
        try:
            self._journal.complete(
                call_id,
                outcome,
                status=status,
                body=body,
                duration_ms=round(1000 * (time.perf_counter() - started)),
                blocked_until=blocked_until,
                true_at=true_at,
            )
        except JournalError as problem:
            warn(JournalWarning, f"Call {call_id} could not be recorded in the journal, nor its answer: {problem}")
            return False
        return self._journal.path is not None


def clock_problem(ahead: timedelta) -> str | None:
    """Return what is wrong if this machine's clock is so far ahead of the server's, or behind it; None if it is right."""
    if abs(ahead) <= CLOCK_TOLERANCE:
        return None
    minutes = round(abs(ahead) / timedelta(minutes=1))
    size = plural(minutes, "minute") if minutes < 120 else plural(round(minutes / 60), "hour")  # noqa: PLR2004  two hours
    return (
        f"This machine's clock is {size} {'ahead of' if ahead > timedelta(0) else 'behind'} the server's. Set it right: the quota's "
        "day follows it, and responses are reused by their age."
    )
