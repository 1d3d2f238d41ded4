"""What a publish wrote."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, TypeAlias

from pulseframes._card import Card, Row, short_path
from pulseframes._text import plural

Format: TypeAlias = Literal["delta", "iceberg"]


@dataclass
class PublishedTable:
    """What a publish did to a table.

    Attributes
    ----------
    written : list of date
        The days that were replaced, in UTC.
    removed : list of date
        The days that the lake no longer has.
    unchanged : int
        The number of other days.
    rows : int
        The number of rows in the days written.
    """

    written: list[date] = field(default_factory=list)
    removed: list[date] = field(default_factory=list)
    unchanged: int = 0
    rows: int = 0

    def __str__(self) -> str:
        parts = [f"{plural(len(self.written), 'day')} written ({plural(self.rows, 'row')})"] if self.written else []
        parts += [f"{plural(len(self.removed), 'day')} removed"] if self.removed else []
        parts += [f"{plural(self.unchanged, 'day')} unchanged"] if self.unchanged else []
        return f"{', '.join(parts) or 'no rows'}."


@dataclass(repr=False)
class PublishReport(Card):
    """The report of a publish.

    Attributes
    ----------
    destination : str
        The folder, address or namespace of the tables.
    format : {"delta", "iceberg"}
        Their format.
    tables : dict of str to PublishedTable
        For each table: the days written and removed, the number of those unchanged, and the rows written.

    Examples
    --------
    >>> report = pf.publish("lake", "published", format="delta")
    >>> pf.publish("lake", "published", format="delta").changed
    False
    """

    destination: str
    format: Format
    tables: dict[str, PublishedTable] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether any day was written or removed.

        Examples
        --------
        >>> pf.publish("lake", "published", format="delta").changed
        False
        """
        return any(table.written or table.removed for table in self.tables.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON types.

        Returns
        -------
        dict
            Days are ISO 8601.

        Examples
        --------
        >>> pf.publish("lake", "published", format="delta").as_dict()["tables"]["sessions"]["removed"]
        []
        """
        report: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=date.isoformat))
        return report

    def __repr__(self) -> str:
        return f"PublishReport({short_path(self.destination)!r}, {self.format!r}, changed={self.changed})"

    def _rows(self) -> Iterator[Row]:
        yield from ((name, table) for name, table in self.tables.items())
