"""How a result shows itself: as lines for ``print()`` and as a table in a notebook, both from the same rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TypeAlias

from pulseframes._text import substituted

#: A label and its value; a sentence has no label.
Row: TypeAlias = tuple[str, object]

_LEFT = 'style="text-align: left"'


class Card(ABC):
    """A result with rows to show. The table has no colours of its own, so it suits light and dark notebooks."""

    @abstractmethod
    def _rows(self) -> Iterable[Row]:
        """Return the rows."""

    def __str__(self) -> str:
        return "\n".join(f"{label}: {value}" if label else str(value) for label, value in self._rows())

    def _repr_html_(self) -> str:
        return as_html(type(self).__name__, self._rows())


def as_html(title: str, rows: Iterable[Row]) -> str:
    """Return rows as an HTML table with a title; every text is escaped."""
    body = "".join(
        f"<tr><th {_LEFT}>{_text(label)}</th><td {_LEFT}>{_text(value)}</td></tr>"
        if label
        else f'<tr><td {_LEFT} colspan="2">{_text(value)}</td></tr>'
        for label, value in rows
    )
    return f"<table><caption {_LEFT}><b>{_text(title)}</b></caption><tbody>{body}</tbody></table>"


def short_path(location: str) -> str:
    """Return a path from the working folder or from ``~``, if it is in one of them; an address as it is."""
    for folder, name in ((Path.cwd, "."), (Path.home, "~")):
        with suppress(OSError, RuntimeError, ValueError):  # a folder that is gone, no home, or a path elsewhere
            return str(Path(name) / Path(location).relative_to(folder()))
    return location


def _text(value: object) -> str:
    return escape(substituted(str(value)))
