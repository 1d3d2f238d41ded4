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

    Examples
    --------
    >>> steps = []
    >>> sessions = pf.search_sessions("2026-11-09", "2026-11-10", progress=steps.append)
    >>> steps[-1].what, steps[-1].done == len(sessions)
    ('sessions', True)
    """

    what: str
    done: int
    total: int
    calls: int


class ProgressHook(Protocol):
    """Called after each answer. An exception that it raises stops the run.

    Examples
    --------
    >>> def show(progress: pf.Progress) -> None:
    ...     print(f"{progress.done} of {progress.total} {progress.what}")
    >>> details = pf.session_details(pf.Lake("lake").sessions().collect()["session_id"][0], progress=show)
    1 of 1 details
    """

    def __call__(self, progress: Progress, /) -> object:
        """Receive the progress."""
