"""Compare two windows, two segments of the sessions, or all groups of a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from pulseframes._arguments import check_flag
from pulseframes.analysis.details import Details, is_census
from pulseframes.analysis.estimate import Asked, Source, check_confidence, estimate, with_limits
from pulseframes.errors import InvalidQuery
from pulseframes.query import DateLike, parse_window
from pulseframes.sampling.columns import ERROR_PARTS, rounded
from pulseframes.sampling.design import Design
from pulseframes.sampling.measures import expression
from pulseframes.sampling.questions import Level, Names, parse_measures

#: The probability of calling a group the largest that is not.
_ERROR: Final = 0.05
#: A correlation that is nearer to 1 is 1.
_ROUNDING: Final = 1e-9
_CORRELATION: Final = "_correlation"
_LEAST: Final = "_least"


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

    The interval is computed from both figures' own intervals and their correlation (MOVER). Windows that do not overlap are
    independent. Segments of one sample may share sessions, or make up a known whole: their correlation is that of the linearised
    errors, session by session. So a part can be compared with the whole or with the rest. Windows that overlap are compared as segments
    of both together.

    Each row is a test. With k rows of which the difference is estimated, their intervals have a confidence of 1 - (1 - confidence) / k
    (Bonferroni), so all of them hold at once with the confidence asked for, and ``differs`` is wrong in no row.

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
    by, where, design, wide
        As for ``estimate()``.
    confidence : float
        Confidence level: of the intervals of ``first`` and ``second`` each, and of those of all differences at once.

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
    Zou, G. Y. (2007). Toward using confidence intervals to compare correlations. Psychological Methods 12(4), 399-413.

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
    check_confidence(confidence)
    distinct = list(dict.fromkeys(measure.text for measure in parse_measures(measures)))
    options, conditions = _two_parts(windows, segments, where)
    asked = [
        Asked.of(source, distinct, [(by, condition) for condition in conditions], design=design, **option)
        for option in options
    ]
    is_one_sample = len(asked) == 1
    found = differences(
        lambda level: [part for some in asked for part in some.answered(level, with_errors=is_one_sample)], confidence
    )
    if wide:
        return found
    groups = found.columns[: found.columns.index("measure")]
    columns = [*groups, "measure", "first", "second", *with_limits("difference"), "flag"]
    return rounded(found, *with_limits("difference"), "first", "second").select(columns)


def differences(both: Callable[[float], Sequence[pl.DataFrame]], confidence: float = 0.95) -> pl.DataFrame:
    """Return the differences of two wide results of ``estimate()``, as a wide ``compare()`` does.

    ``both`` returns them, given the confidence level of their intervals. If they are of one sample, they have their errors as well.
    """
    found = _differences(both(confidence), confidence)
    tests = int((found["difference_lower"] < found["difference_upper"]).sum())
    if tests <= 1:
        return found
    at_once = 1 - (1 - confidence) / tests
    wider = _differences(both(at_once), at_once)
    return found.with_columns(wider.select("difference_lower", "difference_upper", "differs"))


def _differences(results: Sequence[pl.DataFrame], confidence: float) -> pl.DataFrame:
    """Return the differences of two results with intervals of a confidence, as a wide ``compare()`` does."""
    first, second = results
    groups = first.columns[: first.columns.index("measure")]
    both = first.join(
        second,
        on=[*groups, "measure"],
        how="full",
        suffix="_second",
        coalesce=True,
        nulls_equal=True,
        maintain_order="left_right",
    )
    if ERROR_PARTS in both.columns:
        both = both.with_columns(_correlation().alias(_CORRELATION))
        both = both.with_columns(_least_distances(both, confidence))
    else:
        both = both.with_columns(pl.lit(0.0).alias(_CORRELATION), pl.lit(0.0).alias(_LEAST))
    a, b = pl.col("estimate"), pl.col("estimate_second")
    below = _combined(b - pl.col("lower_second"), pl.col("upper") - a)
    above = _combined(pl.col("upper_second") - b, a - pl.col("lower"))
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


def _correlation() -> pl.Expr:
    """Return the correlation of two estimates of one sample.

    Where one has no variance, or they do not differ in any session, the sample does not show it: the least favourable is assumed.
    """
    second = f"{ERROR_PARTS}_second"
    variances = _variance(ERROR_PARTS), _variance(second)
    correlation = (pl.col(ERROR_PARTS) * pl.col(second)).list.sum() / (variances[0] * variances[1]).sqrt()
    is_known = (pl.min_horizontal(variances) > 0) & (correlation < 1 - _ROUNDING)
    return pl.when(is_known).then(correlation.clip(-1.0, 1.0)).otherwise(-1.0)


def _variance(parts: str) -> pl.Expr:
    return (pl.col(parts) * pl.col(parts)).list.sum()


def _combined(first: pl.Expr, second: pl.Expr) -> pl.Expr:
    """Return the distance of a difference to its limit, from those of both figures to theirs."""
    is_finite = first.is_finite() & second.is_finite()
    square = first**2 + second**2 - 2 * pl.col(_CORRELATION) * first * second
    distance = pl.when(is_finite).then(square.clip(lower_bound=0.0).sqrt()).otherwise(first + second)
    return pl.when(distance.is_not_null()).then(pl.max_horizontal(distance, _LEAST))


def _least_distances(both: pl.DataFrame, confidence: float) -> pl.Series:
    """Return the least distances of differences to their limits: Student's t, where two figures vary together, and otherwise 0.

    Their own intervals may be lopsided, as those of rare cases are. Then what they have in common would shorten the longer side
    by too much.
    """
    from scipy.special import stdtrit

    first, second = (
        pl.col(f"{ERROR_PARTS}{suffix}")
        * (pl.col(f"standard_error{suffix}") / _variance(f"{ERROR_PARTS}{suffix}").sqrt())
        for suffix in ("", "_second")
    )
    squares = both.select(((second - first) * (second - first)).alias("parts"))
    variance, fourth = (
        squares.select(part.list.sum()).to_series() for part in (pl.col("parts"), pl.col("parts") * pl.col("parts"))
    )
    freedom = (variance**2 / fourth).clip(lower_bound=1.0)
    half = variance.sqrt() * pl.Series(stdtrit(freedom.to_numpy(), (1 + confidence) / 2))
    return pl.select(pl.when(both[_CORRELATION] > 0).then(half.fill_nan(None)).fill_null(0.0).alias(_LEAST)).to_series()


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
) -> tuple[list[dict[str, Any]], list[str | pl.Expr | None]]:
    """Return the times of one or two samples, and the conditions of the estimates of each.

    Raises ``InvalidQuery`` unless they are two windows or two segments.
    """
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
        both = [parse_window(*window) for window in windows]
        if max(start for start, _ in both) >= min(end for _, end in both):
            return [{"date_from": start, "date_to": end} for start, end in windows], [where]
        time = {"date_from": min(start for start, _ in both), "date_to": max(end for _, end in both)}
        conditions = [pl.col("session_start").is_between(*window, closed="left") for window in both]
    else:
        time, conditions = {}, [expression(segment, "segments") for segment in segments or ()]
    if where is not None:
        conditions = [condition & expression(where, "where") for condition in conditions]
    return [time], [*conditions]
