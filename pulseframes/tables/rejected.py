"""The table of rows that broke a schema, whichever table they were meant for."""

import polars as pl

from pulseframes.tables.columns import Column, Privacy, Table

REJECTED = Table(
    name="rejected",
    description="One row is one row of another table that broke its schema.",
    key=(),
    columns=(
        Column(name="table", path="", dtype=pl.String(), required=True, description="The table it was meant for."),
        Column(
            name="session_id",
            path="",
            dtype=pl.Int64(),
            privacy=Privacy.IDENTIFIER,
            description="Id of its session, where that could be read.",
        ),
        Column(
            name="item_index",
            path="",
            dtype=pl.Int64(),
            description="For a page view or an error: its position in the answer's list.",
        ),
        Column(name="reason", path="", dtype=pl.String(), required=True, description="What is wrong with it."),
        Column(
            name="raw_json",
            path="",
            dtype=pl.String(),
            required=True,
            privacy=Privacy.PERSONAL,
            description="The JSON that it came as.",
        ),
    ),
)
