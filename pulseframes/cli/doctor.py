"""What may be wrong with a set-up, looked at in the order in which it would show, with what to do about each."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from pulseframes._version import __version__
from pulseframes.client import Credentials, PulseClient, Settings
from pulseframes.errors import PulseError


@dataclass(frozen=True)
class Finding:
    """What one step found.

    Attributes
    ----------
    step : str
        What was looked at.
    ok : bool
        Whether it is as it should be.
    said : str
        What was found; where it is not ok, what to do.
    """

    step: str
    ok: bool
    said: str


def examine(*, may_spend: bool) -> Iterator[Finding]:
    """Look at settings, journal, reachability and credentials, in this order; stop at what makes the next step useless.

    Parameters
    ----------
    may_spend : bool
        Whether the last step, the credentials, may cost a call. It costs none where a session key is kept.
    """
    try:
        settings = Settings()
        credentials = Credentials.from_env()
    except PulseError as problem:
        yield Finding("settings", False, str(problem))
        return
    yield Finding(
        "settings",
        True,
        f"pulseframes {__version__}; {settings.base_url}; {settings.daily_limit} calls a day ({settings.quota_day}); "
        f"home {settings.folder or 'in memory: nothing is kept, so a second run pays again'}",
    )
    with PulseClient(credentials, settings=settings) as client:
        try:
            client.journal.check()
            quota = client.quota()
        except PulseError as problem:
            yield Finding("journal", False, str(problem))
            return
        yield Finding("journal", True, f"{quota.used} of {quota.limit} calls used, {quota.left} left")
        unreachable = _unreachable(settings)
        if unreachable is not None:
            yield Finding("reachability", False, unreachable)
            return
        yield Finding(
            "reachability", True, f"{urlsplit(settings.base_url).hostname} can be reached; this costs no call"
        )
        if not may_spend and not client.has_session_key:
            yield Finding("credentials", True, "not tried: it would cost a call; `pulseframes doctor --spend` tries")
            return
        yield _credentials(client)


def _credentials(client: PulseClient) -> Finding:
    try:
        spent = client.check_credentials()
    except PulseError as problem:
        return Finding("credentials", False, str(problem))
    return Finding(
        "credentials",
        True,
        "accepted" + (f"; {spent} call spent" if spent else ": a session key is kept, no call spent"),
    )


def _unreachable(settings: Settings) -> str | None:
    """Open a connection and close it again; say what is wrong where that fails."""
    parts = urlsplit(settings.base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((host, port), timeout=settings.connect_timeout) as connection:
            if parts.scheme == "https":
                with ssl.create_default_context().wrap_socket(connection, server_hostname=host):
                    pass
    except ssl.SSLError as problem:
        return (
            f"no secure connection to {host}: {problem.reason}. A proxy that reads along needs its certificate trusted."
        )
    except socket.gaierror:
        return f"the name {host} cannot be looked up: check the network, a VPN, or PULSEFRAMES_BASE_URL."
    except OSError as problem:
        return (
            f"no connection to {host} port {port}: {problem.strerror or 'it took too long'}. Check the network and firewall; "
            "behind a proxy (HTTPS_PROXY) this step fails and calls may still work."
        )
    return None
