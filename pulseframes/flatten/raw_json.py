"""Locates values in the text of an answer without decoding it: to quote raw JSON, and to cut sessions out unchanged.

The scan does not recurse, so no depth of nesting can break it. Text that is not cut keeps its numbers, escapes and duplicate keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec

from pulseframes.endpoints import Endpoint

#: Where a value begins and ends in a text.
Span: TypeAlias = tuple[int, int]

INT64: Final = range(-(2**63), 2**63)

#: An unclosed string is one token to the end; otherwise each of its quotes would be tried as a beginning.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{}\[\],]', re.DOTALL)
_MEMBER: Final = re.compile(r'\s*("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:\s*', re.DOTALL)
_WHITE: Final = b" \t\r\n"
_CLOSERS: Final = {"{": "}", "[": "]"}
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
#: Python refuses to convert thousands of digits; no Int64 has as many as this.
_MOST_DIGITS: Final = 20


class NotJson(ValueError):
    """The text is not the documented JSON; the message says where that shows."""


def text_of(body: bytes) -> str:
    """Decode a body. Bytes that are not UTF-8 become lone surrogates, which no row may contain."""
    return body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def whole(text: str) -> Span:
    """Return the span of a text without the white space around it."""
    return _trimmed(text, 0, len(text))


def members(text: str, span: Span) -> Iterator[tuple[str, Span]]:
    """Yield the key and the value's span for each member of the object that fills ``span``."""
    for start, end in _split(text, span, "{"):
        member = _MEMBER.match(text, start, end)
        if member is None:
            raise NotJson(f"no key at character {start}")
        try:
            key = json.loads(member.group(1), strict=False)
        except ValueError:
            raise NotJson(f"no readable key at character {start}") from None
        yield key, _trimmed(text, member.end(), end)


def items(text: str, span: Span) -> list[Span]:
    """Return the span of each item of the array that fills ``span``."""
    return [_trimmed(text, start, end) for start, end in _split(text, span, "[")]


def envelope(text: str, endpoint: Endpoint) -> dict[str, Span]:
    """Return the span of each member of an answer; raise ``NotJson`` if a key is repeated or the sessions are missing."""
    spans: dict[str, Span] = {}
    for key, span in members(text, whole(text)):
        if key in spans and key in (endpoint.sessions_key, endpoint.total_key):
            raise NotJson(f"it has {key!r} twice")
        spans[key] = span
    if endpoint.sessions_key not in spans:
        raise NotJson(f"it has no {endpoint.sessions_key!r}")
    return spans


def session_spans(text: str, envelope: Mapping[str, Span], endpoint: Endpoint) -> list[Span]:
    """Return the span of each session, given the spans of the answer's members."""
    span = envelope[endpoint.sessions_key]
    if endpoint.is_list:
        return [] if text[slice(*span)] == "null" else items(text, span)
    if text[span[0]] != "{":
        raise NotJson(f"its {endpoint.sessions_key!r} is not an object")
    return [span]


def session_texts(text: str, endpoint: Endpoint) -> list[str]:
    """Return the JSON of each session in an answer; raise ``NotJson`` if it is not the documented JSON."""
    return [text[slice(*span)] for span in session_spans(text, envelope(text, endpoint), endpoint)]


def session_bodies(body: bytes, endpoint: Endpoint) -> tuple[int, list[bytes]] | None:
    """Return the total and the JSON of each session of a list, in a fraction of the time of a scan; None if only that can tell."""
    try:
        sessions = [bytes(session) for session in _decoder(endpoint).decode(body).sessions or []]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not sessions:
        return None
    start, end = body.find(sessions[0]), body.rfind(sessions[-1]) + len(sessions[-1])
    if body[start:end].translate(None, _WHITE) != b",".join(sessions).translate(None, _WHITE):
        return None
    rest = decode_pairs((body[:start] + body[end:]).decode("ascii", "replace"))
    totals = values_at(rest, endpoint.total_key)
    if values_at(rest, endpoint.sessions_key) != [[]] or [type(total) for total in totals] != [int]:
        return None
    return (totals[0], sessions) if totals[0] in INT64 and totals[0] >= 0 else None


