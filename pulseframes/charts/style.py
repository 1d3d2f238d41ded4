"""How all charts look: colours, sizes, and what a figure's axis says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from pulseframes import _text as readable
from pulseframes._arguments import whole_number
from pulseframes.errors import InvalidQuery

if TYPE_CHECKING:
    import altair as alt

#: The colours by their names in the report's style sheet, which has darker and lighter ones for a dark screen.
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
#: One for each part of a whole; told apart by those who do not see red and green, too.
PARTS: Final = ("accent", "average", "excellent", "poor", "good", "other")
#: Pixels: a chart in a notebook or on a desktop.
WIDE: Final = 720
#: A chart that is less wide is for a phone: its labels stand above the lines.
NARROW: Final = 520
#: How many of many groups are drawn.
TOP: Final = 12

FONT_SIZE: Final = 13
SMALL: Final = 12


class Unit(NamedTuple):
    """How a figure is written: in the chart, on its axis, and what the axis' numbers are of its own."""

    write: Callable[[float | None], str]
    axis: str
    scale: float = 1.0


SECONDS: Final = Unit(readable.format_seconds, "~f", 0.001)
SHARE: Final = Unit(readable.format_percent, "~%")
COUNT: Final = Unit(readable.format_rounded, ",~f")
NUMBER: Final = Unit(lambda number: readable.UNKNOWN if number is None else f"{number:,.4g}", "~g")


def altair() -> Any:
    """Import Altair.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import altair as alt
    except ImportError:
        raise ImportError("Charts need Altair: pip install 'pulseframes[report]'") from None
    return alt


def need(frame: pl.DataFrame, columns: list[str], source: str) -> None:
    """Check that a frame is what a chart is drawn of.

    Raises
    ------
    InvalidQuery
        If it is none, or lacks columns.
    """
    if not isinstance(frame, pl.DataFrame):
        raise InvalidQuery(
            f"frame: {type(frame).__name__} is no polars DataFrame; give what {source} returned.", argument="frame"
        )
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InvalidQuery(
            f"frame: there is no column {', '.join(missing)}; give what {source} returned.", argument="frame"
        )


def check_width(width: int) -> None:
    """Check a width; raises ``InvalidQuery`` where nothing could be drawn in it."""
    whole_number("width", width, least=200, most=10_000)


def styled(chart: alt.LayerChart, *, size: tuple[int, int], padding: tuple[int, int, int, int]) -> alt.LayerChart:
    """Give a chart its size and look.

    Parameters
    ----------
    chart : altair.LayerChart
        The layers.
    size : tuple of int
        Width and height of what is within the axes, in pixels.
    padding : tuple of int
        What is left around it: left, top, right, bottom. All of the chart is exactly so large, whatever its labels are.
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


def nothing(width: int) -> alt.LayerChart:
    """Give a chart that says that there is nothing to be drawn."""
    alt = altair()
    text = alt.Chart(alt.Data(values=[{"said": "Nothing to be drawn: the frame has no rows."}]))
    layer = alt.layer(
        text.mark_text(align="left", color=COLOURS["muted"], fontSize=FONT_SIZE).encode(
            text="said:N", x=alt.value(0), y=alt.value(16)
        )
    )
    return styled(layer, size=(width - 8, 32), padding=(4, 4, 4, 4))
