"""Questions about sessions, one function each: frame in, frame out. None costs a call."""

from pulseframes.analysis.compare import compare
from pulseframes.analysis.errors import error_impact
from pulseframes.analysis.features import features
from pulseframes.analysis.navigation import landings, paths
from pulseframes.analysis.pages import apdex, page_speed
from pulseframes.analysis.traffic import satisfaction, traffic

__all__ = ["apdex", "compare", "error_impact", "features", "landings", "page_speed", "paths", "satisfaction", "traffic"]
