"""Takes somebody, or what is too old, out of a lake: their sessions with all that belongs to them, and where else they are named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from pulseframes.erasure.person import Finder, Person
from pulseframes.lake import Lake
from pulseframes.tables import LAKE_TABLES, REJECTED, SESSIONS, Privacy, Table
from pulseframes.tables.privacy import Action, PrivacyPolicy
from pulseframes.windows import Window

_WHO = (
    "session_id",
    "user_id",
    "user_identifier",
    "user_email_address",
    "user_first_name",
    "user_full_name",
    "ip_address",
)


@dataclass
class ForgottenInLake:
    """What was taken out of a lake.

    Attributes
    ----------
    rows : dict of str to int
        Rows removed, by table.
    mentions : int
        Page addresses and titles of others that named the person, and do no more.
    days : set of date
        The partitions that were rewritten or removed.
    """

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LAKE_TABLES, 0))
    mentions: int = 0
    days: set[date] = field(default_factory=set)


def find_in_lake(lake: Lake, person: Person) -> Person:
    """Find all sessions of a person in a lake, and what else they say of the person.

    Raises
    ------
    LakeError
        If the lake cannot be read, or holds pseudonyms whose key is not set.
    """
    policy = lake.policy()
    rows = lake.read(lake.sessions().select(_WHO))
    while True:
        mine = rows.filter(_is(person, policy))
        found = person | Person.described(
            user_ids=mine["user_id"],
            identifiers=mine["user_identifier"],
            emails=mine["user_email_address"],
            session_ids=mine["session_id"],
            texts=[*mine["user_first_name"], *mine["user_full_name"], *mine["ip_address"]],
        )
        if found == person:
            return person
        person = found


def forget_in_lake(lake: Lake, person: Person) -> ForgottenInLake:
    """Take a person that was found out of a lake.

    Sessions go with their page views, errors and rejected rows. In what is left, page addresses and titles that name the
    person's e-mail addresses or identifiers, of six or more characters, have ``[forgotten]`` there. All of it happens or,
    if the process is killed, none; the next writer finishes it.

    Raises
    ------
    LakeError
        If the lake cannot be written.
    """
    done = ForgottenInLake()
    finder = Finder(person)
    with lake.rewrite(save_state=True) as partitions:
        for design in lake.state().designs:
            design.pending = {id_: views for id_, views in design.pending.items() if id_ not in person.session_ids}
        for table in LAKE_TABLES.values():
            for day in partitions.days(table.name):
                rows = partitions.read(table.name, [day])
                left = _without(rows, table, person, finder)
                clean = left.with_columns(_redacted(left[name], finder, done) for name in _contents(table))
                if not clean.equals(rows):
                    done.rows[table.name] += len(rows) - len(left)
                    done.days.add(day)
                    partitions.replace(table.name, day, clean)
    return done


def retain_in_lake(lake: Lake, cutoff: datetime) -> ForgottenInLake:
    """Take the days before a midnight in UTC out of a lake; no sync asks for them again.

    Raises
    ------
    LakeError
        If the lake cannot be written.
    """
    done = ForgottenInLake()
    with lake.rewrite(save_state=True) as partitions:
        for name in LAKE_TABLES:
            for day in partitions.days(name):
                if day < cutoff.date():
                    done.rows[name] += len(partitions.read(name, [day]))
                    done.days.add(day)
                    partitions.replace(name, day, LAKE_TABLES[name].empty())
        state = lake.state()
        state.kept_from = max(cutoff, state.kept_from or cutoff)
        state.coverage.remove(Window(datetime.min.replace(tzinfo=cutoff.tzinfo), cutoff))
        state.reading = [window for window in state.reading if window.start >= cutoff]
        for design in state.designs:
            design.drop_before(cutoff)
    return done


def _is(person: Person, policy: PrivacyPolicy) -> pl.Expr:
    """Tell the rows that say that a person is their user, in the lake's own form of each value."""
    emails = pl.col("user_email_address")
    addresses = [*person.emails, *person.identifiers]  # a pseudonym was made of one spelling, and this may be it
    return (
        pl.col("user_id").is_in(_as_kept("user_id", person.user_ids, policy))
        | pl.col("user_identifier").is_in(_as_kept("user_identifier", [*person.identifiers, *person.emails], policy))
        | emails.is_in(_as_kept("user_email_address", addresses, policy))
        | emails.str.to_lowercase().is_in(sorted(person.emails))
        | pl.col("session_id").is_in(sorted(person.session_ids))
    ).fill_null(False)


def _as_kept(column: str, values: Iterable[int] | Iterable[str], policy: PrivacyPolicy) -> list[int | str]:
    """Give values as they are and, where the lake has pseudonyms, those."""
    plain: Sequence[int | str] = sorted(values)
    if policy.action(column) is not Action.PSEUDONYMISE:
        return [*plain]
    made = [policy.pseudonym(column, value) for value in plain]
    return [*plain, *(value for value in made if value is not None)]


def _without(rows: pl.DataFrame, table: Table, person: Person, finder: Finder) -> pl.DataFrame:
    gone = pl.col("session_id").is_in(sorted(person.session_ids)).fill_null(False)
    if table.name == REJECTED.name:
        names = pl.Series([finder.is_in(text) for text in rows["raw_json"]], dtype=pl.Boolean)
        return rows.filter(~(gone | names))
    return rows.filter(~gone)


def _contents(table: Table) -> list[str]:
    """Give the columns in which one user's row can name another."""
    return [
        column.name for column in table.columns if column.privacy is Privacy.CONTENT and table.name != SESSIONS.name
    ]


def _redacted(texts: pl.Series, finder: Finder, done: ForgottenInLake) -> pl.Series:
    replaced = {}
    for text in texts.drop_nulls().unique():
        clean = json.loads(finder.redacted(json.dumps(text)))
        if clean != text:
            replaced[text] = clean
    if not replaced:
        return texts
    done.mentions += int(texts.is_in(list(replaced)).sum())
    return texts.replace(replaced)
