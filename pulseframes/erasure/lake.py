"""Erases a person, or old data, from a lake: their sessions with all that belongs to them, and mentions of them elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from unicodedata import normalize

import polars as pl

from pulseframes._text import counted, spelling
from pulseframes.erasure.person import Finder, Person
from pulseframes.lake import Lake
from pulseframes.tables import LAKE_TABLES, REJECTED, SESSIONS, Privacy, Table
from pulseframes.tables.privacy import Action, PrivacyPolicy
from pulseframes.windows import Window, subtract, union

_IDENTITY = (
    "session_id",
    "user_id",
    "user_identifier",
    "user_email_address",
    "user_first_name",
    "user_full_name",
    "ip_address",
)

#: What a row of each table is.
_NOUNS = {
    "sessions": "session",
    "page_views": "page view",
    "errors": "error",
    "rejected": "rejected row",
    "design": "sampled session",
}
_NAMES = ("user_identifier", "user_email_address")


@dataclass
class ForgottenInLake:
    """What was removed from a lake.

    Attributes
    ----------
    rows : dict of str to int
        Rows removed, by table.
    mentions : int
        Page addresses and titles of others that named the person and were redacted.
    days : set of date
        The partitions that were rewritten or deleted.
    """

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LAKE_TABLES, 0))
    mentions: int = 0
    days: set[date] = field(default_factory=set)

    def __str__(self) -> str:
        return counted(
            *((count, _NOUNS[name], "removed") for name, count in self.rows.items()),
            (self.mentions, "mention", "redacted"),
            (len(self.days), "day", "rewritten"),
        )


def find_in_lake(lake: Lake, person: Person) -> Person:
    """Find all sessions of a person in a lake, and what they say about the person.

    Raises
    ------
    LakeError
        If the lake cannot be read, or holds pseudonyms whose key is not set.
    """
    policy = lake.policy()
    rows = lake.sessions().select(_IDENTITY).collect()
    rows = rows.with_columns(_spelled(rows[name]) for name in _NAMES)
    while True:
        theirs = rows.filter(_is_theirs(person, policy))
        # The id 0 is a session here; elsewhere it is what .NET writes for none.
        known = person | Person(session_ids=frozenset(theirs["session_id"]))
        known |= Person.described(
            user_ids=theirs["user_id"],
            identifiers=theirs["user_identifier"],
            emails=theirs["user_email_address"],
            texts=[*theirs["user_first_name"], *theirs["user_full_name"], *theirs["ip_address"]],
        )
        if known == person:
            return person
        person = known


def forget_in_lake(lake: Lake, person: Person) -> ForgottenInLake:
    """Erase a person that was found from a lake.

    Their sessions are removed with page views, errors and rejected rows. In the rest, ``[forgotten]`` replaces their e-mail addresses
    and identifiers of six or more characters that are not only digits, in page addresses and titles. A killed process leaves all of it done, or nothing; the
    next writer finishes it.

    Raises
    ------
    LakeError
        If the lake cannot be written.
    """
    result, finder = ForgottenInLake(), Finder(person)
    lacking: set[date] = set()
    with lake.rewrite(save_state=True) as partitions:
        partitions.refuse_others()
        state = lake.state()
        for design in state.designs:
            design.pending = {id_: views for id_, views in design.pending.items() if id_ not in person.session_ids}
        for table in LAKE_TABLES.values():
            for day in partitions.days(table.name):
                rows = partitions.read(table.name, [day])
                rest = _without(rows, table, person, finder)
                clean = rest.with_columns(_redacted(rest[name], finder, result) for name in _contents(table))
                if not clean.equals(rows):
                    result.rows[table.name] += len(rows) - len(rest)
                    result.days.add(day)
                    partitions.replace(table.name, day, clean)
                if table.name == SESSIONS.name and len(rest) < len(rows):
                    lacking.add(day)
        # So that nobody calls the other sessions all there were.
        state.incomplete = union([*state.incomplete, *_days_covered(lacking, state.coverage.windows())])
    return result


def retain_in_lake(lake: Lake, cutoff: datetime) -> ForgottenInLake:
    """Erase the days before a midnight in UTC from a lake; no sync fetches them again.

    Raises
    ------
    LakeError
        If the lake cannot be written.
    """
    result = ForgottenInLake()
    with lake.rewrite(save_state=True) as partitions:
        partitions.refuse_others()
        for name, table in LAKE_TABLES.items():
            for day in partitions.days(name):
                if day < cutoff.date():
                    result.rows[name] += len(partitions.read(name, [day]))
                    result.days.add(day)
                    partitions.replace(name, day, table.empty())
        state = lake.state()
        state.kept_from = max(cutoff, state.kept_from or cutoff)
        state.coverage.remove(Window(datetime.min.replace(tzinfo=cutoff.tzinfo), cutoff))
        state.reading = [window for window in state.reading if window.start >= cutoff]
        for design in state.designs:
            design.drop_before(cutoff)
    return result


def _days_covered(days: Iterable[date], coverage: Sequence[Window]) -> list[Window]:
    """Return the parts of some days that a lake has read."""
    starts = [datetime.combine(day, time(), UTC) for day in days]
    windows = [Window(start, start + timedelta(days=1)) for start in starts]
    return subtract(windows, subtract(windows, coverage))


def _is_theirs(person: Person, policy: PrivacyPolicy) -> pl.Expr:
    """Return a filter for the sessions whose user is a person, in the lake's own form of each value."""
    names = [*person.identifiers, *person.emails]  # older pseudonyms depend on the spelling, and this may be it
    spelled = {"user_identifier": {*names}, "user_email_address": person.emails}
    is_named = pl.any_horizontal(
        pl.col(name).is_in(_as_stored(name, names, policy)) | pl.col(f"{name}_spelled").is_in(sorted(spelled[name]))
        for name in _NAMES
    )
    return (
        pl.col("user_id").is_in(_as_stored("user_id", person.user_ids, policy))
        | is_named
        | pl.col("session_id").is_in(sorted(person.session_ids))
    ).fill_null(False)


