"""Measures: what to estimate, parsed from strings such as ``p75(loading_time_ms)``, and computed for rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import polars as pl

from pulseframes._arguments import nearest, shortened, shown
from pulseframes._process import check_process
from pulseframes.errors import InvalidQuery
from pulseframes.sampling.columns import BASE, OWNER, VALUE

_CALL: Final = re.compile(r"\s*([a-z]+)([0-9]{1,2}(?:\.[0-9]+)?)?\s*\((.*)\)\s*", re.DOTALL)
_NAMES: Final = ("total", "mean", "share", "ratio", "median", "count", "sessions")
#: What SQL and others call a measure.
_SYNONYMS: Final = {"avg": "mean", "average": "mean", "sum": "total", "fraction": "share", "percentile": "p75"}
_ONE: Final = pl.lit(1.0)
#: On how many rows an expression is tried.
_TRIED: Final = 30
#: The bounds of SQL, beyond which polars takes very long or ends the process.
_LONGEST_SQL: Final = 10_000
_MOST_OPERATORS: Final = 200
_STRING: Final = re.compile(r"'[^'\\]*'")
_OPERATOR: Final = re.compile(
    r"[-+*/%|&^#<>=!~:]+|\b(?:and|or|not|is|in|i?like|rlike|regexp|similar|between|when|at|collate|escape)\b",
    re.IGNORECASE,
)
#: Functions whose result can be of any length.
_GROWING: Final = re.compile(r"\b(?:lpad|rpad|generate_series|range(?!\s+between))\b", re.IGNORECASE)
#: A panic of polars is no ``Exception``.
_FAILURES: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


@dataclass(frozen=True)
class Measure:
    """A statistic to estimate.

    Attributes
    ----------
    text : str
        As the user wrote it.
    kind : {"total", "mean", "share", "quantile", "sessions"}
        The statistic. A ratio is a mean of values with bases; ``sessions`` is a total that counts each session once.
    value : polars.Expr
        A row's value.
    base : polars.Expr
        What a row counts for: 1, or the denominator of a ratio.
    probability : float
        Of a quantile.
    """

    text: str
    kind: Literal["total", "mean", "share", "quantile", "sessions"]
    value: pl.Expr
    base: pl.Expr = _ONE
    probability: float = 0.5

    @property
    def columns(self) -> set[str]:
        """The columns that it needs."""
        return {*self.value.meta.root_names(), *self.base.meta.root_names()}

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Parse a measure; raise ``InvalidQuery`` if it is unknown, or its argument is not a SQL expression."""
        call = _CALL.fullmatch(text) if isinstance(text, str) else None
        if call is None:
            raise _unknown(text)
        name, digits, inside = call[1], call[2], call[3].strip()
        if digits is not None:
            if name != "p" or not 0 < float(digits) < 100:  # noqa: PLR2004  per cent
                raise _unknown(text)
            return cls(text, "quantile", _argument(inside, text), probability=float(digits) / 100)
        match name:
            case "count":
                if inside:
                    raise _wrong(text, "count() takes no argument; use total(condition) to count rows")
                return cls(text, "total", _ONE)
            case "total" | "mean" | "share":
                return cls(text, name, _argument(inside, text))
            case "sessions":
                return cls(text, name, _argument(inside, text) if inside else _ONE)
            case "median":
                return cls(text, "quantile", _argument(inside, text))
            case "ratio":
                above, below = _two_arguments(inside, text)
                return cls(text, "mean", _argument(above, text), _argument(below, text))
        raise _unknown(text)


def expression(given: str | pl.Expr, argument: str) -> pl.Expr:
    """Parse a SQL expression, or return a polars one; raise ``InvalidQuery`` unless it is exactly one."""
    check_process()
    if isinstance(given, pl.Expr):
        if given.meta.has_multiple_outputs():
            raise InvalidQuery(f"{argument}: {given} selects several columns; pass them one by one.", argument=argument)
        return given
    if not isinstance(given, str):
        raise InvalidQuery(f"{argument} must be SQL or a polars expression, not {shown(given)}.", argument=argument)
    _check_bounds(given, argument)
    try:
        return pl.sql_expr(given)
    except _FAILURES as problem:
        raise InvalidQuery(
            f"{argument}: {shown(given)} is not a SQL expression ({shortened(str(problem))}).", argument=argument
        ) from None


