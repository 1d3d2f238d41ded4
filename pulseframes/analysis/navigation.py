"""Ways through the site: from page to page, in, out, and away at once."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.analysis.estimate import estimate
from pulseframes.analysis.page_template import Rules
from pulseframes.analysis.source import Source, sample_of, with_templates
from pulseframes.analysis.wide import side_by_side
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design

#: The page of a view that does not say one.
UNKNOWN: Final = "(not known)"

_PAGE: Final = pl.col("page_template").fill_null(UNKNOWN)
_ENTRY: Final = "view_index = 0"
_LANDINGS: Final = {"count()": "entries", "share(page_view_count = 1)": "bounce_rate"}


def paths(
    source: Source,
    *,
    rules: Rules | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> pl.DataFrame:
    """Count the ways from page to page, by page templates. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        Where the details are, which alone tell the pages.
    rules : mapping or sequence of pairs, or None
        Rules of your own for ``page_template()``.
    date_from, date_to, design
        As for ``page_speed()``.

    Returns
    -------
    polars.DataFrame
        The most frequent first: ``from_page``, null where the session begins; ``to_page``, null where it ends; ``times``, with the
        limits of its 95 % interval, ``times_lower`` and ``times_upper``; ``share``, which part of all that leave ``from_page`` that
        is, with no interval of its own; ``sessions`` and ``flag``, as for ``page_speed()``. A view that says no page is
        ``(not known)``. A detail lists 500 page views at most: a longer session seems to end there.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.
    """
    sample = with_templates(sample_of(source, date_from, date_to, design), rules)
    following = _PAGE.shift(-1).over("session_id", order_by="view_index").alias("to_page")
    steps = estimate(sample, "count()", by=[_PAGE.alias("from_page"), following], of="page_views")
    entries = estimate(sample, "count()", by=_PAGE.alias("to_page"), where=_ENTRY, of="page_views")
    entries = entries.select(pl.lit(None, pl.String).alias("from_page"), pl.all())
    found = side_by_side(pl.concat([steps, entries], how="vertical_relaxed"), {"count()": "times"})
    leaving = pl.col("times").sum().over("from_page")
    return found.select(
        "from_page",
        "to_page",
        "times",
        "times_lower",
        "times_upper",
        pl.when(leaving > 0).then(pl.col("times") / leaving).alias("share"),
        "sessions",
        "flag",
    ).sort("times", "from_page", "to_page", descending=[True, False, False])


def landings(
    source: Source,
    *,
    rules: Rules | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> pl.DataFrame:
    """Say on which pages sessions begin, and how many of them end there at once. Costs no call.

    Parameters
    ----------
    source, rules, date_from, date_to, design
        As for ``paths()``.

    Returns
    -------
    polars.DataFrame
        The most frequent first: ``page_template``; ``entries``, how many sessions begin there; ``bounce_rate``, the share of these
        that have no other page view, among those that say how many they have; both with the limits of their 95 % intervals; ``sessions`` and ``flag``, as for ``page_speed()``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.
    """
    sample = with_templates(sample_of(source, date_from, date_to, design), rules)
    found = estimate(sample, _LANDINGS, by=_PAGE, where=_ENTRY, of="page_views")
    return side_by_side(found, _LANDINGS).sort("entries", "page_template", descending=[True, False])
