"""One row a group: its figure as a dot, the figure's interval as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from pulseframes import _text as readable
from pulseframes.charts.style import COLOURS, FONT_SIZE, NARROW, Unit, altair, check_width, nothing, styled

if TYPE_CHECKING:
    import altair as alt

#: Pixels from row to row, and for labels and figures.
_STEP: Final = 30
_NARROW_STEP: Final = 46
_LABELS: Final = 262
_FIGURES: Final = 76
_AXIS: Final = 46
#: A reader's font can be wider than the one that labels are measured in.
_FONTS_DIFFER: Final = 0.84
#: Of what is drawn: how far the axis goes beyond the largest figure for intervals that are no firm ones.
_BEYOND: Final = 1.6


class Dot(NamedTuple):
    """A group, its figure, the limits of its interval, how many sessions it rests on, and the flag."""

    label: str
    figure: float | None
    lower: float | None = None
    upper: float | None = None
    sessions: int | None = None
    flag: str | None = None


def read_dots(frame: pl.DataFrame, labels: Sequence[str], figure: str) -> list[Dot]:
    """Read the dots of a frame that has a figure's columns, with its limits', ``sessions`` and ``flag``."""
    columns = [figure, f"{figure}_lower", f"{figure}_upper", "sessions", "flag"]
    return [Dot(label, *values) for label, values in zip(labels, frame.select(columns).iter_rows(), strict=True)]


def dots(
    given: Sequence[Dot], unit: Unit, title: str, *, width: int, zero: bool = True, reference: float | None = None
) -> alt.LayerChart:
    """Draw dots and their intervals.

    Parameters
    ----------
    given : sequence of Dot
        The rows, from above.
    unit : Unit
        How the figure is written.
    title : str
        What the axis is of.
    width : int
        Pixels, all in all.
    zero : bool
        Whether the axis begins at 0.
    reference : float or None
        A value that a line is drawn at.
    """
    check_width(width)
    given = [dot for dot in given if dot.figure is not None and math.isfinite(dot.figure)]
    if not given:
        return nothing(width)
    alt = altair()
    narrow = width < NARROW
    left, right = (4, 12) if narrow else (_LABELS, _FIGURES)
    plot = width - left - right
    low, high = _domain(given, zero=zero, reference=reference)
    rows = alt.Data(values=_rows(given, unit, low, high, narrow=narrow))
    x = alt.X(
        "figure:Q",
        scale=alt.Scale(domain=[low * unit.scale, high * unit.scale], nice=False, zero=False),
        axis=alt.Axis(title=title, format=unit.axis, tickCount=4 if narrow else 6, grid=True),
    )
    y = alt.Y("line:Q", axis=None, scale=alt.Scale(domain=[0, len(given)], reverse=True, nice=False, zero=False))
    color = alt.condition("datum.firm", alt.value(COLOURS["accent"]), alt.value(COLOURS["other"]))
    base = alt.Chart(rows).encode(y=y, tooltip=[alt.Tooltip(f"{name}:N") for name in _TOOLTIP])
    layers = [
        base.mark_rule(strokeWidth=2.5).encode(
            x=alt.X("lower:Q", title=title),
            x2="upper:Q",
            color=color,
            strokeDash=alt.condition("datum.firm", alt.value([1, 0]), alt.value([4, 3])),
        ),
        base.transform_filter("datum.beyond")
        .mark_point(shape="triangle-right", filled=True, size=60, opacity=1)
        .encode(x="upper:Q", color=color),
        base.mark_point(size=80, strokeWidth=2, opacity=1).encode(
            x=x,
            stroke=color,
            fill=alt.condition("datum.firm", alt.value(COLOURS["accent"]), alt.value(COLOURS["paper"])),
        ),
        *_texts(base, plot, narrow=narrow),
    ]
    if reference is not None:
        mark = alt.Chart(alt.Data(values=[{"figure": reference * unit.scale}]))
        layers.insert(0, mark.mark_rule(color=COLOURS["muted"], strokeDash=[2, 2]).encode(x="figure:Q"))
    height = len(given) * (_NARROW_STEP if narrow else _STEP)
    return styled(alt.layer(*layers), size=(plot, height), padding=(left, 6, right, _AXIS))


_TOOLTIP: Final = ("label", "estimate", "interval", "sessions", "flag")


def _texts(base: alt.Chart, plot: int, *, narrow: bool) -> list[alt.Chart]:
    """Give the labels and the figures in words: beside the lines, or above them where there is little room."""
    alt = altair()
    place = alt.Y("text:Q") if narrow else alt.Y("line:Q")
    room = plot - _FIGURES if narrow else _LABELS - 12
    label: dict[str, Any] = {"align": "left" if narrow else "right", "limit": room * _FONTS_DIFFER}
    words: dict[str, Any] = {"baseline": "middle", "fontSize": FONT_SIZE}
    return [
        base.mark_text(**words, **label, color=COLOURS["ink"]).encode(
            y=place, x=alt.value(0 if narrow else -12), text="label:N"
        ),
        base.mark_text(**words, align="right" if narrow else "left").encode(
            y=place,
            x=alt.value(plot if narrow else plot + 14),
            text="estimate:N",
            color=alt.condition("datum.firm", alt.value(COLOURS["ink"]), alt.value(COLOURS["muted"])),
        ),
    ]


def _rows(given: Sequence[Dot], unit: Unit, low: float, high: float, *, narrow: bool) -> list[dict[str, Any]]:
    rows = []
    for number, dot in enumerate(given):
        figure, lower, upper = (_or(limit, dot.figure or 0.0) for limit in (dot.figure, dot.lower, dot.upper))
        rows.append(
            {
                "line": number + (0.7 if narrow else 0.5),
                "text": number + 0.3,
                "label": readable.printable(dot.label, 60),
                "figure": figure * unit.scale,
                "lower": max(lower, low) * unit.scale,
                "upper": min(upper, high) * unit.scale,
                "beyond": upper > high,
                "firm": dot.flag is None,
                "estimate": unit.write(dot.figure),
                "interval": _interval(dot.lower, dot.upper, unit),
                "sessions": dot.sessions,
                "flag": dot.flag or "",
            }
        )
    return rows


def _interval(lower: float | None, upper: float | None, unit: Unit) -> str:
    if lower is None or upper is None or math.isinf(lower):
        return readable.UNKNOWN
    return readable.format_range(lower, upper, unit.write)


def _domain(given: Sequence[Dot], *, zero: bool, reference: float | None) -> tuple[float, float]:
    """Give from where to where the axis goes: around all figures and firm intervals, and what of the others is not too far."""
    figures = [dot.figure or 0.0 for dot in given] + ([] if reference is None else [reference])
    firm = [limit for dot in given if dot.flag is None for limit in (dot.lower, dot.upper)]
    known = [limit for limit in firm if limit is not None and math.isfinite(limit)]
    top, bottom = max(figures + known), min(figures + known)
    span = (top - min(bottom, 0.0)) or 1.0
    loose = [limit for dot in given for limit in (dot.lower, dot.upper) if limit is not None and math.isfinite(limit)]
    far = top + (_BEYOND - 1) * span
    top = min(far, max([top, *loose]))
    bottom = max(min([bottom, *loose]), bottom - (_BEYOND - 1) * span)
    return (min(0.0, bottom) if zero else bottom - 0.03 * span), top + 0.03 * span


def _or(value: float | None, instead: float) -> float:
    if value is None:
        return instead
    return value if math.isfinite(value) else math.copysign(1e18, value)
