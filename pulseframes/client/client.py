"""The client: authenticated calls to the two query endpoints, each one journalled, counted and tried again if it fails."""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

from requests.auth import AuthBase

from pulseframes._secret import Secret
from pulseframes.client.auth import SessionKeyAuth, SessionKeys
from pulseframes.client.journal import JOURNAL_FILE, CallRecord, Journal
from pulseframes.client.keystore import KeyStore
from pulseframes.client.quota import Quota
from pulseframes.client.sender import Answer, Sender
from pulseframes.client.settings import ENV_HOME, IN_MEMORY, Credentials, Settings
from pulseframes.client.transport import Reply
from pulseframes.endpoints import AUTHENTICATE, DETAIL, Endpoint
from pulseframes.errors import JournalWarning, warn

UNAUTHORIZED: Final = 401


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

    Attributes
    ----------
    settings, credentials, clock
        As given, or from the environment.
    application : str
        The journal's name for this application: a hash of the address and the API key.

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
        self.application = application_hash(self.settings, self.credentials)
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        folder = self.settings.folder if self.settings.keep_session_key else None
        owner = _hashed(self.application, self.credentials.client_id.reveal(), self.credentials.client_secret.reveal())
        self._keys = SessionKeys(
            self.credentials,
            self._authenticate,
            takes_post=lambda: (
                self.journal.newest_answer(self.application, AUTHENTICATE.name, AUTHENTICATE.methods[1]) is not None
            ),
            store=KeyStore(folder, owner),
            clock=clock,
        )
        self._sender = Sender(
            self.settings,
            self.application,
            lambda: self.journal,
            redact=self._keys.redact_bytes,
            redact_text=self._keys.redact,
            clock=clock,
            sleep=sleep,
        )

    @property
    def calls_spent(self) -> int:
        """How many calls this client has spent, authentication and failures included."""
        return self._sender.calls_spent

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
                if folder is None and os.environ.get(ENV_HOME, "").strip() == IN_MEMORY:
                    warn(JournalWarning, f"With {ENV_HOME}={IN_MEMORY} no answer is kept, and a second run pays again.")
                self._journal = Journal(None if folder is None else folder / JOURNAL_FILE, clock=self.clock)
            return self._journal

    def quota(self) -> Quota:
        """Say how many calls are left and when the next one is; costs none.

        Only calls that are in this journal are known: others may use the same application's quota.

        Returns
        -------
        Quota
            Limit, calls used and left, and the time of the next one, in UTC.

        Raises
        ------
        JournalError
            If the journal cannot be read.
        """
        return self._sender.quota()

    def last_calls(self, count: int = 10) -> list[CallRecord]:
        """Give this application's last calls, without their bodies; costs none.

        Parameters
        ----------
        count : int
            How many; 0 for none.

        Returns
        -------
        list of CallRecord
            The newest first: ``id``, ``at`` (UTC), ``endpoint``, ``params`` and ``status``, which is None where no answer came.
        """
        return self.journal.last_calls(self.application, count)

    def kept_answer(self, endpoint: Endpoint, params: Mapping[str, str]) -> Answer | None:
        """Give the journal's newest answer to a question, however old; None where there is none. Costs none."""
        entry = self.journal.newest_answer(self.application, endpoint.name, urlencode(params))
        if entry is None or entry.status is None:
            return None
        return Answer(entry.body, entry.id, entry.at, entry.status, kept=True, forgotten=entry.forgotten)

    def answered_details(self) -> dict[int, int]:
        """Give the ids of the sessions whose details the journal has, in whatever state, and how often; costs none."""
        questions = self.journal.answered(self.application, DETAIL.name)
        ids = (
            (params.removeprefix(f"{DETAIL.parameters['session_id']}="), count) for params, count in questions.items()
        )
        return {int(text): count for text, count in ids if text.isdecimal()}

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
        endpoint : Endpoint
            Where to ask.
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
        reply, answer = self._ask(endpoint, key, params, retry_timeouts=retry_timeouts)
        if reply.status == UNAUTHORIZED:
            reply, answer = self._ask(endpoint, self._keys.replacing(key), params, retry_timeouts=retry_timeouts)
        if not reply.ok:
            raise self._sender.error(reply, answer, session_id=session_id)
        return answer

    @property
    def has_session_key(self) -> bool:
        """Whether the next call needs no authentication first, as far as can be told."""
        return self._keys.has_key

    def check_credentials(self) -> int:
        """Authenticate, unless a session key is still good.

        Returns
        -------
        int
            The calls spent.

        Raises
        ------
        AuthenticationFailed, QuotaExhausted, ServerError, MalformedAnswer, JournalError
            If that fails.
        """
        before = self.calls_spent
        self._keys.current()
        return self.calls_spent - before

    def close(self) -> None:
        """Close the connections and the journal; a later call opens them again."""
        self._sender.close()
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

    def _authenticate(self, method: str, auth: AuthBase) -> tuple[Reply, Answer]:
        return self._sender.send(method, AUTHENTICATE, auth)

    def _ask(
        self, endpoint: Endpoint, key: Secret, params: Mapping[str, str], *, retry_timeouts: bool
    ) -> tuple[Reply, Answer]:
        return self._sender.send(
            endpoint.methods[0], endpoint, SessionKeyAuth(key), params=params, retry_timeouts=retry_timeouts
        )


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
            if _default is not None:
                _default.close()
            _default = PulseClient(credentials, settings=settings)
            atexit.register(_default.close)
        return _default
