"""Compare two windows, two segments of the sessions, or all groups of a result."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from pulseframes._arguments import check_flag
from pulseframes.analysis.details import Details, is_census
from pulseframes.analysis.estimate import Source, estimate, with_limits
from pulseframes.errors import InvalidQuery
from pulseframes.query import DateLike
from pulseframes.sampling.columns import RESULT, rounded
from pulseframes.sampling.design import Design
from pulseframes.sampling.measures import expression
from pulseframes.sampling.questions import Level, Names, parse_measures

#: The probability of calling a group the largest that is not.
_ERROR: Final = 0.05


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
    wide: bool = False,
) -> pl.DataFrame:
    """Compare measures between two windows or two segments, with the interval of their difference. Costs no call.

    The interval is computed from both figures' own intervals (MOVER), as for independent samples. Windows that do not overlap are
    independent; segments of one window, not quite. Means of page views that share sessions vary together, so the interval is
    slightly too wide. Counts and totals of segments that add up to a known whole vary inversely, so it is slightly too narrow.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        The sample, as for ``estimate()``; windows need a lake. ``SessionFrames`` describe only themselves: their figures have no
        intervals, and the flag ``not drawn``.
    measures : str or iterable of str
        What to compare, as for ``estimate()``: ``"p75(loading_time_ms)"``.
    windows : sequence of two pairs, or None
        Two windows, each a pair of dates, from and to; UTC.
    segments : sequence of two str or polars.Expr, or None
        Two conditions, in SQL: ``["country = 'NZ'", "country <> 'NZ'"]``.
    by, where, design, confidence, wide
        As for ``estimate()``.

    Returns
    -------
    polars.DataFrame
        The columns of ``by``; ``measure``; ``first`` and ``second``; ``difference``, second minus first, with the limits of its
        interval, ``difference_lower`` and ``difference_upper``; and ``flag``, of either; rounded as by ``estimate()``. A group that
        only one of the two has is null for the other. A wide result also has the intervals of ``first`` and ``second``; ``ratio``,
        second to first; ``differs``, whether the interval of the difference excludes 0; ``sessions_first`` and
        ``sessions_second``.

    Raises
    ------
    InvalidQuery
        If an argument is wrong.
    LakeError
        If there is no lake, or it has no sample.

    See Also
    --------
    estimate : One figure instead of two.
    pulseframes.charts.compare : Draws the result.

    References
    ----------
    Zou, G. Y. and Donner, A. (2008). Construction of confidence limits about effect measures: A general approach. Statistics in
    Medicine 27(10), 1693-1702.

    Examples
    --------
    >>> segments = ["platform_name = 'Mobile'", "platform_name = 'Desktop'"]
    >>> difference = pf.compare("lake", "p75(loading_time_ms)", segments=segments)
    >>> windows = [("2026-11-09", "2026-11-12"), ("2026-11-12", "2026-11-15")]
    >>> change = pf.compare("lake", ["count()", "median(loading_time_ms)"], windows=windows, by="platform_name")
    """
    check_flag("wide", wide)
    distinct = list(dict.fromkeys(measure.text for measure in parse_measures(measures)))
    found = differences(
        *(
            estimate(source, distinct, by=by, design=design, confidence=confidence, wide=True, **part)
            for part in _two_parts(windows, segments, where)
        )
    )
    if wide:
        return found
    groups = found.columns[: found.columns.index("measure")]
    columns = [*groups, "measure", "first", "second", *with_limits("difference"), "flag"]
    return rounded(found, *with_limits("difference"), "first", "second").select(columns)


def differences(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Return the differences of two wide results of ``estimate()``, as a wide ``compare()`` does."""
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
    figures = {
        "first": (a, pl.col("lower"), pl.col("upper")),
        "second": (b, pl.col("lower_second"), pl.col("upper_second")),
        "difference": (b - a, b - a - below, b - a + above),
    }
    return both.select(
        *groups,
        "measure",
        **{
            column: part
            for name, parts in figures.items()
            for column, part in zip(with_limits(name), parts, strict=True)
        },
        ratio=pl.when(a != 0).then(b / a),
        differs=(b - a - below > 0) | (b - a + above < 0),
        sessions_first=pl.col("sessions").fill_null(0),
        sessions_second=pl.col("sessions_second").fill_null(0),
        flag=pl.coalesce("flag", "flag_second"),
    )


