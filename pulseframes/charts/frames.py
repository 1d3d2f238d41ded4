"""Charts of downloaded frames: sessions by day, load times, the most frequent errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pulseframes.charts.dots import Dot, dots
from pulseframes.charts.groups import NO_TITLE
from pulseframes.charts.periods import traffic
from pulseframes.charts.style import COUNT, TOP, WIDE, altair, check_width, first_rows, height, histogram, need, nothing
from pulseframes.tables.periods import PERIOD, period_of

if TYPE_CHECKING:
    import altair as alt

#: The quantile where the last bar begins, as the slowest page views would leave no room for the others.
_MOST: Final = 0.99
_BARS: Final = 40


def sessions(frame: pl.DataFrame, *, every: str = "1d", time_zone: str = "UTC", width: int = WIDE) -> alt.LayerChart:
    """Draw the number of sessions by their start, from the result of ``search_sessions()``.

    ``every`` is the length of a period and ``time_zone`` its time zone; ``width`` is as for ``traffic()``.

    Examples
    --------
    >>> chart = pf.charts.sessions(pf.search_sessions("2026-11-09", "2026-11-16"), time_zone="Pacific/Auckland")
    """
    need(frame, ["session_start", "user_id", "page_view_count"], "search_sessions()")
    counts = frame.group_by(period_of(every, time_zone)).agg(pl.len().cast(pl.Int64).alias("sessions")).sort(PERIOD)
    return traffic(counts, width=width)


def page_views(frame: pl.DataFrame, *, width: int = WIDE) -> alt.LayerChart:
    """Draw a histogram of load times, from ``session_details().page_views``; ``width`` is as for ``traffic()``.

    The last bar holds the slowest 1%, however slow. The page views are counted as they are: those of a sample do not stand for others here.

    Examples
    --------
    >>> chart = pf.charts.page_views(pf.Lake("lake").page_views().collect())
    """
    need(frame, ["loading_time_ms"], "session_details().page_views")
    check_width(width)
    times = frame["loading_time_ms"].drop_nulls() / 1000
    if times.is_empty():
        return nothing(width)
    alt = altair()
    most = float(times.quantile(_MOST) or 0.0) or 1.0
    bar = (times.clip(upper_bound=most) / most * (_BARS - 1)).floor()
    rows = bar.alias("bar").to_frame().group_by("bar").len("views").sort("bar")
    size = most / (_BARS - 1)
    starts = rows.with_columns((pl.col("bar") * size).alias("start"), ((pl.col("bar") + 0.9) * size).alias("end"))
    x = alt.X("start:Q", axis=alt.Axis(title="Load time, seconds", format="~f", grid=False))
    return histogram(starts, x, height("views:Q", "Page views downloaded", ",~f"), size=(width, 200))


def errors(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw the most frequent errors, from ``session_details().errors``; other parameters as for ``page_speed()``.

    They are counted as they are; ``error_impact()`` estimates from a sample.

    Examples
    --------
    >>> chart = pf.charts.errors(pf.Lake("lake").errors().collect())
    """
    need(frame, ["group_id", "title"], "session_details().errors")
    groups = (
        frame.group_by("group_id")
        .agg(pl.len().cast(pl.Float64).alias("errors"), pl.col("title").drop_nulls().last())
        .sort("errors", "group_id", descending=[True, False])
    )
    groups = first_rows(groups, top)
    rows = [Dot(title or NO_TITLE, count) for count, title in groups.select("errors", "title").iter_rows()]
    return dots(rows, COUNT, "Errors downloaded", width=width)
