"""Sends calls: reserves each in the journal before, records its end after, and retries where that may help."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from requests.auth import AuthBase

from pulseframes.client.failures import TOO_MANY_REQUESTS, error_for, retry_time, with_retries
from pulseframes.client.journal import Journal, Outcome, Request
from pulseframes.client.quota import Quota, QuotaRule
from pulseframes.client.redaction import Redactor
from pulseframes.client.settings import Settings
from pulseframes.client.transport import Answer, NoAnswer, Transport
from pulseframes.endpoints import AUTHENTICATE, Endpoint
from pulseframes.errors import JournalError, JournalWarning, PulseError, warn

_SERVER_FAILED: Final = 500

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
        self._settings = settings
        self._application = application
        self._journal = journal
        self._redactor = redactor
        self._clock = clock
        self._sleep = sleep
        self._rule = QuotaRule(settings.daily_limit, settings.quota_day)
        self._transport = Transport(settings)
        self._counting = threading.Lock()
        self.calls_spent = 0

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
        auth: AuthBase,
        *,
        method: str = "",
        params: Mapping[str, str] | None = None,
        retry_timeouts: bool = True,
    ) -> Answer:
        """Send a request until it is answered or another attempt would be useless.

        Raises
        ------
        QuotaExhausted, ServerError, JournalError
            A refusal other than 429 and 5xx is an answer.
        """
        method = method or endpoint.methods[0]
        is_authenticate = endpoint is AUTHENTICATE
        # An authentication has no parameters: the journal keeps the method that was used in their place.
        question = method if is_authenticate else urlencode(params or {})
        counted = self._settings.count_authenticate or not is_authenticate

        def attempt(number: int) -> Answer:
            request = Request(self._application, endpoint.name, question, number, counted)
            answer = self._send_once(request, endpoint, method, auth, params)
            if answer.status >= _SERVER_FAILED or answer.status == TOO_MANY_REQUESTS:
                raise self.error(answer)
            return answer

        return with_retries(attempt, retry_timeouts=retry_timeouts, sleep=self._sleep, now=self._clock)

    def error(self, answer: Answer, *, session_id: int | None = None) -> PulseError:
        """Return the exception for a refusal, with its call's number."""
        problem = error_for(
            answer, redact=self._redactor.text, session_id=session_id, blocked_until=self._blocked_until(answer)
        )
        problem.call_id = answer.call_id
        return problem

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _send_once(
        self, request: Request, endpoint: Endpoint, method: str, auth: AuthBase, params: Mapping[str, str] | None
    ) -> Answer:
        """Send one request. Every call goes through here."""
        asked_at = self._clock()
        call_id = self._journal.reserve(request, self._rule)
        self._count(request, 1)
        started = time.perf_counter()
        try:
            answer = self._transport.send(method, endpoint, auth=auth, params=params)
        except NoAnswer as caught:
            missed = caught
        else:
            # The body of an authentication is a session key: it is used and kept nowhere.
            body = answer.body if endpoint is AUTHENTICATE else self._redactor.body(answer.body)
            answer = replace(answer, body=body, call_id=call_id, asked_at=asked_at)
            self._record_answer(answer, endpoint, started)
            return answer
        if missed.unsent:
            self._count(request, -1)
        received = b"" if endpoint is AUTHENTICATE else self._redactor.body(missed.received)
        self._record(call_id, "unsent" if missed.unsent else "lost", missed.status, received, started)
        _log.info("%s: no answer (call %d)", endpoint.name, call_id)
        missed.error.call_id = call_id
        raise missed.error

    def _count(self, request: Request, change: int) -> None:
        with self._counting:
            self.calls_spent += change * request.counted

    def _record_answer(self, answer: Answer, endpoint: Endpoint, started: float) -> None:
        body = b"" if endpoint is AUTHENTICATE else answer.body
        blocked_until = self._blocked_until(answer)
        self._record(answer.call_id, "answered", answer.status, body, started, blocked_until=blocked_until)
        if _log.isEnabledFor(logging.INFO):
            milliseconds, size = 1000 * (time.perf_counter() - started), len(answer.body)
            text = "%s %d, %.0f ms, %d bytes, %s calls left (call %d)"
            _log.info(text, endpoint.name, answer.status, milliseconds, size, self._calls_left(), answer.call_id)

    def _blocked_until(self, answer: Answer) -> datetime | None:
        """Return until when a 429 forbids more calls: as it says, and a day at most."""
        if answer.status != TOO_MANY_REQUESTS:
            return None
        now = self._clock()
        day_ends = self._rule.day_ends(now)
        return min(retry_time(answer.retry_after, now=now) or day_ends, day_ends)

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
    ) -> None:
        """Record how a call ended. If that fails, the answer can still be used, so the run continues with a warning."""
        try:
            self._journal.complete(
                call_id,
                outcome,
                status=status,
                body=body,
                duration_ms=round(1000 * (time.perf_counter() - started)),
                blocked_until=blocked_until,
            )
        except JournalError as problem:
            warn(JournalWarning, f"Call {call_id} could not be recorded in the journal, nor its answer: {problem}")