class Largest(NamedTuple):
    """The group with the largest figure: its row, the number of groups compared, and how certain it is.

    ``is_certain`` is False if another group may be larger; ``is_shared`` is True if another is exactly as large; ``is_drawn`` is False
    if that is so of the details only, as they were not sampled at random.
    """

    row: dict[str, Any]
    compared: int
    is_certain: bool
    is_shared: bool = False
    is_drawn: bool = True


def largest(
    sample: Details,
    measure: str,
    rows: pl.DataFrame,
    *,
    figure: str,
    by: pl.Expr,
    of: Level,
    where: str | None = None,
) -> Largest | None:
    """Return which of some groups has the largest figure; None if no figure is known.

    It is certain if the lower limit of its interval is above the upper limits of all others. The intervals are Bonferroni's: with k
    groups, their confidence is 1 - 0.05 / k, so that a group that is not the largest is certain in at most 1 of 20 samples. A group
    without an estimate may have any figure.

    Parameters
    ----------
    sample : Sample or StoredDetails
        The details.
    measure : str
        What to compare, as for ``estimate()``.
    rows : polars.DataFrame
        A row per group to compare; one column has the name of ``by``.
    figure : str
        The column of these rows that has the measure, which is exact if all details are there.
    by, of, where
        As for ``estimate()``.
    """
    if rows.is_empty():
        return None
    if is_census(sample):
        return _largest_of_all(rows, figure, is_drawn=sample.is_drawn)
    found = estimate(sample, measure, by=by, of=of, where=where, confidence=1 - _ERROR / len(rows), wide=True)
    name = by.meta.output_name()
    limits = found.select(pl.col(name), *(pl.col(part).alias(f"_{part}") for part in ("estimate", "lower", "upper")))
    ranked = _ranked(rows.join(limits, on=name, how="left", nulls_equal=True, maintain_order="left"), "_estimate")
    first, others = ranked.row(0, named=True), ranked[1:]
    if first["_estimate"] is None:
        return None
    is_certain = bool((others["_upper"].fill_null(math.inf) < first["_lower"]).all())
    return Largest({column: first[column] for column in rows.columns}, len(rows), is_certain=is_certain)


def _largest_of_all(rows: pl.DataFrame, figure: str, *, is_drawn: bool) -> Largest | None:
    """Return the row with the largest figure, which are exact."""
    ranked = _ranked(rows, figure)
    first = ranked.row(0, named=True)
    if first[figure] is None:
        return None
    return Largest(first, len(rows), is_certain=True, is_shared=first[figure] in ranked[figure][1:], is_drawn=is_drawn)


def _ranked(rows: pl.DataFrame, figure: str) -> pl.DataFrame:
    return rows.sort(figure, descending=True, nulls_last=True, maintain_order=True)


def _two_parts(
    windows: Sequence[tuple[DateLike, DateLike]] | None,
    segments: Sequence[str | pl.Expr] | None,
    where: str | pl.Expr | None,
) -> list[dict[str, Any]]:
    """Return the options of both estimates; raise ``InvalidQuery`` unless they are two windows or two segments."""
    given = windows if segments is None else segments
    is_pair = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2  # noqa: PLR2004  a pair
    if not is_pair or None not in (windows, segments):
        raise InvalidQuery(
            "compare() needs two windows or two segments, such as segments=[\"country = 'NZ'\", \"country = 'AU'\"].",
            argument="windows",
        )
    if windows is not None:
        if not all(isinstance(window, Sequence) and len(window) == 2 for window in windows):  # noqa: PLR2004  a pair
            raise InvalidQuery(
                "windows must be two pairs of dates, such as [('2026-11-01', '2026-11-08'), ('2026-11-08', '2026-11-15')].",
                argument="windows",
            )
        return [{"date_from": start, "date_to": end, "where": where} for start, end in windows]
    conditions = [expression(segment, "segments") for segment in segments or ()]
    if where is not None:
        conditions = [condition & expression(where, "where") for condition in conditions]
    return [{"where": condition} for condition in conditions]
