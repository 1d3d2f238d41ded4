"""The command line: commands, their arguments and exit codes.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no call is left and what
had come is saved. Modules are imported inside the commands, so that ``--help`` does not wait for polars.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pulseframes.terminal import (
    FileFormat,
    Sink,
    TextFormat,
    check_places,
    counted_client,
    ids_in,
    plural,
    print_dictionary,
    print_frame,
    print_quota,
    progress_bar,
    say,
    show_warnings,
)

if TYPE_CHECKING:
    from pulseframes.frames import SessionFrames

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
QUOTA_EXHAUSTED: Final = 3

app = typer.Typer(
    help="Raygun Real User Monitoring sessions as typed tables.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class SchemaFormat(StrEnum):
    """How the data dictionary can be printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


class TableName(StrEnum):
    """The tables."""

    SESSIONS = "sessions"
    PAGE_VIEWS = "page_views"
    ERRORS = "errors"


PrintFormat = Annotated[TextFormat, typer.Option("--format", "-f", help="How to print where there is no --output.")]


def main() -> None:
    """Run the command line; the entry point of the ``pulseframes`` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a closed one is None
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter is no failure
    with warnings.catch_warnings():
        show_warnings()
        code = _exit_code()
    sys.exit(code)


def _exit_code() -> int:  # noqa: PLR0911  one return a kind of end
    """Run a command, and say on stderr what went wrong."""
    from pulseframes.errors import CredentialsMissing, InvalidQuery, PulseError, QuotaExhausted, SchemaViolation

    try:
        app()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else DONE
    except SchemaViolation as problem:
        say(f"error: {problem.summary} The other rows are written, and these beside them where there is an --output.")
        return FAILED
    except (InvalidQuery, CredentialsMissing) as problem:
        return _failed(problem, WRONG_USAGE)
    except QuotaExhausted as problem:
        code = _failed(problem, QUOTA_EXHAUSTED)
        if problem.remaining:
            say(
                f"{problem.remaining} are still to come: run the same command again then, and it goes on where it stopped."
            )
        return code
    except BrokenPipeError:
        # Whoever read our output has read enough. Python would complain once more when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (PulseError, OSError) as problem:
        return _failed(problem, FAILED)
    return DONE


def _failed(problem: Exception, code: int) -> int:
    say(f"error: {problem}")
    return code


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
) -> None:
    if version:
        from pulseframes._version import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def search(
    date_from: Annotated[str, typer.Argument(metavar="FROM", help="Start of the window: a date, or a time in UTC.")],
    date_to: Annotated[str, typer.Argument(metavar="TO", help="End of the window: a date, or a time in UTC.")],
    user_identifier: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    country: Annotated[list[str] | None, typer.Option(help="Only this country, two letters; may be repeated.")] = None,
    user_type: Annotated[str | None, typer.Option(help="Only this type of user.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again what is kept.")] = False,
    skip: Annotated[int, typer.Option(help="Leave out so many sessions of the server's list.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Give so many sessions at most.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: NAME.parquet, NAME.csv or NAME.ndjson.")
    ] = None,
    text_format: PrintFormat = TextFormat.TABLE,
) -> None:
    """Find the sessions of a time window: one call for every 500 of them that are not kept already.

    Example: `pulseframes search 2026-11-01 2026-11-08 --country NZ -o week.parquet`
    """
    from pulseframes.errors import PulseError, SchemaViolation
    from pulseframes.pipeline import search_sessions

    put = Sink(output, text_format)
    with counted_client() as client, progress_bar() as progress:
        try:
            sessions = search_sessions(
                date_from,
                date_to,
                user_identifier=user_identifier,
                country=country or None,
                user_type=user_type,
                skip=skip,
                limit=limit,
                client=client,
                refresh=refresh,
                progress=progress,
            )
        except PulseError as problem:
            put(problem.partial, rejected=problem.rejected if isinstance(problem, SchemaViolation) else None)
            raise
    put(sessions)


@app.command()
def details(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID", help="Session ids.", show_default=False)] = None,
    ids_from: Annotated[
        Path | None, typer.Option(help="A file written by `search`: take its session ids as well.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Get so many details at most: the first ones.", min=1)] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again what is kept.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write the tables to.")] = None,
    file_format: Annotated[FileFormat, typer.Option("--as", help="What to write there.")] = FileFormat.PARQUET,
    table: Annotated[TableName, typer.Option(help="What to print where there is no --output.")] = TableName.SESSIONS,
    text_format: PrintFormat = TextFormat.TABLE,
) -> None:
    """Get sessions with their page views and errors: one call for each of them that is not kept already.

    Example: `pulseframes details --ids-from week.parquet --limit 20 -o week`
    """
    from pulseframes.errors import PulseError
    from pulseframes.pipeline import session_details
    from pulseframes.query import DetailQuery

    wanted = DetailQuery.parse([*(ids or []), *ids_in(ids_from)]).ids[:limit]
    if not wanted:
        raise typer.BadParameter("no session id: give some, or --ids-from a file that has some.", param_hint="ID")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        check_places(output / f"{name}.{file_format}" for name in TableName)

    def put(frames: SessionFrames) -> None:
        if output is None:
            print_frame(frames.tables()[table], text_format, table)
            return
        for path in frames.write(output, file_format):
            say(f"{path} written.")

    say(f"{plural(len(wanted), 'call')} at most, and one more if a session key has to be fetched.")
    with counted_client() as client, progress_bar() as progress:
        try:
            frames = session_details(wanted, client=client, refresh=refresh, progress=progress)
        except PulseError as problem:
            if problem.partial is not None:
                put(problem.partial)
            raise
    put(frames)


@app.command()
def quota(
    last: Annotated[int, typer.Option(help="How many of the last calls to show.", min=0)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how many calls are left, when the next one is, and the last calls. Costs no call.

    Example: `pulseframes quota --last 5`
    """
    from pulseframes.api.client import PulseClient

    with PulseClient() as client:
        print_quota(client.quota(), client.last_calls(last), as_json=as_json)


