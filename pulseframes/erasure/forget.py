"""Takes a person, or what is too old, out of everything that pulseframes keeps: lake, journal and session-key files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pulseframes._arguments import whole_number
from pulseframes.client import JOURNAL_FILE, Journal, Settings
from pulseframes.erasure.journal import (
    ForgottenInJournal,
    find_in_journal,
    forget_in_journal,
    forget_in_keystore,
    retain_in_journal,
)
from pulseframes.erasure.lake import ForgottenInLake, find_in_lake, forget_in_lake, retain_in_lake
from pulseframes.erasure.person import SHORTEST_NAMED, Person
from pulseframes.errors import InvalidQuery
from pulseframes.lake import Lake, as_lake


@dataclass(frozen=True)
class Forgotten:
    """What was removed; nothing of the person is in it.

    Attributes
    ----------
    lake : ForgottenInLake or None
        Rows removed by table, mentions taken out, days rewritten; None where no lake was given.
    journal : ForgottenInJournal or None
        Answers rewritten and removed, sessions removed, questions redacted; None where there is no journal.
    key_files : int
        Files of session keys that held anything of the person, as none should.
    kept_from : datetime or None
        For ``retain()``: what is from before is gone.
    """

    lake: ForgottenInLake | None = None
    journal: ForgottenInJournal | None = None
    key_files: int = 0
    kept_from: datetime | None = field(default=None)

    @property
    def found(self) -> bool:
        """Whether anything was there to be removed."""
        lake, journal = self.lake, self.journal
        in_lake = lake is not None and (any(lake.rows.values()) or lake.mentions > 0)
        in_journal = journal is not None and any(
            (journal.answers_rewritten, journal.answers_removed, journal.questions_redacted, journal.calls_removed)
        )
        return in_lake or in_journal

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON takes it.

        Returns
        -------
        dict
            Counts by place, and ``kept_from`` in ISO 8601, UTC.
        """
        lake, journal = self.lake, self.journal
        return {
            "found": self.found,
            "kept_from": self.kept_from and self.kept_from.isoformat(),
            "lake": lake
            and {"rows": lake.rows, "mentions": lake.mentions, "days": [day.isoformat() for day in sorted(lake.days)]},
            "journal": journal
            and {
                "sessions_removed": journal.sessions_removed,
                "answers_rewritten": journal.answers_rewritten,
                "answers_removed": journal.answers_removed,
                "questions_redacted": journal.questions_redacted,
                "calls_removed": journal.calls_removed,
            },
            "key_files": self.key_files,
        }

    def __str__(self) -> str:
        lines = [] if self.kept_from is not None or self.found else ["Nobody of that name was found."]
        if self.lake is not None:
            rows = ", ".join(f"{count} {name}" for name, count in self.lake.rows.items())
            mentions = f"; {self.lake.mentions} mentions taken out" if self.lake.mentions else ""
            lines.append(f"Lake: removed {rows}; {len(self.lake.days)} days rewritten{mentions}.")
        if self.journal is None:
            lines.append("Journal: there is none.")
        else:
            lines.append(
                f"Journal: removed {self.journal.sessions_removed} sessions; {self.journal.answers_rewritten} answers "
                f"rewritten, {self.journal.answers_removed} removed, {self.journal.calls_removed} calls removed, "
                f"{self.journal.questions_redacted} questions redacted."
            )
        if self.key_files:
            lines.append(f"Session keys: {self.key_files} files removed.")
        if self.kept_from is not None:
            lines.append(f"Kept: what is from {self.kept_from:%Y-%m-%d} UTC on.")
        elif self.found:
            lines.append("Raygun may still have the user: remove them there too, or a later search brings them back.")
        return "\n".join(lines)


