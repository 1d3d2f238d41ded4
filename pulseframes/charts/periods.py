"""Charts of results by time: traffic, hours of the day, satisfaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pulseframes._arguments import check_choice
from pulseframes._text import printable
from pulseframes.charts.style import (
    AXIS,
    COLOURS,
    LEFT,
    NARROW,
    PARTS,
    RIGHT,
    TITLE,
    WIDE,
    altair,
    check_width,
    either,
    height,
    histogram,
    need,
    nothing,
    styled,
)
from pulseframes.errors import InvalidQuery
from pulseframes.tables import RATINGS

if TYPE_CHECKING:
    import altair as alt

_LEGEND: Final = 30
_HEIGHT: Final = 200

#: If all periods span less than this and do not start at midnight, the axis shows hours.
_LONG: Final = timedelta(days=3)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  in local time, like the periods
#: More bars than pixels cannot be distinguished.
_MOST: Final = 3_000
#: The ratings from bottom to top, and the part for unknown ones.
_RATINGS: Final = RATINGS[::-1]
_OTHER: Final = "Other"
#: The figures of ``traffic()``.
_USERS: Final = "users"
_TRAFFIC: Final = ("sessions", _USERS, "page_views")


def traffic(frame: pl.DataFrame, *, figure: str = "sessions", width: int = WIDE) -> alt.LayerChart:
    """Draw a bar for each period, from the result of ``traffic()``, stacked by the five largest groups if it has groups.

    Users are not stacked, as one who was in several groups would be counted in each: their bars stand side by side, without others.

    Parameters
    ----------
    frame : polars.DataFrame
        The result of ``traffic()``.
    figure : str
        The column to draw: ``sessions``, ``users`` or ``page_views``.
    width : int
        Width in pixels; below 520, the chart is laid out for a phone.

    Returns
    -------
    altair.LayerChart
        The chart, in the time zone of the periods.

    Raises
    ------
    InvalidQuery
        If the frame is not such a result, or has more than 3,000 periods.

    Examples
    --------
    >>> chart = pf.charts.traffic(pf.traffic("lake", by="country"))
    """
    check_choice("figure", figure, _TRAFFIC)
    need(frame, ["period", "sessions", figure], "traffic()")
    check_width(width)
    groups = frame.columns[1 : frame.columns.index("sessions")]
    if frame["period"].n_unique() > _MOST:
        raise InvalidQuery(
            f"frame has {frame['period'].n_unique():,} periods, and at most {_MOST:,} can be drawn. Use a larger every=.",
            argument="frame",
        )
    bars = _spans(frame.select("period", figure, *groups))
    if groups and figure == _USERS:
        bars = bars.drop_nulls(groups[0])
    if bars.is_empty():
        return nothing(width)
    title = figure.replace("_", " ").capitalize()
    if groups and figure == _USERS:
        bars = _beside(bars.join(_most_visited(frame, groups[0]), on=groups[0]), figure)
        shown, known = bars["part"].n_unique(), frame[groups[0]].drop_nulls().n_unique()
        title += f" by {groups[0]}" + (f", the {shown} largest of {known}" if shown < known else "")
    else:
        bars = _largest(bars, groups[0], figure) if groups else bars.with_columns(pl.lit("").alias("part"))
        bars = _stacked(bars, figure)
    return _draw_bars(bars, [*bars["part"].unique(maintain_order=True)], title=title, axis=",~f", width=width)


def hours(frame: pl.DataFrame, *, figure: str = "sessions", width: int = WIDE) -> alt.LayerChart:
    """Draw the mean of each hour of the day, from the result of ``traffic(every="1h", by=None)``.

    Hours that the frame lacks count as 0. Parameters as for ``traffic()``. The users of groups, or of parts of an hour, cannot be
    added up: ``InvalidQuery``.

    Examples
    --------
    >>> chart = pf.charts.hours(pf.traffic("lake", every="1h", by=None))
    """
    check_choice("figure", figure, _TRAFFIC)
    need(frame, ["period", figure], 'traffic(every="1h")')
    if figure == _USERS and (frame["period"].is_duplicated().any() or (frame["period"].dt.minute() > 0).any()):
        raise InvalidQuery(
            "frame: users cannot be added up, as one may be in several groups or parts of an hour. "
            "Pass traffic(every='1h', by=None), or filter the frame to one group.",
            argument="frame",
        )
    return hour_bars(by_hour(frame, figure), f"{figure.replace('_', ' ').capitalize()} per hour, mean", width=width)


def hour_bars(rows: pl.DataFrame, title: str, *, width: int) -> alt.LayerChart:
    """Draw the result of ``by_hour()``."""
    check_width(width)
    if rows.is_empty():
        return nothing(width)
    alt = altair()
    axis = alt.Axis(
        title="Hour of the day",
        values=[*range(0, 25, 6 if width < NARROW else 3)],
        labelExpr="(datum.value < 10 ? '0' : '') + datum.value + ':00'",
        grid=False,
    )
    x = alt.X("hour:Q", scale=alt.Scale(domain=[0, 24], nice=False), axis=axis)
    ends = rows.with_columns(end=pl.col("hour") + 0.88)
    return histogram(ends, x, height("mean:Q", title, ",~f"), size=(width, _HEIGHT - 40))


def by_hour(frame: pl.DataFrame, figure: str = "sessions") -> pl.DataFrame:
    """Return the mean of each hour of the day, as ``hour`` and ``mean``, over the days from a frame's first to its last."""
    if frame.is_empty():
        return pl.DataFrame(schema={"hour": pl.Int64, "mean": pl.Float64})
    days = (
        frame.select((pl.col("period").dt.date().max() - pl.col("period").dt.date().min()).dt.total_days()).item() + 1
    )
    sums = frame.group_by(pl.col("period").dt.hour().cast(pl.Int64).alias("hour")).agg(pl.col(figure).sum() / days)
    every = pl.DataFrame({"hour": range(24)}, schema={"hour": pl.Int64})
    return every.join(sums, on="hour", how="left", maintain_order="left").select(
        "hour", pl.col(figure).fill_null(0.0).alias("mean")
    )


