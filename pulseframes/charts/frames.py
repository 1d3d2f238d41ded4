"""Charts of the frames as they come: sessions by day, how long pages took to load, which errors are most frequent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pulseframes.charts.dots import Dot, dots
from pulseframes.charts.groups import NO_TITLE
from pulseframes.charts.periods import traffic
from pulseframes.charts.style import COLOURS, COUNT, TOP, WIDE, altair, check_width, need, nothing, styled
from pulseframes.tables.periods import PERIOD, period_of

if TYPE_CHECKING:
    import altair as alt

#: The slowest one in a hundred would leave no room for the others: they are in the last bar.
_MOST: Final = 0.99
_BARS: Final = 40


def sessions(frame: pl.DataFrame, *, every: str = "1d", time_zone: str = "UTC", width: int = WIDE) -> alt.LayerChart:
    """Draw how many sessions started in each period: of what ``search_sessions()`` returned; arguments as for ``traffic()``."""
    need(frame, ["session_start", "user_id", "page_view_count"], "search_sessions()")
    counted = frame.group_by(period_of(every, time_zone)).agg(pl.len().cast(pl.Int64).alias("sessions")).sort(PERIOD)
    return traffic(counted, width=width)


def page_views(frame: pl.DataFrame, *, width: int = WIDE) -> alt.LayerChart:
    """Draw how many page views took how long to load: of ``session_details().page_views``; width in pixels.

    The last bar has the slowest one in a hundred, however slow.
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
    data = rows.with_columns((pl.col("bar") * size).alias("start"), ((pl.col("bar") + 0.9) * size).alias("end"))
    drawn = (
        alt.Chart(alt.Data(values=data.to_dicts()))
        .mark_rect(color=COLOURS["accent"], tooltip=True)
        .encode(
            x=alt.X("start:Q", axis=alt.Axis(title="Load time, seconds", format="~f", grid=False)),
            x2="end:Q",
            y=alt.Y(
                "views:Q",
                axis=alt.Axis(
                    title="Page views",
                    format=",~f",
                    tickCount=4,
                    titleAngle=0,
                    titleAlign="left",
                    titleBaseline="bottom",
                    titleX=-48,
                    titleY=-10,
                ),
            ),
            y2=alt.datum(0),
        )
    )
    return styled(alt.layer(drawn), size=(width - 64, 200), padding=(52, 28, 12, 44))


def errors(frame: pl.DataFrame, *, width: int = WIDE, top: int = TOP) -> alt.LayerChart:
    """Draw the most frequent errors: of ``session_details().errors``; arguments as for ``page_speed()``."""
    need(frame, ["group_id", "title"], "session_details().errors")
    groups = (
        frame.group_by("group_id")
        .agg(pl.len().cast(pl.Float64).alias("errors"), pl.col("title").drop_nulls().last())
        .sort("errors", "group_id", descending=[True, False])
        .head(top)
    )
    rows = [Dot(title or NO_TITLE, number) for number, title in groups.select("errors", "title").iter_rows()]
    return dots(rows, COUNT, "Errors", width=width)
