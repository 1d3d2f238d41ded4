"""Charts as inline SVG: no script, no style of their own, colours from the page's style sheet."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree import ElementTree as ET

import polars as pl

from pulseframes.charts.style import COLOURS

if TYPE_CHECKING:
    import altair as alt

#: Widths of a chart in pixels, for a desktop and for a phone.
WIDTHS: Final = {"wide": 720, "narrow": 350}

_SVG: Final = "http://www.w3.org/2000/svg"
_LONG_NUMBER: Final = re.compile(r"(\d+\.\d{2})\d+")
#: Attributes that a screen reader would read out for each mark, and those that only an interactive chart needs.
_DROPPED: Final = re.compile(r"aria-.*|role|class|style|pointer-events|font-family|id|clip-path|.*\}.*")


class Picture(NamedTuple):
    """The two drawings of a chart: SVG elements, with escaped text."""

    wide: str
    narrow: str


def picture(draw: Callable[..., alt.LayerChart], frame: pl.DataFrame, description: str) -> Picture:
    """Draw a frame by one of the charts, for both widths; the description is for those who cannot see the picture."""
    return Picture(*(_drawn(draw(frame, width=width), name, description) for name, width in WIDTHS.items()))


def _drawn(chart: alt.LayerChart, name: str, description: str) -> str:
    svg = _converter().vegalite_to_svg(chart.to_dict(validate=False), allowed_base_urls=[])
    root = ET.fromstring(svg)  # noqa: S314  it was made here
    size = root.get("viewBox", "")
    _clean(root)
    root.attrib.clear()
    root.attrib.update({"class": f"chart {name}", "viewBox": size, "role": "img", "aria-label": description})
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _clean(element: ET.Element) -> None:
    """Remove everything from an element and its children that is not drawn."""
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
