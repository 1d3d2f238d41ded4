"""Settings: from arguments, else from the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

import platformdirs

from pulseframes._arguments import check_choice, check_flag, check_type, shown, whole_number
from pulseframes._secret import Secret
from pulseframes.client.quota_rule import QuotaDay
from pulseframes.errors import InvalidQuery

DEFAULT_BASE_URL: Final = "https://api.raygun.com/api/v1/pulse"

ENV_BASE_URL: Final = "PULSEFRAMES_BASE_URL"
ENV_HOME: Final = "PULSEFRAMES_HOME"
ENV_DAILY_LIMIT: Final = "PULSEFRAMES_DAILY_LIMIT"
ENV_QUOTA_DAY: Final = "PULSEFRAMES_QUOTA_DAY"
ENV_COUNT_AUTHENTICATE: Final = "PULSEFRAMES_COUNT_AUTHENTICATE"
ENV_KEEP_SESSION_KEY: Final = "PULSEFRAMES_KEEP_SESSION_KEY"
ENV_CONCURRENCY: Final = "PULSEFRAMES_CONCURRENCY"
ENV_LEDGER: Final = "PULSEFRAMES_LEDGER"

DEFAULT_DAILY_LIMIT: Final = 50
DEFAULT_CONCURRENCY: Final = 4
MOST_AT_ONCE: Final = 32
LONGEST_TIMEOUT: Final = 3600.0
#: The variables whose values are checked as those of arguments are.
_VARIABLES: Final = {
    "base_url": ENV_BASE_URL,
    "daily_limit": ENV_DAILY_LIMIT,
    "quota_day": ENV_QUOTA_DAY,
    "concurrency": ENV_CONCURRENCY,
    "ledger": ENV_LEDGER,
}
#: The home that keeps nothing on disk.
IN_MEMORY: Final = ":memory:"

_FLAGS: Final = dict.fromkeys(("yes", "true", "1", "on"), True) | dict.fromkeys(("no", "false", "0", "off"), False)


@dataclass(frozen=True)
class Settings:
    """Where the API is, how many calls a day it allows, and where the journal lies.

    Each default is read from the environment.

    Parameters
    ----------
    base_url : str
        The API's address (``PULSEFRAMES_BASE_URL``): ``https://``, or ``http://`` on this machine, for a simulator.
    home : str or path
        The folder of the journal and the session key (``PULSEFRAMES_HOME``); default: the user's data folder.
        ``":memory:"`` keeps nothing on disk: another process, or a second run, pays again.
    daily_limit : int
        Calls per day (``PULSEFRAMES_DAILY_LIMIT``, 50). Raygun can raise the limit of an application.
    quota_day : {"rolling", "utc"}
        The day that counts (``PULSEFRAMES_QUOTA_DAY``): the last 24 hours, safe however the server counts, or the day in UTC.
    count_authenticate : bool
        Whether an authentication counts towards the quota (``PULSEFRAMES_COUNT_AUTHENTICATE``, yes).
    keep_session_key : bool
        Whether the next process may use the session key (``PULSEFRAMES_KEEP_SESSION_KEY``, yes).
    allow_http : bool
        Whether ``base_url`` may be ``http://`` on another machine, where others can read the credentials in transit.
    repair_calls : int
        How many extra calls a search may spend if its list changes while it is read.
    connect_timeout, read_timeout, total_timeout : float
        Seconds to wait for a connection, between two pieces of an answer, and for a whole call from its start. The server gives
        up after 30. Each retry is a call of its own.
    concurrency : int
        How many details each query or sync requests at once (``PULSEFRAMES_CONCURRENCY``, 4), up to 32. 1 requests one at a time. A process that is
        killed loses as many answers as it was waiting for.
    ledger : str
        A PostgreSQL database in which several machines count the calls of one application (``PULSEFRAMES_LEDGER``), such as
        ``postgresql://user@db.example.com/pulseframes``; by default, none. No call is sent if it cannot be reached. It may hold
        a password, so it is shown nowhere.

    Raises
    ------
    InvalidQuery
        If one of them is invalid; the message names it.

    Examples
    --------
    >>> pf.Settings(daily_limit=500, quota_day="utc").daily_limit
    500
    """

    base_url: str = field(default_factory=lambda: _from_env(ENV_BASE_URL, DEFAULT_BASE_URL))
    home: str | os.PathLike[str] = field(default_factory=lambda: _from_env(ENV_HOME, ""))
    daily_limit: int = field(default_factory=lambda: _whole_from_env(ENV_DAILY_LIMIT, DEFAULT_DAILY_LIMIT))
    quota_day: QuotaDay = field(default_factory=lambda: cast("QuotaDay", _from_env(ENV_QUOTA_DAY, "rolling")))
    count_authenticate: bool = field(default_factory=lambda: _flag_from_env(ENV_COUNT_AUTHENTICATE))
    keep_session_key: bool = field(default_factory=lambda: _flag_from_env(ENV_KEEP_SESSION_KEY))
    allow_http: bool = False
    repair_calls: int = 6
    connect_timeout: float = 5.0
    read_timeout: float = 35.0
    total_timeout: float = 120.0
    concurrency: int = field(default_factory=lambda: _whole_from_env(ENV_CONCURRENCY, DEFAULT_CONCURRENCY))
    ledger: str | Secret = field(default_factory=lambda: _from_env(ENV_LEDGER, ""))

    def __post_init__(self) -> None:
        url = checked_base_url(self._named("base_url"), self.base_url, allow_http=self.allow_http)
        object.__setattr__(self, "base_url", url)
        for name in ("connect_timeout", "read_timeout", "total_timeout"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_TIMEOUT:
                message = (
                    f"{name} must be a number of seconds above 0 and up to {LONGEST_TIMEOUT:g}, not {shown(seconds)}."
                )
                raise InvalidQuery(message, argument=name)
        for name, least in (("daily_limit", 1), ("repair_calls", 0)):
            whole_number(self._named(name), getattr(self, name), least=least)
        whole_number(self._named("concurrency"), self.concurrency, least=1, most=MOST_AT_ONCE)
        check_choice(self._named("quota_day"), self.quota_day, get_args(QuotaDay))
        for name in ("count_authenticate", "keep_session_key", "allow_http"):
            check_flag(name, getattr(self, name))
        check_type("home", self.home, (str, os.PathLike), "a folder, such as '/var/lib/pulseframes'")
        if self.ledger != "":
            object.__setattr__(self, "ledger", checked_ledger(self._named("ledger"), self.ledger))
        if "\0" in os.fspath(self.home):
            raise InvalidQuery("home holds a NUL character, which no folder's name can have.", argument="home")
        _ = self.folder  # raises if there is none

    def _named(self, setting: str) -> str:
        """Return what a message calls a setting: the variable, if the environment sets it to this value."""
        variable = _VARIABLES.get(setting, "")
        value = _from_env(variable, "")
        return variable if value and value == str(getattr(self, setting)) else setting

    @property
    def folder(self) -> Path | None:
        """The folder of the journal and the session key; None if nothing is kept on disk.

        Examples
        --------
        >>> pf.Settings(home="/var/lib/pulseframes").folder.as_posix()
        '/var/lib/pulseframes'
        >>> pf.Settings(home=":memory:").folder is None
        True
        """
        if self.home == IN_MEMORY:
            return None
        try:
            if self.home:
                return Path(self.home).expanduser()
            folder = platformdirs.user_data_path("pulseframes", appauthor=False)
        except RuntimeError:  # neither HOME nor an entry in the list of users, as in a container
            folder = Path()
        if not folder.is_absolute():
            raise InvalidQuery(
                f"{ENV_HOME}: no home folder was found for the journal. Set it to a folder, such as /var/lib/pulseframes.",
                argument="home",
            )
        return folder


def as_settings(given: Settings | None) -> Settings:
    """Return the settings that were given, or those of the environment; raise ``InvalidQuery`` if they are no settings."""
    if given is None:
        return Settings()
    check_type("settings", given, Settings, "Settings, such as Settings(daily_limit=500)")
    return given


def base_url_of_environment() -> str:
    """Return the API's address that the environment names, or the default one; raise ``InvalidQuery`` if it is invalid."""
    return checked_base_url(ENV_BASE_URL, _from_env(ENV_BASE_URL, DEFAULT_BASE_URL), allow_http=False)


