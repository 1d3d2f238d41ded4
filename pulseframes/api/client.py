"""The client: authenticated calls to the two query endpoints, counted."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from pulseframes.api.auth import SessionKeyAuth, SessionKeys
from pulseframes.api.statuses import error_for
from pulseframes.api.transport import Reply, Transport
from pulseframes.settings import Credentials, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from requests.auth import AuthBase

Endpoint: TypeAlias = Literal["sessions", "session"]

UNAUTHORIZED: Final = 401

_log = logging.getLogger("pulseframes.api")


class PulseClient:
    """A connection to the Pulse API for one application.

    It authenticates before the first call and whenever its session key has run out; each authentication is one call.
    It may be shared between threads, and used as a context manager.

    Parameters
    ----------
    credentials : Credentials or None
        Read from the environment if not given.
    settings : Settings or None
        Read from the environment if not given.
    clock : callable
        Seconds that only ever go forward, for the age of the session key.

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or Settings()
        self.credentials = credentials or Credentials.from_env()
        self._transport = Transport(self.settings)
        self._keys = SessionKeys(self.credentials, self._authenticate, clock=clock)
        self._counting = threading.Lock()
        self._calls_spent = 0

    @property
    def calls_spent(self) -> int:
        """How many requests this client has sent, authentication and failures included."""
        return self._calls_spent

    def call(self, endpoint: Endpoint, params: Mapping[str, str], *, session_id: int | None = None) -> bytes:
        """Ask one question and give the answer's body as it came.

        Costs one call, and one more where a session key has to be fetched first or is refused.

        Parameters
        ----------
        endpoint : {"sessions", "session"}
            The search, or one session's details.
        params : mapping
            The query string, in the API's names.
        session_id : int or None
            The session asked for, for the error message.

        Raises
        ------
        InvalidQuery, AuthenticationFailed, SessionNotFound, QuotaExhausted, ServerError, MalformedAnswer
            As the server's status, or the lack of one, says.
        """
        key = self._keys.current()
        reply = self._send("GET", endpoint, auth=SessionKeyAuth(key), params=params)
        if reply.status == UNAUTHORIZED:
            key = self._keys.replacing(key)
            reply = self._send("GET", endpoint, auth=SessionKeyAuth(key), params=params)
        if not reply.ok:
            raise error_for(reply, redact=self._keys.redact, session_id=session_id)
        return reply.body

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PulseClient({self.settings.base_url!r}, calls_spent={self.calls_spent})"

    def _authenticate(self, method: str, auth: AuthBase) -> Reply:
        return self._send(method, "authenticate", auth=auth)

    def _send(self, method: str, endpoint: str, *, auth: AuthBase, params: Mapping[str, str] | None = None) -> Reply:
        """Send one request; the one place that every call goes through, so the one place that counts them."""
        with self._counting:
            self._calls_spent += 1
        started = time.perf_counter()
        reply = self._transport.send(method, endpoint, auth=auth, params=params)
        _log.info(
            "%s %d %.0f ms %d bytes", endpoint, reply.status, 1000 * (time.perf_counter() - started), len(reply.body)
        )
        return reply


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
