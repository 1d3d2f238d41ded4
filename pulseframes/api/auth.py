"""The session key: fetched once, used until it is nearly 15 minutes old, shared by all threads of a client."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Final

from requests.auth import AuthBase, HTTPBasicAuth

from pulseframes.api.statuses import error_for
from pulseframes.errors import MalformedAnswer
from pulseframes.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest

    from pulseframes.api.transport import Reply
    from pulseframes.settings import Credentials

#: A key lives 15 minutes at the server. It is renewed a minute earlier, so that it does not run out on the way there.
KEY_LIFETIME_SECONDS: Final = 14 * 60

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
        Sends one authentication request: ``send(method, auth)``.
    clock : callable
        Seconds that only ever go forward; a test gives its own.
    """

    def __init__(
        self,
        credentials: Credentials,
        send: Callable[[str, AuthBase], Reply],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._key: Secret | None = None
        self._expires = 0.0
        # The documentation's heading says GET and its example says POST: GET until the server refuses that.
        self._method = "GET"

    def current(self) -> Secret:
        """Give a key that is still good for a minute at least; authenticate if there is none."""
        with self._lock:
            if self._key is None or self._clock() >= self._expires:
                self._key = self._authenticated()
            return self._key

    def replacing(self, refused: Secret) -> Secret:
        """Give another key than the one the server refused; authenticate unless another thread just did."""
        with self._lock:
            if self._key == refused:
                self._key = None
        return self.current()

    def redact(self, text: str) -> str:
        """Replace each secret in a text by stars."""
        secrets = [self._credentials.client_secret, self._credentials.api_key, self._credentials.client_id, self._key]
        for secret in secrets:
            if secret is not None:
                text = text.replace(secret.reveal(), "***")
        return text

    def _authenticated(self) -> Secret:
        asked_at = self._clock()
        reply = self._ask()
        if reply.status == METHOD_NOT_ALLOWED and self._method == "GET":
            self._method = "POST"
            reply = self._ask()
        if not reply.ok:
            raise error_for(reply, redact=self.redact)
        key = _session_key(reply)
        if key is None:
            # The body may hold a key in some other place, so it is not kept in the exception.
            raise MalformedAnswer(
                f"authenticate answered {reply.status} with no usable sessionKey in {len(reply.body)} bytes; "
                "is the base address that of the Pulse API?"
            )
        self._expires = asked_at + KEY_LIFETIME_SECONDS
        return key

    def _ask(self) -> Reply:
        return self._send(self._method, ConsumerAuth(self._credentials))


def _session_key(reply: Reply) -> Secret | None:
    """Read the key; None where there is no usable one, so that no exception is raised beside what was read."""
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    key = document.get("sessionKey") if isinstance(document, dict) else None
    if isinstance(key, str) and key and key.isascii() and key.isprintable():
        return Secret(key)
    return None
