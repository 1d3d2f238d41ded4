"""What soak/killed_syncs.py holds against what: the tables of a lake, and those that the server has."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.simulator import Simulator
from pulseframes.tables import SESSIONS, TABLES
from pulseframes.windows import LOOK_BACK

ONLY_IN_DETAILS = [column.name for column in SESSIONS.columns if endpoints.SEARCH not in column.endpoints]
#: What a lake may wait in one step: less than the 14 minutes after which it would authenticate and ask again.
LONGEST_WAIT = timedelta(minutes=13)


def whole(moment: datetime) -> datetime:
    """Cut a moment to the second, as a sync reads up to the last whole one."""
    return moment.replace(microsecond=0)


def tables_of(lake: pf.Lake, moments: list[datetime]) -> dict[str, pl.DataFrame]:
    """Read a lake's tables, in the order of their keys; in place of when an answer was asked for, in which step it was.

    Of a session that had ended a look-back before some step, the two lakes may have asked in different steps: how far back
    a step reads depends on the second at which the one before began. So ``fetched_at`` counts for the last step alone.
    """
    steps = pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    scans = {"sessions": lake.sessions(), "page_views": lake.page_views(), "errors": lake.errors()}
    tables = {name: scan.sort(TABLES[name].key).collect() for name, scan in scans.items()}
    rows = tables["sessions"]
    for name in ("fetched_at", "detail_fetched_at", "detail_failed_at", "settled_at"):
        number = pl.Series(name, steps.search_sorted(rows[name].fill_null(moments[0]), side="right"))
        rows = rows.with_columns(pl.when(pl.col(name).is_not_null()).then(number).alias(name))
    recent = pl.col("session_start") >= moments[-1] - LOOK_BACK + LONGEST_WAIT
    tables["sessions"] = rows.with_columns(pl.when(recent).then("fetched_at").alias("fetched_at"))
    return tables


def check_truth(tables: dict[str, pl.DataFrame], simulator: Simulator, gone: pl.DataFrame) -> None:
    """Hold a lake's tables against what the server has now, and what it had of sessions before they were removed.

    Of a session that went on when its details were bought, those are not the present ones, so that they are left out here.
    """
    until = whole(simulator.now)
    sessions, columns = tables["sessions"], SESSIONS.schema.names()
    up_to_date = pl.col("detail_fetched_at").is_not_null() & pl.col("detail_updated").eq_missing(
        pl.col("session_updated")
    )
    summaries = pl.concat([simulator.summaries(simulator.begin, until), gone]).sort("session_id")
    in_summaries = sessions.select(columns).drop(ONLY_IN_DETAILS)
    of_details = sessions.filter(up_to_date).select("session_id")
    assert_frame_equal(  # a detail counts the views that its list has
        in_summaries.join(of_details, on="session_id", how="anti"),
        summaries.drop(ONLY_IN_DETAILS).join(of_details, on="session_id", how="anti"),
    )
    assert_frame_equal(in_summaries.drop("page_view_count"), summaries.drop(*ONLY_IN_DETAILS, "page_view_count"))
    assert sessions.filter(pl.col("detail_fetched_at").is_null()).select(pl.col(ONLY_IN_DETAILS).is_null().all()).row(
        0
    ) == ((True,) * len(ONLY_IN_DETAILS))
    there = of_details.join(gone, on="session_id", how="anti")
    truth = {"sessions": sessions, **simulator.truth(simulator.begin, until)}
    for name, frame in truth.items():
        kept = tables[name].select(frame.columns).join(there, on="session_id", how="semi")
        assert_frame_equal(kept, frame.join(there, on="session_id", how="semi").sort(TABLES[name].key))
