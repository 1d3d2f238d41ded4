"""Questions: what an estimate is of, parsed from a user's arguments, and the table whose rows have the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Self, TypeAlias

import polars as pl

from pulseframes._arguments import check_choice, did_you_mean, shown
from pulseframes.errors import InvalidQuery
from pulseframes.sampling.columns import BASE, ERROR_PARTS, OWNER, RESULT, VALUE
from pulseframes.sampling.design import SUMMARY_COLUMNS, check_summary_column
from pulseframes.sampling.measures import Measure, expression
from pulseframes.sampling.prediction import PREDICTED
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS

Level: TypeAlias = Literal["sessions", "page_views", "errors"]
Names: TypeAlias = str | pl.Expr | Sequence[str | pl.Expr]

#: What weights are calibrated to by default: predictions of what a question is about, if there are any.
AUTO: Final = ("auto",)

#: The columns that questions about sessions, page views and errors may use; those of no table are computed when needed.
LEVELS: Final[dict[Level, set[str]]] = {
    "sessions": {*SESSIONS.schema, "error_count"},
    "page_views": {*SESSIONS.schema, *PAGE_VIEWS.schema, "page_template"},
    "errors": {*SESSIONS.schema, *ERRORS.schema},
}


@dataclass(frozen=True, eq=False)
class Grouping:
    """What rows are grouped by, and the condition that they meet."""

    groups: Sequence[pl.Expr] = ()
    condition: pl.Expr | None = None

    @classmethod
    def parse(cls, by: Names | None, where: str | pl.Expr | None) -> Self:
        """Parse a user's arguments."""
        return cls(parse_groups(by), parse_condition(where))


class Question(NamedTuple):
    """A measure of groups, what it is about, the columns it needs, and whether every summary has these."""

    measure: Measure
    grouping: Grouping
    level: Level
    columns: set[str]
    is_exact: bool

    @classmethod
    def of(cls, measure: Measure, grouping: Grouping, level: Level | None) -> Question:
        """Return the question that a measure, groups and a condition make; raise ``InvalidQuery`` if no table has its columns."""
        around = {"by": grouping.groups, "where": [] if grouping.condition is None else [grouping.condition]}
        named = {name: {root for part in parts for root in part.meta.root_names()} for name, parts in around.items()}
        columns = measure.columns.union(*named.values())
        level = level_of({"measures": measure.columns} | named, level)
        return cls(measure, grouping, level, columns, level == "sessions" and columns <= {*SUMMARY_COLUMNS})

    @property
    def scaled_to(self) -> Level:
        """What the weights are scaled to the known number of; a number of sessions, to theirs, whatever rows they have."""
        return "sessions" if self.measure.kind == "sessions" and not self.measure.columns else self.level

    def margins(self, wanted: Sequence[str]) -> Sequence[str]:
        """Return what to calibrate the weights to: as wanted but, by default, to predictions of load times for questions about these.

        Totals are not: where summaries report other page views than the details have, their intervals would cover too little.
        """
        is_total = self.measure.kind in ("total", "sessions")
        is_predicted = self.level == "page_views" and PREDICTED in self.columns and not is_total
        return wanted if tuple(wanted) != AUTO or is_predicted else ()


def level_for(measure: str, by: Names | None, where: str | pl.Expr | None) -> Level:
    """Return what ``estimate()`` counts for a measure: sessions, page views or errors."""
    return Question.of(Measure.parse(measure), Grouping.parse(by, where), None).level


def parse_measures(given: str | Iterable[str]) -> list[Measure]:
    """Parse one measure or several."""
    if not isinstance(given, Iterable):
        raise InvalidQuery(
            f"measures must be strings such as 'p75(loading_time_ms)', not {type(given).__name__}.", argument="measures"
        )
    measures = [Measure.parse(text) for text in ([given] if isinstance(given, str) else given)]
    if not measures:
        raise InvalidQuery("measures is empty; pass one or more, such as 'p75(loading_time_ms)'.", argument="measures")
    for measure in measures:
        if measure.kind == "sessions" and not measure.columns <= LEVELS["sessions"]:
            raise InvalidQuery(
                f"measures: {measure.text!r} counts each session once, so it needs a column of sessions.",
                argument="measures",
            )
    return measures


def parse_margins(given: str | Iterable[str] | None) -> Sequence[str]:
    """Check the columns to calibrate to."""
    if given is None:
        return ()
    if not isinstance(given, Iterable):
        raise InvalidQuery(
            f"calibrate must be column names, such as 'country', not {type(given).__name__}.", argument="calibrate"
        )
    margins = (given,) if isinstance(given, str) else tuple(given)
    for name in margins if margins != AUTO else ():
        if not isinstance(name, str) or name in (*AUTO, "none"):
            raise InvalidQuery(
                f"calibrate: {shown(name)} is not a column, and cannot be combined with others. Pass 'auto', None, or columns such as "
                "'country'.",
                argument="calibrate",
            )
        check_summary_column("calibrate", name)
    return tuple(dict.fromkeys(margins))


def parse_condition(where: str | pl.Expr | None) -> pl.Expr | None:
    """Parse a condition; the alias of one in SQL is its text, for messages."""
    if where is None:
        return None
    return expression(where, "where").alias(where) if isinstance(where, str) else expression(where, "where")


def parse_groups(by: Names | None) -> list[pl.Expr]:
    """Parse what to group by."""
    if by is None:
        return []
    if not isinstance(by, str | pl.Expr | Iterable):
        raise InvalidQuery(f"by must be a column, SQL or a polars expression, not {type(by).__name__}.", argument="by")
    columns = set[str]().union(*LEVELS.values())
    groups = []
    for given in [by] if isinstance(by, str | pl.Expr) else by:
        parsed = pl.col(given) if isinstance(given, str) and given in columns else expression(given, "by")
        groups.append(parsed.alias(given) if isinstance(given, str) else parsed)
    names = [group.meta.output_name() for group in groups]
    taken = {*names} & {*RESULT, ERROR_PARTS, OWNER, VALUE, BASE} or {name for name in names if names.count(name) > 1}
    if taken:
        raise InvalidQuery(f"by: the result already has a column {min(taken)}; alias the expression.", argument="by")
    return groups


def level_of(columns: Mapping[str, Iterable[str]], of: Level | None) -> Level:
    """Return the level that the user named, or the first that has all the columns named in each argument.

    Raises ``InvalidQuery`` if that level, or each of them, lacks one.
    """
    if of is not None:
        check_choice("of", of, [*LEVELS])
    wanted = set[str]().union(*columns.values())
    for level, names in LEVELS.items():
        if of in (None, level) and wanted <= names:
            return level
    everything = set[str]().union(*LEVELS.values())
    allowed = LEVELS[of] if of else everything
    for argument, given in columns.items():
        for name in sorted({*given} - allowed):
            hint = did_you_mean(name, sorted(allowed))
            if name not in everything:
                hint += f" (Strings need single quotes in SQL: '{name}'.)"
            raise InvalidQuery(
                f"Unknown column {name!r} of {of or 'sessions, page views and errors'} in {argument}=.{hint}",
                argument=argument,
            )
    raise InvalidQuery(
        f"The columns {', '.join(sorted(wanted))} belong to page views and to errors, which have only their session in "
        "common; ask about one of them at a time.",
        argument="measures",
    )
