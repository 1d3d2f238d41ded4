"""Figures and texts as a reader takes them in: 1.2 s, 4.1 %, 12,300; and no text that could pass for anything else."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

#: Longer texts are cut.
LONGEST: Final = 120
#: What stands where nothing is known.
UNKNOWN: Final = "not known"

_EMAIL: Final = re.compile(r"[\w.+-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63})+", re.IGNORECASE)
_ADDRESS: Final = re.compile(
    r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])|(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}", re.IGNORECASE
)
#: Joiners, which scripts and emoji need; other characters without a shape of their own can hide or reorder what is read.
_JOINERS: Final = "\u200c\u200d"
#: The beginning of a text that is cut is all that is looked at.
_LOOKED_AT: Final = 2_000


def shown(text: str | None, longest: int = LONGEST) -> str:
    """Make a text that came with the data fit to be shown.

    Line breaks become blanks; control characters, and those that change the direction of writing, a replacement character; what looks
    like an e-mail or network address is taken out; a long text is cut, with an ellipsis. It still has to be escaped.
    """
    if text is None:
        return UNKNOWN
    clean = "".join(_visible(letter) for letter in " ".join(text[:_LOOKED_AT].split()))
    clean = _ADDRESS.sub("[address]", _EMAIL.sub("[e-mail]", clean))
    if not clean:
        return "(empty)"
    return clean if len(clean) <= longest and len(text) <= _LOOKED_AT else f"{clean[: longest - 1].rstrip()}…"


def seconds(milliseconds: float | None) -> str:
    """Write a time in seconds, or in minutes where it is long."""
    if milliseconds is None or not math.isfinite(milliseconds):
        return UNKNOWN
    value = milliseconds / 1000
    if value >= 120:  # noqa: PLR2004  two minutes
        return f"{value / 60:,.0f} min"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 10 else f"{value:.0f} s"  # noqa: PLR2004  digits


def percent(share: float | None) -> str:
    """Write a share in per cent."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    value = share * 100
    if 0 < value < 0.1:  # noqa: PLR2004  digits
        return "<0.1%"
    return f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.1f}%"  # noqa: PLR2004  digits


def count(number: float | None) -> str:
    """Write a number of things, to the unit."""
    return UNKNOWN if number is None or not math.isfinite(number) else f"{number:,.0f}"


def plural(number: int, what: str) -> str:
    """Write a number of things, and what they are."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def about(number: float | None) -> str:
    """Write an estimated number of things, to three digits."""
    if number is None or not math.isfinite(number):
        return UNKNOWN
    digits = max(0, math.floor(math.log10(number)) - 2) if number >= 1 else 0
    return f"{round(number, -digits):,.0f}"


def span(lower: float, upper: float, write: Callable[[float | None], str]) -> str:
    """Write from where to where something goes, the unit once where it is the same: 4.5 to 6.8 s; or ``6.8 s or more``."""
    first, last = write(lower), write(upper)
    if math.isinf(upper):
        return f"{first} or more"
    number, _, unit = first.partition(" ")
    return f"{number} to {last}" if unit and last.endswith(f" {unit}") else f"{first} to {last}"


def some(values: Iterable[object], most: int = 10) -> str:
    """Write the first of some values, and how many more there are."""
    texts = [str(value) for value in values]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _visible(letter: str) -> str:
    hidden = unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} and letter not in _JOINERS
    return "\N{REPLACEMENT CHARACTER}" if hidden else letter