def _spelled(names: pl.Series) -> pl.Series:
    """Return the ``spelling()`` of each name, as another column."""
    spellings = {name: spelling(name) for name in names.drop_nulls().unique()}
    return names.replace(spellings).alias(f"{names.name}_spelled")


def _as_stored(column: str, values: Iterable[int] | Iterable[str], policy: PrivacyPolicy) -> list[int | str]:
    """Return values as they are and, if the lake has pseudonyms, their pseudonyms."""
    plain: Sequence[int | str] = sorted(values)
    if policy.action(column) is not Action.PSEUDONYMISE:
        return [*plain]
    forms = {form for value in plain for form in _forms(value)}
    pseudonyms = [policy.pseudonym(column, form) for form in forms]
    return [*plain, *(value for value in pseudonyms if value is not None)]


def _forms(value: int | str) -> set[int | str]:
    return {value} if isinstance(value, int) else {value, normalize("NFC", value), normalize("NFD", value)}


def _without(rows: pl.DataFrame, table: Table, person: Person, finder: Finder) -> pl.DataFrame:
    is_theirs = pl.col("session_id").is_in(sorted(person.session_ids)).fill_null(False)
    if table.name == REJECTED.name:
        names_them = pl.Series([finder.is_in(text) for text in rows["raw_json"]], dtype=pl.Boolean)
        return rows.filter(~(is_theirs | names_them))
    return rows.filter(~is_theirs)


def _contents(table: Table) -> list[str]:
    """Return the columns in which one user's row can name another."""
    return [
        column.name for column in table.columns if column.privacy is Privacy.CONTENT and table.name != SESSIONS.name
    ]


def _redacted(texts: pl.Series, finder: Finder, result: ForgottenInLake) -> pl.Series:
    cleaned = {text: json.loads(finder.redacted(json.dumps(text))) for text in texts.drop_nulls().unique()}
    replaced = {text: clean for text, clean in cleaned.items() if clean != text}
    if not replaced:
        return texts
    result.mentions += int(texts.is_in(list(replaced)).sum())
    return texts.replace(replaced)
