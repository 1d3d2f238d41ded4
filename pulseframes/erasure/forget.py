"""Erases a person, or old data, from everything that pulseframes stores: lake, journal and session-key files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pulseframes._arguments import check_callable, check_type, whole_number
from pulseframes._card import Card, Row
from pulseframes._text import plural
from pulseframes.client import JOURNAL_FILE, Journal, Settings, as_settings
from pulseframes.erasure.journal import (
    ForgottenInJournal,
    find_in_journal,
    forget_in_journal,
    forget_in_keystore,
    retain_in_journal,
)
from pulseframes.erasure.lake import ForgottenInLake, find_in_lake, forget_in_lake, retain_in_lake
from pulseframes.erasure.person import SHORTEST_NAMED, Person
from pulseframes.lake import Lake, as_lake


@dataclass(frozen=True, repr=False)
class Forgotten(Card):
    """What was removed, in counts; nothing personal.

    Attributes
    ----------
    lake : ForgottenInLake or None
        Rows removed by table, mentions redacted, days rewritten; None if no lake was given.
    journal : ForgottenInJournal or None
        Sessions removed, responses rewritten and removed, calls redacted and removed; None if there is no journal.
    key_files : int
        Session-key files deleted because they held something of the person, as none should.
    kept_from : datetime or None
        For ``retain()``: everything before was removed.

    Examples
    --------
    >>> removed = pf.forget("lake", "nobody@example.com")
    >>> removed.found
    False
    >>> removed.as_dict()["lake"]["rows"]["sessions"]
    0
    """

    lake: ForgottenInLake | None = None
    journal: ForgottenInJournal | None = None
    key_files: int = 0
    kept_from: datetime | None = None

    @property
    def found(self) -> bool:
        """Whether anything was removed.

        Examples
        --------
        >>> pf.forget("lake", user="nobody@example.com").found
        False
        """
        in_lake = self.lake is not None and (any(self.lake.rows.values()) or self.lake.mentions > 0)
        return in_lake or (self.journal is not None and self.journal != ForgottenInJournal())

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON has them.

        Returns
        -------
        dict
            ``removed``, whether anything was; the counts by place; and ``kept_from`` in ISO 8601, UTC.

        Examples
        --------
        >>> pf.forget("lake", user="nobody@example.com").as_dict()["removed"]
        False
        """
        days = [] if self.lake is None else sorted(day.isoformat() for day in self.lake.days)
        return {
            "removed": self.found or self.key_files > 0,
            "kept_from": self.kept_from and self.kept_from.isoformat(),
            "lake": self.lake and msgspec.to_builtins(self.lake) | {"days": days},
            "journal": self.journal and msgspec.to_builtins(self.journal),
            "key_files": self.key_files,
        }

    def __repr__(self) -> str:
        rows = 0 if self.lake is None else sum(self.lake.rows.values())
        before = "" if self.kept_from is None else f", kept_from={self.kept_from:%Y-%m-%d}"
        return f"Forgotten(found={self.found}, {plural(rows, 'row')} of the lake removed{before})"

    def _rows(self) -> Iterator[Row]:
        before = None if self.kept_from is None else f"{self.kept_from:%Y-%m-%d} UTC"
        if not self.found and not self.key_files:
            why = "No matching user found" if before is None else f"Nothing was older than {before}"
            yield "", f"{why}. Nothing was removed."
            return
        if before is not None:
            yield "", f"Removed what was older than {before}."
        if self.lake is not None:
            yield "Lake", f"{self.lake}."
        if self.journal is not None:
            yield "Journal", f"{self.journal}."
        if self.key_files:
            yield "Session keys", f"{plural(self.key_files, 'file')} removed."
        if before is None:
            yield (
                "",
                "Raygun may still have the user. Delete them there as well, or a later search downloads them again.",
            )


def forget(
    lake: Lake | str | os.PathLike[str] | None, user: str | int, *, settings: Settings | None = None
) -> Forgotten:
    """Erase a person from a lake, the journal and the session-key files; costs no calls.

    A session belongs to the person if it shares a user id, an identifier or an e-mail address with them. All of these are removed, with
    their page views, errors, rejected rows and raw responses. In page addresses and error titles of others, ``[forgotten]`` replaces
    the person's e-mail address or identifier, unless it has fewer than six characters or only digits. None of the sessions is recoverable
    from the files afterwards; copies of the files, and versions that a bucket keeps, are not changed. Values that others share, such as
    a first name or a network address, stay with the others.

    Parameters
    ----------
    lake : Lake, path or None
        The lake; None for the journal alone.
    user : str or int
        The identifier that the site gave the user or an e-mail address, in upper or lower case, or Raygun's user id.
    settings : Settings or None
        Where the journal is; by default from the environment.

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
        If the journal cannot be read or written, or another process is reading what was removed. Run it again then.

    Examples
    --------
    >>> removed = pf.forget("lake", "jane@example.com")
    """
    example = "an identifier, an e-mail address or a user id, such as 'jane@example.com'"
    check_type("user", None if isinstance(user, bool) else user, (str, int), example)
    person, before = Person.named(str(user)), None
    place, settings = _existing(lake), as_settings(settings)
    with _journal(settings) as journal:
        while person != before:  # the lake may know identifiers that lead to more in the journal, and the reverse
            before = person
            if place is not None:
                person = find_in_lake(place, person)
            if journal is not None:
                person = find_in_journal(journal, person)
        in_lake = None if place is None else forget_in_lake(place, person)
        in_journal = None if journal is None else forget_in_journal(journal, person)
    folder = settings.folder
    texts = {text for text in (*person.identifiers, *person.emails, *person.texts) if len(text) >= SHORTEST_NAMED}
    return Forgotten(in_lake, in_journal, 0 if folder is None else forget_in_keystore(folder, texts))


def retain(
    lake: Lake | str | os.PathLike[str] | None,
    days: int,
    *,
    settings: Settings | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Forgotten:
    """Delete data older than some days from a lake and the journal; costs no calls.

    The lake loses the UTC days that ended before; a later ``sync()`` does not download them again. The journal loses the calls of that
    time, and sessions that started then from later responses. Calls that may still count towards the quota are kept.

    Parameters
    ----------
    lake : Lake, path or None
        The lake; None for the journal alone.
    days : int
        Keep this many days, and today.
    settings : Settings or None
        Where the journal is; by default from the environment.
    clock : callable
        Returns the present, in UTC; for tests.

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

    Examples
    --------
    >>> removed = pf.retain("lake", days=730)
    """
    check_callable("clock", clock)
    now = clock()
    days = whole_number("days", days, least=1, most=now.toordinal() - 2)  # the calendar begins with the year 1
    cutoff = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    place = _existing(lake)
    in_lake = None if place is None else retain_in_lake(place, cutoff)
    with _journal(as_settings(settings)) as journal:
        in_journal = None if journal is None else retain_in_journal(journal, cutoff, now)
    return Forgotten(in_lake, in_journal, kept_from=cutoff)


def _existing(lake: Lake | str | os.PathLike[str] | None) -> Lake | None:
    """Open a lake, which must exist: a mistyped name would pass for a lake with nothing to remove."""
    if lake is None:
        return None
    place = as_lake(lake)
    place.state()
    return place


@contextmanager
def _journal(settings: Settings) -> Iterator[Journal | None]:
    path = None if settings.folder is None else settings.folder / JOURNAL_FILE
    if path is None or not path.exists():
        yield None
        return
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()
