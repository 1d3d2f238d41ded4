"""Who came when, and how satisfied they were."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TypeAlias

import polars as pl

from pulseframes.analysis.estimate import Names, estimate
from pulseframes.analysis.sample import Sample
from pulseframes.analysis.source import Source, sample_of
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike, parse_instant
from pulseframes.sampling.design import Design
from pulseframes.sampling.exact import RESULT
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
    """Count sessions, users and page views by time. Costs no call; exact, as every summary tells them.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames, polars.DataFrame, polars.LazyFrame or path
        The sessions: a lake, or what ``search_sessions()`` returned; of a ``Sample``, all that it speaks for.
    every : str
        The length of a period, as polars writes it: ``"1h"``, ``"1d"``, ``"1w"`` (from Monday).
    by : str or None
        A column of sessions to count by besides.
    time_zone : str
        Whose hours and days: ``"Pacific/Auckland"``.
    date_from, date_to : str, date or datetime
        Whose sessions, by their start; UTC. All that there are, if not given.

    Returns
    -------
    polars.DataFrame
        In order of time: ``period``, when it begins, in the time zone; the column of ``by``; ``sessions``; ``users``, how many
        ``user_id`` there were; ``page_views``, of those sessions that say how many. A period without sessions has no row.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, or the frame lacks a column.
    LakeError
        If there is no lake.
    """
    if by is not None and (not isinstance(by, str) or by not in SESSIONS.schema):
        raise InvalidQuery(f"by: there is no column {by!r} of sessions.", argument="by")
    start = None if date_from is None else parse_instant("date_from", date_from)
    end = None if date_to is None else parse_instant("date_to", date_to)
    if start is not None and end is not None and start >= end:
        raise InvalidQuery(
            f"date_from: {start:%Y-%m-%d %H:%M} is not before {end:%Y-%m-%d %H:%M}.", argument="date_from"
        )
    divided = [] if by is None else [by]
    counted = (
        _sessions(source, ["session_start", "user_id", "page_view_count", *divided])
        .filter(*_between(pl.col("session_start"), start, end))
        .group_by(period_of(every, time_zone), *divided)
        .agg(
            pl.len().cast(pl.Int64).alias("sessions"),
            pl.col("user_id").drop_nulls().n_unique().cast(pl.Int64).alias("users"),
            pl.col("page_view_count").sum().alias("page_views"),
        )
        .sort(PERIOD, *divided)
    )
    if isinstance(source, Lake | str | os.PathLike):
        return as_lake(source).read(counted)
    return counted.collect()


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
) -> pl.DataFrame:
    """Say which share of the sessions had each satisfaction rating, by time. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        Where the details are, which alone tell the rating.
    every, time_zone
        As for ``traffic()``.
    by : str, polars.Expr, or sequence of them, or None
        Columns of sessions to divide by besides.
    where : str or polars.Expr
        Only sessions that fulfil a condition, in SQL.
    date_from, date_to, design
        As for ``page_speed()``.

    Returns
    -------
    polars.DataFrame
        In order of time: ``period``, when it begins; the columns of ``by``; ``satisfaction_rating``; its ``share`` of the sessions
        that have a rating, with the limits of its 95 % interval, ``share_lower`` and ``share_upper``; ``sessions`` and
        ``flag``, as for ``page_speed()``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.
    """
    sample = sample_of(source, date_from, date_to, design)
    period = period_of(every, time_zone)
    found_ratings = sample.details.sessions["satisfaction_rating"].drop_nulls().unique().sort().to_list()
    ratings = list(dict.fromkeys([*RATINGS, *found_ratings]))
    # Within SQL's quotes, a quote is two.
    measures = {"share(satisfaction_rating = '{}')".format(rating.replace("'", "''")): rating for rating in ratings}
    divided = [by] if isinstance(by, str | pl.Expr) else list(by or ())
    found = estimate(sample, measures, by=[period, *divided], where=where, of="sessions")
    groups = found.columns[: -len(RESULT)]
    return (
        found.with_columns(
            pl.col("measure").replace_strict(measures, return_dtype=pl.Enum(ratings)).alias("satisfaction_rating")
        )
        .sort(*groups, "satisfaction_rating", maintain_order=True)
        .select(
            *groups,
            pl.col("satisfaction_rating").cast(pl.String),
            pl.col("estimate").alias("share"),
            pl.col("lower").alias("share_lower"),
            pl.col("upper").alias("share_upper"),
            "sessions",
            "flag",
        )
    )


def _between(start_of: pl.Expr, start: datetime | None, end: datetime | None) -> list[pl.Expr]:
    after = [] if start is None else [start_of >= start]
    return after if end is None else [*after, start_of < end]


def _sessions(source: Sessions, columns: list[str]) -> pl.LazyFrame:
    """Scan columns of the sessions of a source."""
    if isinstance(source, Lake | str | os.PathLike):
        return as_lake(source).sessions().select(*dict.fromkeys(columns))
    match source:
        case Sample():
            frame = source.population.lazy()
        case SessionFrames():
            frame = source.sessions.lazy()
        case pl.DataFrame() | pl.LazyFrame():
            frame = source.lazy()
        case _:
            raise InvalidQuery(
                f"source: {type(source).__name__} is none of Lake, Sample, SessionFrames, polars frame, or a lake's path.",
                argument="source",
            )
    missing = [name for name in columns if name not in frame.collect_schema()]
    if missing:
        raise InvalidQuery(f"source: these sessions have no column {missing[0]}.", argument="source")
    return frame.select(*dict.fromkeys(columns))