def _from_env(name: str, default: str) -> str:
    return os.environ.get(name, "").strip() or default


def _whole_from_env(name: str, default: int) -> int:
    text = _from_env(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise InvalidQuery(f"{name} must be a whole number, not {text!r}.", argument=name) from None


def _flag_from_env(name: str) -> bool:
    text = _from_env(name, "yes").lower()
    if text not in _FLAGS:
        raise InvalidQuery(f"{name} must be yes or no, not {text!r}.", argument=name)
    return _FLAGS[text]


def checked_base_url(argument: str, url: str, *, allow_http: bool) -> str:
    """Return the address without a slash at its end, if credentials may be sent there."""
    example = f"Give the API's address, such as {DEFAULT_BASE_URL}."
    quoted = "the value" if {*"@?#"} & {*str(url)} else shown(url)  # it may contain a password or key
    invalid = InvalidQuery(f"{argument}: {quoted} is not an http(s) address. {example}", argument=argument)
    if not isinstance(url, str) or not url.isprintable() or any(character in " ?#" for character in url):
        raise invalid
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # reading it raises if the port is not a number
    except ValueError:
        raise invalid from None
    if parts.username or parts.password:
        raise InvalidQuery(f"{argument}: it has a user name or password. {example}", argument=argument)
    if not host or parts.scheme not in ("http", "https"):
        raise invalid
    if parts.scheme == "http" and not allow_http and not is_loopback(url):
        raise InvalidQuery(
            f"{argument}: {url!r} would send the credentials unencrypted. Use https://. (http:// is for this machine, as with "
            "`pulseframes simulate`.)",
            argument=argument,
            python="Settings(allow_http=True) allows it elsewhere.",
        )
    return url.rstrip("/")


def checked_ledger(argument: str, given: object) -> Secret:
    """Return the address of a PostgreSQL database as a secret; raise ``InvalidQuery``, without it, if it is none."""
    text = given.reveal() if isinstance(given, Secret) else given
    try:
        is_sound = isinstance(text, str) and text.isprintable() and _hides_its_password(text)
    except ValueError:
        is_sound = False
    if not is_sound:
        raise InvalidQuery(
            f"{argument} must be the address of a PostgreSQL database, such as postgresql://user@db.example.com/pulseframes. In a password, write "
            "special characters as %40 for @ and %2F for /, or leave it to PGPASSWORD or ~/.pgpass.",
            argument=argument,
        )
    return Secret(str(text))


def _hides_its_password(text: str) -> bool:
    """Return whether an address of PostgreSQL has a password only where one belongs, so that all else may be shown.

    Of a password with one of / ? # @, a part would be taken for a host's or a database's name.
    """
    parts = urlsplit(text)
    _ = parts.port  # reading it raises if the port is not a number
    shown = [("user", parts.username or ""), ("host", parts.hostname or ""), *parse_qsl(parts.query)]
    return bool(
        re.match("postgres(?:ql)?://", text)
        and parts.netloc.count("@") <= 1
        and not parts.fragment
        and re.fullmatch(r"(?:/[\w.-]*)?", parts.path)
        and re.fullmatch(r"(?:\w+=[^=;@&]*(?:&|$))*", parts.query)
        and all(name in ("password", "sslpassword") or _is_shown(name, unquote(value)) for name, value in shown)
    )


def _is_shown(name: str, value: str) -> bool:
    """Return whether a part of an address may be in a message."""
    if name == "host":
        return re.fullmatch(r"[\w./:-]*", value) is not None
    return re.search("[;&]|passw|pwd", value, re.IGNORECASE) is None


def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
