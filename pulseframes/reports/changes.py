"""What changed since the period before: the counts and key figures of both, with the intervals of their differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from pulseframes._text import format_count, format_percent, format_range, format_seconds
from pulseframes.analysis.compare import differences
from pulseframes.analysis.details import Details, sample_or_details, sizes_of
from pulseframes.analysis.estimate import Asked
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake
from pulseframes.reports.coverage import Counts, Coverage, read_coverage
from pulseframes.reports.parts import DOUBT, Cell, Format, Section, TableView, figure_cell
from pulseframes.sampling.design import Design
from pulseframes.sampling.inference import DOUBTFUL
from pulseframes.windows import Window, subtract

LOAD: Final = "p75(loading_time_ms)"
POOR: Final = "share(satisfaction_rating = 'Poor')"
FAILING: Final = "share(error_count > 0)"

NO_CHANGE: Final = "no clear change"
_COUNTS: Final = {"Sessions": "sessions", "Users": "users"}


@dataclass(frozen=True)
class Changes:
    """What changed since the period before.

    Attributes
    ----------
    window : Window
        The period before: as long as the report's window, which it ends at the start of.
    now, before : Counts or None
        The counts of both; None if the lake lacks the period before.
    figures : dict of str to dict
        By measure, a row of ``compare()``, first the period before; empty if they cannot be compared.
    problems : list of str
        What cannot be compared, and what to do.
    """

    window: Window
    now: Counts | None = None
    before: Counts | None = None
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the changes for JSON."""
        counts = {}
        if self.now is not None and self.before is not None:
            both = {"now": self.now, "before": self.before}
            counts = {name: {when: getattr(of, name) for when, of in both.items()} for name in _COUNTS.values()}
        parts = ("first", "second", "difference", "difference_lower", "difference_upper", "differs", "flag")
        figures = {
            name: {part: _finite(self.figures[measure][part]) for part in parts}
            for name, measure in (("load_p75_ms", LOAD), ("poor_share", POOR), ("error_share", FAILING))
            if self.figures
        }
        return {
            "date_from": self.window.start.isoformat(),
            "date_to": self.window.end.isoformat(),
            **counts,
            **figures,
            "problems": self.problems,
        }


def period_before(window: Window) -> Window:
    """Return the window of equal length that ends where a window starts."""
    try:
        return Window(window.start - (window.end - window.start), window.start)
    except OverflowError:
        raise InvalidQuery(
            "compare: there is no period of equal length before this window. Narrow it with date_from.",
            argument="compare",
        ) from None


def read_changes(lake: Lake, coverage: Coverage, sample: Details, design: Design | str | None) -> Changes:
    """Compare a report's window with the period before."""
    window = period_before(coverage.window)
    earlier = read_coverage(lake, window)
    missing = _missing(earlier, sample)
    if missing:
        return Changes(window, problems=[missing])
    problems = []
    if not (coverage.is_complete and earlier.is_complete):
        problems.append(
            "The lake may lack sessions of one of the two periods, so their counts may differ for that reason alone."
        )
    figures: dict[str, dict[str, Any]] = {}
    unlike = _without_details(lake, window, sample, design)
    if unlike is None:
        figures, unlike = _figures(lake, window, sample, design)
    problems += [unlike] if unlike else []
    return Changes(window, coverage.counts, earlier.counts, figures, problems)


