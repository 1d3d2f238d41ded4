"""Commands that show what there is to be had: the columns, a demo, and a server of made-up sessions."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulseframes.cli.app import app, examples
from pulseframes.cli.options import DescribedTable
from pulseframes.cli.output import note, print_dictionary

if TYPE_CHECKING:
    from pulseframes.simulator import Fault


class SchemaFormat(StrEnum):
    """How the data dictionary can be printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


@app.command(rich_help_panel="Try", epilog=examples("schema page_views", "schema --format json"))
def schema(
    tables: Annotated[
        list[DescribedTable] | None,
        typer.Argument(metavar="TABLE", help="sessions, page_views, errors, design; all if none."),
    ] = None,
    schema_format: Annotated[SchemaFormat, typer.Option("--format", "-f", help="How to print.")] = SchemaFormat.TABLE,
) -> None:
    """Print the data dictionary: each column's type, unit, source and meaning. Costs no call."""
    from pulseframes.tables import DICTIONARY, dictionary

    chosen = [DICTIONARY[name] for name in tables or DICTIONARY]
    if schema_format is SchemaFormat.JSON:
        typer.echo(dictionary.as_json(chosen))
        return
    for table in chosen:
        if schema_format is SchemaFormat.MARKDOWN:
            typer.echo(f"**{table.name}**: {table.description}\n\n{dictionary.as_markdown(table)}\n")
        else:
            print_dictionary(table.name, table.description, dictionary.entries(table))


@app.command(rich_help_panel="Try", epilog=examples("demo", "demo --report report.html"))
def demo(
    report: Annotated[
        Path | None, typer.Option(help="File to write a report of the made-up sessions to, besides.", dir_okay=False)
    ] = None,
) -> None:
    """Show everything on made-up sessions: no account, no network, under 15 seconds; with a report, a minute."""
    from pulseframes.cli.demo import run

    run(report)


@app.command(rich_help_panel="Try", epilog=examples("simulate", "simulate --port 0 --sessions 1000 --daily-limit 0"))
def simulate(
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)] = 8765,
    sessions: Annotated[int, typer.Option(help="Sessions before now.", min=0)] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same sessions.")] = 1,
    days: Annotated[int, typer.Option(help="Days that they are spread over.", min=1)] = 28,
    daily_limit: Annotated[int, typer.Option(help="Calls a day; 0 for no limit.", min=0)] = 50,
    faults: Annotated[
        Path | None, typer.Option(help="JSON file with a script of faults.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Serve made-up sessions on this machine the way the Pulse API does, to try things on. Ctrl-C ends it."""
    import secrets
    import time

    from pulseframes.client import ENV_API_KEY, ENV_BASE_URL, ENV_CLIENT_ID, ENV_CLIENT_SECRET
    from pulseframes.simulator import Simulator

    # A key of its own for each start, so that answers kept from another population are not taken for this one's.
    key = f"simulator-{secrets.token_hex(8)}"
    simulator = Simulator(
        sessions=sessions, seed=seed, days=days, daily_limit=daily_limit or None, port=port, api_key=key
    )
    for fault in _script(faults):
        simulator.faults.add(fault)
    try:
        simulator.start()
    except OSError as problem:
        raise typer.BadParameter(
            f"port {port} cannot be used: {problem.strerror}; 0 takes a free one.", param_hint="--port"
        ) from None
    with simulator:
        typer.echo(f"export {ENV_BASE_URL}={simulator.url}")
        typer.echo(f"export {ENV_API_KEY}={simulator.api_key}")
        typer.echo(f"export {ENV_CLIENT_ID}={simulator.client_id}")
        typer.echo(f"export {ENV_CLIENT_SECRET}={simulator.client_secret}")
        sys.stdout.flush()
        note(f"Serving {sessions} made-up sessions of the last {days} days. Ctrl-C ends it.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            note(f"{simulator.calls} calls answered.")


def _script(path: Path | None) -> list[Fault]:
    """Give the faults of a script; none for no script."""
    if path is None:
        return []
    from pulseframes.simulator import load_faults

    try:
        return load_faults(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise typer.BadParameter(f"{path}: {problem}", param_hint="--faults") from None
