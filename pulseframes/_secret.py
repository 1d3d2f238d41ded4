"""Secrets: text that no log, ``repr`` or traceback shows."""

from __future__ import annotations


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

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)
