"""Populations that are not the simulator's, to measure estimates with: thousands of sessions with all their details.

Each kind is hard on estimates in a way of its own:

- ``pareto``: page views per session are Pareto distributed (alpha 1.5, from 2 to 500), and two bots have 5,000 each. The longer a
  session, the slower its pages: by its page views to the power of 0.25.
- ``heavyload``: page views are geometric with a mean of 4; load times have a Pareto tail (alpha 1.5).
- ``shop``: page views are geometric with a mean of 4; load times are log-normal.
- ``ties``: as ``pareto``, but load times are whole seconds.
- ``nonresponse``: as ``shop``, but long sessions are slower, as in ``pareto``, and the server no longer has the details of some sessions:
  of 4% with one page view, 8% with two, and so on up to 60%.

Common to all: 10 countries, 6 browsers and 16 pages, of unequal sizes; most sessions at midday; load times that depend on country, browser,
hour, page and session. Errors come in clusters: 3% of sessions have any, and their numbers are Pareto distributed (alpha 1.3, up to 200). Of
the summaries, 10% report fewer page views than the details have (but not those of bots), 3% none (null) and 2% zero. 8% of load
times are null.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import polars as pl

import pulseframes as pf
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.columns import Table

Numbers: TypeAlias = np.ndarray[Any, Any]
Kind: TypeAlias = Literal["pareto", "heavyload", "shop", "ties", "nonresponse"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
START: Final = datetime(2026, 11, 9, tzinfo=UTC)

COUNTRIES: Final = ("US", "GB", "DE", "FR", "NZ", "AU", "IN", "JP", "BR", "ZA")
#: Each with its platform and operating system.
BROWSERS: Final = (
    ("Chrome", "Desktop", "Windows"),
    ("Safari", "Mobile", "iOS"),
    ("Edge", "Desktop", "Windows"),
    ("Firefox", "Desktop", "Linux"),
    ("Samsung Internet", "Mobile", "Android"),
    ("Opera", "Desktop", "Mac OS X"),
)
PAGES: Final = (
    *("", "search", "product", "cart", "checkout", "account", "help", "offers"),
    *("gift", "blog", "stores", "returns", "login", "reviews", "wishlist", "contact"),
)
ERROR_GROUPS: Final = 8
BOTS: Final = 2
BOT_VIEWS: Final = 5_000

#: How much longer pages take, as logarithms: the same for all seeds, so that one week can teach another.
_EFFECTS: Final = np.random.default_rng(20261109)
BY_COUNTRY: Final = _EFFECTS.normal(0, 0.3, len(COUNTRIES))
BY_BROWSER: Final = _EFFECTS.normal(0, 0.25, len(BROWSERS))
BY_PAGE: Final = _EFFECTS.normal(0, 0.35, len(PAGES))
BY_HOUR: Final = 0.3 * np.sin((np.arange(24) - 7) * np.pi / 12)
BY_SESSION: Final = 0.35
BY_VIEW: Final = 0.5


@cache
def make(kind: Kind, sessions: int = 8_000, seed: int = 1, days: int = 7) -> tuple[pl.DataFrame, pf.SessionFrames]:
    """Return a population: the summaries that a search would find, and the details of all sessions.

    Parameters
    ----------
    kind : {"pareto", "heavyload", "shop", "ties", "nonresponse"}
        What is hard about it.
    sessions : int
        The number of sessions. All have ended; their ids are in the order of their starts.
    seed : int
        Random seed. The effects of countries, browsers, hours and pages are the same for all seeds.
    days : int
        The sessions start on these days, from ``START`` on. With 14, the first week may train a model for the second.

    Returns
    -------
    summaries : polars.DataFrame
        As from ``search_sessions()``, with the page views that the summaries report.
    details : SessionFrames
        As from ``session_details()``, of all sessions; those in ``lost()`` too. The true figures are those of these: ``truth()``.

    Examples
    --------
    >>> summaries, details = make("shop")
    >>> true = truth(details, "mean(loading_time_ms)")["estimate"][0]
    >>> found = pf.estimate(sample_of("shop", 45, seed=1), "mean(loading_time_ms)")
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    views = _view_counts(rng, kind, sessions)
    visits = _visits(rng, sessions, days).with_columns(
        pl.Series("page_view_count", views), pl.lit("ended").alias("status")
    )
    if kind in {"pareto", "ties", "nonresponse"}:
        visits = visits.with_columns(pl.col("_slowness") + 0.25 * pl.col("page_view_count").log())
    page_views = _page_views(rng, kind, visits)
    of_views = page_views.group_by("session_id").agg(
        _rating(pl.col("loading_time_ms").median()), pl.col("viewing_time_ms").sum().alias("session_length_ms")
    )
    ends = pl.col("session_start") + pl.duration(milliseconds="session_length_ms")
    whole = visits.join(of_views, on="session_id", maintain_order="left").with_columns(
        ends.alias("session_updated"), ends.alias("session_end")
    )
    details = pf.SessionFrames(_table(SESSIONS, whole), page_views, _errors(rng, sessions))
    summaries = details.sessions.with_columns(_told(rng, views), pl.lit(None, pl.String).alias("satisfaction_rating"))
    return summaries, details


