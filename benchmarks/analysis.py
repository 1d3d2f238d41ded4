"""Every analysis of a lake of a million sessions: seconds per function, and peak memory.

Usage: python benchmarks/analysis.py [DETAILS ...]; 450, 5,000 and 100,000 by default. A process of its own makes and analyses each lake.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
from lake import BEGIN, DAYS, memory, sessions_of

import pulseframes as pf
from pulseframes.fetch.draw import SampleDraw
from pulseframes.windows import Window

SESSIONS = 1_000_000
PER_DAY = SESSIONS // DAYS
SIZES = (450, 5_000, 100_000)
#: Days written at a time.
STEP = 100
FETCHED = datetime(2026, 1, 10, tzinfo=UTC)
WEEKS = [("2025-12-01", "2025-12-08"), ("2025-12-08", "2025-12-15")]

PAGES = [
    *("/", "/c/garden-tools", "/c/pots", "/search?q=wool", "/cart", "/checkout/address", "/help/returns"),
    *("/p/{}-wool-can", "/p/{}-oak-bench", "/account/orders/{}", "/checkout/payment?order={}", "/journal/soil-{}"),
]
TITLES = ["Script error.", "TypeError: Failed to fetch", "RangeError: Invalid time value", "Error: Cart 409"]

#: As in a report: the sample is read once; figures that need no sample come from the lake.
QUESTIONS: dict[str, Callable[[str, pf.Sample], pl.DataFrame]] = {
    "page_speed": lambda _, sample: pf.page_speed(sample, wide=True),
    "page_speed, by country": lambda _, sample: pf.page_speed(sample, by="country", wide=True),
    "page_speed, by browser": lambda _, sample: pf.page_speed(sample, by="browser_name", wide=True),
    "apdex, by template": lambda _, sample: pf.apdex(sample, by="page_template", wide=True),
    "satisfaction, by week": lambda _, sample: pf.satisfaction(sample, every="1w", wide=True),
    "error_impact": lambda _, sample: pf.error_impact(sample, wide=True),
    "paths": lambda _, sample: pf.paths(sample, wide=True),
    "landings": lambda _, sample: pf.landings(sample, wide=True),
    "traffic, by day": lambda lake, _: pf.traffic(lake),
    "traffic, by hour": lambda lake, _: pf.traffic(lake, every="1h", by=None, time_zone="Pacific/Auckland"),
    "compare, 2 weeks": lambda lake, _: pf.compare(lake, ["count()", "p75(loading_time_ms)"], windows=WEEKS, wide=True),
    "features, at the start": lambda lake, _: pf.features(lake, known="start"),
    "features, at the end": lambda lake, _: pf.features(lake),
}
READ = "the sample, read once"


def summaries(first_day: int, days: int) -> pl.DataFrame:
    """Return sessions with page view counts like a shop's: mostly one or two, sometimes dozens."""
    sessions = sessions_of(first_day, days, PER_DAY)
    draw = (pl.col("session_id").hash(seed=5) % 1_000_003 + 1).cast(pl.Float64) / 1_000_004
    return sessions.with_columns((1 - 2.5 * draw.log()).cast(pl.Int64).alias("page_view_count"))


