"""Times several ways to do the same work, in turn, and checks that they gave the same rows."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Rounds of a way, which ``run.py --quick`` lowers; fewer if a round takes longer than some seconds.
ROUNDS, FEW, SLOW = 5, 2, 3.0
#: Ways that are not run: the check has no use for them.
LEFT_OUT: Collection[str] = ()
#: The most seconds of a task in a process of its own.
LONGEST = 300


@dataclass(frozen=True)
class Facts:
    """What must be equal if two tools have done the same work: rows, sums of numbers, and times in microseconds since 1970."""

    sessions: int
    page_views: int
    errors: int
    loading_ms: int
    length_ms: int
    first_start: int
    last_start: int
    last_view: int | None


@dataclass(frozen=True)
class Way:
    """One way to do the work.

    Attributes
    ----------
    work
        What is timed. It is given what ``prepare`` returned.
    facts
        Computes the facts from what ``work`` returned; not timed.
    does
        What the tool does with invalid rows.
    lossy
        Whether other facts than those of the first way are allowed, and reported.
    prepare
        Makes what each round needs anew; not timed.
    units
        How many of the things that the workload counts a round does.
    """

    work: Callable[..., Any]
    facts: Callable[[Any], Facts] | None = None
    does: str = ""
    lossy: bool = False
    prepare: Callable[[], Any] | None = None
    units: int = 1


def clock() -> tuple[float, float]:
    """Return seconds, and the CPU seconds of this process and those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in used)


def peak_mb() -> float:
    """Return the most memory that this process has had. On Linux, ``ru_maxrss`` begins with what the parent process had."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what some work returns, its seconds and its CPU seconds."""
    begun, used = clock()
    done = work()
    ended, all_used = clock()
    return done, ended - begun, all_used - used


def in_turn(ways: Mapping[str, Way], rounds: int | None = None) -> dict[str, dict[str, Any]]:
    """Run each way once, check the facts, and time the ways in turn, so that a machine that slows down slows all of them."""
    ways = {name: way for name, way in ways.items() if name not in LEFT_OUT}
    results: dict[str, dict[str, Any]] = {}
    expected: Facts | None = None
    slow = set()
    for name, way in ways.items():
        result = results[name] = {"does": way.does, "units": way.units, "seconds": [], "cpu": []}
        try:
            done, seconds, _ = _once(way)
            if seconds > SLOW:
                slow.add(name)
            if way.facts is not None:
                facts = way.facts(done)
                expected = expected or facts
                if facts != expected:
                    assert way.lossy, f"{name}: {facts}, not {expected}"
                result["rows"] = [facts.sessions, facts.page_views, facts.errors]
                result["differs"] = facts != expected
        except AssertionError:
            raise
        except Exception as problem:  # noqa: BLE001  a tool that stops at the documents is a result
            result["stops"] = f"{type(problem).__name__}: {' '.join(str(problem).split())[:120]}"
    for number in range(rounds or ROUNDS):
        for name, way in ways.items():
            if "stops" not in results[name] and (number < FEW or name not in slow):
                _, seconds, cpu = _once(way)
                results[name]["seconds"].append(round(seconds, 5))
                results[name]["cpu"].append(round(cpu, 5))
    return results


def _once(way: Way) -> tuple[Any, float, float]:
    given = () if way.prepare is None else (way.prepare(),)
    return timed(lambda: way.work(*given))


def alone(task: str, *arguments: Any, **more: Any) -> dict[str, Any]:
    """Run a task of ``run.py`` in a process of its own, for its memory and with a cold start; return a way's result."""
    command = [sys.executable, str(Path(__file__).with_name("run.py")), "--task", task, json.dumps(arguments)]
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return {"seconds": [], "cpu": [], "stops": f"after {LONGEST} seconds"}
    told = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": [told["seconds"]], "cpu": [told["cpu"]], "peak_mb": round(told["peak_mb"]), **more}


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Do some work in this process, and return its seconds, CPU seconds and the process's peak of memory."""
    _, seconds, cpu = timed(work)
    return {"seconds": round(seconds, 4), "cpu": round(cpu, 4), "peak_mb": peak_mb()}


def lines(bodies: Sequence[bytes], path: Path) -> Path:
    """Write bodies as lines, for tools that read files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(bodies))
    return path
