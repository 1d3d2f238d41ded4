"""Adding one more day to a lake of a year: seconds, memory, the files touched; and what a DuckDB query takes on the files.

Usage: python benchmarks/lake.py [SESSIONS ...]; 100,000, 1 and 5 million by default. Each measurement has a process to itself.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl

import pulseframes as pf
from pulseframes.tables import SESSIONS

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 365
#: The lake is begun in writes of so many sessions, so that little is in memory at once.
CHUNK = 400_000
SIZES = (100_000, 1_000_000, 5_000_000)


def sessions_of(first_day: int, days: int, per_day: int) -> pl.DataFrame:
    """Make sessions: times over the days, texts that repeat as a shop's do, and addresses and links that do not."""
    numbers = pl.int_range(first_day * per_day, (first_day + days) * per_day, eager=True, dtype=pl.Int64)
    # Ids are of any order, as the server's are: a lookup cannot skip files by them, and links do not compress well.
    ids = (numbers.hash(seed=2) % (1 << 61)).cast(pl.Int64)
    draw = (numbers.hash(seed=1) % (1 << 31)).cast(pl.Int64)
    in_day = numbers % per_day * (86_400_000_000 // per_day) + draw % 1_000
    start = BEGIN + pl.duration(days=numbers // per_day, microseconds=in_day)
    person, length = pl.lit(draw % max(1, per_day * 60)).cast(pl.Int64), pl.lit(draw // 7 % 1_800_000).cast(pl.Int64)
    named, text = pl.lit(draw % 5 < 2), person.cast(pl.String)

    def one_of(*texts: str) -> pl.Expr:
        return pl.lit(pl.Series(texts)).gather(pl.lit(draw // 11 % len(texts)))

    values = {
        "session_id": pl.lit(ids),
        "session_start": start,
        "session_updated": start + pl.duration(milliseconds=length),
        "session_end": start + pl.duration(milliseconds=length),
        "user_id": person,
        "user_is_anonymous": ~named,
        "user_identifier": pl.when(named).then("jane.doe." + text + "@example.com").otherwise("visitor-" + text),
        "user_first_name": pl.when(named).then(one_of("Jane", "Aroha", "Wiremu", "Li", "Sofia")),
        "user_full_name": pl.when(named).then(
            one_of("Jane Doe", "Aroha Ngata", "Wiremu Kingi", "Li Wei", "Sofia Rossi")
        ),
        "user_email_address": pl.when(named).then("jane.doe." + text + "@example.com"),
        "user_first_seen": start - pl.duration(hours=person % 2_000),
        "user_last_seen": start + pl.duration(milliseconds=length),
        "user_web_url": "https://app.raygun.example/pulse/users/" + text,
        "browser_name": one_of("Chrome", "Safari", "Firefox", "Edge"),
        "browser_version": one_of("131.0.6778.86", "18.1.1", "132.0.2", "131.0.2903.70", "130.0.6723.117"),
        "platform_name": one_of("Desktop", "Mobile", "Tablet"),
        "os_name": one_of("Windows", "iOS", "Android", "Mac OS X"),
        "os_version": one_of("10", "18.1", "14", "10.15.7", "11"),
        "country": one_of("NZ", "AU", "US", "GB", "DE", "FR", "JP"),
        "ip_address": "203.0." + (person // 256 % 256).cast(pl.String) + "." + (person % 256).cast(pl.String),
        "session_length_ms": length,
        "status": pl.lit("ended"),
        "page_view_count": 1 + length // 60_000,
        "api_url": "https://api.raygun.com/api/v1/pulse/session?id=" + pl.lit(ids).cast(pl.String),
        "web_url": "https://app.raygun.example/pulse/sessions/" + pl.lit(ids).cast(pl.String),
    }
    columns = [values.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in SESSIONS.schema.items()]
    return pl.select(pl.lit(numbers).alias("row")).select(columns)


def begin(folder: str, per_day: int) -> dict[str, float]:
    """Write the first year."""
    lake = pf.Lake(folder)
    step = max(1, CHUNK // per_day)
    started = time.perf_counter()
    for day in range(0, DAYS, step):
        lake.write(sessions_of(day, min(step, DAYS - day), per_day))
    return {"seconds": time.perf_counter() - started}


def add(folder: str, per_day: int) -> dict[str, float]:
    """Write one more day."""
    rows = sessions_of(DAYS, 1, per_day)
    pf.Lake(f"{folder}-warm").write(rows.head(1))  # the first write imports what checks the rows
    idle = memory()
    started = time.perf_counter()
    written = pf.Lake(folder).write(rows)
    seconds = time.perf_counter() - started
    assert written.rows["sessions"].new == per_day
    return {"seconds": seconds, "idle": idle}


def known(folder: str, per_day: int) -> dict[str, float]:
    """Look up which of a day's sessions the lake has; then again, when polars and the disk's cache are warm."""
    lake = pf.Lake(folder)
    ids = sessions_of(DAYS + 1, 1, per_day)["session_id"]
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        assert lake._known(ids).is_empty()  # noqa: SLF001  it is what is measured
        taken.append(time.perf_counter() - started)
    return {"seconds": taken[0], "warm": taken[1]}


def query(folder: str, per_day: int) -> dict[str, float]:
    """Ask DuckDB of the files, with no pulseframes between."""
    files = f"read_parquet('{folder}/sessions/*/*.parquet', hive_partitioning = true)"
    what = f"select country, count(*), median(session_length_ms) from {files}"
    taken = {}
    for name, where, count in (("day", " where date = '2025-07-01'", per_day), ("year", "", per_day * (DAYS + 1))):
        with duckdb.connect() as connection:
            started = time.perf_counter()
            found = connection.execute(f"{what}{where} group by country").fetchall()
            taken[name] = time.perf_counter() - started
        assert sum(row[1] for row in found) == count
    return taken


def memory() -> float:
    """Give the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(what: str, folder: Path, per_day: int) -> dict[str, float]:
    """Do one of the functions above in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, what, str(folder), str(per_day)], check=True, stdout=subprocess.PIPE, text=True
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Give each of the tables' files' inode and time."""
    paths = folder.glob("*/date=*/*.parquet")
    return {path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def main(sizes: list[int]) -> None:
    print(
        f"{'sessions':>10} {'files':>5} {'MB':>6} | {'begun':>8} {'peak':>8} | {'one day':>8} {'added':>8} {'peak':>8} "
        f"{'before':>8} {'touched':>7} | {'lookup':>8} {'warm':>8} | {'day':>8} {'year':>8}",
        flush=True,
    )
    for size in sizes:
        per_day = size // DAYS
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "lake"
            begun = measure("begin", folder, per_day)
            before = stamps(folder)
            added = measure("add", folder, per_day)
            after = stamps(folder)
            touched = {path for path in before | after if before.get(path) != after.get(path)}
            new_day = (BEGIN + timedelta(days=DAYS)).date()
            assert touched == {f"sessions/date={new_day}/data.parquet"}, touched
            looked_up = measure("known", folder, per_day)
            asked = measure("query", folder, per_day)
            size_mb = sum((folder / path).stat().st_size for path in after) / 1e6
        print(
            f"{per_day * DAYS:>10} {len(after):>5} {size_mb:>6.0f} | {begun['seconds']:>6.1f} s {begun['peak']:>5.0f} MB | "
            f"{per_day:>8} {added['seconds']:>6.2f} s {added['peak']:>5.0f} MB {added['idle']:>5.0f} MB {len(touched):>7} | "
            f"{looked_up['seconds']:>6.2f} s {looked_up['warm']:>6.2f} s | {asked['day']:>6.2f} s {asked['year']:>6.2f} s",
            flush=True,
        )
    print(
        "begun: the first year; added: one more day by Lake.write, the peak of its process and that before the write; "
        "lookup: the part of a write that finds which sessions are there already; day, year: a DuckDB query on the files. "
        f"In the largest lake the lookup is {looked_up['seconds'] / added['seconds']:.0%} of a write."
    )


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] in ("begin", "add", "known", "query"):
        told = globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
        print(json.dumps(told | {"peak": memory()}))
    else:
        main([int(size) for size in sys.argv[1:]] or list(SIZES))
