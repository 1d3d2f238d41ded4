"""Progress of a long call: one record, and any callable that receives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """The progress of a call.

    Attributes
    ----------
    what : str
        The things counted: ``"sessions"`` while searching, ``"details"`` while fetching details.
    done, total : int
        How many have been received, and how many are expected.
    calls : int
        Calls spent since the function was called, authentication included.
    """

    what: str
    done: int
    total: int
    calls: int


class ProgressHook(Protocol):
    """Called after each answer. An exception that it raises stops the run."""

    def __call__(self, progress: Progress, /) -> object:
        """Receive the progress."""
