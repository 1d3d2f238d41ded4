"""Rows about one session are merged into one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from pulseframes.flatten.merge import AGE, FROM_DETAIL, newest_sessions
from pulseframes.tables import SESSIONS

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_an_update_that_lies_after_its_answer_does_not_win_for_ever() -> None:
    rows = pl.DataFrame(
        [
            {"session_id": 1, "status": "active", "session_updated": datetime(9999, 12, 31, tzinfo=UTC)},
            {"session_id": 1, "status": "ended", "session_updated": NOW},
        ],
        schema=SESSIONS.schema,
    ).with_columns(pl.Series(AGE, [NOW, NOW + timedelta(days=1)]), pl.lit(value=False).alias(FROM_DETAIL))
    assert newest_sessions(rows)["status"].to_list() == newest_sessions(rows.reverse())["status"].to_list() == ["ended"]
