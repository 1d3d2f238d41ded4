"""How long imports and --help take, each in a process of its own, side by side.

Usage: python benchmarks/imports.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 9

WAYS = {
    "python alone": ["-c", "pass"],
    "import polars": ["-c", "import polars"],
    "import pulseframes": ["-c", "import pulseframes"],
    "pulseframes, with search_sessions loaded": ["-c", "import pulseframes; pulseframes.search_sessions"],
    "pulseframes --help": ["-m", "pulseframes", "--help"],
}


def main() -> None:
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(ROUNDS + 1):
        for name, arguments in WAYS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            if number:  # the first round fills the disk cache
                taken[name].append(time.perf_counter() - start)
    base = statistics.median(taken["import polars"])
    for name, runs in taken.items():
        median = statistics.median(runs)
        print(f"{name:42} median {median:.3f} s  (min {min(runs):.3f}, max {max(runs):.3f})  {median / base:.2f}x")


if __name__ == "__main__":
    main()
