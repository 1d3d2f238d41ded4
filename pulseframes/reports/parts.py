"""The parts of a page: key figures, sections, pictures and tables, as plain text that is not escaped yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import polars as pl

from pulseframes._text import format_count, format_range, printable
from pulseframes.reports.svg import Picture
from pulseframes.sampling.inference import DOUBTFUL

#: What doubtful figures come from, in plain words.
DOUBT: Final = "too few sessions, too few with what is counted, or a sample drawn for other questions"
#: The most rows of a table.
MOST_ROWS: Final = 25

Format: TypeAlias = Callable[[float | None], str]
Row: TypeAlias = dict[str, Any]


class Link(NamedTuple):
    """A link to Raygun: its name, and a safe address."""

    name: str
    address: str


class Cell(NamedTuple):
    """A cell of a table: its text, the small print below it, and links, which are shown by their numbers."""

    text: str
    below: str = ""
    links: Sequence[Link] = ()


class KeyFigure(NamedTuple):
    """A figure at the top of the page: its name, its value, and how certain it is."""

    name: str
    value: str
    certainty: str


@dataclass(frozen=True)
class TableView:
    """A table.

    Attributes
    ----------
    caption : str
        Its caption.
    header : list of str
        Names of the columns. All but the first, and those in ``words``, hold numbers.
    rows : list of list of Cell
        The rows; the first cell of each is its header.
    more : int
        The number of omitted rows.
    words : set of str
        Columns of words.
    is_open : bool
        Whether it is visible at once, rather than when the reader opens it.
    """

    caption: str
    header: list[str]
    rows: list[list[Cell]]
    more: int = 0
    words: frozenset[str] = frozenset()
    is_open: bool = False


@dataclass(frozen=True)
class Section:
    """A section: its anchor, heading, sentences, pictures and tables."""

    name: str
    heading: str
    sentences: list[str]
    pictures: list[Picture] = field(default_factory=list)
    tables: list[TableView] = field(default_factory=list)


def interval(row: Row, figure: str, write: Format) -> str:
    """Format the interval of a figure, as ``1.2 to 1.4 s``; empty if there is none, or the figure is exact."""
    prefix = "" if figure == "estimate" else f"{figure}_"
    lower, upper = row[f"{prefix}lower"], row[f"{prefix}upper"]
    if lower is None or upper is None or lower == upper or math.isinf(lower):
        return ""
    return format_range(lower, upper, write)


def with_interval(row: Row, figure: str, write: Format) -> str:
    """Format a figure with its interval, and its flag if it is doubtful, as ``1.3 s (1.2 to 1.4 s; few sessions)``."""
    behind = "; ".join(part for part in (interval(row, figure, write), _doubt(row, figure)) if part)
    return write(row[figure]) + (f" ({behind})" if behind else "")


def figure_cell(row: Row, figure: str, write: Format) -> Cell:
    """Return the cell of a figure, with an asterisk if it is doubtful, and its interval below."""
    return Cell(write(row[figure]) + ("*" if _doubt(row, figure) else ""), interval(row, figure, write))


def _doubt(row: Row, figure: str) -> str:
    """Return the flag of a figure that is doubtful; empty if it is not."""
    flag = row.get(f"{figure}_flag", row["flag"])
    return flag if flag in DOUBTFUL else ""


def sessions_cell(row: Row) -> Cell:
    """Return the cell of the number of sessions behind a row, with its flag below."""
    return Cell(format_count(row["sessions"]), row["flag"] or "")


def links_cell(name: str, addresses: Sequence[str] | None) -> Cell:
    """Return a cell of links to examples in Raygun."""
    return Cell(
        "", links=[Link(f"{name} {number} in Raygun", address) for number, address in enumerate(addresses or (), 1)]
    )


def text_cell(text: str | None) -> Cell:
    """Return the cell of a text that came with the data."""
    return Cell(printable(text))


def table_of(
    caption: str,
    rows: pl.DataFrame,
    columns: Mapping[str, Callable[[Row], Cell]],
    words: Iterable[str] = (),
) -> TableView:
    """Return a table of a frame's first rows; each column is given by the function that makes its cell."""
    cells = [[cell(row) for cell in columns.values()] for row in rows.head(MOST_ROWS).to_dicts()]
    return TableView(caption, [*columns], cells, max(0, len(rows) - MOST_ROWS), frozenset(words))
