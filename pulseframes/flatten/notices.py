"""The warnings at the end of a query or a sync."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from pulseframes._text import listed, plural
from pulseframes.errors import IncompleteWarning, MissingSessionsWarning, SchemaDriftWarning, warn
from pulseframes.flatten.assemble import LONGEST_LIST
from pulseframes.tables import ITEM_TABLES


def warn_of_drift(drift: Sequence[str]) -> None:
    """Warn of unknown fields and values."""
    if drift:
        warn(
            SchemaDriftWarning,
            f"The API sent fields or values that this version of pulseframes does not know: {listed(drift)}. Unknown values are "
            "kept. Unknown fields are left out of the frames but kept in the journal's raw answers: once a version supports "
            "them, `pulseframes replay` adds them.",
        )


def warn_of_truncated_lists(truncated: Iterable[tuple[str, int]]) -> None:
    """Warn of lists of exactly as many items as the API sends at most."""
    by_table: dict[str, list[int]] = {table.name: [] for table in ITEM_TABLES}
    for name, session_id in truncated:
        by_table[name].append(session_id)
    for name, ids in by_table.items():
        if ids:
            warn(
                IncompleteWarning,
                f"{plural(len(ids), 'session')} came with exactly {LONGEST_LIST} {name.replace('_', ' ')}, so the API probably "
                f"truncated the list (bots?): {listed(ids)}.",
            )


def warn_of_missing(missing: Sequence[int]) -> None:
    """Warn of session ids that the server does not know."""
    if missing:
        warn(MissingSessionsWarning, f"{plural(len(missing), 'session')} not found: {listed(missing)}.")


def describe_rejected(rejected: pl.DataFrame) -> str:
    """Return how many rows of which tables break the schema, and the reason of the first."""
    counts = ", ".join(f"{count} of {table}" for table, count in sorted(rejected["table"].value_counts().iter_rows()))
    first = rejected.row(0, named=True)
    return f"Rows that break the schema: {counts}. The first, of session {first['session_id']}: {first['reason']}."
