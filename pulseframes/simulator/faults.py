"""Scripted faults: what goes wrong, on which calls, and how often."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from pulseframes._arguments import check_choice, whole_number
from pulseframes.endpoints import AUTHENTICATE, DETAIL, SEARCH

_KINDS: Final = ("status", "reset", "truncate", "delay", "body", "drift")
_ENDPOINTS: Final = (AUTHENTICATE.name, SEARCH.name, DETAIL.name, "*")
_FRAMINGS: Final = ("length", "chunked", "close")

#: A decoded document: it may be anything.
Json = Any


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    A call with a fault is first handled as if nothing were wrong: it is recorded and counts against the daily limit
    as usual, whatever the fault then does to its answer.

    Parameters
    ----------
    kind : str
        ``status``: answer with `status`, `headers` and `body`.
        ``reset``: break the connection (TCP RST) before the answer, or after `at_bytes` bytes of its body.
        ``truncate``: close the connection after `at_bytes` bytes of the body (half of it if None).
        ``delay``: wait `seconds` before the answer.
        ``body``: answer 200 with `body`.
        ``drift``: answer with a changed document; skips answers that are not 2xx, as they have none.
    on : str
        ``sessions``, ``session``, ``authenticate``, or ``*`` for all.
    times : int or None
        How many calls it hits; None is every one.
    after : int
        How many such calls pass before the first it hits, counted from when it was added.
    status : int
        For ``status``.
    headers : mapping
        For ``status`` and ``body``: more headers, such as ``{"Retry-After": "30"}``.
    body : bytes, str or None
        For ``status`` and ``body``: the answer's body; a string is sent as UTF-8. None is a short message, or nothing.
    at_bytes : int or None
        For ``reset`` and ``truncate``: how many bytes of the body, as sent, get through.
    framing : str
        For ``truncate``: ``length`` promises the whole length, ``chunked`` never sends the last chunk, and ``close``
        sends no length, so that only the JSON shows the cut.
    seconds : float
        For ``delay``.
    edit : callable or None
        For ``drift``: called with the decoded document, which it changes in place.

    Raises
    ------
    ValueError
        If a parameter is not valid.

    Examples
    --------
    >>> from pulseframes.simulator import Fault, Simulator
    >>> simulator = Simulator(sessions=100)
    >>> simulator.faults.add(Fault(kind="status", status=503, on="sessions", times=2))
    >>> simulator.faults.add(Fault(kind="drift", edit=lambda document: document.update(newField=1)))
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
        check_choice("kind", self.kind, _KINDS)
        check_choice("on", self.on, _ENDPOINTS)
        check_choice("framing", self.framing, _FRAMINGS)
        whole_number("after", self.after)
        whole_number("status", self.status, least=200, most=599)
        if self.times is not None:
            whole_number("times", self.times, least=1)
        if self.at_bytes is not None:
            whole_number("at_bytes", self.at_bytes)
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
        """Return the fault of an entry of a script.

        Parameters
        ----------
        entry : dict
            A decoded JSON object with the names of the parameters. In place of `edit` it has ``edits``, a list of
            ``{"set": "sessions.*.newField", "value": 1}`` and ``{"remove": "totalSessions"}``. A path is keys and
            positions joined by dots, with ``*`` for each item of a list; only the last key of a ``set`` may be new.

        Raises
        ------
        ValueError
            If the entry has an unknown name or a wrong value; the message says what is allowed.

        Examples
        --------
        >>> from pulseframes.simulator import Fault
        >>> Fault.from_json({"kind": "status", "status": 503, "on": "sessions"}).status
        503
        """
        if not isinstance(entry, dict):
            raise ValueError(f"a fault is a JSON object, not {entry!r}")
        allowed = [*(item.name for item in fields(cls) if item.name != "edit"), "edits"]
        for name in entry:
            check_choice("a name", name, allowed)
        if "kind" not in entry:
            raise ValueError(f"kind is missing: one of {', '.join(_KINDS)}")
        _check_strings(entry)
        values = dict(entry)
        edits = values.pop("edits", None)
        if edits is None:
            return cls(**values)
        _check_edits(edits)
        return cls(**values, edit=partial(_apply, edits))


def load_faults(text: str) -> list[Fault]:
    """Read a script of faults.

    Parameters
    ----------
    text : str
        A JSON list of objects, as `Fault.from_json` takes them.

    Returns
    -------
    list of Fault
        The faults in the order of the list.

    Raises
    ------
    ValueError
        If the text is not such a list; the message names the entry, counted from 1.

    Examples
    --------
    >>> from pulseframes.simulator import load_faults
    >>> load_faults('[{"kind": "delay", "seconds": 0.5, "times": null}]')[0].seconds
    0.5
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(entries, list):
        raise ValueError('not a JSON list of faults, such as [{"kind": "status", "status": 500}]')
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
    """The faults still to come; safe to change while the server runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []

    def add(self, *faults: Fault) -> None:
        """Add faults; if several are due on the same call, the one added first hits."""
        with self._lock:
            self._pending.extend(_Pending(fault, fault.after, fault.times) for fault in faults)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._pending.clear()

    def __len__(self) -> int:
        """Return the number of faults that have not hit as often as they should."""
        with self._lock:
            return len(self._pending)

    def take(self, endpoint: str, status: int) -> Fault | None:
        """Return the fault that hits a call with this answer, if any, and count the call for every fault."""
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


def _check_strings(entry: Mapping[str, object]) -> None:
    """Check the types that a script can get wrong."""
    body, headers = entry.get("body"), entry.get("headers", {})
    if body is not None and not isinstance(body, str):
        raise ValueError(f"body must be a string, not {body!r}")
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ValueError(f"headers must be an object of strings, not {headers!r}")


def _check_edits(edits: object) -> None:
    if not isinstance(edits, list):
        raise ValueError(f"edits must be a list, not {edits!r}")
    for edit in edits:
        names = set(edit) if isinstance(edit, dict) else set()
        if names not in ({"set", "value"}, {"remove"}) or not isinstance(edit.get("set", edit.get("remove")), str):
            raise ValueError(f'an edit is {{"set": path, "value": value}} or {{"remove": path}}, not {edit!r}')


def _apply(edits: Sequence[Mapping[str, Any]], document: Json) -> None:
    """Change a document in place."""
    for edit in edits:
        if "set" in edit:
            for container, key in _targets(document, edit["set"].split(".")):
                container[key] = edit["value"]
        else:
            # From the end, as removing an item from a list moves those after it.
            for container, key in reversed(list(_targets(document, edit["remove"].split(".")))):
                if isinstance(container, list) or key in container:
                    del container[key]


def _targets(document: Json, path: list[str]) -> Iterator[tuple[Any, Any]]:
    """Yield each place that a path leads to, as its container and the key in it."""
    for key in _keys(document, path[0]):
        if len(path) == 1:
            yield document, key
        elif isinstance(document, list) or key in document:
            yield from _targets(document[key], path[1:])


def _keys(document: Json, step: str) -> list[Any]:
    if isinstance(document, dict):
        return [step]
    if not isinstance(document, list):
        return []
    if step == "*":
        return list(range(len(document)))
    return [int(step)] if step.isdecimal() and int(step) < len(document) else []
