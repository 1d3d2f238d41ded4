"""What the figures should be, and which ratios the check compares with earlier ones. Pure: no tool is imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal

Results = Mapping[str, Any]
#: Wall time, or the time of all cores together, which other programs on the machine disturb less.
Clock = Literal["seconds", "cpu"]
#: How many times the earlier ratio is not yet a regression, by clock.
TOLERANCE: Final[dict[Clock, float]] = {"seconds": 1.5, "cpu": 1.3}


@dataclass(frozen=True)
class Ratio:
    """How much a way takes of what another way takes, in the same run.

    Attributes
    ----------
    workload, way, of
        The workload, the way, and the way that it is compared with; of several, the fastest counts.
    at_most
        The target; None if there is none.
    guarded
        By which clocks the check holds later runs against it. Not by time if two processes take turns, or if it is measured once.
    """

    workload: str
    way: str
    of: tuple[str, ...]
    at_most: float | None = None
    guarded: tuple[Clock, ...] = ("seconds", "cpu")

    @property
    def name(self) -> str:
        return f"{self.workload}: {self.way} / {' or '.join(self.of)}"


@dataclass(frozen=True)
class Most:
    """The most that a way may take: seconds, MB, or CPU milliseconds a unit."""

    workload: str
    way: str
    figure: Literal["seconds", "peak_mb", "cpu_ms_each"]
    at_most: float


@dataclass(frozen=True)
class Flat:
    """Memory that should not grow with the work: the peak at the largest size, as a multiple of that at a tenth of it."""

    curve: str
    at_most: float = 1.25


_POLARS: Final = ("polars json_decode", "polars read_ndjson")
_OURS: Final = "pulseframes"
RATIOS: Final = (
    Ratio("details", _OURS, ("DuckDB",), 1 / 2.5),
    Ratio("details", _OURS, ("orjson + pandas",), 1 / 8, guarded=()),
    Ratio("details", _OURS, ("dlt",), 1 / 30, guarded=()),
    Ratio("details", _OURS, _POLARS),
    Ratio("details", _OURS, ("pysimdjson, parse only",), 8, guarded=()),
    Ratio("summaries", _OURS, _POLARS, 1 / 1.5),
    Ratio("summaries", _OURS, ("orjson + pandas",), 1 / 6, guarded=()),
    Ratio("summaries", _OURS, ("DuckDB",), 1 / 5),
    Ratio("summaries", _OURS, ("pysimdjson, parse only",), 8, guarded=()),
    Ratio("broken", _OURS, ("pulseframes, clean",), 1.5),
    Ratio("broken_summaries", _OURS, ("pulseframes, clean",), 1.5),
    Ratio("broken_10", _OURS, ("pulseframes, clean",)),
    Ratio("drift", _OURS, ("pulseframes, clean",), 2),
    Ratio("long_session", _OURS, ("DuckDB",)),
    Ratio("cached", "cached details to frames", ("bodies to frames, at once",), 1.5),
    Ratio("cached", "cached details to a lake", ("bodies to a lake, at once",), 1.5),
    Ratio("replay", "journal to files", ("bodies to frames, at once",)),
    Ratio("replay", "journal to a lake", ("bodies to a lake, at once",)),
    Ratio("sync", "pulseframes.sync", ("requests + orjson",), guarded=("cpu",)),
    Ratio("complete_100k", "report", ("DuckDB, five queries",), guarded=("cpu",)),
    Ratio("upsert", "into 5,000,000 sessions", ("into 1,000,000 sessions",), guarded=()),
    Ratio("complete_100k", "page_speed", ("DuckDB, five queries",), guarded=("cpu",)),
    Ratio("queries", "Lake.sql", ("DuckDB on the files",), guarded=()),
    Ratio("imports", "import pulseframes", ("import polars",), 0.2),
    Ratio("imports", "search_sessions ready to call", ("import polars",), 1.5),
    Ratio("imports", "pulseframes --help", ("import polars",), 0.8),
    Ratio("concurrency", "4 at once", ("one after the other",), 1 / 3.5, guarded=()),
)
MOSTS: Final = (
    Most("sync", "pulseframes.sync", "cpu_ms_each", 20),
    Most("complete", "report", "seconds", 20),
    Most("complete", "report", "peak_mb", 2_000),
)
FLATS: Final = (Flat("flatten_to_lake"), Flat("replay_to_files"), Flat("report"))


def ratio_of(results: Results, ratio: Ratio, clock: Clock = "seconds") -> float | None:
    """Return the median over the rounds, which were run in turn; None if a way was not run or stopped."""
    found = _taken(results, ratio, clock)
    if found is None:
        return None
    ours, theirs = found
    if len(ours) == len(theirs):
        return median(our / their for our, their in zip(ours, theirs, strict=True))
    return median(ours) / median(theirs)


def least_ratio_of(results: Results, ratio: Ratio, clock: Clock) -> float | None:
    """Return the ratio for the check: that of the fastest rounds for time, which other programs only ever lengthen."""
    found = _taken(results, ratio, clock)
    if found is None or clock == "cpu":
        return ratio_of(results, ratio, clock)
    ours, theirs = found
    return min(ours) / min(theirs)


def _taken(results: Results, ratio: Ratio, clock: Clock) -> tuple[list[float], list[float]] | None:
    ways = results.get("workloads", {}).get(ratio.workload, {}).get("ways", {})
    ours = ways.get(ratio.way, {}).get(clock)
    others = [found for name in ratio.of if (found := ways.get(name, {}).get(clock))]
    return (ours, min(others, key=median)) if ours and others else None


def growth_of(results: Results, flat: Flat) -> tuple[float, int] | None:
    """Return the multiple, and the largest size; None if the curve is too short."""
    points = results.get("workloads", {}).get("scaling", {}).get("curves", {}).get(flat.curve, [])
    if len(points) < 2:
        return None
    return points[-1]["peak_mb"] / points[-2]["peak_mb"], int(points[-1]["sessions"])


def figure_of(results: Results, most: Most) -> float | None:
    """Return a way's figure; None if it was not run."""
    way = results.get("workloads", {}).get(most.workload, {}).get("ways", {}).get(most.way)
    if way is None:
        return None
    if most.figure == "cpu_ms_each":
        return float(median(way["cpu"]) / way["units"] * 1e3)
    return float(way["peak_mb"] if most.figure == "peak_mb" else median(way["seconds"]))


