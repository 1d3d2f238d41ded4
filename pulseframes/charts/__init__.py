"""Charts of results: each function takes the DataFrame that the function of the same name returned, and draws an Altair chart.

Lines are intervals. Figures with a flag, which are hints or not sampled at random, are hollow dots with dashed lines.

Examples
--------
>>> chart = pf.charts.page_speed(pf.page_speed("lake"))
>>> chart.save("page_speed.svg")
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
