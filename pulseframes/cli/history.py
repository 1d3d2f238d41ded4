"""How much history the calls of some days can save: the details that fall to each month, and what they can answer."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pulseframes as pf
from pulseframes._text import format_percent, plural


def saved_history(lake: pf.Lake, plan: pf.Plan, days: int, measure: str | None) -> dict[str, Any]:
    """Return how far the calls of some days reach, given the plan of a sync of all details; costs no call."""
    from pulseframes.analysis.precision import MEASURE

    details = plan.details_in(days)
    months = _months(lake, plan)
    total = sum(months.values())
    forecast = _forecast(lake, measure or MEASURE)
    rows = []
    for month, sessions in sorted(months.items()):
        share = 0 if details is None or not total else round(details * sessions / total)
        within = forecast.within_after(share) if forecast is not None and share else None
        rows.append({"month": month, "sessions": sessions, "details": share, "within": within})
    return {"days": days, "details": details, "measure": measure or MEASURE, "months": rows}


def describe_history(history: dict[str, Any], plan: pf.Plan) -> str:
    """Return the same as text."""
    days, details = plural(history["days"], "day"), history["details"]
    if details is None:
        return "History: unknown, because the number of sessions is. Plan again with a probe when a call is left."
    lines = [
        f"History: {days} of {plural(plan.daily_limit, 'call')} list all sessions and download {plural(details, 'detail')}:"
    ]
    for row in history["months"]:
        within = "" if row["within"] is None else f", {history['measure']} ±{format_percent(row['within'])}"
        lines.append(
            f"  {row['month']}: {plural(row['sessions'], 'session')}, {plural(row['details'], 'detail')}{within}"
        )
    if all(row["within"] is None for row in history["months"]):
        lines.append("To forecast intervals, download a few dozen details first, as a random sample.")
    return "\n".join(lines)


def _months(lake: pf.Lake, plan: pf.Plan) -> Counter[str]:
    """Count the sessions of each month: those that the lake has, and the plan's by the length of its windows."""
    import polars as pl

    months: Counter[str] = Counter()
    if lake.is_there():
        counts = lake.sessions().group_by(pl.col("date").dt.strftime("%Y-%m").alias("month")).len().collect()
        months.update(dict(counts.iter_rows()))
    for window in plan.windows:
        for month, share in _shares(window.date_from, window.date_to).items():
            months[month] += round((window.sessions or 0) * share)
    return months


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
