"""One session: what happens in it, and its rows in the three tables at any time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple

from pulseframes.endpoints import DETAIL
from pulseframes.simulator.catalog import (
    ANYWHERE,
    ARTICLES,
    CATEGORIES,
    PAGES,
    PRODUCTS,
    TITLES,
    TOPICS,
    Choice,
    Draws,
    Page,
    lognormal,
    whole,
)
from pulseframes.simulator.visitors import Visitor

Row = dict[str, Any]

_SHOP: Final = "https://shop.example"
_WEB: Final = "https://app.raygun.example/pulse"
_MS: Final = timedelta(milliseconds=1)

_LANDING: Final = Choice(PAGES, [page.landing for page in PAGES])
_LATER: Final = Choice(PAGES, [page.weight for page in PAGES])

#: The share of sessions of bots that crawl the whole shop: more page views than one answer lists.
_CRAWLERS: Final = 1 / 1500
_LONGEST_VIEW_MS: Final = 25 * 60_000
#: The share of errors that are the page's own, if it has some.
_OWN_ERRORS: Final = 0.8

#: The share of page views and errors that lack one of these values.
_RARE: Final = 1 / 500
_VIEW_GAPS: Final = ("page", "loading_time_ms", "viewing_time_ms", "viewed_on")
_ERROR_GAPS: Final = ("group_id", "instance_id", "title", "web_url")
#: The share of sessions whose user lacks the first time seen, and of those whose user lacks the last.
_NEVER_SEEN: Final = 0.015

#: The longest list that the server sends.
_LIST_LIMIT: Final = 500
#: A page counts as fast up to the first of these, and as slow above the second.
_FAST_MS: Final = 1_500
_SLOW_MS: Final = 4_000

#: Ids lie in [2**61, 2**62): far above 2**53, where a float would change them.
_FIRST_ID: Final = 1 << 61
#: More than half the bits, so that folding twice changes nothing.
_FOLD: Final = 31
#: Makes negative numbers positive.
_OFFSET: Final = 1 << 44


class Ids:
    """Big ids of one kind, which can be turned back into the small numbers that they represent."""

    def __init__(self, seed: int, kind: str) -> None:
        rng = Draws(seed, f"id of {kind}").random(0)
        self._factor = int(rng.random() * _FIRST_ID) | 1
        self._shift = int(rng.random() * _FIRST_ID)
        self._inverse = pow(self._factor, -1, _FIRST_ID)

    def of(self, number: int) -> int:
        """Return the id of a number."""
        mixed = ((number + _OFFSET) * self._factor + self._shift) % _FIRST_ID
        # Multiplied, folded and multiplied again, so that neighbours look unrelated; each step can be undone.
        return _FIRST_ID + (mixed ^ mixed >> _FOLD) * self._factor % _FIRST_ID

    def number(self, identity: int) -> int:
        """Return the number behind an id; nearly every invalid id gives a number that is far out of range."""
        folded = (identity - _FIRST_ID) * self._inverse % _FIRST_ID
        return ((folded ^ folded >> _FOLD) - self._shift) * self._inverse % _FIRST_ID - _OFFSET


class SessionIds:
    """The ids of a population, by kind."""

    def __init__(self, seed: int) -> None:
        self.session, self.user, self.group, self.error = (
            Ids(seed, kind) for kind in ("session", "user", "group", "error")
        )


class View(NamedTuple):
    """One page view, `offset_ms` after the session's start; `missing` is the column that is null, if any."""

    offset_ms: int
    kind: Page
    draws: tuple[float, float]
    loading_ms: int
    viewing_ms: int
    missing: tuple[str, ...]

    @property
    def page(self) -> str:
        """The address; some products and articles are viewed far more often than others."""
        address = self.kind.address
        if "{" not in address:
            return _SHOP + address
        popular, other = self.draws[0] ** 2, self.draws[1]
        product = int(popular * len(PRODUCTS))
        is_product = "{product}" in address and "{id}" in address
        return _SHOP + address.format(
            category=CATEGORIES[int(popular * len(CATEGORIES))],
            product=PRODUCTS[product] if is_product else PRODUCTS[product].replace("-", "+"),
            id=40_000 + 37 * product if is_product else 700_000 + int(other * 200_000),
            small=2 + int(other * 5),
            article=ARTICLES[int(popular * len(ARTICLES))],
            topic=TOPICS[int(popular * len(TOPICS))],
        )


class Trouble(NamedTuple):
    """One error, and the position of the view in which it occurs; `missing` is the column that is null, if any."""

    view: int
    title: str
    missing: tuple[str, ...]


class Visit(NamedTuple):
    """Everything that happens in a session from start to end."""

    views: tuple[View, ...]
    errors: tuple[Trouble, ...]
    length_ms: int


