"""Charts as SVG that stands in a page: no script, no style of its own, colours from the page's style sheet."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree import ElementTree as ET

import polars as pl

from pulseframes.charts.style import COLOURS

if TYPE_CHECKING:
    import altair as alt

#: Pixels of the two drawings of a chart: for a desktop, and for a phone.
WIDTHS: Final = {"wide": 720, "narrow": 350}

_SVG: Final = "http://www.w3.org/2000/svg"
_LONG_NUMBER: Final = re.compile(r"(\d+\.\d{2})\d+")
#: What a reader of the screen would have to listen to for each mark, and what only an interactive chart needs.
_DROPPED: Final = re.compile(r"aria-.*|role|class|style|pointer-events|font-family|id|clip-path|.*\}.*")


class Picture(NamedTuple):
    """A chart's drawings: SVG elements, whose texts are escaped."""

    wide: str
    narrow: str


def picture(draw: Callable[[int], alt.LayerChart], said: str) -> Picture:
    """Draw a chart for both widths.

    Parameters
    ----------
    draw : callable
        Takes a width, and gives the chart.
    said : str
        What the chart shows, for those who cannot see it.
    """
    return Picture(*(_drawn(draw(width), name, said) for name, width in WIDTHS.items()))


def drawn(chart: Callable[..., alt.LayerChart], frame: pl.DataFrame, said: str) -> Picture:
    """Draw a frame by one of the charts; see ``picture()``."""
    return picture(lambda width: chart(frame, width=width), said)


def _drawn(chart: alt.LayerChart, name: str, said: str) -> str:
    svg = _converter().vegalite_to_svg(chart.to_dict(validate=False), allowed_base_urls=[])
    root = ET.fromstring(svg)  # noqa: S314  it was made here, a moment ago
    size = root.get("viewBox", "")
    _clean(root)
    root.attrib.clear()
    root.attrib.update({"class": f"chart {name}", "viewBox": size, "role": "img", "aria-label": said})
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _clean(element: ET.Element) -> None:
    """Leave nothing of an element and those within it but what is drawn."""
    for name in [name for name in element.attrib if _DROPPED.fullmatch(name)]:
        del element.attrib[name]
    for name, value in element.attrib.items():
        if name in ("fill", "stroke"):
            element.set(name, _VARIABLES.get(value.lower(), value))
        elif name in ("transform", "d", "x", "y", "x2", "y2", "width", "height"):
            element.set(name, _LONG_NUMBER.sub(r"\1", value))
    for child in list(element):
        if child.get("display") == "none" or child.tag == f"{{{_SVG}}}defs":
            element.remove(child)
        else:
            _clean(child)


def _converter() -> Any:
    try:
        import vl_convert
    except ImportError:
        raise ImportError("The report needs vl-convert: pip install 'pulseframes[report]'") from None
    return vl_convert


_VARIABLES: Final = {colour: f"var(--{name})" for name, colour in COLOURS.items()} | {"white": "var(--paper)"}
