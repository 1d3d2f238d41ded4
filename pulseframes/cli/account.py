"""Commands that set up an account: store its credentials, and check everything."""

from __future__ import annotations

import getpass
import os
import sys
import warnings
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

import typer

import pulseframes as pf
from pulseframes._text import plural
from pulseframes.cli.app import FAILED, app, examples
from pulseframes.cli.options import AsJson, StorageOptions, open_lake
from pulseframes.cli.output import alert, info, print_json, say
from pulseframes.errors import cli_message

#: What messages call the credentials.
_LABELS: Final = {"api_key": "API key", "client_id": "client ID", "client_secret": "client secret"}


@app.command(rich_help_panel="Maintenance", epilog=examples("login", "login --file", "login --remove"))
def login(
    in_file: Annotated[
        bool,
        typer.Option("--file", help="Use the file even if there is a keyring, which cron and systemd may not reach."),
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is stored, instead.")] = False,
) -> None:
    """Store API key, client ID and client secret, so that no variable has to be set.

    They go into the system's keyring if there is one, or into a file that only you can read. What you type is not
    shown; without a terminal, the command reads three lines from stdin. Variables that are set win over what is stored.
    """
    from pulseframes.client import (
        VARIABLES,
        Credentials,
        base_url_of_environment,
        remove_credentials,
        store_credentials,
    )

    if remove:
        removed = remove_credentials()
        info(f"Removed from {' and '.join(removed)}." if removed else "Nothing was stored, so nothing was removed.")
        return
    base_url_of_environment()  # raises if it is invalid, before anything is typed
    place = store_credentials(Credentials(*(_asked(name) for name in VARIABLES)), in_file=in_file)
    info(f"Stored in {place}. `pulseframes doctor --spend` checks them, which may cost a call.")
    for name, variable in VARIABLES.items():
        if os.environ.get(variable, "").strip():
            alert(f"{variable} is set in the environment, and wins over the {_LABELS[name]} that is stored.")


def _asked(name: str) -> str:
    """Ask for a credential, and return it."""
    from pulseframes.client import problem_of

    label = _LABELS[name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would show what is typed
            given = getpass.getpass(f"{label}: ", sys.stderr) if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        given = ""
    except getpass.GetPassWarning:
        raise pf.CredentialsMissing(
            "This terminal shows what is typed. Pass the three values as lines on stdin."
        ) from None
    problem = problem_of(given)
    if problem:
        raise pf.CredentialsMissing(f"The {label} {problem}. Nothing was stored.")
    return given


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
    from pulseframes.client import ledger_place

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
    ledger = f"; ledger {ledger_place(settings.ledger)}" if settings.ledger else ""
    yield _Check("settings", True, f"pulseframes {pf.__version__}; {settings.base_url}; {limit}; home {home}{ledger}")
    missing = _missing_credentials()
    # Nothing is sent with the placeholders.
    credentials = pf.Credentials("none", "none", "none") if missing else pf.Credentials.find()
    with pf.PulseClient(credentials, settings=settings) as client:
        journal = _journal(client, has_credentials=missing is None)
        reachability, clock = _network(client)
        yield from (journal, reachability, clock)
        failed = [check.step for check in (journal, reachability) if not check.ok]
        yield missing or _credentials(client, failed, may_spend=may_spend)


def _missing_credentials() -> _Check | None:
    """Return the failure if a credential is not set."""
    try:
        pf.Credentials.find()
    except pf.InvalidQuery:  # the address, which is one of the settings
        return _Check("credentials", None, "needs valid settings")
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


def _credentials(client: pf.PulseClient, failed: list[str], *, may_spend: bool) -> _Check:
    places = _places_of_credentials()
    if failed:
        return _Check("credentials", None, f"{places}; not checked, as this needs: {', '.join(failed)}")
    if not may_spend and not client.has_session_key:
        text = f"{places}; not checked, as it would cost a call; `pulseframes doctor --spend` does"
        return _Check("credentials", True, text)
    try:
        spent = client.check_credentials()
    except pf.PulseError as problem:
        return _Check("credentials", False, str(problem))
    cost = f"{spent} call spent" if spent else "a session key is cached, so no call spent"
    return _Check("credentials", True, f"{places}; accepted; {cost}")


def _places_of_credentials() -> str:
    """Return where each credential comes from: ``API key from the environment, client ID and client secret from the keyring``."""
    from pulseframes.client import find_credentials

    names: dict[str, list[str]] = {}
    for name, found in find_credentials().items():
        names.setdefault(found.place, []).append(_LABELS[name])
    return ", ".join(f"{_joined(labels)} from {place}" for place, labels in names.items())


def _joined(labels: list[str]) -> str:
    *others, last = labels
    return f"{', '.join(others)} and {last}" if others else last


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
