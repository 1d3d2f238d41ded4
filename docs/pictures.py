"""Draws the pictures of the reference, each chart as the example in its docstring draws it, and the curves of the benchmarks."""

from __future__ import annotations

import doctest
import inspect
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pulseframes as pf
from pulseframes.simulator import Simulator

BENCHMARKS: Final = Path(__file__).parents[1] / "benchmarks"

#: What each picture shows, for those who cannot see it.
DESCRIPTIONS: Final = {
    "apdex": "One row per country: a dot for its Apdex and a line for the interval; dots with a flag are hollow.",
    "compare": "One row per platform: a dot for the difference between two groups of sessions, a line for its interval, and a dashed line at 0.",
    "error_impact": "One row per error: a dot for the share of sessions that it affects, and a line for the interval.",
    "errors": "One row per error: a dot for how often it was downloaded.",
    "estimates": "One row per browser: a dot for the estimated share of sessions rated Poor, and a line for the interval.",
    "hours": "24 bars: the mean number of sessions by hour of the day, lowest at night and highest in the evening.",
    "landings": "One row per page on which sessions begin: a dot for its bounce rate, and a line for the interval.",
    "page_speed": "One row per page: a dot for the 95th percentile of its load time, and a line for the interval.",
    "page_views": "A histogram of load times, which rises fast and falls slowly.",
    "paths": "One row per pair of pages: a dot for how often one follows the other.",
    "satisfaction": "A column for each day, stacked from the shares of the ratings, with the interval of Poor.",
    "sessions": "A bar for each day: the number of sessions.",
    "scaling": "Two charts by the number of sessions: the seconds that each kind of work takes, and its peak memory.",
    "traffic": "A bar for each day, stacked from the page views of the countries.",
}


def picture(name: str) -> str:
    """Return a chart as HTML: an SVG element that screen readers read as one image."""
    label = f'<svg role="img" aria-label="{escape(DESCRIPTIONS[name])}" '
    svg = scaling() if name == "scaling" else drawn()[name]
    return f'<div class="output">{svg.replace("<svg ", label, 1)}</div>'


def measured() -> dict[str, Any]:
    """Return the committed figures of the benchmarks."""
    results: dict[str, Any] = json.loads((BENCHMARKS / "results.json").read_text(encoding="utf-8"))
    return results


def scaling() -> str:
    """Return the curves of the benchmarks: time and peak memory by the number of sessions."""
    import altair as alt
    import vl_convert

    curves = measured()["workloads"]["scaling"]["curves"]
    rows = [{"work": name.replace("_", " "), **point} for name, points in curves.items() for point in points]
    by_size = alt.Chart(alt.Data(values=rows), width=270, height=220).mark_line(point=True)
    by_size = by_size.encode(
        alt.X("sessions:Q", scale=alt.Scale(type="log"), title="sessions", axis=alt.Axis(format="~s", tickCount=5)),
        alt.Color("work:N", title=None, scale=alt.Scale(domain=list(dict.fromkeys(row["work"] for row in rows)))),
    )
    seconds = by_size.encode(alt.Y("seconds:Q", scale=alt.Scale(type="log"), title="seconds"))
    memory = by_size.encode(alt.Y("peak_mb:Q", title="peak memory, MB"))
    svg: str = vl_convert.vegalite_to_svg((seconds | memory).to_dict(), allowed_base_urls=[])
    return svg


@cache
def drawn() -> dict[str, str]:
    """Return all pictures, drawn from one lake."""
    import vl_convert

    with _shop():
        charts = {name: _chart(name) for name in pf.charts.__all__}
        return {
            name: vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[]) for name, chart in charts.items()
        }


def _chart(name: str) -> Any:
    names: dict[str, Any] = {"pf": pf}
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(getattr(pf.charts, name)) or ""):
        exec(example.source, names)  # noqa: S102  our own docstring, as its test does
    return names["chart"]


@contextmanager
def _shop() -> Iterator[None]:
    """Make a folder with a lake the current one, and a simulator the server."""
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    with (
        tempfile.TemporaryDirectory() as folder,
        chdir(folder),
        Simulator(sessions=4_000, now=now, daily_limit=None) as shop,
    ):
        account = {"API_KEY": shop.api_key, "CLIENT_ID": shop.client_id, "CLIENT_SECRET": shop.client_secret}
        account |= {"BASE_URL": shop.url, "HOME": folder, "DAILY_LIMIT": "10000"}
        with (
            patch.dict(os.environ, {f"PULSEFRAMES_{name}": value for name, value in account.items()}),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", pf.PulseWarning)  # visits of bots, of which 500 page views are read
            pf.sync("lake", "2026-11-09", "2026-11-16", details=150, design="pageviews")
            yield
