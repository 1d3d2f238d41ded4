"""Pictures of frames: each function takes what the function of that name returned, and gives an Altair chart.

Intervals are drawn as lines. What rests on few sessions, or was not drawn by a design, is hollow, its line dashed.
"""

from pulseframes.charts.frames import errors, page_views, sessions
from pulseframes.charts.groups import apdex, compare, error_impact, estimates, landings, page_speed, paths
from pulseframes.charts.periods import hours, satisfaction, traffic

__all__ = [
    "apdex",
    "compare",
    "error_impact",
    "errors",
    "estimates",
    "hours",
    "landings",
    "page_speed",
    "page_views",
    "paths",
    "satisfaction",
    "sessions",
    "traffic",
]
