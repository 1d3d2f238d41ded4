"""What people ask of their sessions, one function a question: frame in, frame out. None costs a call."""

from pulseframes.analysis.comparing import compare
from pulseframes.analysis.crowd import satisfaction, traffic
from pulseframes.analysis.impact import error_impact
from pulseframes.analysis.rows import features
from pulseframes.analysis.speed import apdex, page_speed
from pulseframes.analysis.walks import landings, paths

__all__ = [
    "apdex",
    "compare",
    "error_impact",
    "features",
    "landings",
    "page_speed",
    "paths",
    "satisfaction",
    "traffic",
]