def satisfaction(frame: pl.DataFrame, *, width: int = WIDE) -> alt.LayerChart:
    """Draw the shares of the ratings by time, with the interval of Poor, from the result of ``satisfaction()``.

    Parts of a column are pale if their share is flagged: it is a hint, or comes from sessions that were not sampled at random.

    ``width`` is as for ``traffic()``. If the result has groups, filter it to one of them.

    Examples
    --------
    >>> chart = pf.charts.satisfaction(pf.satisfaction("lake", every="1d"))
    """
    need(frame, ["period", "satisfaction_rating", "share", "share_lower", "share_upper", "flag"], "satisfaction()")
    check_width(width)
    if frame.select("period", "satisfaction_rating").is_duplicated().any():
        raise InvalidQuery("frame has several groups. Filter it to one of them.", argument="frame")
    known = frame.filter(pl.col("share").is_not_null())
    if known.is_empty():
        return nothing(width)
    rating = pl.col("satisfaction_rating")
    part = pl.when(rating.is_in(_RATINGS)).then(rating).otherwise(pl.lit(_OTHER)).alias("part")
    parts = [*_RATINGS, *([] if known["satisfaction_rating"].is_in(_RATINGS).all() else [_OTHER])]
    bars = (
        _spans(known)
        .group_by("start", "end", part)
        .agg(pl.col("share").sum(), pl.col("^share_.*er$").first(), pl.col("flag").drop_nulls().first())
    ).with_columns(
        pl.col("flag").is_not_null().alias("pale"), pl.col("flag").map_elements(printable, return_dtype=pl.String)
    )
    bars = _stacked(bars.sort("start", pl.col("part").cast(pl.Enum(parts))), "share")
    poor = bars.filter(part="Poor").with_columns(
        (pl.col("start") + (pl.col("end") - pl.col("start")) / 2).alias("middle"),
        pl.col("flag").is_null().alias("firm"),
    )
    return _draw_bars(
        bars, parts, title="Share of sessions", axis="~%", width=width, limits=poor.drop_nulls("share_lower")
    )


