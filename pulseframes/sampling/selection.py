"""Which details to buy: a probability sample of sessions that grows by what each day's calls allow.

Sequential Poisson sampling (Ohlsson 1998) with permanent random numbers: each session has a number u between 0 and 1, made of the
seed and its id, and the sessions with the smallest u / size are drawn. So a choice needs no memory: more calls go on along the same
order, sessions that come later take their places in it, and whatever was drawn before stays drawn.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from pulseframes._arguments import whole_number
from pulseframes._random import PermanentRandom
from pulseframes.errors import InvalidQuery
from pulseframes.sampling.design import Design, Kind, names_of_strata
from pulseframes.tables import SESSIONS

#: In a population and in the lake's design, page views as a chance is made of them, never fewer than one: a session that says
#: none could otherwise not be drawn.
VIEWS: Final = "page_view_count"
#: Columns of a population beside ``session_id``: what its chance is proportional to, its stratum, whether its details were
#: asked for, and its place in the order of sample_draw.
SIZE: Final = "size"
STRATUM: Final = "stratum"
DETAILED: Final = "detailed"
ORDER: Final = "order"
PROBABILITY: Final = "inclusion_probability"
#: The probability by what was drawn before; 0 for a session that had no chance yet.
BEFORE: Final = "_before"

#: Strata of which fewer were drawn are taken together: one session says nothing of how sessions differ.
FEWEST: Final = 2

_DETAILED_AT: Final = "detail_fetched_at"
#: As a share, what may be rounding.
_ROUNDING: Final = 1e-12
#: How many strata a message names.
_NAMED: Final = 20


def choose_details(
    sessions: pl.DataFrame,
    calls: int,
    *,
    design: Kind = "pageviews",
    strata: str | Iterable[str] | None = None,
    allocation: Mapping[str, float] | None = None,
    seed: int = 0,
    detailed: Iterable[int] = (),
) -> pl.DataFrame:
    """Choose whose details to buy, so that they speak for all of these sessions. Costs no call.

    The same sessions, design and seed give the same order always: 45 calls today and 45 tomorrow choose what 90 at once would.
    Sessions whose details are there already, wherever in the order they stand, cost no call; they are part of the sample
    where the order comes to them. Sessions that still go on are left out until they have ended.

    Parameters
    ----------
    sessions : polars.DataFrame
        The population: what ``search_sessions()`` returned, or sessions of a lake. A session without a number of page
        views counts as one page view.
    calls : int
        How many details to buy.
    design : {"pageviews", "uniform"}
        What the chance is proportional to: page views, for questions about page views and errors; nothing, for those about
        sessions.
    strata : str or iterable of str, or None
        Columns by whose values the sample is stratified.
    allocation : mapping of str to float, or None
        Shares of the sample for some strata; the others divide the rest by size.
    seed : int
        Another seed is another sample.
    detailed : iterable of int
        Sessions whose details are there already, besides those with a ``detail_fetched_at``.

    Returns
    -------
    polars.DataFrame
        The sample, in the order in which to buy: ``session_id``, ``order`` (from 0), ``stratum``, ``size``,
        ``inclusion_probability``, and ``detailed``, true where no call is needed. The inverse of the inclusion probability is
        the design weight.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, columns are missing, or a session is there twice; or a stratum with a share is not there.

    References
    ----------
    Ohlsson, E. (1998). Sequential Poisson sampling. Journal of Official Statistics 14(2), 149-162.
    """
    chosen = Design(design, seed, names_of_strata(strata), allocation)
    calls = whole_number("calls", calls)
    known = pl.col(_DETAILED_AT).is_not_null() if _DETAILED_AT in _checked(sessions, chosen).columns else pl.lit(False)
    try:
        bought = pl.Series(list(detailed), dtype=pl.Int64)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        raise InvalidQuery(
            "detailed: these are no session ids, which are whole numbers of 64 bits.", argument="detailed"
        ) from None
    ended = pl.col("status").ne_missing("active") if "status" in sessions.columns else pl.lit(True)
    population = population_of(
        sessions.filter(ended), chosen, detailed=known | pl.col("session_id").is_in(bought.implode())
    )
    check_allocation(population, chosen)
    drawn = first_of(in_order(population, chosen), calls)
    rate = rates(population, chosen, drawn["session_id"])
    return drawn.join(rate, on=STRATUM, how="left", maintain_order="left").select(
        "session_id",
        ORDER,
        STRATUM,
        SIZE,
        probability(pl.col("rate")).alias(PROBABILITY),
        DETAILED,
    )


def population_of(sessions: pl.DataFrame, design: Design, *, detailed: pl.Expr) -> pl.DataFrame:
    """Give what a choice is made by: ``session_id``, ``page_view_count``, ``size``, ``stratum`` and ``detailed``."""
    views = pl.col("page_view_count").fill_null(1).clip(lower_bound=1)
    return sessions.select(
        "session_id",
        views.alias(VIEWS),
        size_of(views, design).alias(SIZE),
        stratum_of(design.strata).alias(STRATUM),
        detailed.alias(DETAILED),
    )


def check_allocation(population: pl.DataFrame, design: Design) -> None:
    """Check that all strata that have shares of their own are there; raises ``InvalidQuery`` where one is not."""
    there = population[STRATUM].unique().sort().to_list()
    missing = [name for name in design.allocation or {} if name not in there]
    if missing and there:
        raise InvalidQuery(
            f"allocation: no session is of the stratum {missing[0]!r}; there are {', '.join(map(repr, there[:_NAMED]))}"
            f"{' and others' if there[_NAMED:] else ''}.",
            argument="allocation",
        )


def size_of(views: pl.Expr, design: Design) -> pl.Expr:
    """Give what the chance of being drawn is proportional to."""
    return views if design.kind == "pageviews" else pl.lit(1, pl.Int64)


def stratum_of(strata: tuple[str, ...]) -> pl.Expr:
    """Give the name of each session's stratum; empty where there are no strata."""
    if not strata:
        return pl.lit("")
    return pl.concat_str([pl.col(name).cast(pl.String).fill_null("null") for name in strata], separator=", ")


