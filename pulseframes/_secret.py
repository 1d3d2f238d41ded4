"""Secrets: text that no log, ``repr``, traceback or pickle shows, and that is removed from what a server sends back."""

from __future__ import annotations

import base64
import html
import re
from functools import lru_cache
from typing import Final, NoReturn, Self
from urllib.parse import unquote

#: Shorter secrets may be part of ordinary words in data, which must not change.
SHORTEST_REDACTED: Final = 12
#: Shorter ones are part of any text.
_SHORTEST_NOTICED: Final = 4
#: So many characters of a secret give it away.
_TELLING: Final = 8
#: How often a text may be escaped.
_LAYERS: Final = 3
#: Stands in for an explanation of the server that repeats a secret.
WITHHELD: Final = b"(its text is not kept, because it holds credentials)"

#: Data is examined in pieces of this size, so that examining it takes little memory.
PIECE: Final = 1 << 20
#: Each character of a secret takes at most so many when it is escaped.
_LONGEST_ESCAPE: Final = 16
#: How ``_pattern()`` takes one character to be escaped, in lower case; only ASCII is in secrets.
_ESCAPE: Final = re.compile(
    rb"(\\\\{0,7}[ux](?:00)?[2-7][0-9a-f]|%(?:25){0,6}[2-7][0-9a-f]|&(?:#x0{0,6}[2-7][0-9a-f]|#0{0,6}[0-9]{2,3}|[a-z]{2,8});)"
)

_BACKSLASHED: Final = re.compile(r"""\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|(["'\\/]))""", re.IGNORECASE)


class Secret:
    """A text whose ``repr`` and ``str`` are stars.

    Parameters
    ----------
    value : str
        The text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself, to send it."""
        return self._value

    @property
    def fits_a_header(self) -> bool:
        """Whether an HTTP header can carry it: non-empty, printable ASCII."""
        value: object = self._value  # what is read from a file or an answer may be anything
        return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "Credentials cannot be pickled, because the pickle would show them. Read them in each process: Credentials.find()."
        )

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Redactor:
    """Removes secrets from what a server sends: the credentials, and each session key from the moment it is known.

    It also finds them in other letter case, escaped (percent, JSON, HTML), as hex or Base64, and reversed.

    Parameters
    ----------
    *secrets : Secret
        What is known from the start.
    """

    def __init__(self, *secrets: Secret) -> None:
        self._spellings: dict[str, list[str]] = {}
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret) -> None:
        """Redact this secret too."""
        text = secret.reveal()
        if text not in self._spellings:
            # A new one: another thread may be reading the old one.
            self._spellings = self._spellings | {text: _spellings(text)}

    def data(self, body: bytes) -> bytes:
        """Return data with stars in place of the secrets. Short ones stay: they are found in innocent data, which must not change."""
        wanted = [
            spelling
            for secret, spellings in self._spellings.items()
            for spelling in spellings
            if len(secret) >= SHORTEST_REDACTED
        ]
        overlap = _LONGEST_ESCAPE * max(map(len, wanted), default=0)
        places = {
            match.span()
            for start in range(0, len(body), PIECE)
            for spelling in _found(wanted, body[start : start + PIECE + overlap])
            for match in _pattern(spelling).finditer(body, start, start + PIECE + overlap)
        }
        return _with_stars(body, sorted(places)) if places else body

    def explanation(self, body: bytes) -> bytes:
        """Return what a server says about an error, or a replacement if any part of a secret may be in it."""
        plain = _plain(body)
        return WITHHELD if any(part in plain for part in self._parts()) else body

    def _parts(self) -> set[str]:
        spellings = {"".join(text.split()).casefold() for known in self._spellings.values() for text in known}
        return {
            text[start : start + _TELLING]
            for text in spellings
            for start in range(max(1, len(text) - _TELLING + 1))
            if len(text) >= _SHORTEST_NOTICED
        }


def _spellings(secret: str) -> list[str]:
    """Return a secret, and what it looks like reversed, as hex, and as Base64 at each place in a longer text."""
    encoded = secret.encode()
    in_base64 = [
        base64.b64encode(b"\0" * shift + encoded).decode()[4 * bool(shift) :].rstrip("=") for shift in range(3)
    ]
    # Its last character depends on what follows.
    return [secret, secret[::-1], encoded.hex(), *(text[:-1] for text in in_base64)]


def _found(spellings: list[str], piece: bytes) -> list[str]:
    """Return quickly which spellings may be in a piece of data, escaped or not."""
    plain = piece.lower()
    found = [spelling for spelling in spellings if spelling.lower().encode() in plain]
    if any(mark in piece for mark in (b"\\", b"%", b"&")):
        plain = _unescaped(plain)
        found += [spelling for spelling in spellings if _unescaped(spelling.lower().encode()) in plain]
    return found


def _with_stars(body: bytes, places: list[tuple[int, int]]) -> bytes:
    """Return data with stars in place of some sections, which may overlap."""
    parts, end = list[bytes](), 0
    for first, last in places:
        if first >= end:
            parts += [body[end:first], b"***"]
        end = max(end, last)
    return b"".join([*parts, body[end:]])


def _unescaped(data: bytes) -> bytes:
    """Return data in lower case without escapes and backslashes."""
    for _ in range(_LAYERS):
        parts = _ESCAPE.split(data)
        parts[1::2] = map(_character, parts[1::2])
        data = b"".join(parts)
        if len(parts) == 1:
            break
    return data.replace(b"\\", b"")


@lru_cache(maxsize=1_000)
def _character(escape: bytes) -> bytes:
    """Return what an escape stands for, in lower case."""
    entity = escape if escape.startswith(b"&") else b"&#x%s;" % escape[-2:]
    return html.unescape(entity.decode()).lower().encode()


def _plain(body: bytes) -> str:
    """Return a text without escapes, white space and letter case."""
    text = body.decode("utf-8", "replace").replace("\0", "")  # UTF-16 is full of these
    for _ in range(_LAYERS):
        escaped = text
        text = html.unescape(unquote(_BACKSLASHED.sub(_without_backslash, text)))
        if text == escaped:
            break
    return "".join(text.split()).casefold()


def _without_backslash(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else match[3]


def _pattern(text: str) -> re.Pattern[bytes]:
    """Return a pattern of a text with any of its characters escaped."""
    characters = (
        rf"(?:\\{{0,8}}{re.escape(letter)}|%(?:25){{0,6}}{ord(letter):02x}|\\{{1,8}}[ux](?:00)?{ord(letter):02x}"
        rf"|&#0{{0,6}}{ord(letter)};|&#x0{{0,6}}{ord(letter):x};{'' if letter.isalnum() else '|&[a-z]{2,8};'})"
        for letter in text
    )
    return re.compile("".join(characters).encode(), re.IGNORECASE)
