"""How often a report's claims are right: "is the slowest", and "changed since the period before".

Usage: python benchmarks/claims.py [--draws N] [--only KIND ...] [--details N ...]

Samples of the skewed populations in ``populations.py`` are drawn again and again. Of each, the slowest page, country and browser are named as a
report names them; and two weeks are compared as in its section "What changed". The figures are printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_args

import polars as pl
from populations import Kind, make, sample_of, truth

import pulseframes as pf
from pulseframes.analysis.compare import differences, largest
from pulseframes.analysis.estimate import Asked, with_templates
from pulseframes.analysis.pages import page_speeds
from pulseframes.charts.style import TOP
from pulseframes.reports.changes import FAILING, LOAD, POOR
from pulseframes.reports.findings import KINDS

DRAWS: Final = 200
FIGURES: Final = {"count()": "views", LOAD: "p75_ms"}
#: What is named as the slowest, and how many of each a report compares.
COMPARED: Final = {"page_template": TOP, "country": KINDS, "browser_name": KINDS}
CHANGES: Final = (LOAD, POOR, FAILING)
#: The numbers of sessions of two weeks.
WEEKS: Final = (8_000, 7_000)


@cache
def true_times(kind: Kind, by: str) -> dict[Any, float]:
    """Return the true figure of each group."""
    found = pf.page_speed(make(kind)[1], by=by)
    return dict(found.select(by, "p75_ms").iter_rows())


def slowest(kind: Kind, details: int, seed: int) -> Iterator[tuple[str, bool, bool]]:
    """Yield, for pages, countries and browsers, whether the slowest is named without a doubt, and whether it is the slowest."""
    sample = with_templates(sample_of(kind, details, seed=seed), None)
    for by, speed in zip(COMPARED, page_speeds(sample, [*COMPARED], figures=FIGURES), strict=True):
        rows = speed.head(COMPARED[by]).drop_nulls(by)
        found = largest(sample, LOAD, rows, figure="p75_ms", by=pl.col(by), of="page_views")
        if found is not None:
            times = true_times(kind, by)
            yield by, found.is_certain, times[found.row[by]] == max(times[name] for name in rows[by])


@cache
def true_changes(kind: Kind) -> dict[str, float]:
    """Return the true differences between two weeks of a population."""
    first, second = (truth(make(kind, sessions=week)[1], CHANGES)["estimate"] for week in WEEKS)
    return dict(zip(CHANGES, second - first, strict=True))


def changed(kind: Kind, details: int, seed: int) -> tuple[bool, bool, bool]:
    """Return whether a report says that something changed, whether all of that did, and whether all intervals hold."""
    weeks = [sample_of(kind, details, seed=seed, sessions=week) for week in WEEKS]
    asked = [Asked.of(week, CHANGES, [(None, None)]) for week in weeks]
    rows = differences(lambda confidence: [part for some in asked for part in some.answered(confidence)]).to_dicts()
    true = true_changes(kind)
    said = [row for row in rows if row["differs"]]
    holds = all(row["difference_lower"] <= true[row["measure"]] <= row["difference_upper"] for row in rows)
    return bool(said), all(row["difference"] * true[row["measure"]] > 0 for row in said), holds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=DRAWS, help="samples of each population and size")
    parser.add_argument("--only", nargs="+", choices=get_args(Kind), default=["shop", "pareto"], metavar="KIND")
    parser.add_argument("--details", nargs="+", type=int, default=[120, 400], metavar="N")
    options = parser.parse_args()
    for kind in options.only:
        for details in options.details:
            report(kind, details, options.draws)


def report(kind: Kind, details: int, draws: int) -> None:
    """Print the figures of a population and size."""
    named = pl.DataFrame(
        [claim for seed in range(draws) for claim in slowest(kind, details, seed)],
        schema=["what", "is_said", "is_right"],
        orient="row",
    )
    for (what,), rows in named.group_by("what", maintain_order=True):
        said = rows.filter("is_said")
        print(
            f"{kind}, {details} details, slowest {what}: said in {len(said)} of {len(rows)}, right in {said['is_right'].sum()}"
        )
    found = [changed(kind, details, seed) for seed in range(draws)]
    said = [is_right for is_said, is_right, _ in found if is_said]
    print(
        f"{kind}, {details} details, changes: said in {len(said)} of {draws}, right in {sum(said)}; all intervals hold in {sum(holds for *_, holds in found)}"
    )


if __name__ == "__main__":
    main()
