"""Warnings that point at the line of the user's that called this package."""

from __future__ import annotations

import inspect
import warnings

from pulseframes.errors import PulseWarning


def warn(category: type[PulseWarning], message: str) -> None:
    """Warn, as if from the line outside this package that led here."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).split(".")[0] == "pulseframes":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
