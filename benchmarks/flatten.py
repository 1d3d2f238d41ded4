"""Details to three frames: pulseframes beside DuckDB and pandas on the same documents, in one run.

Usage: python benchmarks/flatten.py [SESSIONS]
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import orjson
import pandas as pd

from pulseframes import endpoints
from pulseframes.flatten import flatten_answers
from pulseframes.simulator import Simulator
from pulseframes.tables.validation import check

ROUNDS = 5


def with_pulseframes(bodies: list[bytes], _file: Path) -> tuple[int, int, int]:
    frames = flatten_answers(bodies, endpoints.DETAIL).frames
    return len(frames["sessions"]), len(frames["page_views"]), len(frames["errors"])


def with_duckdb(_bodies: list[bytes], file: Path) -> tuple[int, int, int]:
    with duckdb.connect() as connection:
        connection.execute(f"create table raw as select session.* from read_json('{file}', format='newline_delimited')")
        columns = [
            row[0] for row in connection.execute("describe raw").fetchall() if row[0] not in ("pageViews", "errors")
        ]
        flat = ", ".join(f'"{column}"' for column in columns)
        connection.execute(f"create table sessions as select {flat} from raw")
        for name, key in (("page_views", "pageViews"), ("errors", "errors")):
            connection.execute(
                f'create table {name} as select id, unnest("{key}", recursive := true), '
                f'generate_subscripts("{key}", 1) - 1 as position from raw'
            )
        counts = [
            connection.execute(f"select count(*) from {name}").fetchall()
            for name in ("sessions", "page_views", "errors")
        ]
    return counts[0][0][0], counts[1][0][0], counts[2][0][0]


def with_pandas(bodies: list[bytes], _file: Path) -> tuple[int, int, int]:
    documents = [orjson.loads(body)["session"] for body in bodies]
    for document in documents:
        for key in ("pageViews", "errors"):
            document[key] = document.get(key) or []
    sessions = pd.json_normalize([{k: v for k, v in d.items() if k not in ("pageViews", "errors")} for d in documents])
    views = pd.json_normalize(documents, record_path="pageViews", meta="id")
    errors = pd.json_normalize(documents, record_path="errors", meta="id")
    for frame, names in ((sessions, ["sessionStart", "sessionUpdated", "sessionEnd"]), (views, ["viewedOn"])):
        for name in names:
            frame[name] = pd.to_datetime(frame[name], format="ISO8601", utc=True)
    return len(sessions), len(views), len(errors)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(count: int) -> None:
    simulator = Simulator(sessions=count)
    ids = simulator.summaries()["session_id"]
    bodies = [json.dumps(simulator.detail(session_id), separators=(",", ":")).encode() for session_id in ids]
    size = sum(map(len, bodies)) / 1e6
    ways = {"pulseframes": with_pulseframes, "duckdb": with_duckdb, "orjson + pandas": with_pandas}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "details.ndjson"
        file.write_bytes(b"\n".join(bodies))
        rows = {name: way(bodies, file) for name, way in ways.items()}  # also the warm-up
        for _ in range(ROUNDS):  # in turn, so that a machine that slows down slows all of them
            for name, way in ways.items():
                taken[name].append(seconds(lambda way=way: way(bodies, file)))
    print(f"{len(bodies)} details, {size:.0f} MB; rows of the three tables: {rows}")
    base = statistics.median(taken["pulseframes"])
    for name, runs in taken.items():
        median = statistics.median(runs)
        print(f"{name:16} median {median:6.3f} s  (min {min(runs):.3f}, max {max(runs):.3f})  {median / base:5.1f}x")

    frames = flatten_answers(bodies, endpoints.DETAIL).frames
    check(frames)
    print(
        f"validation of these frames: {statistics.median(seconds(lambda: check(frames)) for _ in range(ROUNDS)):.3f} s"
    )
    summaries = [json.loads(body)["session"] | {"pageViews": None, "errors": None} for body in bodies]
    pages = [
        json.dumps({"totalSessions": count, "sessions": summaries[start : start + 500], "links": None}).encode()
        for start in range(0, len(summaries), 500)
    ]
    flatten_answers(pages, endpoints.SEARCH)
    searches = statistics.median(seconds(lambda: flatten_answers(pages, endpoints.SEARCH)) for _ in range(ROUNDS))
    print(f"{len(summaries)} summaries, {sum(map(len, pages)) / 1e6:.0f} MB, to one frame: {searches:.3f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
