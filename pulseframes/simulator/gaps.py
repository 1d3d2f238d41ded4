"""What a session's documents may lack: a value, a whole object or a list, as null or not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pulseframes.tables import ITEM_TABLES, SESSIONS

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Gap:
    """One thing that is missing: where it would be, and whether null stands there instead."""

    keys: Keys
    null: bool

    def hides(self, keys: Keys) -> bool:
        """Tell whether a value lies at or below the gap."""
        return keys[: len(self.keys)] == self.keys

    def hides_column(self, name: str) -> bool:
        """Tell whether a column of the sessions table is null by the gap."""
        return name in _HIDDEN[self.keys]


def _places() -> Iterator[Keys]:
    """List every value, object and list that is not required."""
    required = {column.keys for column in SESSIONS.columns if column.required}
    seen: set[Keys] = set()
    for column in SESSIONS.sourced:
        for length in range(1, len(column.keys) + 1):
            keys = column.keys[:length]
            if keys not in seen and keys not in required:
                seen.add(keys)
                yield keys
    for table in ITEM_TABLES:
        yield (table.list_key,)


#: Everything that may be missing, each in both ways.
GAPS: Final = tuple(Gap(keys, null) for keys in _places() for null in (True, False))

_HIDDEN: Final = {
    gap.keys: frozenset(column.name for column in SESSIONS.sourced if gap.hides(column.keys)) for gap in GAPS
}
