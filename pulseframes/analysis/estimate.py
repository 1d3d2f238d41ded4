"""Estimates from a sample: totals, means, ratios, shares and quantiles, each with its standard error and interval."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import polars as pl

from pulseframes._arguments import check_flag
from pulseframes._process import check_process
from pulseframes.analysis.page_template import Rules, page_template
from pulseframes.analysis.sample import Sample, everyone, sample_or_details
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake
from pulseframes.query import DateLike
from pulseframes.sampling.calibration import calibrate_weights
from pulseframes.sampling.columns import AUXILIARY, BASE, NARROW, OWNER, RESPONDED, RESULT, VALUE, VIEWS, rounded
from pulseframes.sampling.design import SUMMARY_COLUMNS, Design
from pulseframes.sampling.inference import WeightedSample, exact, numpy
from pulseframes.sampling.measures import Measure, rows_where, values_of
from pulseframes.sampling.questions import (
    Level,
    Names,
    Question,
    parse_condition,
    parse_groups,
    parse_margins,
    parse_measures,
)
from pulseframes.sampling.weights import weigh
from pulseframes.tables.frames import SessionFrames

Source: TypeAlias = Lake | Sample | SessionFrames | str | os.PathLike[str]

#: What weights are scaled to the known total of; figures of pages and errors vary with the number of page views.
_AUXILIARY: Final[dict[Level, pl.Expr]] = {
    "sessions": pl.lit(1.0),
    "page_views": pl.col(VIEWS),
    "errors": pl.col(VIEWS),
}


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
    calibrate: str | Iterable[str] = (),
    confidence: float = 0.95,
    wide: bool = False,
) -> pl.DataFrame:
    """Estimate statistics of all sessions from a random sample of details. Costs no call.

    Sessions are the clusters, with finite-population correction. Means, ratios and totals have Student's t intervals, with degrees
    of freedom that depend on how evenly the sessions contribute to the variance (Satterthwaite); shares have Wilson's, and so have
    numbers of sessions if few have such rows, or few have none; quantiles have Woodruff's. Weights are scaled to the known number
    of sessions or, for questions about page views or errors, of page views. Figures that need only summaries, such as ``count()``
    by country, are exact.

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
    calibrate : str or iterable of str
        Summary columns, such as ``"country"``, whose known totals the weights are also calibrated to.
    confidence : float
        Confidence level of the intervals.
    wide : bool
        Return all columns, and do not round.

    Returns
    -------
    polars.DataFrame
        One row per measure and group: the columns of ``by``, ``measure``, ``estimate`` (in the measure's unit), ``lower``, ``upper``;
        ``sessions``, the number of sampled sessions with such rows; and ``flag``: ``few sessions`` (fewer than 10, also in effect, or too few to limit a quantile),
        ``few cases`` (fewer than 10 sessions have what is counted), ``no sessions``, ``zero base`` (a ratio would divide by zero), or
        null. If the sessions are too few or too alike to show any variance, ``upper`` is infinite (and ``lower`` too, for values below
        zero); limits of shares are always finite. Estimates and limits are rounded to whole numbers, or finer where the estimate
        or the width of its interval would keep fewer than three digits; exact figures are not. A wide result is not rounded, and also has ``standard_error``, null without
        variance, and ``effective_sessions``, the number of equally weighted sessions with the same precision.

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
    numpy()
    check_flag("wide", wide)
    if not isinstance(confidence, float) or not 0 < confidence < 1:
        raise InvalidQuery(
            f"confidence must be between 0 and 1, such as 0.95, not {confidence!r}.", argument="confidence"
        )
    groups, condition, margins = parse_groups(by), parse_condition(where), parse_margins(calibrate)
    questions = [Question.of(measure, groups, condition, of) for measure in parse_measures(measures)]
    samples = _samples(open_source(source, date_from, date_to, design), date_from, date_to, design, questions, margins)
    alike = defaultdict(list)  # their rows and weights are the same
    for position, question in enumerate(questions):
        alike[question.is_exact, question.level, question.scaled_to].append(position)
    answers = {}
    for (is_exact, level, scaled_to), positions in alike.items():
        sample = samples[is_exact]
        sessions, weighted = _weighted(sample, scaled_to, margins, confidence)
        rows = _rows(sample, sessions, level, set[str]().union(*(questions[number].columns for number in positions)))
        rows = rows if condition is None else rows_where(condition, rows)
        for number in positions:
            measure = questions[number].measure
            answers[number] = _answer(measure, values_of(measure, rows, groups), weighted, drawn=sample.is_drawn)
    found = pl.concat([answers[number] for number in sorted(answers)], how="vertical_relaxed")
    return found if wide else rounded(found, "estimate", "lower", "upper").drop(*{*RESULT} - {*NARROW})


def open_source(
    source: Source,
    date_from: DateLike | None = None,
    date_to: DateLike | None = None,
    design: Design | str | None = None,
) -> Lake | Sample:
    """Return the lake or sample that a user passed; raise ``InvalidQuery`` if the other options need a lake."""
    check_process()
    if isinstance(source, Lake | str | os.PathLike):
        return as_lake(source, "source")
    if not isinstance(source, Sample | SessionFrames):
        raise InvalidQuery(
            f"source must be a Lake or its path, a Sample or SessionFrames, not {type(source).__name__}.",
            argument="source",
        )
    if (date_from, date_to, design) != (None, None, None):
        raise InvalidQuery(
            f"source: a {type(source).__name__} has its own window and design; date_from, date_to and design need a lake.",
            argument="source",
        )
    return source if isinstance(source, Sample) else Sample.of_details(source)


def sample_of(
    source: Source, date_from: DateLike | None, date_to: DateLike | None, design: Design | str | None
) -> Sample:
    """Return a source's sample or, if nothing was drawn, its details as they are."""
    opened = open_source(source, date_from, date_to, design)
    if isinstance(opened, Sample):
        return opened
    return sample_or_details(opened, date_from, date_to, design)


def with_templates(sample: Sample, rules: Rules | None) -> Sample:
    """Return a sample whose page views have a ``page_template``."""
    views = sample.details.page_views.with_columns(page_template("page", rules).alias("page_template"))
    return replace(sample, details=replace(sample.details, page_views=views))


def with_limits(name: str) -> list[str]:
    """Return the names of a figure's columns: its own, and those of its interval's limits."""
    return [name, f"{name}_lower", f"{name}_upper"]


def narrowed(frame: pl.DataFrame, figures: Iterable[str], columns: Sequence[str]) -> pl.DataFrame:
    """Round figures with their limits, and return some columns."""
    for figure in figures:
        frame = rounded(frame, *with_limits(figure))
    return frame.select(columns)


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
        first = first.join(other, on=groups, how="left", nulls_equal=True) if groups else first.hstack(other)
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
    source: Lake | Sample,
    date_from: DateLike | None,
    date_to: DateLike | None,
    design: Design | str | None,
    questions: Sequence[Question],
    margins: Sequence[str],
) -> dict[bool, Sample]:
    """Return the samples that questions need: under True, a census of summaries for exact answers; under False, the details."""
    if isinstance(source, Sample):
        return {True: replace(everyone(source.population), is_drawn=source.is_drawn), False: source}
    columns = sorted({*margins}.union(*(question.columns & {*SUMMARY_COLUMNS} for question in questions)))
    readers = {True: Sample.of_everybody, False: Sample.of_lake}
    return {
        is_exact: readers[is_exact](source, date_from, date_to, design=design, columns=columns)
        for is_exact in {question.is_exact for question in questions}
    }


