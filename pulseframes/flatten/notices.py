"""What a run warns of at its end, in one wording for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import polars as pl

from pulseframes._text import some
from pulseframes.errors import IncompleteWarning, MissingSessionsWarning, SchemaDriftWarning, warn


def warn_of_drift(drift: Sequence[str]) -> None:
    """Warn of fields and values that are not known."""
    if drift:
        warn(
            SchemaDriftWarning,
            f"The API sent what this version of pulseframes does not know: {some(drift)}. New fields are in no "
            "frame, and in the journal's raw answers, from which `pulseframes replay` makes them when a version knows them; new "
            "values are kept as they are.",
        )


def warn_of_cut_lists(cut: Iterable[str]) -> None:
    """Warn of lists that have exactly as many items as the server gives at most."""
    for where in cut:
        warn(IncompleteWarning, f"{where}: the server has probably cut the list there.")


def warn_of_missing(missing: Sequence[int]) -> None:
    """Warn of session ids that the server does not know."""
    if missing:
        warn(MissingSessionsWarning, f"The server does not know {len(missing)} of the ids: {some(missing)}.")


def describe_rejected(rejected: pl.DataFrame) -> str:
    """Say how many rows of which tables break the schema, and why the first does."""
    counts = ", ".join(f"{count} of {table}" for table, count in sorted(rejected["table"].value_counts().iter_rows()))
    first = rejected.row(0, named=True)
    return f"Rows that break the schema: {counts}. The first, of session {first['session_id']}: {first['reason']}."


def describe_left_out(before: datetime) -> str:
    """Say what is not asked for because it was dropped."""
    return f"What is from before {before:%Y-%m-%d} UTC was dropped by retain, and is left out."
