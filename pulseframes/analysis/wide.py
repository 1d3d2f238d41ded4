"""Estimates of several measures side by side: a row for each group, three columns for each figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

_FIGURE: Final = ("estimate", "lower", "upper")


def with_limits(name: str) -> list[str]:
    """Name a figure's columns: its own, and those of its interval's limits."""
    return [name, f"{name}_lower", f"{name}_upper"]


def side_by_side(found: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Put each measure into columns of its own.

    Parameters
    ----------
    found : polars.DataFrame
        What ``estimate()`` returned.
    names : mapping of str to str
        What the columns of each measure are called: ``x`` stands for ``x``, ``x_lower`` and ``x_upper``. The first one is
        of all groups, and says how many ``sessions`` they rest on.

    Returns
    -------
    polars.DataFrame
        The groups, the figures, ``sessions``, and ``flag``, the first that any of the figures has.
    """
    groups = found.columns[: found.columns.index("measure")]
    first, *others = (
        found.filter(measure=measure).select(
            *groups,
            *(pl.col(old).alias(new) for old, new in zip(_FIGURE, with_limits(name), strict=True)),
            pl.col("sessions").alias(f"_sessions_{number}"),
            pl.col("flag").alias(f"_flag_{number}"),
        )
        for number, (measure, name) in enumerate(names.items())
    )
    for other in others:
        first = first.join(other, on=groups, how="left", nulls_equal=True) if groups else first.hstack(other)
    return first.select(
        *groups,
        *(column for name in names.values() for column in with_limits(name)),
        pl.col("_sessions_0").alias("sessions"),
        pl.coalesce(pl.col("^_flag_.*$")).alias("flag"),
    )
