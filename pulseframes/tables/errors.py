"""The errors table: the items of a detail answer's ``errors``."""

import polars as pl

from pulseframes.endpoints import DETAIL
from pulseframes.tables.columns import Column, Privacy, Table

ERRORS = Table(
    name="errors",
    description="One row is one error that occurred in a session.",
    key=("session_id", "error_index"),
    list_key="errors",
    index="error_index",
    columns=(
        Column(
            name="session_id",
            path="",
            dtype=pl.Int64(),
            required=True,
            privacy=Privacy.IDENTIFIER,
            endpoints=(DETAIL,),
            description="Id of the session that the error belongs to.",
        ),
        Column(
            name="error_index",
            path="",
            dtype=pl.Int64(),
            required=True,
            minimum=0,
            endpoints=(DETAIL,),
            description="Position of the error in the answer's list, from 0.",
        ),
        Column(
            name="group_id",
            path="groupId",
            dtype=pl.Int64(),
            endpoints=(DETAIL,),
            description="Id of the group of like errors.",
        ),
        Column(
            name="instance_id",
            path="instanceId",
            dtype=pl.Int64(),
            endpoints=(DETAIL,),
            description="Id of this one error.",
        ),
        Column(
            name="title",
            path="title",
            dtype=pl.String(),
            privacy=Privacy.CONTENT,
            endpoints=(DETAIL,),
            description="Title of the group.",
        ),
        Column(
            name="web_url",
            path="links.web",
            dtype=pl.String(),
            privacy=Privacy.IDENTIFIER,
            endpoints=(DETAIL,),
            description="The error's page in Raygun.",
        ),
    ),
)
