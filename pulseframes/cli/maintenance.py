"""Commands that maintain the journal, a lake and the set-up: erase, rebuild, check."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

import typer

import pulseframes as pf
from pulseframes._text import plural
from pulseframes.cli.app import FAILED, app, examples
from pulseframes.cli.options import AsJson, OptionalLakeArgument, StorageOptions, open_lake
from pulseframes.cli.output import alert, info, print_json, say
from pulseframes.errors import cli_message

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")]


@app.command(
    rich_help_panel="Maintenance",
    epilog=examples("forget lake --user jane@example.com", "forget lake --user jane@example.com --yes --json"),
)
def forget(
    user: Annotated[str, typer.Option(help="The user's identifier on the site, e-mail address, or Raygun user id.")],
    lake: OptionalLakeArgument = None,
    yes: Yes = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Erase a user from a lake and the journal: sessions, page views, errors and raw responses. Costs no call."""
    from pulseframes.erasure.person import Person

    place = None if lake is None else open_lake(lake, storage_option)
    Person.named(user)  # raises if it is empty
    _confirm(f"Erase all data of user {user!r} from {_places(lake)}?", yes=yes)
    _report(pf.forget(place, user), as_json=as_json)


@app.command(
    rich_help_panel="Maintenance", epilog=examples("retain lake --days 90", "retain lake --days 90 --yes --json")
)
def retain(
    days: Annotated[int, typer.Option(help="Keep this many days.", min=1)],
    lake: OptionalLakeArgument = None,
    yes: Yes = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Delete data older than a number of days from a lake and the journal. Costs no call."""
    place = None if lake is None else open_lake(lake, storage_option)
    _confirm(f"Delete all data older than {plural(days, 'day')} from {_places(lake)}?", yes=yes)
    _report(pf.retain(place, days), as_json=as_json)


def _places(lake: str | None) -> str:
    return "the journal" if lake is None else f"the lake {lake!r} and the journal"


def _confirm(question: str, *, yes: bool) -> None:
    """Have the user confirm a deletion."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("required without a terminal. Nothing was removed.", param_hint="--yes")
    # Typer's own prompt would print on stdout, where JSON may have to go.
    say(f"{question} This cannot be undone. [y/N]: ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        alert("Nothing was removed.")
        raise typer.Exit(FAILED)


def _report(removed: pf.Forgotten, *, as_json: bool) -> None:
    info(str(removed))
    if as_json:
        print_json(removed.as_dict())


@app.command(
    rich_help_panel="Maintenance",
    epilog=examples(
        "replay -o everything", "replay --from 2026-11-01 --to 2026-11-08 -o week --json", "replay --lake lake"
    ),
)
def replay(
    directory: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write the tables to.")] = None,
    lake: Annotated[
        str | None,
        typer.Option(
            metavar="LAKE", help="Instead of -o: a lake, to put back what it has lost of the windows that it covers."
        ),
    ] = None,
    date_from: Annotated[str, typer.Option("--from", help="Use responses fetched from this time on.")] = "2000-01-01",
    date_to: Annotated[str, typer.Option("--to", help="Use responses fetched before this time.")] = "9999-01-01",
    application: Annotated[
        str | None, typer.Option(help="Application to replay, if the journal holds more than one.")
    ] = None,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild all tables from the journal, offline. Costs no call."""
    from pulseframes.fetch.replay import replay_journal, restore_lake

    if (directory is None) == (lake is None):
        raise typer.BadParameter("name a folder with -o, or a lake with --lake.", param_hint="--output")
    if directory is None:
        assert lake is not None  # noqa: S101  one of the two is given
        written = restore_lake(open_lake(lake, storage_option))
        info(f"{lake}: {written}")
        if as_json:
            print_json(asdict(written) | {"days": sorted(written.days)})
        return
    result = replay_journal(directory, date_from=date_from, date_to=date_to, application=application)
    for path in result.paths:
        rows = f": {plural(result.rows[path.stem], 'row')}" if path.stem in result.rows else ""
        info(f"Wrote {path}{rows}.")
    for call_id in result.malformed:
        alert(f"warning: skipped the response of call {call_id}, which is not the documented JSON.")
    info(f"{plural(result.calls, 'response')} read, {plural(result.rejected, 'row')} rejected.")
    if as_json:
        print_json(asdict(result))


@app.command(rich_help_panel="Maintenance", epilog=examples("doctor", "doctor lake", "doctor --spend --json"))
def doctor(
    lake: Annotated[
        str | None,
        typer.Argument(metavar="LAKE", help="A lake whose files to check as well; nothing of it is changed."),
    ] = None,
    spend: Annotated[bool, typer.Option("--spend", help="Also check the credentials, which may cost a call.")] = False,
    storage_option: StorageOptions = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, journal, network, credentials and a lake, and explain how to fix problems. Costs no call without --spend.

    All checks run; one that needs another that failed is marked as skipped. The exit code is 1 if any failed.
    """
    place = None if lake is None else open_lake(lake, storage_option)
    if spend:
        info("Checking the credentials may cost one call.")
    checks = []
    for check in chain(_examine(may_spend=spend), _lake(place)):
        if not as_json:
            say(f"{_MARKS[check.ok]} {check.step}: {check.text}")
        checks.append(check)
    ok = all(check.ok is not False for check in checks)
    if as_json:
        print_json({"ok": ok, "steps": [{"step": step, "ok": passed, "said": text} for step, passed, text in checks]})
    if not ok:
        raise typer.Exit(FAILED)


class _Check(NamedTuple):
    """The result of one step: what it found, what to do if it failed, or why it was skipped; then ``ok`` is None."""

    step: str
    ok: bool | None
    text: str


#: The most problems of a lake that are listed.
_SHOWN: Final = 10
_MARKS: Final = {True: "ok  ", False: "FAIL", None: "skip"}


def _examine(*, may_spend: bool) -> Iterator[_Check]:
    """Check settings, journal, reachability, clock and credentials; what needs a step that failed is skipped."""
    try:
        settings = pf.Settings()
    except pf.PulseError as problem:
        yield _Check("settings", False, cli_message(problem))
        for step in ("journal", "reachability", "clock"):
            yield _Check(step, None, "needs valid settings")
        yield _missing_credentials() or _Check("credentials", None, "set; checking them needs valid settings")
        return
    home = settings.folder or "in memory: nothing is cached, so a second run costs the same calls again"
    limit = f"{settings.daily_limit:,} calls a day ({settings.quota_day})"
    yield _Check("settings", True, f"pulseframes {pf.__version__}; {settings.base_url}; {limit}; home {home}")
    missing = _missing_credentials()
    # Nothing is sent with the placeholders.
    credentials = pf.Credentials("none", "none", "none") if missing else pf.Credentials.from_env()
    with pf.PulseClient(credentials, settings=settings) as client:
        journal = _journal(client, has_credentials=missing is None)
        reachability, clock = _network(client)
        yield from (journal, reachability, clock)
        failed = [check.step for check in (journal, reachability) if not check.ok]
        skipped = _Check("credentials", None, f"not checked, as this needs: {', '.join(failed)}") if failed else None
        yield missing or skipped or _credentials(client, may_spend=may_spend)


def _missing_credentials() -> _Check | None:
    """Return the failure if a credential is not set."""
    try:
        pf.Credentials.from_env()
    except pf.PulseError as problem:
        return _Check("credentials", False, str(problem))
    return None


def _journal(client: pf.PulseClient, *, has_credentials: bool) -> _Check:
    try:
        client.journal.check()
        quota = client.quota()
    except pf.PulseError as problem:
        return _Check("journal", False, str(problem))
    if not has_credentials:
        return _Check("journal", True, "can be read and written; without an API key, its calls are not counted")
    used = f"{quota.used:,} of {quota.limit:,} calls used, {quota.left:,} left"
    return _Check("journal", True, f"{used}; application {client.application}")


def _network(client: pf.PulseClient) -> tuple[_Check, _Check]:
    from pulseframes.client import clock_problem

    try:
        wrong = clock_problem(client.check_connection())
    except pf.PulseError as problem:
        return _Check("reachability", False, str(problem)), _Check("clock", None, "needs the server's time")
    host = urlsplit(client.settings.base_url).hostname
    reached = _Check("reachability", True, f"{host} is reachable; no call spent")
    return reached, _Check("clock", wrong is None, wrong or "agrees with the server's")


def _credentials(client: pf.PulseClient, *, may_spend: bool) -> _Check:
    if not may_spend and not client.has_session_key:
        return _Check("credentials", True, "not checked, as it would cost a call; `pulseframes doctor --spend` does")
    try:
        spent = client.check_credentials()
    except pf.PulseError as problem:
        return _Check("credentials", False, str(problem))
    cost = f"{spent} call spent" if spent else "a session key is cached, so no call spent"
    return _Check("credentials", True, f"accepted; {cost}")


def _lake(lake: pf.Lake | None) -> Iterator[_Check]:
    if lake is None:
        return
    from pulseframes.lake import inspect_lake

    problems = inspect_lake(lake)
    yield from (_Check("lake", False, cli_message(problem)) for problem in problems[:_SHOWN])
    if len(problems) > _SHOWN:
        yield _Check("lake", False, f"and {plural(len(problems) - _SHOWN, 'more problem')}")
    if not problems:
        yield _Check("lake", True, f"{lake.location} has no damaged files, links, copies or leftovers")
