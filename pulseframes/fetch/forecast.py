"""The forecast of the calls and days that a sync or a query takes, in figures and in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pulseframes._arguments import whole_number
from pulseframes._card import Card, Row
from pulseframes._text import format_percent, listed, plural
from pulseframes.client import PulseClient
from pulseframes.fetch.backlog import describe_left_out
from pulseframes.windows import Window, span_text


@dataclass(frozen=True)
class PlannedWindow:
    """One search of a sync.

    Attributes
    ----------
    date_from, date_to : datetime
        The window, in UTC.
    sessions : int or None
        Number of sessions; None if unknown.
    calls : int or None
        Calls needed; None if unknown.
    kept : int
        Pages that are in the journal and cost no calls.
    estimated : bool
        True if ``sessions`` is an estimate, not the server's count for this window.
    """

    date_from: datetime
    date_to: datetime
    sessions: int | None
    calls: int | None
    kept: int
    estimated: bool

    def __str__(self) -> str:
        return ": ".join(self.row())

    def row(self) -> tuple[str, str]:
        """Return the window, and what is known of its search."""
        span = f"Search {self.date_from:%Y-%m-%d %H:%M} to {self.date_to:%Y-%m-%d %H:%M}"
        if self.sessions is None or self.calls is None:
            return span, "number of sessions unknown."
        about = "about " if self.estimated else ""
        cached = f", {plural(self.kept, 'page')} in the journal" if self.kept else ""
        if not self.sessions and self.calls:
            return span, f"{about}no sessions, {plural(self.calls, 'call')} to confirm that{cached}."
        return span, f"{about}{plural(self.sessions, 'session')}, {plural(self.calls, 'call')}{cached}."


@dataclass(frozen=True, repr=False)
class Plan(Card):
    """The forecast of a sync's calls, as ``plan()`` returns it.

    Attributes
    ----------
    windows : list of PlannedWindow
        The searches.
    details : int or None
        Details to download, one call each; None if unknown.
    details_kept : int
        Details that are in the journal and cost no calls.
    authentications : int
        Session keys to fetch, one per day of calls.
    calls : int or None
        The total; None if unknown.
    calls_left, daily_limit : int
        Calls left in the quota now, and calls per day.
    days : int or None
        Days of calls needed, today included; 0 if there is nothing to do, None if unknown.
    probe_cost : int
        Calls that planning itself used.
    left_out_before : datetime or None
        The sync skips the part of the window before this time, because ``retain()`` deleted it.
    incomplete : list of Window
        Windows of the lake that lack sessions, missing or deleted; a refresh downloads them again.
    shares : dict of str to float
        The share of the details that each stratum gets, by the sessions that the lake has; empty without strata.
    wrong_design : str or None
        What the details would be worth for questions that their design is not for, and the design for these; None if it suits them,
        or the lake has no sessions to tell it by.

    Examples
    --------
    >>> forecast = pf.plan("lake", "2026-11-09", "2026-11-16", details=80, design="pageviews")
    >>> forecast.windows, forecast.days
    ([], 1)
    """

    windows: list[PlannedWindow]
    details: int | None
    details_kept: int
    authentications: int
    calls: int | None
    calls_left: int
    daily_limit: int
    days: int | None
    probe_cost: int
    left_out_before: datetime | None = None
    incomplete: list[Window] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    wrong_design: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON types.

        Returns
        -------
        dict
            The attributes; times are ISO 8601, in UTC.

        Examples
        --------
        >>> pf.plan("lake", "2026-11-09", "2026-11-16").as_dict()["calls"]
        0
        """
        return dict(json.loads(json.dumps(asdict(self), default=datetime.isoformat)))

    def details_in(self, days: int) -> int | None:
        """Return how many details the calls of some days suffice for, after the searches and a session key a day.

        Parameters
        ----------
        days : int
            How many days, today included.

        Returns
        -------
        int or None
            At most as many as there are sessions to fetch details of, if the plan is for ``details="all"``. None if the number of
            sessions is unknown.

        Raises
        ------
        InvalidQuery
            If ``days`` is not a whole number above 0.

        Examples
        --------
        >>> history = pf.plan("lake", "2026-11-09", "2026-11-16", details="all")
        >>> history.details_in(2) > 0
        True
        """
        days = whole_number("days", days, least=1)
        searches = sum_if_known([window.calls for window in self.windows])
        if searches is None or self.details is None:
            return None
        calls = self.calls_left + (days - 1) * self.daily_limit - days - searches
        return max(0, min(calls, self.details))

    def __repr__(self) -> str:
        return f"Plan(calls={self.calls}, details={self.details}, days={self.days}, calls_left={self.calls_left})"

    def _rows(self) -> Iterator[Row]:
        yield from (window.row() for window in self.windows)
        if not self.windows:
            yield "Search", "nothing to download."
        yield from (("Incomplete", f"{span_text(window)}. A refresh downloads it again.") for window in self.incomplete)
        if self.left_out_before is not None:
            yield "", describe_left_out(self.left_out_before)
        if self.details or self.details_kept:
            number = "unknown number" if self.details is None else f"{self.details:,}"
            yield "Details", f"{number} to download, {self.details_kept:,} in the journal."
        if self.shares:
            yield "Strata", f"{listed((f'{name} {format_percent(share)}' for name, share in self.shares.items()), 15)}."
        if self.wrong_design is not None:
            yield "", self.wrong_design
        yield "Total", self._total()
        yield "Quota", f"{self.calls_left:,} of {plural(self.daily_limit, 'call')} left today{self._duration()}."
        if self.probe_cost:
            yield "", f"Planning used {plural(self.probe_cost, 'call')}."

    def _total(self) -> str:
        if self.calls is None:
            return "unknown. To count the sessions, plan again with a probe when a call is left."
        if not self.calls:
            return "no calls needed."
        return f"{plural(self.calls, 'call')}, {self.authentications} of them to authenticate."

    def _duration(self) -> str:
        if self.days is None or not self.calls:
            return ""
        return ", which is enough" if self.days <= 1 else f"; this takes {self.days} days"


def forecast(
    client: PulseClient, windows: list[PlannedWindow], details: int | None, details_kept: int, spent_before: int
) -> Plan:
    """Return the plan for some searches and details: their calls and days, given the quota."""
    work = sum_if_known([*(window.calls for window in windows), details])
    quota = client.quota()
    days, authentications = _days(work, quota.left, client)
    return Plan(
        windows=windows,
        details=details,
        details_kept=details_kept,
        authentications=authentications,
        calls=None if work is None else work + authentications,
        calls_left=quota.left,
        daily_limit=quota.limit,
        days=days,
        probe_cost=client.calls_spent - spent_before,
    )


def sum_if_known(numbers: Sequence[int | None]) -> int | None:
    """Return a sum; None if one of the numbers is unknown."""
    return None if None in numbers else sum(filter(None, numbers))


def _days(calls: int | None, left: int, client: PulseClient) -> tuple[int | None, int]:
    """Return the days that some calls take, and the authentications: one per day, none on the first with a session key."""
    has_key, settings = client.has_session_key, client.settings
    if not calls:
        return calls, int(calls is None and not has_key)
    days = authentications = 0
    while calls > 0:
        needs_key = days > 0 or not has_key
        available = (left if days == 0 else settings.daily_limit) - settings.count_authenticate * needs_key
        days += 1
        if available > 0:
            authentications += needs_key
            calls -= available
        elif days > 1:  # a limit of one call a day is spent on authenticating
            return None, authentications
    return days, authentications
