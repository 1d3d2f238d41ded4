"""Runs the benchmarks, each in a process of its own; prints a table and keeps the figures.

Usage: python benchmarks/run.py [--only NAME ...] [--quick] [--rounds N] [--output FILE] [--list]

Without ``--output`` the figures go to ``benchmarks/results.json``; those of workloads that were not run stay. With ``--quick`` they go
nowhere unless told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import measure
from table import markdown

RESULTS: Final = Path(__file__).with_name("results.json")
_TOOLS: Final = ("pulseframes", "polars", "pyarrow", "duckdb", "orjson", "pandas", "dlt", "pysimdjson", "msgspec")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these workloads only")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, in a few minutes")
    parser.add_argument("--size", type=_positive, help="another size, for the workloads of --only")
    parser.add_argument("--output", type=Path, help="JSON file to keep the figures in")
    parser.add_argument("--list", action="store_true", help="print the workloads' names")
    parser.add_argument("--rounds", type=_positive, default=measure.ROUNDS, help="rounds of each way")
    for hidden in ("--workload", "--task"):
        parser.add_argument(hidden, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--guarded", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    measure.ROUNDS = options.rounds
    warnings.simplefilter("ignore")  # broken rows and bots are meant
    if options.task:
        from workloads import TASKS

        print(json.dumps(TASKS[options.task[0]](*json.loads(options.task[1]))))
    elif options.workload:
        from workloads import WORKLOADS

        chosen = WORKLOADS[options.workload[0]]
        measure.LEFT_OUT = chosen.slow if options.guarded else ()
        print(json.dumps(chosen.run(int(options.workload[1]))))
    elif options.list:
        print(*_names(), sep="\n")
    else:
        unknown = sorted({*(options.only or ())} - {*_names()})
        if unknown:
            parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(_names())}")
        if options.output and options.output.is_dir():
            parser.error(f"--output is a file to keep the figures in, and {options.output} is a folder")
        run(options)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text}")
    return int(text)


def run(options: argparse.Namespace) -> None:
    from workloads import WORKLOADS

    output = options.output or (None if options.quick else RESULTS)
    results = earlier(output) if output and options.only else {}
    results |= {"machine": machine(), "versions": versions()}
    failed = []
    for name in options.only or _names():
        size = options.size or (WORKLOADS[name].quick if options.quick else WORKLOADS[name].size)
        print(f"{name}, {size:,} ...", end=" ", file=sys.stderr, flush=True)
        begun = time.perf_counter()
        try:
            found = in_a_process(name, size, rounds=2 if options.quick else options.rounds)
        except subprocess.CalledProcessError:  # it has said why
            failed.append(name)
            continue
        print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        results["workloads"] = in_order(results.get("workloads", {}), name, found)
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown(results))
    sys.exit(f"failed, with earlier figures left as they were: {', '.join(failed)}" if failed else None)


def in_order(workloads: dict[str, Any], name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the figures with a workload's new ones, in the order of the runs; points of curves beyond its size stay."""
    for curve, points in found.get("curves", {}).items():
        old = workloads.get(name, {}).get("curves", {}).get(curve, [])
        points += [point for point in old if point["sessions"] > found["size"]]
    merged = workloads | {name: found}
    return {name: merged[name] for name in _names() if name in merged}


def in_a_process(name: str, size: int, *, rounds: int = measure.ROUNDS, guarded: bool = False) -> dict[str, Any]:
    """Run one workload in a process of its own; for the check, without the ways that take long."""
    command = [sys.executable, __file__, "--workload", name, str(size), "--rounds", str(rounds)]
    command += ["--guarded"] if guarded else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result | {"size": size, "made": datetime.now(UTC).date().isoformat()}


def earlier(path: Path) -> dict[str, Any]:
    """Return the figures of an earlier run, if they are of this machine and of these versions."""
    if not path.exists():
        return {}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    now = {"machine": machine(), "versions": versions()}
    if results.get("workloads") and any(results[key] != now[key] for key in now):
        sys.exit(f"{path} is of another machine or of other versions: run all workloads, or keep these with --output.")
    return results


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
    }


def versions() -> dict[str, str]:
    return {"Python": platform.python_version()} | {name: version(name) for name in _TOOLS}


def _names() -> list[str]:
    from workloads import WORKLOADS

    return list(WORKLOADS)


if __name__ == "__main__":
    main()