def _check_bounds(sql: str, argument: str) -> None:
    """Raise ``InvalidQuery`` for an expression that would take very long, or exhaust the memory."""
    code = _STRING.sub("", sql)
    operators, growing = len(_OPERATOR.findall(code)), _GROWING.search(code)
    if len(sql) > _LONGEST_SQL:
        problem = f"has {len(sql):,} characters; at most {_LONGEST_SQL:,} are allowed"
    elif operators > _MOST_OPERATORS:
        problem = f"has {operators:,} operators; at most {_MOST_OPERATORS} are allowed"
    elif growing:
        problem = f"has {growing[0]}(), whose result could exhaust the memory"
    else:
        return
    raise InvalidQuery(
        f"{argument}: the expression {problem}. Shorten it, as x IN ('a', 'b') shortens x = 'a' OR x = 'b', or add a column "
        "to your frames.",
        argument=argument,
    )


def rows_where(condition: pl.Expr | None, rows: pl.DataFrame, *, is_checked: bool = False) -> pl.DataFrame:
    """Return the rows that meet a condition, if there is one; raise ``InvalidQuery`` if it is not one, or fails."""
    if condition is None:
        return rows
    given = _Given(condition.alias(VALUE), "where", _text_of(condition))
    if given.dtype(rows) != pl.Boolean:
        raise given.wrong("is not a condition, such as \"country = 'NZ'\".")
    return rows.filter(given.values(rows, is_checked=is_checked))


def groups_of(groups: Sequence[pl.Expr], rows: pl.DataFrame, *, is_checked: bool = False) -> list[pl.Series]:
    """Return the values of each group; raise ``InvalidQuery`` if one fails, or depends on other sessions' rows unless checked before."""
    by = [_Given(group, "by", _text_of(group)) for group in groups]
    for group in by:
        if group.dtype(rows).is_nested():
            raise group.wrong("has several values per row.")
    return [group.values(rows, is_checked=is_checked) for group in by]


def values_of(
    measure: Measure, rows: pl.DataFrame, groups: Sequence[pl.Series], *, is_checked: bool = False
) -> pl.DataFrame:
    """Return the rows for which a measure has a value: ``_owner``, the groups, ``_value`` and ``_base``.

    Raises ``InvalidQuery`` if the measure fails, its value has the wrong type or, unless checked before, depends on other sessions' rows.
    """
    value = _Given(measure.value.alias(VALUE), "measures", shown(measure.text))
    base = value._replace(expression=measure.base.alias(BASE))
    dtype = value.dtype(rows)
    if measure.kind == "share" and dtype != pl.Boolean:
        raise value.wrong(f"needs a condition, not {dtype}.")
    if not _is_number(dtype):
        raise value.wrong(f"needs a number, not {dtype}.")
    if not _is_number(base.dtype(rows)):
        raise base.wrong("needs a number to divide by.")
    figures = [given.values(rows, is_checked=is_checked).cast(pl.Float64) for given in (value, base)]
    valued = rows.select(OWNER).hstack([*groups, *figures]).drop_nulls([VALUE, BASE])
    return valued.unique([OWNER, *(group.name for group in groups)]) if measure.kind == "sessions" else valued


def refuse_infinite(measure: Measure, rows: int) -> None:
    """Raise ``InvalidQuery`` if a measure's value is infinite for some rows."""
    if rows:
        raise _Given(measure.value, "measures", shown(measure.text)).wrong(
            f"is infinite or not a number for {rows} rows, as after a division by zero. Exclude them with where=, or turn "
            "them into nulls with NULLIF(x, 0)."
        )


def is_infinite() -> pl.Expr:
    """Return a filter for values that are infinite or not a number, or have such a base."""
    return ~(pl.col(VALUE).is_finite() & pl.col(BASE).is_finite())


