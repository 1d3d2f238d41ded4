"""What simulated traffic is drawn from: seeded random numbers, and the shop's countries, devices, pages and errors."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import Final, Generic, TypeVar

from pulseframes._random import PermanentRandom

T = TypeVar("T")

_NORMAL: Final = NormalDist()
#: Part of the formula. Visitors from before the history have negative numbers.
_OFFSET: Final = 1 << 44


class Draws(PermanentRandom):
    """Random numbers for one purpose, the same on every machine and with every version of Python."""

    def random(self, number: int) -> Random:
        """Return a generator of many draws for one number. Only its ``random()`` is the same in every Python."""
        return Random(self._add << 64 | (number + _OFFSET))  # noqa: S311 - simulated visitors need no cryptography


def whole(rng: Random, below: int) -> int:
    """Draw a whole number from 0 to `below` - 1."""
    return int(rng.random() * below)


def lognormal(rng: Random, median: float, spread: float) -> float:
    """Draw from a log-normal distribution; `spread` is the standard deviation of the logarithm."""
    # The inverse is not defined at 0, which is as likely as any other draw.
    return median * math.exp(spread * _NORMAL.inv_cdf(rng.random() or 0.5))


class Choice(Generic[T]):
    """A weighted choice."""

    def __init__(self, items: Sequence[T], weights: Sequence[float]) -> None:
        total = sum(weights)
        self._items = tuple(items)
        #: Where the share of each item after the first begins.
        self.bounds = [bound / total for bound in accumulate(weights)][:-1]

    def __call__(self, draw: float) -> T:
        """Return the item that a draw from [0, 1) falls on."""
        return self._items[bisect_right(self.bounds, draw)]


@dataclass(frozen=True)
class Country:
    """A country: its share of the visitors, and the factor on load times there."""

    code: str
    name: str
    share: float
    slowness: float
    cities: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Device:
    """A browser on an operating system: its share of the visitors, and the factors on load times and errors."""

    platform: str
    os: str
    os_versions: tuple[str, ...]
    browser: str
    browser_versions: tuple[str, ...]
    share: float
    slowness: float
    trouble: float


@dataclass(frozen=True)
class Page:
    """A kind of page.

    `address` is a template, and `load_ms` and `view_ms` are medians. `landing` and `weight` are how often it is a
    session's first and a later page; `trouble` is the chance of an error in one view, and `errors` are their titles.
    """

    address: str
    landing: float
    weight: float
    load_ms: float
    spread: float
    view_ms: float
    trouble: float
    errors: tuple[str, ...]


COUNTRIES: Final = (
    Country("US", "United States", 31, 1.0, (("California", "San Diego"), ("Texas", "Austin"), ("Ohio", "Columbus"))),
    Country("GB", "United Kingdom", 14, 0.95, (("England", "Leeds"), ("Scotland", "Glasgow"), ("Wales", "Swansea"))),
    Country("DE", "Germany", 11, 0.9, (("Bayern", "Nürnberg"), ("Sachsen", "Leipzig"), ("Berlin", "Berlin"))),
    Country("NZ", "New Zealand", 9, 1.25, (("Wellington", "Wellington"), ("Otago", "Dunedin"))),
    Country("AU", "Australia", 8, 1.2, (("Victoria", "Geelong"), ("Queensland", "Cairns"))),
    Country("CA", "Canada", 6, 1.0, (("Ontario", "Ottawa"), ("Québec", "Montréal"))),
    Country("FR", "France", 6, 0.95, (("Bretagne", "Rennes"), ("Occitanie", "Toulouse"))),
    Country("BR", "Brazil", 4, 1.6, (("São Paulo", "Campinas"), ("Bahia", "Salvador"))),
    Country("IN", "India", 4, 1.8, (("Karnataka", "Bengaluru"), ("Maharashtra", "Pune"))),
    Country("JP", "Japan", 3, 0.9, (("Osaka", "Osaka"), ("Hokkaido", "Sapporo"))),
    Country("SE", "Sweden", 2, 0.85, (("Skåne", "Malmö"), ("Uppsala", "Uppsala"))),
    Country("ZA", "South Africa", 2, 1.7, (("Western Cape", "Cape Town"), ("Gauteng", "Pretoria"))),
)

_CHROME: Final = ("142.0.7444.60", "141.0.7390.123", "141.0.7390.55", "140.0.7339.208", "131.0.6778.205")
_FIREFOX: Final = ("145.0", "144.0.2", "144.0", "140.4.0", "115.29.0")
_EDGE: Final = ("142.0.3595.53", "141.0.3537.99", "140.0.3485.94")
_SAFARI: Final = ("26.1", "26.0", "18.6", "17.6")
_IOS: Final = ("26.1", "26.0.1", "18.7.1", "17.7.2")
_ANDROID: Final = ("16", "15", "14", "13", "11")
_MACOS: Final = ("26.1", "15.7.1", "14.8.1", "10.15.7")

DEVICES: Final = (
    Device("Desktop", "Windows", ("11", "10"), "Chrome", _CHROME, 25, 0.85, 0.8),
    Device("Desktop", "Windows", ("11", "10"), "Edge", _EDGE, 9, 0.85, 0.8),
    Device("Desktop", "Windows", ("11", "10", "8.1"), "Firefox", _FIREFOX, 4, 0.9, 1.2),
    Device("Desktop", "Mac OS X", _MACOS, "Chrome", _CHROME, 8, 0.75, 0.7),
    Device("Desktop", "Mac OS X", _MACOS, "Safari", _SAFARI, 7, 0.75, 2.0),
    Device("Desktop", "Linux", ("6.17", "6.8"), "Firefox", _FIREFOX, 2, 0.8, 1.0),
    Device("Mobile", "iOS", _IOS, "Mobile Safari", _SAFARI, 20, 1.0, 3.0),
    Device("Mobile", "iOS", _IOS, "Chrome Mobile iOS", _CHROME, 3, 1.05, 2.0),
    Device("Mobile", "Android", _ANDROID, "Chrome Mobile", _CHROME, 14, 1.5, 1.0),
    Device("Mobile", "Android", _ANDROID, "Samsung Internet", ("28.0", "27.1", "24.0"), 4, 1.6, 2.5),
    Device("Tablet", "iOS", _IOS, "Mobile Safari", _SAFARI, 3, 0.95, 3.0),
    Device("Tablet", "Android", ("15", "13", "12"), "Chrome Mobile", _CHROME, 1, 1.7, 1.5),
)

#: Titles of errors that occur on any page.
ANYWHERE: Final = (
    "Script error.",
    "ResizeObserver loop completed with undelivered notifications.",
    "TypeError: Failed to fetch",
)

PAGES: Final = (
    Page("/", 30, 9, 700, 0.45, 14_000, 0.002, ()),
    Page(
        *("/c/{category}", 16, 20, 1_100, 0.5, 20_000, 0.004),
        ("TypeError: Cannot read properties of undefined (reading 'price')",),
    ),
    Page("/c/{category}?page={small}&sort=price", 3, 9, 1_300, 0.55, 18_000, 0.004, ()),
    Page(
        *("/p/{id}-{product}", 34, 30, 950, 0.5, 32_000, 0.005),
        ("TypeError: gallery.zoomTo is not a function", "NotSupportedError: The operation is not supported."),
    ),
    Page("/search?q={product}", 3, 10, 2_600, 0.7, 12_000, 0.02, ("SyntaxError: Unexpected end of JSON input",)),
    Page("/cart", 1, 8, 1_000, 0.4, 22_000, 0.012, ("Error: Cart 409: the stock has changed",)),
    Page("/checkout/address", 0, 4, 900, 0.4, 55_000, 0.01, ("RangeError: Invalid time value",)),
    Page(
        *("/checkout/payment?order={id}", 0, 3, 3_400, 0.6, 48_000, 0.07),
        ("TypeError: undefined is not an object (evaluating 'session.wallet')", "Error: Payment frame timed out"),
    ),
    Page("/account/orders/{id}", 2, 3, 1_800, 0.6, 25_000, 0.006, ()),
    Page("/journal/{article}", 9, 3, 600, 0.4, 70_000, 0.001, ()),
    Page("/help/{topic}", 2, 1, 500, 0.35, 40_000, 0.001, ()),
)

#: Every title of an error; its position determines the group.
TITLES: Final = (*ANYWHERE, *(title for page in PAGES for title in page.errors))

CATEGORIES: Final = ("garden-tools", "pots", "seeds", "watering", "lighting", "outdoor-kitchen", "gifts", "sale")
PRODUCTS: Final = tuple(
    f"{first}-{second}"
    for first in ("copper", "oak", "wool", "slate", "willow", "steel", "linen")
    for second in ("watering-can", "trowel", "lantern", "planter", "apron", "bird-house", "basket", "bench")
)
ARTICLES: Final = ("pruning-roses", "soil-for-beginners", "a-pond-in-a-day", "what-to-sow-in-spring", "saving-seeds")
TOPICS: Final = ("returns", "delivery", "warranty", "contact")

FIRST_NAMES: Final = (
    *("Mia", "Noah", "Aroha", "Liam", "Zoë", "Mateo", "Priya", "Kenji", "Sofia", "Jürgen", "Chloé", "Thabo"),
    *("Ingrid", "Omar", "Ana", "Wiremu", "Grace", "Felix", "Yuki", "Léa", "Arjun", "Elsa", "Tom", "Beatriz"),
)
LAST_NAMES: Final = (
    *("Walker", "Schmidt", "Ngata", "Martin", "Silva", "Patel", "Tanaka", "Müller", "Dubois", "Nkosi", "Larsson"),
    *("Brown", "García", "Okafor", "Kaur", "Wilson", "Fischer", "Sato", "Roux", "Lindberg", "O'Brien", "Costa"),
)
