"""Charts of results that have a row for each group: pages, errors, ways, or whatever was estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pulseframes import _text as readable
from pulseframes.charts.dots import Dot, dots, read_dots
from pulseframes.charts.style import COUNT, NUMBER, SECONDS, SHARE, TOP, WIDE, Unit, need

if TYPE_CHECKING:
    import altair as alt

_LIMITS: Final = ("", "_lower", "_upper")
#: What an error without a title is called.
NO_TITLE: Final = "(no title)"


def page_speed(frame: pl.DataFrame, *, figure: str = "p75_ms", width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw load times, with their intervals: what ``page_speed()`` returned, the most viewed groups first.

    Parameters
    ----------
    frame : polars.DataFrame
        What ``page_speed()`` returned, by whatever.
    figure : str
        Which column: ``p50_ms``, ``p75_ms``, ``p95_ms`` or ``viewing_ms``.
    width : int
        Pixels; under 520, labels stand above the lines.
    top : int
        How many groups.

    Raises
    ------
    InvalidQuery
        If the frame is another one.
    """
    _check(frame, ["views"], [figure], "page_speed()")
    names = {"p50_ms": "Median", "p75_ms": "75th percentile", "p95_ms": "95th percentile"}
    title = f"{names[figure]} of load time, seconds" if figure in names else "Median viewing time, seconds"
    rows = frame.head(top)
    return dots(read_dots(rows, _labels(rows, "views"), figure), SECONDS, title, width=width)


def apdex(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw the Apdex, with its intervals: what ``apdex()`` returned; arguments as for ``page_speed()``."""
    _check(frame, [], ["apdex"], "apdex()")
    rows = frame.head(top)
    return dots(read_dots(rows, _labels(rows, "views"), "apdex"), NUMBER, "Apdex", width=width)


def error_impact(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw which share of the sessions each error touches: what ``error_impact()`` returned; arguments as for ``page_speed()``."""
    _check(frame, ["title"], ["share_of_sessions"], "error_impact()")
    rows = frame.head(top)
    titles = [title or NO_TITLE for title in rows["title"]]
    return dots(read_dots(rows, titles, "share_of_sessions"), SHARE, "Share of sessions affected", width=width)


def landings(frame: pl.DataFrame, *, figure: str = "entries", width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw on which pages sessions begin, or how many end there: what ``landings()`` returned.

    ``figure`` is ``entries`` or ``bounce_rate``; the other arguments are as for ``page_speed()``.
    """
    _check(frame, ["page_template"], [figure], "landings()")
    rows = frame.head(top)
    unit, title = (
        (COUNT, "Sessions that begin here") if figure == "entries" else (SHARE, "Sessions that end here at once")
    )
    return dots(read_dots(rows, _labels(rows, "entries"), figure), unit, title, width=width)


def paths(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw the most frequent ways from page to page: what ``paths()`` returned; arguments as for ``page_speed()``."""
    _check(frame, ["from_page", "to_page"], ["times"], "paths()")
    rows = frame.head(top)
    ways = [f"{start or 'begin'} → {end or 'end'}" for start, end in rows.select("from_page", "to_page").iter_rows()]
    return dots(read_dots(rows, ways, "times"), COUNT, "Times", width=width)


def compare(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw differences, second less first, beside the line of no difference: what ``compare()`` returned.

    The measures share one axis: filter the frame to one where they are of different units. Other arguments as for ``page_speed()``.
    """
    _check(frame, ["measure", "flag"], ["difference"], "compare()", rests_on=["sessions_first"])
    rows = frame.head(top)
    labels = _labels(rows, "measure", several="measure")
    columns = [f"difference{limit}" for limit in _LIMITS]
    values = rows.select(*columns, pl.min_horizontal("sessions_first", "sessions_second"), "flag").iter_rows()
    found = [Dot(label, *value) for label, value in zip(labels, values, strict=True)]
    return dots(found, _unit(rows), "Difference, second less first", width=width, zero=False, reference=0.0)


def estimates(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw any estimates, with their intervals: what ``estimate()`` returned.

    The measures share one axis: filter the frame to one where they are of different units. Other arguments as for ``page_speed()``.
    """
    need(frame, ["measure", "estimate", "lower", "upper", "sessions", "flag"], "estimate()")
    rows = frame.head(top)
    labels = _labels(rows, "measure", several="measure")
    values = rows.select("estimate", "lower", "upper", "sessions", "flag").iter_rows()
    title = ", ".join(rows["measure"].unique(maintain_order=True)) or "Estimate"
    return dots(
        [Dot(label, *value) for label, value in zip(labels, values, strict=True)], _unit(rows), title, width=width
    )


def _check(
    frame: pl.DataFrame, columns: list[str], figures: list[str], source: str, rests_on: list[str] | None = None
) -> None:
    limits = [f"{figure}{limit}" for figure in figures for limit in _LIMITS]
    need(frame, [*columns, *limits, *(["sessions", "flag"] if rests_on is None else rests_on)], source)


def _labels(rows: pl.DataFrame, before: str, *, several: str | None = None) -> list[str]:
    """Give each row's label: the values of the columns that stand before the figures; and its measure, where there are several."""
    groups = rows.columns[: rows.columns.index(before)]
    if several is not None and (not groups or rows[several].n_unique() > 1):
        groups = [*groups, several]
    if not groups:
        return ["All"] * len(rows)
    return [", ".join(_text(value) for value in values) for values in rows.select(groups).iter_rows()]


def _text(value: object) -> str:
    return readable.UNKNOWN if value is None else str(value)


def _unit(rows: pl.DataFrame) -> Unit:
    """Guess the unit of measures from how they are written."""
    measures = rows["measure"].unique().to_list()
    if measures and all("_ms" in measure and not measure.startswith(("share", "ratio")) for measure in measures):
        return SECONDS
    if measures and all(measure.startswith("share") for measure in measures):
        return SHARE
    return NUMBER
