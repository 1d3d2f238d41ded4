"""Calls that threads of this process are waiting for: one that asks the same at the same time waits for the answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import replace

from pulseframes._process import ForkedLock
from pulseframes.client.transport import Answer


class InFlight:
    """The calls that were sent and are not answered yet."""

    def __init__(self) -> None:
        self._lock = ForkedLock()
        self._calls: dict[Hashable, Future[Answer | None]] = {}

    def share(self, question: Hashable, send: Callable[[], Answer]) -> Answer:
        """Send a call, or wait for the answer to the same question; if there is none, send the call all the same."""
        key = (os.getpid(), question)  # a forked child has no threads that could answer
        with self._lock:
            call = self._calls.get(key)
            if call is None:
                mine = self._calls[key] = Future[Answer | None]()
        if call is not None:
            answer = call.result()
            return self.share(question, send) if answer is None else replace(answer, kept=True)
        answer = None
        try:
            answer = send()
        finally:
            with self._lock:
                del self._calls[key]
            mine.set_result(answer)
        return answer
