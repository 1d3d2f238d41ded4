"""The session key: fetched once, used until it is nearly 15 minutes old, shared by all threads of a client."""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from requests.auth import AuthBase, HTTPBasicAuth

from pulseframes._secret import Secret
from pulseframes.client.statuses import error_for
from pulseframes.errors import MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from pulseframes.client.keystore import KeyStore
    from pulseframes.client.sender import Answer
    from pulseframes.client.settings import Credentials
    from pulseframes.client.transport import Reply

#: A key lives 15 minutes at the server. It is renewed a minute earlier, so that it does not run out on the way there.
KEY_LIFETIME: Final = timedelta(minutes=14)

#: Shorter texts than this may be part of other words.
SHORTEST_REDACTED: Final = 12

METHOD_NOT_ALLOWED: Final = 405


class ConsumerAuth(AuthBase):
    """Signs an authentication request: the API key, and the consumer's id and secret as Basic authorization."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the headers."""
        request.headers["X-ApiKey"] = self._credentials.api_key.reveal()
        HTTPBasicAuth(self._credentials.client_id.reveal(), self._credentials.client_secret.reveal())(request)
        return request


class SessionKeyAuth(AuthBase):
    """Signs every other request: the session key."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the header."""
        request.headers["X-SessionKey"] = self._key.reveal()
        return request


class SessionKeys:
    """Holds the current session key and gets the next one.

    Parameters
    ----------
    credentials : Credentials
        What to authenticate with.
    send : callable
        Sends one authentication request: ``send(method, auth)``; gives the reply, and the call's place in the journal.
    takes_post : callable
        Whether the server has taken a POST before.
    store : KeyStore
        Where a key is kept for the next process.
    clock : callable
        The present, in UTC.
    """

    def __init__(
        self,
        credentials: Credentials,
        send: Callable[[str, AuthBase], tuple[Reply, Answer]],
        *,
        takes_post: Callable[[], bool],
        store: KeyStore,
        clock: Callable[[], datetime],
    ) -> None:
        self._credentials = credentials
        self._send = send
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._key: Secret | None = None
        self._expires = datetime.min.replace(tzinfo=UTC)
        self._refused: frozenset[Secret] = frozenset()
        # The documentation's heading says GET and its example says POST: GET until the server refuses that.
        self._takes_post = takes_post

    def current(self) -> Secret:
        """Give a key that is still good for a minute at least: this process's, a kept one, or a new one."""
        with self._lock:
            if self._key is None or self._clock() >= self._expires:
                with self._store.locked():
                    self._key, self._expires = self._kept() or self._authenticated()
            return self._key

    def replacing(self, refused: Secret) -> Secret:
        """Give another key than the one the server refused; authenticate unless another thread or process just did."""
        with self._lock:
            self._refused |= {refused}
            if self._key == refused:
                self._key = None
        return self.current()

    @property
    def has_key(self) -> bool:
        """Whether the next call needs no authentication first, as far as can be told."""
        with self._lock:
            return (self._key is not None and self._clock() < self._expires) or self._kept() is not None

    def _kept(self) -> tuple[Secret, datetime] | None:
        kept = self._store.load(self._clock())
        return None if kept is None or kept[0] in self._refused else kept

    def redact(self, text: str) -> str:
        """Replace each secret in a text by stars."""
        for secret in self._secrets():
            for written in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(written, "***")
        return text

    def redact_bytes(self, body: bytes) -> bytes:
        """Replace each secret in a body by stars; a body that has none, as all should, is given back as it is.

        A short one is left alone: it would be found in innocent data, which must not be changed.
        """
        for secret in self._secrets():
            if len(secret) >= SHORTEST_REDACTED and secret.encode() in body:
                body = body.replace(secret.encode(), b"***")
        return body

    def _secrets(self) -> list[str]:
        credentials = self._credentials
        login = f"{credentials.client_id.reveal()}:{credentials.client_secret.reveal()}"
        held = [credentials.client_secret, credentials.api_key, credentials.client_id, *self._refused]
        held += [] if self._key is None else [self._key]
        texts = [base64.b64encode(login.encode()).decode(), *(secret.reveal() for secret in held)]
        return sorted(texts, key=len, reverse=True)  # one may be a part of another

    def _authenticated(self) -> tuple[Secret, datetime]:
        asked_at = self._clock()
        reply, answer = self._ask("POST" if self._takes_post() else "GET")
        if reply.status == METHOD_NOT_ALLOWED and not self._takes_post():
            reply, answer = self._ask("POST")
        key = _session_key(reply) if reply.ok else None
        if key is None:
            # The body may hold a key in some other place, so it is not kept in the exception.
            problem = (
                error_for(reply, redact=self.redact)
                if not reply.ok
                else MalformedAnswer(
                    f"authenticate answered {reply.status} with no usable sessionKey in {len(reply.body)} bytes; "
                    "is the base address that of the Pulse API?"
                )
            )
            problem.call_id = answer.call_id
            raise problem
        self._store.save(key, asked_at + KEY_LIFETIME)
        return key, asked_at + KEY_LIFETIME

    def _ask(self, method: str) -> tuple[Reply, Answer]:
        return self._send(method, ConsumerAuth(self._credentials))


def _session_key(reply: Reply) -> Secret | None:
    """Read the key; None where there is no usable one, so that no exception is raised beside what was read."""
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    key = Secret(document.get("sessionKey", "") if isinstance(document, dict) else "")
    return key if key.fits_a_header else None
