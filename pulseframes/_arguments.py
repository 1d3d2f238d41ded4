"""Checks of arguments that many rooms share, so that each has one wording: what it must be, and what was given."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Sequence
from typing import Final

from pulseframes.errors import InvalidQuery

#: A message shows only the beginning of a longer value.
_LONGEST_SHOWN: Final = 200


def whole_number(argument: str, value: object, *, least: int = 0, most: int | None = None, or_else: str = "") -> int:
    """Return a whole number, of any library's type, as an int.

    Parameters
    ----------
    argument : str
        The argument's name, for the message.
    value : object
        Its value. True is not 1 here.
    least, most : int
        The limits; no upper one if ``most`` is None.
    or_else : str
        Another value that the caller allows, for the message: ``"'all'"``.

    Raises
    ------
    InvalidQuery
        If the value is not a whole number within the limits.
    """
    try:
        number = integer(value)
    except TypeError:
        number = least - 1
    if number < least or (most is not None and number > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        alternative = f", or {or_else}" if or_else else ""
        raise InvalidQuery(
            f"{argument} must be a whole number {limits}{alternative}, not {shown(value)}.", argument=argument
        )
    return number


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Raise ``InvalidQuery`` if a value is not one of some strings; suggest the nearest."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidQuery(
            f"{argument} must be one of {', '.join(choices)}, not {shown(value)}.{did_you_mean(value, choices)}",
            argument=argument,
        )


def check_flag(argument: str, value: object) -> None:
    """Raise ``InvalidQuery`` if a value is neither True nor False."""
    if not isinstance(value, bool):
        raise InvalidQuery(f"{argument} must be True or False, not {shown(value)}.", argument=argument)


def check_type(argument: str, value: object, allowed: type | tuple[type, ...], example: str) -> None:
    """Raise ``InvalidQuery``, without the value, which may be a secret, if it has none of some types; ``example`` has one."""
    if not isinstance(value, allowed):
        raise InvalidQuery(f"{argument} must be {example}, not {type(value).__name__}.", argument=argument)


def check_callable(argument: str, value: object) -> None:
    """Raise ``InvalidQuery`` if a value cannot be called."""
    if not callable(value):
        raise InvalidQuery(f"{argument} must be a function, such as print, not {shown(value)}.", argument=argument)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a sentence that suggests the known name nearest to one, with a space before it; empty if none is near."""
    match = nearest(name, known)
    return f" Did you mean {match!r}?" if match else ""


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Return the known name nearest to one; None if none is near."""
    texts = map(str, known)  # a member of an enum would be shown as one
    return next(iter(difflib.get_close_matches(name, texts, n=1)), None) if isinstance(name, str) else None


def integer(value: object) -> int:
    """Return an integer of any library as an int; raise ``TypeError`` for anything else, and for True and False."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)  # type: ignore[arg-type]  # it raises TypeError for what is not an integer


def shown(value: object) -> str:
    """Return a value as a message shows it; a number can have more digits than Python writes."""
    try:
        return shortened(repr(value))
    except ValueError:
        return "a number of thousands of digits"


def shortened(text: str) -> str:
    """Return a text, or the beginning of a long one, for a message."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
