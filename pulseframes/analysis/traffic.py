"""Traffic by time: sessions, users and page views, and how satisfied the sessions were."""

from __future__ import annotations

import os
from typing import TypeAlias

import polars as pl

from pulseframes._arguments import did_you_mean
from pulseframes.analysis.details import Details, map_parts
from pulseframes.analysis.estimate import Source, estimate, sample_of, with_limits
from pulseframes.analysis.sample import Sample, warn_of_lacking
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike, parse_window
from pulseframes.sampling.design import Design
from pulseframes.sampling.questions import Names, parse_groups
from pulseframes.tables import RATINGS, SESSIONS
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.periods import PERIOD, period_of

Sessions: TypeAlias = Lake | Sample | SessionFrames | pl.DataFrame | pl.LazyFrame | str | os.PathLike[str]


def traffic(
    source: Sessions,
    *,
    every: str = "1d",
    by: str | None = "country",
    time_zone: str = "UTC",
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
) -> pl.DataFrame:
    """Count sessions, users and page views per period. Costs no call; exact, since it needs only summaries.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames, polars.DataFrame, polars.LazyFrame or path
        The sessions: of a lake, or what ``search_sessions()`` returned; of a ``Sample``, all that it represents.
    every : str
        The length of a period, in polars' notation: ``"1h"``, ``"1d"``, ``"1w"`` (from Monday).
    by : str or None
        A column of sessions to group by as well.
    time_zone : str
        Time zone for days and hours, such as ``"Pacific/Auckland"``.
    date_from, date_to : str, date or datetime
        The sessions' starts, from and to; UTC. All sessions by default.

    Returns
    -------
    polars.DataFrame
        In chronological order: ``period``, its start in the time zone; the column of ``by``; ``sessions``; ``users``, the number of
        distinct ``user_id``; ``page_views``, of the sessions with a known number. A period without sessions has no row.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, or the frame lacks a column.
    LakeError
        If there is no lake.

    See Also
    --------
    pulseframes.charts.traffic : Draws the result.
    pulseframes.charts.hours : Draws it by hour of the day.

    Examples
    --------
    >>> days = pf.traffic("lake", by=None)
    >>> days.columns
    ['period', 'sessions', 'users', 'page_views']
    >>> hours = pf.traffic("lake", every="1h", time_zone="Pacific/Auckland")
    """
    if by is not None and (not isinstance(by, str) or by not in SESSIONS.schema):
        hint = did_you_mean(by, SESSIONS.schema)
        raise InvalidQuery(f"Unknown column {by!r} of sessions in by=.{hint}", argument="by")
    window = parse_window(date_from, date_to)
    groups = [] if by is None else [by]
    if isinstance(source, Lake | str | os.PathLike):
        source = as_lake(source, "source")
        warn_of_lacking(source, window)
    counts = (
        _sessions(source, ["session_start", "user_id", "page_view_count", *groups])
        .filter(pl.col("session_start").is_between(*window, closed="left"))
        .group_by(period_of(every, time_zone), *groups)
        .agg(
            pl.len().cast(pl.Int64).alias("sessions"),
            pl.col("user_id").drop_nulls().n_unique().cast(pl.Int64).alias("users"),
            pl.col("page_view_count").sum().alias("page_views"),
        )
        .sort(PERIOD, *groups)
    )
    return counts.collect()


def satisfaction(
    source: Source,
    *,
    every: str = "1d",
    time_zone: str = "UTC",
    by: Names | None = None,
    where: str | pl.Expr | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    wide: bool = False,
) -> pl.DataFrame:
    """Return the share of sessions with each satisfaction rating, per period. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        The details; summaries have no rating.
    every, time_zone
        As for ``traffic()``.
    by : str, polars.Expr, or sequence of them, or None
        Columns of sessions to group by as well.
    where : str or polars.Expr
        Condition on the sessions, in SQL.
    date_from, date_to, design
        As for ``page_speed()``.
    wide : bool
        Return all columns, and do not round.

    Returns
    -------
    polars.DataFrame
        In chronological order: ``period``, its start; the columns of ``by``; ``satisfaction_rating``, the best first; its ``share``
        of the sessions with a rating, with the limits of its 95% interval, ``share_lower`` and ``share_upper``; ``sessions``,
        as for ``page_speed()``; and ``flag``, that of the share; rounded as by ``estimate()``. A wide result also has
        ``standard_error`` and ``effective_sessions``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.

    See Also
    --------
    pulseframes.charts.satisfaction : Draws the result.

    Examples
    --------
    >>> ratings = pf.satisfaction("lake", every="1w")
    >>> ratings["satisfaction_rating"].head(4).to_list()
    ['Excellent', 'Good', 'Average', 'Poor']
    """
    sample = sample_of(source, date_from, date_to, design)
    others = rated_sessions(sample)["satisfaction_rating"].sort()
    ratings = list(dict.fromkeys([*RATINGS, *others]))
    # Within SQL's quotes, a quote is doubled.
    measures = {"share(satisfaction_rating = '{}')".format(rating.replace("'", "''")): rating for rating in ratings}
    groups = [period_of(every, time_zone), *parse_groups(by)]
    estimates = estimate(sample, measures, by=groups, where=where, of="sessions", wide=wide)
    names = estimates.columns[: estimates.columns.index("measure")]
    rating = pl.col("measure").replace_strict(measures, return_dtype=pl.Enum(ratings)).alias("satisfaction_rating")
    return (
        estimates.select(*names, rating, pl.col(estimates.columns[len(names) + 1 :]))
        .sort(*names, "satisfaction_rating", maintain_order=True)
        .with_columns(pl.col("satisfaction_rating").cast(pl.String))
        .rename(dict(zip(("estimate", "lower", "upper"), with_limits("share"), strict=True)))
    )


def rated_sessions(sample: Details) -> pl.DataFrame:
    """Count the sessions with each rating."""
    rating = "satisfaction_rating"

    def count(details: SessionFrames) -> pl.DataFrame:
        return details.sessions.drop_nulls(rating).group_by(rating).agg(pl.len().alias("sessions"))

    counts = pl.concat(map_parts(sample, count, {SESSIONS.name: {rating}}))
    return counts.group_by(rating).agg(pl.col("sessions").sum())


def _sessions(source: Sessions, columns: list[str]) -> pl.LazyFrame:
    """Scan columns of a source's sessions."""
    if isinstance(source, Lake):
        return source.sessions().select(*dict.fromkeys(columns))
    match source:
        case Sample():
            frame = source.population.lazy()
        case SessionFrames():
            frame = source.sessions.lazy()
        case pl.DataFrame() | pl.LazyFrame():
            frame = source.lazy()
        case _:
            raise InvalidQuery(
                "source must be a Lake or its path, a Sample, SessionFrames or a polars frame of sessions, not "
                f"{type(source).__name__}.",
                argument="source",
            )
    missing = [name for name in columns if name not in frame.collect_schema()]
    if missing:
        raise InvalidQuery(f"source: the sessions have no column {missing[0]}.", argument="source")
    return frame.select(*dict.fromkeys(columns))