@app.command()
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


@app.command()
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


@app.command()
def schema(
    tables: Annotated[
        list[TableName] | None, typer.Argument(metavar="TABLE", help="sessions, page_views, errors; all if none.")
    ] = None,
    schema_format: Annotated[SchemaFormat, typer.Option("--format", "-f", help="How to print.")] = SchemaFormat.TABLE,
) -> None:
    """Print the data dictionary: each column's type, unit, source and meaning. Costs no call.

    Example: `pulseframes schema page_views --format markdown`
    """
    from pulseframes.tables import TABLES, dictionary

    chosen = [TABLES[name] for name in tables or TABLES]
    if schema_format is SchemaFormat.JSON:
        typer.echo(dictionary.as_json(chosen))
        return
    for table in chosen:
        if schema_format is SchemaFormat.MARKDOWN:
            typer.echo(f"**{table.name}**: {table.description}\n\n{dictionary.as_markdown(table)}\n")
        else:
            print_dictionary(table.name, table.description, dictionary.entries(table))


@app.command()
def demo() -> None:
    """Show everything on made-up sessions: no account, no network, under 15 seconds.

    Example: `pulseframes demo`
    """
    from pulseframes.demo import run

    run()


@app.command()
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
    """Serve made-up sessions on this machine the way the Pulse API does, to try things on. Ctrl-C ends it.

    Example: `pulseframes simulate --sessions 1000 --daily-limit 0`
    """
    import secrets
    import time

    from pulseframes.settings import ENV_API_KEY, ENV_BASE_URL, ENV_CLIENT_ID, ENV_CLIENT_SECRET
    from pulseframes.simulator import Simulator, load_faults

    # A key of its own for each start, so that answers kept from another population are not taken for this one's.
    key = f"simulator-{secrets.token_hex(8)}"
    simulator = Simulator(
        sessions=sessions, seed=seed, days=days, daily_limit=daily_limit or None, port=port, api_key=key
    )
    if faults is not None:
        try:
            script = load_faults(faults.read_text(encoding="utf-8"))
        except ValueError as problem:
            raise typer.BadParameter(f"{faults}: {problem}", param_hint="--faults") from None
        for fault in script:
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
        say(f"Serving {sessions} made-up sessions of the last {days} days. Ctrl-C ends it.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            say(f"{simulator.calls} calls answered.")
