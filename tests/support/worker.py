"""A process of its own, which tests start, share a journal with, and kill: it reads tasks, does them, and tells how they went.

A task is one line of JSON: ``home`` is its PULSEFRAMES_HOME, ``search`` a window, ``ids`` sessions whose details are wanted,
``calls`` sessions to ask for one by one with no frames made, ``out`` a folder for the frames. The answer is one line of
JSON, too: calls spent, the ids that came, and the name of the error that ended it.

A task with ``sync``, which is a lake and its window, and ``details``, is a sync at the moment ``now``; waiting takes no time
but moves that clock. Its answer is when it ended, by that clock, whether it was finished, and when to come back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.client.client import default_client
from pulseframes.simulator import Simulator


def start(
    simulator: Simulator, *kinds: str, daily_limit: int = 10_000, at_once: int = 4, ledger: str = ""
) -> subprocess.Popen[str]:
    """Start a worker, of the kinds ``frames`` and ``nurse``; it tells ``ready`` when all that it needs is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSEFRAMES_")}
    environment |= {
        "PULSEFRAMES_BASE_URL": simulator.url,
        "PULSEFRAMES_DAILY_LIMIT": str(daily_limit),
        "PULSEFRAMES_CONCURRENCY": str(at_once),
        "PULSEFRAMES_API_KEY": simulator.api_key,
        "PULSEFRAMES_CLIENT_ID": simulator.client_id,
        "PULSEFRAMES_CLIENT_SECRET": simulator.client_secret,
        "PULSEFRAMES_LEDGER": ledger,
        "POLARS_MAX_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, __file__, *kinds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


@contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Wait until a worker is ready; kill it at the end, if it is still there."""
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def give(process: subprocess.Popen[str], home: Path, **task: Any) -> None:
    """Give a worker a task."""
    assert process.stdin is not None
    process.stdin.write(json.dumps({"home": str(home), **task}) + "\n")
    process.stdin.flush()


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a worker's answer."""
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


def do(task: dict[str, Any]) -> dict[str, Any]:
    """Do a task."""
    os.environ["PULSEFRAMES_HOME"] = task["home"]
    if "sync" in task:
        return sync(task)
    client = default_client()
    before = client.calls_spent
    frames = {}
    came: list[int] = []
    error = None
    try:
        for session_id in task.get("calls", []):
            client.call(endpoints.DETAIL, {"id": str(session_id)})
            came.append(session_id)
        if "search" in task:
            frames["search"] = pf.search_sessions(*task["search"])
        if "ids" in task:
            details = pf.session_details(task["ids"])
            frames |= details.tables()
            came = details.sessions["session_id"].to_list()
    except pf.PulseError as problem:
        error = type(problem).__name__
    if "out" in task:
        for name, frame in frames.items():
            frame.write_parquet(Path(task["out"]) / f"{name}.parquet")
    return {"spent": client.calls_spent - before, "came": came, "error": error}


def sync(task: dict[str, Any]) -> dict[str, Any]:
    """Sync a lake, at a moment that stands still but for what is waited."""
    now = datetime.fromisoformat(task["now"])

    def wait(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    report = error = None
    with pf.PulseClient(clock=lambda: now, sleep=wait) as client:
        try:
            report = pf.sync(*task["sync"], details=task["details"], client=client)
        except pf.PulseError as problem:
            error = type(problem).__name__
    resume_at = report and report.resume_at and report.resume_at.isoformat()
    return {"now": now.isoformat(), "finished": report and report.finished, "resume_at": resume_at, "error": error}


def tell(**told: Any) -> None:
    """Print one line."""
    print(json.dumps(told), flush=True)  # noqa: T201  the test reads it


def nurse() -> None:
    """Do each task in a child, which can be killed at once and costs no imports; tell its id, its answer, and its end.

    All is imported and nothing has run when it forks, so that no thread of polars or Arrow is missing in the child.
    """
    for line in sys.stdin:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            tell(pid=os.getpid())
            tell(**do(json.loads(line)))
            os._exit(0)
        tell(ended=os.waitpid(child, 0)[1])


if __name__ == "__main__":
    if "frames" in sys.argv:
        pf.frame_schema("sessions")  # so that all imports are done
        _ = pf.sync
    print("ready", flush=True)  # noqa: T201  the test reads it
    if "nurse" in sys.argv:
        nurse()
    for task_line in sys.stdin:
        tell(**do(json.loads(task_line)))
