"""Two times or two kinds of sessions, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from pulseframes.analysis.estimate import Names, estimate
from pulseframes.analysis.sample import Sample
from pulseframes.analysis.source import Source
from pulseframes.errors import InvalidQuery
from pulseframes.query import DateLike
from pulseframes.sampling.design import Design
from pulseframes.sampling.exact import RESULT
from pulseframes.sampling.measures import expression
from pulseframes.tables.frames import SessionFrames


def compare(
    source: Source,
    measures: str | Iterable[str],
    *,
    windows: Sequence[tuple[DateLike, DateLike]] | None = None,
    segments: Sequence[str | pl.Expr] | None = None,
    by: Names | None = None,
    where: str | pl.Expr | None = None,
    design: Design | str | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """Compare two windows or two segments, with the interval of their difference. Costs no call.

    The interval is made of both figures' own intervals (MOVER), as of two samples that have nothing to do with each other. Two
    windows that do not overlap are such. Two segments of one window are not quite: means of page views that share sessions vary
    together, and the interval is rather too wide; counts and totals of segments that make up a known whole vary against each other,
    and it is rather too narrow.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        Where the sample is, as for ``estimate()``; a lake, to compare windows. ``SessionFrames`` speak for themselves alone: their
        figures have no intervals, and the flag ``not drawn``.
    measures : str or iterable of str
        What to compare, as for ``estimate()``: ``"p75(loading_time_ms)"``.
    windows : sequence of two pairs, or None
        The windows, each from and to, by the sessions' start; UTC.
    segments : sequence of two str or polars.Expr, or None
        Conditions, in SQL: ``["country = 'NZ'", "country <> 'NZ'"]``.
    by, where, design, confidence
        As for ``estimate()``.

    Returns
    -------
    polars.DataFrame
        The columns of ``by``; ``measure``; ``first`` and ``second``; ``difference``, second less first; these with the limits of
        their intervals, ``..._lower`` and ``..._upper``; ``ratio``, second to first; ``differs``, whether the interval of the
        difference leaves out 0; ``sessions_first``, ``sessions_second``; and ``flag``, of either. What only one of the two has is
        null for the other.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake, or no sample in it.

    References
    ----------
    Zou, G. Y. and Donner, A. (2008). Construction of confidence limits about effect measures: A general approach. Statistics in
    Medicine 27(10), 1693-1702.
    """
    wanted = [measures] if isinstance(measures, str) else list(dict.fromkeys(measures))
    given = Sample.of_details(source) if isinstance(source, SessionFrames) else source
    first, second = (
        estimate(given, wanted, by=by, design=design, confidence=confidence, **one)
        for one in _two(windows, segments, where)
    )
    groups = first.columns[: -len(RESULT)]
    both = first.join(
        second,
        on=[*groups, "measure"],
        how="full",
        suffix="_second",
        coalesce=True,
        nulls_equal=True,
        maintain_order="left_right",
    )
    a, b = pl.col("estimate"), pl.col("estimate_second")
    below = ((b - pl.col("lower_second")) ** 2 + (pl.col("upper") - a) ** 2).sqrt()
    above = ((pl.col("upper_second") - b) ** 2 + (a - pl.col("lower")) ** 2).sqrt()
    lower, upper = b - a - below, b - a + above
    return both.select(
        *groups,
        "measure",
        a.alias("first"),
        pl.col("lower").alias("first_lower"),
        pl.col("upper").alias("first_upper"),
        b.alias("second"),
        pl.col("lower_second").alias("second_lower"),
        pl.col("upper_second").alias("second_upper"),
        (b - a).alias("difference"),
        lower.alias("difference_lower"),
        upper.alias("difference_upper"),
        pl.when(a != 0).then(b / a).alias("ratio"),
        ((lower > 0) | (upper < 0)).alias("differs"),
        pl.col("sessions").fill_null(0).alias("sessions_first"),
        pl.col("sessions_second").fill_null(0),
        pl.coalesce("flag", "flag_second").alias("flag"),
    )


def _two(
    windows: Sequence[tuple[DateLike, DateLike]] | None,
    segments: Sequence[str | pl.Expr] | None,
    where: str | pl.Expr | None,
) -> list[dict[str, Any]]:
    """Give what each of the two is of; raises ``InvalidQuery`` where that is not two windows or two segments."""
    given = windows if segments is None else segments
    if (windows is None) == (segments is None) or isinstance(given, str) or given is None or len(given) != 2:  # noqa: PLR2004  a pair
        raise InvalidQuery("compare: give either windows or segments, two of them.", argument="windows")
    if windows is not None:
        if not all(isinstance(window, Sequence) and len(window) == 2 for window in windows):  # noqa: PLR2004  a pair
            raise InvalidQuery("windows: each is a pair of dates, from and to.", argument="windows")
        return [{"date_from": start, "date_to": end, "where": where} for start, end in windows]
    both = []
    for segment in segments or ():
        condition = expression(segment, "segments")
        both.append({"where": condition if where is None else condition & expression(where, "where")})
    return both
