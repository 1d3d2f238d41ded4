"""The quota: how many calls are left and when the next one is possible, from the journal's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol, TypeAlias

from pulseframes._card import Card, Row
from pulseframes.errors import QuotaExhausted

QuotaDay: TypeAlias = Literal["rolling", "utc"]

#: The server counts a call a little later than we do, because it travels; so it also forgets it a little later.
MARGIN: Final = timedelta(seconds=60)
DAY: Final = timedelta(hours=24)
#: Clocks may differ by so much.
CLOCK_TOLERANCE: Final = timedelta(minutes=5)


class Times(Protocol):
    """When calls were sent, oldest first: a list, or what looks them up."""

    def __len__(self) -> int:
        """Return how many they are."""

    def __getitem__(self, index: int, /) -> datetime:
        """Return one of them."""


@dataclass(frozen=True, repr=False)
class Quota(Card):
    """An application's quota.

    Attributes
    ----------
    limit : int
        Calls per day.
    used : int
        Calls of the current day that the journal has recorded.
    left : int
        Calls that may be sent now.
    next_call_at : datetime
        When the next call may be sent, in UTC; now if any are left.
    day : {"rolling", "utc"}
        The day that counts: the last 24 hours, or the day in UTC.

    Examples
    --------
    >>> with pf.PulseClient() as client:
    ...     quota = client.quota()
    >>> quota.used + quota.left == quota.limit == 10_000
    True
    """

    limit: int
    used: int
    left: int
    next_call_at: datetime
    day: QuotaDay

    def __repr__(self) -> str:
        return (
            f"Quota({self.left:,} of {self.limit:,} calls left{'' if self.left else f', next call at {self._when()}'})"
        )

    def _rows(self) -> Iterator[Row]:
        day = "in the last 24 hours" if self.day == "rolling" else "today (UTC)"
        yield "Calls", f"{self.used:,} of {self.limit:,} used {day}, {self.left:,} left"
        yield "Next call", "possible now" if self.left else f"possible at {self._when()}"

    def _when(self) -> str:
        return f"{self.next_call_at:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True)
class QuotaRule:
    """The limit, and how it is enforced.

    Parameters
    ----------
    limit : int
        Calls per day.
    day : {"rolling", "utc"}
        The day that counts. The API's documentation does not say; the last 24 hours are safe under any reading.
    """

    limit: int
    day: QuotaDay = "rolling"

    def since(self, now: datetime) -> datetime:
        """Return the start of the current day: calls after it count."""
        if self.day == "utc":
            return _midnight(now) - MARGIN  # the server may have counted yesterday's last calls today
        return now - DAY - MARGIN

    def quota(self, spent: Times, blocked_until: datetime | None, now: datetime) -> Quota:
        """Return the quota, given the day's calls.

        Parameters
        ----------
        spent : Times
            When the day's calls were sent, oldest first.
        blocked_until : datetime or None
            Until when the server refuses calls, if it said so.
        now : datetime
            The current time.
        """
        blocked = blocked_until is not None and blocked_until > now
        left = 0 if blocked else max(0, self.limit - len(spent))
        free_at = now
        if len(spent) >= self.limit:
            free_at = self._stops_counting_at(spent[len(spent) - self.limit])
        if blocked and blocked_until is not None:
            free_at = max(free_at, blocked_until)
        return Quota(self.limit, len(spent), left, free_at, self.day)

    def admit(self, spent: Times, blocked_until: datetime | None, now: datetime) -> Quota:
        """Admit one more call, or raise ``QuotaExhausted``; nothing was sent then."""
        quota = self.quota(spent, blocked_until, now)
        if quota.left:
            return quota
        why = f"{quota.used} of {self.limit} calls used"
        if blocked_until is not None and blocked_until > now:
            why += (
                ", and the server refused more (429): another program may use the same quota, or the plan has expired"
            )
        raise QuotaExhausted(
            f"Daily quota used up: {why}. Next call possible at {quota.next_call_at:%Y-%m-%d %H:%M:%S} UTC. "
            "This call was not sent; cached responses are still available.",
            resets_at=quota.next_call_at,
        )

    def day_ends(self, now: datetime) -> datetime:
        """Return when a day that is used up is certainly over."""
        return self._stops_counting_at(now)

    def _stops_counting_at(self, sent: datetime) -> datetime:
        if self.day == "utc":
            return _midnight(sent + MARGIN) + DAY
        return sent + DAY + MARGIN


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