def member(text: str, key: str) -> str:
    """Return the JSON of an object's member, which it has once; by a scan only if its key may be written in another way."""
    quoted = f'"{key}"'
    if text.count(quoted) == 1 and "\\u" not in text:
        with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
            return bytes(_member_decoder(key).decode(text).value).decode()
    return text[slice(*dict(members(text, whole(text)))[key])]


def item_texts(text: str) -> list[str]:
    """Return the JSON of each item of an array."""
    try:
        return [bytes(item).decode() for item in _ITEMS.decode(text)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return [text[slice(*span)] for span in items(text, whole(text))]


@cache
def _member_decoder(key: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Object", [("value", msgspec.Raw)], rename={"value": key}))


@cache
def _decoder(endpoint: Endpoint) -> msgspec.json.Decoder[Any]:
    field = ("sessions", list[msgspec.Raw] | None)
    return msgspec.json.Decoder(msgspec.defstruct("Page", [field], rename={"sessions": endpoint.sessions_key}))


def cut_sessions(text: str, endpoint: Endpoint, is_cut: Callable[[str], bool]) -> tuple[str, list[int | None]]:
    """Cut sessions out of an answer.

    Parameters
    ----------
    text : str
        The answer.
    endpoint : Endpoint
        The endpoint that answered.
    is_cut : callable
        Returns whether to cut a session, given its JSON.

    Returns
    -------
    text : str
        The answer without these sessions, otherwise unchanged; empty for a detail answer that is cut.
    ids : list of int or None
        The ids of the sessions that were cut; None for an unreadable id.

    Raises
    ------
    NotJson
        If the answer is not the documented JSON.
    """
    spans = envelope(text, endpoint)
    sessions = [text[slice(*span)] for span in session_spans(text, spans, endpoint)]
    cut = [is_cut(session) for session in sessions]
    ids = [_session_id(session) for session, gone in zip(sessions, cut, strict=True) if gone]
    if not ids or not endpoint.is_list:
        return ("" if ids else text), ids
    rest = ",".join(session for session, gone in zip(sessions, cut, strict=True) if not gone)
    start, end = spans[endpoint.sessions_key]
    return f"{text[:start]}[{rest}]{text[end:]}", ids


def decode_pairs(text: str) -> Any:
    """Decode JSON with objects as tuples of pairs, so that no key hides another; return None if it cannot be decoded."""
    try:
        return json.loads(text, object_pairs_hook=tuple, parse_int=_short_int, parse_float=str, strict=False)
    except (ValueError, RecursionError):
        return None


def values_at(pairs: Any, *keys: str) -> list[Any]:
    """Return every value at a path of keys in what ``decode_pairs()`` returned."""
    values = [pairs]
    for key in keys:
        values = [child for value in values if isinstance(value, tuple) for name, child in value if name == key]
    return values


def _split(text: str, span: Span, opener: str) -> list[Span]:
    """Split the contents of an object or array at its own commas, not at those in deeper brackets or in strings."""
    start, end = span
    if text[start : start + 1] != opener:
        raise NotJson(f"expected {opener} at character {start}")
    parts, begin = [], start + 1
    open_brackets: list[str] = []
    for token in _TOKEN.finditer(text, start, end):
        mark = text[token.start()]
        if mark in "{[":
            open_brackets.append(_CLOSERS[mark])
        elif mark in "}]":
            if open_brackets.pop() != mark:
                raise NotJson(f"an unexpected {mark} at character {token.start()}")
            if not open_brackets:
                break
        elif mark == "," and len(open_brackets) == 1:
            parts.append((begin, token.start()))
            begin = token.end()
    else:
        raise NotJson("it breaks off before its end")
    if token.end() != end:
        raise NotJson(f"something follows its end at character {token.end()}")
    if parts or text[begin : token.start()].strip():
        parts.append((begin, token.start()))
    return parts


def _trimmed(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def _session_id(session: str) -> int | None:
    """Return a session's id if flattening would give one."""
    ids = values_at(decode_pairs(session), "id")
    return ids[0] if len(ids) == 1 and type(ids[0]) is int and ids[0] in INT64 else None


def _short_int(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits
