"""Whether a design suits the questions that the other kind of design is for."""

from __future__ import annotations

import polars as pl

from pulseframes._text import plural
from pulseframes.sampling.columns import SIZE
from pulseframes.sampling.design import Design
from pulseframes.sampling.inference import FEW
from pulseframes.sampling.weights import design_worth


def wrong_design(population: pl.DataFrame, design: Design, details: int) -> str | None:
    """Return a sentence if details drawn by a design are worth fewer than 10 sessions for the other kind of question.

    It says so before figures have the flag ``wrong design``. None if there are fewer details than 10: by any design these are few.

    Parameters
    ----------
    population : polars.DataFrame
        ``page_view_count``, ``size``, and the ``inclusion_probability`` with which that many details are drawn.
    design : Design
        The design.
    details : int
        How many sessions are drawn.
    """
    if design.kind == "uniform":
        other, counts, questions, why = (
            "pageviews",
            pl.col("page_view_count"),
            "page views",
            "few sessions have most page views",
        )
    else:
        other, counts, questions, why = "uniform", pl.lit(1.0), "sessions", "short sessions are seldom drawn"
    if details < FEW or design_worth(population, pl.col(SIZE)) < FEW:
        return None
    worth = design_worth(population, counts)
    if worth >= FEW:
        return None
    number = "less than 1" if worth < 1 else f"about {worth:.0f}"
    return (
        f"For figures of {questions}, {plural(details, 'detail')} by this design are worth {number}, since {why}. "
        f"Draw by {other} for such questions."
    )
