"""A forgotten person is in no file of the journal; everybody else is unchanged, and nothing has to be downloaded again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import polars as pl
import pytest
from conftest import Clock, client_of
from hypothesis import example, given, settings, strategies as st

import pulseframes as pf
from pulseframes.client.journal import Journal, Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.erasure.journal import (
    ForgottenInJournal,
    find_in_journal,
    forget_in_journal,
    forget_in_keystore,
    retain_in_journal,
)
from pulseframes.erasure.person import FORGOTTEN, Finder, Person
from pulseframes.flatten import NotJson, cut_sessions, session_texts
from pulseframes.flatten.raw_json import envelope
from pulseframes.simulator import Simulator

SETTLED = ("2020-01-01", "2020-01-29")
THEN = datetime(2020, 1, 29, tzinfo=UTC)
ANNA = "Anna.Smith@Example.com"
UNLIMITED = QuotaRule(1_000_000)


@pytest.fixture
def old() -> Iterator[Simulator]:
    """1,200 sessions that ended long before any clock that runs this."""
    with Simulator(sessions=1_200, now=THEN, daily_limit=None) as running:
        yield running


@pytest.fixture
def journal(clock: Clock) -> Iterator[Journal]:
    opened = Journal(None, clock=clock)
    yield opened
    opened.close()


def put(
    journal: Journal,
    document: object,
    endpoint: str = "sessions",
    params: dict[str, str] | None = None,
    *,
    outcome: str = "answered",
    application: str = "shop",
) -> int:
    call = Request(application, endpoint, urlencode(params or {"skip": "0"}))
    call_id = journal.reserve(call, UNLIMITED)
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    journal.complete(call_id, outcome, status=200, body=body)  # type: ignore[arg-type]  # one of them
    return call_id


def search(*sessions: object, **more: object) -> dict[str, object]:
    return {"totalSessions": len(sessions), "sessions": list(sessions), **more}


def session(number: int, start: str = "2020-01-01T00:00:00Z", **user: object) -> dict[str, Any]:
    return {"id": number, "sessionStart": start, "user": user}


def forget(journal: Journal, user: str, known: Person | None = None) -> ForgottenInJournal:
    return forget_in_journal(journal, find_in_journal(journal, Person.named(user) | (known or Person())))


def ids_left(journal: Journal, call_id: int) -> list[object]:
    entry = journal.record(call_id)
    assert entry is not None
    return [session["id"] for session in json.loads(entry.body)["sessions"]]


def all_text(journal: Journal) -> bytes:
    return b"\n".join(entry.params.encode() + b"\n" + entry.body for entry in journal.records())


def files() -> bytes:
    return b"".join(path.read_bytes() for path in Path(os.environ["PULSEFRAMES_HOME"]).rglob("*") if path.is_file())


def someone(sessions: pl.DataFrame) -> dict[str, Any]:
    """A person with several sessions whose name and network address nobody else has."""
    named = sessions.drop_nulls(["user_identifier", "user_email_address", "user_full_name", "ip_address", "user_id"])
    per_user = named.group_by("user_identifier").agg(pl.len(), pl.all().first())
    for user in per_user.filter(pl.col("len") > 1).sort("user_identifier").iter_rows(named=True):
        others = sessions.filter(pl.col("user_identifier").ne_missing(user["user_identifier"]))
        others = others.filter(pl.col("user_id").ne_missing(user["user_id"]))
        others = others.filter(pl.col("user_email_address").ne_missing(user["user_identifier"]))
        shared = pl.any_horizontal(
            pl.col("user_full_name") == user["user_full_name"], pl.col("ip_address") == user["ip_address"]
        )
        if others.filter(shared).is_empty():
            return dict(user)
    raise AssertionError("no such person; take another seed")


def test_a_forgotten_person_is_in_no_file_and_everyone_else_is_as_before(old: Simulator, clock: Clock) -> None:
    with client_of(old, clock=clock) as client:
        before = pf.search_sessions(*SETTLED, client=client)
        person = someone(before)
        user = person["user_identifier"]
        theirs = before.filter(
            (pl.col("user_identifier") == user)
            | (pl.col("user_id") == person["user_id"])
            | (pl.col("user_email_address") == user)
        )
        others = before.join(theirs, on="session_id", how="anti")["session_id"].head(5)
        pf.session_details(theirs["session_id"], client=client)
        details = pf.session_details(others, client=client)
        pf.search_sessions(*SETTLED, user_identifier=user, client=client)
        needles = [user, person["user_email_address"], person["user_full_name"], person["ip_address"], quote(user)]
        assert all(needle.encode() in all_text(client.journal) for needle in needles)
        used = client.quota().used
        known = find_in_journal(client.journal, Person.named(user.upper()))
        assert known.session_ids == set(theirs["session_id"])
        done = forget_in_journal(client.journal, known)
        assert done.sessions_removed == len(theirs)
        assert done.responses_removed == len(theirs) + 1
        assert done.calls_redacted == len(theirs) + 1
        for held in (files(), all_text(client.journal)):
            assert [needle for needle in needles if needle.lower().encode() in held.lower()] == []
        assert not any(f"id={number}\n".encode() in all_text(client.journal) for number in theirs["session_id"])
        assert client.quota().used == used

        clock.advance(days=1)
        spent = client.calls_spent
        with pytest.warns(pf.IncompleteWarning, match="deleted from the journal"):
            after = pf.search_sessions(*SETTLED, client=client)
        assert after.equals(before.join(theirs, on="session_id", how="anti", maintain_order="left"))
        assert not pf.certificate(after).complete
        assert pf.certificate(after).forgotten == len(theirs)
        again = pf.session_details(others, client=client)
        assert all(frame.equals(details.tables()[name]) for name, frame in again.tables().items())
        assert client.calls_spent == spent
        assert user not in repr(done) + repr(known)
        second = forget(client.journal, user)
        assert (second.sessions_removed, second.responses_rewritten, second.responses_removed) == (0, 0, 0)


# Who is the person


def test_a_person_is_followed_through_ids_identifiers_and_addresses_in_all_applications(journal: Journal) -> None:
    last = put(journal, search(session(1, id=7, identifier="cust-1")), application="blog")
    first = put(
        journal,
        search(
            session(2, id=7, identifier="old name", emailAddress="ANNA.smith@example.com"),
            session(3, id=8, emailAddress="anna.smith@example.com", identifier="cust-2"),
            session(4, id=8, identifier="other"),
            session(5, identifier="cust-2"),
            session(6, id=9, identifier="Bob", emailAddress="bob@example.com"),
        ),
    )
    assert find_in_journal(journal, Person.named("cust-1")).user_ids == {7, 8}
    done = forget(journal, "cust-1")
    assert ids_left(journal, last) == []
    assert ids_left(journal, first) == [6]
    assert done.sessions_removed == 5


@pytest.mark.parametrize("user", ["anna.smith@example.COM", "4711", "cust-77"])
def test_a_person_is_found_by_address_user_id_or_identifier(journal: Journal, user: str) -> None:
    call_id = put(journal, search(session(1, id=4711, identifier="cust-77", emailAddress=ANNA), session(2, id=4712)))
    forget(journal, user)
    assert ids_left(journal, call_id) == [2]


@pytest.mark.parametrize("nothing", [None, "", " ", 0, False])
def test_empty_values_identify_nobody(journal: Journal, nothing: object) -> None:
    empty = {"id": nothing, "identifier": nothing, "emailAddress": nothing}
    call_id = put(
        journal, search(session(1, **{**empty, "identifier": "anna-1"}), session(2, **empty), {"id": 3, "user": None})
    )
    forget(journal, "anna-1")
    assert ids_left(journal, call_id) == [2, 3]
    with pytest.raises(pf.InvalidQuery, match="user"):
        forget(journal, " ")


def test_values_known_from_a_lake_help_to_find_the_person(journal: Journal) -> None:
    call_id = put(journal, search(session(1, id=1), session(2, id=2), session(3)))
    known = Person.described(user_ids=[None, 1], session_ids=[3], emails=[None])
    forget(journal, "anna-1", known=known)
    assert ids_left(journal, call_id) == [2]


def test_an_invalid_row_of_the_person_is_removed(journal: Journal) -> None:
    rows = [
        '{"id": "11", "user": {"id": "4711"}}',
        '{"id": 12, "user": {"id": 4711, "id": 1}, "location": 5}',
        '{"id": 13, "user": {"identifier": "4711"}, "n": 1e999}',
        '{"user": [], "user": {"id": 4711}, "n": ' + "9" * 5_000 + "}",
        '{"id": 15, "user": {"id": 47110}, "n": 1.50, "n": 0.1e1}',
        '"4711"',
    ]
    call_id = put(journal, f'{{"totalSessions": 6, "sessions": [{", ".join(rows)}]}}'.encode())
    forget(journal, "4711")
    entry = journal.record(call_id)
    assert entry is not None
    assert entry.body == f'{{"totalSessions": 6, "sessions": [{rows[4]},{rows[5]}]}}'.encode()
    assert entry.forgotten == 4


# Where else the person is named


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("https://shop.example/?mail=anna.smith%40example.com&x=1", f"https://shop.example/?mail={FORGOTTEN}&x=1"),
        ("/?next=%3Fmail%3Danna.smith%40example.com", f"/?next=%3Fmail%3D{FORGOTTEN}"),
        ("/?next=mail%253DANNA%252Esmith%2540example.com", f"/?next=mail%253D{FORGOTTEN}"),
        ("Error: no user Anna.SMITH@example.com!", f"Error: no user {FORGOTTEN}!"),
        ("\nanna.smith@example.com\ttwice anna.smith@example.com", f"\n{FORGOTTEN}\ttwice {FORGOTTEN}"),
        ("/?a=%2525253Danna.smith%25252540example.com", f"/?a=%2525253D{FORGOTTEN}"),
        ("/?mail%u003Danna%u002esmith%u0040example.com", f"/?mail%u003D{FORGOTTEN}"),
        ("Cannot mail anna.smith&#64;example.com", f"Cannot mail {FORGOTTEN}"),
        ("to:&#97;nna&period;smith&#x0040;Example&#X2e;com", f"to:{FORGOTTEN}"),
        (
            "anna.smith&amp;#64;example.com and anna.smith%26%2364;example.com",
            f"{FORGOTTEN} and anna.smith%26%2364;example.com",
        ),
        ("anna.smith\\u0040example.com or \\u0061nna.smith@example.com", f"{FORGOTTEN} or {FORGOTTEN}"),
        ("C:\\\\\\u0061nna.smith\\\\u0040example.com \\", f"C:{FORGOTTEN} \\"),
        ("SHOP\\anna.smith@example.com", f"SHOP\\{FORGOTTEN}"),
        ("/?mail=anna.smith&#37;40example.com&x", f"/?mail={FORGOTTEN}&x"),
        ("anna.smith @ example.com, anna.smith+@+example.com", f"{FORGOTTEN}, {FORGOTTEN}"),
        ("joanna.smith@example.com", "jo" + "anna.smith@example.com"),
        ("nothing of hers", "nothing of hers"),
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_mentions_in_other_peoples_sessions_are_redacted(
    journal: Journal, before: str, after: str, *, ascii_only: bool
) -> None:
    def document(text: str) -> dict[str, Any]:
        errors = [{"groupId": 1, "title": text}]
        return {
            "session": {"id": 5, "user": {"id": 2, "fullName": "Zoë"}, "pageViews": [{"page": text}], "errors": errors}
        }

    escaped = json.dumps(document(before), ensure_ascii=ascii_only).replace("@", "\\u0040" if ascii_only else "@")
    call_id = put(journal, escaped.encode(), "session", {"id": "5"})
    put(journal, search(session(1, emailAddress=ANNA)))
    forget(journal, ANNA)
    entry = journal.record(call_id)
    assert entry is not None
    assert json.loads(entry.body) == document(after)
    assert entry.params == "id=5"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("spelled", ["NFC", "NFD"])
def test_accents_are_found_composed_or_not(form: Any, spelled: Any) -> None:
    finder = Finder(Person.named(unicodedata.normalize(form, "Zoë.Ångström")))
    for text in ("Hallo Zoë.Ångström!", "Hallo ZOË.ÅNGSTRÖM!"):
        as_json = json.dumps(unicodedata.normalize(spelled, text), ensure_ascii=spelled == "NFC")
        assert json.loads(finder.redacted(as_json)) == f"Hallo {FORGOTTEN}!"


#: Not the dotless i, whose upper case is that of another letter.
NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="\u0131"), min_size=1, max_size=12
).filter(lambda name: not name.isdecimal())
CASES = st.sampled_from([str, str.upper, str.lower, str.title, str.casefold])
FORMS = st.sampled_from(["NFC", "NFD"])


@settings(max_examples=20)  # each compiles patterns
@given(name=NAMES, case=CASES, form=FORMS, sent_case=CASES, sent_form=FORMS, ascii_only=st.booleans())
@example(name="straße@x.example", case=str.upper, form="NFC", sent_case=str, sent_form="NFC", ascii_only=False)
@example(name="straße@x.example", case=str, form="NFC", sent_case=str.upper, sent_form="NFC", ascii_only=True)
@example(name="Zoë@Example.com", case=str, form="NFD", sent_case=str.upper, sent_form="NFC", ascii_only=True)
@example(name="ΐδης", case=str.upper, form="NFC", sent_case=str, sent_form="NFC", ascii_only=True)
def test_a_person_is_found_in_the_journal_in_any_letter_case_and_unicode_form(
    name: str, case: Any, form: Any, sent_case: Any, sent_form: Any, *, ascii_only: bool
) -> None:
    sent = unicodedata.normalize(sent_form, sent_case(name))
    journal = Journal(None)
    body = json.dumps(search(session(1, identifier=sent), session(2, id=5)), ensure_ascii=ascii_only)
    call_id = put(journal, body.encode())
    forget(journal, unicodedata.normalize(form, case(name)))
    assert ids_left(journal, call_id) == [2]
    journal.close()


@pytest.mark.parametrize("user", ["Cust-A77b", "cust-a77b", "CUST-A77B"])
def test_an_identifier_is_found_in_any_letter_case(journal: Journal, user: str) -> None:
    call_id = put(journal, search(session(1, identifier="Cust-A77b"), session(2, identifier="cust-A77", id=5)))
    forget(journal, user)
    assert ids_left(journal, call_id) == [2]


def test_an_identifier_that_is_a_word_of_the_api_or_of_another_changes_no_key_number_or_identity(
    journal: Journal,
) -> None:
    other = session(2, id=100001, identifier="sessions-2", emailAddress="x.sessions@example.com") | {
        "sessions": [100001]
    }
    call_id = put(journal, search(session(1, identifier="sessions"), other, links={"next": "/sessions?skip=1"}))
    forget(journal, "sessions")
    entry = journal.record(call_id)
    assert entry is not None
    expected = search(other, links={"next": f"/{FORGOTTEN}?skip=1"}) | {"totalSessions": 2}
    assert json.loads(entry.body) == expected


@pytest.mark.parametrize(
    "text",
    ['{"sessions": [{"user": {"firstName": "Xaviera"', "<p>anna.smith@example.com</p>", '"198.51.100.7"', "[4711001]"],
)
def test_a_response_that_is_not_the_documented_json_is_emptied_if_it_names_the_person(
    journal: Journal, text: str
) -> None:
    lost, odd = put(journal, text.encode(), outcome="lost"), put(journal, text.encode())
    innocent = put(journal, b"<p>busy, 14711001</p>")
    hers = session(1, id=4711001, emailAddress=ANNA, firstName="Xaviera") | {"location": {"ipAddress": "198.51.100.7"}}
    put(journal, search(hers))
    forget(journal, ANNA)
    entries = {entry.id: entry for entry in journal.records()}
    assert [entries[call].body for call in (lost, odd, innocent)] == [b"", b"", b"<p>busy, 14711001</p>"]
    assert [entries[call].outcome for call in (lost, odd)] == ["lost", "forgotten"]


def test_a_query_about_the_person_is_redacted_even_without_a_response(journal: Journal) -> None:
    put(journal, b"", params={"dateFrom": "a", "userIdentifier": ANNA, "skip": "0"}, outcome="lost")
    put(journal, search(session(31, emailAddress=ANNA)))
    put(journal, b"no such session", "session", {"id": "31"})
    forget(journal, ANNA)
    params = [entry.params for entry in journal.records()]
    assert params == ["dateFrom=a&userIdentifier=%5Bforgotten%5D&skip=0", "skip=0", "id="]


def test_a_killed_erasure_changes_nothing_and_the_next_run_finishes(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    calls = [put(journal, search(session(n, id=n, identifier="cust-1"), session(100 + n, id=n))) for n in range(1, 6)]
    before = all_text(journal)
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pulseframes.erasure.journal import forget_in_journal; from pulseframes.erasure.person import Person\n"
        "from pulseframes.client.journal import Journal\n"
        "rewrite, done = Journal.rewrite, []\n"
        "def killed(self, *values, **names):\n"
        "    done.append(rewrite(self, *values, **names))\n"
        "    len(done) == 3 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "Journal.rewrite = killed\n"
        "forget_in_journal(Journal(Path(sys.argv[1])), Person.described(identifiers=['cust-1'], user_ids=range(1, 6)))"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    journal.check()
    assert all_text(journal) == before
    forget(journal, "cust-1")
    assert [ids_left(journal, call) for call in calls] == [[]] * 5
    journal.close()


# Cutting


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
odd = st.sampled_from(
    [
        '{"a":1,"a":2}',
        "1E400",
        "-0.0",
        "1.50",
        '"\\u0041\\/"',
        '{"id": 1e3}',
        "12345678901234567890123",
        '"],[{"',
        "[ ]",
    ]
)
spaces = st.text(" \t\r\n", max_size=3)
rows = st.lists(st.tuples(spaces, values.map(json.dumps) | odd, spaces, st.booleans()), max_size=6)


@given(rows, spaces)
def test_the_rest_of_a_cut_response_is_unchanged_to_the_letter(
    parts: list[tuple[str, str, str, bool]], space: str
) -> None:
    listed = ",".join(before + text + after for before, text, after, _ in parts)
    text = f'{space}{{"totalSessions": 1.0e2 ,"sessions":{space}[{listed}]{space},"x":1, "é": "\\u00e9"}}{space}'
    flags = iter([goes for *_, goes in parts])
    left, gone = cut_sessions(text, SEARCH, lambda _: next(flags))
    assert session_texts(left, SEARCH) == [text for _, text, _, goes in parts if not goes]
    assert len(gone) == sum(goes for *_, goes in parts)
    begin, end = envelope(text, SEARCH)["sessions"]
    assert left.startswith(text[:begin])
    assert left.endswith(text[end:])
    assert left == text or gone


@given(st.text(max_size=60) | st.text('{}[]",:\\ asetionS', max_size=60))
def test_any_text_is_cut_or_rejected_as_not_json(text: str) -> None:
    for shape in (SEARCH, DETAIL):
        try:
            left, _ = cut_sessions(text, shape, lambda _: False)
        except NotJson:
            continue
        assert left == text


@given(st.text(min_size=6, max_size=12).filter(str.strip), st.text(max_size=10))
@example("Zoë 豈 Ω", "")  # letters that Unicode replaces with others when it composes
def test_a_person_is_found_however_a_text_is_escaped(name: str, around: str) -> None:
    finder = Finder(Person.described(identifiers=[name], session_ids=[]))
    for writing in (json.dumps(name), json.dumps(name, ensure_ascii=False), json.dumps(quote(name, safe=""))):
        assert finder.may_be_in(json.dumps({"x": around})[:-1] + f', "title": {writing}}}')


def test_looking_through_an_answer_is_quick() -> None:
    body = json.dumps(search(*(session(n, identifier=f"visitor-{n:012x}") for n in range(20_000))))
    assert not Finder(Person.named(ANNA)).may_be_in(body)  # a test's time limit is the measure


# Retention


def test_older_data_is_removed_and_calls_that_count_still_count(journal: Journal, clock: Clock) -> None:
    start = clock.now
    ancient = put(journal, search(session(1)))
    clock.advance(days=10)
    recent = put(journal, search(session(2, "2020-01-01T00:00:00Z")))
    detail = put(journal, {"session": session(9, "2020-01-01T00:00:00")}, "session", {"id": "9"})
    cutoff = start + timedelta(days=10, hours=1)
    clock.advance(hours=2)
    later = (clock.now - timedelta(minutes=5)).isoformat()
    mixed = put(journal, search(session(3, "2020-01-01"), session(4, later), {"id": 5}, session(6, "?")))
    old_detail = put(journal, {"session": session(9, "2020-01-01T00:00:00.1234567Z")}, "session", {"id": "9"})
    used = journal.quota("shop", UNLIMITED).used
    done = retain_in_journal(journal, cutoff, clock.now)
    entries = {entry.id: entry for entry in journal.records()}
    assert ancient not in entries
    assert [entries[call].body for call in (recent, detail, old_detail)] == [b""] * 3
    assert [entries[call].params for call in (detail, old_detail)] == ["id=", "id="]
    assert ids_left(journal, mixed) == [4, 5, 6]
    assert entries[mixed].forgotten == 1
    assert journal.quota("shop", UNLIMITED).used == used == 4
    assert (done.calls_removed, done.responses_removed, done.responses_rewritten) == (1, 3, 1)
    again = retain_in_journal(journal, cutoff, clock.now)
    assert (again.calls_removed, again.responses_removed, again.responses_rewritten, again.sessions_removed) == (
        0,
        0,
        0,
        0,
    )


def test_only_key_files_that_hold_a_text_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "session-a.json").write_text('{"key": "k", "note": "anna@example.com"}')
    (tmp_path / "session-b.json").write_text('{"key": "k"}')
    (tmp_path / "other.json").write_text("anna@example.com")
    assert forget_in_keystore(tmp_path, ["", "anna@example.com"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json", "session-b.json"]
    assert forget_in_keystore(tmp_path / "none", ["x"]) == 0
