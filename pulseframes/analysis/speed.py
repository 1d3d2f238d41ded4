"""How fast pages are: load times by page or by anything else, and the Apdex."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes._arguments import whole_number
from pulseframes.analysis.estimate import Names, estimate
from pulseframes.analysis.page_template import Rules
from pulseframes.analysis.source import Source, sample_of, with_templates
from pulseframes.analysis.wide import side_by_side
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design

_SPEED: Final = {
    "count()": "views",
    "p50(loading_time_ms)": "p50_ms",
    "p75(loading_time_ms)": "p75_ms",
    "p95(loading_time_ms)": "p95_ms",
    "median(viewing_time_ms)": "viewing_ms",
}
#: Views that load within this are satisfied.
THRESHOLD_MS: Final = 2_000
#: Those within so many times that are tolerating.
_TOLERATED: Final = 4


def page_speed(
    source: Source,
    *,
    by: Names = "page_template",
    rules: Rules | None = None,
    where: str | pl.Expr | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> pl.DataFrame:
    """Say how fast pages load, and how long they are viewed. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        Where the details are. Figures from a lake's sample, or a ``Sample``, speak for all its sessions, and have intervals.
    by : str, polars.Expr, or sequence of them
        A row for each of its values: ``"page_template"``, any column of page views or sessions, or SQL.
    rules : mapping or sequence of pairs, or None
        Rules of your own for ``page_template()``.
    where : str or polars.Expr
        Only page views that fulfil a condition, in SQL.
    date_from, date_to : str, date or datetime
        Whose sessions, by their start; UTC. All that there are, if not given.
    design : {"pageviews", "uniform"}, Design or None
        Which of the lake's samples; the last, if not given.

    Returns
    -------
    polars.DataFrame
        The most viewed first: the columns of ``by``; ``views``; ``p50_ms``, ``p75_ms`` and ``p95_ms`` of ``loading_time_ms``;
        ``viewing_ms``, the median of ``viewing_time_ms``; each with the limits of its 95 % interval, ``..._lower`` and
        ``..._upper``; ``sessions``, how many with details they rest on; and ``flag``, as ``estimate()`` gives it, or
        ``not drawn``, without intervals, where no design drew the details, which speak for nobody but themselves.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.
    """
    sample = with_templates(sample_of(source, date_from, date_to, design), rules)
    found = estimate(sample, _SPEED, by=by, where=where, of="page_views")
    return side_by_side(found, _SPEED).sort("views", descending=True, maintain_order=True)


def apdex(
    source: Source,
    *,
    threshold_ms: int = THRESHOLD_MS,
    by: Names | None = None,
    rules: Rules | None = None,
    where: str | pl.Expr | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> pl.DataFrame:
    """Give the Apdex of page loads: 1 where all are fast, 0 where none is bearable. Costs no call.

    A view that loads within the threshold counts 1, one within four times that a half, a slower one nothing. A view whose load
    time is not known counts for nothing on either side.

    Parameters
    ----------
    source, rules, where, date_from, date_to, design
        As for ``page_speed()``.
    threshold_ms : int
        The threshold T, in milliseconds.
    by : str, polars.Expr, or sequence of them, or None
        A row for each of its values; one row, if None.

    Returns
    -------
    polars.DataFrame
        The columns of ``by``; ``views``; ``apdex``; both with the limits of their 95 % intervals; ``sessions`` and ``flag``,
        as for ``page_speed()``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.
    """
    threshold_ms = whole_number("threshold_ms", threshold_ms, least=1)
    sample = with_templates(sample_of(source, date_from, date_to, design), rules)
    score = (
        f"CASE WHEN loading_time_ms <= {threshold_ms} THEN 1.0 "
        f"WHEN loading_time_ms <= {_TOLERATED * threshold_ms} THEN 0.5 "
        "WHEN loading_time_ms IS NOT NULL THEN 0.0 END"
    )
    names = {"total(CASE WHEN loading_time_ms IS NOT NULL THEN 1 END)": "views", f"mean({score})": "apdex"}
    found = side_by_side(estimate(sample, names, by=by, where=where, of="page_views"), names)
    found = found.with_columns(pl.col("apdex_lower", "apdex_upper").clip(0.0, 1.0))
    return found if by is None else found.sort("views", descending=True, maintain_order=True)
