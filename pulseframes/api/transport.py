"""One request over one kept-alive connection: sent as it is, never redirected, its faults made into ``ServerError``."""

from __future__ import annotations

from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import requests

from pulseframes._version import __version__
from pulseframes.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests.auth import AuthBase

    from pulseframes.settings import Settings

USER_AGENT: Final = f"pulseframes/{__version__}"


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
    body: bytes
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004  the statuses that mean success

    def __repr__(self) -> str:
        return f"Reply({self.endpoint}, {self.status}, {len(self.body)} bytes)"


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
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(
        self,
        method: str,
        endpoint: str,
        *,
        auth: AuthBase,
        params: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and read the whole answer.

        ``auth`` puts the secrets into the request's headers at the last moment, so that no variable of ours holds
        them. It is always given: without it, requests would send what a .netrc file has for the host.

        Raises
        ------
        ServerError
            With ``status`` None, if no complete answer came.
        """
        try:
            response = self._session.request(
                method,
                f"{self._settings.base_url}/{endpoint}",
                params=params,
                auth=auth,
                timeout=(self._settings.connect_timeout, self._settings.read_timeout),
                allow_redirects=False,
            )
            return Reply(endpoint, response.status_code, response.content, response.headers.get("Retry-After"))
        except requests.RequestException as caught:
            problem = self._explained(endpoint, caught)
        # Raised out here, since an exception raised inside the handler would carry the request, with its headers, along.
        raise problem

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _explained(self, endpoint: str, caught: requests.RequestException) -> ServerError:
        """Say what happened, in words that hold neither the query (personal data) nor a header (secrets)."""
        retryable = True
        match caught:
            case requests.ConnectTimeout():
                what = f"no connection within {self._settings.connect_timeout:g} s"
            case requests.Timeout():
                what = f"no answer within {self._settings.read_timeout:g} s"
            case requests.exceptions.SSLError():
                what, retryable = "no secure connection (TLS): the certificate or the protocol is not accepted", False
            case requests.exceptions.ProxyError():
                what = "the proxy could not be reached; check HTTPS_PROXY"
            case requests.exceptions.ChunkedEncodingError() | requests.exceptions.ContentDecodingError():
                what = "the answer broke off or was garbled on the way"
            case _:
                what = f"the connection failed ({_operating_system_says(caught) or type(caught).__name__})"
        return ServerError(f"{endpoint}: {what}. The address is {self._settings.base_url}.", retryable=retryable)


def _operating_system_says(problem: BaseException | None) -> str | None:
    """Find the innermost system error behind a chain of wrappers, as in "Connection refused"."""
    found = None
    while problem is not None:
        if isinstance(problem, OSError) and problem.strerror:
            found = problem.strerror
        problem = problem.__cause__ or problem.__context__
    return found
