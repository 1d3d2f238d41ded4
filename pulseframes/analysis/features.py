"""Sessions as rows for a model: what was known at the start, or all that is known at the end."""

from __future__ import annotations

import os
from typing import Final, Literal, TypeAlias, get_args

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes.analysis.page_template import Rules, page_template
from pulseframes.analysis.sample import Sample
from pulseframes.analysis.source import Source, sample_of
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.sampling.weights import WEIGHT, weigh
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.periods import local_start

Known: TypeAlias = Literal["start", "end"]

_CATEGORIES: Final = ("country", "platform_name", "os_name", "browser_name")
_SATURDAY: Final = 6
_A_DAY: Final = 86_400
_AN_HOUR: Final = 3_600
#: How far apart the server may put a session's start and the first sight of its user.
_AT_ONCE: Final = pl.duration(minutes=1)


def features(
    source: Source,
    *,
    known: Known = "end",
    rules: Rules | None = None,
    time_zone: str = "UTC",
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> pl.DataFrame:
    """Give one row a session for a model: numbers and categories. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        Where the details are: a row for each session that has them.
    known : {"start", "end"}
        What may be used: only what was known when the session's first page was asked for, so that nothing of what is to be
        foretold leaks in; or all that is known when it has ended.
    rules : mapping or sequence of pairs, or None
        Rules of your own for ``page_template()``.
    time_zone : str
        Whose hours and weekdays.
    date_from, date_to, design
        As for ``page_speed()``.

    Returns
    -------
    polars.DataFrame
        In order of ``session_id``, which is no feature. Known at the start: ``hour`` (0 to 23), ``weekday`` (1 is Monday),
        ``is_weekend``; ``country``, ``platform_name``, ``os_name``, ``browser_name`` (categories), ``browser_major`` (the version's
        first number); ``is_first_session`` and ``days_since_first_seen``, by ``user_first_seen``; ``sessions_before`` and
        ``hours_since_last``, by the user's sessions that started earlier; ``landing`` (category), the first page's template. At the
        end, besides: ``is_anonymous``, ``session_length_ms``, ``page_view_count``, ``page_templates`` (how many different ones),
        ``first_loading_ms``, ``mean_loading_ms``, ``median_loading_ms``, ``max_loading_ms``, ``viewing_ms`` (the sum),
        ``error_count``, ``error_groups``. Last ``weight``, for how many sessions it speaks, which is no feature either: null where no
        design drew the details. What is to be foretold, such as ``satisfaction_rating``, is joined by ``session_id``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, or a sample's population does not say whose the sessions are.
    LakeError
        If there is no lake.

    Notes
    -----
    The server tells of a session what it knew last. Whether its user is anonymous can change when somebody logs in, so that is
    known at the end only. Which user it is can change with it, and what hangs on that (``is_first_session`` to
    ``hours_since_last``) is then that of the user who logged in. ``user_last_seen`` is used nowhere: it goes on after the start. A
    ``user_first_seen`` over a minute after the start was written anew by the server, and counts as not known.

    ``sessions_before`` counts as far back as the source goes: all of a lake, whatever the window; of a ``Sample``, its population; of
    ``SessionFrames``, these sessions only.
    """
    check_choice("known", known, get_args(Known))
    sample = sample_of(source, date_from, date_to, design)
    details = sample.details
    template = page_template("page", rules)
    rows = (
        details.sessions.select("session_id", *_at_start(time_zone))
        .join(_history(details.sessions, _starts(source, sample)), on="session_id", how="left")
        .join(_landing(details.page_views, template), on="session_id", how="left")
    )
    if known == "end":
        rows = rows.join(_at_end(details, template), on="session_id", how="left")
    return rows.join(_weights(sample), on="session_id", how="left").sort("session_id")


def _at_start(time_zone: str) -> list[pl.Expr]:
    start, seen = local_start(time_zone), pl.col("user_first_seen")
    seen = pl.when(seen <= pl.col("session_start") + _AT_ONCE).then(seen)
    since = (pl.col("session_start") - seen).dt.total_seconds(fractional=True).clip(lower_bound=0)
    return [
        start.dt.hour().cast(pl.Int64).alias("hour"),
        start.dt.weekday().cast(pl.Int64).alias("weekday"),
        (start.dt.weekday() >= _SATURDAY).alias("is_weekend"),
        *(pl.col(name).cast(pl.Categorical) for name in _CATEGORIES),
        pl.col("browser_version").str.extract(r"^(\d+)").cast(pl.Int64, strict=False).alias("browser_major"),
        (seen >= pl.col("session_start") - _AT_ONCE).alias("is_first_session"),
        (since / _A_DAY).alias("days_since_first_seen"),
    ]


def _starts(source: Source, sample: Sample) -> pl.DataFrame:
    """Give the starts of all sessions of the users whose details are there, as far as the source knows them."""
    users = sample.details.sessions.select("user_id").drop_nulls().unique()
    if isinstance(source, Lake | str | os.PathLike):
        lake = as_lake(source)
        theirs = lake.sessions().select("user_id", "session_start").join(users.lazy(), on="user_id", how="semi")
        return lake.read(theirs)
    if "user_id" not in sample.population.columns:
        raise InvalidQuery(
            "source: the sample's population has no column user_id; make it with columns=['user_id'].",
            argument="source",
        )
    return sample.population.select("user_id", "session_start").join(users, on="user_id", how="semi")


def _history(sessions: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
    """Give how many sessions each session's user had started before, and how long ago the last one."""
    earlier = starts.sort("session_start").select(
        "user_id",
        pl.col("session_start").alias("_last"),
        pl.int_range(1, pl.len() + 1).over("user_id").alias("sessions_before"),
    )
    since = (pl.col("session_start") - pl.col("_last")).dt.total_seconds(fractional=True)
    return (
        sessions.select("session_id", "user_id", "session_start")
        .drop_nulls("user_id")
        .sort("session_start")
        .join_asof(
            earlier,
            left_on="session_start",
            right_on="_last",
            by="user_id",
            allow_exact_matches=False,
            coalesce=False,
            check_sortedness=False,
        )
        .select("session_id", pl.col("sessions_before").fill_null(0), (since / _AN_HOUR).alias("hours_since_last"))
    )


def _landing(page_views: pl.DataFrame, template: pl.Expr) -> pl.DataFrame:
    first = page_views.filter(view_index=0)
    return first.select("session_id", template.cast(pl.Categorical).alias("landing"))


def _at_end(details: SessionFrames, template: pl.Expr) -> pl.DataFrame:
    loading, viewing = pl.col("loading_time_ms"), pl.col("viewing_time_ms")
    views = details.page_views.group_by("session_id").agg(
        template.drop_nulls().n_unique().cast(pl.Int64).alias("page_templates"),
        loading.sort_by("view_index").first().alias("first_loading_ms"),
        loading.mean().alias("mean_loading_ms"),
        loading.median().alias("median_loading_ms"),
        loading.max().alias("max_loading_ms"),
        pl.when(viewing.count() > 0).then(viewing.sum()).alias("viewing_ms"),
    )
    troubles = details.errors.group_by("session_id").agg(
        pl.len().cast(pl.Int64).alias("error_count"),
        pl.col("group_id").drop_nulls().n_unique().cast(pl.Int64).alias("error_groups"),
    )
    anonymous = pl.col("user_is_anonymous").alias("is_anonymous")
    return (
        details.sessions.select("session_id", anonymous, "session_length_ms", "page_view_count")
        .join(views, on="session_id", how="left")
        .join(troubles, on="session_id", how="left")
        .with_columns(pl.col("error_count", "error_groups").fill_null(0))
    )


def _weights(sample: Sample) -> pl.DataFrame:
    """Give for how many sessions each speaks."""
    if not sample.is_drawn or sample.is_census:
        alone = pl.lit(1.0 if sample.is_drawn else None, pl.Float64)
        return sample.details.sessions.select("session_id", alone.alias(WEIGHT))
    return weigh(sample.population, sample.members, pl.lit(1.0)).select("session_id", WEIGHT)
