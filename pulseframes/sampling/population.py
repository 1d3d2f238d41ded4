"""Populations: frames of all sessions, with what selection and estimation need to know of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import polars as pl

from pulseframes._arguments import check_type
from pulseframes.errors import InvalidQuery
from pulseframes.sampling.columns import (
    DETAILED,
    PROBABILITY,
    RATE,
    RESPONDED,
    SIZE,
    STRATUM,
    VIEW_WEIGHT,
    VIEWS,
    WEIGHT,
)
from pulseframes.sampling.design import Design, size_of, stratum_of
from pulseframes.sampling.rates import DesignState, probability, stratum_rates
from pulseframes.sampling.weights import weigh
from pulseframes.tables import SESSIONS, TABLES
from pulseframes.tables.frames import SessionFrames
from pulseframes.tables.lake_tables import SETTLED_AT, SETTLED_VIEWS, views_to_draw_by


def check_frame(argument: str, frame: object, names: Iterable[str], source: str) -> None:
    """Raise ``InvalidQuery`` unless an argument is a frame with these columns and one row per session."""
    if not isinstance(frame, pl.DataFrame):
        problem = f"it must be a polars DataFrame, not {type(frame).__name__}"
    elif missing := [name for name in names if name not in frame.columns]:
        problem = f"it has no column {missing[0]}"
    elif frame["session_id"].has_nulls():
        problem = "a session_id is null"
    elif frame["session_id"].is_duplicated().any():
        problem = f"session {frame['session_id'].filter(frame['session_id'].is_duplicated())[0]} occurs twice"
    else:
        return
    raise InvalidQuery(f"{argument}: {problem}; pass what {source} returned.", argument=argument)


def ended_sessions(sessions: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Return the sessions of a user's population that can be drawn; raise ``InvalidQuery`` if the frame lacks what the design needs."""
    check_frame("sessions", sessions, design.columns, "search_sessions()")
    for name in design.columns:
        if sessions.schema[name] != SESSIONS.schema[name]:
            raise InvalidQuery(f"sessions: the column {name} must be {SESSIONS.schema[name]}.", argument="sessions")
    return sessions.filter(pl.col("status").ne_missing("active")) if "status" in sessions.columns else sessions


def check_details(argument: str, details: object, wanted: Mapping[str, Iterable[str]]) -> None:
    """Raise ``InvalidQuery`` unless an argument is details that have some columns of each table, of the declared types."""
    check_type(argument, details, SessionFrames, "what session_details() returned")
    for table, frame in cast(SessionFrames, details).tables().items():
        for name in wanted.get(table, ()):
            dtype = TABLES[table].schema[name]
            if frame.schema.get(name) != dtype:
                raise InvalidQuery(
                    f"{argument}: {table} has no column {name} of the type {dtype}; pass what session_details() returned.",
                    argument=argument,
                )


def selectable(sessions: pl.DataFrame, design: Design, *, detailed: pl.Expr) -> pl.DataFrame:
    """Return what selection needs: ``session_id``, ``page_view_count`` (at least 1), ``size``, ``stratum`` and ``detailed``."""
    views = _views(sessions).fill_null(1).clip(lower_bound=1)  # a session with none could never be drawn
    return sessions.select(
        "session_id",
        views.alias("page_view_count"),
        size_of(views, design).alias(SIZE),
        stratum_of(views, design).alias(STRATUM),
        detailed.alias(DETAILED),
    )


def population_of(sessions: pl.DataFrame, design: Design, drawn: pl.DataFrame | None = None) -> pl.DataFrame:
    """Add ``views``, ``size`` and ``stratum``; the sessions drawn have the page view counts that they were drawn by."""
    settled, then = _views(sessions), pl.lit(None, pl.Int64)
    if drawn is not None:
        counts = drawn.select("session_id", pl.col("page_view_count").alias("_when_drawn"))
        sessions, then = (
            sessions.join(counts, on="session_id", how="left", maintain_order="left"),
            pl.col("_when_drawn"),
        )
    views = pl.coalesce(then, settled, pl.lit(1))
    without = (pl.col("page_view_count") == 0) & (views <= 1)  # drawn as if it had one
    return sessions.with_columns(
        pl.when(without).then(0).otherwise(views).alias(VIEWS),
        size_of(views.clip(lower_bound=1), design).alias(SIZE),
        stratum_of(views, design).alias(STRATUM),
    ).drop("_when_drawn", strict=False)


def _views(sessions: pl.DataFrame) -> pl.Expr:
    """Return the page views that sessions are drawn by: of a lake's, those when they settled."""
    return views_to_draw_by() if {SETTLED_AT, SETTLED_VIEWS} <= {*sessions.columns} else pl.col("page_view_count")


def population_of_choice(sessions: pl.DataFrame, chosen: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Return the population that ``choose_details()`` chose from, with the probabilities that led to the choice.

    Raises ``InvalidQuery`` if a session was not chosen from it.
    """
    population = population_of(sessions.filter(pl.col("status").ne_missing("active")), design)
    foreign = chosen.join(population, on=["session_id", STRATUM, SIZE], how="anti")
    if not foreign.is_empty():
        raise InvalidQuery(
            f"chosen: session {foreign['session_id'][0]} was not chosen from these sessions by the design {design.name}.",
            argument="chosen",
        )
    chosen_rates = chosen.group_by(STRATUM).agg((pl.col(PROBABILITY) / pl.col(SIZE)).max().alias("_chosen"))
    rates = stratum_rates(population, design, chosen["session_id"]).join(chosen_rates, on=STRATUM, how="left")
    # A stratum from which nothing was chosen has the rate of its pool.
    rates = rates.select(STRATUM, pl.coalesce("_chosen", RATE).alias(RATE))
    population = with_probability(population.join(rates, on=STRATUM, how="left", maintain_order="left"))
    return population.update(chosen.select("session_id", PROBABILITY), on="session_id", how="left")


def with_probability(population: pl.DataFrame) -> pl.DataFrame:
    """Replace the rate, and what it depends on, by the inclusion probability."""
    return population.with_columns(probability()).drop(RATE, SETTLED_AT, SETTLED_VIEWS, strict=False)


def members_of(population: pl.DataFrame, ids: pl.Series, details: SessionFrames) -> tuple[pl.DataFrame, SessionFrames]:
    """Return the sessions drawn, with ``responded``, and the details of those that responded."""
    responded = pl.col("session_id").is_in(details.sessions["session_id"].implode())
    members = population.filter(pl.col("session_id").is_in(ids.implode())).with_columns(responded.alias(RESPONDED))
    respondents = members.filter(RESPONDED).select("session_id")
    sessions, page_views, errors = (
        frame.join(respondents, on="session_id", how="semi") for frame in details.tables().values()
    )
    return members, SessionFrames(sessions, page_views, errors)


def session_weights(sessions: pl.DataFrame, drawn: pl.DataFrame, state: DesignState) -> pl.DataFrame:
    """Return how many sessions each sampled one with details represents, ``weight``, and how many page views each of its own, ``view_weight``.

    They add up to the number of sessions in the population, and to that of their page views.
    """
    rated = state.with_rate(population_of(sessions, state.design, drawn))
    population = with_probability(rated.drop_nulls(RATE))
    members = population.join(drawn.select("session_id", RESPONDED), on="session_id", maintain_order="left")
    by_session, by_view = (
        weigh(population, members, auxiliary).select("session_id", WEIGHT) for auxiliary in (pl.lit(1.0), pl.col(VIEWS))
    )
    return by_session.join(by_view.rename({WEIGHT: VIEW_WEIGHT}), on="session_id", maintain_order="left")
