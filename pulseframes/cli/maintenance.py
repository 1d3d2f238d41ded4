"""Commands that look after what is there already: the journal's answers and the set-up."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pulseframes.cli.app import FAILED, app, examples
from pulseframes.cli.options import AsJson
from pulseframes.cli.output import note, print_json, say


@app.command(
    rich_help_panel="Look after",
    epilog=examples("replay -o everything", "replay --from 2026-11-01 --to 2026-11-08 -o week --json"),
)
def replay(
    directory: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the tables to.")],
    date_from: Annotated[str, typer.Option("--from", help="Answers fetched from this time on.")] = "2000-01-01",
    date_to: Annotated[str, typer.Option("--to", help="Answers fetched before this time.")] = "9999-01-01",
    application: Annotated[str | None, typer.Option(help="Whose answers, where the journal has several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make all tables again from the journal's answers, with no network. Costs no call."""
    from pulseframes.fetch.replay import replay_journal

    done = replay_journal(directory, date_from=date_from, date_to=date_to, application=application)
    for path in done.paths:
        note(f"{path} written{f': {done.rows[path.stem]} rows' if path.stem in done.rows else ''}.")
    for call_id in done.malformed:
        say(f"warning: the answer of call {call_id} is not the documented JSON, and was left out.")
    note(f"{done.calls} answers read, {done.rejected} rows rejected.")
    if as_json:
        print_json(asdict(done) | {"paths": [str(path) for path in done.paths]})


@app.command(rich_help_panel="Look after", epilog=examples("doctor", "doctor --spend --json"))
def doctor(
    spend: Annotated[bool, typer.Option("--spend", help="Try the credentials too; this may cost one call.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong: settings, journal, network, credentials. Costs no call without --spend."""
    from pulseframes.cli.doctor import examine

    if spend:
        note("The last step may cost one call.")
    findings = []
    for finding in examine(may_spend=spend):
        if not as_json:
            typer.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.step}: {finding.said}")
        findings.append(finding)
    ok = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": ok, "steps": [asdict(finding) for finding in findings]})
    if not ok:
        raise typer.Exit(FAILED)
