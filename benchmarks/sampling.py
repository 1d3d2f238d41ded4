"""The quality of estimates: coverage, bias and width over many samples of populations with known true values.

Usage: python benchmarks/sampling.py [--only KIND ...] [--draws N] [--output FILE]

Samples are drawn from the five kinds of ``populations.py`` and from the simulator, by both designs, at four sizes. Without
``--output`` the figures go to ``benchmarks/sampling.json``; those of kinds that were not run stay. 300 draws of each take about
25 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Final

from quality import KINDS, measured, merged, written
from sampling_table import markdown

RESULTS: Final = Path(__file__).with_name("sampling.json")
DRAWS: Final = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--draws", type=int, default=DRAWS, help="samples of each population, design and size")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file to keep the figures in")
    options = parser.parse_args()
    os.environ["POLARS_MAX_THREADS"] = "1"  # of the processes; each has one core
    now = measured(options.only, options.draws)
    earlier = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    results = merged(earlier, now)
    options.output.write_text(written(results), encoding="utf-8")
    print(markdown(results))


if __name__ == "__main__":
    main()
