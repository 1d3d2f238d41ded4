"""Sends calls: each try reserved in the journal before, put down after, and counted; tried again where it may help."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from requests.auth import AuthBase

from pulseframes.client.journal import Journal, Outcome, Request
from pulseframes.client.quota import Quota, QuotaRule
from pulseframes.client.retry import with_retries
from pulseframes.client.settings import Settings
from pulseframes.client.statuses import QUOTA_EXHAUSTED, error_for, retry_time
from pulseframes.client.transport import NoReply, Reply, Transport
from pulseframes.endpoints import AUTHENTICATE, Endpoint
from pulseframes.errors import JournalError, JournalWarning, PulseError, warn

SERVER_FAILED: Final = 500

_log = logging.getLogger("pulseframes.client")


@dataclass(frozen=True)
class Answer:
    """An answer to a question, just come or kept.

    Attributes
    ----------
    body : bytes
        As it came; it holds personal data.
    call_id : int
        Its number in the journal.
    asked_at : datetime
        When the call was sent, in UTC.
    status : int
        The HTTP status.
    kept : bool
        True for an answer from the journal, which cost nothing now.
    forgotten : int
        How many sessions were taken out of the body after it had come.
    """

    body: bytes = field(repr=False)
    call_id: int
    asked_at: datetime
    status: int
    kept: bool
    forgotten: int = 0


class Sender:
    """Sends one application's calls, within its quota.

    Parameters
    ----------
    settings : Settings
        Where to, and the limit.
    application : str
        The journal's name for the application.
    journal : callable
        Gives the journal.
    redact : callable
        Takes secrets out of a body.
    redact_text : callable
        Takes secrets out of a message.
    clock, sleep : callable
        The present, in UTC; and waiting between two tries.
    """

    def __init__(
        self,
        settings: Settings,
        application: str,
        journal: Callable[[], Journal],
        *,
        redact: Callable[[bytes], bytes],
        redact_text: Callable[[str], str],
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._application = application
        self._journal = journal
        self._redact = redact
        self._redact_text = redact_text
        self._clock = clock
        self._sleep = sleep
        self._rule = QuotaRule(settings.daily_limit, settings.quota_day)
        self._transport = Transport(settings)
        self._counting = threading.Lock()
        self.calls_spent = 0

    def quota(self) -> Quota:
        """Work out how the application stands."""
        now = self._clock()
        return self._rule.stand(*self._journal().spent(self._application, self._rule.since(now)), now)

    def send(
        self,
        method: str,
        endpoint: Endpoint,
        auth: AuthBase,
        *,
        params: Mapping[str, str] | None = None,
        retry_timeouts: bool = True,
    ) -> tuple[Reply, Answer]:
        """Send a request until it is answered, the tries are used up, or trying is of no use.

        Raises
        ------
        QuotaExhausted, ServerError, JournalError
            A refusal other than 429 and 5xx is a reply.
        """

        def attempt(number: int) -> tuple[Reply, Answer]:
            counted = endpoint != AUTHENTICATE or self._settings.count_authenticate
            # An authentication has no parameters: what is kept of it is which method the server took.
            question = method if endpoint == AUTHENTICATE else urlencode(params or {})
            call = Request(self._application, endpoint.name, question, number, counted)
            reply, answer = self._once(method, endpoint, call, auth, params)
            if reply.status >= SERVER_FAILED or reply.status == QUOTA_EXHAUSTED:
                raise self.error(reply, answer)
            return reply, answer

        return with_retries(attempt, retry_timeouts=retry_timeouts, sleep=self._sleep, now=self._clock)

    def error(self, reply: Reply, answer: Answer, *, session_id: int | None = None) -> PulseError:
        """Give the exception for a refusal, with its call's number."""
        blocked_until = self._blocked_until(reply)
        problem = error_for(reply, redact=self._redact_text, session_id=session_id, blocked_until=blocked_until)
        problem.call_id = answer.call_id
        return problem

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _once(
        self, method: str, endpoint: Endpoint, call: Request, auth: AuthBase, params: Mapping[str, str] | None
    ) -> tuple[Reply, Answer]:
        """Send one request; the one place that every call goes through."""
        asked_at = self._clock()
        call_id = self._journal().reserve(call, self._rule.admit, since=self._rule.since)
        self._count(call, 1)
        started = time.perf_counter()
        try:
            reply = self._transport.send(method, endpoint, auth=auth, params=params)
            if call.endpoint != AUTHENTICATE.name:  # whose body is a key, and is used here and kept nowhere
                reply = replace(reply, body=self._redact(reply.body))
        except NoReply as caught:
            missed = caught
        else:
            self._put_down_reply(call, call_id, reply, started)
            return reply, Answer(reply.body, call_id, asked_at, reply.status, kept=False)
        outcome: Outcome = "unsent" if missed.unsent else "lost"
        if missed.unsent:
            self._count(call, -1)
        received = b"" if call.endpoint == AUTHENTICATE.name else self._redact(missed.received)
        self._put_down(call_id, outcome, missed.status, received, started)
        _log.info("%s: no answer (call %d)", call.endpoint, call_id)
        missed.error.call_id = call_id
        raise missed.error

    def _count(self, call: Request, change: int) -> None:
        with self._counting:
            self.calls_spent += change * call.counted

    def _put_down_reply(self, call: Request, call_id: int, reply: Reply, started: float) -> None:
        body = b"" if call.endpoint == AUTHENTICATE.name else reply.body
        self._put_down(call_id, "answered", reply.status, body, started, blocked_until=self._blocked_until(reply))
        if _log.isEnabledFor(logging.INFO):
            milliseconds, size = 1000 * (time.perf_counter() - started), len(reply.body)
            _log.info(
                "%s %d, %.0f ms, %d bytes, %s calls left (call %d)",
                call.endpoint,
                reply.status,
                milliseconds,
                size,
                self._calls_left(),
                call_id,
            )

    def _blocked_until(self, reply: Reply) -> datetime | None:
        """Give the moment until which a 429 forbids more calls: what it says, and a day at most."""
        if reply.status != QUOTA_EXHAUSTED:
            return None
        now = self._clock()
        day_ends = self._rule.day_ends(now)
        return min(retry_time(reply.retry_after, now=now) or day_ends, day_ends)

    def _calls_left(self) -> int | str:
        try:
            return self.quota().left
        except JournalError:  # the answer is here, and more than a line in a log
            return "?"

    def _put_down(
        self,
        call_id: int,
        outcome: Outcome,
        status: int | None,
        body: bytes,
        started: float,
        *,
        blocked_until: datetime | None = None,
    ) -> None:
        """Put down how a call ended; if that fails the answer is still here, so the run goes on with a warning."""
        try:
            self._journal().complete(
                call_id,
                outcome,
                status=status,
                body=body,
                duration_ms=round(1000 * (time.perf_counter() - started)),
                blocked_until=blocked_until,
            )
        except JournalError as problem:
            warn(JournalWarning, f"How call {call_id} ended, and its answer, could not be kept: {problem}")
