"""The quality of estimates as Markdown, for the terminal and for the docs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import polars as pl
from table import table

#: What an interval of 95% should cover, in percent: from so many details on, and with fewer.
MANY: Final = 120
AIM: Final = (93.0, 97.0)
AIM_OF_FEW: Final = 90.0
#: How many Monte Carlo errors a figure may be outside the aim.
ERRORS: Final = 2.0
#: Cells in which fewer figures than this have no flag say nothing of those, in percent: they are the ones that chance has made look firm.
LEAST: Final = 10.0


def frame_of(results: dict[str, Any], name: str) -> pl.DataFrame:
    """Return the ``cells`` or ``classes`` of results."""
    return pl.DataFrame(results[name]["rows"], schema=results[name]["columns"], orient="row", infer_schema_length=None)


def low(covers: pl.Expr, error: pl.Expr, aim: Any = AIM[0]) -> pl.Expr:
    """Return whether coverage is below the aim, beyond the Monte Carlo error."""
    return covers < aim - ERRORS * error


def high(covers: pl.Expr, error: pl.Expr) -> pl.Expr:
    """Return whether coverage is above the aim, beyond the Monte Carlo error."""
    return covers > AIM[1] + ERRORS * error


def judged(cells: pl.DataFrame) -> pl.DataFrame:
    """Return cells with enough figures without a flag, and whether these cover too little (``low``) or more than is needed (``high``)."""
    covers, error = pl.col("unflagged_covers"), pl.col("unflagged_covers_error")
    aim = pl.when(pl.col("details") >= MANY).then(AIM[0]).otherwise(AIM_OF_FEW)
    return cells.filter(pl.col("unflagged") >= LEAST).with_columns(
        low(covers, error, aim).alias("low"), ((pl.col("details") >= MANY) & high(covers, error)).alias("high")
    )


def markdown(results: dict[str, Any]) -> str:
    """Return the tables: coverage by design, then bias and width."""
    cells = frame_of(results, "cells")
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    about = (
        f"{results['draws']:,} samples of each population, design and size, of {results['populations']} populations of each kind with "
        f"{results['sessions']:,} sessions each; {versions}."
    )
    parts = [about, verdict(cells)]
    for design in ("pageviews", "uniform"):
        parts += [f"### Coverage, `{design}`", coverage(cells.filter(design=design))]
    parts += ["### Bias and width", widths(cells), *newest(cells)]
    return "\n\n".join(parts)


def verdict(cells: pl.DataFrame) -> str:
    """Return how many cells are within the aim, and which are below it."""
    found = judged(cells.filter(pl.col("design") != "newest"))
    counts = [found.filter(pl.col("details") >= MANY), found.filter(pl.col("details") < MANY)]
    many, few = ((len(some), int((~some["low"]).sum())) for some in counts)
    return (
        f"Figures without a flag cover at least {AIM[0]:g}% in {many[1]} of {many[0]} cells from {MANY} details on, and at least "
        f"{AIM_OF_FEW:g}% in {few[1]} of {few[0]} with fewer, within {ERRORS:g} Monte Carlo errors. The others are in bold below."
    )


def coverage(cells: pl.DataFrame) -> str:
    """Return what figures without a flag cover: a row for each question, a column for each population."""
    known = {(row["population"], row["details"], *_question(row)): row for row in judged(cells).iter_rows(named=True)}
    sizes = sorted({*cells["details"]})

    def shown(kind: str, question: tuple[str, ...]) -> str:
        return ", ".join(_covered(known.get((kind, size, *question))) for size in sizes)

    return _by_population(cells, shown)


def widths(cells: pl.DataFrame, details: int = MANY) -> str:
    """Return each question's bias and median half width at one size, by the design that is made for it, in percent of the true value."""
    made_for = pl.when(pl.col("of") == "sessions").then(pl.lit("uniform")).otherwise(pl.lit("pageviews"))
    some = cells.filter(pl.col("design") == made_for, pl.col("details") == details)
    known = {(row["population"], *_question(row)): row for row in some.iter_rows(named=True)}

    def shown(kind: str, question: tuple[str, ...]) -> str:
        row = known[(kind, *question)]
        width = "no limit" if row["half_width"] is None else f"±{row['half_width']:.0f}"
        return f"{row['bias'] or 0:+.1f}, {width}, {row['unflagged']:.0f}"

    return _by_population(some, shown)


def newest(cells: pl.DataFrame) -> list[str]:
    """Return what intervals of the newest sessions cover, as if these had been drawn at random."""
    some = cells.filter(pl.col("design") == "newest", pl.col("by") == "")
    if some.is_empty():
        return []
    rows = [
        [_asked(first), *(f"{covers:.0f}" for covers in frame.sort("details")["covers"])]
        for first, frame in _questions(some)
    ]
    sizes = sorted({*some["details"]})
    return ["### The newest sessions instead of a sample", table(["figure", *(f"{size}" for size in sizes)], rows)]


def _by_population(cells: pl.DataFrame, shown: Callable[[str, tuple[str, ...]], str]) -> str:
    kinds = cells["population"].unique(maintain_order=True).to_list()
    rows = [[_asked(first), *(shown(kind, _question(first)) for kind in kinds)] for first, _ in _questions(cells)]
    return table(["figure", *(f"`{kind}`" for kind in kinds)], rows)


def _questions(cells: pl.DataFrame) -> list[tuple[dict[str, Any], pl.DataFrame]]:
    """Return the first row, and all, of each question."""
    groups = cells.group_by("measure", "of", "by", maintain_order=True)
    return [(frame.row(0, named=True), frame) for _, frame in groups]


def _question(row: dict[str, Any]) -> tuple[str, ...]:
    return row["measure"], row["of"], row["by"]


def _asked(row: dict[str, Any]) -> str:
    of = f" of {row['of'].replace('_', ' ')}" if row["measure"].endswith("()") else ""
    by = f" by {row['by'].removesuffix('_name')}" if row["by"] else ""
    return f"`{row['measure']}`{of}{by}"


def _covered(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    text = f"{row['unflagged_covers']:.0f}"
    return f"**{text}**" if row["low"] else f"*{text}*" if row["high"] else text
