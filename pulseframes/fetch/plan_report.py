"""What a sync would cost, in figures and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pulseframes._text import plural
from pulseframes.fetch.backlog import describe_left_out


@dataclass(frozen=True)
class PlannedWindow:
    """One search of a sync.

    Attributes
    ----------
    date_from, date_to : datetime
        The window, in UTC.
    sessions : int or None
        How many sessions it has; None where that is not known.
    calls : int or None
        Calls that it would cost; None where that is not known.
    kept : int
        Pages that the journal has, which cost nothing.
    estimated : bool
        Whether ``sessions`` is worked out and not the server's own count of this very window.
    """

    date_from: datetime
    date_to: datetime
    sessions: int | None
    calls: int | None
    kept: int
    estimated: bool


@dataclass(frozen=True)
class Plan:
    """What a sync would cost.

    Attributes
    ----------
    windows : list of PlannedWindow
        The searches.
    details : int or None
        Details that would be paid for; None where that is not known.
    details_kept : int
        Details that the journal has, which cost nothing.
    authentications : int
        Session keys that would be fetched, one a day of calls.
    calls : int or None
        All of these; None where that is not known.
    calls_left : int
        What the quota has left now.
    daily_limit : int
        Calls a day.
    days : int or None
        Days of calls that it takes, today's included; 0 for nothing to do, None where that is not known.
    probe_cost : int
        Calls that the plan itself has cost.
    left_out_before : datetime or None
        What ``retain()`` has dropped, and so would not be asked for, though the window has it.
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

    def as_dict(self) -> dict[str, Any]:
        """Give the plan as JSON takes it.

        Returns
        -------
        dict
            Times in ISO 8601, UTC.
        """
        told = asdict(self)
        told["left_out_before"] = self.left_out_before and self.left_out_before.isoformat()
        for window in told["windows"]:
            for name in ("date_from", "date_to"):
                window[name] = window[name].isoformat()
        return told

    def __str__(self) -> str:
        lines = [_line(window) for window in self.windows] or ["No search: all of it is there."]
        if self.left_out_before is not None:
            lines.append(describe_left_out(self.left_out_before))
        if self.details or self.details_kept:
            to_pay = "not known how many" if self.details is None else self.details
            lines.append(f"Details: {to_pay} to pay for, {self.details_kept} in the journal.")
        if self.calls is None:
            lines.append(
                "The cost is not known: a plan that may spend a call, when one is left, learns how many sessions there are."
            )
        elif not self.calls:
            lines.append("No call is needed.")
        else:
            lines.append(f"{plural(self.calls, 'call')} in all, {self.authentications} of them to authenticate.")
        left = f"{self.calls_left} of {self.daily_limit} calls {'is' if self.calls_left == 1 else 'are'} left today"
        if self.days is None or not self.calls:
            lines.append(f"{left}.")
        elif self.days <= 1:
            lines.append(f"{left}: it can be done today.")
        else:
            lines.append(f"{left}: it takes {self.days} days of calls.")
        if self.probe_cost:
            lines.append(f"This plan has cost {self.probe_cost}.")
        return "\n".join(lines)


def _line(window: PlannedWindow) -> str:
    span = f"{window.date_from:%Y-%m-%d %H:%M} to {window.date_to:%Y-%m-%d %H:%M}"
    if window.sessions is None:
        return f"Search {span}: not known how many sessions."
    about = "about " if window.estimated else ""
    kept = f", {plural(window.kept, 'page')} in the journal" if window.kept else ""
    calls = "calls not known" if window.calls is None else plural(window.calls, "call")
    return f"Search {span}: {about}{plural(window.sessions, 'session')}, {calls}{kept}."