def plan_visit(rng: Random, visitor: Visitor, pressure: float) -> Visit:
    """Draw what a visitor does, at a time when pages take `pressure` times as long as usual to load."""
    crawls = rng.random() < _CRAWLERS
    # Most sessions have one view or two, a few have dozens.
    count = 450 + whole(rng, 400) if crawls else max(1, int(lognormal(rng, 2.3, 1.1)))
    slowness = visitor.country.slowness * visitor.device.slowness * pressure * lognormal(rng, 1.0, 0.25)
    views: list[View] = []
    errors: list[Trouble] = []
    offset = 0
    for position in range(count):
        kind = (_LATER if position else _LANDING)(rng.random())
        loading = int(lognormal(rng, kind.load_ms * slowness, kind.spread))
        viewing = loading + int(lognormal(rng, 900 if crawls else kind.view_ms, 0.9))
        viewing = min(viewing, _LONGEST_VIEW_MS)
        views.append(View(offset, kind, (rng.random(), rng.random()), loading, viewing, _missing(rng, _VIEW_GAPS)))
        offset += viewing
        if rng.random() < kind.trouble * visitor.device.trouble:
            errors.append(Trouble(position, _title(rng, kind), _missing(rng, _ERROR_GAPS)))
    return Visit(tuple(views), tuple(errors), offset)


def _title(rng: Random, kind: Page) -> str:
    titles = kind.errors if kind.errors and rng.random() < _OWN_ERRORS else ANYWHERE
    return titles[int(rng.random() ** 2 * len(titles))]


def _missing(rng: Random, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Choose the column that is null, mostly none."""
    position = int(rng.random() / _RARE)
    return columns[position : position + 1]


def satisfaction(views: Sequence[View], errors: int) -> str:
    """Rate a session as Excellent, Good, Average or Poor.

    A fast view scores 1, a slow one 0, and one in between a half. Each error takes a tenth off the mean.
    """
    scores = sum((view.loading_ms <= _FAST_MS) + (view.loading_ms <= _SLOW_MS) for view in views)
    score = scores / (2 * len(views)) - 0.1 * errors
    return next((rating for rating, least in _RATINGS if score >= least), "Poor")


_RATINGS: Final = (("Excellent", 0.9), ("Good", 0.7), ("Average", 0.5))


@dataclass(frozen=True)
class SessionPlan:
    """All that is settled about a session before it starts.

    Attributes
    ----------
    seen
        A draw from [0, 1); if it is small, the server does not know when it saw the user.
    gap
        A draw from [0, 1); if it is small, the session's documents lack something.
    """

    number: int
    ids: SessionIds
    visitor: Visitor
    visit: Visit
    start: datetime
    first_seen: datetime
    seen: float
    gap: float

    def at(self, moment: datetime) -> Session:
        """Return the session at a time, which is not before its start.

        It changes only when a page view begins and when it ends; ``session_updated`` is when it last did.
        """
        elapsed = (moment - self.start) // _MS
        ended = elapsed >= self.visit.length_ms
        views = bisect_right(self.visit.views, elapsed, key=lambda view: view.offset_ms)
        errors = sum(error.view < views for error in self.visit.errors)
        length = self.visit.length_ms if ended else self.visit.views[views - 1].offset_ms
        updated = self.start + length * _MS
        identity = self.ids.session.of(self.number)
        row = {
            "session_id": identity,
            "session_start": self.start,
            "session_updated": updated,
            "session_end": updated if ended else None,
            **self._user(updated),
            "satisfaction_rating": satisfaction(self.visit.views[:views], errors),
            **self._surroundings(),
            "session_length_ms": length,
            "status": "ended" if ended else "active",
            "api_url": f"/{DETAIL.path}?{DETAIL.parameters['session_id']}={identity}",
            "web_url": f"{_WEB}/sessions/{identity}",
        }
        return Session(self, row, views, errors, ended)

    def _user(self, updated: datetime) -> Row:
        identity = self.ids.user.of(self.visitor.number)
        return {
            "user_id": identity,
            "user_is_anonymous": self.visitor.is_anonymous,
            "user_identifier": self.visitor.identifier,
            "user_first_name": self.visitor.first_name,
            "user_full_name": self.visitor.full_name,
            "user_email_address": self.visitor.email_address,
            "user_first_seen": None if self.seen < _NEVER_SEEN else self.first_seen,
            # As of this session: later ones of the same user are not looked up.
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


class Session(NamedTuple):
    """A session at one time, as rows by the names of the tables' columns; ``api_url`` lacks the server's address.

    `view_count` and `error_count` are of all so far, however many an answer lists.
    """

    plan: SessionPlan
    row: Row
    view_count: int
    error_count: int
    ended: bool

    def page_views(self) -> list[Row]:
        """Return the rows of the page views that an answer lists."""
        rows = []
        for index, view in enumerate(self.plan.visit.views[: min(self.view_count, _LIST_LIMIT)]):
            row = {
                "session_id": self.row["session_id"],
                "view_index": index,
                "page": view.page,
                "loading_time_ms": view.loading_ms,
                # The length of the last view is not known before the session's end.
                "viewing_time_ms": view.viewing_ms if self.ended or index + 1 < self.view_count else None,
                "viewed_on": self.plan.start + view.offset_ms * _MS,
            }
            rows.append(row | dict.fromkeys(view.missing))
        return rows

    def errors(self) -> list[Row]:
        """Return the rows of the errors that an answer lists."""
        rows = []
        for index, error in enumerate(self.plan.visit.errors[: min(self.error_count, _LIST_LIMIT)]):
            # No session has a thousand errors, so this counts every error of the population.
            instance = self.plan.ids.error.of(self.plan.number * 1000 + index)
            row = {
                "session_id": self.row["session_id"],
                "error_index": index,
                "group_id": self.plan.ids.group.of(TITLES.index(error.title)),
                "instance_id": instance,
                "title": error.title,
                "web_url": f"{_WEB}/errors/{instance}",
            }
            rows.append(row | dict.fromkeys(error.missing))
        return rows
