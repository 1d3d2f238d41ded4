"""What counts an application's calls: the journal and, if several machines collect, a table that they share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from pulseframes.client.quota_rule import Quota, QuotaRule

Outcome: TypeAlias = Literal["answered", "lost", "unsent", "forgotten"]


@dataclass(frozen=True)
class Request:
    """A call that is about to be sent.

    Attributes
    ----------
    application : str
        A hash of the application, never its key.
    endpoint : str
        The name of the endpoint.
    params : str
        The canonical query string.
    attempt : int
        1, and more for a retry.
    counted : bool
        Whether the call counts towards the quota.
    """

    application: str
    endpoint: str
    params: str = ""
    attempt: int = 1
    counted: bool = True


class Ledger(Protocol):
    """Counts calls. Every method raises ``JournalError`` if that is impossible; no call may be sent then."""

    def reserve(self, request: Request, rule: QuotaRule) -> int:
        """Count a call that is about to be sent, and return its number; raise ``QuotaExhausted`` if the rule refuses it.

        Both happen at once, so that all who share the ledger never send more than the limit. A call that is never completed
        counts. One that does not count is always admitted.
        """

    def complete(self, call_id: int, outcome: Outcome, *, blocked_until: datetime | None = None) -> None:
        """Record how a call ended. A call that was never sent no longer counts.

        Until ``blocked_until``, by this machine's clock, the application's calls are refused.
        """

    def quota(self, application: str, rule: QuotaRule) -> Quota:
        """Return an application's quota."""