def forget(
    lake: Lake | str | os.PathLike[str] | None, user: str | int, *, settings: Settings | None = None
) -> Forgotten:
    """Remove a person from a lake, the journal and the session-key files; costs no call.

    All sessions that share a user id, an identifier or an e-mail address with the person are the person's, and go with their
    page views, errors, rejected rows and raw answers. Where others' page addresses or error titles name the person's e-mail
    address or identifier, ``[forgotten]`` stands then. Nothing of it can be read in the files afterwards; copies that were
    made of them, and versions that an object store keeps, are not reached. What others share, such as a first name or a
    network address, stays with the others.

    Parameters
    ----------
    lake : Lake, path or None
        The lake; None for the journal alone.
    user : str or int
        The identifier that the site gave the user, an e-mail address in any case, or Raygun's user id.
    settings : Settings or None
        Where the journal is; from the environment if not given.

    Returns
    -------
    Forgotten
        What was removed, in counts.

    Raises
    ------
    InvalidQuery
        If ``user`` is empty or of another type.
    LakeError
        If the lake cannot be read or written, or holds pseudonyms and their key is not set.
    JournalError
        If the journal cannot be read or written, or another process is reading what was removed; do it again then.
    """
    if not isinstance(user, str | int) or isinstance(user, bool):
        raise InvalidQuery(f"user: {type(user).__name__} is no identifier, e-mail address or user id.", argument="user")
    person = Person.named(str(user))
    place = _lake(lake)
    journal = _journal(settings or Settings())
    try:
        before = None
        while person != before:  # the one may know of the person what leads to more in the other
            before = person
            if place is not None:
                person = find_in_lake(place, person)
            if journal is not None:
                person = find_in_journal(journal, person)
        in_lake = None if place is None else forget_in_lake(place, person)
        in_journal = None if journal is None else forget_in_journal(journal, str(user), known=person)
    finally:
        if journal is not None:
            journal.close()
    folder = (settings or Settings()).folder
    texts = {text for text in (*person.identifiers, *person.emails, *person.texts) if len(text) >= SHORTEST_NAMED}
    return Forgotten(in_lake, in_journal, 0 if folder is None else forget_in_keystore(folder, texts))


def retain(
    lake: Lake | str | os.PathLike[str] | None,
    days: int,
    *,
    settings: Settings | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Forgotten:
    """Remove what is older than some days from a lake and the journal; costs no call.

    From the lake go the days, in UTC, that ended before; a later ``sync()`` leaves them out though its window has them. From
    the journal go the calls of that time, and sessions that started then from later answers; what may still count in the
    quota goes on counting.

    Parameters
    ----------
    lake : Lake, path or None
        The lake; None for the journal alone.
    days : int
        How many days stay, besides today.
    settings : Settings or None
        Where the journal is; from the environment if not given.
    clock : callable
        The present, in UTC; a test gives its own.

    Returns
    -------
    Forgotten
        What was removed, in counts.

    Raises
    ------
    InvalidQuery
        If ``days`` is not a whole number of at least 1.
    LakeError, JournalError
        As for ``forget()``.
    """
    now = clock()
    days = whole_number("days", days, least=1, most=now.toordinal() - 2)  # the calendar begins with the year 1
    cutoff = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    place = _lake(lake)
    in_lake = None if place is None else retain_in_lake(place, cutoff)
    journal = _journal(settings or Settings())
    if journal is None:
        return Forgotten(in_lake, kept_from=cutoff)
    try:
        return Forgotten(in_lake, retain_in_journal(journal, cutoff, now), kept_from=cutoff)
    finally:
        journal.close()


def _lake(lake: Lake | str | os.PathLike[str] | None) -> Lake | None:
    """Give the lake, which has to be there: a mistyped name would be taken for one with nothing to remove."""
    if lake is None:
        return None
    place = as_lake(lake)
    place.state()
    return place


def _journal(settings: Settings) -> Journal | None:
    folder = settings.folder
    path = None if folder is None else folder / JOURNAL_FILE
    return None if path is None or not path.exists() else Journal(path)
