"""Frames and dictionaries as tables on a terminal: as many columns as fit, and a note of those that do not."""

from __future__ import annotations

import io
import math
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from pulseframes._text import HIDDEN, format_percent, listed, plural, substituted

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
#: Numbers of sessions and milliseconds have no decimals from here on.
_FEW: Final = 10

#: The columns of each table that matter most, if there is no room for all.
_FIRST_COLUMNS: Final[tuple[tuple[str, ...], ...]] = (
    (
        *("session_id", "session_start", "country", "status", "page_view_count", "browser_name", "satisfaction_rating"),
        *("session_length_ms", "os_name", "platform_name", "user_identifier"),
    ),
    ("session_id", "view_index", "loading_time_ms", "page"),
    ("session_id", "error_index", "title"),
    ("session_id", "inclusion_probability", "weight", "responded", "stratum"),
)
#: The columns of estimates, and those that are hidden if there is no room.
_FIGURES: Final = ("estimate", "standard_error", "lower", "upper", "sessions", "effective_sessions", "flag")
_SPARE: Final = ("standard_error", "effective_sessions")

#: Labels in front of figures are folded, to no less than this, and truncated if they are longer.
_FOLDED: Final = 24
_WIDEST_LABEL: Final = 80
#: What a flag means for who reads the table.
_MEANING: Final = {
    "": "trust the interval, not the figure.",
    "not drawn": "these details were not drawn at random, and represent no other sessions.",
}

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
    if frame.is_empty():
        return "no rows"
    room = _room()
    first = next((names for names in _FIRST_COLUMNS if {*names} <= {*frame.columns}), ())
    if first:  # the times of our tables are in UTC, and seconds are enough to look at
        frame = frame.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.strftime("%Y-%m-%d %H:%M:%S"))
    ends = pl.concat([frame.head(_ROWS // 2), frame.tail(_ROWS // 2)])
    widths = {name: 3 + _width(ends[name]) for name in frame.columns}
    shown = frame.columns
    if sum(widths.values()) > room:
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


def figures_as_text(frame: pl.DataFrame, first: Sequence[str]) -> str:
    """Return the result of an analysis as a table: each figure beside its interval, with an asterisk where its flag is set.

    Parameters
    ----------
    frame : polars.DataFrame
        The result: labels, and figures with ``..._lower`` and ``..._upper``.
    first : sequence of str
        The columns that are always shown. Others are hidden if the terminal has no room for them, ids first.
    """
    if frame.is_empty():
        return "no rows"
    rows = frame.head(_GROUPS)
    names = [name for name in frame.columns if not re.search("(^|_)(lower|upper|flag)$", name)]
    columns = {name: _columns(rows, name) for name in names}
    widths = {name: sum(column.width + 2 for column in columns[name]) for name in names}
    others = sorted((name for name in names if name not in first), key=lambda name: name.endswith("_id"))
    room = _room() + 2 - sum(widths[name] for name in first)
    shown = [*first, *_fitting({name: widths[name] for name in others}, room, least=0)]
    text = _printed(_table([column for name in names if name in shown for column in columns[name]]))
    lines = [text, *([f"and {plural(len(frame) - _GROUPS, 'more row')}. {_HINT}"] if len(frame) > _GROUPS else [])]
    flags = sorted({flag for name in rows.columns if name.endswith("flag") for flag in rows[name].drop_nulls()})
    if flags:
        lines += ["", textwrap.fill(f"* {listed(flags)}: {_MEANING.get(flags[0], _MEANING[''])}", _room())]
    return "\n".join(lines) + _note_hidden([name for name in names if name not in shown], _HINT)


class _Column(NamedTuple):
    """A column of figures or labels, as text."""

    heading: str
    cells: list[str]
    is_label: bool

    @property
    def width(self) -> int:
        """The least room that it takes: labels are folded."""
        widest = max(len(word) for word in (*self.heading.split("\n"), *self.cells))
        return min(widest, _FOLDED) if self.is_label else widest


def _columns(rows: pl.DataFrame, name: str) -> list[_Column]:
    """Return a column of a result, and that of its intervals if it has some."""
    share = name.startswith("share")
    values = rows[name]
    is_label = not values.dtype.is_numeric() or name.endswith("_id")
    if is_label:
        return [_column(name, [_label(value) for value in _days(values)], is_label=True)]
    cells = [_number(value, share=share) for value in values]
    if f"{name}_lower" not in rows.columns:
        return [_column(name, cells)]
    limits = zip(rows[f"{name}_lower"], rows[f"{name}_upper"], strict=True)
    spans = [_span(lower, upper, share=share) for lower, upper in limits]
    flags = rows[f"{name}_flag" if f"{name}_flag" in rows.columns else "flag"]
    if flags.count():
        spans = [f"{span} {'*' if flag else ' '}" for span, flag in zip(spans, flags, strict=True)]
    return [_column(name, cells), _column("95% interval", spans)]


def _column(name: str, cells: list[str], *, is_label: bool = False) -> _Column:
    """Return a column whose heading is broken to be no wider than it must."""
    words = _printable(name).removeprefix("satisfaction_").replace("_", " ")
    room = max(len(word) for word in (*words.split(), *([] if is_label else cells)))
    heading = words if is_label else "\n".join(textwrap.wrap(words, room))
    return _Column(heading, cells, is_label)


def _days(values: pl.Series) -> pl.Series:
    """Return times as text: only the days, if all are at midnight; other values as they are."""
    if not values.dtype.is_temporal():
        return values
    texts = values.dt.strftime("%Y-%m-%d %H:%M")
    return texts.str.head(10) if texts.str.ends_with(" 00:00").all() else texts


def _label(value: object) -> str:
    if isinstance(value, pl.Series | list):
        return ", ".join(_printable(str(part)) for part in value)
    return "null" if value is None else _printable(str(value), _WIDEST_LABEL)


def _number(value: float | None, *, share: bool) -> str:
    if value is None or share:
        return "?" if value is None else format_percent(value)
    return f"{value:,.0f}" if math.isfinite(value) and abs(value) >= _FEW else _figure(value)


def _span(lower: float | None, upper: float | None, *, share: bool) -> str:
    """Format an interval."""
    if lower is None or upper is None:
        return "?"
    if lower == upper:
        return "exact"
    return f"{_number(lower, share=share).removesuffix('%')} to {_number(upper, share=share)}"


def _printed(table: Table) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=_room(), force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _table(columns: Sequence[_Column]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(
            Text(column.heading),
            justify="left" if column.is_label else "right",
            no_wrap=not column.is_label,
            overflow="fold",
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, cells))
    return table


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


def _printable(text: str, longest: int = _WIDEST_CELL) -> str:
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return substituted(cut)


def _width(values: pl.Series) -> int:
    """Return the width of a column as polars prints it."""
    texts = (str(round(value, 6) if isinstance(value, float) else value) for value in values)
    return max(len(values.name), min(_WIDEST_CELL, max(map(len, texts), default=0)), 4)


def _fitting(widths: dict[str, int], room: int, *, least: int = 1) -> list[str]:
    """Return as many of the first columns as fit."""
    shown: list[str] = []
    for name, width in widths.items():
        room -= width
        if room < 0 and len(shown) >= least:
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
