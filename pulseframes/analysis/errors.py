"""Error impact: the sessions, users and page views that each group of errors affects."""

from __future__ import annotations

from functools import partial
from typing import Final

import polars as pl

from pulseframes._arguments import check_flag
from pulseframes.analysis.details import Details, map_parts, sizes_of, without_others
from pulseframes.analysis.estimate import (
    Source,
    estimate,
    narrowed,
    sample_of,
    side_by_side,
    with_limits,
    with_templates,
)
from pulseframes.analysis.page_template import Rules
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.sampling.measures import expression
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.frames import SessionFrames

_IMPACT: Final = {
    "sessions()": "sessions_affected",
    "count()": "errors",
    "sessions(page_view_count)": "page_views_affected",
}
_SHARE: Final = with_limits("share_of_sessions")
_NARROW: Final = ("group_id", "title", "sessions_affected", *_SHARE, "sessions", "flag")
_WIDE: Final = (
    *("group_id", "title", *with_limits("sessions_affected"), *_SHARE),
    *(column for figure in ("errors", "page_views_affected") for column in (*with_limits(figure), f"{figure}_flag")),
    *("users_seen", "first_seen", "last_seen", "browsers", "pages", "sessions", "flag"),
)
#: Titles of messages that a browser reports for any site and that point to no code of it, as regular expressions.
NOISE: Final = (r"(?i)^(error: )?resizeobserver loop\b", r"(?i)^(error: )?script error\.?$")
#: The order of errors in time.
_ORDER: Final = ("session_start", "session_id", "error_index")
#: How many browsers and pages are listed per group.
_LISTED: Final = 3


def error_impact(
    source: Source,
    *,
    rules: Rules | None = None,
    where: str | pl.Expr | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    wide: bool = False,
) -> pl.DataFrame:
    """Count the sessions, users and page views that each error group affects. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        The details; summaries have no errors.
    rules : mapping or sequence of pairs, or None
        Your own rules for ``page_template()``.
    where : str or polars.Expr
        Condition on the columns of errors or their sessions, in SQL.
    date_from, date_to, design
        As for ``page_speed()``.
    wide : bool
        Return all figures, and do not round.

    Returns
    -------
    polars.DataFrame
        One row per error group, the one with most sessions first: ``group_id``; ``title``, the last one seen;
        ``sessions_affected``; ``share_of_sessions``, with the limits of its 95% interval; ``sessions``, the number of sessions with
        details behind them; and ``flag``, that of the number of sessions in ``estimate()``. Sessions are rounded to whole numbers, and
        shares as by ``estimate()``. A wide result is not rounded; it also has the interval of each figure, ``..._lower`` and ``..._upper``; ``errors`` and ``page_views_affected``, the
        page views of the affected sessions, with their own flags, ``..._flag``; and, for the downloaded details alone,
        ``users_seen``, the number of affected users (a sample of sessions cannot estimate the number of all, because users come
        back), ``first_seen`` and ``last_seen``, the starts of the first and last affected session, in UTC, ``browsers`` and
        ``pages``, the three that most affected sessions had (the API does not report the page of an error).

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.

    See Also
    --------
    pulseframes.charts.error_impact : Draws the result.

    Examples
    --------
    >>> impact = pf.error_impact("lake", where="country IN ('NZ', 'AU')")
    >>> worst = impact.head(3)["title"].to_list()
    >>> pages = pf.error_impact("lake", wide=True)["pages"]
    """
    check_flag("wide", wide)
    sample = sample_of(source, date_from, date_to, design)
    estimates = estimate(sample, _IMPACT, by="group_id", where=where, of="errors", wide=True)
    impact = side_by_side(estimates, _IMPACT, "sessions_affected")
    population = max(1, sizes_of(sample).population)
    shares = [
        (pl.col(affected) / population).clip(upper_bound=1.0).alias(name)
        for affected, name in zip(with_limits("sessions_affected"), _SHARE, strict=True)
    ]
    condition = None if where is None else expression(where, "where")
    seen = _seen(sample, condition, rules)
    ranked = (
        impact.with_columns(shares)
        .join(seen, on="group_id", how="left", nulls_equal=True, maintain_order="left")
        .sort("sessions_affected", "errors", "group_id", descending=[True, True, False])
    )
    return ranked.select(_WIDE) if wide else narrowed(ranked, ("sessions_affected", _SHARE[0]), _NARROW)


def is_noise() -> pl.Expr:
    """Return a filter of error groups for browser noise, by their titles."""
    title = pl.col("title").str.strip_chars()
    return pl.any_horizontal(title.str.contains(pattern) for pattern in NOISE).fill_null(value=False)


def _seen(sample: Details, where: pl.Expr | None, rules: Rules | None) -> pl.DataFrame:
    """Return what the details show of each group of errors."""
    named = set[str]() if where is None else {*where.meta.root_names()}
    wanted = {
        SESSIONS.name: {"session_start", "user_id", "browser_name", *named},
        PAGE_VIEWS.name: {"page_template"},
        ERRORS.name: {"error_index", "group_id", "title", *named},
    }
    parts = map_parts(with_templates(sample, rules), partial(_seen_of, where=where), wanted)
    times, titles, users, browsers, pages = (pl.concat(frames) for frames in zip(*parts, strict=True))
    found: pl.DataFrame = times.group_by("group_id").agg(pl.col("first_seen").min(), pl.col("last_seen").max())
    of_groups = (
        titles.sort(_ORDER).group_by("group_id").agg(pl.col("title").last()),
        users.unique().group_by("group_id").agg(pl.len().cast(pl.Int64).alias("users_seen")),
        _most_common(browsers, "browser_name", "browsers"),
        _most_common(pages, "page_template", "pages"),
    )
    for of_group in of_groups:
        found = found.join(of_group, on="group_id", how="left", nulls_equal=True)
    return found.with_columns(pl.col("users_seen").fill_null(0))


def _seen_of(details: SessionFrames, where: pl.Expr | None) -> tuple[pl.DataFrame, ...]:
    """Return, for some sessions, each group's first and last start, last title, users, and how many sessions have each browser and page."""
    of_session = [name for name in details.sessions.columns if name not in details.errors.columns]
    errors = details.errors.join(details.sessions.select("session_id", *of_session), on="session_id")
    errors = errors if where is None else errors.filter(where)
    start = pl.col("session_start")
    times = errors.group_by("group_id").agg(start.min().alias("first_seen"), start.max().alias("last_seen"))
    titles = errors.select(*_ORDER, "group_id", "title").drop_nulls("title").sort(_ORDER)
    users = errors.select("group_id", "user_id").drop_nulls("user_id").unique()
    affected = errors.unique(["group_id", "session_id"]).select("group_id", "session_id", "browser_name")
    views = (
        details.page_views.join(affected, on="session_id", how="semi").select("session_id", "page_template").unique()
    )
    pages = affected.join(views, on="session_id")
    return (
        times,
        without_others(titles.unique("group_id", keep="last")),
        users,
        *(
            frame.drop_nulls(column).group_by("group_id", column).agg(pl.len().alias("sessions"))
            for frame, column in ((affected, "browser_name"), (pages, "page_template"))
        ),
    )


def _most_common(counts: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    """Return the values that most sessions of each error group have."""
    ranked = counts.group_by("group_id", column).agg(pl.col("sessions").sum())
    ranked = ranked.sort(["sessions", column], descending=[True, False])
    return ranked.group_by("group_id", maintain_order=True).agg(pl.col(column).head(_LISTED).alias(name))
