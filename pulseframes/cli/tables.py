"""Frames and dictionaries as tables on a terminal: as many columns as fit, and a note of those that do not."""

from __future__ import annotations

import io
import math
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from pulseframes._text import HIDDEN, listed, plural, substituted

if TYPE_CHECKING:
    from rich.table import Table

#: Longer strings are truncated.
_WIDEST_CELL: Final = 40
#: A longer frame is shown by its first and last rows.
_ROWS: Final = 20
#: The number of groups shown, and of hidden columns named.
_GROUPS: Final = 50
_NAMED: Final = 8
#: Smaller numbers have four digits; from here on, numbers have no decimals.
_WHOLE: Final = 1_000

#: The columns of each table that matter most, if there is no room for all.
_FIRST_COLUMNS: Final[tuple[tuple[str, ...], ...]] = (
    (
        *("session_id", "session_start", "status", "page_view_count", "country", "browser_name", "satisfaction_rating"),
        *("session_length_ms", "os_name", "platform_name", "user_identifier"),
    ),
    ("session_id", "view_index", "loading_time_ms", "page"),
    ("session_id", "error_index", "title"),
    ("session_id", "inclusion_probability", "weight", "responded", "stratum"),
)
#: The columns of estimates, and those that are hidden if there is no room.
_FIGURES: Final = ("estimate", "standard_error", "lower", "upper", "sessions", "effective_sessions", "flag")
_SPARE: Final = ("standard_error", "effective_sessions")

#: How to see everything.
_HINT: Final = "-f csv prints all of it, -o writes it."


def frame_as_text(frame: pl.DataFrame, *, hint: str = _HINT) -> str:
    """Return a frame as a table: its first and last rows, and as many columns as the terminal has room for, none wrapped.

    Parameters
    ----------
    frame : polars.DataFrame
        The frame. If it has the columns of one of our tables, the most important ones come first.
    hint : str
        How to see hidden columns.
    """
    room = _room()
    ends = pl.concat([frame.head(_ROWS // 2), frame.tail(_ROWS // 2)])
    widths = {name: 3 + _width(ends[name]) for name in frame.columns}
    shown = frame.columns
    if sum(widths.values()) > room:
        first = next((names for names in _FIRST_COLUMNS if {*names} <= {*widths}), ())
        shown = _fitting({name: widths[name] for name in dict.fromkeys([*first, *widths])}, room)
    visible = frame.select(shown).with_columns(pl.col(pl.String).str.replace_all(HIDDEN, "\N{REPLACEMENT CHARACTER}"))
    with pl.Config(
        tbl_rows=_ROWS,
        tbl_cols=-1,
        tbl_width_chars=10_000,
        fmt_str_lengths=_WIDEST_CELL - 1,
        tbl_hide_column_data_types=True,
    ):
        return f"{visible}{_note_hidden([name for name in widths if name not in shown], hint)}"


def estimates_as_text(estimates: pl.DataFrame) -> str:
    """Return a result of ``estimate()`` as a table for each measure, or as one table if there are no groups.

    Groups, estimates, limits, sessions and flags are always shown; the other columns if the terminal has room for them.
    """
    from rich.console import Console
    from rich.measure import Measurement

    groups = estimates.columns[: estimates.columns.index("measure")]
    measures = estimates["measure"].unique(maintain_order=True).to_list()
    together = not groups and len(measures) > 1
    names = ["measure"] if together else groups
    parts = [estimates] if together else [estimates.filter(measure=measure) for measure in measures]
    out, room = io.StringIO(), _room()
    console = Console(file=out, width=room, force_terminal=False)
    wide = console.options.update(width=10_000)
    fits = all(Measurement.get(console, wide, _grid(part, names, _FIGURES)).maximum <= room for part in parts)
    figures = _FIGURES if fits else [name for name in _FIGURES if name not in _SPARE]
    for measure, part in zip(measures, parts, strict=False):
        if not together:
            print(measure, file=out)
        console.print(_grid(part, names, figures))
        if len(part) > _GROUPS:
            print(f"and {plural(len(part) - _GROUPS, 'more row')}. {_HINT}", file=out)
        print(file=out)
    table = "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip() or "no rows"
    return table + _note_hidden([] if fits else _SPARE, _HINT)


def print_dictionary(name: str, description: str, entries: list[dict[str, object]]) -> None:
    """Print one table of the data dictionary on stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(title=f"{name}: {description}", title_justify="left", box=box.SIMPLE)
    grid.add_column("column", no_wrap=True)
    for heading in ("type", "null?", "JSON", "in", "what it is"):
        grid.add_column(heading, overflow="fold")
    for entry in entries:
        kind = f"{entry['type']}, {entry['unit']}" if entry["unit"] else entry["type"]
        null = "yes" if entry["nullable"] else "key" if entry["key"] else "no"
        cells = (
            entry["column"],
            kind,
            null,
            entry["json_path"] or "",
            entry["answers"] or "lake",
            entry["description"],
        )
        grid.add_row(*map(str, cells))
    Console(width=None if sys.stdout.isatty() else 140).print(grid)


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
    """Format a number with four digits, or without decimals."""
    if value is None:
        return "?"
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.4g}"


def _printable(text: str) -> str:
    cut = text if len(text) <= _WIDEST_CELL else f"{text[: _WIDEST_CELL - 1]}…"
    return substituted(cut)


def _width(values: pl.Series) -> int:
    """Return the width of a column as polars prints it."""
    texts = (str(round(value, 6) if isinstance(value, float) else value) for value in values)
    return max(len(values.name), min(_WIDEST_CELL, max(map(len, texts), default=0)), 4)


def _fitting(widths: dict[str, int], room: int) -> list[str]:
    """Return as many of the first columns as fit, at least one."""
    shown: list[str] = []
    for name, width in widths.items():
        room -= width
        if room < 0 and shown:
            break
        shown.append(name)
    return shown


def _note_hidden(names: Sequence[str], hint: str) -> str:
    """Return a line that names the hidden columns; empty if there are none."""
    if not names:
        return ""
    text = f"and {plural(len(names), 'more column')}: {listed(names, _NAMED)}. {hint}"
    return "\n" + textwrap.fill(text.strip(), _room(), break_on_hyphens=False)


def _room() -> int:
    return shutil.get_terminal_size((120, 24)).columns - 1
