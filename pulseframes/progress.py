"""How a long call tells how far it is: one frozen record, and anything callable that takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """How far a call is.

    Attributes
    ----------
    what : str
        What is counted: ``"sessions"`` while searching, ``"details"`` while fetching details.
    done, total : int
        How many of them are here, and how many there will be.
    calls : int
        Calls that the client has spent since the run began, authentication included.
    """

    what: str
    done: int
    total: int
    calls: int


class ProgressHook(Protocol):
    """Called after each answer; an exception from it stops the run."""

    def __call__(self, progress: Progress, /) -> object:
        """Take note of how far the call is."""
