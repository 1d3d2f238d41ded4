"""Which kept answers may be used again: the rules, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pulseframes.query import SearchQuery

#: Any answer may be used again for so long: a notebook's cell that is run twice is one question.
FRESH: Final = timedelta(minutes=15)
#: A session can still change for so long after its window has ended.
SETTLED: Final = timedelta(hours=24)


def is_fresh(asked_at: datetime, now: datetime) -> bool:
    """Tell whether an answer is young enough to be used again, whatever it says."""
    return now - asked_at < FRESH


def is_settled(window: SearchQuery, asked_at: datetime) -> bool:
    """Tell whether a window had ended so long before that its sessions do not change any more."""
    return window.date_to <= asked_at - SETTLED


def page_is_final(window: SearchQuery, asked_at: datetime, total_sessions: int) -> bool:
    """Tell whether a page will say the same for ever: its window was settled, and is not empty.

    An empty window may be one whose sessions were late, or filtered by mistake; it costs one call to look again.
    """
    return total_sessions > 0 and is_settled(window, asked_at)


def detail_is_final(status: str | None) -> bool:
    """Tell whether a session's details will say the same for ever: the session has ended."""
    return status == "ended"
