"""Who may call, when, and how often: the clock, credentials, session keys, the daily limit, and the answers that refuse a call."""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pulseframes.simulator.faults import Fault

_KEY_LIFE: Final = timedelta(minutes=15)
_DAY: Final = timedelta(hours=24)


class Clock:
    """A clock that stands still at `now`, or runs with real time if `now` is None.

    Raises
    ------
    ValueError
        If `now` has no time zone.
    """

    def __init__(self, now: datetime | None = None) -> None:
        if now is not None and now.tzinfo is None:
            raise ValueError("now needs a time zone, as in datetime(2026, 11, 1, tzinfo=UTC)")
        self._lock = threading.Lock()
        self._set_to = datetime.now(UTC) if now is None else now.astimezone(UTC)
        self._running_since = time.monotonic() if now is None else None

    def now(self) -> datetime:
        """Return the clock's time, in UTC."""
        with self._lock:
            if self._running_since is None:
                return self._set_to
            return self._set_to + timedelta(seconds=time.monotonic() - self._running_since)

    def advance(self, by: timedelta) -> None:
        """Move the clock forward; raise ``ValueError`` if that is backward."""
        if by < timedelta():
            raise ValueError("the clock only moves forward")
        with self._lock:
            self._set_to += by


@dataclass(frozen=True)
class Response:
    """An answer.

    Attributes
    ----------
    status : int
        The HTTP status.
    headers : mapping
        The headers, without those about the connection and the length.
    body : bytes
        The body, not compressed.
    fault : Fault or None
        A ``reset``, ``truncate`` or ``delay``, which takes effect only while the answer is sent over a connection.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: Fault | None = None

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


def json_response(status: int, document: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with a JSON document."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)


class Refusal(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.response = json_response(status, {"message": message}, headers)


@dataclass(frozen=True)
class Credentials:
    """The credentials that the authenticate call needs; never printed."""

    api_key: str = field(repr=False)
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse a request (401) that lacks the right key and the right basic authorization."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if headers.get("x-apikey") != self.api_key or scheme.lower() != "basic" or given.strip() != right:
            raise Refusal(401, "API key or authorization not supplied, or not valid")


class SessionKeys:
    """The session keys that were issued; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._issued: dict[str, datetime] = {}

    def issue(self, now: datetime) -> str:
        """Return a new key."""
        key = f"simulated-{secrets.token_hex(16)}"
        with self._lock:
            self._issued = {old: at for old, at in self._issued.items() if now < at + _KEY_LIFE}
            self._issued[key] = now
        return key

    def check(self, headers: Mapping[str, str], now: datetime) -> None:
        """Refuse a request (401) without a valid key."""
        with self._lock:
            at = self._issued.get(headers.get("x-sessionkey", ""))
        if at is None or now >= at + _KEY_LIFE:
            raise Refusal(401, "Session key not supplied, not valid or expired")


class DailyLimit:
    """A limit of calls in any 24 hours, or none; safe to share between threads."""

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 0:
            raise ValueError("daily_limit must be at least 0, or None for no limit")
        self._limit = limit
        self._lock = threading.Lock()
        self._spent: deque[datetime] = deque()

    def spend(self, now: datetime) -> None:
        """Count a call, or refuse it (429) with the time to wait; a refused call is not counted."""
        if self._limit is None:
            return
        with self._lock:
            while self._spent and self._spent[0] + _DAY <= now:
                self._spent.popleft()
            if len(self._spent) < self._limit:
                self._spent.append(now)
                return
            wait = self._spent[0] + _DAY - now if self._spent else _DAY
        seconds = math.ceil(wait.total_seconds())
        raise Refusal(429, f"More than {self._limit} calls in 24 hours", {"Retry-After": str(seconds)})
