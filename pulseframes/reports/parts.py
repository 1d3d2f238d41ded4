"""What a page is made of: key figures, sections, pictures and tables, all of them plain text that is yet to be escaped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import polars as pl

from pulseframes import _text as readable
from pulseframes.reports.svg import Picture

#: How many rows a table has at most.
MOST_ROWS: Final = 25

Write = Callable[[float | None], str]


class Cell(NamedTuple):
    """A table's cell: its text, and what stands below it in small."""

    text: str
    below: str = ""


class KeyFigure(NamedTuple):
    """A figure that is told first: what it is, the figure, and how sure it is."""

    name: str
    value: str
    certainty: str


@dataclass(frozen=True)
class TableView:
    """A table.

    Attributes
    ----------
    caption : str
        What it is of.
    header : list of str
        The columns; all but the first, and those in ``words``, are numbers.
    rows : list of list of Cell
        The rows; the first cell of each names it.
    more : int
        How many rows are left out.
    words : set of str
        Columns of words.
    is_open : bool
        Whether it is shown at once, and not only when the reader opens it.
    """

    caption: str
    header: list[str]
    rows: list[list[Cell]]
    more: int = 0
    words: frozenset[str] = frozenset()
    is_open: bool = False


@dataclass(frozen=True)
class Section:
    """A section: its heading, what it says, and what shows it."""

    name: str
    heading: str
    said: list[str]
    pictures: list[Picture] = field(default_factory=list)
    tables: list[TableView] = field(default_factory=list)


def interval(row: dict[str, Any], figure: str, write: Write) -> str:
    """Write the interval of a figure, as ``1.2 to 1.4 s``; nothing where there is none, or it is the figure itself."""
    lower, upper = row[f"{figure}_lower"], row[f"{figure}_upper"]
    if lower is None or upper is None or lower == upper or math.isinf(lower):
        return ""
    return readable.format_range(lower, upper, write)


def measured(row: dict[str, Any], figure: str, write: Write) -> Cell:
    """Give the cell of a figure and its interval."""
    return Cell(write(row[figure]), interval(row, figure, write))


def rests_on(row: dict[str, Any]) -> Cell:
    """Give the cell of how many sessions a row rests on, and its flag."""
    return Cell(readable.format_count(row["sessions"]), row["flag"] or "")


def name(value: str | None) -> Cell:
    """Give the cell of a text that came with the data."""
    return Cell(readable.printable(value))


def firmly(row: dict[str, Any], figure: str, write: Write) -> str:
    """Write a figure and its interval, as ``1.3 s (1.2 s to 1.4 s)``."""
    limits = interval(row, figure, write)
    return write(row[figure]) + (f" ({limits})" if limits else "")


def tabulated(
    caption: str,
    rows: pl.DataFrame,
    columns: Mapping[str, Callable[[dict[str, Any]], Cell]],
    words: Iterable[str] = (),
    most: int = MOST_ROWS,
) -> TableView:
    """Make a table of a frame's first rows.

    Parameters
    ----------
    caption : str
        What it is of.
    rows : polars.DataFrame
        The frame.
    columns : mapping of str to callable
        For each column of the table, what makes its cell of a row; the first one names the row.
    words : iterable of str
        Columns of words.
    most : int
        How many rows.
    """
    cells = [[cell(row) for cell in columns.values()] for row in rows.head(most).to_dicts()]
    return TableView(caption, [*columns], cells, max(0, len(rows) - most), frozenset(words))


def spread(row: dict[str, Any], figure: str) -> dict[str, Any]:
    """Name the figure of a row of ``estimate()``, as analysis functions do."""
    return {figure: row["estimate"], f"{figure}_lower": row["lower"], f"{figure}_upper": row["upper"]}
