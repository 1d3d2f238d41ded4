"""Authentication: the session key, shared by threads and, in a file, by processes."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from pulseframes._process import ForkedLock
from pulseframes._secret import Redactor, Secret
from pulseframes.client.answer import Answer
from pulseframes.client.credentials import Credentials
from pulseframes.client.database import make_private
from pulseframes.client.sender import Sender
from pulseframes.client.turns import ALONE, Turn
from pulseframes.endpoints import AUTHENTICATE
from pulseframes.errors import MalformedAnswer

if TYPE_CHECKING:
    from requests import PreparedRequest


#: A key lives 15 minutes at the server. It is renewed a minute earlier, so that it cannot expire on its way there.
KEY_LIFETIME: Final = timedelta(minutes=14)

_METHOD_NOT_ALLOWED: Final = 405
#: As long as an authentication can take; after that, this process gets a key of its own.
_LOCK_SECONDS: Final = 45.0


class ConsumerAuth:
    """Signs an authentication: the API key, and the consumer's id and secret as Basic authorization."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the headers."""
        from requests.auth import HTTPBasicAuth

        request.headers["X-ApiKey"] = self._credentials.api_key.reveal()
        HTTPBasicAuth(self._credentials.client_id.reveal(), self._credentials.client_secret.reveal())(request)
        return request


def secrets_of(credentials: Credentials) -> list[Secret]:
    """Return what an authentication sends: the secrets, and the login made of two of them."""
    key, user, password = credentials.api_key, credentials.client_id, credentials.client_secret
    login = base64.b64encode(f"{user.reveal()}:{password.reveal()}".encode()).decode()
    return [key, user, password, Secret(login)]


class SessionKeyAuth:
    """Signs every other request: the session key."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the header."""
        request.headers["X-SessionKey"] = self._key.reveal()
        return request


class KeyStore:
    """The file of one application's session key.

    A file that is missing, damaged or unreadable is an empty store: all it can save is one call.
    """

    def __init__(self, folder: Path | None, owner: str) -> None:
        self._path = None if folder is None else folder / f"session-{owner}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from authenticating at the same time."""
        with ExitStack() as lock:
            if self._path is not None:
                with suppress(OSError, Timeout):
                    make_private(self._path.parent)
                    lock.enter_context(FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_SECONDS, mode=0o600))
            yield

    def load(self, now: datetime) -> tuple[Secret, datetime] | None:
        """Return the key and its expiry; None if there is no usable one."""
        if self._path is None:
            return None
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            key, expires = Secret(stored["key"]), datetime.fromisoformat(stored["expires"])
            usable = key.fits_a_header and _is_current(expires, now)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return (key, expires) if usable else None

    def save(self, key: Secret, expires: datetime) -> None:
        """Store a key until it expires."""
        if self._path is None:
            return
        temporary = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump({"key": key.reveal(), "expires": expires.isoformat()}, file)
            temporary.replace(self._path)
        except OSError:  # the key still works for this process
            temporary.unlink(missing_ok=True)


class SessionKeys:
    """The current session key, fetched when it is needed."""

    def __init__(
        self,
        credentials: Credentials,
        sender: Sender,
        store: KeyStore,
        redactor: Redactor,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._credentials = credentials
        self._sender = sender
        self._store = store
        self._redactor = redactor
        self._clock = clock
        self._lock = ForkedLock()
        self._key: Secret | None = None
        self._expires = datetime.min.replace(tzinfo=UTC)
        self._refused: frozenset[Secret] = frozenset()

    def current(self, turn: Turn = ALONE) -> Secret:
        """Return a key that is good for another minute: this process's, a stored one, or a new one."""
        with self._lock:
            if self._key is None or not _is_current(self._expires, self._clock()):
                with self._store.locked():
                    self._key, self._expires = self._stored() or self._authenticate(turn)
            self._redactor.add(self._key)
            return self._key

    def replacing(self, refused: Secret, turn: Turn = ALONE) -> Secret:
        """Return another key than the one the server refused; authenticate unless another thread or process just did."""
        with self._lock:
            self._refused |= {refused}
            if self._key == refused:
                self._key = None
        return self.current(turn)

    @property
    def has_key(self) -> bool:
        """Whether the next call needs no authentication, as far as is known."""
        with self._lock:
            return (self._key is not None and _is_current(self._expires, self._clock())) or self._stored() is not None

    def _stored(self) -> tuple[Secret, datetime] | None:
        stored = self._store.load(self._clock())
        return None if stored is None or stored[0] in self._refused else stored

    def _authenticate(self, turn: Turn) -> tuple[Secret, datetime]:
        asked_at = self._clock()
        auth = ConsumerAuth(self._credentials)
        for method in self._sender.authenticate_methods():
            answer = self._sender.send(AUTHENTICATE, auth, method=method, turn=turn)
            if answer.status != _METHOD_NOT_ALLOWED:
                break
        if not answer.ok:
            raise self._sender.error(answer)
        key = _session_key(answer)
        if key is None:
            # The body may hold a key in some other place, so it is not kept in the exception.
            problem = MalformedAnswer(
                f"authenticate answered {answer.status} with no usable sessionKey in {len(answer.body)} bytes. Is the base "
                "address that of the Pulse API?"
            )
            problem.call_id = answer.call_id
            raise problem
        self._store.save(key, asked_at + KEY_LIFETIME)
        return key, asked_at + KEY_LIFETIME


def _is_current(expires: datetime, now: datetime) -> bool:
    """Return whether a key is still good; one that expires later than any can was given to a clock that was wrong."""
    return now < expires <= now + KEY_LIFETIME


def _session_key(answer: Answer) -> Secret | None:
    """Return the key in an answer; None if there is no usable one, so that no exception is raised next to the text."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    key = Secret(document.get("sessionKey", "") if isinstance(document, dict) else "")
    return key if key.fits_a_header else None
