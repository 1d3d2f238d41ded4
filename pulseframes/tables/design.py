"""The table of a lake's sample: which sessions were drawn, how likely that was, and for how many each speaks."""

import polars as pl

from pulseframes.tables.columns import INSTANT, Column, Table

DESIGN = Table(
    name="design",
    description="One row is one session that a design has drawn.",
    key=("design", "seed", "session_id"),
    columns=(
        Column(name="session_id", path="", dtype=pl.Int64(), required=True, description="Id of the session."),
        Column(
            name="design",
            path="",
            dtype=pl.String(),
            required=True,
            description="The design that drew it: pageviews or uniform, and by which columns it is stratified.",
        ),
        Column(
            name="seed",
            path="",
            dtype=pl.Int64(),
            required=True,
            description="What the permanent random numbers hang on.",
        ),
        Column(
            name="population_from",
            path="",
            dtype=INSTANT,
            required=True,
            description="Start of the time whose sessions the sample speaks for.",
        ),
        Column(name="population_to", path="", dtype=INSTANT, required=True, description="End of that time."),
        Column(
            name="stratum",
            path="",
            dtype=pl.String(),
            required=True,
            description="The session's stratum; empty where the design has none.",
        ),
        Column(
            name="page_view_count",
            path="",
            dtype=pl.Int64(),
            unit="page views",
            required=True,
            minimum=1,
            description="Its page views when it was drawn; 1 where that was not known.",
        ),
        Column(
            name="inclusion_probability",
            path="",
            dtype=pl.Float64(),
            required=True,
            description="How likely the session was to be drawn.",
        ),
        Column(
            name="responded",
            path="",
            dtype=pl.Boolean(),
            required=True,
            description="Whether the lake has its details; false for a 404, or a row that broke the schema.",
        ),
        Column(
            name="weight",
            path="",
            dtype=pl.Float64(),
            description="How many sessions it speaks for, those without an answer made up for; null where it has none itself.",
        ),
    ),
)
