"""Finds the spans of values in a JSON text without decoding them: for raw JSON to show, and for texts no decoder takes.

The scan needs no recursion, so no depth of nesting can break it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

Span = tuple[int, int]

#: A string that is never closed is one token too, to the end: else each of its quotes would be tried as a beginning.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{}\[\],]', re.DOTALL)
_MEMBER: Final = re.compile(r'\s*("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:\s*', re.DOTALL)
_CLOSERS: Final = {"{": "}", "[": "]"}


class NotJson(ValueError):
    """The text is not JSON; the message says where that shows."""


def members(text: str, span: Span) -> Iterator[tuple[str, Span]]:
    """Give the key and the value's span for each member of the object that fills ``span``."""
    for start, end in _parts(text, span, "{"):
        member = _MEMBER.match(text, start, end)
        if member is None:
            raise NotJson(f"no key at character {start}")
        try:
            key = json.loads(member.group(1), strict=False)
        except ValueError:
            raise NotJson(f"no readable key at character {start}") from None
        yield key, _trimmed(text, member.end(), end)


def items(text: str, span: Span) -> list[Span]:
    """Give the span of each item of the array that fills ``span``."""
    return [_trimmed(text, start, end) for start, end in _parts(text, span, "[")]


def whole(text: str) -> Span:
    """Give the span of the text without the white space around it."""
    return _trimmed(text, 0, len(text))


def _parts(text: str, span: Span, opener: str) -> list[Span]:
    """Split what stands between the brackets at the commas that are in no deeper brackets and in no string."""
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