@dataclass(frozen=True)
class Verdict:
    """A ratio now, beside what it was."""

    ratio: Ratio
    clock: Clock
    before: float
    now: float

    def regressed(self) -> bool:
        return self.now > self.before * TOLERANCE[self.clock]

    def __str__(self) -> str:
        return f"{self.ratio.name} ({self.clock}): {self.now:.2f}, was {self.before:.2f}, {self.now / self.before:.2f} times as much"


def verdicts(before: Results, now: Results, ratios: Sequence[Ratio] = RATIOS) -> list[Verdict]:
    """Compare each guarded ratio that both have, by both clocks."""
    found = []
    for ratio in ratios:
        for clock in ratio.guarded:
            old, new = least_ratio_of(before, ratio, clock), least_ratio_of(now, ratio, clock)
            if old is not None and new is not None:
                found.append(Verdict(ratio, clock, old, new))
    return found


def lasting(attempts: Sequence[Sequence[Verdict]]) -> list[Verdict]:
    """Return the newest verdict of each ratio that regressed, by the same clock, in every attempt that measured it.

    A busy machine makes one attempt slow; a slower program makes all of them slow.
    """
    kept: dict[tuple[Ratio, Clock], Verdict] = {}
    fine: set[tuple[Ratio, Clock]] = set()
    for verdict in (verdict for attempt in attempts for verdict in attempt):
        kept[verdict.ratio, verdict.clock] = verdict
        if not verdict.regressed():
            fine.add((verdict.ratio, verdict.clock))
    return [verdict for key, verdict in kept.items() if key not in fine]
