"""Scripted faults: what goes wrong, on which calls, and how often."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import Any, Final

from pulseframes._arguments import check_choice, whole_number
from pulseframes.simulator.edits import edit_document

KINDS: Final = ("status", "reset", "truncate", "delay", "body", "drift")
ENDPOINTS: Final = ("authenticate", "sessions", "session", "*")
FRAMINGS: Final = ("length", "chunked", "close")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    A call with a fault is handled first, as if nothing were wrong: it is recorded and counts against the daily limit
    just as it would have, whatever the fault then does to its answer.

    Parameters
    ----------
    kind : str
        ``status``: answer with `status`, `headers` and `body`.
        ``reset``: break the connection (TCP RST) before the answer, or after `at_bytes` bytes of its body.
        ``truncate``: close the connection after `at_bytes` bytes of the body (half of it, if None).
        ``delay``: wait `seconds` before the answer.
        ``body``: answer 200 with `body`.
        ``drift``: answer with a changed document; an answer that is not 2xx has none, and waits for the next.
    on : str
        ``sessions``, ``session``, ``authenticate``, or ``*`` for all.
    times : int or None
        How many calls it hits; None is every one.
    after : int
        How many such calls go by before the first it hits, counted from when it was added.
    status : int
        For ``status``.
    headers : mapping
        For ``status`` and ``body``: more headers, such as ``{"Retry-After": "30"}``.
    body : bytes, str or None
        For ``status`` and ``body``: the answer's body; text is sent as UTF-8. None is a short message, or nothing.
    at_bytes : int or None
        For ``reset`` and ``truncate``: bytes of the body, as sent, that get through.
    framing : str
        For ``truncate``: ``length`` promises the whole length, ``chunked`` never sends the last chunk, ``close``
        says nothing of the length, so that only the cut JSON tells.
    seconds : float
        For ``delay``.
    edit : callable or None
        For ``drift``: called with the decoded document, which it changes in place.

    Raises
    ------
    ValueError
        If a parameter has no such value.
    """

    kind: str
    on: str = "*"
    times: int | None = 1
    after: int = 0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | None = None
    at_bytes: int | None = None
    framing: str = "length"
    seconds: float = 0.0
    edit: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        check_choice("on", self.on, ENDPOINTS)
        check_choice("framing", self.framing, FRAMINGS)
        _check_number("times", self.times, 1, None)
        _check_number("after", self.after, 0, None)
        _check_number("status", self.status, 200, 599)
        _check_number("at_bytes", self.at_bytes, 0, None)
        if not isinstance(self.seconds, int | float) or not 0 <= self.seconds < float("inf"):
            raise ValueError(f"seconds must be a number from 0, not {self.seconds!r}")
        if self.kind == "drift" and self.edit is None:
            raise ValueError("a drift needs an edit")

    @property
    def content(self) -> bytes | None:
        """The body as bytes."""
        return self.body.encode() if isinstance(self.body, str) else self.body

    @classmethod
    def from_json(cls, entry: object) -> Fault:
        """Make a fault from an entry of a script.

        Parameters
        ----------
        entry : dict
            A decoded JSON object with the names of the parameters; in place of `edit` it has ``edits``, a list of
            ``{"set": "sessions.*.newField", "value": 1}`` and ``{"remove": "totalSessions"}``. A path is keys and
            positions joined by dots, ``*`` for each item of a list.

        Raises
        ------
        ValueError
            If the entry has an unknown name or a wrong value; the message says what is allowed.
        """
        if not isinstance(entry, dict):
            raise ValueError(f"a fault is a JSON object, not {entry!r}")
        allowed = [*(item.name for item in fields(cls) if item.name != "edit"), "edits"]
        for name in entry:
            check_choice("a name", name, allowed)
        if "kind" not in entry:
            raise ValueError(f"kind is missing: one of {', '.join(KINDS)}")
        values = dict(entry)
        _check_texts(values)
        edits = values.pop("edits", None)
        return cls(**values, edit=None if edits is None else edit_document(edits))


def load_faults(text: str) -> list[Fault]:
    """Read a script of faults.

    Parameters
    ----------
    text : str
        A JSON list of objects, each as `Fault.from_json` takes it.

    Returns
    -------
    list of Fault
        In their order.

    Raises
    ------
    ValueError
        If the text is not such a list; the message tells the entry, counted from 1.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the script is not JSON: {error}") from None
    if not isinstance(entries, list):
        raise ValueError("the script must be a JSON list of faults")
    faults = []
    for number, entry in enumerate(entries, start=1):
        try:
            faults.append(Fault.from_json(entry))
        except ValueError as error:
            raise ValueError(f"fault {number}: {error}") from None
    return faults


@dataclass
class _Pending:
    fault: Fault
    to_pass: int
    to_hit: int | None


class Faults:
    """The faults that are still to come; safe to change while the server runs."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Add faults; of several that are due on the same call, the one added first hits."""
        with self._lock:
            self._pending.extend(_Pending(fault, fault.after, fault.times) for fault in faults)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._pending.clear()

    def __len__(self) -> int:
        """Count the faults that have not hit as often as they should."""
        with self._lock:
            return len(self._pending)

    def take(self, endpoint: str, status: int) -> Fault | None:
        """Return the fault that hits a call, whose answer would have a status, and count the call for all."""
        hit: _Pending | None = None
        with self._lock:
            for pending in self._pending:
                fault = pending.fault
                if fault.on not in (endpoint, "*") or (fault.kind == "drift" and status >= HTTPStatus.MULTIPLE_CHOICES):
                    continue
                if pending.to_pass:
                    pending.to_pass -= 1
                elif hit is None:
                    hit = pending
            if hit is None:
                return None
            if hit.to_hit is not None:
                hit.to_hit -= 1
                if hit.to_hit == 0:
                    self._pending.remove(hit)
            return hit.fault


def _check_number(name: str, value: object, least: int, most: int | None) -> None:
    """Check a whole number; None stands for the default where that is None."""
    if value is None and name in ("times", "at_bytes"):
        return
    whole_number(name, value, least=least, most=most)


def _check_texts(entry: Mapping[str, object]) -> None:
    """Check what a script could have put in the place of texts."""
    body, headers = entry.get("body"), entry.get("headers", {})
    if body is not None and not isinstance(body, str):
        raise ValueError(f"body must be text, not {body!r}")
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ValueError(f"headers must be an object of texts, not {headers!r}")
