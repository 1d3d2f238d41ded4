"""Numbers and strings as a reader expects them: 1.2 s, 4.1%, 12,300; and no string that could pass for anything else."""

from __future__ import annotations

import ipaddress
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

#: Longer strings are truncated.
MAX_LENGTH: Final = 120
#: Stands in for a missing value.
UNKNOWN: Final = "not known"

_EMAIL: Final = re.compile(
    r"[\w.+-]{1,64}\s?(?:@|%(?:25)*40|&(?:amp;)?(?:#0*64|#x0*40|commat);|\((?:at|@)\))\s?[\w-]{1,63}(?:\.[\w-]{1,63})*",
    re.IGNORECASE,
)
_IPV4: Final = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6: Final = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:.]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:.]{3,45}(?![\w:])")
_PHONE: Final = re.compile(r"(?<!\w)\+\d(?:[ ().-]{0,2}\d){7,14}(?!\d)")
#: Joiners, which scripts and emoji need.
_JOINERS: Final = "\u200c\u200d"
#: Hidden characters, as a regular expression for polars; see ``_is_hidden()``.
HIDDEN: Final = rf"[[\p{{C}}\p{{Zl}}\p{{Zp}}]--[{_JOINERS}]]"
#: Only the beginning of a longer string is examined.
_EXAMINED: Final = 2_000


def printable(text: str | None, max_length: int = MAX_LENGTH) -> str:
    """Return a string from the data in a form that is fit to print; HTML still has to be escaped.

    Line breaks become blanks, and control characters and those that change the direction of writing a replacement character. Anything
    that looks like an e-mail or network address or an international phone number is removed; a long string is truncated, with an
    ellipsis.
    """
    if text is None:
        return UNKNOWN
    clean = substituted(" ".join(text[:_EXAMINED].split()))
    clean = _PHONE.sub("[phone]", _EMAIL.sub("[e-mail]", clean))
    clean = _IPV6.sub(_without_address, _IPV4.sub("[address]", clean))
    if not clean:
        return "(empty)"
    return clean if len(clean) <= max_length and len(text) <= _EXAMINED else f"{clean[: max_length - 1].rstrip()}…"


def substituted(text: str) -> str:
    """Return a string with a replacement character for each control or other hidden character."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_hidden(letter) else letter for letter in text)


def escaped(text: str) -> str:
    """Return a string for a terminal, with hidden characters other than line breaks and tabs escaped as in JSON.

    So a JSON document stays the same document.
    """
    return "".join(
        json.dumps(letter)[1:-1] if letter not in "\n\t" and _is_hidden(letter) else letter for letter in text
    )


def spelling(text: str) -> str:
    """Return the one spelling of a name in upper or lower case, with composed or decomposed accents."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def format_seconds(milliseconds: float | None) -> str:
    """Format a duration in seconds, or in minutes if it is long."""
    if milliseconds is None or not math.isfinite(milliseconds):
        return UNKNOWN
    value = milliseconds / 1000
    if value >= 120:  # noqa: PLR2004  two minutes
        return f"{value / 60:,.0f} min"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 10 else f"{value:.0f} s"  # noqa: PLR2004  digits


def format_percent(share: float | None) -> str:
    """Format a share as a percentage."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    value = share * 100
    if 0 < value < 0.1:  # noqa: PLR2004  digits
        return "<0.1%"
    return f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.1f}%"  # noqa: PLR2004  digits


def format_count(number: float | None) -> str:
    """Format a count, to the unit."""
    return UNKNOWN if number is None or not math.isfinite(number) else f"{number:,.0f}"


def format_rounded(number: float | None) -> str:
    """Format an estimated count, to three digits."""
    if number is None or not math.isfinite(number):
        return UNKNOWN
    digits = max(0, math.floor(math.log10(number)) - 2) if number >= 1 else 0
    return f"{round(number, -digits):,.0f}"


def format_range(lower: float, upper: float, write: Callable[[float | None], str]) -> str:
    """Format a range, with a shared unit only once: ``4.5 to 6.8 s``; or ``6.8 s or more``."""
    first, last = write(lower), write(upper)
    if math.isinf(upper):
        return f"{first} or more"
    number, _, unit = first.partition(" ")
    return f"{number} to {last}" if unit and last.endswith(f" {unit}") else f"{first} to {last}"


def plural(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def counted(*changes: tuple[int, str, str]) -> str:
    """Describe what was done to how many things: ``3 sessions removed, 1 call redacted``; ``nothing changed`` if all are 0."""
    done = [f"{plural(number, noun)} {verb}" for number, noun, verb in changes if number]
    return ", ".join(done) or "nothing changed"


def listed(values: Iterable[object], most: int = 10) -> str:
    """Join the first values by commas, without hidden characters, followed by the number of the others."""
    texts = [substituted(str(value)) for value in values]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _without_address(match: re.Match[str]) -> str:
    text = match[0].rstrip(".:") or match[0]
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return match[0]
    return "[address]" + match[0][len(text) :]


def _is_hidden(letter: str) -> bool:
    """Return whether a character can hide or reorder what is read, control a terminal, or not be in XML."""
    return not letter.isprintable() and unicodedata.category(letter) != "Zs" and letter not in _JOINERS