class _Given(NamedTuple):
    """An expression, the argument it was given in, and its text."""

    expression: pl.Expr
    argument: str
    text: str

    def wrong(self, why: str) -> InvalidQuery:
        return InvalidQuery(f"{self.argument}: {self.text} {why}", argument=self.argument)

    def dtype(self, rows: pl.DataFrame) -> pl.DataType:
        try:
            return rows.clear().select(self.expression).dtypes[0]
        except _FAILURES:  # its message is about what polars made of the SQL
            names = dict.fromkeys(self.expression.meta.root_names())
            types = ", ".join(f"{name} is {_type_name(rows.schema[name])}" for name in names)
            raise self.wrong(
                f"cannot be computed{f' ({types})' if types else ''}: its types do not match, or it divides by zero. Use x::DATE "
                "for a time's day, TRY_CAST(x AS DOUBLE) for a number in a string, NULLIF(x, 0) for null instead of 0."
            ) from None

    def values(self, rows: pl.DataFrame, *, is_checked: bool = False) -> pl.Series:
        """Return the value for each row; raise ``InvalidQuery`` if it depends on other sessions' rows, unless checked before."""
        values = self._compute(rows)
        bare = self.expression.meta.undo_aliases()
        if not (is_checked or bare.meta.is_column() or bare.meta.is_literal()):
            self._check_independent(rows)
        return values

    def _compute(self, rows: pl.DataFrame) -> pl.Series:
        try:
            return rows.select(OWNER, self.expression).to_series(1)
        except _FAILURES:  # its message may show values, and these may be personal
            raise self.wrong(
                "cannot be computed for all rows. TRY_CAST returns null where a value does not fit, and NULLIF(x, 0) where it "
                "would divide by zero."
            ) from None

    def _check_independent(self, rows: pl.DataFrame) -> None:
        """Compare the values for some sessions together with those for each session alone."""
        some = rows.gather_every(max(1, len(rows) // _TRIED))
        parts = some.partition_by(OWNER, maintain_order=True)
        if len(parts) < 2:  # noqa: PLR2004  nothing to compare
            return
        together = self._compute(pl.concat(parts))
        alone = pl.concat(self._compute(part) for part in parts)
        same = together.eq_missing(alone)
        if together.dtype.is_float():  # vectorised divisions may round differently
            same |= together.is_close(alone, nans_equal=True).fill_null(value=False)
        if not same.all():
            raise self.wrong(
                "depends on other sessions' rows, as max(x) does, so a sample cannot estimate it. Use a value of each row, or "
                "add OVER (PARTITION BY session_id)."
            )


def _text_of(expression: pl.Expr) -> str:
    """Return an expression's text: SQL has it as its alias."""
    bare, name = expression.meta.undo_aliases(), expression.meta.output_name()
    if bare.meta.output_name(raise_if_undetermined=False) != name:
        return shown(name)
    return name if bare.meta.is_column() else str(bare)


def _type_name(dtype: pl.DataType) -> str:
    return "a time" if dtype == pl.Datetime else str(dtype)


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Boolean


def _argument(inside: str, text: str) -> pl.Expr:
    if not inside.strip():
        raise _wrong(text, "it needs a column or a SQL expression in its parentheses")
    return expression(inside, "measures")


def _two_arguments(inside: str, text: str) -> tuple[str, str]:
    """Split a ratio at the first comma outside parentheses and quotes."""
    depth, quote = 0, ""
    for position, letter in enumerate(inside):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "," and depth == 0:
            return inside[:position], inside[position + 1 :]
        else:
            depth += (letter == "(") - (letter == ")")
    raise _wrong(text, "a ratio needs two arguments: ratio(x, y)")


def _unknown(text: object) -> InvalidQuery:
    name, bracket, rest = str(text).strip().partition("(")
    match = _SYNONYMS.get(name.lower()) or nearest(name.lower(), _NAMES)
    if name in _NAMES:
        hint = " A measure is one name with one pair of parentheses."
    else:
        hint = f" Did you mean {shortened(f'{match}{bracket}{rest}')}?" if match and bracket else ""
    return InvalidQuery(
        f"Unknown measure {shown(text)}.{hint} Available: total(x), mean(x), share(condition), ratio(x, y), median(x), p75(x) "
        "(any p between 0 and 100), count(), sessions(), where x is a column or SQL.",
        argument="measures",
    )


def _wrong(text: object, why: str) -> InvalidQuery:
    return InvalidQuery(f"Invalid measure {shown(text)}: {why}.", argument="measures")
