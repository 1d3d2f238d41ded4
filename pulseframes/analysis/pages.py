"""Page speed: load times by page or by anything else, and the Apdex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from pulseframes._arguments import check_flag, whole_number
from pulseframes.analysis.details import Details
from pulseframes.analysis.estimate import (
    Source,
    estimate,
    estimates,
    narrowed,
    sample_of,
    side_by_side,
    with_limits,
    with_templates,
)
from pulseframes.analysis.page_template import Rules
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.sampling.questions import Names

_SPEED: Final = {
    "count()": "views",
    "p50(loading_time_ms)": "p50_ms",
    "p75(loading_time_ms)": "p75_ms",
    "p95(loading_time_ms)": "p95_ms",
    "median(viewing_time_ms)": "viewing_ms",
}
#: The figures that are returned unless all are wanted.
_NARROW: Final = {measure: name for measure, name in _SPEED.items() if name in ("views", "p75_ms")}
#: Apdex: views that load within this are satisfied.
THRESHOLD_MS: Final = 2_000
#: Views that load within this many thresholds are tolerating.
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
    wide: bool = False,
) -> pl.DataFrame:
    """Return load and viewing times per page. Costs no call.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        The details. Those of a random sample are estimated from, for all sessions that it represents.
    by : str, polars.Expr, or sequence of them
        What to group by: ``"page_template"``, columns of page views or sessions, or SQL.
    rules : mapping or sequence of pairs, or None
        Your own rules for ``page_template()``.
    where : str or polars.Expr
        Condition on the page views, in SQL.
    date_from, date_to : str, date or datetime
        The sessions' starts, from and to; UTC. All sessions by default.
    design : {"pageviews", "uniform"}, Design or None
        Which of the lake's samples; the last one drawn, by default.
    wide : bool
        Return all figures, and do not round.

    Returns
    -------
    polars.DataFrame
        The most viewed first: the columns of ``by``; ``views``; ``p75_ms``, the 75th percentile of ``loading_time_ms``, with the
        limits of its 95% interval, ``p75_ms_lower`` and ``p75_ms_upper``; ``sessions``, the number of sessions with details behind
        them; and ``flag``, that of ``p75_ms`` or, else, of ``views``, as in ``estimate()``. A wide result also has ``p50_ms``, ``p95_ms`` and ``viewing_ms``,
        the median of ``viewing_time_ms``, and the interval of each figure, ``..._lower`` and ``..._upper``, and its own flag,
        ``..._flag``; ``flag`` is then that of ``p75_ms``. Views are rounded to whole numbers, and load times as by ``estimate()``,
        except in a wide result. Details that were not sampled at random describe only themselves: they have no intervals, and the
        flag ``not drawn``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.

    See Also
    --------
    apdex : One figure for a threshold.
    page_template : How addresses are grouped.
    pulseframes.charts.page_speed : Draws the result.

    Examples
    --------
    >>> pages = pf.page_speed("lake")
    >>> pages.columns
    ['page_template', 'views', 'p75_ms', 'p75_ms_lower', 'p75_ms_upper', 'sessions', 'flag']
    >>> browsers = pf.page_speed("lake", by="browser_name", where="page_template = '/checkout/payment'", wide=True)
    """
    check_flag("wide", wide)
    sample = with_templates(sample_of(source, date_from, date_to, design), rules)
    [speed] = page_speeds(sample, [by], where=where, figures=_SPEED if wide else _NARROW)
    return speed if wide else _narrow(speed, "p75_ms")


def page_speeds(
    sample: Details,
    groups: Sequence[Names],
    *,
    where: str | pl.Expr | None = None,
    figures: Mapping[str, str] = _SPEED,
) -> list[pl.DataFrame]:
    """Return load times by several groups, each as a wide ``page_speed()`` does, for which the page views are read once."""
    found = estimates(sample, figures, [(by, where) for by in groups], "page_views")
    return [
        side_by_side(by_group, figures, "p75_ms").sort("views", descending=True, maintain_order=True)
        for by_group in found
    ]


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
    wide: bool = False,
) -> pl.DataFrame:
    """Return the Apdex of page loads: 1 if all views are fast, 0 if all are slow. Costs no call.

    A view that loads within the threshold counts 1, within four thresholds a half, and a slower one 0. Views with an unknown load
    time are ignored.

    Parameters
    ----------
    source, rules, where, date_from, date_to, design, wide
        As for ``page_speed()``.
    threshold_ms : int
        The threshold T, in milliseconds.
    by : str, polars.Expr, or sequence of them, or None
        What to group by; one row by default.

    Returns
    -------
    polars.DataFrame
        The columns of ``by``; ``views``; ``apdex``, with the limits of its 95% interval, ``apdex_lower`` and ``apdex_upper``;
        ``sessions``; and ``flag``, that of ``apdex`` or, else, of ``views``. Views are rounded to whole numbers, and the Apdex as by
        ``estimate()``. A wide result is not rounded, and also has the interval of ``views`` and ``views_flag``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake.

    See Also
    --------
    page_speed : Quantiles of load times.
    pulseframes.charts.apdex : Draws the result.

    Examples
    --------
    >>> score = pf.apdex("lake", threshold_ms=1500)["apdex"].item()
    >>> 0 <= score <= 1
    True
    """
    check_flag("wide", wide)
    threshold_ms = whole_number("threshold_ms", threshold_ms, least=1)
    sample = with_templates(sample_of(source, date_from, date_to, design), rules)
    score = (
        f"CASE WHEN loading_time_ms <= {threshold_ms} THEN 1.0 "
        f"WHEN loading_time_ms <= {_TOLERATED * threshold_ms} THEN 0.5 "
        "WHEN loading_time_ms IS NOT NULL THEN 0.0 END"
    )
    names = {"total(CASE WHEN loading_time_ms IS NOT NULL THEN 1 END)": "views", f"mean({score})": "apdex"}
    scores = side_by_side(estimate(sample, names, by=by, where=where, of="page_views", wide=True), names, "apdex")
    scores = scores.with_columns(pl.col("apdex_lower", "apdex_upper").clip(0.0, 1.0))
    scores = scores if by is None else scores.sort("views", descending=True, maintain_order=True)
    return scores if wide else _narrow(scores, "apdex")


def _narrow(frame: pl.DataFrame, main: str) -> pl.DataFrame:
    """Return the main figure with its interval, and the number of views."""
    groups = frame.columns[: frame.columns.index("views")]
    return narrowed(frame, ("views", main), [*groups, "views", *with_limits(main), "sessions", "flag"])
