"""What a fork leaves of a process: locks to renew, and polars, which hangs in a child of a process that has used it."""

from __future__ import annotations

import os
import re
import threading
import weakref
from pathlib import Path
from typing import Final

from pulseframes.errors import PulseError


class ForkedLock:
    """A lock that a forked child has anew: a thread of its parent may have held it."""

    def __init__(self) -> None:
        self.renew()
        _locks.add(self)

    def renew(self) -> None:
        """Replace the lock by an open one."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_locks: Final[weakref.WeakSet[ForkedLock]] = weakref.WeakSet()

#: Only Linux, where processes fork by default, tells the names of threads.
_THREADS: Final = Path("/proc/self/task")
_POLARS_THREAD: Final = re.compile(r"polars-\d+\n")


class _Fork:
    polars_had_started = False
    polars_hangs = False


def check_process() -> None:
    """Raise ``PulseError`` in a forked child in which polars would wait for ever."""
    if _Fork.polars_hangs:
        raise PulseError(
            "This process was forked from one that had used polars, and polars hangs in such a process. No call was sent. Start "
            'processes by spawn instead, as in multiprocessing.get_context("spawn").Pool(), or before the first query.'
        )


def _before_fork() -> None:
    _Fork.polars_had_started = any(_POLARS_THREAD.fullmatch(_name(thread)) for thread in _THREADS.glob("*/comm"))


def _name(thread: Path) -> str:
    try:
        return thread.read_text()
    except OSError:  # it has just ended
        return ""


def _after_fork_in_child() -> None:
    _Fork.polars_hangs = _Fork.polars_hangs or _Fork.polars_had_started
    for lock in _locks:
        lock.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
