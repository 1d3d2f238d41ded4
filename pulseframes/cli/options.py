"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pulseframes.cli.output import TextFormat


class TableName(StrEnum):
    """The tables."""

    SESSIONS = "sessions"
    PAGE_VIEWS = "page_views"
    ERRORS = "errors"


class DescribedTable(StrEnum):
    """The tables that the data dictionary has: these, and the one that a lake's sample is in."""

    SESSIONS = "sessions"
    PAGE_VIEWS = "page_views"
    ERRORS = "errors"
    DESIGN = "design"


class DesignKind(StrEnum):
    """How details are chosen."""

    PAGEVIEWS = "pageviews"
    UNIFORM = "uniform"
    NEWEST = "newest"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
PrintFormat = Annotated[TextFormat, typer.Option("--format", "-f", help="How to print where there is no --output.")]
By = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="For each value of this column, or SQL expression; may be repeated."),
]