def _figures(
    lake: Lake, window: Window, sample: Details, design: Design | str | None
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Return the differences of the key figures, or why there are none."""
    earlier = sample_or_details(lake, *window, design)
    if not (sample.is_drawn and earlier.is_drawn):
        return {}, f"Load times, ratings and errors cannot be compared: {_NOT_DRAWN}"
    asked = [Asked.of(details, [LOAD, POOR, FAILING], [(None, None)]) for details in (earlier, sample)]
    found = differences(lambda confidence: [part for some in asked for part in some.answered(confidence)])
    return {row["measure"]: row for row in found.to_dicts()}, None


_NOT_DRAWN: Final = "details of one of the two periods were not sampled at random."


def _missing(earlier: Coverage, sample: Details) -> str | None:
    """Return why nothing can be compared: the lake lacks all or a part of the period."""
    start, end = earlier.window
    if earlier.deleted_before is not None and earlier.deleted_before > start:
        return f"There is nothing to compare with: sessions that started before {_moment(earlier.deleted_before)} UTC were deleted."
    if earlier.gaps or not (earlier.is_synced or earlier.counts.sessions):
        return f"There is nothing to compare with: the lake has not read all of the period before. To compare, {_sync(start, end, sample)}"
    return None


def _without_details(lake: Lake, window: Window, sample: Details, design: Design | str | None) -> str | None:
    """Return why details cannot be compared: there are none, or the sample does not represent the period before."""
    if not sizes_of(sample).answered:
        return "Load times, ratings and errors cannot be compared: there are no details."
    state = lake.state().find_design(design)
    if state is None or not subtract([window], [part.window for part in state.rate_windows]):
        return None
    return (
        "Load times, ratings and errors cannot be compared: the sample does not represent the period before. To compare, "
        f"{_sync(*window, sample)}"
    )


def _sync(start: datetime, end: datetime, sample: Details) -> str:
    """Return the command that downloads a period, with as many details as the other has."""
    selected = sizes_of(sample).selected
    details = f" --details {selected}" if sample.is_drawn and selected else ""
    return f"run: pulseframes sync LAKE --from {_moment(start)} --to {_moment(end)}{details}"


def _moment(moment: datetime) -> str:
    text = f"{moment:%Y-%m-%dT%H:%M:%S}"
    return text.removesuffix("T00:00:00")


def changes_section(changes: Changes, before: str) -> Section:
    """Describe the changes; ``before`` is the period before, in words."""
    if changes.now is None or changes.before is None:
        return Section("changes", "What changed", changes.problems)
    rows = [
        _count_row(name, *(getattr(counts, column) for counts in (changes.now, changes.before)))
        for name, column in _COUNTS.items()
    ]
    rows += [
        _figure_row(name, changes.figures[measure], write, change)
        for name, measure, write, change in _FIGURES
        if changes.figures
    ]
    sentences = [_summary(rows, before)]
    if changes.figures:
        sentences.append(
            "Sessions and users are counted. Below each other change is its interval, wide enough for all to hold at once in 95 of 100 samples; if it "
            "includes 0, there is no clear change."
        )
    if any(figure["flag"] in DOUBTFUL for figure in changes.figures.values()):
        sentences.append(f"An asterisk marks a hint, which comes from {DOUBT}.")
    table = TableView("Changes since the period before", ["Figure", "Change", "Now", "Before"], rows, is_open=True)
    return Section("changes", "What changed", sentences + changes.problems, [], [table])


def _summary(rows: Sequence[Sequence[Cell]], before: str) -> str:
    verdicts = [(_lowered(name.text), change.text.rstrip("*"), change) for name, change, *_ in rows]
    changed = [
        f"{name} {verdict}" + (f" ({change.below})" if change.below else "")
        for name, verdict, change in verdicts
        if verdict != NO_CHANGE
    ]
    same = [name for name, verdict, _ in verdicts if verdict == NO_CHANGE]
    unchanged = f" No clear change: {', '.join(same)}." if same else ""
    return f"Compared with {before}: {', '.join(changed)}.{unchanged}"


def _lowered(name: str) -> str:
    return name[0].lower() + name[1:]


def _count_row(name: str, now: int, before: int) -> list[Cell]:
    if now == before:
        return [Cell(name), Cell("unchanged"), Cell(f"{now:,}"), Cell(f"{before:,}")]
    change = _signed(now - before, format_count)
    relative = _signed((now - before) / before, format_percent) if before else ""
    return [Cell(name), Cell(relative or change, change if relative else ""), Cell(f"{now:,}"), Cell(f"{before:,}")]


def _figure_row(name: str, row: dict[str, Any], write: Format, change: Format) -> list[Cell]:
    signed = partial(_signed, write=change)
    if row["difference"] is None:
        verdict, limits = "not known", ""
    elif row["difference_lower"] == row["difference_upper"]:
        verdict, limits = signed(row["difference"]) if row["difference"] else "unchanged", ""
    else:
        limits = _limits(row["difference_lower"], row["difference_upper"], signed)
        verdict = signed(row["difference"]) if row["differs"] else NO_CHANGE
    doubt = "*" if row["flag"] in DOUBTFUL and verdict != NO_CHANGE else ""
    now, before = (figure_cell(row, figure, write) for figure in ("second", "first"))
    return [Cell(name), Cell(verdict + doubt, limits), now, before]


def _limits(lower: float, upper: float, write: Format) -> str:
    match math.isfinite(lower), math.isfinite(upper):
        case True, True:
            return format_range(lower, upper, write)
        case True, False:
            return f"{write(lower)} or more"
        case False, True:
            return f"{write(upper)} or less"
    return "too few sessions for an interval"


def _signed(value: float | None, write: Format) -> str:
    if value is None:
        return write(None)
    return ("\N{MINUS SIGN}" if value < 0 else "+") + write(abs(value))


def _points(share: float | None) -> str:
    """Format a difference of shares, in percentage points."""
    return format_percent(share).replace("%", " points")


#: Name, measure, and the formats of the figure and of its change.
_FIGURES: Final = (
    ("Load time (75th percentile)", LOAD, format_seconds, format_seconds),
    ("Sessions rated Poor", POOR, format_percent, _points),
    ("Sessions with errors", FAILING, format_percent, _points),
)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
