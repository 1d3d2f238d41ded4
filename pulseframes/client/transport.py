"""HTTP: one request over a kept-alive connection, never redirected, its answer read to the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import requests
from urllib3 import HTTPResponse
from urllib3.exceptions import (
    DecodeError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from pulseframes._version import __version__
from pulseframes.client.settings import Settings, is_loopback
from pulseframes.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from requests.auth import AuthBase

    from pulseframes.endpoints import Endpoint

USER_AGENT: Final = f"pulseframes/{__version__}"

#: Longer than any answer; reading stops there, before memory is full.
MAX_BODY: Final = 256 * 2**20
_CHUNK: Final = 1 << 16

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

#: There was never a connection to send anything over.
_NEVER_SENT: Final = (
    requests.ConnectTimeout,
    requests.exceptions.SSLError,
    requests.exceptions.ProxyError,
    requests.exceptions.InvalidURL,
    LocationValueError,
)


@dataclass(frozen=True)
class Answer:
    """An answer, from the server or from the journal.

    Attributes
    ----------
    endpoint : str
        The name of the endpoint.
    status : int
        The HTTP status.
    body : bytes
        The decompressed body. It holds personal data, so it is not in the ``repr``.
    retry_after : str or None
        The header of that name.
    call_id : int
        The call's number in the journal; 0 until it has one.
    asked_at : datetime
        When the call was sent, in UTC.
    kept : bool
        True if it came from the journal, at no cost.
    forgotten : int
        Number of sessions erased from the body since it was received.
    """

    endpoint: str
    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None
    call_id: int = 0
    asked_at: datetime = _NEVER
    kept: bool = False
    forgotten: int = 0

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004  the statuses of success


class NoAnswer(Exception):
    """No complete answer was received.

    Attributes
    ----------
    error : ServerError
        The error to raise.
    unsent : bool
        Whether the request certainly never reached the server.
    status : int or None
        The status, if the answer got that far.
    received : bytes
        The part of the body that was received.
    """

    def __init__(self, error: ServerError, *, unsent: bool, status: int | None, received: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.unsent = unsent
        self.status = status
        self.received = received


class Transport:
    """Sends requests to one base address.

    Safe to share between threads: the connection pool is, and cookies are never kept.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = requests.Session()
        self._session.headers.update(
            {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        )
        # No proxy for loopback: it could be on another machine, and plain HTTP would show it the credentials.
        self._session.trust_env = not is_loopback(settings.base_url)
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(
        self, method: str, endpoint: Endpoint, *, auth: AuthBase, params: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and read the whole answer.

        ``auth`` adds the secrets to the headers at the last moment, so no variable of ours holds them. It is required: without
        it, requests would send the host's login from a .netrc file.

        Raises
        ------
        NoAnswer
            If no complete answer was received.
        """
        received = bytearray()
        status = None
        try:
            with self._session.request(
                method,
                f"{self._settings.base_url}/{endpoint.path}",
                params=params,
                auth=auth,
                timeout=(self._settings.connect_timeout, self._settings.read_timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                status = response.status_code
                for chunk in _pieces(response):
                    received += chunk
                    if len(received) > MAX_BODY:
                        raise DecodeError
                return Answer(endpoint.name, status, bytes(received), response.headers.get("Retry-After"))
        # requests passes on foreign exceptions: for a header or an address that cannot be parsed.
        except (requests.RequestException, HTTPError, ValueError, OverflowError) as caught:
            problem = self._explained(endpoint.name, caught, status, bytes(received))
        # Raised outside the handler: inside, the exception would carry the request and its headers along.
        raise problem

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _explained(self, endpoint: str, caught: Exception, status: int | None, received: bytes) -> NoAnswer:
        """Describe the failure without the query (personal data) or a header (secrets)."""
        reason = caught if isinstance(caught, HTTPError) else _reason(caught)
        retryable, timed_out = True, False
        unsent = status is None and (
            isinstance(caught, _NEVER_SENT)
            or isinstance(reason, NewConnectionError)
            or (
                isinstance(caught, UnicodeError) and not isinstance(caught, UnicodeDecodeError)
            )  # no host has this name
        )
        match caught:
            case requests.ConnectTimeout():
                what = f"no connection within {self._settings.connect_timeout:g} s"
            case requests.exceptions.SSLError():
                what, retryable = "no secure connection (TLS): the certificate or the protocol was not accepted", False
            case requests.exceptions.ProxyError():
                what = "the proxy could not be reached; check HTTPS_PROXY and HTTP_PROXY"
            case DecodeError() if len(received) > MAX_BODY:
                what, retryable = f"the answer is longer than {MAX_BODY >> 20} MB", False
            case _ if isinstance(caught, requests.Timeout) or isinstance(reason, ReadTimeoutError):
                what, timed_out = f"no answer within {self._settings.read_timeout:g} s", True
            case ProtocolError() | DecodeError():
                what = "the answer was cut off or garbled"
            case _ if not isinstance(caught, requests.RequestException):
                what, retryable = f"the answer or the address is not valid HTTP ({type(caught).__name__})", False
            case _:
                what = f"the connection failed ({_system_error(caught) or type(caught).__name__})"
        error = ServerError(
            f"{endpoint}: {what}. The address is {self._settings.base_url}.", retryable=retryable, timed_out=timed_out
        )
        return NoAnswer(error, unsent=unsent, status=status, received=received)


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield a body as it arrives: requests' own iterator would lose the part before a break."""
    raw = response.raw
    if not isinstance(raw, HTTPResponse):  # a stand-in of a test, such as vcrpy's
        yield from response.iter_content(_CHUNK)
        return
    while chunk := raw.read1(_CHUNK, decode_content=True):
        yield chunk


def _reason(caught: Exception) -> BaseException | None:
    """Return urllib3's reason for an exception of requests."""
    inner = caught.args[0] if caught.args else None
    reason = getattr(inner, "reason", None) or inner
    return reason if isinstance(reason, BaseException) else None


def _system_error(problem: BaseException | None) -> str | None:
    """Return the innermost system error of a chain of exceptions, such as "Connection refused"."""
    text = None
    while problem is not None:
        if isinstance(problem, OSError) and problem.strerror:
            text = problem.strerror
        problem = problem.__cause__ or problem.__context__
    return text
