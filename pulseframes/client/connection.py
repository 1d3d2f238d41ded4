"""Connections that report how far a call has come, and calls that end at a deadline."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import DEFAULT_POOLSIZE, HTTPAdapter

from pulseframes._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator


USER_AGENT: Final = f"pulseframes/{__version__}"

#: How often a call that is over its deadline is cut off, until it notices.
_CUT_OFF_SECONDS: Final = 0.1


class Attempt:
    """How far a call has come, as its connection reports it: the exceptions of requests do not tell."""

    def __init__(self) -> None:
        self.sent = False
        self.expired = False
        self.connection: Any = None
        self.socket: Any = None

    def cut_off(self) -> None:
        """End the wait for the server, from another thread."""
        self.expired = True
        for holder in (self.socket, getattr(self.connection, "sock", None)):
            plain = getattr(holder, "socket", holder)  # urllib3 wraps TLS within TLS
            if isinstance(plain, socket.socket):
                with suppress(OSError):
                    # Not the method of an SSLSocket, which would forget its state while another thread reads.
                    socket.socket.shutdown(plain, socket.SHUT_RDWR)


class _Attempts(threading.local):
    """The call that each thread is sending."""

    def __init__(self) -> None:
        self.current = Attempt()


_attempts: Final = _Attempts()


class _Reporting:
    """A connection that reports to the call that uses it."""

    sock: Any

    def connect(self) -> None:
        """Connect, through a proxy and with TLS if need be: until then, nothing was sent to the API."""
        attempt = _attempts.current
        attempt.connection, attempt.sent = self, False
        super().connect()  # type: ignore[misc]  # of the class it is mixed into
        attempt.sent = True

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request, over the open connection or a new one."""
        attempt = _attempts.current
        attempt.connection, attempt.sent = self, self.sock is not None
        super().request(*arguments, **options)  # type: ignore[misc]  # of the class it is mixed into

    def getresponse(self, *arguments: Any, **options: Any) -> Any:
        """Read the headers."""
        _attempts.current.socket = self.sock  # the connection lets go of it when it is the last answer
        return super().getresponse(*arguments, **options)  # type: ignore[misc]  # of the class it is mixed into


class _Adapter(HTTPAdapter):
    """An adapter whose connections report."""

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        """Return the pool of the host, or of its proxy."""
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        kind = pool.ConnectionCls  # read once: another thread may be doing the same
        if not issubclass(kind, _Reporting):
            pool.ConnectionCls = type("Connection", (_Reporting, kind), {})
        return pool


@contextmanager
def watched(seconds: float) -> Iterator[Attempt]:
    """Watch over a call: cut it off after so many seconds, whatever the server trickles."""
    attempt = _attempts.current = Attempt()
    over = threading.Event()

    def watch() -> None:
        wait = seconds
        while not over.wait(wait):
            attempt.cut_off()
            wait = _CUT_OFF_SECONDS

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield attempt
    finally:
        over.set()


def new_session(kept_open: int) -> requests.Session:
    """Return a session without connections. It keeps as many open as given, and at least ten, for other threads of the caller."""
    session = requests.Session()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"})
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(pool_maxsize=max(kept_open, DEFAULT_POOLSIZE)))
    return session
