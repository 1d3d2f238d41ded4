"""The look of all charts: colours, sizes, and the format of figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from pulseframes import _text as readable
from pulseframes._arguments import whole_number
from pulseframes.errors import InvalidQuery

if TYPE_CHECKING:
    import altair as alt

#: The colours, by their names in the report's style sheet, which has others for dark mode.
COLOURS: Final = {
    "paper": "#ffffff",
    "ink": "#1d2730",
    "muted": "#56616c",
    "line": "#e2e6ea",
    "accent": "#1f66ad",
    "excellent": "#1c5a94",
    "good": "#86b6df",
    "average": "#f3c46f",
    "poor": "#b5430e",
    "other": "#8b949d",
    "second": "#b5651d",
}
#: The colours for parts of a whole; colour-blind readers can distinguish them.
PARTS: Final = ("accent", "average", "excellent", "poor", "good", "other")
#: The default width, in pixels: a chart in a notebook or on a desktop.
WIDE: Final = 720
#: A narrower chart is for a phone: its labels stand above the lines.
NARROW: Final = 520
#: The default number of groups.
TOP: Final = 12

FONT_SIZE: Final = 13
SMALL: Final = 12


class Unit(NamedTuple):
    """How a figure is formatted in the chart and on its axis, and the factor for the numbers on the axis."""

    write: Callable[[float | None], str]
    axis: str
    scale: float = 1.0


SECONDS: Final = Unit(readable.format_seconds, "~f", 0.001)
SHARE: Final = Unit(readable.format_percent, "~%")
COUNT: Final = Unit(readable.format_rounded, ",~f")
NUMBER: Final = Unit(lambda number: readable.UNKNOWN if number is None else f"{number:,.4g}", "~g")


def altair() -> Any:
    """Return the module Altair; raise ``ImportError`` if it is not installed."""
    try:
        import altair as alt
    except ImportError:
        raise ImportError("Charts need Altair: pip install 'pulseframes[report]'") from None
    return alt


def need(frame: object, columns: list[str], source: str) -> None:
    """Raise ``InvalidQuery`` if a frame is not a DataFrame with some columns."""
    if not isinstance(frame, pl.DataFrame):
        problem = f"is a {type(frame).__name__}, not a polars DataFrame"
    elif missing := [name for name in columns if name not in frame.columns]:
        problem = f"has no column {', '.join(missing)}"
    else:
        return
    raise InvalidQuery(f"frame {problem}. Pass the DataFrame from {source}.", argument="frame")


def first_rows(frame: pl.DataFrame, top: int) -> pl.DataFrame:
    """Return the groups to draw: the first rows."""
    return frame.head(whole_number("top", top, least=1))


def check_width(width: int) -> None:
    """Raise ``InvalidQuery`` if nothing can be drawn in a width."""
    whole_number("width", width, least=200, most=10_000)


def styled(chart: alt.LayerChart, *, size: tuple[int, int], padding: tuple[int, int, int, int]) -> alt.LayerChart:
    """Return a chart with the common look, of a fixed size whatever its labels are.

    Parameters
    ----------
    chart : altair.LayerChart
        The layers.
    size : tuple of int
        Width and height of the area within the axes, in pixels.
    padding : tuple of int
        Pixels around that area: left, top, right, bottom.
    """
    alt = altair()
    left, top, right, bottom = padding
    text: dict[str, Any] = {"labelColor": COLOURS["muted"], "labelFontSize": SMALL, "titleColor": COLOURS["muted"]}
    titles: dict[str, Any] = {"titleFontSize": SMALL, "titleFontWeight": "normal"}
    chart = (
        chart.configure_view(stroke=None)
        .configure_axis(**text, **titles, gridColor=COLOURS["line"], domain=False, ticks=False, labelPadding=6)
        .configure_legend(
            labelColor=COLOURS["ink"], labelFontSize=SMALL, titleColor=COLOURS["muted"], symbolType="square"
        )
    )
    return chart.properties(
        width=size[0],
        height=size[1],
        autosize=alt.AutoSizeParams(type="none", contains="content"),
        padding={"left": left, "top": top, "right": right, "bottom": bottom},
        background=COLOURS["paper"],
    )


def either(channel: Any, test: str, yes: object, no: object) -> Any:
    """Return an encoding by a condition. Altair looks for the class of a channel that is not named, which takes most of its time."""
    return channel(no, condition={"test": test, "value": yes})


def nothing(width: int) -> alt.LayerChart:
    """Return a chart with a note that there is nothing to draw."""
    alt = altair()
    text = alt.Chart(alt.Data(values=[{"note": "Nothing to draw: the frame has no rows."}]))
    layer = alt.layer(
        text.mark_text(align="left", color=COLOURS["muted"], fontSize=FONT_SIZE).encode(
            text=alt.Text("note:N"), x=alt.XValue(0), y=alt.YValue(16)
        )
    )
    return styled(layer, size=(width - 8, 32), padding=(4, 4, 4, 4))


#: Pixels around the area of a chart of bars: for numbers on the left, a margin, the title, and the axis below.
LEFT: Final = 52
RIGHT: Final = 16
TITLE: Final = 28
AXIS: Final = 44


def height(field: str, title: str, axis: str, most: float | None = None) -> Any:
    """Return a vertical encoding from 0 with its title on top, up to `most` if given."""
    alt = altair()
    scale = alt.Scale(zero=True) if most is None else alt.Scale(domain=[0, most], nice=False)
    above: dict[str, Any] = {"titleAngle": 0, "titleAlign": "left", "titleBaseline": "bottom"}
    above |= {"titleX": 4 - LEFT, "titleY": -10}
    return alt.Y(
        field, scale=scale, axis=alt.Axis(title=readable.printable(title), format=axis, tickCount=4, grid=True, **above)
    )


def histogram(rows: pl.DataFrame, x: Any, y: Any, *, size: tuple[int, int]) -> alt.LayerChart:
    """Draw a bar for each row, from the field of `x` to ``end`` and from 0 to the field of `y`."""
    alt = altair()
    marks = alt.Chart(alt.Data(values=rows.to_dicts())).mark_rect(color=COLOURS["accent"], tooltip=True)
    chart = marks.encode(x=x, x2=alt.X2("end:Q"), y=y, y2=alt.Y2Datum(0))
    return styled(alt.layer(chart), size=(size[0] - LEFT - RIGHT, size[1]), padding=(LEFT, TITLE, RIGHT, AXIS))
