"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pulseframes.terminal import TextFormat


class TableName(StrEnum):
    """The tables."""

    SESSIONS = "sessions"
    PAGE_VIEWS = "page_views"
    ERRORS = "errors"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
PrintFormat = Annotated[TextFormat, typer.Option("--format", "-f", help="How to print where there is no --output.")]
