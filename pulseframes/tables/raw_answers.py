"""The table of raw answers, which a raw export writes and engines on clusters read."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.tables.columns import INSTANT

#: The name of the API in ``api``: a second one will have other endpoints and other bodies.
PULSE_V1: Final = "pulse-v1"

#: A body that is UTF-8 is in ``body``, as it was received; any other is in ``body_bytes``, so that none is changed.
RAW_ANSWERS: Final = pl.Schema(
    {
        "call_id": pl.Int64(),
        "api": pl.String(),
        "endpoint": pl.String(),
        "parameters": pl.String(),
        "fetched_at": INSTANT,
        "body": pl.String(),
        "body_bytes": pl.Binary(),
    }
)
