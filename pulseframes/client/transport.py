"""One request over one kept-alive connection: sent as it is, never redirected, read to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
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

#: More than any answer has; where one is longer, reading stops, before the memory is full.
MAX_BODY: Final = 256 * 2**20
_CHUNK: Final = 1 << 16

#: There was no connection to send anything over.
_NEVER_SENT: Final = (
    requests.ConnectTimeout,
    requests.exceptions.SSLError,
    requests.exceptions.ProxyError,
    requests.exceptions.InvalidURL,
    LocationValueError,
)


@dataclass(frozen=True)
class Reply:
    """What the server answered.

    Attributes
    ----------
    endpoint : str
        ``authenticate``, ``sessions`` or ``session``.
    status : int
        The HTTP status.
    body : bytes
        The body as it came, unzipped. Kept out of the ``repr``: it holds personal data.
    retry_after : str or None
        The header of that name.
    """

    endpoint: str
    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004  the statuses that mean success


class NoReply(Exception):
    """There was no complete answer.

    Attributes
    ----------
    error : ServerError
        What to raise.
    unsent : bool
        Whether the request surely never reached the server.
    status : int or None
        The status, where the answer came that far.
    received : bytes
        What came of the body.
    """

    def __init__(self, error: ServerError, *, unsent: bool, status: int | None, received: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.unsent = unsent
        self.status = status
        self.received = received


class Transport:
    """Sends requests to one base address.

    It may be shared between threads: the connection pool beneath is safe, and there are no cookies to share.

    Parameters
    ----------
    settings : Settings
        Where to, and how long to wait.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = requests.Session()
        self._session.headers.update(
            {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        )
        # On this machine itself no proxy may come between: it could be on another, and HTTP shows it the credentials.
        self._session.trust_env = not is_loopback(settings.base_url)
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(
        self, method: str, endpoint: Endpoint, *, auth: AuthBase, params: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request and read the whole answer.

        ``auth`` puts the secrets into the request's headers at the last moment, so that no variable of ours holds
        them. It is always given: without it, requests would send what a .netrc file has for the host.

        Raises
        ------
        NoReply
            If no complete answer came.
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
                return Reply(endpoint.name, status, bytes(received), response.headers.get("Retry-After"))
        # What is not its own, requests lets through from below: a header or an address that cannot be parsed.
        except (requests.RequestException, HTTPError, ValueError, OverflowError) as caught:
            problem = self._explained(endpoint.name, caught, status, bytes(received))
        # Raised out here, since an exception raised inside the handler would carry the request, with its headers, along.
        raise problem

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _explained(self, endpoint: str, caught: Exception, status: int | None, received: bytes) -> NoReply:
        """Say what happened, in words that hold neither the query (personal data) nor a header (secrets)."""
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
                what, retryable = "no secure connection (TLS): the certificate or the protocol is not accepted", False
            case requests.exceptions.ProxyError():
                what = "the proxy could not be reached; check HTTPS_PROXY and HTTP_PROXY"
            case DecodeError() if len(received) > MAX_BODY:
                what, retryable = f"the answer is longer than {MAX_BODY >> 20} MB, and was not read to its end", False
            case _ if isinstance(caught, requests.Timeout) or isinstance(reason, ReadTimeoutError):
                what, timed_out = f"no answer within {self._settings.read_timeout:g} s", True
            case ProtocolError() | DecodeError():
                what = "the answer broke off or was garbled on the way"
            case _ if not isinstance(caught, requests.RequestException):
                what, retryable = f"the answer, or the address, cannot be read as HTTP ({type(caught).__name__})", False
            case _:
                what = f"the connection failed ({_operating_system_says(caught) or type(caught).__name__})"
        error = ServerError(
            f"{endpoint}: {what}. The address is {self._settings.base_url}.", retryable=retryable, timed_out=timed_out
        )
        return NoReply(error, unsent=unsent, status=status, received=received)


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """Give a body as it comes: requests' own iterator would lose the part before a break."""
    raw = response.raw
    if not isinstance(raw, HTTPResponse):  # what stands in for a connection in a test, such as vcrpy's
        yield from response.iter_content(_CHUNK)
        return
    while chunk := raw.read1(_CHUNK, decode_content=True):
        yield chunk


def _reason(caught: Exception) -> BaseException | None:
    """Find what urllib3 says is behind an exception of requests."""
    inner = caught.args[0] if caught.args else None
    reason = getattr(inner, "reason", None) or inner
    return reason if isinstance(reason, BaseException) else None


def _operating_system_says(problem: BaseException | None) -> str | None:
    """Find the innermost system error behind a chain of wrappers, as in "Connection refused"."""
    found = None
    while problem is not None:
        if isinstance(problem, OSError) and problem.strerror:
            found = problem.strerror
        problem = problem.__cause__ or problem.__context__
    return found
