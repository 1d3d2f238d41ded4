"""Writes what ``designs.R`` reads: a small population, its page views, and samples of it by several designs.

Usage: PYTHONPATH=benchmarks python tests/sampling/survey_r/inputs.py && Rscript tests/sampling/survey_r/designs.R

The second step writes ``figures.csv``. Both are data: the test needs neither R nor these steps. Run them again only to change a design.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import populations

import pulseframes as pf

HERE: Final = Path(__file__).parent
SESSIONS: Final = 500

#: Each design: how many details, and what choose_details() is asked for.
DESIGNS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "uniform": (80, {"design": "uniform"}),
    "by page views": (60, {"design": "pageviews"}),
    "with certainties": (200, {"design": "pageviews"}),
    "stratified": (90, {"design": "uniform", "strata": "platform_name"}),
    "stratified by page views": (90, {"design": "pageviews", "strata": "platform_name"}),
    "uneven allocation": (
        90,
        {"design": "uniform", "strata": "platform_name", "allocation": {"Desktop": 0.3, "Mobile": 0.7}},
    ),
    "nonresponse": (91, {"design": "uniform"}),
    "nonresponse by page views": (100, {"design": "pageviews"}),
    "nonresponse in strata": (120, {"design": "uniform", "strata": "platform_name"}),
    "calibrated": (150, {"design": "uniform"}),
}


def population() -> tuple[pl.DataFrame, pf.SessionFrames]:
    """Return sessions whose summaries report all page views, so that R's ratios have no zero denominators."""
    _, details = populations.make("shop", SESSIONS)
    return details.sessions, details


def main() -> None:
    sessions, details = population()
    errors = details.errors.group_by("session_id").agg(pl.len().alias("errors"))
    columns = ("session_id", "country", "platform_name", "browser_name", "page_view_count")
    sessions.select(*columns).join(errors, on="session_id", how="left", maintain_order="left").with_columns(
        pl.col("errors").fill_null(0)
    ).write_csv(HERE / "population.csv")
    details.page_views.select("session_id", "loading_time_ms", "viewing_time_ms").write_csv(HERE / "page_views.csv")
    samples = []
    for name, (calls, asked) in DESIGNS.items():
        chosen = pf.choose_details(sessions, calls, seed=len(samples) + 10, bot_share=None, **asked)
        responds = np.random.default_rng(len(samples)).random(len(chosen)) > (0.2 if "nonresponse" in name else 0)
        samples.append(
            chosen.select(
                pl.lit(name).alias("design"),
                *("session_id", "stratum", "size", "inclusion_probability"),
                pl.Series("responded", responds.astype(int)),
            )
        )
    pl.concat(samples).write_csv(HERE / "samples.csv")


if __name__ == "__main__":
    main()
