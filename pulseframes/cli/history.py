"""How much history the calls of some days can save: the details that fall to each month, and what they can answer."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pulseframes as pf
from pulseframes._text import format_percent, plural

if TYPE_CHECKING:
    import polars as pl

    from pulseframes.windows import Window


def saved_history(lake: pf.Lake, wanted: Window, plan: pf.Plan, days: int, measure: str | None) -> dict[str, Any]:
    """Return how far the calls of some days reach, given a window and the plan of a sync of all its details; costs no call."""
    from pulseframes.analysis.precision import MEASURE

    details = plan.details_in(days)
    months, in_lake = _sessions(lake, wanted, plan), _details(lake, wanted)
    lacking = {month: max(0, sessions - in_lake[month]) for month, sessions in months.items()}
    total = sum(lacking.values())
    forecast = _forecast(lake, measure or MEASURE)
    rows = []
    for month, sessions in sorted(months.items()):
        share = 0 if details is None or not total else round(details * lacking[month] / total)
        sampled = 0 if details is None else share + in_lake[month]
        within = forecast.within_after(sampled) if forecast is not None and sampled else None
        counts = {"sessions": sessions, "details": share, "details_in_lake": in_lake[month]}
        rows.append({"month": month, **counts, "within": within})
    return {"days": days, "details": details, "measure": measure or MEASURE, "months": rows}


def describe_history(history: dict[str, Any], plan: pf.Plan) -> str:
    """Return the same as text."""
    days, details = plural(history["days"], "day"), history["details"]
    if details is None:
        return "History: unknown, because the sessions have not been counted."
    lines = [
        f"History: {days} of {plural(plan.daily_limit, 'call')} list all sessions and download {plural(details, 'detail')}:"
    ]
    for row in history["months"]:
        in_lake = f" and {row['details_in_lake']:,} in the lake" if row["details_in_lake"] else ""
        within = "" if row["within"] is None else f", {history['measure']} ±{format_percent(row['within'])}"
        lines.append(
            f"  {row['month']}: {plural(row['sessions'], 'session')}, {plural(row['details'], 'detail')}{in_lake}{within}"
        )
    if all(row["within"] is None for row in history["months"]):
        lines.append("To forecast intervals, download a few dozen details first, as a random sample.")
    return "\n".join(lines)


def _sessions(lake: pf.Lake, wanted: Window, plan: pf.Plan) -> Counter[str]:
    """Count the sessions of each month: the plan's by the length of its windows, and the lake's of other times."""
    from pulseframes.windows import Window, subtract

    months: Counter[str] = Counter()
    for part in subtract([wanted], [Window(window.date_from, window.date_to) for window in plan.windows]):
        months += _count(lake, part)
    for window in plan.windows:
        for month, share in _shares(window.date_from, window.date_to).items():
            months[month] += round((window.sessions or 0) * share)
    return months


def _details(lake: pf.Lake, window: Window) -> Counter[str]:
    """Count the lake's details of each month."""
    import polars as pl

    return _count(lake, window, pl.col("detail_fetched_at").is_not_null())


def _count(lake: pf.Lake, window: Window, *filters: pl.Expr) -> Counter[str]:
    """Count the lake's sessions of each month of a window."""
    import polars as pl

    from pulseframes.lake import in_window

    if not lake.is_there():
        return Counter()
    month = pl.col("date").dt.strftime("%Y-%m")
    counts = lake.sessions().filter(in_window(window), *filters).group_by(month).len().collect()
    return Counter(dict(counts.iter_rows()))


def _shares(start: datetime, end: datetime) -> dict[str, float]:
    """Return the share of a window that falls to each month."""
    import polars as pl

    hours = pl.datetime_range(start, end, "1h", closed="left", eager=True)
    counts = hours.dt.strftime("%Y-%m").value_counts(name="hours", normalize=True)
    return dict(counts.iter_rows())


def _forecast(lake: pf.Lake, measure: str) -> pf.PrecisionPlan | None:
    """Forecast the whole's interval from the lake's sample; None if it has none."""
    try:
        return pf.plan_precision(lake, measure, by=None)
    except pf.LakeError:
        return None
