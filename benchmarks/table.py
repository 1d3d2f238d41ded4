"""The figures as Markdown, for the terminal and for the docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from targets import FLATS, MOSTS, RATIOS, Results, figure_of, growth_of, ratio_of

#: Workloads that other tools do, too.
_SHARED = ("details", "summaries", "broken", "broken_10", "broken_summaries", "drift", "long_session")


def markdown(results: Results) -> str:
    """Return all figures: the machine, the targets, and a table for each workload."""
    parts = [about(results), targets(results), ahead(results), workloads(results)]
    return "\n\n".join(part for part in parts if part)


def about(results: Results) -> str:
    """Return the machine and the versions."""
    machine = results["machine"]
    tools = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"Measured on {machine['system']}, {machine['architecture']}, {machine['cores']} cores, {machine['memory_gb']} GB of memory. "
        f"Versions: {tools}."
    )


def targets(results: Results) -> str:
    """Return each figure that has a target, with whether it is met."""
    rows = []
    for ratio in RATIOS:
        now, cpu = ratio_of(results, ratio), ratio_of(results, ratio, "cpu")
        if ratio.at_most is not None and now is not None and cpu is not None:
            what = f"{ratio.way}, against {' or '.join(ratio.of)}"
            met = _met(now, ratio.at_most)
            rows.append([ratio.workload, what, _as(now), _as(cpu), _as(ratio.at_most), met])
    for most in MOSTS:
        figure = figure_of(results, most)
        if figure is not None:
            unit = {"seconds": " s", "peak_mb": " MB", "cpu_ms_each": " ms of CPU each"}[most.figure]
            found, wanted = (
                f"{figure:,.3g}{unit}" if figure < 1e3 else f"{figure:,.0f}{unit}",
                f"{most.at_most:,.0f}{unit}",
            )
            rows.append([most.workload, most.way, found, "", wanted, _met(figure, most.at_most)])
    for flat in FLATS:
        growth = growth_of(results, flat)
        if growth is not None:
            multiple, size = growth
            what = f"{_words(flat.curve)}, peak memory of {size:,} sessions against {size // 10:,}"
            rows.append(
                ["scaling", what, f"{multiple:.3g} times", "", f"{flat.at_most:g} times", _met(multiple, flat.at_most)]
            )
    return table(["workload", "what", "time", "CPU", "target", ""], rows) if rows else ""


def ahead(results: Results) -> str:
    """Return where another tool that makes tables took less time than pulseframes."""
    lines = []
    for workload in _SHARED:
        found = results.get("workloads", {}).get(workload, {}).get("ways", {})
        ours = found.get("pulseframes", {}).get("seconds")
        for name, way in found.items():
            if ours and way["seconds"] and "rows" in way and median(way["seconds"]) < median(ours):
                times = median(ours) / median(way["seconds"])
                lines.append(f"- {workload}: {name} is {times:.2f} times as fast ({way['does']}).")
    return "\n".join(["Where another tool is faster:", "", *lines]) if lines else ""


def _as(ratio: float) -> str:
    """Return a ratio of times in words."""
    return f"{1 / ratio:.3g} times as fast" if ratio < 1 else f"{ratio:.3g} times the time"


def _met(figure: float, at_most: float) -> str:
    return "met" if figure <= at_most else "missed"


def workloads(results: Results) -> str:
    """Return a table for each workload, in the order of the runs."""
    parts = []
    for name, result in results.get("workloads", {}).items():
        body = curves(result["curves"]) if "curves" in result else ways(result)
        parts.append(f"### {name}\n\n{result['what'][0].upper()}{result['what'][1:]}.\n\n{body}")
    return "\n\n".join(parts)


def ways(result: Mapping[str, Any]) -> str:
    """Return a workload's ways, the first of them as the measure of the others."""
    found = result["ways"]
    base = next((median(way["seconds"]) for way in found.values() if way["seconds"]), None)
    with_memory = any("peak_mb" in way for way in found.values())
    with_rows = any("rows" in way for way in found.values())
    with_notes = any(way.get("does") for way in found.values())
    heads = ["tool", "seconds", "CPU", "against the first"]
    heads += ["peak memory"] * with_memory + ["rows"] * with_rows + ["invalid rows"] * with_notes
    rows = []
    for name, way in found.items():
        if "stops" in way:
            row = [name, "stops", "", ""]
        else:
            seconds = median(way["seconds"])
            row = [name, _seconds(seconds), _seconds(median(way["cpu"])), f"{seconds / base:.2f}" if base else ""]
        row += [f"{way['peak_mb']:,} MB" if "peak_mb" in way else ""] * with_memory
        row += [_rows(way, result)] * with_rows
        row += [way.get("does", "")] * with_notes
        rows.append(row)
    return table(heads, rows)


def _rows(way: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    if "rows" not in way:
        return ""
    text = " + ".join(f"{count:,}" for count in way["rows"] if count)
    if "rejected" in result and way["does"].startswith("checks types, ranges"):
        text += f", {result['rejected']:,} kept apart"
    return text


def curves(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return the curves' points: seconds and memory by the number of sessions."""
    sizes = sorted({point["sessions"] for points in found.values() for point in points})
    rows = []
    for name, points in found.items():
        cells = {point["sessions"]: f"{_seconds(point['seconds'])}, {point['peak_mb']:,.0f} MB" for point in points}
        rows.append([_words(name), *(cells.get(size, "") for size in sizes)])
    return table(["", *(f"{size:,}" for size in sizes)], rows)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds < 10 else f"{seconds:.1f} s"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
