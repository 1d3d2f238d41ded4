"""Erases a person, or old data, from the journal: their sessions, and mentions of them elsewhere.

The rest of a response stays as the server sent it, to the letter. Calls that may count towards the quota stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode

from pulseframes._text import counted
from pulseframes.client import CallRecord, Journal
from pulseframes.endpoints import ENDPOINTS, Endpoint
from pulseframes.erasure.person import FORGOTTEN, Finder, Person
from pulseframes.flatten import NotJson, cut_sessions, decode_pairs, session_texts, text_of, values_at

#: After this, a call does not count towards the quota, however the day is defined.
COUNTS_FOR: Final = timedelta(hours=25)

#: The parameters that name somebody, and their redacted values.
_NAMING: Final = {"userIdentifier": FORGOTTEN, "id": ""}


@dataclass
class ForgottenInJournal:
    """What was removed from a journal.

    Attributes
    ----------
    sessions_removed : int
        Different sessions.
    responses_rewritten, responses_removed : int
        Responses that lost sessions or a mention of the person, and responses of which nothing is left.
    calls_redacted : int
        Calls that asked about the person.
    calls_removed : int
        Calls that were deleted.
    """

    sessions_removed: int = 0
    responses_rewritten: int = 0
    responses_removed: int = 0
    calls_redacted: int = 0
    calls_removed: int = 0

    def __str__(self) -> str:
        return counted(
            (self.sessions_removed, "session", "removed"),
            (self.responses_removed, "response", "removed"),
            (self.responses_rewritten, "response", "rewritten"),
            (self.calls_removed, "call", "removed"),
            (self.calls_redacted, "call", "redacted"),
        )


def find_in_journal(journal: Journal, person: Person) -> Person:
    """Find a person's user ids, identifiers, e-mail addresses, names and sessions, in all applications.

    Whoever shares a user id, an identifier or an e-mail address with the person is the person, and so on.

    Raises
    ------
    JournalError
        If the journal cannot be read.
    """
    while True:
        before, finder = person, Finder(person)
        for record in journal.records():
            text = text_of(record.body)
            if record.endpoint in ENDPOINTS and finder.may_be_in(text):
                for user in _users(text, ENDPOINTS[record.endpoint]):
                    if person.is_user(user):
                        person |= user
        if person == before:
            return person


def forget_in_journal(journal: Journal, person: Person) -> ForgottenInJournal:
    """Erase a person that was found from a journal and its files.

    Their sessions are cut out of all responses; details and searches by their identifier are emptied. Elsewhere, such as in page
    addresses and error titles of others, ``[forgotten]`` replaces their e-mail addresses and identifiers of six or more characters
    that are not only digits. A response that is not the documented JSON is emptied if it holds anything of theirs. A killed process
    leaves all of it done, or nothing.

    Raises
    ------
    JournalError
        If the journal cannot be read or written, or another process is reading what was removed. Run it again then.
    """
    finder, eraser = Finder(person), _Eraser(journal)
    concerned = []
    for record in journal.records():
        text = text_of(record.body)
        if _asks_about(record, person) or finder.may_be_in(text) or finder.is_in(text):
            concerned.append(record.id)

    def is_theirs(session: str) -> bool:
        user = _user(session)
        return finder.is_in(session) if user is None else person.has(user)

    with journal.transaction():
        for record in filter(None, map(journal.record, concerned)):
            eraser.erase(record, is_theirs, everything=_asks_about(record, person), finder=finder)
    journal.scrub()
    return eraser.result


def retain_in_journal(journal: Journal, cutoff: datetime, now: datetime) -> ForgottenInJournal:
    """Erase everything before a time from a journal.

    Calls before that time are deleted or, if they may still count towards the quota, emptied. Sessions that started before it are
    cut out of later responses. A session whose start cannot be read stays as long as its call.

    Raises
    ------
    JournalError
        As for ``forget_in_journal()``; what is done by then stays done.
    """
    eraser = _Eraser(journal)
    old = [record.id for record in journal.records() if record.at < min(cutoff, now - COUNTS_FOR)]
    journal.remove(old)
    eraser.result.calls_removed = len(old)
    for record in journal.records():
        is_old = record.at < cutoff
        if record.body or is_old:
            eraser.erase(record, lambda session: _started_before(session, cutoff), everything=is_old)
    journal.scrub()
    return eraser.result


def forget_in_keystore(folder: Path, texts: Iterable[str]) -> int:
    """Delete the session-key files that hold one of some texts, as none should; return how many."""
    wanted = [text for text in texts if text]
    paths = [
        path
        for path in sorted(folder.glob("session-*"))
        if path.is_file() and any(text in path.read_text(encoding="utf-8", errors="replace") for text in wanted)
    ]
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


class _Eraser:
    """Rewrites calls, and counts what it removes."""

    def __init__(self, journal: Journal) -> None:
        self.result = ForgottenInJournal()
        self._journal = journal
        self._sessions: set[object] = set()

    def erase(
        self, record: CallRecord, is_cut: Callable[[str], bool], *, everything: bool, finder: Finder | None = None
    ) -> None:
        """Cut sessions out of a call's response, or all of it, and redact mentions of a person."""
        text = text_of(record.body)
        left, ids, params = text, list[int | None](), record.params
        try:
            left, ids = cut_sessions(text, ENDPOINTS[record.endpoint], is_cut)
            left = finder.redacted(left) if finder else left
        except (NotJson, KeyError):
            left = "" if finder and finder.is_in(text) else text
        if everything or (ids and not left):
            left, params = "", _redacted(record.params)
        # A session without an id is identified by its place.
        self._sessions.update((record.id, place) if id_ is None else id_ for place, id_ in enumerate(ids))
        self.result.sessions_removed = len(self._sessions)
        if (left, params) == (text, record.params):
            return
        self.result.responses_rewritten += bool(left)
        self.result.responses_removed += bool(text and not left)
        self.result.calls_redacted += params != record.params
        # As pagination counts them: a session that a page lists twice is one, and each row without an id is one.
        forgotten = len(set(ids) - {None}) + ids.count(None)
        self._journal.rewrite(record.id, left.encode("utf-8", "surrogateescape"), forgotten=forgotten, params=params)


