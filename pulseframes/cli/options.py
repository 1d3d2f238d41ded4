"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

import typer

import pulseframes as pf

TableName: TypeAlias = Literal["sessions", "page_views", "errors"]
TextFormat: TypeAlias = Literal["table", "csv", "ndjson"]

LakeArgument = Annotated[
    str, typer.Argument(metavar="LAKE", help="A folder, or s3://bucket/prefix (also gs:// and az://).")
]
OptionalLakeArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="LAKE", help="A folder, or s3://bucket/prefix (also gs:// and az://); without it, only the journal."
    ),
]
StorageOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="Option for s3://, such as aws_region=...; may be repeated. Others come from the environment, where secrets belong.",
    ),
]
WindowFrom = Annotated[
    str | None,
    typer.Option("--from", metavar="DATE", help="Start of the window.", show_default="the sample's, or the lake's"),
]
WindowTo = Annotated[
    str | None,
    typer.Option("--to", metavar="DATE", help="End of the window.", show_default="the sample's, or the lake's"),
]
Last = Annotated[
    str | None,
    typer.Option(
        "--last",
        metavar="DAYS",
        help="Instead: the last whole days, up to today at 00:00 UTC, such as 7d.",
        show_default=False,
    ),
]
SampleName = Annotated[
    str | None, typer.Option("--design", metavar="NAME", help="Sample of the lake to use.", show_default="the last")
]
By = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Group by this column or SQL expression; may be repeated."),
]
Where = Annotated[str | None, typer.Option("--where", metavar="CONDITION", help="SQL condition that filters the rows.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show all figures, as many as the terminal has room for.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Ignore cached responses and query the API again.")]
OutputFile = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="File to write: NAME.parquet, .csv, .ndjson or .xlsx, in a folder or in s3://bucket/ (also gs:// and az://).",
    ),
]
PrintFormat = Annotated[TextFormat, typer.Option("--format", "-f", help="Format on stdout, if there is no --output.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def window(
    last: str | None, date_from: str | None, date_to: str | None, *, other: str = "--from or --to"
) -> tuple[str | None, str | None]:
    """Return the start and end that are given, or those of the last days."""
    if last is None:
        return date_from, date_to
    if date_from is not None or date_to is not None:
        raise typer.BadParameter(f"not together with {other}.", param_hint="--last")
    if not re.fullmatch("0*[1-9][0-9]{0,3}d", last):
        raise typer.BadParameter(f"{last!r} is not a number of days, such as 7d.", param_hint="--last")
    return last, "today"


def window_from(last: str | None, date_from: str | None, date_to: str | None) -> tuple[str, str | None]:
    """Return the same for a command that needs a start."""
    start, end = window(last, date_from, date_to)
    if start is None:
        raise typer.BadParameter("required, such as --from 2026-11-01, or --last 7d.", param_hint="--from")
    return start, end


def open_lake(location: str, storage_options: list[str] | None, *, privacy: pf.PrivacyPolicy | None = None) -> pf.Lake:
    """Return the lake at a location; nothing is read or created yet."""
    if not location.isprintable():
        raise typer.BadParameter(f"{location!r} has characters that cannot be printed. Rename it.", param_hint="LAKE")
    return pf.Lake(location, privacy=privacy, storage_options=parse_options(storage_options))


def parse_options(storage_options: list[str] | None) -> dict[str, str] | None:
    """Return the options of a bucket."""
    options = {}
    for option in storage_options or []:
        key, equals, value = option.partition("=")
        if not key or not equals:
            # Without what was given, which may be a secret.
            raise typer.BadParameter(
                "One is not KEY=VALUE, such as aws_region=us-east-1.", param_hint="--storage-option"
            )
        options[key] = value
    return options or None
