"""Answers to questions: exact, if there are the details of all sessions, which are then read part by part, or else estimated."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self, TypeAlias

import polars as pl

from pulseframes.analysis.details import Details, is_census, map_parts
from pulseframes.analysis.page_template import with_page_template
from pulseframes.analysis.sample import Sample
from pulseframes.analysis.stored import StoredDetails
from pulseframes.sampling.calibration import calibrate_to_predictions, calibrate_weights
from pulseframes.sampling.certified import CONFIDENCE, RESPONSE, least_sessions
from pulseframes.sampling.columns import (
    AUXILIARY,
    BASE,
    ERROR_PARTS,
    OWNER,
    PREDICTION,
    PROBABILITY,
    RESPONDED,
    RESULT,
    VALUE,
    VIEWS,
)
from pulseframes.sampling.design import SUMMARY_COLUMNS
from pulseframes.sampling.inference import FEW, Estimate, WeightedSample
from pulseframes.sampling.measures import Measure, groups_of, is_infinite, refuse_infinite, rows_where, values_of
from pulseframes.sampling.prediction import PREDICTED, PREDICTORS, learn
from pulseframes.sampling.questions import AUTO, Grouping, Level, Question
from pulseframes.sampling.tallies import Counts, Tally
from pulseframes.sampling.weights import design_worth, sample_worth, weigh
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.frames import SessionFrames

_TOTAL: Final = "_total"
_LIST: Final = pl.List(pl.Float64)
#: What weights are scaled to the known total of; figures of pages and errors vary with the number of page views.
_AUXILIARY: Final[dict[Level, pl.Expr]] = {
    "sessions": pl.lit(1.0),
    "page_views": pl.col(VIEWS),
    "errors": pl.col(VIEWS),
}


def answers(
    samples: Mapping[bool, Details],
    questions: Sequence[Question],
    *,
    margins: Sequence[str] = AUTO,
    confidence: float = 0.95,
    with_errors: bool = False,
) -> list[pl.DataFrame]:
    """Answer questions as a wide ``estimate()`` does: those that need only summaries from the sample under True, others from that under False.

    With their errors, estimates have an additional column, ``_error_parts``. All of one sample list the same sessions in it.
    """
    alike = defaultdict(list)  # their rows and weights are the same
    for position, question in enumerate(questions):
        weights = (question.scaled_to, tuple(question.margins(margins)))
        if is_census(samples[question.is_exact]):
            weights = (question.level, ())
        alike[question.is_exact, question.level, *weights].append(position)
    found: dict[int, pl.DataFrame] = {}
    for (is_exact, _, scaled_to, calibrated_to), positions in alike.items():
        some, sample = [questions[position] for position in positions], samples[is_exact]
        if isinstance(sample, StoredDetails) or sample.is_census:
            parts = _counted(some, sample)
            if with_errors:
                parts = [part.with_columns(pl.lit(None, _LIST).alias(ERROR_PARTS)) for part in parts]
        else:
            is_measured = (not margins or margins == AUTO) and confidence == CONFIDENCE and _is_complete(sample)
            weighted = _weighted(sample, scaled_to, calibrated_to, confidence)
            parts = _estimated(some, sample, weighted, with_errors=with_errors, certify=is_measured)
        found |= dict(zip(positions, parts, strict=True))
    return [found[position] for position in sorted(found)]


def _is_complete(sample: Sample) -> bool:
    """Return whether nearly all sessions could be drawn, and nearly all that were have details."""
    possible, answered = int((sample.population[PROBABILITY] > 0).sum()), int(sample.members[RESPONDED].sum())
    return possible >= RESPONSE * len(sample.population) and answered >= RESPONSE * len(sample.members)


@dataclass
class _Counted:
    """What is counted of the rows of a grouping."""

    grouping: Grouping
    tallies: list[Tally]
    texts: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, grouping: Grouping, measures: Iterable[Measure]) -> Self:
        alike = defaultdict(list)  # they have the same values
        for measure in measures:
            alike[measure.kind, measure.value.meta.serialize(), measure.base.meta.serialize()].append(measure)
        return cls(grouping, [Tally(some) for some in alike.values()])

    def count(self, rows: pl.DataFrame, *, is_checked: bool) -> list[Counts]:
        """Count the rows of some sessions; if those of others were checked, these need not be."""
        rows = rows_where(self.grouping.condition, rows, is_checked=is_checked)
        groups = groups_of(self.grouping.groups, rows, is_checked=is_checked)
        self.texts = [group.name for group in groups if group.dtype == pl.String]
        groups = [group.cast(pl.Categorical) if group.name in self.texts else group for group in groups]  # faster
        return [
            tally.count(values_of(tally.measures[0], rows, groups, is_checked=is_checked)) for tally in self.tallies
        ]

    def add(self, part: list[Counts]) -> None:
        """Add what was counted of a part."""
        for tally, counts in zip(self.tallies, part, strict=True):
            tally.add(counts)

    def figures(self, *, drawn: bool) -> dict[str, pl.DataFrame]:
        """Return the answers by measure."""
        names = [group.meta.output_name() for group in self.grouping.groups]
        found = {
            measure.text: tally.figures(measure, drawn=drawn).with_columns(pl.col(self.texts).cast(pl.String))
            for tally in self.tallies
            for measure in tally.measures
        }
        return {text: figures.sort(names) for text, figures in found.items()} if names else found


def _counted(questions: Sequence[Question], sample: Details) -> list[pl.DataFrame]:
    """Return the exact answers to questions about the same rows, which are read part by part."""
    level, columns = questions[0].level, set[str]().union(*(question.columns for question in questions))
    measures = defaultdict(list)
    for question in questions:
        measures[question.grouping].append(question.measure)
    counted = [_Counted.of(grouping, some) for grouping, some in measures.items()]
    checked = list[bool]()

    def count(details: SessionFrames) -> list[list[Counts]]:
        rows = _rows(details, details.sessions.with_row_index(OWNER), level, columns)
        counts = [part.count(rows, is_checked=any(checked)) for part in counted]
        checked.append(len(rows) > 0 and rows[OWNER].min() != rows[OWNER].max())
        return counts

    for counts in map_parts(sample, count, _wanted(level, columns)):
        for part, of_part in zip(counted, counts, strict=True):
            part.add(of_part)
    found = {part.grouping: part.figures(drawn=sample.is_drawn) for part in counted}
    return [found[question.grouping][question.measure.text] for question in questions]


class _Weighted(NamedTuple):
    """A population and the sessions of it that responded, with their auxiliaries, and the latter as vectors."""

    population: pl.DataFrame
    sessions: pl.DataFrame
    vectors: WeightedSample


class _Group(NamedTuple):
    """The sessions of a group that responded: their positions and auxiliaries; and the known total of all its sessions."""

    owners: pl.Series
    auxiliaries: pl.Series
    total: float


#: By the values that groups are named by.
_Known: TypeAlias = dict[tuple[Any, ...], _Group]


def _estimated(
    questions: Sequence[Question], sample: Sample, weighted: _Weighted, *, with_errors: bool, certify: bool
) -> list[pl.DataFrame]:
    """Return the estimates of questions about the same rows, from the sessions that responded and their weights."""
    rows = _rows_of(
        sample, weighted, questions[0].level, set[str]().union(*(question.columns for question in questions))
    )
    chosen = {}
    for grouping in {question.grouping: None for question in questions}:
        those = rows_where(grouping.condition, rows)
        chosen[grouping] = those, groups_of(grouping.groups, those)
    totalled = {question.grouping for question in questions if question.measure.kind in ("total", "sessions")}
    known = {grouping: _known_totals(grouping, weighted) if grouping in totalled else {} for grouping in chosen}
    return [
        _estimate(
            question.measure,
            values_of(question.measure, *chosen[question.grouping]),
            weighted.vectors,
            known[question.grouping],
            with_errors=with_errors,
            least=least_sessions(question) if certify else math.inf,
        )
        for question in questions
    ]


def shares_within(sample: Sample, grouping: Grouping, within: int, level: Level) -> pl.DataFrame:
    """Estimate the share that each group has of the rows that are alike in the first so many of its columns.

    Returns these columns, ``share``, ``share_lower``, ``share_upper`` and ``share_flag``.
    """
    parts = [*grouping.groups, *([] if grouping.condition is None else [grouping.condition])]
    weighted = _weighted(sample, level, (), 0.95)
    rows = _rows_of(sample, weighted, level, {name for part in parts for name in part.meta.root_names()})
    rows = rows_where(grouping.condition, rows)
    rows = rows.select(OWNER).hstack(groups_of(grouping.groups, rows))
    names = rows.columns[1:]
    totals = weighted.vectors.cluster_totals
    wholes = {
        key: totals(part[OWNER].to_numpy())
        for key, part in (rows.partition_by(names[:within], as_dict=True) if within else {(): rows}).items()
    }
    shares = [
        (*key, weighted.vectors.share(totals(part[OWNER].to_numpy()), wholes[key[:within]]))
        for key, part in rows.partition_by(names, as_dict=True).items()
    ]
    schema = dict(rows.schema) | {"share": pl.Float64, "share_lower": pl.Float64, "share_upper": pl.Float64}
    figures = [(*key, share.estimate, share.lower, share.upper, share.flag) for *key, share in shares]
    del schema[OWNER]
    return pl.DataFrame(figures, schema=schema | {"share_flag": pl.String}, orient="row")


def _known_totals(grouping: Grouping, weighted: _Weighted) -> _Known:
    """Return the known totals of groups that every summary tells; none for groups of details, or for all sessions together."""
    parts = [*grouping.groups, *([] if grouping.condition is None else [grouping.condition])]
    columns = {name for part in parts for name in part.meta.root_names()}
    if not parts or not columns <= {*SUMMARY_COLUMNS} & {*weighted.population.columns}:
        return {}
    names = [group.meta.output_name() for group in grouping.groups]
    everyone, drawn = (_by_group(frame.with_row_index(OWNER), grouping) for frame in weighted[:2])
    if not names:
        return {(): _Group(drawn[OWNER], drawn[AUXILIARY], float(everyone[AUXILIARY].sum()))}
    totals = everyone.group_by(names).agg(pl.col(AUXILIARY).sum().alias(_TOTAL))
    drawn = drawn.join(totals, on=names, how="left", nulls_equal=True, maintain_order="left")
    groups = drawn.partition_by(names, as_dict=True)  # of the sample only: a site may have a million users
    return {key: _Group(part[OWNER], part[AUXILIARY], part[_TOTAL][0]) for key, part in groups.items()}


def _by_group(sessions: pl.DataFrame, grouping: Grouping) -> pl.DataFrame:
    those = rows_where(grouping.condition, sessions, is_checked=True)
    return those.select(OWNER, AUXILIARY).hstack(groups_of(grouping.groups, those, is_checked=True))


def _wanted(level: Level, columns: set[str]) -> dict[str, set[str]]:
    """Return the columns of each table that rows take."""
    tables = {table.name: columns for table in (SESSIONS, PAGE_VIEWS, ERRORS) if table.name in ("sessions", level)}
    return tables | ({ERRORS.name: set[str]()} if "error_count" in columns else {})


def _weighted(sample: Sample, scaled_to: Level, margins: Sequence[str], confidence: float) -> _Weighted:
    """Weight the sessions that responded."""
    auxiliary, calibration = _AUXILIARY[scaled_to], None
    sessions = weigh(sample.population, sample.members, auxiliary)
    population = sample.population.with_columns(auxiliary.cast(pl.Float64).alias(AUXILIARY))
    if margins == AUTO:
        sessions, calibration = _calibrated_to_predictions(sample, sessions, population)
    elif margins:
        sessions, calibration = calibrate_weights(sessions, population, margins)
    # A sample that looks worth far more than its design is lacks the sessions that matter most.
    expected, seen = design_worth(population, auxiliary), sample_worth(sample.population, sample.members, auxiliary)
    vectors = WeightedSample(
        sessions,
        calibration=calibration,
        confidence=confidence,
        is_known=scaled_to == "sessions" or not population["page_view_count"].has_nulls(),
        fits=expected >= max(FEW, seen / 2),
    )
    return _Weighted(population, sessions, vectors)


def _rows_of(sample: Sample, weighted: _Weighted, level: Level, columns: set[str]) -> pl.DataFrame:
    """Return the rows of the weighted sessions."""
    owners = weighted.sessions.select("session_id").with_row_index(OWNER)
    return _rows(sample.details, sample.details.sessions.join(owners, on="session_id"), level, columns)


def _calibrated_to_predictions(
    sample: Sample, sessions: pl.DataFrame, population: pl.DataFrame
) -> tuple[pl.DataFrame, Any]:
    """Calibrate weights to the load times that earlier details and the sample's own predict; leave them if these are too few."""
    if any(population.schema.get(name) != SESSIONS.schema[name] for name in PREDICTORS):
        return sessions, None
    known = sessions.select("session_id", VIEWS, *PREDICTORS)
    times = sample.details.page_views.select("session_id", PREDICTED)
    if sample.earlier is not None:
        others = sample.earlier.sessions.with_columns(pl.col("page_view_count").alias(VIEWS)).select(known.columns)
        others = others.unique("session_id").join(known, on="session_id", how="anti")
        theirs = sample.earlier.page_views.select(times.columns).join(others, on="session_id", how="semi")
        known, times = pl.concat([known, others]), pl.concat([times, theirs])
    model = learn(known, times)
    if model is None:
        return sessions, None
    population = population.with_columns(model.prediction).update(model.own, on="session_id")
    predicted = sessions.join(population.select("session_id", PREDICTION), on="session_id", maintain_order="left")
    return calibrate_to_predictions(predicted, population) or (sessions, None)


