"""The journal is a ledger. `tests/postgres` holds the ledger that machines share to the same."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from unittest.mock import Mock, patch

import pytest
from conftest import Clock, Run, client_of
from hypothesis import given, settings, strategies as st
from support.ledger_contract import *  # noqa: F403  its tests
from support.ledger_contract import CALL, Book, Books

import pulseframes as pf
from pulseframes._secret import Secret
from pulseframes.client import ledger_place
from pulseframes.client.journal import Journal
from pulseframes.client.ledger import Ledger, Outcome, Request
from pulseframes.client.quota_rule import Quota, QuotaRule
from pulseframes.client.shared_ledger import SharedLedger
from pulseframes.simulator import Simulator

#: A password that must be shown nowhere.
PASSWORD = "s3cret-of-the-ledger"
URL = f"postgresql://collector:{PASSWORD}@127.0.0.1:1/rum"
UNREACHABLE = (
    r"The ledger, PostgreSQL at 127\.0\.0\.1:1/rum, cannot be used \(.*refused.*\)\. No call is sent without it"
)


class JournalBook:
    def __init__(self, path: Path) -> None:
        self._path, self._clock, self._open = path, Clock(), list[Journal]()

    def open(self) -> Ledger:
        self._open.append(Journal(self._path, clock=self._clock))
        return self._open[-1]

    def advance(self, by: timedelta) -> None:
        self._clock.now += by

    def now(self) -> datetime:
        return self._clock.now

    def close(self) -> None:
        for journal in self._open:
            journal.close()


@pytest.fixture
def books(tmp_path: Path) -> Books:
    numbers = count()

    @contextmanager
    def make() -> Iterator[Book]:
        with closing(JournalBook(tmp_path / f"{next(numbers)}.sqlite")) as book:
            yield book

    return make


class Shared:
    """A shared ledger that writes down what it is told, and may be out of reach or used up by others."""

    def __init__(self, *, used_up: bool = False) -> None:
        self.told: list[object] = []
        self.used_up = used_up
        self.is_there = True

    def reserve(self, request: Request, _rule: QuotaRule) -> int:
        if not self.is_there:
            raise pf.JournalError("out of reach")
        if self.used_up:
            raise pf.QuotaExhausted("used up")
        self.told.append(request)
        return 7

    def complete(self, call_id: int, outcome: Outcome, *, blocked_until: datetime | None = None) -> None:
        if not self.is_there:
            raise pf.JournalError("out of reach")
        self.told.append((call_id, outcome, blocked_until))

    def quota(self, _application: str, rule: QuotaRule) -> Quota:
        return rule.quota([], None, datetime.now(UTC))


def test_a_call_that_the_shared_ledger_refuses_leaves_no_row_in_the_journal(tmp_path: Path) -> None:
    shared = Shared(used_up=True)
    with closing(Journal(tmp_path / "journal.sqlite", shared=shared)) as journal:
        with pytest.raises(pf.QuotaExhausted):
            journal.reserve(CALL, QuotaRule(5))
        shared.is_there = False
        with pytest.raises(pf.JournalError, match="out of reach"):
            journal.reserve(CALL, QuotaRule(5))
        assert list(journal.records()) == []


def test_a_call_that_the_journal_refuses_is_given_back_to_the_shared_ledger(tmp_path: Path) -> None:
    shared, path = Shared(), tmp_path / "journal.sqlite"
    with closing(Journal(path)) as alone, closing(Journal(path, shared=shared)) as journal:
        alone.reserve(CALL, QuotaRule(1))  # before there was a shared ledger
        with pytest.raises(pf.QuotaExhausted):
            journal.reserve(CALL, QuotaRule(1))
    assert shared.told == [CALL, (7, "unsent", None)]


def test_the_stricter_of_the_two_quotas_is_shown(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "journal.sqlite", shared=Shared())) as journal:
        journal.reserve(CALL, QuotaRule(5))
        assert journal.quota("shop", QuotaRule(5)).left == 4


def test_an_answer_is_kept_if_the_shared_ledger_cannot_be_told(tmp_path: Path) -> None:
    shared = Shared()
    with closing(Journal(tmp_path / "journal.sqlite", shared=shared)) as journal:
        call_id = journal.reserve(CALL, QuotaRule(5))
        shared.is_there = False
        with pytest.warns(pf.JournalWarning, match="Call 7 of the shared ledger was refused.*out of reach"):
            journal.complete(call_id, "answered", status=429, body=b"no more")
        record = journal.record(call_id)
    assert record is not None
    assert record.body == b"no more"


def test_calls_that_do_not_count_do_not_reach_the_shared_ledger(tmp_path: Path) -> None:
    shared = Shared()
    with closing(Journal(tmp_path / "journal.sqlite", shared=shared)) as journal:
        journal.complete(journal.reserve(Request("shop", "authenticate", counted=False), QuotaRule(5)), "answered")
    assert shared.told == []


def test_without_the_database_no_call_is_sent_and_what_is_cached_is_still_answered(simulator: Simulator) -> None:
    pytest.importorskip("psycopg")
    week = ("2026-11-09", "2026-11-16")
    with client_of(simulator) as alone:
        sessions = pf.search_sessions(*week, client=alone)
    calls = len(simulator.requests)
    with client_of(simulator, changes={"ledger": URL}) as client:
        assert pf.search_sessions(*week, client=client).equals(sessions)
        with pytest.raises(pf.JournalError, match=UNREACHABLE) as caught:
            pf.session_details(sessions["session_id"].head(3), client=client)
        with pytest.raises(pf.JournalError, match=UNREACHABLE):
            client.quota()
        assert client.calls_spent == 0
    assert len(simulator.requests) == calls
    problem: BaseException | None = caught.value
    while problem is not None:
        assert PASSWORD not in f"{problem!r} {problem}"
        problem = problem.__context__


@pytest.mark.usefixtures("environment")
def test_the_password_is_in_no_text(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("PULSEFRAMES_LEDGER", URL)
    made = pf.Settings()
    with client_of(simulator, changes={"ledger": URL}) as client:
        texts = [repr(made), str(made), str(asdict(made)), repr(client), client._repr_html_()]
    code, out, err = run("doctor")
    assert code == 1
    assert "; ledger PostgreSQL at 127.0.0.1:1/rum\n" in out
    code, *others = run("quota")
    assert code == 1
    assert not [text for text in [*texts, out, err, *others] if PASSWORD in text]
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(made)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{PASSWORD}@/w@host/db",
        f"postgresql://user:{PASSWORD}?x@host/db",
        f"postgresql://user:{PASSWORD}#x@host/db",
        f"postgresql://user:a@{PASSWORD}@host/db",
        f"postgresql://user:{PASSWORD}",
        f"mysql://user:{PASSWORD}@host/db",
        f"host=db password={PASSWORD}",
        f"postgresql://user:{PASSWORD}@[host/db",
        f"postgresql://user:{PASSWORD}@host/d\nb",
        f"postgresql://user@host/db&password={PASSWORD}",
        f"postgresql://user@host/db;password={PASSWORD}",
        f"postgresql://user@host/db%3Bpassword={PASSWORD}",
        f"postgresql://user@host/db/{PASSWORD}",
        f"postgresql://user@host;password={PASSWORD}",
        f"postgresql://user@host password={PASSWORD}/db",
        f"postgresql://user;password={PASSWORD}@host/db",
        f"postgresql://user@host/db?sslmode=require;password={PASSWORD}",
        f"postgresql://user@host/db?sslmode=require%3Bpassword={PASSWORD}",
        f"postgresql:///db?host=host;password={PASSWORD}",
        f"postgresql:{PASSWORD}",
        f"postgresql:/{PASSWORD}",
        f"Postgresql://user:{PASSWORD}@host/db",
    ],
)
def test_an_invalid_address_is_refused_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pf.InvalidQuery, match="^ledger must be the address of a PostgreSQL database") as caught:
        pf.Settings(ledger=url)
    assert PASSWORD not in str(caught.value)
    monkeypatch.setenv("PULSEFRAMES_LEDGER", url)
    with pytest.raises(pf.InvalidQuery, match="^PULSEFRAMES_LEDGER must be"):
        pf.Settings()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql:///rum", "this machine/rum"),
        ("postgres://host", "host"),
        ("postgresql://%2Frun%2Fpg/rum-1.0", "%2Frun%2Fpg/rum-1.0"),
        (f"postgresql:///rum?host=/run/pg&password={PASSWORD}", "/run/pg/rum"),
        (f"postgresql://me%40corp:{PASSWORD}@[::1]:5432/rum?options=-c%20a%3Db&sslmode=require", "::1:5432/rum"),
    ],
)
def test_an_address_is_accepted_in_any_sound_spelling(url: str, place: str) -> None:
    assert ledger_place(pf.Settings(ledger=url).ledger) == f"PostgreSQL at {place}"


@settings(max_examples=300, deadline=None)
@given(
    scheme=st.sampled_from(["postgresql://", "postgres://", "postgresql:", "postgresql:/", "postgresql:///"]),
    parts=st.tuples(*(st.sampled_from([text, ""]) for text in ("collector", "@", "127.0.0.1:1", "/rum", "?a=1"))),
    at=st.integers(0, 5),
    label=st.sampled_from(["", ":", "?", "&", ";", " ", "/", "%3B", "%26", "?a=", "?sslmode=require;", "?host=h&"]),
    name=st.sampled_from(["password=", "password%3D", "Password=", "PWD=", "sslpassword="]),
)
def test_a_password_in_any_part_of_an_address_is_shown_nowhere(
    scheme: str, parts: tuple[str, ...], at: int, label: str, name: str
) -> None:
    pytest.importorskip("psycopg")
    url = "".join([scheme, *parts[:at], label, name, PASSWORD, *parts[at:]])
    try:
        made = pf.Settings(ledger=url)
    except pf.InvalidQuery as problem:
        refusal = f"{problem}{problem!r}"
    else:
        refusal = ""
    assert PASSWORD not in refusal
    if refusal:
        return
    assert PASSWORD not in repr(made) + ledger_place(made.ledger)
    with patch("psycopg.connect", side_effect=psycopg_refusal), pytest.raises(pf.JournalError) as caught:
        SharedLedger(Secret(url)).quota("shop", QuotaRule(5))
    assert PASSWORD not in f"{caught.value}{caught.value!r}"


def psycopg_refusal(url: str, **_: object) -> None:
    """Refuse a connection with a text that quotes the parts of the address, as a server or libpq may."""
    from psycopg import OperationalError
    from psycopg.conninfo import conninfo_to_dict

    raise OperationalError(f"refused: {conninfo_to_dict(url)}")


def test_equal_settings_have_equal_ledgers_and_none_is_no_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pf.Settings().ledger == ""
    monkeypatch.setenv("PULSEFRAMES_LEDGER", URL)
    assert pf.Settings() == pf.Settings(ledger=URL) == pf.Settings(ledger=Secret(URL))


def test_without_psycopg_the_message_names_the_extra(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ImportError, match=r"pip install 'pulseframes\[postgres\]'"):
        client_of(simulator, changes={"ledger": URL})


def test_a_call_that_is_reserved_too_slowly_is_given_back_and_not_sent(tmp_path: Path) -> None:
    with (
        closing(Journal(tmp_path / "shared.db")) as shared,
        closing(Journal(tmp_path / "own.db", shared=shared)) as journal,
        patch("pulseframes.client.journal.time", Mock(monotonic=Mock(side_effect=[0.0, 21.0, 30.0, 30.1]))),
    ):
        with pytest.raises(pf.JournalError, match="took more than 20 seconds, so the call was not sent"):
            journal.reserve(CALL, QuotaRule(1))
        assert [book.quota(CALL.application, QuotaRule(1)).used for book in (shared, journal)] == [0, 0]
        journal.reserve(CALL, QuotaRule(1))
        assert [book.quota(CALL.application, QuotaRule(1)).used for book in (shared, journal)] == [1, 1]
