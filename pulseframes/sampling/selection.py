"""Choose whose details to download: a random sample that grows by as much as each day's calls allow.

Sequential Poisson sampling (Ohlsson 1998) with permanent random numbers: each session has a number u between 0 and 1, computed
from the seed and its id, and the sessions with the smallest u / size are drawn. So selection is stateless: more calls continue
along the same order, later sessions take their places in it, and a session that was drawn stays drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import get_args

import polars as pl

from pulseframes._arguments import check_choice, whole_number
from pulseframes._random import PermanentRandom
from pulseframes.errors import InvalidQuery
from pulseframes.sampling.allocation import allocated
from pulseframes.sampling.columns import DETAILED, ORDER, SIZE, STRATUM
from pulseframes.sampling.design import BOTS, Design, Kind, check_strata_exist, strata_columns, stratum_shares
from pulseframes.sampling.population import ended_sessions, selectable
from pulseframes.sampling.rates import probability, stratum_rates


def choose_details(
    sessions: pl.DataFrame,
    calls: int,
    *,
    design: Kind | Design = "pageviews",
    strata: str | Iterable[str] | None = None,
    allocation: Mapping[str, float] | None = None,
    seed: int = 0,
    bot_share: float | None = 0.05,
    detailed: Iterable[int] = (),
) -> pl.DataFrame:
    """Choose a random sample of sessions to download the details of. Costs no call.

    Selection is stateless: 45 calls today and 45 tomorrow choose the same 90 sessions as one run of 90. Details you already have
    cost no call; they join the sample when the order reaches them. Active sessions are omitted until they have ended.

    Parameters
    ----------
    sessions : polars.DataFrame
        The population: what ``search_sessions()`` returned, or a lake's sessions. A session without a page view count counts as
        one page view.
    calls : int
        How many details to download.
    design : {"pageviews", "uniform"} or Design
        What a session's chance is proportional to: its page views, for questions about page views and errors; or the same
        for all sessions, for questions about sessions. A ``Design`` has strata, allocation, seed and bot share of its own; one for a
        question chooses its shares by these sessions, unless ``Design.allocated()`` did.
    strata : str or iterable of str, or None
        Columns to stratify by.
    allocation : mapping of str to float, or None
        Shares of the sample for some strata, by name; the others divide the rest in proportion to their sizes.
    seed : int
        Random seed; a different seed draws a different sample.
    bot_share : float or None
        The largest share of the sample that goes to sessions with 500 page views or more, as in ``Design``. None treats them like
        others, as samples that were chosen before this argument existed.
    detailed : iterable of int
        Sessions whose details you already have, in addition to those with a ``detail_fetched_at``.

    Returns
    -------
    polars.DataFrame
        The sample, in the order to download it: ``session_id``, ``order`` (from 0), ``stratum``, ``size``,
        ``inclusion_probability`` (its inverse is the design weight), and ``detailed``, true where no call is needed.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, a column is missing, a session occurs twice, or the allocation names a stratum without sessions.

    References
    ----------
    Ohlsson, E. (1998). Sequential Poisson sampling. Journal of Official Statistics 14(2), 149-162.

    Examples
    --------
    >>> sessions = pf.search_sessions("2026-11-09", "2026-11-16")
    >>> chosen = pf.choose_details(sessions, 5, strata="platform_name")
    >>> len(chosen)
    5
    >>> details = pf.session_details(chosen["session_id"])
    """
    if isinstance(design, Design):
        other_share = None if bot_share == Design.bot_share else bot_share
        given = {"strata": strata, "allocation": allocation, "seed": seed or None, "bot_share": other_share}
        for name in (name for name, value in given.items() if value is not None):
            raise InvalidQuery(f"{name}: a Design has its own, so pass it there: Design({name}=…).", argument=name)
        chosen = design
    else:
        check_choice("design", design, get_args(Kind))
        chosen = Design(design, seed, strata_columns(strata), allocation, bot_share)
    calls = whole_number("calls", calls)
    ended = ended_sessions(sessions, chosen)
    try:
        listed = pl.Series(list(detailed), dtype=pl.Int64)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        raise InvalidQuery("detailed must be session ids, which are 64-bit integers.", argument="detailed") from None
    known = pl.col("session_id").is_in(listed.implode())
    if "detail_fetched_at" in sessions.columns:
        known |= pl.col("detail_fetched_at").is_not_null()
    chosen = allocated(chosen, ended)
    population = selectable(ended, chosen, detailed=known)
    check_strata_exist(population, chosen)
    drawn = first_of(in_order(population, chosen), calls)
    rates = stratum_rates(population, chosen, drawn["session_id"])
    return drawn.join(rates, on=STRATUM, how="left", maintain_order="left").select(
        "session_id", ORDER, STRATUM, SIZE, probability(), DETAILED
    )


def in_order(population: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Sort a population into the order of selection, and number it: ``order``, from 0.

    Within a stratum, that is the order of u / size. Strata take turns by their shares, as parties get seats by a divisor method, so
    that any beginning of the order has each stratum's share, to within one session. Each stratum starts its turns at random.
    """
    numbers = PermanentRandom(design.seed, "details").uniforms(population["session_id"])
    ranked = population.with_columns((numbers / population[SIZE]).alias("_place")).sort("_place", "session_id")
    if population[STRATUM].n_unique() > 1:
        shares = stratum_shares(population, design)
        starts = [_start(design.seed, name) for name in shares[STRATUM]]
        turn = (pl.col("_rank") - pl.col("_start")) / pl.col("share")
        ranked = (
            ranked.with_columns(pl.int_range(1, pl.len() + 1).over(STRATUM).alias("_rank"))
            .join(shares.with_columns(pl.Series("_start", starts, dtype=pl.Float64)), on=STRATUM, how="left")
            .sort(turn, "_place", "session_id")
        )
    return ranked.select(*population.columns, pl.int_range(pl.len(), dtype=pl.Int64).alias(ORDER))


def first_of(ordered: pl.DataFrame, calls: int) -> pl.DataFrame:
    """Return the beginning of an order that takes at most N calls."""
    return ordered.filter((~pl.col(DETAILED)).cum_sum() <= calls)


def _start(seed: int, stratum: str) -> float:
    """Return where in its first turn a stratum starts. Bots start late in it: their share is small, and few details must not miss them."""
    number = int.from_bytes(hashlib.blake2b(stratum.encode(), digest_size=6).digest(), "big")
    start = PermanentRandom(seed, "stratum").uniform(number)
    return max(start, 0.5) if stratum == BOTS else start
