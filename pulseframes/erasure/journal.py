"""Takes somebody, or what is too old, out of the journal: their sessions, and where else they are named.

What is left of an answer is the text that the server sent, letter by letter. The calls stay, for they count in the quota.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode

from pulseframes.client import CallRecord, Journal
from pulseframes.endpoints import ENDPOINTS, Endpoint
from pulseframes.erasure.person import FORGOTTEN, Finder, Person
from pulseframes.flatten import NotJson, cut_sessions, decode_pairs, session_texts, text_of, values_at

#: After this a call surely counts no more, however the day is reckoned.
COUNTS_FOR: Final = timedelta(hours=25)

#: The parameters that name somebody, and what they become.
_NAMING: Final = {"userIdentifier": FORGOTTEN, "id": ""}


@dataclass
class ForgottenInJournal:
    """What was taken out of a journal.

    Attributes
    ----------
    person : Person
        All that the journal had of the person; not in the ``repr``.
    answers_rewritten, answers_removed : int
        Answers that have lost sessions, or a mention of the person; and those of which nothing is left.
    questions_redacted : int
        Calls that had asked about the person.
    calls_removed : int
        Calls that are there no more.
    """

    person: Person = field(default_factory=Person, repr=False)
    answers_rewritten: int = 0
    answers_removed: int = 0
    questions_redacted: int = 0
    calls_removed: int = 0
    #: Ids of the sessions; for one whose id cannot be read, where it stood.
    gone: set[object] = field(default_factory=set, repr=False)

    @property
    def sessions_removed(self) -> int:
        """How many different sessions were taken out."""
        return len(self.gone)


def find_in_journal(journal: Journal, person: Person) -> Person:
    """Find all user ids, identifiers, e-mail addresses, names and sessions of a person, in all applications.

    Whoever shares a user id, an identifier or an e-mail address with the person is the person, and so on.

    Raises
    ------
    JournalError
        If the journal cannot be read.
    """
    while True:
        before, finder = person, Finder(person)
        for entry in journal.everything():
            text = text_of(entry.body)
            if entry.endpoint in ENDPOINTS and finder.may_be_in(text):
                for said in _users(text, ENDPOINTS[entry.endpoint]):
                    if person.is_user(said):
                        person |= said
        if person == before:
            return person


def forget_in_journal(journal: Journal, user: str, *, known: Person | None = None) -> ForgottenInJournal:
    """Take a person out of a journal, and out of its files.

    The person's sessions go from all answers, and with them details and searches by the person's identifier. In what is left,
    page addresses and error titles of others for example, the person's e-mail addresses and identifiers of six or more
    characters, if they are not digits alone, become ``[forgotten]``. An answer that is not the documented JSON goes if it holds
    anything of the person's. All of it happens or, if the process is killed, none.

    Parameters
    ----------
    journal : Journal
        Where.
    user : str
        An identifier or user id as it is, or an e-mail address in any case.
    known : Person or None
        What else is known of the person, from a lake for example.

    Raises
    ------
    InvalidQuery
        If ``user`` is empty.
    JournalError
        If the journal cannot be read or written, or another process is reading what was removed; do it again then.
    """
    person = find_in_journal(journal, Person.named(user) | (known or Person()))
    finder, done = Finder(person), ForgottenInJournal(person)
    touched = []
    for entry in journal.everything():
        text = text_of(entry.body)
        if _asks_about(entry, person) or finder.may_be_in(text) or finder.is_in(text):
            touched.append(entry.id)

    def goes(session: str) -> bool:
        said = _user(session)
        return finder.is_in(session) if said is None else person.has(said)

    with journal.at_once():
        for call_id in touched:
            found = journal.entry(call_id)
            if found is not None:
                asks = _asks_about(found, person)
                _clean(journal, found, done, goes, asks=asks, redacted=finder.redacted, unreadable=finder.is_in)
    journal.scrub()
    return done


def retain_in_journal(journal: Journal, cutoff: datetime, now: datetime) -> ForgottenInJournal:
    """Take everything out of a journal that is from before a time.

    Calls that were sent before go, unless they may still count in the quota: of those, the answers go. Of later answers,
    the sessions go that had started before. One whose start cannot be read goes with its call.

    Raises
    ------
    JournalError
        As for ``forget_in_journal()``; what was done until then stays done.
    """
    done = ForgottenInJournal()
    old = [entry.id for entry in journal.everything() if entry.at < min(cutoff, now - COUNTS_FOR)]
    journal.remove(old)
    done.calls_removed = len(old)
    for entry in journal.everything():
        too_old = entry.at < cutoff
        if entry.body or too_old:
            _clean(journal, entry, done, lambda session: _started_before(session, cutoff), asks=too_old)
    journal.scrub()
    return done


def forget_in_keystore(folder: Path, texts: Iterable[str]) -> int:
    """Remove the files of session keys that hold any of some texts, as none should; give how many."""
    wanted = [text for text in texts if text]
    found = [
        path
        for path in sorted(folder.glob("session-*"))
        if path.is_file() and any(text in path.read_text(encoding="utf-8", errors="replace") for text in wanted)
    ]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _clean(
    journal: Journal,
    entry: CallRecord,
    done: ForgottenInJournal,
    goes: Callable[[str], bool],
    *,
    asks: bool,
    redacted: Callable[[str], str] = str,
    unreadable: Callable[[str], bool] = lambda _: False,
) -> None:
    """Write one call's answer anew, if it has to be; with ``asks``, nothing of it stays."""
    text = text_of(entry.body)
    left, gone = text, list[int | None]()
    try:
        left, gone = cut_sessions(text, ENDPOINTS[entry.endpoint], goes)
        left = redacted(left)
    except (NotJson, KeyError):
        left = "" if unreadable(text) else text
    done.gone.update((entry.id, place) if row is None else row for place, row in enumerate(gone))
    params = None
    if asks or (gone and not left):
        left, params = "", _redacted_params(entry)
    if left == text and params in (None, entry.params):
        return
    done.answers_rewritten += bool(left)
    done.answers_removed += bool(text and not left)
    done.questions_redacted += params not in (None, entry.params)
    # As the reader of pages counts: a session that comes twice on a page is one, each row without an id is one.
    forgotten = len(set(gone) - {None}) + gone.count(None)
    journal.rewrite(entry.id, left.encode("utf-8", "surrogateescape"), forgotten=forgotten, params=params)


def _asks_about(entry: CallRecord, person: Person) -> bool:
    """Tell whether a call asked for the person, or for a session of theirs."""
    asked = Person.described(
        identifiers=_asked(entry, "userIdentifier"),
        session_ids=_asked(entry, "id"),
        emails=_asked(entry, "userIdentifier"),
    )
    return person.has(asked)


def _asked(entry: CallRecord, name: str) -> list[str]:
    return [value for key, value in parse_qsl(entry.params) if key == name]


def _redacted_params(entry: CallRecord) -> str:
    if not any(_asked(entry, name) for name in _NAMING):
        return entry.params
    pairs = parse_qsl(entry.params, keep_blank_values=True)
    return urlencode([(key, _NAMING.get(key, value)) for key, value in pairs])


def _users(text: str, endpoint: Endpoint) -> Iterator[Person]:
    """Give what each session of an answer says of its user; of what cannot be read, nothing."""
    try:
        sessions = session_texts(text, endpoint)
    except NotJson:
        return
    for session in sessions:
        said = _user(session)
        if said is not None:
            yield said


def _user(session: str) -> Person | None:
    """Give what a session's JSON says of its user; None where it cannot be read."""
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
