"""Commands that look after what is there already: the journal's answers and the set-up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulseframes.cli.entry import FAILED, app
from pulseframes.terminal import say


@app.command(rich_help_panel="Look after")
def replay(
    directory: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the tables to.")],
    date_from: Annotated[str, typer.Option("--from", help="Answers fetched from this time on.")] = "2000-01-01",
    date_to: Annotated[str, typer.Option("--to", help="Answers fetched before this time.")] = "9999-01-01",
    application: Annotated[str | None, typer.Option(help="Whose answers, where the journal has several.")] = None,
) -> None:
    """Make all tables again from the journal's answers, with no network. Costs no call.

    Example: `pulseframes replay --from 2026-11-01 -o everything`
    """
    from pulseframes.replay import replay_journal

    done = replay_journal(directory, date_from=date_from, date_to=date_to, application=application)
    for path in done.paths:
        say(f"{path} written{f': {done.rows[path.stem]} rows' if path.stem in done.rows else ''}.")
    for call_id in done.malformed:
        say(f"warning: the answer of call {call_id} is not the documented JSON, and was left out.")
    say(f"{done.calls} answers read, {done.rejected} rows rejected.")


@app.command(rich_help_panel="Look after")
def doctor(
    spend: Annotated[bool, typer.Option("--spend", help="Try the credentials too; this may cost one call.")] = False,
) -> None:
    """Look for what is wrong: settings, journal, network, credentials. Costs no call without --spend.

    Example: `pulseframes doctor --spend`
    """
    from pulseframes.doctor import examine

    if spend:
        say("The last step may cost one call.")
    failed = False
    for finding in examine(may_spend=spend):
        typer.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.step}: {finding.said}")
        failed = failed or not finding.ok
    if failed:
        raise typer.Exit(FAILED)
