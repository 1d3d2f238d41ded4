"""The command that publishes a lake to a table format."""

from __future__ import annotations

from typing import Annotated

import typer

import pulseframes as pf
from pulseframes.cli.app import app, examples
from pulseframes.cli.options import AsJson, LakeArgument, StorageOptions, open_lake, parse_options
from pulseframes.cli.output import info, print_json
from pulseframes.publishing.report import Format


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "publish lake published --format delta",
        "publish lake s3://bucket/published --format delta",
        "publish lake pulse --format iceberg --catalog default --json",
    ),
)
def publish(
    lake: LakeArgument,
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DESTINATION",
            help="For Delta Lake, a folder or s3://bucket/prefix (also gs:// and az://); for Iceberg, a namespace of the catalog.",
        ),
    ],
    table_format: Annotated[Format, typer.Option("--format", "-f", help="Format of the tables.")],
    catalog: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For Iceberg: the catalog's name in pyiceberg's configuration or environment.",
            show_default="default",
        ),
    ] = None,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Copy a lake's tables to Delta Lake or Apache Iceberg: the days that changed since the last publish. Costs no call."""
    # A bucket's options are for the lake, the destination or both, whichever is in one.
    is_remote = {place: "://" in place and not place.startswith("file:") for place in (lake, destination)}
    published = pf.publish(
        open_lake(lake, storage_option if is_remote[lake] or not is_remote[destination] else None),
        destination,
        format=table_format,
        catalog=catalog,
        storage_options=parse_options(storage_option) if is_remote[destination] else None,
    )
    info(str(published))
    if as_json:
        print_json(published.as_dict())
