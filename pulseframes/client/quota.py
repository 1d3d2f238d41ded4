"""How many calls are left, and when the next one is: worked out from the journal's rows, and refused before sending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from pulseframes.errors import QuotaExhausted

QuotaDay: TypeAlias = Literal["rolling", "utc"]

#: The server counts a call a little after we do, as it travels; so it also forgets it a little later.
MARGIN: Final = timedelta(seconds=60)
DAY: Final = timedelta(hours=24)


@dataclass(frozen=True)
class Quota:
    """How an application stands.

    Attributes
    ----------
    limit : int
        Calls a day.
    used : int
        Calls of the present day, as the journal has them.
    left : int
        Calls that may be sent now.
    next_call_at : datetime
        When the next call may be sent, in UTC: now, where some are left.
    day : {"rolling", "utc"}
        What a day is: the last 24 hours, or the day in UTC.
    """

    limit: int
    used: int
    left: int
    next_call_at: datetime
    day: QuotaDay


@dataclass(frozen=True)
class QuotaRule:
    """The limit that is kept to.

    Parameters
    ----------
    limit : int
        Calls a day.
    day : {"rolling", "utc"}
        What a day is. The API's documentation does not say; the last 24 hours are right whatever it is.
    """

    limit: int
    day: QuotaDay = "rolling"

    def since(self, now: datetime) -> datetime:
        """Give the start of the present day: calls after it count."""
        if self.day == "utc":
            return _midnight(now) - MARGIN  # the server may have counted the last calls of yesterday today
        return now - DAY - MARGIN

    def stand(self, spent: Sequence[datetime], blocked_until: datetime | None, now: datetime) -> Quota:
        """Work out how an application stands.

        Parameters
        ----------
        spent : sequence of datetime
            When the calls of the present day were sent, oldest first.
        blocked_until : datetime or None
            Until when the server refuses calls, where it said so.
        now : datetime
            The present.
        """
        blocked = blocked_until is not None and blocked_until > now
        left = 0 if blocked else max(0, self.limit - len(spent))
        free_at = now
        if len(spent) >= self.limit:
            free_at = self._forgotten_at(spent[len(spent) - self.limit])
        if blocked and blocked_until is not None:
            free_at = max(free_at, blocked_until)
        return Quota(self.limit, len(spent), left, free_at, self.day)

    def admit(self, spent: Sequence[datetime], blocked_until: datetime | None, now: datetime) -> Quota:
        """Let one more call through.

        Raises
        ------
        QuotaExhausted
            If none is left. Nothing was sent.
        """
        quota = self.stand(spent, blocked_until, now)
        if quota.left:
            return quota
        why = f"{quota.used} of {self.limit} calls are spent"
        if blocked_until is not None and blocked_until > now:
            why += ", and the server has refused more (429): others may use the same quota, or the plan has ended"
        raise QuotaExhausted(
            f"No call is left: {why}. The next one is at {quota.next_call_at:%Y-%m-%d %H:%M:%S} UTC. This one was not "
            "sent; what is already known is still answered.",
            resets_at=quota.next_call_at,
        )

    def day_ends(self, now: datetime) -> datetime:
        """Give the moment at which a day that is spent is surely over."""
        return self._forgotten_at(now)

    def _forgotten_at(self, sent: datetime) -> datetime:
        if self.day == "utc":
            return _midnight(sent + MARGIN) + DAY
        return sent + DAY + MARGIN


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
