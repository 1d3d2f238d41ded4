"""Fails if pulseframes has become slower, measured by ratios within one run and never by seconds.

Usage: python benchmarks/check.py [--against FILE] [--only NAME ...]

Each ratio is compared with the one in ``benchmarks/results.json``, or in a file that ``run.py --output`` wrote on this machine. A
workload that looks slower is measured again, twice at most.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from run import RESULTS, in_a_process, machine
from targets import RATIOS, Verdict, lasting, verdicts
from workloads import WORKLOADS

ATTEMPTS: Final = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", type=Path, default=RESULTS, help="the earlier figures")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="check these workloads only")
    options = parser.parse_args()
    try:
        before = json.loads(options.against.read_text(encoding="utf-8"))
        measured = {*before["workloads"]}
    except (OSError, ValueError, LookupError, TypeError) as problem:
        parser.error(f"{options.against} has no figures that `run.py --output` wrote: {problem!r}")
    if before["machine"] != machine():
        print(f"The earlier figures are of another machine: {before['machine']}. Ratios may differ for that alone.")
    names = [name for name in dict.fromkeys(ratio.workload for ratio in RATIOS if ratio.guarded) if name in WORKLOADS]
    if unknown := sorted({*(options.only or ())} - {*names}):
        parser.error(f"no ratio is checked of {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = [name for name in names if name in (options.only or measured)]
    if absent := sorted({*chosen} - measured):
        parser.error(f"{options.against} has no figures of {', '.join(absent)}")
    if skipped := [name for name in names if name not in measured and not options.only]:
        print(f"Not checked, as {options.against} has no figures of them: {', '.join(skipped)}.")
    slower = check(before, chosen)
    for verdict in slower:
        print(f"SLOWER  {verdict}")
    sys.exit(f"{len(slower)} ratios are worse than in {options.against}." if slower else None)


def check(before: dict[str, Any], names: list[str]) -> list[Verdict]:
    """Measure the workloads, and those again that look slower; return what stays slower."""
    attempts: list[list[Verdict]] = []
    slower: list[Verdict] = []
    for attempt in range(ATTEMPTS):
        found = []
        for name in names:
            size = before["workloads"][name]["size"]
            now = {"workloads": {name: in_a_process(name, size, guarded=True)}}
            found += verdicts(before, now)
            for verdict in verdicts(before, now):
                print(f"{attempt + 1}  {'slower' if verdict.regressed() else 'as fast'}  {verdict}", flush=True)
        attempts.append(found)
        slower = lasting(attempts)
        names = sorted({verdict.ratio.workload for verdict in slower})
        if not names:
            break
    return slower


if __name__ == "__main__":
    main()
