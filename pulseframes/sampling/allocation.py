"""Strata for a question, such as ``p75(loading_time_ms) by country``: which they are, and their shares of a sample.

The sessions of each group are a stratum, and rare groups together another. The shares make the mean of the groups' relative variances as
small as it can be while the variance for all sessions together stays below a limit: with relative sizes X and spreads S, they are in
proportion to S * sqrt(1 + m * X**2), where m is as large as that limit demands. With m = 0, all groups would be equally precise; as m grows,
the shares become Neyman's for the whole, X * S.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Final, NamedTuple

import polars as pl

from pulseframes._arguments import shown
from pulseframes.errors import InvalidQuery
from pulseframes.sampling.columns import BASE, OWNER, SIZE, STRATUM, VALUE
from pulseframes.sampling.design import BOTS, Design, check_summary_column
from pulseframes.sampling.measures import is_infinite, refuse_infinite, values_of
from pulseframes.sampling.population import check_details, ended_sessions, population_of
from pulseframes.sampling.questions import Grouping, Question, parse_measures
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS, TABLES
from pulseframes.tables.columns import Table
from pulseframes.tables.frames import SessionFrames


def _examples(table: Table) -> pl.DataFrame:
    """Return a row of each of three sessions, all different, to try expressions with."""
    columns = [pl.Series(name, [1, 2, 3]).cast(dtype, strict=False) for name, dtype in table.schema.items()]
    return pl.DataFrame(columns)


EXAMPLE: Final = "'p75(loading_time_ms) by country'"
_QUESTION: Final = re.compile(r"(.*\))\s*\bby\b(.*)", re.DOTALL | re.IGNORECASE)
#: A day's 45 details suffice for so many strata of a few each.
_MOST_STRATA: Final = 12
#: A group with a smaller part of all page views, or sessions, is no stratum of its own; the others always get as much.
_SMALLEST: Final = 0.01
#: The largest variance for all sessions together, as a multiple of the least. Strata of a few sessions each cost some more: measured
#: errors are up to about 1.1 times those without strata.
_MOST_VARIANCE: Final = 1.15
#: A group's spread is that of all groups until it has as many earlier details as this; from fewer, it is largely chance.
_PRIOR: Final = 20
_EXAMPLES: Final = SessionFrames(_examples(SESSIONS), _examples(PAGE_VIEWS), _examples(ERRORS))
#: Of the bisection; the shares are rounded to four digits.
_STEPS: Final = 60


class _Asked(NamedTuple):
    question: Question
    columns: tuple[str, ...]


def parse_question(text: object) -> tuple[str, tuple[str, ...]]:
    """Return a question without needless blanks, and the columns that it groups by.

    Raises ``InvalidQuery`` if it is not a question, or a search does not fill the columns.
    """
    asked = _parse(text)
    return f"{asked.question.measure.text} by {', '.join(asked.columns)}", asked.columns


def allocated(design: Design, sessions: pl.DataFrame, earlier: SessionFrames | None = None) -> Design:
    """Return a design with the strata and shares for its question, fixed for these sessions; without a question, as it is.

    ``earlier`` are details that show how sessions of each group differ.
    """
    sessions = ended_sessions(sessions, design)
    if earlier is not None:
        columns = set[str]() if design.for_question is None else _parse(design.for_question).question.columns
        needed = {"session_id", "page_view_count", *design.strata, *columns}
        check_details("earlier", earlier, {name: [*TABLES[name].schema.keys() & needed] for name in TABLES})
    if design.for_question is None or design.allocation is not None or sessions.is_empty():
        return design
    sizes = population_of(sessions, design).filter(pl.col(STRATUM) != BOTS).group_by(STRATUM).agg(pl.col(SIZE).sum())
    sizes = sizes.with_columns(pl.col(SIZE) / pl.col(SIZE).sum()).sort(SIZE, STRATUM, descending=[True, False])
    groups = sizes.filter(pl.col(SIZE) >= _SMALLEST).head(_MOST_STRATA)
    names, parts = groups[STRATUM].to_list(), groups[SIZE].to_list()
    if not names and not sizes.is_empty():  # as it is if all are bots
        raise InvalidQuery(
            f"for_question: no value of {', '.join(design.strata)} has {_SMALLEST:.0%} of all sessions or page views, so there is nothing "
            f"to divide the sample among. Group by a column with fewer values, as in {EXAMPLE}.",
            argument="for_question",
        )
    spread = {} if earlier is None else _spreads(design, earlier)
    wanted = [*zip(parts, (spread.get(name, 1.0) for name in names), strict=True)]
    shares = _shares(wanted, max(_SMALLEST, 1 - math.fsum(parts)))
    return replace(design, allocation=dict(zip(names, shares, strict=True)))


def _parse(text: object) -> _Asked:
    match = _QUESTION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidQuery(
            f"for_question must be a measure and the columns to group it by, such as {EXAMPLE}, not {shown(text)}.",
            argument="for_question",
        )
    columns = tuple(dict.fromkeys(name.strip() for name in match[2].split(",")))
    try:
        for name in columns:
            _check_group(name)
        (measure,) = parse_measures(match[1].strip())
        question = Question.of(measure, Grouping(), None)
        values = values_of(measure, _rows(question, _EXAMPLES, _EXAMPLES.sessions.with_row_index(OWNER)), [])
        refuse_infinite(measure, values.select(is_infinite().sum()).item())
    except InvalidQuery as problem:
        why = str(problem).removeprefix("for_question: ").removeprefix("measures: ").replace(" in measures=", "")
        raise InvalidQuery(f"for_question: {why} A valid one is {EXAMPLE}.", argument="for_question") from None
    return _Asked(question, columns)


def _check_group(name: str) -> None:
    check_summary_column("for_question", name)
    if SESSIONS.schema[name] not in (pl.String, pl.Boolean):
        raise InvalidQuery(f"{name} has too many values to group by.", argument="for_question")


def _shares(groups: list[tuple[float, float]], rest: float) -> list[float]:
    """Return the shares of groups with these sizes and spreads, rounded; the others, of size ``rest``, get what is left."""

    def shares(multiple: float) -> list[float]:
        roots = [spread * math.sqrt(1 + multiple * size**2) for size, spread in groups]
        others = max(math.sqrt(multiple) * rest, least / (1 - least) * math.fsum(roots))
        return [root / (math.fsum(roots) + others) for root in (*roots, others)]

    def variance(shares: list[float]) -> float:
        everyone = [*groups, (rest, 1.0)]
        return math.fsum((size * spread) ** 2 / share for (size, spread), share in zip(everyone, shares, strict=True))

    least = min(rest / _MOST_VARIANCE, 0.5)  # nor do the others lose more
    most = _MOST_VARIANCE * math.fsum([*(size * spread for size, spread in groups), rest]) ** 2
    low, high = -20.0, 40.0  # of the multiple's logarithm
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if variance(shares(math.exp(middle))) <= most else (middle, high)
    return [round(share, 4) for share in shares(math.exp(high))[:-1]]


def _spreads(design: Design, earlier: SessionFrames) -> dict[str, float]:
    """Return how much more the sessions of each stratum differ than all do: the ratio of their relative standard deviations.

    The error of a group's figure, times the square root of its details. For quantiles that of the logarithms, as few details do not
    show how dense values are; for shares, in percentage points, as rare cases would take all details.
    """
    question = _parse(design.for_question).question
    sessions = population_of(earlier.sessions, design).with_row_index(OWNER)
    measure = question.measure
    values = values_of(measure, _rows(question, earlier, sessions), [])
    value, base, size = pl.col(VALUE), pl.col(BASE), pl.col(SIZE)
    if measure.kind == "quantile":
        values = values.with_columns(value.clip(lower_bound=0).log1p())
    each = sessions.join(values.group_by(OWNER).agg(value.sum(), base.sum()), on=OWNER)
    if measure.kind in ("total", "sessions"):
        each = each.with_columns(size.cast(pl.Float64).alias(BASE))
    ratio = value.sum() / base.sum()
    scale = pl.lit(1.0) if measure.kind in ("quantile", "share") else ratio
    squares = ((value - ratio * base) ** 2 / size).sum() * size.sum() / base.sum() ** 2 / scale**2
    found = (
        each.filter(base > 0)
        .group_by(STRATUM)
        .agg((squares * pl.len() / (pl.len() - 1)).alias(VALUE), (pl.len() - 1).cast(pl.Float64).alias("_freedom"))
        .filter(pl.col("_freedom") > 0, value.is_finite())
    )
    common = (value * pl.col("_freedom")).sum() / pl.col("_freedom").sum()
    pooled = (value * pl.col("_freedom") + _PRIOR * common) / (pl.col("_freedom") + _PRIOR)
    ratios = found.select(STRATUM, (pooled / common).sqrt()).filter(value.is_finite(), value > 0)
    return dict(ratios.iter_rows())


def _rows(question: Question, earlier: SessionFrames, sessions: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that a measure is computed from, with the positions of their sessions; templates of pages are unknown here."""
    if question.level == "sessions":
        errors = earlier.errors.group_by("session_id").agg(pl.len().cast(pl.Int64).alias("error_count"))
        return sessions.join(errors, on="session_id", how="left").with_columns(pl.col("error_count").fill_null(0))
    items = earlier.page_views if question.level == "page_views" else earlier.errors
    rows = items.join(sessions, on="session_id", suffix="_of_session")
    return rows.with_columns(pl.lit(None, pl.String).alias("page_template"))