def _asks_about(record: CallRecord, person: Person) -> bool:
    """Return whether a call asked for the person, or for a session of theirs."""
    pairs = parse_qsl(record.params)
    names = [value for key, value in pairs if key == "userIdentifier"]
    ids = [value for key, value in pairs if key == "id"]
    return person.has(Person.described(identifiers=names, session_ids=ids, emails=names))


def _redacted(params: str) -> str:
    pairs = parse_qsl(params, keep_blank_values=True)
    if not any(key in _NAMING and value for key, value in pairs):
        return params
    return urlencode([(key, _NAMING.get(key, value)) for key, value in pairs])


def _users(text: str, endpoint: Endpoint) -> Iterator[Person]:
    """Yield the user of each session of a response that can be read."""
    try:
        sessions = session_texts(text, endpoint)
    except NotJson:
        return
    yield from filter(None, map(_user, sessions))


def _user(session: str) -> Person | None:
    """Return the user of a session, or None if its JSON cannot be read."""
    value = decode_pairs(session)
    if value is None:
        return None
    return Person.described(
        user_ids=values_at(value, "user", "id"),
        identifiers=values_at(value, "user", "identifier"),
        emails=values_at(value, "user", "emailAddress"),
        session_ids=values_at(value, "id"),
        texts=[
            *values_at(value, "user", "firstName"),
            *values_at(value, "user", "fullName"),
            *values_at(value, "location", "ipAddress"),
        ],
    )


def _started_before(session: str, cutoff: datetime) -> bool:
    for text in values_at(decode_pairs(session), "sessionStart"):
        try:
            start = datetime.fromisoformat(text)
        except (ValueError, TypeError):
            continue
        if (start if start.tzinfo else start.replace(tzinfo=UTC)) < cutoff:
            return True
    return False
