"""What is to be estimated, read from a text such as ``p75(loading_time_ms)``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes.errors import InvalidQuery

Level: TypeAlias = Literal["sessions", "page_views", "errors"]

_CALL: Final = re.compile(r"\s*([a-z]+)([0-9]{1,2}(?:\.[0-9]+)?)?\s*\((.*)\)\s*", re.DOTALL)
_FORMS: Final = "total(x), mean(x), share(condition), ratio(x, y), median(x), p75(x), count(), sessions()"
_ONE: Final = pl.lit(1.0)


@dataclass(frozen=True)
class Measure:
    """One thing to be estimated.

    Attributes
    ----------
    text : str
        As the user wrote it.
    kind : {"total", "mean", "share", "quantile", "sessions"}
        What is made of the values; a ratio is a mean of the values by their bases, and ``sessions`` a total in which each
        session counts once, however many rows it has.
    value : polars.Expr
        A row's value.
    base : polars.Expr
        What a row counts for: 1; for a ratio, what is below the line.
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
        """Read a measure.

        Raises
        ------
        InvalidQuery
            If it is none, or what stands within the brackets is no SQL expression.
        """
        found = _CALL.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise _wrong(text, f"it is like none of {_FORMS}")
        name, digits, inside = found[1], found[2], found[3].strip()
        if digits is not None:
            if name != "p" or not 0 < float(digits) < 100:  # noqa: PLR2004  per cent
                raise _wrong(text, f"it is like none of {_FORMS}")
            return cls(text, "quantile", _inside(inside, text), probability=float(digits) / 100)
        match name:
            case "count":
                if inside:
                    raise _wrong(text, "count() takes nothing; count what fulfils a condition with total(condition)")
                return cls(text, "total", _ONE)
            case "total" | "mean" | "share":
                return cls(text, name, _inside(inside, text))
            case "sessions":
                return cls(text, name, _inside(inside, text) if inside else _ONE)
            case "median":
                return cls(text, "quantile", _inside(inside, text))
            case "ratio":
                above, below = _two(inside, text)
                return cls(text, "mean", _inside(above, text), _inside(below, text))
        raise _wrong(text, f"it is like none of {_FORMS}")


def expression(given: str | pl.Expr, argument: str) -> pl.Expr:
    """Read a SQL expression; one of polars' own is taken as it is.

    Raises
    ------
    InvalidQuery
        If it is none, or several.
    """
    if isinstance(given, pl.Expr):
        if given.meta.has_multiple_outputs():
            raise InvalidQuery(f"{argument}: {given} is of several columns; give them one by one.", argument=argument)
        return given
    if not isinstance(given, str):
        raise InvalidQuery(f"{argument}: {given!r} is neither SQL nor a polars expression.", argument=argument)
    try:
        return pl.sql_expr(given)
    except pl.exceptions.PolarsError as problem:
        raise InvalidQuery(f"{argument}: {given!r} is no SQL expression ({problem}).", argument=argument) from None


def level_of(columns: Mapping[str, Iterable[str]], levels: dict[Level, set[str]], of: Level | None) -> Level:
    """Say what a question is about: the first of sessions, page views and errors that has all its columns.

    Parameters
    ----------
    columns : mapping of str to iterable of str
        By argument, the columns that are asked for there.
    levels : dict
        The columns that each has.
    of : {"sessions", "page_views", "errors"} or None
        What it is about, where that is said.

    Raises
    ------
    InvalidQuery
        If none has.
    """
    wanted = set[str]().union(*columns.values())
    if of is not None:
        check_choice("of", of, [*levels])
    for level, there in levels.items():
        if of in (None, level) and wanted <= there:
            return level
    everywhere = levels[of] if of else set[str]().union(*levels.values())
    for argument, names in columns.items():
        for name in sorted(set(names) - everywhere):
            elsewhere = any(name in there for there in levels.values())
            hint = "" if elsewhere else f" A text, if it is one, stands in single quotes: '{name}'."
            raise InvalidQuery(
                f"{argument}: there is no column {name!r} of {of or 'sessions, page views and errors'}.{hint}",
                argument=argument,
            )
    raise InvalidQuery(
        f"The columns {', '.join(sorted(wanted))} are of page views and of errors, which nothing joins but their session.",
        argument="measures",
    )


def _inside(inside: str, text: str) -> pl.Expr:
    if not inside.strip():
        raise _wrong(text, "a column or a SQL expression is missing in its brackets")
    return expression(inside, "measures")


def _two(inside: str, text: str) -> tuple[str, str]:
    """Cut a ratio at the comma that stands within no brackets or quotes."""
    depth, quoted = 0, ""
    for position, letter in enumerate(inside):
        if quoted:
            quoted = "" if letter == quoted else quoted
        elif letter in "'\"":
            quoted = letter
        elif letter == "," and depth == 0:
            return inside[:position], inside[position + 1 :]
        else:
            depth += (letter == "(") - (letter == ")")
    raise _wrong(text, "a ratio is of two things: ratio(x, y)")


def _wrong(text: object, why: str) -> InvalidQuery:
    return InvalidQuery(f"measures: {text!r} is no measure: {why}.", argument="measures")
