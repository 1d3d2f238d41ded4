"""What a sample says of all sessions: totals, means, ratios, shares and quantiles, each with its standard error and interval."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Final, NamedTuple, TypeAlias

import polars as pl

from pulseframes.analysis.page_template import page_template
from pulseframes.analysis.sample import KNOWN_VIEWS, SUMMARY_COLUMNS, Sample, of_all
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake
from pulseframes.query import DateLike
from pulseframes.sampling.calibration import calibrated
from pulseframes.sampling.design import Design
from pulseframes.sampling.evaluation import fulfilling, known
from pulseframes.sampling.exact import BASE, OWNER, RESULT, VALUE, exact
from pulseframes.sampling.inference import Weighted, numpy
from pulseframes.sampling.measures import Level, Measure, expression, level_of
from pulseframes.sampling.weights import AUXILIARY, RESPONDED, weigh
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS, Privacy

Names: TypeAlias = str | pl.Expr | Sequence[str | pl.Expr]

#: What can be asked of sessions, of page views and of errors; what is not of a table is worked out when it is asked for.
LEVELS: Final[dict[Level, set[str]]] = {
    "sessions": {*SESSIONS.schema, "error_count"},
    "page_views": {*SESSIONS.schema, *PAGE_VIEWS.schema, "page_template"},
    "errors": {*SESSIONS.schema, *ERRORS.schema},
}
#: What weights are scaled to the known total of: whatever is of pages goes with their number.
_AUXILIARY: Final[dict[Level, pl.Expr]] = {
    "sessions": pl.lit(1.0),
    "page_views": pl.col(KNOWN_VIEWS),
    "errors": pl.col(KNOWN_VIEWS),
}


def estimate(
    source: Lake | Sample | str | os.PathLike[str],
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
) -> pl.DataFrame:
    """Estimate what all sessions would say, from those whose details a design has drawn. Costs no call.

    Sessions are the clusters, with finite-population correction. Means, ratios and totals have intervals by Student's t, of as many
    degrees of freedom as sessions really share in the variance (Satterthwaite); shares have Wilson's, and so have numbers of sessions
    where few have such rows, or have not; quantiles have Woodruff's.
    Weights are scaled to the known number of sessions, or of page views where the question is about pages or errors.
    What every summary says, such as ``count()`` by country, needs no sample, and is exact.

    Parameters
    ----------
    source : Lake, Sample or path
        Where the sample is: a lake that ``sync(design=...)`` keeps, or frames of your own.
    measures : str or iterable of str
        ``total(x)``, ``mean(x)``, ``share(condition)``, ``ratio(x, y)``, ``median(x)``, ``p75(x)`` and the like, ``count()``;
        ``sessions()``, how many sessions have such a row, and ``sessions(x)``, the total over these. What is in the brackets is
        SQL over the columns of sessions (and ``error_count``), of page views (and ``page_template``) or of errors; page views
        and errors have their session's columns as well. What it says of a row must not hang on the rows of other sessions, as
        ``max(x)`` does; ``max(x) OVER (PARTITION BY session_id)`` does not. A null counts for nothing.
    by : str, polars.Expr, or sequence of them
        Columns, SQL or polars expressions: an estimate for each of their values that occurs.
    where : str or polars.Expr
        Only rows that fulfil a condition.
    of : {"sessions", "page_views", "errors"}
        What is counted; by default the first of these that has all columns.
    date_from, date_to : str, date or datetime
        Whose sessions, by their start; all that the sample speaks for, if not given. UTC.
    design : {"pageviews", "uniform"}, Design or None
        Which of the lake's samples; the one that was drawn last, if not given.
    calibrate : str or iterable of str
        Summary columns to whose known totals the weights are calibrated besides, such as ``"country"``.
    confidence : float
        Of the intervals.

    Returns
    -------
    polars.DataFrame
        For each measure and value of ``by``: ``measure``, ``estimate`` (in the measure's own unit), ``standard_error``, ``lower``,
        ``upper``; ``sessions``, how many of those that were drawn it rests on; ``effective_sessions``, how many it is worth, since
        some weigh more than others; and ``flag``: ``few sessions``, where these are fewer than 10; ``few cases``, where what is
        counted is in fewer than 10 of them; ``no sessions``, where none has such a row; ``zero base``, where a ratio would divide by
        zero; null otherwise. Where the sessions cannot tell, since they are too few or all the same, ``standard_error`` is null and
        ``upper`` infinite (and so ``lower``, below zero); limits of shares are never.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, or the window has sessions that the sample does not speak for.
    LakeError
        If there is no lake, no sample, or no details in it.
    ImportError
        If SciPy is not installed; ``pip install 'pulseframes[stats]'`` gets it.

    References
    ----------
    Särndal, C.-E., Swensson, B. and Wretman, J. (1992). Model Assisted Survey Sampling. Springer.
    """
    numpy()
    if not isinstance(confidence, float) or not 0 < confidence < 1:
        raise InvalidQuery(f"confidence: {confidence!r} is not between 0 and 1.", argument="confidence")
    wanted = _measures(measures)
    groups = _groups(by)
    condition = _condition(where)
    around = _around(groups, condition)
    margins = _margins(calibrate)
    questions = []
    for measure in wanted:
        asked = {"measures": measure.columns} | around
        columns, level = set[str]().union(*asked.values()), level_of(asked, LEVELS, of)
        questions.append(
            _Question(measure, level, columns, exact=level == "sessions" and columns <= {*SUMMARY_COLUMNS})
        )
    samples = _read(source, date_from, date_to, design, questions, margins)

    @cache
    def weights(exact: bool, level: Level) -> tuple[pl.DataFrame, Weighted | None]:
        return _weights(samples[exact], level, () if exact else margins, confidence)

    @cache
    def rows(exact: bool, level: Level, scaled: Level) -> pl.DataFrame:
        columns = {name for one in questions if (one.exact, one.level) == (exact, level) for name in one.columns}
        found = _rows(samples[exact], weights(exact, scaled)[0], level, columns)
        return found if condition is None else fulfilling(condition, found)

    found = []
    for question in questions:
        _, weighted = weights(question.exact, question.scaled)
        mine = known(question.measure, rows(question.exact, question.level, question.scaled), groups)
        if weighted is None:
            found.append(exact(question.measure, *mine, drawn=samples[question.exact].is_drawn))
        else:
            found.append(_estimates(question.measure, *mine, weighted))
    return pl.concat(found, how="vertical_relaxed")


def level_for(measure: str, by: Names | None, where: str | pl.Expr | None) -> Level:
    """Say what ``estimate()`` takes a question to be about; raises ``InvalidQuery`` as it does."""
    asked = {"measures": Measure.parse(measure).columns} | _around(_groups(by), _condition(where))
    return level_of(asked, LEVELS, None)


class _Question(NamedTuple):
    """A measure, what it is asked of, and whether every summary has the answer."""

    measure: Measure
    level: Level
    columns: set[str]
    exact: bool

    @property
    def scaled(self) -> Level:
        """What weights are scaled to the known number of: sessions are counted by their own, whatever rows they have."""
        return "sessions" if self.measure.kind == "sessions" and not self.measure.columns else self.level


def _read(
    source: Lake | Sample | str | os.PathLike[str],
    date_from: DateLike | None,
    date_to: DateLike | None,
    design: Design | str | None,
    questions: Iterable[_Question],
    calibrate: Iterable[str],
) -> dict[bool, Sample]:
    """Give what is needed of two samples: by True, all sessions, for what every summary says; by False, the one with details."""
    if isinstance(source, Sample):
        if (date_from, date_to, design) != (None, None, None):
            raise InvalidQuery(
                "source: a Sample has its own window and design; give a lake to choose.", argument="source"
            )
        return {True: replace(of_all(source.population), is_drawn=source.is_drawn), False: source}
    if not isinstance(source, Lake | str | os.PathLike):
        raise InvalidQuery(f"source: {type(source).__name__} is no lake, path or Sample.", argument="source")
    lake = source if isinstance(source, Lake) else Lake(source)
    columns = {name for question in questions for name in question.columns & {*SUMMARY_COLUMNS}} | {*calibrate}
    readers = {True: Sample.of_everybody, False: Sample.of_lake}
    return {
        exact: readers[exact](lake, date_from, date_to, design=design, columns=sorted(columns))
        for exact in {question.exact for question in questions}
    }


def _weights(
    sample: Sample, level: Level, calibrate: Sequence[str], confidence: float
) -> tuple[pl.DataFrame, Weighted | None]:
    """Give the sessions that answered, and their weights for a question of a level; none where all sessions answered."""
    if sample.is_census:
        return sample.members.filter(RESPONDED), None
    auxiliary = _AUXILIARY[level]
    weighed, calibration = weigh(sample.population, sample.members, auxiliary), None
    if calibrate:
        population = sample.population.with_columns(auxiliary.alias(AUXILIARY))
        weighed, calibration = calibrated(weighed, population, calibrate)
    return weighed, Weighted(weighed, calibration=calibration, confidence=confidence)


def _rows(sample: Sample, weighed: pl.DataFrame, level: Level, columns: set[str]) -> pl.DataFrame:
    """Give the rows that questions are about, with the position of their session among those that are weighed."""
    owners = weighed.select("session_id").with_row_index(OWNER)
    frames = sample.details.tables()
    sessions = frames[SESSIONS.name].join(owners, on="session_id")
    if level == "sessions":
        errors = frames[ERRORS.name].group_by("session_id").agg(pl.len().cast(pl.Int64).alias("error_count"))
        return sessions.join(errors, on="session_id", how="left").with_columns(pl.col("error_count").fill_null(0))
    items = frames[level]
    of_session = [OWNER, "session_id", *sorted((columns & {*sessions.columns}) - {*items.columns})]
    rows = items.join(sessions.select(*dict.fromkeys(of_session)), on="session_id")
    if "page_template" in columns and "page_template" not in rows.columns:  # it may have been folded by a user's rules
        rows = rows.with_columns(page_template("page").alias("page_template"))
    return rows


def _estimates(measure: Measure, rows: pl.DataFrame, names: list[str], weighted: Weighted) -> pl.DataFrame:
    """Estimate a measure for each group."""
    parts = rows.partition_by(names, as_dict=True, maintain_order=True) if names else {(): rows}
    figures = [(*key, measure.text, *_figure(measure, part, weighted)) for key, part in parts.items()]
    schema = {name: rows.schema[name] for name in names} | RESULT
    return pl.DataFrame(figures, schema=schema, orient="row")


def _figure(measure: Measure, rows: pl.DataFrame, weighted: Weighted) -> tuple[object, ...]:
    owners, values = rows[OWNER].to_numpy(), rows[VALUE].to_numpy()
    totals = weighted.by_session(owners, values)
    counts = weighted.by_session(owners)
    match measure.kind:
        case "sessions" if not measure.columns:
            found = weighted.number(counts)
        case "total" | "sessions":
            found = weighted.total(totals, counts)
        case "mean":
            found = weighted.mean(totals, weighted.by_session(owners, rows[BASE].to_numpy()), counts)
        case "share":
            found = weighted.share(totals, counts)
        case "quantile":
            found = weighted.quantile(measure.probability, values, owners)
    return (*found[:4], int((counts > 0).sum()), found.effective_sessions, found.flag)


def _measures(given: str | Iterable[str]) -> list[Measure]:
    """Read what is to be estimated."""
    if not isinstance(given, Iterable):
        raise InvalidQuery(f"measures: {type(given).__name__} is no measure, nor several.", argument="measures")
    wanted = [Measure.parse(text) for text in ([given] if isinstance(given, str) else given)]
    if not wanted:
        raise InvalidQuery("measures: there are none; give one, such as 'p75(loading_time_ms)'.", argument="measures")
    for measure in wanted:
        if measure.kind == "sessions" and not measure.columns <= LEVELS["sessions"]:
            raise InvalidQuery(
                f"measures: {measure.text!r} counts each session once, and needs a column of sessions.",
                argument="measures",
            )
    return wanted


def _margins(given: str | Iterable[str]) -> list[str]:
    """Read what weights are to be calibrated to."""
    if not isinstance(given, Iterable):
        raise InvalidQuery(f"calibrate: {type(given).__name__} is no column, nor several.", argument="calibrate")
    margins = list(dict.fromkeys([given] if isinstance(given, str) else given))
    for name in margins:
        if name not in SUMMARY_COLUMNS:
            raise InvalidQuery(f"calibrate: {name!r} is no column that search_sessions() fills.", argument="calibrate")
        if name in SESSIONS.key or SESSIONS[name].privacy is not Privacy.NONE:
            raise InvalidQuery(
                f"calibrate: {name} says who somebody is; its totals mean nothing.", argument="calibrate"
            )
    return margins


def _condition(where: str | pl.Expr | None) -> pl.Expr | None:
    """Read a condition; one in SQL is called by its text, for messages."""
    if where is None:
        return None
    return expression(where, "where").alias(where) if isinstance(where, str) else expression(where, "where")


def _around(groups: Sequence[pl.Expr], condition: pl.Expr | None) -> dict[str, set[str]]:
    """Give the columns that are asked for besides a measure's, by argument."""
    asked = {"by": groups, "where": [] if condition is None else [condition]}
    return {name: {root for one in found for root in one.meta.root_names()} for name, found in asked.items()}


def _groups(by: Names | None) -> list[pl.Expr]:
    """Read what estimates are made for each value of."""
    if by is None:
        return []
    if not isinstance(by, str | pl.Expr | Iterable):
        raise InvalidQuery(f"by: {type(by).__name__} is no column or expression.", argument="by")
    given = [by] if isinstance(by, str | pl.Expr) else list(by)
    columns = set[str]().union(*LEVELS.values())
    groups = [
        pl.col(one) if isinstance(one, str) and one in columns else expression(one, "by").alias(_name(one))
        for one in given
    ]
    names = [group.meta.output_name() for group in groups]
    taken = {*names} & {*RESULT, OWNER, VALUE, BASE} or {name for name in names if names.count(name) > 1}
    if taken:
        raise InvalidQuery(f"by: {min(taken)} is the name of another column of the result; alias it.", argument="by")
    return groups


def _name(given: str | pl.Expr) -> str:
    return given if isinstance(given, str) else given.meta.output_name()
