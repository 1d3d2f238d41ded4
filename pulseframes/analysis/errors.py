"""Whom errors hurt: sessions, users and page views that each group of errors touched."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.analysis.estimate import estimate
from pulseframes.analysis.page_template import Rules, page_template
from pulseframes.analysis.source import Source, sample_of
from pulseframes.analysis.wide import side_by_side, with_limits
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.sampling.measures import expression
from pulseframes.tables.frames import SessionFrames

_IMPACT: Final = {
    "sessions()": "sessions_affected",
    "count()": "errors",
    "sessions(page_view_count)": "page_views_affected",
}
#: How many browsers and pages are named of a group.
_NAMED: Final = 3


def error_impact(
    source: Source,
    *,
    rules: Rules | None = None,
    where: str | pl.Expr | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> pl.DataFrame:
    """Say how many sessions, users and page views each group of errors touched, since when, and where. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        Where the details are, which alone tell the errors.
    rules : mapping or sequence of pairs, or None
        Rules of your own for ``page_template()``.
    where : str or polars.Expr
        Only errors that fulfil a condition on their columns or their session's, in SQL.
    date_from, date_to, design
        As for ``page_speed()``.

    Returns
    -------
    polars.DataFrame
        A row for each error group, the one that touches most sessions first: ``group_id``; ``title``, the last one seen;
        ``sessions_affected``; ``share_of_sessions``; ``errors``; ``page_views_affected``, the page views of the sessions affected;
        each with the limits of its 95 % interval, ``..._lower`` and ``..._upper``. Then what the details themselves show:
        ``users_seen``, how many users among them were affected (all of them, where all details are there; else, as users
        come back, no sample of sessions says how many there are); ``first_seen`` and ``last_seen``, the starts of the
        first and last such session, in UTC; ``browsers`` and ``pages``, the three that most of these sessions had. Errors do
        not say on which page they occurred. Then ``sessions`` and ``flag``, as for ``page_speed()``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.
    """
    sample = sample_of(source, date_from, date_to, design)
    found = side_by_side(estimate(sample, _IMPACT, by="group_id", where=where, of="errors"), _IMPACT)
    everybody = max(1, len(sample.population))
    shares = [
        (pl.col(of) / everybody).clip(upper_bound=1.0).alias(name)
        for of, name in zip(with_limits("sessions_affected"), with_limits("share_of_sessions"), strict=True)
    ]
    about = _seen(sample.details, None if where is None else expression(where, "where"), page_template("page", rules))
    return (
        found.with_columns(shares)
        .join(about, on="group_id", how="left", nulls_equal=True, maintain_order="left")
        .select(
            "group_id",
            "title",
            *with_limits("sessions_affected"),
            *with_limits("share_of_sessions"),
            *with_limits("errors"),
            *with_limits("page_views_affected"),
            "users_seen",
            "first_seen",
            "last_seen",
            "browsers",
            "pages",
            "sessions",
            "flag",
        )
        .sort("sessions_affected", "errors", "group_id", descending=[True, True, False])
    )


def _seen(details: SessionFrames, where: pl.Expr | None, template: pl.Expr) -> pl.DataFrame:
    """Give what the details show of each group of the errors that fulfil a condition."""
    of_session = [name for name in details.sessions.columns if name not in details.errors.columns]
    touched = details.errors.join(details.sessions.select("session_id", *of_session), on="session_id")
    touched = touched if where is None else touched.filter(where)
    once = touched.unique(["group_id", "session_id"]).select("group_id", "session_id", "browser_name")
    views = (
        details.page_views.join(once, on="session_id", how="semi").select("session_id", template.alias("page")).unique()
    )
    return (
        touched.sort("session_start", "session_id", "error_index")
        .group_by("group_id")
        .agg(
            pl.col("title").drop_nulls().last(),
            pl.col("user_id").drop_nulls().n_unique().cast(pl.Int64).alias("users_seen"),
            pl.col("session_start").min().alias("first_seen"),
            pl.col("session_start").max().alias("last_seen"),
        )
        .join(_most(once, "browser_name", "browsers"), on="group_id", how="left", nulls_equal=True)
        .join(_most(once.join(views, on="session_id"), "page", "pages"), on="group_id", how="left", nulls_equal=True)
    )


def _most(rows: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    """Give the values that most sessions of each error group have."""
    counts = rows.drop_nulls(column).group_by("group_id", column).len()
    ranked = counts.sort(["len", column], descending=[True, False])
    return ranked.group_by("group_id", maintain_order=True).agg(pl.col(column).head(_NAMED).alias(name))
