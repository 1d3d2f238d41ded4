"""Settings and credentials: arguments first, then the environment."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from pulseframes.errors import CredentialsMissing, InvalidQuery

DEFAULT_BASE_URL: Final = "https://api.raygun.com/api/v1/pulse"

ENV_API_KEY: Final = "PULSEFRAMES_API_KEY"
ENV_CLIENT_ID: Final = "PULSEFRAMES_CLIENT_ID"
ENV_CLIENT_SECRET: Final = "PULSEFRAMES_CLIENT_SECRET"  # noqa: S105  the variable's name, not a secret
ENV_BASE_URL: Final = "PULSEFRAMES_BASE_URL"


class Secret:
    """A text that is shown to nobody: its ``repr`` and ``str`` are stars, so logs and tracebacks hold stars.

    Parameters
    ----------
    value : str
        What to keep.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the text itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, init=False)
class Credentials:
    """What Raygun knows an application and a consumer by.

    Parameters
    ----------
    api_key : str
        The application's API key, from the application's settings in Raygun.
    client_id, client_secret : str
        Of a consumer application, from the Consumers tab of the plan's settings.

    Raises
    ------
    CredentialsMissing
        If one of them is empty or holds a character that an HTTP header cannot carry.
    """

    api_key: Secret
    client_id: Secret
    client_secret: Secret

    def __init__(self, api_key: str, client_id: str, client_secret: str) -> None:
        given = {"api_key": api_key, "client_id": client_id, "client_secret": client_secret}
        for name, value in given.items():
            if not isinstance(value, str) or not value.strip():
                raise CredentialsMissing(f"{name} is empty.")
            if not value.strip().isascii() or not value.strip().isprintable():
                raise CredentialsMissing(f"{name} holds a character that is not printable ASCII; copy it again.")
            # A line break or a blank copied along from a web page is never part of a key.
            object.__setattr__(self, name, Secret(value.strip()))

    @classmethod
    def from_env(cls) -> Credentials:
        """Read ``PULSEFRAMES_API_KEY``, ``PULSEFRAMES_CLIENT_ID`` and ``PULSEFRAMES_CLIENT_SECRET``.

        Raises
        ------
        CredentialsMissing
            Naming each variable that is not set.
        """
        names = (ENV_API_KEY, ENV_CLIENT_ID, ENV_CLIENT_SECRET)
        missing = [name for name in names if not os.environ.get(name, "").strip()]
        if missing:
            raise CredentialsMissing(
                f"Not set in the environment: {', '.join(missing)}. The API key is under the application's settings "
                "in Raygun; the client id and secret are those of a consumer application (plan settings, Consumers)."
            )
        return cls(*(os.environ[name] for name in names))


@dataclass(frozen=True)
class Settings:
    """How to talk to the API.

    Parameters
    ----------
    base_url : str
        Where the API is; ``https://``, or ``http://`` on this machine itself, as for a simulator.
    connect_timeout, read_timeout : float
        Seconds to wait for a connection, and between two pieces of an answer. The server gives up after 30.

    Raises
    ------
    InvalidQuery
        If ``base_url`` would send credentials in the clear to another machine, or a timeout is not positive.
    """

    base_url: str = field(default_factory=lambda: os.environ.get(ENV_BASE_URL, "").strip() or DEFAULT_BASE_URL)
    connect_timeout: float = 5.0
    read_timeout: float = 35.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _checked_base_url(self.base_url))
        for name in ("connect_timeout", "read_timeout"):
            if not getattr(self, name) > 0:
                raise InvalidQuery(
                    f"{name}: {getattr(self, name)!r} is not a positive number of seconds.", argument=name
                )


def _checked_base_url(url: str) -> str:
    """Give the address with no slash at its end, if credentials may be sent there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # reading it raises where the port is not a number
    except ValueError as problem:
        raise InvalidQuery(f"base_url: {problem}", argument="base_url") from None
    wanted = f"give the API's address, as in {DEFAULT_BASE_URL} (argument base_url or {ENV_BASE_URL})"
    if parts.username or parts.password:
        raise InvalidQuery(f"base_url: holds a user name or password; {wanted}.", argument="base_url")
    if not host or parts.query or parts.fragment or parts.scheme not in ("http", "https"):
        raise InvalidQuery(f"base_url: {url!r} is not an http(s) address; {wanted}.", argument="base_url")
    if parts.scheme == "http" and not _is_loopback(host):
        raise InvalidQuery(
            f"base_url: {url!r} would send the credentials unencrypted; use https:// (http:// is for this machine "
            "itself, as with `pulseframes simulate`).",
            argument="base_url",
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
