"""One row per group: a dot for the figure, and a line for its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from pulseframes._text import UNKNOWN, format_range, printable
from pulseframes.charts.style import COLOURS, FONT_SIZE, NARROW, Unit, altair, check_width, either, nothing, styled

if TYPE_CHECKING:
    import altair as alt

#: Pixels from row to row, for labels and for figures.
_STEP: Final = 30
_NARROW_STEP: Final = 46
_LABELS: Final = 262
_FIGURES: Final = 76
_AXIS: Final = 46
#: The share of the room that labels may take, as a reader's font can be wider than the one they are measured in.
_FONTS_DIFFER: Final = 0.84
#: How far flagged intervals may extend the axis, as a share of its length.
_BEYOND: Final = 0.6
_TOOLTIP: Final = ("label", "estimate", "interval", "sessions", "flag")


class Dot(NamedTuple):
    """A group, its figure with the limits of its interval, the number of sessions it rests on, and its flag."""

    label: str
    figure: float | None
    lower: float | None = None
    upper: float | None = None
    sessions: int | None = None
    flag: str | None = None


def read_dots(frame: pl.DataFrame, labels: Sequence[str], columns: Sequence[str]) -> list[Dot]:
    """Return a dot for each row, from the columns of its figure, lower and upper limit, sessions and flag."""
    return [Dot(label, *values) for label, values in zip(labels, frame.select(columns).iter_rows(), strict=True)]


def dots(
    groups: Sequence[Dot], unit: Unit, title: str, *, width: int, zero: bool = True, reference: float | None = None
) -> alt.LayerChart:
    """Draw dots and their intervals.

    Parameters
    ----------
    groups : sequence of Dot
        The rows, from the top; those without a figure are omitted.
    unit : Unit
        How figures are formatted.
    title : str
        The title of the axis.
    width : int
        The total width in pixels.
    zero : bool
        Whether the axis includes 0.
    reference : float or None
        Where to draw a reference line.
    """
    check_width(width)
    groups = [dot for dot in groups if dot.figure is not None and math.isfinite(dot.figure)]
    if not groups:
        return nothing(width)
    alt = altair()
    narrow = width < NARROW
    left, right = (4, 12) if narrow else (_LABELS, _FIGURES)
    plot = width - left - right
    low, high = _domain(groups, zero=zero, reference=reference)
    rows = alt.Data(values=_rows(groups, unit, low, high, narrow=narrow))
    x = alt.X(
        "figure:Q",
        scale=alt.Scale(domain=[low * unit.scale, high * unit.scale], nice=False, zero=False),
        axis=alt.Axis(title=printable(title), format=unit.axis, tickCount=4 if narrow else 6, grid=True),
    )
    y = alt.Y("line:Q", axis=None, scale=alt.Scale(domain=[0, len(groups)], reverse=True, nice=False, zero=False))
    colours = COLOURS["accent"], COLOURS["other"]
    base = alt.Chart(rows).encode(y=y, tooltip=[alt.Tooltip(f"{name}:N") for name in _TOOLTIP])
    layers = [
        base.mark_rule(strokeWidth=2.5).encode(
            x=alt.X("lower:Q", title=printable(title)),
            x2=alt.X2("upper:Q"),
            color=either(alt.ColorValue, "datum.firm", *colours),
            strokeDash=either(alt.StrokeDashValue, "datum.firm", [1, 0], [4, 3]),
        ),
        base.transform_filter("datum.beyond")
        .mark_point(shape="triangle-right", filled=True, size=60, opacity=1)
        .encode(x=alt.X("upper:Q"), color=either(alt.ColorValue, "datum.firm", *colours)),
        base.mark_point(size=80, strokeWidth=2, opacity=1).encode(
            x=x,
            stroke=either(alt.StrokeValue, "datum.firm", *colours),
            fill=either(alt.FillValue, "datum.firm", COLOURS["accent"], COLOURS["paper"]),
        ),
        *_texts(base, plot, narrow=narrow),
    ]
    if reference is not None:
        mark = alt.Chart(alt.Data(values=[{"figure": reference * unit.scale}]))
        layers.insert(0, mark.mark_rule(color=COLOURS["muted"], strokeDash=[2, 2]).encode(x=alt.X("figure:Q")))
    height = len(groups) * (_NARROW_STEP if narrow else _STEP)
    return styled(alt.layer(*layers), size=(plot, height), padding=(left, 6, right, _AXIS))


def _texts(base: alt.Chart, plot: int, *, narrow: bool) -> list[alt.Chart]:
    """Return the layers of labels and figures: beside the lines, or above them in a narrow chart."""
    alt = altair()
    place = alt.Y("text:Q") if narrow else alt.Y("line:Q")
    room = plot - _FIGURES if narrow else _LABELS - 12
    label: dict[str, Any] = {"align": "left" if narrow else "right", "limit": room * _FONTS_DIFFER}
    words: dict[str, Any] = {"baseline": "middle", "fontSize": FONT_SIZE}
    return [
        base.mark_text(**words, **label, color=COLOURS["ink"]).encode(
            y=place, x=alt.XValue(0 if narrow else -12), text=alt.Text("label:N")
        ),
        base.mark_text(**words, align="right" if narrow else "left").encode(
            y=place,
            x=alt.XValue(plot if narrow else plot + 14),
            text=alt.Text("estimate:N"),
            color=either(alt.ColorValue, "datum.firm", COLOURS["ink"], COLOURS["muted"]),
        ),
    ]


def _rows(groups: Sequence[Dot], unit: Unit, low: float, high: float, *, narrow: bool) -> list[dict[str, Any]]:
    rows = []
    for number, dot in enumerate(groups):
        figure = dot.figure or 0.0
        lower, upper = _drawable(dot.lower, figure), _drawable(dot.upper, figure)
        rows.append(
            {
                "line": number + (0.7 if narrow else 0.5),
                "text": number + 0.3,
                "label": printable(dot.label, 60),
                "figure": figure * unit.scale,
                "lower": max(lower, low) * unit.scale,
                "upper": min(upper, high) * unit.scale,
                "beyond": upper > high,
                "firm": dot.flag is None,
                "estimate": unit.write(dot.figure),
                "interval": _interval(dot.lower, dot.upper, unit),
                "sessions": UNKNOWN if dot.sessions is None else dot.sessions,
                "flag": printable(dot.flag) if dot.flag else "",
            }
        )
    return rows


def _interval(lower: float | None, upper: float | None, unit: Unit) -> str:
    if lower is None or upper is None or math.isinf(lower):
        return UNKNOWN
    return format_range(lower, upper, unit.write)


def _domain(groups: Sequence[Dot], *, zero: bool, reference: float | None) -> tuple[float, float]:
    """Return the limits of the axis: all figures and firm intervals, and as much of flagged intervals as is near."""
    figures = [dot.figure or 0.0 for dot in groups] + ([] if reference is None else [reference])
    firm = figures + _finite_limits(dot for dot in groups if dot.flag is None)
    top, bottom = max(firm), min(firm)
    span = (top - min(bottom, 0.0)) or 1.0
    limits = _finite_limits(groups)
    top, bottom = (
        min(top + _BEYOND * span, max([top, *limits])),
        max(bottom - _BEYOND * span, min([bottom, *limits])),
    )
    return (min(0.0, bottom) if zero else bottom - 0.03 * span), top + 0.03 * span


def _finite_limits(groups: Iterable[Dot]) -> list[float]:
    limits = (limit for dot in groups for limit in (dot.lower, dot.upper))
    return [limit for limit in limits if limit is not None and math.isfinite(limit)]


def _drawable(limit: float | None, figure: float) -> float:
    """Return a limit as a finite number: the figure if it is unknown, far away if it is infinite."""
    if limit is None:
        return figure
    return limit if math.isfinite(limit) else math.copysign(1e18, limit)