def _draw_bars(
    bars: pl.DataFrame, parts: list[str], *, title: str, axis: str, width: int, limits: pl.DataFrame | None = None
) -> alt.LayerChart:
    """Draw bars, stacked or side by side, and the intervals of the lowest part."""
    alt = altair()
    narrow = width < NARROW
    colours = [COLOURS[name.lower()] if name in (*_RATINGS, _OTHER) else "" for name in parts]
    free = iter([COLOURS[name] for name in PARTS] * (1 + len(parts) // len(PARTS)))
    color = alt.Color(
        "part:N",
        scale=alt.Scale(domain=parts, range=[colour or next(free) for colour in colours]),
        legend=None if len(parts) == 1 else _legend(narrow=narrow),
    )
    span = bars.select(pl.col("start").min(), pl.col("end").max()).row(0)
    scale = alt.Scale(type="utc", domain=[_utc(moment) for moment in span], nice=False)
    time = _time_axis(bars, 4 if narrow else 8)
    pale = ["pale", "flag"] if "pale" in bars.columns else []
    data = alt.Data(values=_values(bars, ["start", "end", "left", "right"], ["part", "bottom", "top", *pale]))
    base = alt.Chart(data)
    layers = [
        base.mark_rect(x2Offset=-1.5, tooltip=True).encode(
            x=alt.X("left:T", scale=scale, axis=time),
            x2=alt.X2("right:T"),
            y=height("bottom:Q", title, axis, 1.0 if axis == "~%" else None),
            y2=alt.Y2("top:Q"),
            color=color,
            **({"opacity": either(alt.OpacityValue, "datum.pale", 0.4, 1)} if pale else {}),
        )
    ]
    if limits is not None and not limits.is_empty():
        intervals = alt.Data(values=_values(limits, ["middle"], ["share_lower", "share_upper", "firm"]))
        rule = alt.Chart(intervals).encode(x=alt.X("middle:T", scale=scale, axis=time))
        layers.append(
            rule.mark_rule(color=COLOURS["ink"], strokeWidth=1.5).encode(
                y=alt.Y("share_lower:Q"),
                y2=alt.Y2("share_upper:Q"),
                strokeDash=either(alt.StrokeDashValue, "datum.firm", [1, 0], [3, 2]),
            )
        )
        tick = rule.mark_tick(color=COLOURS["ink"], size=7, thickness=1.5, orient="horizontal")
        layers += [tick.encode(y=alt.Y(f"{limit}:Q")) for limit in ("share_lower", "share_upper")]
    top = TITLE if len(parts) == 1 else _LEGEND + TITLE + 6
    return styled(alt.layer(*layers), size=(width - LEFT - RIGHT, _HEIGHT), padding=(LEFT, top, RIGHT, AXIS - 12))


def _legend(*, narrow: bool) -> Any:
    """Return a legend above the chart, with labels short enough for several in a row."""
    return altair().Legend(
        orient="none",
        legendX=4 - LEFT,
        legendY=-_LEGEND - TITLE,
        direction="horizontal",
        title=None,
        columnPadding=8 if narrow else 14,
        labelLimit=54 if narrow else 110,
    )


def _spans(frame: pl.DataFrame) -> pl.DataFrame:
    """Replace each period by its start and end, in local time; a single period counts as a day."""
    clock = pl.col("period").dt.replace_time_zone(None)
    starts = frame.select(clock.alias("start")).unique().sort("start")
    length = starts["start"].diff().min() or timedelta(days=1)
    return frame.with_columns(clock.alias("start"), (clock + length).alias("end"))


def _largest(bars: pl.DataFrame, group: str, figure: str) -> pl.DataFrame:
    """Combine all but the largest groups; groups with the same name, as it is printed, are one."""
    names = {name: printable(name) for name in bars[group].cast(pl.String).drop_nulls().unique()}
    bars = bars.with_columns(pl.col(group).cast(pl.String).replace(names))
    sums = bars.group_by(group).agg(pl.col(figure).sum()).sort(figure, group, descending=[True, False], nulls_last=True)
    named = sums[group].drop_nulls().to_list()[: len(PARTS) - 1]
    part = pl.when(pl.col(group).is_in(named)).then(group).otherwise(pl.lit("others"))
    parts = bars.with_columns(part.alias("part"))
    order = pl.Enum([*named, *([] if "others" in named else ["others"])])
    return parts.group_by("start", "end", "part").agg(pl.col(figure).sum()).sort("start", pl.col("part").cast(order))


def _stacked(bars: pl.DataFrame, figure: str) -> pl.DataFrame:
    top = pl.col(figure).cum_sum().over("start")
    return bars.with_columns(
        (top - pl.col(figure)).alias("bottom"), top.alias("top"), left=pl.col("start"), right=pl.col("end")
    )


def _most_visited(frame: pl.DataFrame, group: str) -> pl.DataFrame:
    """Return the groups with most sessions, each with the ``part`` that it is drawn as, in order; equal names are numbered."""
    sums = frame.drop_nulls(group).group_by(group).agg(pl.col("sessions").sum())
    largest = sums.sort("sessions", group, descending=[True, False]).head(len(PARTS) - 1)
    names = [printable(str(name)) for name in largest[group]]
    parts = [f"{name} ({number})" if name in names[:number] else name for number, name in enumerate(names)]
    return largest.select(group, pl.Series("part", parts, dtype=pl.Enum(parts)))


def _beside(bars: pl.DataFrame, figure: str) -> pl.DataFrame:
    """Place the bars of a period side by side, in the order of their parts."""
    width = (pl.col("end") - pl.col("start")) / (bars["part"].n_unique() + 1)  # half of one as a gap on either side
    left = pl.col("start") + width / 2 + width * pl.col("part").to_physical().cast(pl.Int64)
    return bars.sort("part", "start").with_columns(
        pl.lit(0).alias("bottom"), pl.col(figure).alias("top"), left=left, right=left + width
    )


def _values(frame: pl.DataFrame, times: list[str], others: list[str]) -> list[dict[str, Any]]:
    """Return rows for JSON."""
    rows = frame.select(*times, *others).to_dicts()
    for row in rows:
        row |= {name: _utc(row[name]) for name in times}
    return rows


def _utc(moment: Any) -> int:
    """Return a local time in milliseconds, as if it were UTC, so that charts are the same on every machine."""
    return int((moment - _EPOCH) / timedelta(milliseconds=1))


def _time_axis(bars: pl.DataFrame, most: int) -> Any:
    """Return an axis with the starts of some bars, below their middle."""
    alt = altair()
    starts = bars["start"].unique().sort()
    length: timedelta = bars.select((pl.col("end") - pl.col("start")).max()).item()
    half = length / 2
    some = starts.gather_every(-(-len(starts) // most))
    are_days = len(starts) * length >= _LONG or bool((starts.dt.time() == _EPOCH.time()).all())
    form = "%-d %b" if are_days else "%-d %b %H:%M"
    return alt.Axis(
        title=None,
        grid=False,
        values=[_utc(start + half) for start in some],
        labelExpr=f"utcFormat(datum.value - {half / timedelta(milliseconds=1):.0f}, '{form}')",
    )
