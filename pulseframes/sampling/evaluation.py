"""A question's expressions, worked out on the rows that it is about; what is wrong with them is said here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from pulseframes.errors import InvalidQuery
from pulseframes.sampling.exact import BASE, OWNER, VALUE
from pulseframes.sampling.measures import Measure

#: On how many rows an expression is tried.
_TRIED: Final = 30


def fulfilling(condition: pl.Expr, rows: pl.DataFrame) -> pl.DataFrame:
    """Give the rows that fulfil a condition.

    Raises
    ------
    InvalidQuery
        If it is no condition, or cannot be worked out.
    """
    asked = _Asked(condition.alias(VALUE), "where", _put(condition))
    if _type_of(asked, rows) != pl.Boolean:
        raise asked.wrong("is no condition.")
    _check_alone(asked, rows)
    return rows.filter(_worked_out(asked, rows)[VALUE])


def known(measure: Measure, rows: pl.DataFrame, groups: Sequence[pl.Expr]) -> tuple[pl.DataFrame, list[str]]:
    """Give the rows that have a value: ``_owner``, their groups, ``_value`` and ``_base``; and the groups' names.

    Raises
    ------
    InvalidQuery
        If the measure or a group cannot be worked out; or a value is none that can be added up.
    """
    value = _Asked(measure.value.alias(VALUE), "measures", repr(measure.text))
    base = _Asked(measure.base.alias(BASE), "measures", repr(measure.text))
    divided = [_Asked(group, "by", _put(group)) for group in groups]
    kind = _type_of(value, rows)
    if not (kind == pl.Boolean if measure.kind == "share" else _is_number(kind)):
        raise value.wrong(f"needs {'a condition' if measure.kind == 'share' else 'a number'}, and this is {kind}.")
    if not _is_number(_type_of(base, rows)):
        raise base.wrong("needs a number to divide by.")
    for group in divided:
        if _type_of(group, rows).is_nested():
            raise group.wrong("has several values a row.")
    for asked in (*divided, value, base):
        _check_alone(asked, rows)
    found = rows.select(OWNER).hstack(
        [_worked_out(asked, rows).to_series() for asked in divided]
        + [_worked_out(asked, rows).to_series().cast(pl.Float64) for asked in (value, base)]
    )
    found = found.drop_nulls([VALUE, BASE])
    endless = len(found) - int(found.select((pl.col(VALUE).is_finite() & pl.col(BASE).is_finite()).sum()).item())
    if endless:
        raise value.wrong(
            f"is infinite or no number for {endless} rows, as where something is divided by zero; leave these out with where, "
            "or make them null with NULLIF(x, 0)."
        )
    names = [group.meta.output_name() for group in groups]
    return (found.unique([OWNER, *names]) if measure.kind == "sessions" else found).sort(names), names


class _Asked(NamedTuple):
    """An expression, the argument that it was given in, and how it was put."""

    expression: pl.Expr
    argument: str
    put: str

    def wrong(self, why: str) -> InvalidQuery:
        return InvalidQuery(f"{self.argument}: {self.put} {why}", argument=self.argument)


def _put(expression: pl.Expr) -> str:
    """Say how an expression was put: SQL is called by its text."""
    bare, name = expression.meta.undo_aliases(), expression.meta.output_name()
    return str(bare) if bare.meta.output_name(raise_if_undetermined=False) == name else repr(name)


def _kind(kind: pl.DataType) -> str:
    return "a time" if kind == pl.Datetime else str(kind)


def _is_number(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind == pl.Boolean


def _type_of(asked: _Asked, rows: pl.DataFrame) -> pl.DataType:
    try:
        return rows.clear().select(asked.expression).dtypes[0]
    except pl.exceptions.PolarsError:  # what it says is of what it made of the SQL
        names = dict.fromkeys(asked.expression.meta.root_names())
        types = f" ({', '.join(f'{name} is {_kind(rows.schema[name])}' for name in names)})" if names else ""
        raise asked.wrong(
            f"cannot be worked out{types}: its types do not go together, or something is divided by zero. x::DATE gives a time's day, "
            "TRY_CAST(x AS DOUBLE) a text's number, NULLIF(x, 0) null instead of 0."
        ) from None


def _worked_out(asked: _Asked, rows: pl.DataFrame) -> pl.DataFrame:
    """Give the values of an expression, one a row."""
    try:
        return rows.select(OWNER, asked.expression).drop(OWNER)
    except pl.exceptions.PolarsError:  # what it says may show values, and these may be personal
        raise asked.wrong(
            "cannot be worked out for all rows; TRY_CAST makes null what does not fit, NULLIF(x, 0) what would be divided by."
        ) from None


def _check_alone(asked: _Asked, rows: pl.DataFrame) -> None:
    """Check that what is said of a session is the same whatever other sessions there are: some are tried one by one."""
    bare = asked.expression.meta.undo_aliases()
    if bare.meta.is_column() or bare.meta.is_literal():
        return
    some = rows.gather_every(max(1, len(rows) // _TRIED))
    parts = some.partition_by(OWNER, maintain_order=True)
    if len(parts) < 2:  # noqa: PLR2004  nothing to be compared
        return
    together = _worked_out(asked, pl.concat(parts)).to_series()
    alone = pl.concat(_worked_out(asked, part).to_series() for part in parts)
    same = together.eq_missing(alone)
    if together.dtype.is_float():  # one division and many at once may round otherwise
        same |= together.is_close(alone, nans_equal=True).fill_null(value=False)
    if not same.all():
        raise asked.wrong(
            "says something of a session that hangs on which others there are, as a sample's max(x) does; give what is of a row, "
            "or OVER (PARTITION BY session_id)."
        )