def in_order(population: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Put a population into the order in which its details are bought, with ``order``, from 0.

    Within a stratum that is u / size. Strata take turns by their shares, as seats are given by divisors, so that any
    beginning of the order has each stratum's share, to one session; where between two whole numbers is up to chance.
    """
    draws = PermanentRandom(design.seed, "details").uniforms(population["session_id"])
    ranked = population.with_columns((draws / population[SIZE]).alias("_place")).sort("_place", "session_id")
    if design.strata:
        shares = _shares(population, design)
        starts = [_start(design.seed, name) for name in shares[STRATUM]]
        turn = (pl.col("_rank") - pl.col("_start")) / pl.col("share")
        ranked = (
            ranked.with_columns(pl.int_range(1, pl.len() + 1).over(STRATUM).alias("_rank"))
            .join(shares.with_columns(pl.Series("_start", starts, dtype=pl.Float64)), on=STRATUM, how="left")
            .sort(turn, "_place", "session_id")
        )
    return ranked.select(*population.columns, pl.int_range(pl.len(), dtype=pl.Int64).alias(ORDER))


def first_of(ordered: pl.DataFrame, calls: int) -> pl.DataFrame:
    """Give the beginning of an order that so many calls pay for."""
    return ordered.filter((~pl.col(DETAILED)).cum_sum() <= calls)


def rates(population: pl.DataFrame, design: Design, drawn: pl.Series) -> pl.DataFrame:
    """Give the rate of each stratum: the inclusion probability of one unit of size.

    It is chosen so that the probabilities of a stratum's sessions add up to the number of those that were drawn. Where sessions
    had chances before (``_before``), theirs never go down.

    Parameters
    ----------
    population : polars.DataFrame
        ``session_id``, ``size`` and ``stratum``, and ``_before`` if there is any.
    design : Design
        The design.
    drawn : polars.Series
        The ids of those that were drawn, now and before.
    """
    shares = _shares(population, design)
    before = pl.col(BEFORE) if BEFORE in population.columns else pl.lit(0.0)
    rows = population.with_columns(before.alias(BEFORE), pl.col("session_id").is_in(drawn.implode()).alias("_drawn"))
    counts = rows.group_by(STRATUM).agg(pl.col("_drawn").sum().alias("_count"))
    strata = shares.join(counts, on=STRATUM).with_columns(
        (pl.col("share") / pl.col("_size")).alias("_per_unit"),
        pl.when(pl.col("_count") >= FEWEST).then(STRATUM).alias("_group"),  # null for those that are taken together
    )
    rows = rows.join(strata, on=STRATUM, how="left")
    found = [pl.DataFrame(schema={STRATUM: pl.String, "rate": pl.Float64})]
    for (name,), part in rows.partition_by("_group", as_dict=True).items():
        times = _solved(part.select(pl.col(SIZE) * pl.col("_per_unit"), BEFORE, "_drawn"))
        mine = strata.filter(pl.col("_group").eq_missing(pl.lit(name, pl.String)))
        found.append(mine.select(STRATUM, (pl.col("_per_unit") * times).alias("rate")))
    return pl.concat(found).sort(STRATUM)


def probability(rate: pl.Expr) -> pl.Expr:
    """Give the inclusion probability by a stratum's rate."""
    return (pl.col(SIZE) * rate).clip(upper_bound=1.0)


def _solved(rows: pl.DataFrame) -> float:
    """Find c so that max(before, min(1, c * size)) adds up to the number drawn.

    As a function of c that sum is made of lines, from each point where a session's chance begins to grow, or reaches 1, to the next.

    Parameters
    ----------
    rows : polars.DataFrame
        ``size``, ``_before`` and ``_drawn``.
    """
    size, before, drawn = pl.col(SIZE), pl.col(BEFORE), int(rows["_drawn"].sum())
    if not drawn:
        return 0.0
    certain = float(rows.select((1 / size).max()).item())
    if drawn == len(rows):
        return certain
    grows = rows.select((before / size).alias("at"), size.alias("slope"), (-before).alias("rest"))
    reaches = rows.select((1 / size).alias("at"), (-size).alias("slope"), pl.lit(1.0).alias("rest"))
    lines = (
        pl.concat([grows, reaches])
        .sort("at")
        .select("at", pl.col("slope").cum_sum(), pl.col("rest").cum_sum() + float(rows[BEFORE].sum()))
    )
    there = pl.col("at").shift(-1) * pl.col("slope") + pl.col("rest") >= drawn
    found = lines.filter(there & (pl.col("slope") > float(rows[SIZE].sum()) * _ROUNDING)).head(1)
    if found.is_empty():
        return certain
    # Exactly, now that it is known whose chances grow there.
    at = found["at"].item()
    grow = (before / size <= at) & (1 / size > at)
    settled = pl.when(1 / size <= at).then(1.0).otherwise(before).filter(~grow).sum()
    times = float(rows.select((drawn - settled) / size.filter(grow).sum()).item())
    # A session that was drawn and had no chance before has some now, however many others were drawn before.
    new = rows.filter("_drawn", before == 0)
    if times * float(new.select(size.sum()).item()) <= 0 and not new.is_empty():
        return len(new) / float(rows.filter(before == 0).select(size.sum()).item())
    return max(times, 0.0)


def _shares(population: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Give each stratum's ``share`` of the sample, and the size of all its sessions."""
    sizes = population.group_by(STRATUM).agg(pl.col(SIZE).sum().alias("_size")).sort(STRATUM)
    given = dict(design.allocation or {})
    named = pl.col(STRATUM).is_in(list(given))
    rest = max(0.0, 1.0 - math.fsum(given.values()))
    unnamed = sizes.filter(~named)
    if not rest and not unnamed.is_empty():
        raise InvalidQuery(
            f"allocation: the shares leave nothing for {unnamed[STRATUM][0]!r}; without a chance of being drawn its sessions "
            "could not be spoken for. Name it, or leave a rest.",
            argument="allocation",
        )
    by_size = pl.col("_size") / max(1, unnamed["_size"].sum()) * rest
    return sizes.with_columns(
        pl.when(named)
        .then(pl.col(STRATUM).replace_strict(given, default=0.0, return_dtype=pl.Float64))
        .otherwise(by_size)
        .alias("share")
    )


def _start(seed: int, stratum: str) -> float:
    """Draw where in its first turn a stratum begins."""
    number = int.from_bytes(hashlib.blake2b(stratum.encode(), digest_size=6).digest(), "big")
    return PermanentRandom(seed, "stratum").uniform(number)


def _checked(sessions: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Check that a frame can be a population."""
    if not isinstance(sessions, pl.DataFrame):
        raise InvalidQuery(
            f"sessions: {type(sessions).__name__} is no polars DataFrame; give what search_sessions() returned, or "
            "lake.sessions().collect().",
            argument="sessions",
        )
    for name in design.columns:
        if sessions.schema.get(name) != SESSIONS.schema[name]:
            raise InvalidQuery(
                f"sessions: there is no column {name} of type {SESSIONS.schema[name]}.", argument="sessions"
            )
    twice = sessions["session_id"].is_duplicated()
    if twice.any() or sessions["session_id"].null_count():
        what = f"session {sessions['session_id'].filter(twice)[0]} is there twice" if twice.any() else "an id is null"
        raise InvalidQuery(f"sessions: {what}; each session of a population is one row.", argument="sessions")
    return sessions
