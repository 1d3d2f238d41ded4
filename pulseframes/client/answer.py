"""What a request comes back with: an answer, or none."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pulseframes.errors import ServerError

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


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
        When the call was sent, in UTC; by the server's clock if ours is known to be wrong.
    kept : bool
        True if it came from the journal, at no cost.
    forgotten : int
        Number of sessions erased from the body since it was received.
    ahead : timedelta
        How far this machine's clock is ahead of the server's ``Date``; 0 if there was none.
    retry_at : datetime or None
        When a refused call may be tried again; None if that is not known.
    recorded : bool
        True if the server gave it and it is in a journal on disk since.
    """

    endpoint: str
    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None
    call_id: int = 0
    asked_at: datetime = _NEVER
    kept: bool = False
    forgotten: int = 0
    ahead: timedelta = timedelta(0)
    retry_at: datetime | None = None
    recorded: bool = False

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return is_success(self.status)


def is_success(status: int) -> bool:
    """Return whether a status is 2xx."""
    return 200 <= status < 300  # noqa: PLR2004  the statuses of success


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
