"""What happens in a session: the pages that are viewed, how fast they load, and the errors."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from pulseframes.simulator.catalog import (
    ANYWHERE,
    ARTICLES,
    CATEGORIES,
    PAGES,
    PRODUCTS,
    TOPICS,
    Choice,
    Page,
)
from pulseframes.simulator.draws import lognormal, whole
from pulseframes.simulator.visitors import Visitor
from pulseframes.tables import ERRORS, PAGE_VIEWS

SHOP: Final = "https://shop.example"

_LANDING: Final = Choice(PAGES, [page.landing for page in PAGES])
_LATER: Final = Choice(PAGES, [page.weight for page in PAGES])

#: One session in so many is a machine that walks the whole shop: more page views than one answer lists.
_CRAWLERS: Final = 1 / 1500
_LONGEST_VIEW_MS: Final = 25 * 60_000
#: The share of errors that are of the page's own kinds, where it has some.
_OWN_ERRORS: Final = 0.8

#: Each of these is missing from one view, or one error, in so many.
_RARE: Final = 1 / 500
_VIEW_GAPS: Final = tuple(column.name for column in PAGE_VIEWS.sourced)
_ERROR_GAPS: Final = tuple(column.name for column in ERRORS.sourced)

#: A page counts as fast up to the first of these, and as slow above the second.
FAST_MS: Final = 1_500
SLOW_MS: Final = 4_000


class View(NamedTuple):
    """One page view, with its place in time: milliseconds since the session's start.

    `kind` and the two draws make the page's address; `missing` names the column that the server knows no value of,
    None where it knows all.
    """

    offset_ms: int
    kind: Page
    draws: tuple[float, float]
    loading_ms: int
    viewing_ms: int
    missing: str | None

    @property
    def page(self) -> str:
        """The address; some products and articles are seen far more than others."""
        address = self.kind.address
        if "{" not in address:
            return SHOP + address
        popular, other = self.draws[0] ** 2, self.draws[1]
        product = int(popular * len(PRODUCTS))
        is_product = "{product}" in address and "{id}" in address
        return SHOP + address.format(
            category=CATEGORIES[int(popular * len(CATEGORIES))],
            product=PRODUCTS[product] if is_product else PRODUCTS[product].replace("-", "+"),
            id=40_000 + 37 * product if is_product else 700_000 + int(other * 200_000),
            small=2 + int(other * 5),
            article=ARTICLES[int(popular * len(ARTICLES))],
            topic=TOPICS[int(popular * len(TOPICS))],
        )


class Trouble(NamedTuple):
    """One error, and the position of the view that it occurred in; `missing` is as a view's."""

    view: int
    title: str
    missing: str | None


@dataclass(frozen=True, slots=True)
class Visit:
    """Everything that happens in a session from its start to its end."""

    views: tuple[View, ...]
    errors: tuple[Trouble, ...]
    length_ms: int

    def views_by(self, elapsed_ms: int) -> int:
        """Count the views that have begun after some time."""
        return bisect_right(self.views, elapsed_ms, key=lambda view: view.offset_ms)


def plan_visit(rng: Random, visitor: Visitor, pressure: float) -> Visit:
    """Draw a session of a visitor, at a time when pages take so many times as long to load as they do on the mean."""
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


def satisfaction(views: Sequence[View], errors: int) -> str:
    """Rate a session as Excellent, Good, Average or Poor.

    A fast view scores 1, a slow one 0, one between a half; each error takes a tenth off the mean.
    """
    scores = sum((view.loading_ms <= FAST_MS) + (view.loading_ms <= SLOW_MS) for view in views)
    score = scores / (2 * len(views)) - 0.1 * errors
    for rating, least in (("Excellent", 0.9), ("Good", 0.7), ("Average", 0.5)):
        if score >= least:
            return rating
    return "Poor"


def _title(rng: Random, kind: Page) -> str:
    """Choose an error: mostly one of the page's own, else one that any page may have."""
    titles = kind.errors if kind.errors and rng.random() < _OWN_ERRORS else ANYWHERE
    return titles[int(rng.random() ** 2 * len(titles))]


def _missing(rng: Random, columns: tuple[str, ...]) -> str | None:
    """Choose the column whose value is missing; mostly none."""
    position = int(rng.random() / _RARE)
    return columns[position] if position < len(columns) else None
