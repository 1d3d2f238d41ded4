"""The outline of one answer: ids, starts and statuses of its sessions, and its total, without flattening it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import polars as pl

from pulseframes.endpoints import Endpoint
from pulseframes.errors import MalformedAnswer
from pulseframes.flatten.assemble import flatten_answers
from pulseframes.flatten.fallback import JsonObject, decode, read_value
from pulseframes.flatten.raw_json import INT64
from pulseframes.flatten.times import instants
from pulseframes.tables import SESSIONS, Column

_ID, _START, _STATUS = (SESSIONS[name] for name in ("session_id", "session_start", "status"))
_WRITTEN: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
_COLUMNS = (_ID, _START, _STATUS, SESSIONS["country"], SESSIONS["user_identifier"])


@dataclass(frozen=True)
class Outline:
    """What a list reader or a cache must know of an answer.

    Attributes
    ----------
    ids : list of int or None
        The id of each session, in order; None if it cannot be read.
    start_texts, statuses : list of str or None
        When each session started, as in the JSON, and its status; None if it cannot be read.
    total : int
        The length of the whole list; 0 for an endpoint without lists.
    countries, users : list of str or None
        Country and user identifier of each session; None if it cannot be read. Only ``read_outline()`` reads them.
    has_next : bool
        Whether the answer links to another page.
    """

    ids: list[int | None]
    start_texts: list[str | None]
    statuses: list[str | None]
    total: int = 0
    countries: list[str | None] = field(default_factory=list, compare=False)
    users: list[str | None] = field(default_factory=list, compare=False)
    has_next: bool = False

    def starts(self) -> dict[int, datetime | None]:
        """Return when each session with an id started."""
        times = instants(pl.Series(self.start_texts, dtype=pl.String))
        return {session_id: start for session_id, start in zip(self.ids, times, strict=True) if session_id is not None}


def read_outline(body: bytes, endpoint: Endpoint) -> Outline:
    """Read the outline of an answer.

    Raises
    ------
    MalformedAnswer
        If the body is not the documented JSON, as ``parse_answers()`` does.
    """
    answer = _answer(body, endpoint)
    if answer is not None:
        sessions = answer[endpoint.sessions_key] or [] if endpoint.is_list else [answer[endpoint.sessions_key]]
        ids, starts, statuses, countries, users = ([_value(row, column) for row in sessions] for column in _COLUMNS)
        total = answer.get(endpoint.total_key, 0)
        return Outline(ids, starts, statuses, total, countries, users, has_next=_has_next(answer, endpoint))
    # Python cannot decode it, so flattening tells: it reads sessions with a number of thousands of digits in an unknown field.
    flat = flatten_answers([body], endpoint)
    sessions, rejected = flat.frames[SESSIONS.name], flat.rejected.filter(table=SESSIONS.name)
    nothing: list[str | None] = [None] * len(rejected)
    return Outline(
        ids=[*sessions["session_id"], *rejected["session_id"]],
        start_texts=[*sessions["session_start"].dt.strftime(_WRITTEN), *nothing],
        statuses=[*sessions["status"], *nothing],
        countries=[*sessions["country"], *nothing],
        users=[*sessions["user_identifier"], *nothing],
        total=flat.totals[0] if flat.totals else 0,
    )


def read_outlines(bodies: Sequence[bytes], endpoint: Endpoint) -> list[Outline | None]:
    """Read the outlines of answers that hold one session each; None for a body that is not the documented JSON."""
    import pyarrow.compute as pc  # takes as long to import as polars

    from pulseframes.flatten.arrow import read_together
    from pulseframes.flatten.shapes import OUTLINES

    table = read_together(bodies, OUTLINES[endpoint.name])
    sessions = None if table is None else table[endpoint.sessions_key].combine_chunks()
    if sessions is None or sessions.null_count:
        return [_outline_or_none(body, endpoint) for body in bodies]
    columns = (pl.Series(pc.struct_field(sessions, column.path)).to_list() for column in (_ID, _START, _STATUS))
    rows = zip(*columns, strict=True)
    return [Outline([session_id], [start], [status]) for session_id, start, status in rows]


def _outline_or_none(body: bytes, endpoint: Endpoint) -> Outline | None:
    try:
        return read_outline(body, endpoint)
    except MalformedAnswer:
        return None


def _answer(body: bytes, endpoint: Endpoint) -> JsonObject | None:
    """Return a decoded answer; None if only the careful reader can say what its sessions are."""
    try:
        answer = decode(body.decode())
    except (ValueError, RecursionError):
        return None
    keys = {endpoint.sessions_key, endpoint.total_key}
    if not isinstance(answer, JsonObject) or answer.duplicates & keys or endpoint.sessions_key not in answer:
        return None
    sessions = answer[endpoint.sessions_key]
    if not endpoint.is_list:
        return answer if isinstance(sessions, JsonObject) else None
    total = answer.get(endpoint.total_key)
    is_total = type(total) is int and total in INT64 and total >= 0
    return answer if is_total and isinstance(sessions, list | None) else None


def _has_next(answer: JsonObject, endpoint: Endpoint) -> bool:
    links = answer.get(endpoint.links_key)
    return isinstance(links, JsonObject) and bool(links.get("next"))


def _value(session: Any, column: Column) -> Any:
    try:
        return read_value(session, column) if isinstance(session, JsonObject) else None
    except ValueError:
        return None
