"""HTTP: one request over a kept-alive connection, never redirected, its answer read to the end, all before a deadline."""

from __future__ import annotations

import os
import re
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError, HTTPError, ProtocolError, ReadTimeoutError, SSLError

from pulseframes.client.answer import Answer, NoAnswer, is_success
from pulseframes.client.connection import Attempt, new_session, watched
from pulseframes.client.settings import Settings, is_loopback
from pulseframes.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pulseframes.endpoints import Endpoint

#: Signs a request.
Auth: TypeAlias = "Callable[[requests.PreparedRequest], requests.PreparedRequest]"

#: Longer than any answer; reading stops there, before memory is full.
MAX_BODY: Final = 256 * 2**20
#: Longer than any explanation: the rest of a refusal is not read.
MAX_REFUSAL: Final = 64 * 2**10
_CHUNK: Final = 1 << 16

_PROXY_LOGIN_REQUIRED: Final = 407
_PROXY_REFUSED: Final = re.compile(r"Tunnel connection failed: (\d{3})")


class Transport:
    """Sends requests to one base address.

    Safe to share between threads, since the connection pool is and cookies are never kept. A forked child makes connections of
    its own: two processes on one connection would read each other's answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session, self._process = new_session(settings.concurrency), os.getpid()

    def send(self, method: str, endpoint: Endpoint, *, auth: Auth, params: Mapping[str, str] | None = None) -> Answer:
        """Send one request and read the whole answer.

        ``auth`` adds the secrets to the headers at the last moment, so no variable of ours holds them.

        Raises
        ------
        NoAnswer
            If no complete answer was received.
        """
        return self._exchange(endpoint.name, method, f"{self._settings.base_url}/{endpoint.path}", auth, params)

    def reach(self) -> Answer:
        """Ask the API's host for nothing, without credentials, as ``send()`` would.

        Raises
        ------
        NoAnswer
            If the host, or a proxy on the way to it, does not answer.
        """
        parts = urlsplit(self._settings.base_url)
        return self._exchange(parts.hostname or "", "HEAD", f"{parts.scheme}://{parts.netloc}/", _NoAuth(), None)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _exchange(self, name: str, method: str, url: str, auth: Auth, params: Mapping[str, str] | None) -> Answer:
        received = bytearray()
        status = None
        with watched(self._settings.total_timeout) as attempt:
            try:
                with self._response(method, url, auth, params) as response:
                    status, headers = response.status_code, response.headers
                    ahead = _ahead(headers.get("Date"))
                    _read(response, received)
                    if attempt.expired:  # cut off, the end of a body without a length looks like any other
                        raise ProtocolError
                    if status == _PROXY_LOGIN_REQUIRED and _proxy(url):
                        raise _LoginRequired
                    return Answer(name, status, bytes(received), headers.get("Retry-After"), ahead=ahead)
            # requests passes on foreign exceptions: for a header, an address or a file that it cannot read.
            except (requests.RequestException, HTTPError, ValueError, OverflowError, OSError) as caught:
                problem = self._explained(name, caught, attempt, status, bytes(received))
        # Raised outside the handler: inside, the exception would carry the request and its headers along.
        raise problem

    def _response(self, method: str, url: str, auth: Auth, params: Mapping[str, str] | None) -> requests.Response:
        """Send a request over a connection of this process, and read the headers.

        Not by ``Session.request()``, which would read a redirect's body, and parse its address, before it returns.
        """
        if self._process != os.getpid():
            self._session, self._process = new_session(self._settings.concurrency), os.getpid()
        session = self._session
        # Without auth, requests would send the host's login from a .netrc file.
        request = session.prepare_request(requests.Request(method, url, params=params, auth=auth))
        options: Any = session.merge_environment_settings(url, {}, stream=True, verify=None, cert=None)
        if is_loopback(url):
            # It could be on another machine, and plain HTTP would show it the credentials.
            options["proxies"] = {}
        timeout = (self._settings.connect_timeout, self._settings.read_timeout)
        response: requests.Response = session.get_adapter(url).send(request, timeout=timeout, **options)
        return response

    def _explained(
        self, name: str, caught: Exception, attempt: Attempt, status: int | None, received: bytes
    ) -> NoAnswer:
        """Describe the failure without the query (personal data) or a header (secrets)."""
        timed_out, unsent = False, not attempt.sent or isinstance(caught, _LoginRequired)
        if attempt.expired:
            what, retryable, timed_out = _too_long(self._settings.total_timeout), True, True
        elif unsent:
            what, retryable = _why_unsent(caught, self._settings.connect_timeout)
        elif len(received) > MAX_BODY:
            what, retryable = f"the answer is longer than {MAX_BODY >> 20} MB", False
        elif isinstance(caught, requests.Timeout) or isinstance(_reason(caught), ReadTimeoutError):
            what, retryable, timed_out = f"no answer within {self._settings.read_timeout:g} s", True, True
        else:
            what, retryable = _why_lost(caught)
        error = ServerError(
            f"{name}: {what}. The address is {self._settings.base_url}.",
            retryable=retryable,
            timed_out=timed_out,
            cut_off=attempt.expired,
        )
        return NoAnswer(error, unsent=unsent, status=status, received=received)


def _too_long(seconds: float) -> str:
    """Describe a call that was cut off: it would take as long again."""
    advice = f"allow more, such as Settings(total_timeout={2 * seconds:g})"
    return f"no complete answer within {seconds:g} s, so it is not requested again; if the network is slow, {advice}"


class _LoginRequired(requests.exceptions.ProxyError):
    """A proxy for plain HTTP answered for itself, so the request never reached the server."""


def _proxy(url: str) -> str | None:
    """Return the proxy that requests to an address go through."""
    proxy: str | None = select_proxy(url, get_environ_proxies(url))
    return None if is_loopback(url) else proxy


class _NoAuth(requests.auth.AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _ahead(date: str | None) -> timedelta:
    """Return how far this machine's clock is ahead of an answer's ``Date``; 0 if there is none."""
    try:
        moment = parsedate_to_datetime(date or "")
        return datetime.now(UTC) - (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)
    except (ValueError, OverflowError):
        return timedelta(0)


def _read(response: requests.Response, received: bytearray) -> None:
    """Add the body to what was received, as it arrives; only the beginning of a refusal."""
    refused = not is_success(response.status_code)
    for chunk in _pieces(response):
        received += chunk
        if refused and len(received) > MAX_REFUSAL:
            del received[MAX_REFUSAL:]
            return
        if len(received) > MAX_BODY:
            raise DecodeError


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield a body as it arrives: requests' own iterator would lose the part before a break."""
    raw = response.raw
    if not isinstance(raw, HTTPResponse):  # a stand-in of a test, such as vcrpy's
        yield from response.iter_content(_CHUNK)
        return
    while chunk := raw.read1(_CHUNK, decode_content=True):
        yield chunk


