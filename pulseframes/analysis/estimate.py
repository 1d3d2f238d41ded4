"""Estimates from a sample: totals, means, ratios, shares and quantiles, each with its standard error and interval."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Self, TypeAlias

import polars as pl

from pulseframes._arguments import check_flag
from pulseframes._process import check_process
from pulseframes.analysis.answers import answers
from pulseframes.analysis.details import Details, sample_or_census, sample_or_details, summaries_of
from pulseframes.analysis.page_template import Rules, with_page_template
from pulseframes.analysis.sample import Sample, everyone
from pulseframes.analysis.stored import StoredDetails
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike
from pulseframes.sampling.columns import NARROW, RESULT, rounded
from pulseframes.sampling.design import SUMMARY_COLUMNS, Design
from pulseframes.sampling.inference import numpy
from pulseframes.sampling.prediction import PREDICTORS
from pulseframes.sampling.questions import (
    AUTO,
    Grouping,
    Level,
    Names,
    Question,
    parse_margins,
    parse_measures,
)
from pulseframes.tables.frames import SessionFrames

#: Figures that count something.
_NUMBERS: Final = frozenset({"views", "sessions_affected", "entries", "times"})

Source: TypeAlias = Lake | Sample | StoredDetails | SessionFrames | str | os.PathLike[str]


def estimate(
    source: Source,
    measures: str | Iterable[str],
    *,
    by: Names | None = None,
    where: str | pl.Expr | None = None,
    of: Level | None = None,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
    calibrate: str | Iterable[str] | None = "auto",
    confidence: float = 0.95,
    wide: bool = False,
) -> pl.DataFrame:
    """Estimate statistics of all sessions from a random sample of details. Costs no call.

    Sessions are the clusters, with finite-population correction. Means, ratios and totals have Student's t intervals, with degrees
    of freedom that depend on how evenly the sessions contribute to the variance (Satterthwaite), and limits that reach further towards
    the long tail of skewed values (Hall); shares have Wilson's, and so have numbers of sessions if few have such rows, or few have none;
    quantiles have Woodruff's. Weights are scaled to the known number of sessions or, for questions about page views or errors, of page
    views. Figures that need only summaries, such as ``count()`` by country, are exact.

    Parameters
    ----------
    source : Lake, Sample, SessionFrames or path
        The sample: of a lake that ``sync(design=...)`` fills, or of your own frames. ``SessionFrames`` describe only themselves.
    measures : str or iterable of str
        ``total(x)``, ``mean(x)``, ``share(condition)``, ``ratio(x, y)``, ``median(x)``, ``p75(x)`` and other percentiles,
        ``count()``; ``sessions()``, the number of sessions with such a row, and ``sessions(x)``, the total over them. Inside the
        parentheses, write SQL over the columns of sessions (and ``error_count``), page views (and ``page_template``) or errors; page
        views and errors also have their session's columns. The expression must not depend on other sessions' rows, as ``max(x)``
        does; ``max(x) OVER (PARTITION BY session_id)`` is fine. Nulls are ignored. SQL, here and below, has at most 10,000 characters and
        200 operators.
    by : str, polars.Expr, or sequence of them
        Columns, SQL or polars expressions to group by.
    where : str or polars.Expr
        Condition on the rows, in SQL.
    of : {"sessions", "page_views", "errors"}
        What to count; by default, the first of these that has all columns.
    date_from, date_to : str, date or datetime
        The sessions' starts, from and to; UTC. By default, the time that the sample represents.
    design : {"pageviews", "uniform"}, Design or None
        Which of the lake's samples; the last one drawn, by default.
    calibrate : str, iterable of str, or None
        What the weights are also calibrated to. ``"auto"``: questions about load times, to those that a model predicts for all sessions
        from their summaries; it learns from the sample and from earlier details, at least 100. Names of summary columns, such as
        ``"country"``: to their known totals. None: nothing.
    confidence : float
        Confidence level of the intervals.
    wide : bool
        Return all columns, and do not round.

    Returns
    -------
    polars.DataFrame
        One row per measure and group: the columns of ``by``, ``measure``, ``estimate`` (in the measure's unit), ``lower``, ``upper``;
        ``sessions``, the number of sampled sessions with such rows; and ``flag``: ``few sessions`` (fewer than 10, also in effect, or
        too few to limit a quantile), ``few cases`` (fewer than 10 sessions, also in effect, have what is counted), ``wrong design``
        (drawn for other questions: worth fewer than 10 sessions for this one, or half of what the sample looks worth), ``no
        sessions``, ``zero base`` (a ratio would divide by zero), or null; and ``certified``, true for estimates without a flag whose
        kind was measured to cover at least 93% in all populations of the benchmark, and which rest on enough sessions. If the
        sessions are too few or too alike to show any variance, ``upper`` is infinite (and ``lower`` too, for values below zero);
        limits of shares are always finite. Estimates and limits are rounded to whole numbers, or finer where the estimate or the
        width of its interval would keep fewer than three digits; exact figures are not. A wide result is not rounded, and also has
        ``standard_error``, null without variance, and ``effective_sessions``, the number of equally weighted sessions with the same
        precision.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, or the window has sessions that the sample does not represent.
    LakeError
        If there is no lake, or it has no sample.
    ImportError
        If SciPy is not installed: ``pip install 'pulseframes[stats]'``.

    See Also
    --------
    plan_precision : How many details a precision takes.
    compare : Differences, with intervals.
    pulseframes.charts.estimates : Draws the result.

    References
    ----------
    Särndal, C.-E., Swensson, B. and Wretman, J. (1992). Model Assisted Survey Sampling. Springer.

    Examples
    --------
    >>> result = pf.estimate("lake", ["p75(loading_time_ms)", "share(loading_time_ms > 2000)"], by="platform_name")
    >>> pf.estimate("lake", "count()", by="country").columns[:3]
    ['country', 'measure', 'estimate']
    """
    check_flag("wide", wide)
    check_confidence(confidence)
    asked = Asked.of(source, measures, [(by, where)], of, date_from, date_to, design, calibrate)
    [found] = asked.answered(confidence)
    return found if wide else rounded(found, "estimate", "lower", "upper").drop(*{*RESULT} - {*NARROW})


class Asked(NamedTuple):
    """Measures by several groups and conditions, one after the other, and the samples that answer them."""

    samples: Mapping[bool, Details]
    questions: Sequence[Question]
    groupings: int = 1
    margins: Sequence[str] = AUTO

    @classmethod
    def of(
        cls,
        source: Source,
        measures: str | Iterable[str],
        groupings: Sequence[tuple[Names | None, str | pl.Expr | None]],
        of: Level | None = None,
        date_from: DateLike | None = None,
        date_to: DateLike | None = None,
        design: Design | str | None = None,
        calibrate: str | Iterable[str] | None = "auto",
    ) -> Self:
        """Parse a user's arguments, and read the samples."""
        numpy()
        margins, parsed = parse_margins(calibrate), parse_measures(measures)
        asked = [Grouping.parse(by, where) for by, where in groupings]
        questions = [Question.of(measure, grouping, of) for grouping in asked for measure in parsed]
        opened = open_source(source, date_from, date_to, design)
        samples = _samples(opened, date_from, date_to, design, questions, margins)
        return cls(samples, questions, len(groupings), margins)

    def answered(self, confidence: float = 0.95, *, with_errors: bool = False) -> list[pl.DataFrame]:
        """Return a wide result of ``estimate()`` for each grouping; the rows are read once."""
        found = answers(
            self.samples, self.questions, margins=self.margins, confidence=confidence, with_errors=with_errors
        )
        size = len(found) // self.groupings
        return [pl.concat(found[n : n + size], how="vertical_relaxed") for n in range(0, len(found), size)]


def check_confidence(confidence: float) -> None:
    """Raise ``InvalidQuery`` for a confidence level that is none."""
    if not isinstance(confidence, float) or not 0 < confidence < 1:
        raise InvalidQuery(
            f"confidence must be between 0 and 1, such as 0.95, not {confidence!r}.", argument="confidence"
        )


def estimates(
    sample: Details, measures: Iterable[str], groupings: Sequence[tuple[Names, str | pl.Expr | None]], of: Level
) -> list[pl.DataFrame]:
    """Return the wide results of ``estimate()`` by several groups and conditions, for which the rows are read once."""
    asked, parsed = [Grouping.parse(by, where) for by, where in groupings], parse_measures(measures)
    questions = [Question.of(measure, grouping, of) for grouping in asked for measure in parsed]
    return Asked({False: sample, True: sample}, questions, len(groupings)).answered()


def open_source(
    source: Source,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> Lake | Details:
    """Return the lake or sample that a user passed; raise ``InvalidQuery`` if the other options need a lake."""
    check_process()
    if isinstance(source, Lake | str | os.PathLike):
        return as_lake(source, "source")
    if not isinstance(source, Sample | StoredDetails | SessionFrames):
        raise InvalidQuery(
            f"source must be a Lake or its path, a Sample or SessionFrames, not {type(source).__name__}.",
            argument="source",
        )
    if (date_from, date_to, design) != (None, None, None):
        raise InvalidQuery(
            f"source: a {type(source).__name__} has its own window and design; date_from, date_to and design need a lake.",
            argument="source",
        )
    return Sample.of_details(source) if isinstance(source, SessionFrames) else source


def sample_of(
    source: Source, date_from: DateLike | None, date_to: DateLike | None, design: Design | str | None
) -> Details:
    """Return a source's sample or, if nothing was drawn, its details as they are."""
    opened = open_source(source, date_from, date_to, design)
    return sample_or_details(opened, date_from, date_to, design) if isinstance(opened, Lake) else opened


def with_templates(sample: Details, rules: Rules | None) -> Details:
    """Return a sample whose page views have a ``page_template``."""
    if isinstance(sample, StoredDetails):
        return replace(sample, rules=rules)
    views = with_page_template(sample.details.page_views, rules)
    return replace(sample, details=replace(sample.details, page_views=views))


def with_limits(name: str) -> list[str]:
    """Return the names of a figure's columns: its own, and those of its interval's limits."""
    return [name, f"{name}_lower", f"{name}_upper"]


def narrowed(frame: pl.DataFrame, figures: Iterable[str], columns: Sequence[str]) -> pl.DataFrame:
    """Round figures with their limits, numbers to whole ones, and return some columns; the flag is that of any of the figures."""
    flags = ["flag"]
    for figure in figures:
        names = with_limits(figure)
        frame = _whole(frame, *names) if figure in _NUMBERS else rounded(frame, *names)
        flags += [name for name in [f"{figure}_flag"] if name in frame.columns]
    return frame.with_columns(pl.coalesce(flags).alias("flag")).select(columns)


def _whole(frame: pl.DataFrame, figure: str, lower: str, upper: str) -> pl.DataFrame:
    """Round a number to a whole one, and its limits outwards, so that the interval still holds; but not by errors of rounding."""
    digits = pl.col(lower).round(6), pl.col(upper).round(6)
    return frame.with_columns(pl.col(figure).round(), digits[0].floor(), digits[1].ceil())


def side_by_side(estimates: pl.DataFrame, names: Mapping[str, str], main: str) -> pl.DataFrame:
    """Pivot estimates: one row per group, with columns ``x``, ``x_lower``, ``x_upper`` and ``x_flag`` for each measure's name x.

    ``sessions`` is that of the first measure, which must have all groups. The flag of the main figure is named ``flag``.
    """
    groups = estimates.columns[: -len(RESULT)]
    first, *others = (
        estimates.filter(measure=measure).select(
            *groups,
            *(
                pl.col(old).alias(new)
                for old, new in zip(("estimate", "lower", "upper"), with_limits(name), strict=True)
            ),
            pl.col("flag").alias(f"{name}_flag"),
            pl.col("sessions").alias(f"_{number}_sessions"),
        )
        for number, (measure, name) in enumerate(names.items())
    )
    for other in others:
        first = (
            first.join(other, on=groups, how="left", nulls_equal=True, maintain_order="left")
            if groups
            else first.hstack(other)
        )
    return first.select(
        *groups,
        *(
            column
            for name in names.values()
            for column in (*with_limits(name), *([] if name == main else [f"{name}_flag"]))
        ),
        pl.col("_0_sessions").alias("sessions"),
        pl.col(f"{main}_flag").alias("flag"),
    )


def _samples(
    source: Lake | Details,
    date_from: DateLike | None,
    date_to: DateLike | None,
    design: Design | str | None,
    questions: Sequence[Question],
    margins: Sequence[str],
) -> dict[bool, Details]:
    """Return the samples that questions need: under True, a census of summaries for exact answers; under False, the details."""
    if isinstance(source, StoredDetails):
        return {True: source, False: source}
    if isinstance(source, Sample):
        return {True: replace(everyone(source.population), is_drawn=source.is_drawn), False: source}
    wanted = set[str]().union(*(question.columns for question in questions))
    for question in questions:
        wanted |= {*PREDICTORS} if question.margins(margins) == AUTO else {*margins}
    columns = sorted(wanted & {*SUMMARY_COLUMNS})
    window = (source, date_from, date_to, design)
    return {
        exact: summaries_of(*window) if exact else sample_or_census(*window, columns)
        for exact in {question.is_exact for question in questions}
    }
