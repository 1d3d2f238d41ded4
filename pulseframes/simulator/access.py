"""Who may call, and how often: credentials, session keys and the daily limit."""

from __future__ import annotations

import math
import secrets
import threading
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pulseframes.simulator.responses import Refusal

KEY_LIFE: Final = timedelta(minutes=15)
DAY: Final = timedelta(hours=24)


@dataclass(frozen=True)
class Credentials:
    """What the authenticate call asks for; never printed."""

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
    """The session keys that were handed out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: dict[str, datetime] = {}

    def give(self, now: datetime) -> str:
        """Hand out a key."""
        key = f"simulated-{secrets.token_hex(16)}"
        with self._lock:
            self._given = {old: at for old, at in self._given.items() if now < at + KEY_LIFE}
            self._given[key] = now
        return key

    def check(self, headers: Mapping[str, str], now: datetime) -> None:
        """Refuse a request (401) without a key that is still valid."""
        with self._lock:
            at = self._given.get(headers.get("x-sessionkey", ""))
        if at is None or now >= at + KEY_LIFE:
            raise Refusal(401, "Session key not supplied, not valid or expired")


class DailyLimit:
    """So many calls in any 24 hours.

    Parameters
    ----------
    limit
        The number of calls; None is no limit.
    """

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 0:
            raise ValueError("daily_limit must be at least 0, or None for no limit")
        self._limit = limit
        self._lock = threading.Lock()
        self._spent: deque[datetime] = deque()

    def spend(self, now: datetime) -> None:
        """Count a call, or refuse it (429) and say when the next may come; a refused call is not counted."""
        if self._limit is None:
            return
        with self._lock:
            while self._spent and self._spent[0] + DAY <= now:
                self._spent.popleft()
            if len(self._spent) < self._limit:
                self._spent.append(now)
                return
            wait = self._spent[0] + DAY - now if self._spent else DAY
        seconds = math.ceil(wait.total_seconds())
        raise Refusal(429, f"More than {self._limit} calls in 24 hours", {"Retry-After": str(seconds)})
