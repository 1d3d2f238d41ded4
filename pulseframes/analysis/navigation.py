"""Navigation: paths from page to page, landing pages and bounces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from pulseframes._arguments import check_flag
from pulseframes.analysis.answers import shares_within
from pulseframes.analysis.details import Details
from pulseframes.analysis.estimate import (
    Source,
    estimate,
    estimates,
    narrowed,
    sample_of,
    side_by_side,
    with_limits,
    with_templates,
)
from pulseframes.analysis.page_template import Rules
from pulseframes.analysis.stored import StoredDetails
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.sampling.questions import Grouping, Names

#: The page of a view without an address.
UNKNOWN: Final = "(not known)"

#: The page of a view, and the condition for the first view of a session.
PAGE: Final = pl.col("page_template").fill_null(UNKNOWN)
ENTRY: Final = "view_index = 0"
_LANDINGS: Final = {"count()": "entries", "share(page_view_count = 1)": "bounce_rate"}
_NARROW: Final = ("page_template", *with_limits("entries"), "bounce_rate", "sessions", "flag")


def paths(
    source: Source,
    *,
    rules: Rules | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    wide: bool = False,
) -> pl.DataFrame:
    """Count the steps from page template to page template. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        The details; summaries have no pages.
    rules : mapping or sequence of pairs, or None
        Your own rules for ``page_template()``.
    date_from, date_to, design
        As for ``page_speed()``.
    wide : bool
        Return all figures, and do not round.

    Returns
    -------
    polars.DataFrame
        The most frequent first: ``from_page``, null where a session begins; ``to_page``, null where it ends; ``times``, with the
        limits of its 95% interval, ``times_lower`` and ``times_upper``; ``sessions``, as for ``page_speed()``; and ``flag``,
        that of ``times``, which are rounded to whole numbers. A wide result is not rounded, and also has ``share``, the part of all steps
        from ``from_page``, with ``share_lower``, ``share_upper`` and ``share_flag``. A view without an address is ``(not known)``.
        Details list at most 500 page views, so a longer session seems to end there.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.

    See Also
    --------
    landings : The pages on which sessions begin.
    pulseframes.charts.paths : Draws the result.

    Examples
    --------
    >>> steps = pf.paths("lake", rules={"/p/**": "/p/{product}"})
    >>> entries = steps.filter(pl.col("from_page").is_null())
    """
    check_flag("wide", wide)
    sample = with_templates(sample_of(source, date_from, date_to, design), rules)
    following = PAGE.shift(-1).over("session_id", order_by="view_index").alias("to_page")
    groupings: list[tuple[Names, str | None]] = [
        ([PAGE.alias("from_page"), following], None),
        (PAGE.alias("to_page"), ENTRY),
    ]
    steps, entries = estimates(sample, ["count()"], groupings, "page_views")
    entries = entries.select(pl.lit(None, pl.String).alias("from_page"), pl.all())
    counts = side_by_side(pl.concat([steps, entries], how="vertical_relaxed"), {"count()": "times"}, "times")
    ranked = counts.sort("times", "from_page", "to_page", descending=[True, False, False])
    if wide:
        columns = [*with_limits("times"), *with_limits("share"), "share_flag", "sessions", "flag"]
        return _with_shares(ranked, sample, groupings).select("from_page", "to_page", *columns)
    return narrowed(ranked, ["times"], ["from_page", "to_page", *with_limits("times"), "sessions", "flag"])


def _with_shares(steps: pl.DataFrame, sample: Details, groupings: Sequence[tuple[Names, str | None]]) -> pl.DataFrame:
    """Add the share of each step in all steps from its page, with its interval and flag."""
    if isinstance(sample, StoredDetails) or sample.is_census:
        leaving = pl.col("times").sum().over("from_page")
        share = pl.when(leaving > 0).then(pl.col("times") / leaving)
        limit = share if sample.is_drawn else pl.lit(None, pl.Float64)
        return steps.with_columns(
            share.alias("share"), limit.alias("share_lower"), limit.alias("share_upper"), share_flag="flag"
        )
    following, first = (
        shares_within(sample, Grouping.parse(*grouping), within, "page_views")
        for grouping, within in zip(groupings, (1, 0), strict=True)
    )
    shares = pl.concat([following, first.select(pl.lit(None, pl.String).alias("from_page"), pl.all())])
    return steps.join(shares, on=["from_page", "to_page"], how="left", nulls_equal=True, maintain_order="left")


def landings(
    source: Source,
    *,
    rules: Rules | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    wide: bool = False,
) -> pl.DataFrame:
    """Count the sessions that start on each page, and the share of them that bounce. Costs no call.

    Parameters
    ----------
    source, rules, date_from, date_to, design, wide
        As for ``paths()``.

    Returns
    -------
    polars.DataFrame
        The most frequent first: ``page_template``; ``entries``, the number of sessions that start there, with the limits of its
        95% interval, ``entries_lower`` and ``entries_upper``; ``bounce_rate``, the share of them with no other page view, among
        those with a known number; ``sessions``, as for ``page_speed()``; and ``flag``, that of ``entries`` or, else, of ``bounce_rate``.
        Entries are rounded to whole numbers, and the rate as by ``estimate()``. A wide result is not rounded, and also has the interval
        of ``bounce_rate`` and ``bounce_rate_flag``; ``flag`` is then that of ``entries``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.

    See Also
    --------
    paths : Which page follows which.
    pulseframes.charts.landings : Draws the result.

    Examples
    --------
    >>> top = pf.landings("lake").head(5)
    """
    check_flag("wide", wide)
    sample = with_templates(sample_of(source, date_from, date_to, design), rules)
    estimates = estimate(sample, _LANDINGS, by=PAGE, where=ENTRY, of="page_views", wide=True)
    pages = side_by_side(estimates, _LANDINGS, "entries").sort("entries", "page_template", descending=[True, False])
    return pages if wide else narrowed(pages, _LANDINGS.values(), _NARROW)
