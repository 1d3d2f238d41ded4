"""A server that does with the details of each session what a script says, attempt after attempt, and counts what it gave."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from support.documents import detail_body
from support.raw_server import RawServer, ok, raw_server

#: What may happen to an attempt, and what is sent for it; None ends the connection.
STEPS: Final[Mapping[str, bytes | None]] = {
    "500": ok(b"", status="500 Sorry"),
    "503, wait 0": ok(b"", "Retry-After: 0", status="503 Later"),
    "429, wait 1": ok(b"", "Retry-After: 1", status="429 Enough"),
    "429": ok(b"", status="429 Enough"),
    "401": ok(b"", status="401 Who"),
    "403": ok(b"", status="403 Not you"),
    "404": ok(b"", status="404 Gone"),
    "garbled": ok(b"<html>"),
    "lost": None,
}


class Details:
    """The scripts, and what became of them. After its script, a session's details are given, ``slow`` seconds late."""

    def __init__(self, scripts: Mapping[int, Sequence[str]], *, limit: int = 10_000, slow: float = 0.0) -> None:
        self._left = {session_id: list(steps) for session_id, steps in scripts.items()}
        self._limit = limit
        self._slow = slow
        self._lock = threading.Lock()
        self.requested: list[int] = []
        self.given: Counter[int] = Counter()
        self.under_way = self.most = 0

    def __call__(self, connection: socket.socket, head: bytes) -> None:
        session_id = int(head.split(b" ")[1].split(b"id=")[1])
        with self._lock:
            self.requested.append(session_id)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            script = self._left.get(session_id, [])
            step = script.pop(0) if script else "ok"
            step = "429" if len(self.requested) > self._limit else step
        time.sleep(self._slow)
        with self._lock:
            self.given[session_id] += step == "ok"
            self.under_way -= 1
        answer = detail(session_id) if step == "ok" else STEPS[step]
        if answer is None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(answer)


def detail(session_id: int) -> bytes:
    return ok(detail_body(id=session_id, sessionStart=f"2017-01-25T01:18:{session_id % 60:02}Z"))


@contextmanager
def details_server(details: Details) -> Iterator[RawServer]:
    """Run the server; authentications get a key."""
    with raw_server(details) as server:
        yield server