def _why_unsent(caught: Exception, connect_timeout: float) -> tuple[str, bool]:
    """Describe why no connection was made; return whether another try may help."""
    what, retryable = f"the address is not valid ({type(caught).__name__})", False
    match caught:
        case requests.Timeout():
            what, retryable = f"no connection within {connect_timeout:g} s; check the network and the firewall", True
        case requests.exceptions.ProxyError():
            what, retryable = _proxy_problem(caught)
        case requests.exceptions.SSLError():
            hint = "If your network inspects TLS, set REQUESTS_CA_BUNDLE to a file with its certificates"
            what = f"no secure connection (TLS): {_tls_reason(caught)}. {hint}"
        case requests.exceptions.InvalidProxyURL():
            what = "HTTPS_PROXY or HTTP_PROXY is not an address, such as http://proxy.example:3128"
        case requests.exceptions.InvalidSchema() if "SOCKS" in str(caught):
            what = "HTTPS_PROXY is a SOCKS proxy, which needs another package: pip install pysocks"
        case requests.ConnectionError():
            reason = _system_error(caught) or type(_reason(caught) or caught).__name__
            what, retryable = (
                f"the connection failed ({reason}); check the network, a VPN, and PULSEFRAMES_BASE_URL",
                True,
            )
        case OSError() if not isinstance(caught, requests.RequestException):
            what = f"no certificates to check the server's with ({caught}); check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
    return what, retryable


def _proxy_problem(caught: Exception) -> tuple[str, bool]:
    """Describe what a proxy said, or that it did not answer; return whether another try may help."""
    refused = _PROXY_REFUSED.search(str(caught))
    if isinstance(caught, _LoginRequired) or (refused and int(refused[1]) == _PROXY_LOGIN_REQUIRED):
        variable = "HTTP_PROXY" if isinstance(caught, _LoginRequired) else "HTTPS_PROXY"
        login = f"set {variable}=http://user:password@proxy.example:3128, with yours"
        return f"the proxy requires a valid login ({_PROXY_LOGIN_REQUIRED}); {login}", False
    if refused is None:
        reason = _system_error(caught) or _tls_reason(caught)
        return f"the proxy could not be reached ({reason}); check HTTPS_PROXY and HTTP_PROXY", True
    return (
        f"the proxy refused the connection ({refused[1]}); have the host allowed there, or name it in NO_PROXY",
        False,
    )


def _why_lost(caught: Exception) -> tuple[str, bool]:
    """Describe why an answer to a request that was sent did not arrive; return whether another try may help."""
    match caught:
        case requests.exceptions.SSLError() | SSLError():
            return f"the secure connection broke (TLS): {_tls_reason(caught)}", True
        case ProtocolError() | DecodeError():
            return "the answer was cut off or garbled", True
        case requests.RequestException():
            return f"the connection failed ({_system_error(caught) or type(caught).__name__})", True
    return f"the answer is not valid HTTP ({type(caught).__name__})", False


def _reason(caught: Exception) -> BaseException | None:
    """Return urllib3's reason for an exception of requests."""
    if isinstance(caught, HTTPError):
        return caught
    inner = caught.args[0] if caught.args else None
    reason = getattr(inner, "reason", None) or inner
    return reason if isinstance(reason, BaseException) else None


def _chain(problem: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that led to it."""
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def _system_error(caught: Exception) -> str | None:
    """Return the innermost system error, such as "Connection refused"."""
    return next(
        (link.strerror for link in [*_chain(caught)][::-1] if isinstance(link, OSError) and link.strerror), None
    )


def _tls_reason(caught: Exception) -> str:
    """Return OpenSSL's reason, such as "CERTIFICATE_VERIFY_FAILED, self-signed certificate"."""
    for link in _chain(caught):
        if isinstance(link, ssl.SSLError) and link.reason:
            detail = getattr(link, "verify_message", "")
            return f"{link.reason}, {detail}".removesuffix(".") if detail else link.reason
    return type(_reason(caught) or caught).__name__