def _rows(details: SessionFrames, sessions: pl.DataFrame, level: Level, columns: set[str]) -> pl.DataFrame:
    """Return sessions, or their page views or errors, with these sessions' positions."""
    if level == "sessions":
        if "error_count" not in columns:
            return sessions
        errors = details.errors.group_by("session_id").agg(pl.len().cast(pl.Int64).alias("error_count"))
        return sessions.join(errors, on="session_id", how="left").with_columns(pl.col("error_count").fill_null(0))
    items = details.page_views if level == "page_views" else details.errors
    of_session = [OWNER, "session_id", *sorted((columns & {*sessions.columns}) - {*items.columns})]
    rows = items.join(sessions.select(*dict.fromkeys(of_session)), on="session_id")
    if "page_template" in columns and "page_template" not in rows.columns:  # with_templates() may have added it
        rows = with_page_template(rows)
    return rows


def _estimate(
    measure: Measure, values: pl.DataFrame, weighted: WeightedSample, known: _Known, *, with_errors: bool, least: float
) -> pl.DataFrame:
    """Estimate a measure for each group. Figures without a flag are certified from so many sessions on."""
    refuse_infinite(measure, values.select(is_infinite().sum()).item())
    names = [name for name in values.columns if name not in {OWNER, VALUE, BASE}]
    values = values.sort(names) if names else values
    parts = values.partition_by(names, as_dict=True, maintain_order=True) if names else {(): values}
    rows, errors = list[tuple[object, ...]](), list[object]()
    for key, part in parts.items():
        figure, sessions = _figure(measure, part, weighted, known.get(key))
        is_certified = figure.flag is None and figure.effective_sessions >= least
        rows.append((*key, measure.text, *figure[:4], sessions, figure.effective_sessions, figure.flag, is_certified))
        errors.append(None if figure.errors is None or not with_errors else figure.errors.tolist())
    found = pl.DataFrame(rows, schema={**{name: values.schema[name] for name in names}, **RESULT}, orient="row")
    return found.with_columns(pl.Series(ERROR_PARTS, errors, _LIST)) if with_errors else found


def _figure(
    measure: Measure, rows: pl.DataFrame, weighted: WeightedSample, known: _Group | None
) -> tuple[Estimate, int]:
    """Return a figure of some rows, and the number of sessions that have them."""
    owners, values = rows[OWNER].to_numpy(), rows[VALUE].to_numpy()
    totals, counts = weighted.cluster_totals(owners, values), weighted.cluster_totals(owners)
    match measure.kind:
        case "sessions" if not measure.columns:
            figure = weighted.number(counts)
        case "total" | "sessions" if known is not None:
            group = weighted.cluster_totals(known.owners.to_numpy(), known.auxiliaries.to_numpy())
            figure = weighted.total_of(totals, counts, group, known.total)
        case "total" | "sessions":
            figure = weighted.total(totals, counts)
        case "mean":
            figure = weighted.mean(totals, weighted.cluster_totals(owners, rows[BASE].to_numpy()), counts)
        case "share":
            figure = weighted.share(totals, counts)
        case "quantile":
            figure = weighted.quantile(measure.probability, values, owners)
    return figure, int((counts > 0).sum())
