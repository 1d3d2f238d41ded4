"""Many details at once: details from a server that takes 200 ms, one and several at a time, in turn; seconds and CPU of this process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pulseframes as pf
from pulseframes.simulator import Fault, Simulator

LATENCY = 0.2
AT_ONCE = 4
COUNTS = (60, 200)
ROUNDS = 3


def serve() -> None:
    """Serve a shop, slowly, until stdin ends: in a process of its own, whose CPU is not counted."""
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    with Simulator(sessions=2_000, now=now, daily_limit=None) as simulator:
        simulator.faults.add(Fault(kind="delay", on="session", seconds=LATENCY, times=None))
        ids = simulator.summaries()["session_id"].to_list()
        keys = [simulator.api_key, simulator.client_id, simulator.client_secret]
        print(json.dumps({"url": simulator.url, "keys": keys, "ids": ids}), flush=True)
        sys.stdin.read()


@contextmanager
def server() -> Iterator[dict[str, Any]]:
    with subprocess.Popen(
        [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


def measure(shop: dict[str, Any], count: int, at_once: int) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of the details, with a journal on disk."""
    with tempfile.TemporaryDirectory() as home:
        settings = pf.Settings(base_url=shop["url"], home=Path(home), daily_limit=10_000, concurrency=at_once)
        with pf.PulseClient(pf.Credentials(*shop["keys"]), settings=settings) as client:
            client.check_credentials()
            began, cpu = time.perf_counter(), time.process_time()
            frames = pf.session_details(shop["ids"][:count], client=client)
            times = time.perf_counter() - began, time.process_time() - cpu
            assert (len(frames.sessions), client.calls_spent) == (count, count + 1)
    return times


def main() -> None:
    with server() as shop:
        measure(shop, 5, AT_ONCE)  # imports
        for count in COUNTS:
            rounds = [[measure(shop, count, at_once) for at_once in (1, AT_ONCE)] for _ in range(ROUNDS)]
            (one, one_cpu), (more, more_cpu) = (
                [statistics.median(values) for values in zip(*column, strict=True)]
                for column in zip(*rounds, strict=True)
            )
            print(
                f"{count} details, {LATENCY * 1000:.0f} ms each: one at a time {one:.2f} s ({1000 * one_cpu / count:.1f} ms of CPU a "
                f"detail), {AT_ONCE} at once {more:.2f} s ({1000 * more_cpu / count:.1f} ms); ratio {one / more:.2f}"
            )


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
