"""Cuts sessions out of an answer's text, so that the others stay as they stood: no number, escape or doubled key changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from pulseframes.endpoints import Endpoint
from pulseframes.flatten import fallback, raw_json
from pulseframes.flatten.shapes import SHAPES

_INT64: Final = range(-(2**63), 2**63)


def cut_sessions(text: str, endpoint: Endpoint, goes: Callable[[str], bool]) -> tuple[str, list[int | None]]:
    """Cut sessions out of an answer's text.

    Parameters
    ----------
    text : str
        The answer.
    endpoint : Endpoint
        The endpoint that answered.
    goes : callable
        Tells of a session's JSON whether it goes.

    Returns
    -------
    text : str
        The answer without them, each other session as it stood; empty for details that go.
    gone : list of int or None
        The ids of those that went; None for an id that cannot be read.

    Raises
    ------
    NotJson
        If it is not the documented JSON.
    """
    whole, spans = session_spans(text, endpoint)
    stays = [(span, not goes(text[slice(*span)])) for span in spans]
    gone = [_row_id(text[slice(*span)]) for span, keep in stays if not keep]
    if not gone or not endpoint.is_list:
        return ("" if gone else text), gone
    left = ",".join(text[slice(*span)] for span, keep in stays if keep)
    return f"{text[: whole[0]]}[{left}]{text[whole[1] :]}", gone


def session_spans(text: str, endpoint: Endpoint) -> tuple[raw_json.Span, list[raw_json.Span]]:
    """Give the span of what holds an answer's sessions, and of each.

    Raises
    ------
    NotJson
        If it is not the documented JSON.
    """
    members = list(raw_json.members(text, raw_json.whole(text)))
    envelope = dict(members)
    if len(envelope) != len(members) or endpoint.sessions_key not in envelope:
        raise raw_json.NotJson(f"it has no {endpoint.sessions_key!r}, or a key twice")
    return envelope[endpoint.sessions_key], fallback.session_spans(text, SHAPES[endpoint.name])


def _row_id(session: str) -> int | None:
    """Give a session's id, if flattening it gives one."""
    ids = values_at(decoded(session), "id")
    return ids[0] if len(ids) == 1 and type(ids[0]) is int and ids[0] in _INT64 else None


def decoded(text: str) -> Any:
    """Decode JSON, objects as tuples of pairs, so that no key hides another; None where it cannot be done."""
    try:
        return json.loads(text, object_pairs_hook=tuple, parse_int=_whole, parse_float=str, strict=False)
    except (ValueError, RecursionError):
        return None


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= 20 else digits  # noqa: PLR2004  Python refuses to read thousands of digits


def values_at(value: Any, *keys: str) -> list[Any]:
    """Give every value that stands under some keys."""
    found = [value]
    for key in keys:
        found = [child for item in found if isinstance(item, tuple) for name, child in item if name == key]
    return found
