"""Calls that have not been answered yet: threads that ask the same question at the same time share one."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import replace

from pulseframes._process import ForkedLock
from pulseframes.client.answer import Answer


class InFlight:
    """The calls of this process that were sent and are not answered yet."""

    def __init__(self) -> None:
        self._lock = ForkedLock()
        self._calls: dict[Hashable, Future[Answer | None]] = {}

    def share(self, question: Hashable, send: Callable[[], Answer]) -> Answer:
        """Send a call, or wait for the one that asks the same question. If that one fails, send the call all the same."""
        key = (os.getpid(), question)  # a forked child has none of the threads that could answer
        mine: Future[Answer | None] = Future()
        try:
            with self._lock:
                first = self._calls.setdefault(key, mine)
            if first is mine:
                answer = send()
                mine.set_result(answer)
                return answer
        finally:
            with self._lock:
                if self._calls.get(key) is mine:
                    del self._calls[key]
            if not mine.done():
                mine.set_result(None)
        shared = first.result()
        return send() if shared is None else replace(shared, kept=True)