def details_of(sessions: pl.DataFrame) -> pf.SessionFrames:
    """Return the details of sessions."""
    sessions = sessions.sort("session_start", "session_id")
    views = sessions.select("session_id", "session_start", pl.int_ranges("page_view_count").alias("view_index"))
    views = views.explode("view_index").sort("session_id", "view_index")
    draw = (pl.struct("session_id", "view_index").hash(seed=3) % (1 << 31)).cast(pl.Int64)
    number = (40_000 + draw // 16 % 5_000).cast(pl.String)
    page = pl.lit(pl.Series(PAGES)).gather(draw % len(PAGES)).str.replace("{}", number, literal=True)
    page_views = views.select(
        "session_id",
        "view_index",
        ("https://shop.example" + page).alias("page"),
        (300 + draw // 32 % 4_000).alias("loading_time_ms"),
        (2_000 + draw // 64 % 60_000).alias("viewing_time_ms"),
        (pl.col("session_start") + pl.duration(minutes="view_index")).alias("viewed_on"),
    )
    kind = draw // 1024 % len(TITLES)
    errors = views.filter(draw // 128 % 50 == 0).select(
        "session_id",
        pl.int_range(pl.len()).over("session_id").alias("error_index"),
        (9_000 + kind).alias("group_id"),
        draw.alias("instance_id"),
        pl.lit(pl.Series(TITLES)).gather(kind).alias("title"),
        pl.lit("https://app.raygun.example/errors").alias("web_url"),
    )
    rating = pl.Series(["Excellent", "Good", "Average", "Poor"])
    rated = sessions.with_columns(pl.lit(rating).gather(pl.col("session_id") % 4).alias("satisfaction_rating"))
    return pf.SessionFrames(rated, page_views, errors)


def make(folder: str, count: int) -> dict[str, float]:
    """Write a year's summaries, draw the sample, and write its details."""
    lake = pf.Lake(folder)
    window = Window(BEGIN, BEGIN + timedelta(days=DAYS))
    kept = []
    for day in range(0, DAYS, STEP):
        part = summaries(day, min(STEP, DAYS - day))
        lake.write(part, fetched_at=FETCHED)
        kept.append(part.select("session_id", "status", "page_view_count"))
    chosen = pf.choose_details(pl.concat(kept), count, design="pageviews")["session_id"]
    for day in range(0, DAYS, STEP):
        part = summaries(day, min(STEP, DAYS - day))
        lake.write(details_of(part.filter(pl.col("session_id").is_in(chosen.implode()))), fetched_at=FETCHED)
    with lake.locked() as state:
        state.coverage.add(window, FETCHED, timedelta(0))
        lake.save_state()
        SampleDraw(lake, pf.Design("pageviews"), window, timedelta(hours=24)).record()
    return {}


def analyse(folder: str, count: int) -> dict[str, float]:
    """Return the seconds of each analysis, and CPU seconds, which do not depend on other programs on the machine."""
    seconds = {}
    started = time.perf_counter()
    sample = pf.Sample.of_lake(pf.Lake(folder), columns=())
    seconds[READ] = time.perf_counter() - started
    assert len(sample.details.sessions) == count
    for name, question in QUESTIONS.items():
        started = time.perf_counter()
        found = question(folder, sample)
        seconds[name] = time.perf_counter() - started
        assert not found.is_empty()
    return seconds | {"processors": time.process_time()}


def measure(what: str, folder: str, count: int) -> dict[str, float]:
    """Run one of the functions above in a process of its own."""
    command = [sys.executable, __file__, what, folder, str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main(sizes: list[int]) -> None:
    found = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            folder = f"{place}/lake"
            measure("make", folder, size)
            found[size] = measure("analyse", folder, size)
    print(f"{'a lake of 1,000,000 sessions':<30}" + "".join(f"{f'{size:,} details':>18}" for size in sizes))
    for name in (READ, *QUESTIONS):
        print(f"{name:<30}" + "".join(f"{found[size][name]:>16.2f} s" for size in sizes))
    totals = {size: sum(found[size][name] for name in (READ, *QUESTIONS)) for size in sizes}
    print(f"{'all of them':<30}" + "".join(f"{totals[size]:>16.2f} s" for size in sizes))
    print(f"{'CPU time':<30}" + "".join(f"{found[size]['processors']:>16.2f} s" for size in sizes))
    print(f"{'peak memory':<30}" + "".join(f"{found[size]['peak']:>15.0f} MB" for size in sizes))


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] in ("make", "analyse"):
        figures = globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
        print(json.dumps(figures | {"peak": memory()}))
    else:
        main([int(size) for size in sys.argv[1:]] or list(SIZES))
