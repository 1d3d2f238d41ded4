"""Where the journal lies: no home, a foreign file, a loose mode, a mount without shared memory, a file that vanishes."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

import pulseframes as pf
from pulseframes.client import database as database_module
from pulseframes.client.journal import JOURNAL_FILE, Journal, Request
from pulseframes.client.quota_rule import QuotaRule

CALL = Request("shop", "session", "id=1")
RULE = QuotaRule(10)


def no_home(*_: object, **__: object) -> Path:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("default", [no_home, lambda *_, **__: Path("~/.local/share/pulseframes")])
def test_without_a_home_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch, default: object) -> None:
    monkeypatch.delenv("PULSEFRAMES_HOME")
    monkeypatch.setattr("platformdirs.user_data_path", default)
    with pytest.raises(pf.InvalidQuery, match="PULSEFRAMES_HOME: no home folder was found"):
        pf.Settings()


def test_a_home_of_an_unknown_user_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEFRAMES_HOME", "~nobody-of-this-name/pulse")
    with pytest.raises(pf.InvalidQuery, match="PULSEFRAMES_HOME"):
        pf.Settings()


@pytest.mark.parametrize("version", [0, 2])
def test_another_programs_database_is_refused_and_untouched(tmp_path: Path, version: int) -> None:
    path = tmp_path / JOURNAL_FILE
    with sqlite3.connect(path) as other:
        other.executescript(f"CREATE TABLE notes (text); PRAGMA user_version = {version};")
    other.close()
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(pf.JournalError, match="another program's database"):
        Journal(path).reserve(CALL, RULE)
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_every_folder_and_a_loose_journal_become_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "home" / JOURNAL_FILE
    before = os.umask(0)
    try:
        for _ in range(2):
            journal = Journal(path)
            journal.reserve(CALL, RULE)
            journal.close()
            modes = [stat.S_IMODE(place.stat().st_mode) for place in (path.parent.parent, path.parent, path)]
            assert modes == [0o700, 0o700, 0o600]
            path.chmod(0o644)
    finally:
        os.umask(before)


def test_a_journal_without_shared_memory_uses_the_older_journal_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(database_module, "_use_wal", fail)
    path = tmp_path / JOURNAL_FILE
    first, second = Journal(path), Journal(path)
    for journal in (first, second):
        journal.complete(journal.reserve(CALL, RULE), "answered", status=200, body=b"{}")
        with journal._database.reading() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert first.quota("shop", RULE).used == 2
    first.close()
    second.close()


def test_a_journal_that_was_deleted_while_open_is_noticed_before_a_call(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL_FILE
    journal = Journal(path)
    journal.reserve(CALL, RULE)
    path.unlink()
    with pytest.raises(pf.JournalError, match="was deleted or replaced while it was open"):
        journal.reserve(CALL, RULE)
    journal.reserve(CALL, RULE)
    assert path.exists()
    journal.close()


@pytest.mark.parametrize("column", ["at", "params", "size", "forgotten", "true_at", "application", "body", "status"])
@pytest.mark.parametrize("value", ["'text'", "x'ff'", "1e300", "-9000000000000000000", "1000000000000"])
def test_an_altered_value_is_a_journal_error_or_harmless(tmp_path: Path, column: str, value: str) -> None:
    path = tmp_path / JOURNAL_FILE
    journal = Journal(path)
    journal.complete(journal.reserve(CALL, RULE), "answered", status=200, body=b"{}")
    with journal._database.writing() as connection:
        connection.execute(f"UPDATE calls SET {column} = {value}")
    for read in (
        lambda: list(journal.records()),
        lambda: journal.quota("shop", RULE),
        lambda: journal.newest_answer("shop", "session", "id=1"),
        journal.applications,
        lambda: journal.answered("shop", "session"),
    ):
        try:
            read()
        except pf.JournalError:
            continue
    journal.close()
