"""The command that makes a lake's report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulseframes.cli.app import app, examples
from pulseframes.cli.options import AsJson
from pulseframes.cli.output import note, print_json
from pulseframes.cli.places import LakePlace, StorageOptions, open_lake


@app.command(
    rich_help_panel="Lake",
    epilog=examples(
        "report lake -o report.html",
        "report lake -o week.html --from 2026-11-09 --to 2026-11-16",
        "report lake -o shop.html --time-zone Pacific/Auckland --json",
    ),
)
def report(
    lake: LakePlace,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; one that is there is replaced.")],
    date_from: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="Start of the window; the sample's, or the lake's, if left out."),
    ] = None,
    date_to: Annotated[
        str | None,
        typer.Option("--to", metavar="DATE", help="End of the window; the sample's, or the lake's, if left out."),
    ] = None,
    design: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which of the lake's samples; the last, if left out.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    time_zone: Annotated[str, typer.Option(metavar="ZONE", help="Whose days and hours.")] = "UTC",
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Make a lake's report: one HTML page with charts, which needs no network. Costs no call."""
    place = open_lake(lake, storage_option)
    from pulseframes.reports import TITLE, find, render, save, summary, writable

    path = writable(output)
    found = find(place, date_from=date_from, date_to=date_to, design=design, time_zone=time_zone)
    save(render(found, place, title=TITLE if title is None else title), path)
    note(summary(found))
    note(f"{path} written.")
    if as_json:
        print_json(found.as_dict() | {"path": str(path)})
