"""Answers, before they are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pulseframes.simulator.faults import Fault

#: A decoded document: it may be anything.
Json = Any


@dataclass(frozen=True)
class Response:
    """An answer.

    Attributes
    ----------
    status
        The HTTP status.
    headers
        Its headers, without those of the connection and the length.
    body
        Its body, not compressed.
    fault
        A fault that is played while it is sent: ``reset``, ``truncate`` or ``delay``. In process there is no
        sending, so it is only told here.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: Fault | None = None

    def json(self) -> Json:
        """Decode the body."""
        return json.loads(self.body)


class Refusal(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}

    @property
    def response(self) -> Response:
        """The answer: the message in a small JSON object."""
        return json_response(self.status, {"message": str(self)}, self.headers)


def json_response(status: int, document: object, headers: Mapping[str, str] | None = None) -> Response:
    """Make an answer of a JSON document."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)
