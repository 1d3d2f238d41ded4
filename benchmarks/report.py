"""The report of a lake of a million sessions in a year: seconds and memory, with a sample; and of one that has the details of all.

Usage: python benchmarks/report.py [SESSIONS ...]; a million by default. Each measurement has a process to itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from lake import BEGIN, CHUNK, DAYS, memory, sessions_of

import pulseframes as pf
from pulseframes.fetch.draw import SampleDraw
from pulseframes.tables import ERRORS, PAGE_VIEWS
from pulseframes.windows import LOOK_BACK, Window

#: What a hundred days of calls buy.
SAMPLE = 4_500
#: Of so many sessions, the details of all are there: no quota buys more.
WHOLE = 20_000
#: What a report may take.
MOST_SECONDS = 30
MOST_MB = 2_000

YEAR = Window(BEGIN, BEGIN + timedelta(days=DAYS))
LATER = datetime(2026, 11, 20, tzinfo=UTC)
PAGES = ("/", "/search?q=pots", "/cart", "/checkout/payment", *(f"/c/department-{number}" for number in range(30)))


def details_of(sessions: pl.DataFrame) -> pf.SessionFrames:
    """Make details: a rating, as many page views as the summary says, and an error in each twentieth session."""
    draw = pl.col("session_id").hash(seed=3)
    ratings = pl.lit(pl.Series(["Excellent", "Excellent", "Good", "Average", "Poor"]))
    rated = sessions.with_columns(satisfaction_rating=ratings.gather(draw % 5))
    views = sessions.select("session_id", "session_start", pl.int_ranges("page_view_count").alias("view_index"))
    views = views.explode("view_index", empty_as_null=False)
    each = pl.struct("session_id", "view_index").hash(seed=4)
    page_views = views.with_columns(
        page="https://shop.example" + pl.lit(pl.Series(PAGES)).gather(each % len(PAGES)),
        loading_time_ms=(300 + each % 1_000 + (each % 97) ** 2).cast(pl.Int64),
        viewing_time_ms=(each % 60_000).cast(pl.Int64),
        viewed_on=pl.col("session_start") + pl.duration(minutes="view_index"),
    )
    errors = sessions.filter(draw % 20 == 0).select(
        "session_id",
        pl.lit(0, pl.Int64).alias("error_index"),
        (draw % 40).cast(pl.Int64).alias("group_id"),
        pl.lit(1, pl.Int64).alias("instance_id"),
        ("TypeError: number " + (draw % 40).cast(pl.String)).alias("title"),
        pl.lit(None, pl.String).alias("web_url"),
    )
    return pf.SessionFrames(rated, page_views.select(PAGE_VIEWS.schema.names()), errors.select(ERRORS.schema.names()))


def begin(folder: str, per_day: int, *, whole: bool) -> None:
    """Write a year, and the details of all its sessions or of a sample."""
    lake = pf.Lake(folder)
    step = max(1, CHUNK // per_day // (4 if whole else 1))
    for day in range(0, DAYS, step):
        sessions = sessions_of(day, min(step, DAYS - day), per_day)
        lake.write(details_of(sessions) if whole else sessions, fetched_at=LATER)
    with lake.locked() as state:
        state.coverage.add(YEAR, LATER, LOOK_BACK)
        lake.save_state()
        if not whole:
            sample_draw = SampleDraw(lake, pf.Design("pageviews"), YEAR, LOOK_BACK)
            ids = sample_draw.pending()[:SAMPLE]
            sample_draw.begin(ids)
            chosen = lake.sessions().filter(pl.col("session_id").is_in(ids)).collect()
            lake.write(details_of(chosen.select(sessions.columns)), fetched_at=LATER)
            SampleDraw(lake, pf.Design("pageviews"), YEAR, LOOK_BACK).record()


def report(folder: str) -> None:
    """Make the report, and print what it took as JSON."""
    begun, used = time.perf_counter(), time.process_time()
    page = pf.report(folder)
    taken = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - used, "peak": memory()}
    print(json.dumps(taken | {"bytes": len(page.encode())}))


def main(sizes: list[int]) -> None:
    print(f"{'sessions':>10} {'details':>10} | {'seconds':>8} {'CPU':>8} {'peak':>9} {'page':>8}", flush=True)
    for size in sizes:
        for whole in (False, True):
            per_day = (min(size, WHOLE) if whole else size) // DAYS
            with tempfile.TemporaryDirectory() as place:
                folder = str(Path(place) / "lake")
                what = [sys.executable, __file__]
                subprocess.run([*what, "begin", folder, str(per_day), str(int(whole))], check=True)
                done = subprocess.run([*what, "report", folder], check=True, stdout=subprocess.PIPE, text=True)
            taken = json.loads(done.stdout)
            print(
                f"{per_day * DAYS:>10,} {per_day * DAYS if whole else SAMPLE:>10,} | {taken['seconds']:>6.1f} s {taken['cpu']:>6.1f} s "
                f"{taken['peak']:>6.0f} MB {taken['bytes'] / 1e3:>5.0f} KB",
                flush=True,
            )
            if not whole and size <= 1_000_000:
                assert taken["seconds"] < MOST_SECONDS
                assert taken["peak"] < MOST_MB


if __name__ == "__main__":
    if sys.argv[1:2] == ["begin"]:
        begin(sys.argv[2], int(sys.argv[3]), whole=sys.argv[4] == "1")
    elif sys.argv[1:2] == ["report"]:
        report(sys.argv[2])
    else:
        main([int(size) for size in sys.argv[1:]] or [1_000_000])
