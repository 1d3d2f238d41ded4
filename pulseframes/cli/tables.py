"""Frames as tables on the terminal: as many columns as it has room for, and a word on what is left out."""

from __future__ import annotations

import io
import math
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from pulseframes._text import listed, plural

if TYPE_CHECKING:
    from rich.table import Table

#: Longer texts are cut.
_WIDEST_CELL: Final = 40
#: Of a longer frame, the first and the last rows are drawn.
_ROWS: Final = 20
#: So many groups are drawn, and so many columns named that there is no room for.
_GROUPS: Final = 50
_NAMED: Final = 8
#: Below, a number keeps four digits; from here on, it is written to the unit.
_WHOLE: Final = 1_000

#: The columns of estimates, and those that are left out where there is no room.
_FIGURES: Final = ("estimate", "standard_error", "lower", "upper", "sessions", "effective_sessions", "flag")
_SPARE: Final = ("standard_error", "effective_sessions")


def as_text(frame: pl.DataFrame, first: Sequence[str] = (), *, all_of_it: str = "") -> str:
    """Draw a frame as a table: its first and last rows, and as many columns as the terminal has room for, none wrapped.

    Parameters
    ----------
    frame : polars.DataFrame
        What to draw.
    first : sequence of str
        The columns that matter most, where there is no room for all.
    all_of_it : str
        How to see what is left out.
    """
    room = _room()
    ends = pl.concat([frame.head(_ROWS // 2), frame.tail(_ROWS // 2)])
    widths = {name: 3 + _width(ends[name]) for name in frame.columns}
    shown = frame.columns
    if sum(widths.values()) > room:
        names = [*(name for name in first if name in widths), *(name for name in widths if name not in first)]
        shown = _fitting({name: widths[name] for name in names}, room)
    with pl.Config(
        tbl_rows=_ROWS,
        tbl_cols=-1,
        tbl_width_chars=10_000,
        fmt_str_lengths=_WIDEST_CELL - 1,
        tbl_hide_column_data_types=True,
    ):
        return f"{frame.select(shown)}{_left_out([name for name in widths if name not in shown], all_of_it)}"


def estimates_as_text(found: pl.DataFrame, *, all_of_it: str = "") -> str:
    """Draw what ``estimate()`` returned: a table for each measure, or one of all measures where there are no groups.

    Groups, estimates, limits, sessions and flags are always there; the other columns where the terminal has room for them.

    Parameters
    ----------
    found : polars.DataFrame
        The estimates.
    all_of_it : str
        How to see what is left out.
    """
    from rich.console import Console
    from rich.measure import Measurement

    groups = found.columns[: found.columns.index("measure")]
    measures = found["measure"].unique(maintain_order=True).to_list()
    together = not groups and len(measures) > 1
    names = ["measure"] if together else groups
    parts = [found] if together else [found.filter(measure=measure) for measure in measures]
    out, room = io.StringIO(), _room()
    console = Console(file=out, width=room)
    wide = console.options.update(width=10_000)
    fits = all(Measurement.get(console, wide, _grid(part, names, _FIGURES)).maximum <= room for part in parts)
    figures = _FIGURES if fits else [name for name in _FIGURES if name not in _SPARE]
    for measure, part in zip(measures, parts, strict=False):
        if not together:
            print(measure, file=out)
        console.print(_grid(part, names, figures))
        if len(part) > _GROUPS:
            print(f"and {plural(len(part) - _GROUPS, 'more row')}. {all_of_it}".rstrip(), file=out)
        print(file=out)
    drawn = "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip() or "no rows"
    return drawn + _left_out([] if fits else _SPARE, all_of_it)


def _grid(part: pl.DataFrame, names: Sequence[str], figures: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE, pad_edge=False, show_edge=False)
    for name in names:
        grid.add_column(Text(_printable(name)), overflow="fold")
    for name in figures:
        grid.add_column(name, justify="left" if name == "flag" else "right", no_wrap=True)
    for row in part.head(_GROUPS).iter_rows(named=True):
        labels = (Text(_printable(str(row[name]) if row[name] is not None else "null")) for name in names)
        grid.add_row(*labels, *(row[name] or "" if name == "flag" else _figure(row[name]) for name in figures))
    return grid


def _figure(value: float | None) -> str:
    """Write a number to four digits, or to the unit."""
    if value is None:
        return "?"
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.4g}"


def _printable(text: str) -> str:
    cut = text if len(text) <= _WIDEST_CELL else f"{text[: _WIDEST_CELL - 1]}…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in cut)


def _width(values: pl.Series) -> int:
    """Say how wide a column is as polars draws it."""
    texts = (str(round(value, 6) if isinstance(value, float) else value) for value in values)
    return max(len(values.name), min(_WIDEST_CELL, max(map(len, texts), default=0)), 4)


def _fitting(widths: dict[str, int], room: int) -> list[str]:
    """Give as many of the first columns as fit, and one at least."""
    shown: list[str] = []
    for name, width in widths.items():
        room -= width
        if room < 0 and shown:
            break
        shown.append(name)
    return shown


def _left_out(names: Sequence[str], all_of_it: str) -> str:
    """Say which columns are left out, and how to see them; nothing where none is."""
    if not names:
        return ""
    text = f"and {plural(len(names), 'more column')}: {listed(names, _NAMED)}. {all_of_it}"
    return "\n" + textwrap.fill(text.strip(), _room(), break_on_hyphens=False)


def _room() -> int:
    return shutil.get_terminal_size((120, 24)).columns - 1
