"""Charts of results with one row per group: pages, errors, paths, or the groups of an estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes._text import UNKNOWN
from pulseframes.charts.dots import dots, read_dots
from pulseframes.charts.style import COUNT, NUMBER, SECONDS, SHARE, TOP, WIDE, Unit, first_rows, need

if TYPE_CHECKING:
    import altair as alt

#: The label of an error without a title.
NO_TITLE: Final = "(no title)"


def page_speed(frame: pl.DataFrame, *, figure: str = "p75_ms", width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw load times with their intervals, from the result of ``page_speed()``.

    Parameters
    ----------
    frame : polars.DataFrame
        The result of ``page_speed()``, grouped by anything.
    figure : str
        The column to draw: ``p75_ms`` or, of a wide result, ``p50_ms``, ``p95_ms`` or ``viewing_ms``.
    width : int
        Width in pixels; below 520, labels stand above the lines.
    top : int
        How many groups to draw.

    Returns
    -------
    altair.LayerChart
        The chart, with the groups in the order of the frame.

    Raises
    ------
    InvalidQuery
        If the frame is not such a result.

    Examples
    --------
    >>> chart = pf.charts.page_speed(pf.page_speed("lake", wide=True), figure="p95_ms", top=5)
    """
    check_choice("figure", figure, ("p50_ms", "p75_ms", "p95_ms", "viewing_ms"))
    columns = _figure_columns(figure, main="p75_ms")
    need(frame, ["views", *columns], "page_speed()" if figure == "p75_ms" else "page_speed(wide=True)")
    names = {"p50_ms": "Median", "p75_ms": "75th percentile", "p95_ms": "95th percentile"}
    title = f"{names[figure]} of load time, seconds" if figure in names else "Median viewing time, seconds"
    rows = first_rows(frame, top)
    return dots(read_dots(rows, _labels(rows, "views"), columns), SECONDS, title, width=width)


def apdex(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw the Apdex with its intervals, from the result of ``apdex()``; other parameters as for ``page_speed()``.

    Examples
    --------
    >>> chart = pf.charts.apdex(pf.apdex("lake", by="country"))
    """
    columns = _figure_columns("apdex")
    need(frame, columns, "apdex()")
    rows = first_rows(frame, top)
    return dots(read_dots(rows, _labels(rows, "views"), columns), NUMBER, "Apdex", width=width)


def error_impact(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw each error's share of affected sessions, from the result of ``error_impact()``; other parameters as for ``page_speed()``.

    Examples
    --------
    >>> chart = pf.charts.error_impact(pf.error_impact("lake"))
    """
    columns = _figure_columns("share_of_sessions")
    need(frame, ["title", *columns], "error_impact()")
    rows = first_rows(frame, top)
    titles = [title or NO_TITLE for title in rows["title"]]
    return dots(read_dots(rows, titles, columns), SHARE, "Share of sessions affected", width=width)


def landings(frame: pl.DataFrame, *, figure: str = "entries", width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw the pages on which sessions begin, from the result of ``landings()``.

    ``figure`` is ``entries`` or ``bounce_rate``; other parameters as for ``page_speed()``.

    Examples
    --------
    >>> chart = pf.charts.landings(pf.landings("lake", wide=True), figure="bounce_rate")
    """
    check_choice("figure", figure, ("entries", "bounce_rate"))
    columns = _figure_columns(figure, main="entries")
    need(frame, ["page_template", *columns], "landings()" if figure == "entries" else "landings(wide=True)")
    rows = first_rows(frame, top)
    unit, title = (COUNT, "Sessions that begin here") if figure == "entries" else (SHARE, "Bounce rate")
    return dots(read_dots(rows, _labels(rows, "entries"), columns), unit, title, width=width)


def paths(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw the most frequent navigation paths, from the result of ``paths()``; other parameters as for ``page_speed()``.

    Examples
    --------
    >>> chart = pf.charts.paths(pf.paths("lake"))
    """
    columns = _figure_columns("times")
    need(frame, ["from_page", "to_page", *columns], "paths()")
    rows = first_rows(frame, top)
    steps = [
        f"{origin or 'begin'} → {target or 'end'}" for origin, target in rows.select("from_page", "to_page").rows()
    ]
    return dots(read_dots(rows, steps, columns), COUNT, "Times", width=width)


def compare(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw differences, second minus first, around the line of no difference, from the result of ``compare()``.

    All measures share one axis, so filter the frame if their units differ. Other parameters as for ``page_speed()``.

    Examples
    --------
    >>> differences = pf.compare("lake", "p75(loading_time_ms)", segments=["country = 'US'", "country <> 'US'"], by="platform_name")
    >>> chart = pf.charts.compare(differences)
    """
    figures = ["difference", "difference_lower", "difference_upper"]
    need(frame, ["measure", "flag", *figures], "compare()")
    numbers = [name for name in ("sessions_first", "sessions_second") if name in frame.columns]
    rows = first_rows(frame, top).with_columns(sessions=pl.min_horizontal(*numbers) if numbers else None)
    differences = read_dots(rows, _measure_labels(rows), [*figures, "sessions", "flag"])
    return dots(differences, _unit(rows), "Difference, second minus first", width=width, zero=False, reference=0.0)


def estimates(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw any estimates with their intervals, from the result of ``estimate()``.

    All measures share one axis, so filter the frame if their units differ. Other parameters as for ``page_speed()``.

    Examples
    --------
    >>> chart = pf.charts.estimates(pf.estimate("lake", "share(satisfaction_rating = 'Poor')", by="browser_name"))
    """
    columns = ["estimate", "lower", "upper", "sessions", "flag"]
    need(frame, ["measure", *columns], "estimate()")
    rows = first_rows(frame, top)
    title = ", ".join(rows["measure"].unique(maintain_order=True)) or "Estimate"
    return dots(read_dots(rows, _measure_labels(rows), columns), _unit(rows), title, width=width)


def _figure_columns(figure: str, main: str | None = None) -> list[str]:
    """Return the columns of a figure; the main one's flag has no prefix."""
    flag = "flag" if main in (None, figure) else f"{figure}_flag"
    return [figure, f"{figure}_lower", f"{figure}_upper", "sessions", flag]


def _measure_labels(rows: pl.DataFrame) -> list[str]:
    """Return each row's label: its group, and its measure if there are several or there is no group."""
    groups = rows.columns[: rows.columns.index("measure")]
    needs_measure = not groups or rows["measure"].n_unique() > 1
    return _joined(rows.select([*groups, *(["measure"] if needs_measure else [])]))


def _labels(rows: pl.DataFrame, first_figure: str) -> list[str]:
    """Return each row's label: the values in the columns before the first figure."""
    groups = rows.columns[: rows.columns.index(first_figure)]
    return _joined(rows.select(groups)) if groups else ["All"] * len(rows)


def _joined(groups: pl.DataFrame) -> list[str]:
    return [", ".join(UNKNOWN if value is None else str(value) for value in row) for row in groups.iter_rows()]


def _unit(rows: pl.DataFrame) -> Unit:
    """Guess the unit of measures from their text."""
    measures = rows["measure"].unique().to_list()
    if measures and all("_ms" in measure and not measure.startswith(("share", "ratio")) for measure in measures):
        return SECONDS
    if measures and all(measure.startswith("share") for measure in measures):
        return SHARE
    return NUMBER
