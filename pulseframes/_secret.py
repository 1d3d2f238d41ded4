"""Secrets: text that no log, ``repr``, traceback or pickle shows, and that is removed from what a server sends back."""

from __future__ import annotations

import base64
import html
import re
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
            "Credentials cannot be pickled, because the pickle would show them. Read them in each process: Credentials.from_env()."
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
        plain = _plain(body)
        for secret, spellings in self._spellings.items():
            for spelling in spellings if len(secret) >= SHORTEST_REDACTED else ():
                if "".join(spelling.split()).casefold() in plain:
                    body = _pattern(spelling).sub(b"***", body)
        return body

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


def _plain(body: bytes) -> str:
    """Return a text without escapes, white space and letter case."""
    text = body.decode("utf-8", "replace").replace("\0", "")  # UTF-16 is full of these
    for _ in range(_LAYERS):
        escaped = text
        text = html.unescape(unquote(_BACKSLASHED.sub(_unescaped, text)))
        if text == escaped:
            break
    return "".join(text.split()).casefold()


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else match[3]


def _pattern(text: str) -> re.Pattern[bytes]:
    """Return a pattern of a text with any of its characters escaped."""
    characters = (
        rf"(?:\\*{re.escape(letter)}|%(?:25)*{ord(letter):02x}|\\+[ux](?:00)?{ord(letter):02x}|&#0*{ord(letter)};"
        rf"|&#x0*{ord(letter):x};{'' if letter.isalnum() else '|&[a-z]+;'})"
        for letter in text
    )
    return re.compile("".join(characters).encode(), re.IGNORECASE)
