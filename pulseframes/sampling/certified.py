"""The figures whose intervals are certified: measured to cover at least 93% in every population of the benchmark.

``benchmarks/sampling.json`` has what they cover; a test holds the two together. Means and totals are not among them, as a few values
may make up most of a sum: load times with a Pareto tail are covered less often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pulseframes.sampling.questions import Level, Question

#: The confidence level at which coverage was measured.
CONFIDENCE: Final = 0.95
#: The least share of a sample that has to have details: those that are missing may differ from the others.
RESPONSE: Final = 0.95


@dataclass(frozen=True)
class Certified:
    """A kind of figures, and how many sessions of equal weight it has to rest on.

    Attributes
    ----------
    of : {"sessions", "page_views"}
        What is counted.
    kind : str
        The kind of the measure, such as ``"quantile"``.
    column : str
        The only column that it uses.
    least : float
        The least ``effective_sessions``.
    probabilities : pair of float
        The lowest and highest quantile.
    """

    of: Level
    kind: str
    column: str
    least: float
    probabilities: tuple[float, float] = (0.0, 1.0)

    def includes(self, question: Question) -> bool:
        """Return whether a question is of this kind."""
        measure, (low, high) = question.measure, self.probabilities
        same = (question.level, measure.kind, measure.columns) == (self.of, self.kind, {self.column})
        if measure.kind != "quantile":
            return same
        return same and measure.value.meta.is_column() and low <= measure.probability <= high


CERTIFIED: Final = (
    Certified("page_views", "quantile", "loading_time_ms", 40, (0.5, 0.75)),
    Certified("page_views", "share", "loading_time_ms", 40),
    Certified("sessions", "share", "satisfaction_rating", 40),
    Certified("sessions", "share", "error_count", 40),
)


def least_sessions(question: Question) -> float:
    """Return how many sessions of equal weight a certified figure has to rest on; infinite if its kind is not certified."""
    return min((kind.least for kind in CERTIFIED if kind.includes(question)), default=math.inf)
