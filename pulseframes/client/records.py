"""What a call is: before it is sent, and as a row of the journal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

Outcome: TypeAlias = Literal["answered", "lost", "unsent", "forgotten"]


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes
    ----------
    application : str
        Whose quota it is: a hash, never a key.
    endpoint : str
        ``authenticate``, ``sessions`` or ``session``.
    params : str
        The canonical query string.
    attempt : int
        1, and more for the same call tried again.
    counted : bool
        Whether it is part of the quota.
    """

    application: str
    endpoint: str
    params: str = ""
    attempt: int = 1
    counted: bool = True


@dataclass(frozen=True, repr=False)
class CallRecord:
    """One row of the journal.

    Attributes
    ----------
    id : int
        Its number.
    at : datetime
        When the call was reserved, in UTC.
    endpoint, params, attempt
        As in ``Request``.
    outcome : {"answered", "lost", "unsent", "forgotten"} or None
        None for a call that was reserved and not heard of again; ``"forgotten"`` for one that was answered, and whose answer
        was taken out afterwards.
    status : int or None
        The HTTP status.
    size : int or None
        Of the body, in bytes.
    duration_ms : int or None
        How long the answer took.
    forgotten : int
        How many sessions were taken out of the body afterwards.
    body : bytes
        The answer as it came, less those. It holds personal data, and is not in the ``repr``.
    """

    id: int
    at: datetime
    endpoint: str
    params: str
    attempt: int
    outcome: Outcome | None
    status: int | None
    size: int | None
    duration_ms: int | None
    forgotten: int
    body: bytes

    def __repr__(self) -> str:
        return f"CallRecord({self.id}, {self.at:%Y-%m-%d %H:%M:%S}, {self.endpoint}, {self.outcome}, {self.status})"