@cache
def lost(kind: Kind, sessions: int = 8_000, seed: int = 1, days: int = 7) -> frozenset[int]:
    """Return the ids of the sessions whose details the server no longer has; only ``nonresponse`` has any."""
    if kind != "nonresponse":
        return frozenset()
    of_all = make(kind, sessions, seed, days)[1].sessions
    chance = (0.04 * of_all["page_view_count"].to_numpy()).clip(max=0.6)
    return frozenset(
        of_all["session_id"].to_numpy()[np.random.default_rng([seed, 404]).random(sessions) < chance].tolist()
    )


def sample_of(
    kind: Kind, calls: int, *, design: Any = "pageviews", seed: int = 0, strata: Any = None, **population: int
) -> pf.Sample:
    """Draw a sample of a population: N details, less those that are lost. ``population`` is passed on to ``make()``."""
    summaries, details = make(kind, **population)
    chosen = pf.choose_details(summaries, calls, design=design, seed=seed, strata=strata)
    names = (strata,) if isinstance(strata, str) else tuple(strata or ())
    return received(summaries, details, chosen, pf.Design(design, seed, names), lost(kind, **population))


def received(
    summaries: pl.DataFrame, details: pf.SessionFrames, chosen: pl.DataFrame, design: Any, gone: Collection[int] = ()
) -> pf.Sample:
    """Return a sample of chosen sessions, with their details except those that are gone."""
    ids = pl.Series([*{*chosen["session_id"]}.difference(gone)], dtype=pl.Int64).implode()
    came = pf.SessionFrames(*(frame.filter(pl.col("session_id").is_in(ids)) for frame in details.tables().values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pf.IncompleteWarning)  # about those that are gone
        return pf.Sample.of_frames(summaries, chosen, came, design=design)


def truth(details: pf.SessionFrames, measures: Any, **question: Any) -> pl.DataFrame:
    """Return the true figures: those of all details, as ``estimate()`` returns them with ``wide``."""
    return pf.estimate(details, measures, wide=True, **question)


def _view_counts(rng: np.random.Generator, kind: Kind, sessions: int) -> Numbers:
    if kind not in {"pareto", "ties"}:
        return rng.geometric(1 / 4, sessions)
    views = np.minimum(2 * rng.random(sessions) ** (-1 / 1.5), 500).astype(np.int64)
    views[rng.choice(sessions, BOTS, replace=False)] = BOT_VIEWS
    return views


def _visits(rng: np.random.Generator, sessions: int, days: int) -> pl.DataFrame:
    """Return who visits when: the columns of summaries that do not depend on page views, and how slow the session's pages are."""
    by_hour = 1 - 0.8 * np.cos(np.arange(24) * np.pi / 12)
    hours = rng.integers(days, size=sessions) * 24 + rng.choice(24, sessions, p=by_hour / by_hour.sum())
    starts = np.sort(((hours + rng.random(sessions)) * 3_600e6).astype(np.int64))
    countries, browsers = _uneven(rng, len(COUNTRIES), sessions), _uneven(rng, len(BROWSERS), sessions)
    slowness = BY_COUNTRY[countries] + BY_BROWSER[browsers] + BY_HOUR[starts // 3_600_000_000 % 24]
    names = zip(("browser_name", "platform_name", "os_name"), zip(*BROWSERS, strict=True), strict=True)
    return pl.DataFrame(
        {
            "session_id": np.arange(1, sessions + 1),
            "session_start": pl.Series(starts).cast(pl.Duration("us")) + START,
            "user_id": rng.integers(1, 1 + sessions // 2, sessions),
            "user_is_anonymous": np.full(sessions, fill_value=True),
            "country": np.array(COUNTRIES)[countries],
            **{column: np.array(of_browsers)[browsers] for column, of_browsers in names},
            "_slowness": slowness + rng.normal(0, BY_SESSION, sessions),
        }
    )


def _page_views(rng: np.random.Generator, kind: Kind, visits: pl.DataFrame) -> pl.DataFrame:
    counts = visits["page_view_count"].to_numpy()
    owners, rows = np.repeat(np.arange(len(counts)), counts), int(counts.sum())
    index = np.arange(rows) - np.repeat(counts.cumsum() - counts, counts)
    pages = _uneven(rng, len(PAGES), rows)
    chance = rng.random(rows) ** (-1 / 1.5) if kind == "heavyload" else np.exp(rng.normal(0.4, BY_VIEW, rows))
    loads = 800 * np.exp(visits["_slowness"].to_numpy()[owners] + BY_PAGE[pages]) * chance
    seconds = 1_000 if kind == "ties" else 1
    views = np.exp(rng.normal(9.5, 1.0, rows) + rng.normal(0, 0.5, len(counts))[owners])
    frame = pl.DataFrame(
        {
            "session_id": visits["session_id"].to_numpy()[owners],
            "view_index": index,
            "page": np.array([f"https://shop.example/{name}" for name in PAGES])[pages],
            "loading_time_ms": pl.Series((np.ceil(loads / seconds) * seconds).astype(np.int64)),
            "viewing_time_ms": views.astype(np.int64),
            "viewed_on": visits["session_start"].gather(owners) + pl.Series(index * 1_000).cast(pl.Duration("ms")),
        }
    )
    known = pl.Series(rng.random(rows) > 0.08)
    return _table(PAGE_VIEWS, frame.with_columns(pl.when(known).then("loading_time_ms")))


def _errors(rng: np.random.Generator, sessions: int) -> pl.DataFrame:
    some = np.sort(rng.choice(sessions, round(0.03 * sessions), replace=False))
    counts = np.minimum(rng.random(len(some)) ** (-1 / 1.3), 200).astype(np.int64)
    groups = _uneven(rng, ERROR_GROUPS, int(counts.sum()))
    rows = {
        "session_id": np.repeat(some + 1, counts),
        "error_index": np.arange(len(groups)) - np.repeat(counts.cumsum() - counts, counts),
        "group_id": groups + 1,
        "instance_id": np.arange(1, len(groups) + 1),
        "title": np.array([f"Error {number}" for number in range(1, ERROR_GROUPS + 1)])[groups],
    }
    return _table(ERRORS, pl.DataFrame(rows))


def _told(rng: np.random.Generator, views: Numbers) -> pl.Series:
    """Return the page views that summaries report."""
    lot, fewer = rng.random(len(views)), 1 + (rng.random(len(views)) * (views - 1)).astype(np.int64)
    told = np.where(lot < 0.10, fewer, views)
    told = np.where((lot > 0.98) & (views < BOT_VIEWS), 0, np.where(views == BOT_VIEWS, views, told))
    unknown = (lot > 0.95) & (lot < 0.98) & (views < BOT_VIEWS)
    return pl.Series(
        "page_view_count", [None if no else count for no, count in zip(unknown, told.tolist(), strict=True)]
    )


def _rating(typical_ms: pl.Expr) -> pl.Expr:
    """Return the rating of a session by its median load time; null without any."""
    limits = {"Excellent": 900, "Good": 2_000, "Average": 4_000}
    rating = pl.when(typical_ms.is_null()).then(None)
    for name, limit in limits.items():
        rating = rating.when(typical_ms < limit).then(pl.lit(name))
    return rating.otherwise(pl.lit("Poor")).alias("satisfaction_rating")


def _uneven(rng: np.random.Generator, kinds: int, size: int) -> Numbers:
    """Draw kinds, of which the first is the most frequent and the last a tenth as frequent."""
    weights = np.geomspace(1, 0.1, kinds)
    return rng.choice(kinds, size, p=weights / weights.sum())


def _table(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows as a table's frame; columns that they lack are null."""
    return pl.concat(
        [
            table.empty(),
            rows.select(pl.col(name).cast(table.schema[name]) for name in rows.columns if name in table.schema),
        ],
        how="diagonal",
    )
