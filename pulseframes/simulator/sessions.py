"""A session as it stands at one time, as flat rows: the truth that documents and frames are both made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pulseframes.simulator.catalog import TITLES
from pulseframes.simulator.gaps import Gap
from pulseframes.simulator.ids import Ids
from pulseframes.simulator.visit import Visit, satisfaction
from pulseframes.simulator.visitors import Visitor
from pulseframes.tables import ERRORS, PAGE_VIEWS, Table

Row = dict[str, Any]

#: The longest list that the server sends.
LIST_LIMIT: Final = 500

_WEB: Final = "https://app.raygun.example/pulse"
_MS: Final = timedelta(milliseconds=1)
#: The share of sessions whose user has no first time of being seen, and of those with no last time.
_NEVER_SEEN: Final = 0.015


@dataclass(frozen=True)
class SessionIds:
    """The kinds of ids that a session's rows hold."""

    session: Ids
    user: Ids
    group: Ids
    error: Ids

    @classmethod
    def seeded(cls, seed: int) -> SessionIds:
        """Make the ids of a population."""
        return cls(*(Ids(seed, kind) for kind in ("session", "user", "group", "error")))


@dataclass(frozen=True)
class SessionPlan:
    """All that is settled about a session from its start: who comes, and what will happen."""

    number: int
    visitor: Visitor
    visit: Visit
    start: datetime
    first_seen: datetime
    gap: Gap | None
    #: A draw from [0, 1): small where the server knows no time at which the user was seen.
    seen: float

    def at(self, moment: datetime, ids: SessionIds) -> Session:
        """Return the session as it stands at a time, which is not before its start.

        It changes only when a page view begins and when it ends, and ``session_updated`` is when that was.
        """
        elapsed = (moment - self.start) // _MS
        ended = elapsed >= self.visit.length_ms
        views = self.visit.views_by(elapsed)
        length = self.visit.length_ms if ended else self.visit.views[views - 1].offset_ms
        updated = self.start + length * _MS
        identity = ids.session.of(self.number)
        row = {
            "session_id": identity,
            "session_start": self.start,
            "session_updated": updated,
            "session_end": updated if ended else None,
            **self._user(ids, updated),
            "satisfaction_rating": self._satisfaction(views),
            **self._surroundings(),
            "session_length_ms": length,
            "status": "ended" if ended else "active",
            "page_view_count": views,
            "api_url": f"/session?id={identity}",
            "web_url": f"{_WEB}/sessions/{identity}",
        }
        if self.gap is not None:
            row = {name: None if self.gap.hides_column(name) else value for name, value in row.items()}
        return Session(self, ids, row, views, ended)

    def _user(self, ids: SessionIds, updated: datetime) -> Row:
        identity = ids.user.of(self.visitor.number)
        return {
            "user_id": identity,
            "user_is_anonymous": self.visitor.is_anonymous,
            "user_identifier": self.visitor.identifier,
            "user_first_name": self.visitor.first_name,
            "user_full_name": self.visitor.full_name,
            "user_email_address": self.visitor.email_address,
            "user_first_seen": None if self.seen < _NEVER_SEEN else self.first_seen,
            # As of this session: when the user comes again is not looked up.
            "user_last_seen": None if _NEVER_SEEN / 2 < self.seen < 1.5 * _NEVER_SEEN else updated,
            "user_web_url": f"{_WEB}/users/{identity}",
        }

    def _surroundings(self) -> Row:
        device, country = self.visitor.device, self.visitor.country
        return {
            "browser_name": device.browser,
            "browser_version": self.visitor.browser_version,
            "platform_name": device.platform,
            "os_name": device.os,
            "os_version": self.visitor.os_version,
            "country": country.code,
            "ip_address": self.visitor.ip_address,
            "ip_country": country.name,
            "ip_state": self.visitor.place[0],
            "ip_city": self.visitor.place[1],
        }

    def _satisfaction(self, views: int) -> str:
        errors = sum(error.view < views for error in self.visit.errors)
        return satisfaction(self.visit.views[:views], errors)


@dataclass(frozen=True)
class Session:
    """A session as it stands at one time.

    Attributes
    ----------
    plan, ids
        What it is made from.
    row
        Its values by column names of the sessions table. ``page_view_count`` is the number of views so far, however
        many an answer lists; ``api_url`` lacks the server's address in front.
    views
        The number of views so far.
    ended
        Whether it is over.
    """

    plan: SessionPlan
    ids: SessionIds
    row: Row
    views: int
    ended: bool

    @property
    def gap(self) -> Gap | None:
        """What its documents lack, None where that is nothing; the rows are null there already."""
        return self.plan.gap

    def page_views(self) -> list[Row]:
        """Make the rows of the page views, as far as an answer lists them.

        How long the last one takes is not known before the session's end.
        """
        if self._lacks(PAGE_VIEWS):
            return []
        rows = []
        for index, view in enumerate(self.plan.visit.views[: min(self.views, LIST_LIMIT)]):
            row = {
                "session_id": self.row["session_id"],
                "view_index": index,
                "page": view.page,
                "loading_time_ms": view.loading_ms,
                "viewing_time_ms": view.viewing_ms if self.ended or index + 1 < self.views else None,
                "viewed_on": self.plan.start + view.offset_ms * _MS,
            }
            rows.append(_without(row, view.missing))
        return rows

    def errors(self) -> list[Row]:
        """Make the rows of the errors in the views so far, as far as an answer lists them."""
        if self._lacks(ERRORS):
            return []
        rows = []
        for index, error in enumerate(self.plan.visit.errors[:LIST_LIMIT]):
            if error.view >= self.views:
                break
            # No session has a thousand errors, so this counts every error of the population.
            instance = self.ids.error.of(self.plan.number * 1000 + index)
            row = {
                "session_id": self.row["session_id"],
                "error_index": index,
                "group_id": self.ids.group.of(TITLES.index(error.title)),
                "instance_id": instance,
                "title": error.title,
                "web_url": f"{_WEB}/errors/{instance}",
            }
            rows.append(_without(row, error.missing))
        return rows

    def _lacks(self, table: Table) -> bool:
        return self.gap is not None and self.gap.keys == (table.list_key,)


def addressed(row: Row, base_url: str) -> Row:
    """Put the server's address in front of a session's own."""
    path = row["api_url"]
    return row if path is None else {**row, "api_url": base_url + path}


def _without(row: Row, missing: str | None) -> Row:
    """Make one value of a row null, or none."""
    if missing is not None:
        row[missing] = None
    return row
