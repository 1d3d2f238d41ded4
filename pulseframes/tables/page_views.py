"""The page views table: the items of a detail answer's ``pageViews``."""

import polars as pl

from pulseframes.endpoints import DETAIL
from pulseframes.tables.columns import INSTANT, Column, Privacy, Table

PAGE_VIEWS = Table(
    name="page_views",
    description="One row is one page that was viewed in a session.",
    key=("session_id", "view_index"),
    list_key="pageViews",
    index="view_index",
    columns=(
        Column(
            name="session_id",
            path="",
            dtype=pl.Int64(),
            required=True,
            privacy=Privacy.IDENTIFIER,
            endpoints=(DETAIL,),
            description="Id of the session that the view belongs to.",
        ),
        Column(
            name="view_index",
            path="",
            dtype=pl.Int64(),
            required=True,
            minimum=0,
            endpoints=(DETAIL,),
            description="Position of the view in the answer's list, from 0.",
        ),
        Column(
            name="page",
            path="page",
            dtype=pl.String(),
            privacy=Privacy.CONTENT,
            endpoints=(DETAIL,),
            description="Address of the page.",
        ),
        Column(
            name="loading_time_ms",
            path="loadingTime",
            dtype=pl.Int64(),
            unit="ms",
            minimum=0,
            endpoints=(DETAIL,),
            description="Time that the page took to load.",
        ),
        Column(
            name="viewing_time_ms",
            path="viewingTime",
            dtype=pl.Int64(),
            unit="ms",
            minimum=0,
            endpoints=(DETAIL,),
            description="Time that the page was looked at.",
        ),
        Column(
            name="viewed_on",
            path="viewedOn",
            dtype=INSTANT,
            endpoints=(DETAIL,),
            description="When the page was viewed.",
        ),
    ),
)
