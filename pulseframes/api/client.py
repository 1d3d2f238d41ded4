"""The client: authenticated calls to the two query endpoints, each one journalled, counted and tried again if it fails."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias
from urllib.parse import urlencode

from requests.auth import AuthBase

from pulseframes.api.auth import SessionKeyAuth, SessionKeys
from pulseframes.api.retry import with_retries
from pulseframes.api.statuses import QUOTA_EXHAUSTED, error_for, retry_time
from pulseframes.api.transport import NoReply, Reply, Transport
from pulseframes.errors import JournalError, JournalWarning, PulseError
from pulseframes.journal import JOURNAL_FILE, Call, Entry, Journal
from pulseframes.keystore import KeyStore
from pulseframes.quota import Quota, QuotaRule
from pulseframes.settings import Credentials, Settings
from pulseframes.warn import warn

Endpoint: TypeAlias = Literal["sessions", "session"]

UNAUTHORIZED: Final = 401
SERVER_FAILED: Final = 500

_log = logging.getLogger("pulseframes.api")


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
    """

    body: bytes = field(repr=False)
    call_id: int
    asked_at: datetime
    status: int
    kept: bool


class PulseClient:
    """A connection to the Pulse API for one application, with its journal and quota.

    It authenticates before the first call and whenever its session key has run out; each authentication is one call.
    Each call, answered or not, is a row of the journal. It may be shared between threads, and used as a context manager.

    Parameters
    ----------
    credentials : Credentials or None
        Read from the environment if not given.
    settings : Settings or None
        Read from the environment if not given.
    clock : callable
        The present, in UTC; a test gives its own.
    sleep : callable
        Waits between two tries; a test gives its own.

    Raises
    ------
    CredentialsMissing
        If a credential is neither given nor set in the environment.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        settings: Settings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings or Settings()
        self.credentials = credentials or Credentials.from_env()
        self.clock = clock
        self._sleep = sleep
        self._rule = QuotaRule(self.settings.daily_limit, self.settings.quota_day)
        self._application = application_hash(self.settings, self.credentials)
        self._transport = Transport(self.settings)
        folder = self.settings.folder if self.settings.keep_session_key else None
        owner = _hashed(self._application, self.credentials.client_id.reveal(), self.credentials.client_secret.reveal())
        self._keys = SessionKeys(self.credentials, self._authenticate, store=KeyStore(folder, owner), clock=clock)
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._calls_spent = 0

    @property
    def calls_spent(self) -> int:
        """How many calls this client has spent, authentication and failures included."""
        return self._calls_spent

    @property
    def journal(self) -> Journal:
        """The journal, opened when it is first needed.

        Raises
        ------
        JournalError
            If it cannot be opened.
        """
        with self._lock:
            if self._journal is None:
                folder = self.settings.folder
                self._journal = Journal(None if folder is None else folder / JOURNAL_FILE, clock=self.clock)
            return self._journal

    def quota(self) -> Quota:
        """Say how many calls are left and when the next one is; costs none.

        Only calls that are in this journal are known: others may use the same application's quota.

        Raises
        ------
        JournalError
            If the journal cannot be read.
        """
        now = self.clock()
        return self._rule.stand(*self.journal.spent(self._application, self._rule.since(now)), now)

    def last_calls(self, count: int = 10) -> list[Entry]:
        """Give this application's last calls, newest first, without their bodies; costs none."""
        return self.journal.last_calls(self._application, count)

    def kept_answer(self, endpoint: Endpoint, params: Mapping[str, str]) -> Answer | None:
        """Give the journal's newest answer to a question, however old; None where there is none. Costs none."""
        entry = self.journal.newest_answer(self._application, endpoint, urlencode(params))
        if entry is None or entry.status is None:
            return None
        return Answer(entry.body, entry.id, entry.at, entry.status, kept=True)

    def call(
        self,
        endpoint: Endpoint,
        params: Mapping[str, str],
        *,
        session_id: int | None = None,
        retry_timeouts: bool = True,
    ) -> Answer:
        """Ask one question of the server, whatever is kept.

        Costs one call; one more where a session key has to be fetched first or is refused, and for each try again.

        Parameters
        ----------
        endpoint : {"sessions", "session"}
            The search, or one session's details.
        params : mapping
            The query string, in the API's names.
        session_id : int or None
            The session asked for, for the error message.
        retry_timeouts : bool
            Whether a call that timed out is tried again as it is.

        Raises
        ------
        InvalidQuery, AuthenticationFailed, SessionNotFound, QuotaExhausted, ServerError, MalformedAnswer, JournalError
            As the server's status, or the lack of one, says; ``call_id`` names the journal's row.
        """
        key = self._keys.current()
        ask = {"params": params, "retry_timeouts": retry_timeouts}
        reply, answer = self._tried("GET", endpoint, SessionKeyAuth(key), **ask)  # type: ignore[arg-type]  # by their names
        if reply.status == UNAUTHORIZED:
            key = self._keys.replacing(key)
            reply, answer = self._tried("GET", endpoint, SessionKeyAuth(key), **ask)  # type: ignore[arg-type]
        if not reply.ok:
            raise self._error(reply, answer.call_id, session_id=session_id)
        return answer

    @property
    def has_session_key(self) -> bool:
        """Whether the next call needs no authentication first, as far as can be told."""
        return self._keys.has_key

    def check_credentials(self) -> int:
        """Authenticate, unless a session key is still good; give the calls spent.

        Raises
        ------
        AuthenticationFailed, QuotaExhausted, ServerError, MalformedAnswer, JournalError
            If that fails.
        """
        before = self._calls_spent
        self._keys.current()
        return self._calls_spent - before

    @property
    def application(self) -> str:
        """The journal's name for this application: a hash of the address and the API key."""
        return self._application

    def close(self) -> None:
        """Close the connections and the journal; a later call opens them again."""
        self._transport.close()
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PulseClient({self.settings.base_url!r}, calls_spent={self.calls_spent})"

    def _authenticate(self, method: str, auth: AuthBase) -> Reply:
        return self._tried(method, "authenticate", auth)[0]

    def _error(self, reply: Reply, call_id: int, *, session_id: int | None = None) -> PulseError:
        problem = error_for(reply, redact=self._keys.redact, session_id=session_id)
        problem.call_id = call_id
        return problem

    def _tried(
        self,
        method: str,
        endpoint: str,
        auth: AuthBase,
        *,
        params: Mapping[str, str] | None = None,
        retry_timeouts: bool = True,
    ) -> tuple[Reply, Answer]:
        """Send a request until it is answered, the tries are used up, or trying is of no use."""

        def send(attempt: int) -> tuple[Reply, Answer]:
            counted = endpoint != "authenticate" or self.settings.count_authenticate
            call = Call(self._application, endpoint, urlencode(params or {}), attempt, counted)
            reply, answer = self._sent(method, call, auth, params)
            if reply.status >= SERVER_FAILED or reply.status == QUOTA_EXHAUSTED:
                raise self._error(reply, answer.call_id)
            return reply, answer

        return with_retries(send, retry_timeouts=retry_timeouts, sleep=self._sleep, now=self.clock)

    def _sent(self, method: str, call: Call, auth: AuthBase, params: Mapping[str, str] | None) -> tuple[Reply, Answer]:
        """Send one request; the one place that every call goes through: reserved before, put down after."""
        asked_at = self.clock()
        call_id = self.journal.reserve(call, self._rule.admit, since=self._rule.since)
        with self._lock:
            self._calls_spent += call.counted
        started = time.perf_counter()
        try:
            reply = self._transport.send(method, call.endpoint, auth=auth, params=params)
        except NoReply as caught:
            missed = caught
        else:
            self._put_down(call, call_id, reply, started)
            return reply, Answer(reply.body, call_id, asked_at, reply.status, kept=False)
        if missed.unsent:
            with self._lock:
                self._calls_spent -= call.counted
        self._complete(call_id, "unsent" if missed.unsent else "lost", missed.status, missed.received, started)
        _log.info("%s: no answer (call %d)", call.endpoint, call_id)
        missed.error.call_id = call_id
        raise missed.error from None

    def _put_down(self, call: Call, call_id: int, reply: Reply, started: float) -> None:
        blocked_until = None
        if reply.status == QUOTA_EXHAUSTED:
            now = self.clock()
            blocked_until = retry_time(reply.retry_after, now=now) or self._rule.day_ends(now)
        # An authentication's body is a key, so it is not kept.
        body = b"" if call.endpoint == "authenticate" else reply.body
        self._complete(call_id, "answered", reply.status, body, started, blocked_until=blocked_until)
        _log.info(
            "%s %d, %.0f ms, %d bytes, %d calls left (call %d)",
            call.endpoint,
            reply.status,
            1000 * (time.perf_counter() - started),
            len(reply.body),
            self.quota().left,
            call_id,
        )

    def _complete(
        self,
        call_id: int,
        outcome: Literal["answered", "lost", "unsent"],
        status: int | None,
        body: bytes,
        started: float,
        *,
        blocked_until: datetime | None = None,
    ) -> None:
        """Put down how a call ended; if that fails the answer is still here, so the run goes on with a warning."""
        try:
            self.journal.complete(
                call_id,
                outcome,
                status=status,
                body=self._keys.redact_bytes(body),
                duration_ms=round(1000 * (time.perf_counter() - started)),
                blocked_until=blocked_until,
            )
        except JournalError as problem:
            warn(JournalWarning, f"Call {call_id} was answered and could not be kept: {problem}")


def application_hash(settings: Settings, credentials: Credentials) -> str:
    """Name an application, at one address, without giving its key away."""
    return _hashed(settings.base_url, credentials.api_key.reveal())


def _hashed(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


_default: PulseClient | None = None
_choosing_default = threading.Lock()


def default_client() -> PulseClient:
    """Give the client that is made from the environment: the same one, with its session key, while that stays as it is.

    Raises
    ------
    CredentialsMissing
        If a credential is not set.
    """
    global _default  # noqa: PLW0603  one client a process, so that each cell of a notebook does not authenticate anew
    credentials, settings = Credentials.from_env(), Settings()
    with _choosing_default:
        if _default is None or (_default.credentials, _default.settings) != (credentials, settings):
            _default = PulseClient(credentials, settings=settings)
        return _default