def _weighted(
    sample: Sample, scaled_to: Level, margins: Sequence[str], confidence: float
) -> tuple[pl.DataFrame, WeightedSample | None]:
    """Return the sessions that responded, and their weights; None for a census."""
    if sample.is_census:
        return sample.members.filter(RESPONDED), None
    auxiliary, calibration = _AUXILIARY[scaled_to], None
    sessions = weigh(sample.population, sample.members, auxiliary)
    if margins:
        population = sample.population.with_columns(auxiliary.alias(AUXILIARY))
        sessions, calibration = calibrate_weights(sessions, population, margins)
    return sessions, WeightedSample(sessions, calibration=calibration, confidence=confidence)


def _rows(sample: Sample, weighted: pl.DataFrame, level: Level, columns: set[str]) -> pl.DataFrame:
    """Return the sessions, page views or errors, with the positions of their sessions among those weighted."""
    owners = weighted.select("session_id").with_row_index(OWNER)
    details = sample.details
    sessions = details.sessions.join(owners, on="session_id")
    if level == "sessions":
        errors = details.errors.group_by("session_id").agg(pl.len().cast(pl.Int64).alias("error_count"))
        return sessions.join(errors, on="session_id", how="left").with_columns(pl.col("error_count").fill_null(0))
    items = details.page_views if level == "page_views" else details.errors
    of_session = [OWNER, "session_id", *sorted((columns & {*sessions.columns}) - {*items.columns})]
    rows = items.join(sessions.select(*dict.fromkeys(of_session)), on="session_id")
    if "page_template" in columns and "page_template" not in rows.columns:  # with_templates() may have added it
        rows = rows.with_columns(page_template("page").alias("page_template"))
    return rows


def _answer(measure: Measure, values: pl.DataFrame, weighted: WeightedSample | None, *, drawn: bool) -> pl.DataFrame:
    """Estimate a measure for each group, or compute it if there are no weights."""
    names = [name for name in values.columns if name not in {OWNER, VALUE, BASE}]
    if weighted is None:
        return exact(measure, values, names, drawn=drawn)
    parts = values.partition_by(names, as_dict=True, maintain_order=True) if names else {(): values}
    figures = [(*key, measure.text, *_figure(measure, part, weighted)) for key, part in parts.items()]
    return pl.DataFrame(figures, schema={**{name: values.schema[name] for name in names}, **RESULT}, orient="row")


def _figure(measure: Measure, rows: pl.DataFrame, weighted: WeightedSample) -> tuple[object, ...]:
    owners, values = rows[OWNER].to_numpy(), rows[VALUE].to_numpy()
    totals, counts = weighted.cluster_totals(owners, values), weighted.cluster_totals(owners)
    match measure.kind:
        case "sessions" if not measure.columns:
            figure = weighted.number(counts)
        case "total" | "sessions":
            figure = weighted.total(totals, counts)
        case "mean":
            figure = weighted.mean(totals, weighted.cluster_totals(owners, rows[BASE].to_numpy()), counts)
        case "share":
            figure = weighted.share(totals, counts)
        case "quantile":
            figure = weighted.quantile(measure.probability, values, owners)
    return (*figure[:4], int((counts > 0).sum()), figure.effective_sessions, figure.flag)
