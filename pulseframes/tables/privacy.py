"""What a lake does to personal values before it writes them, by each column's privacy class.

A value is kept, dropped, cut short, or replaced by a pseudonym: a keyed hash, the same for the same value in the same column on
every machine and day, so that rows can still be counted and joined by person, and nobody without the key can tell who it is.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

import polars as pl

from pulseframes._secret import Secret
from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.tables import REJECTED, TABLES, Column, Privacy, Table

ENV_PSEUDONYM_KEY: Final = "PULSEFRAMES_PSEUDONYM_KEY"
#: A shorter key could be guessed.
SHORTEST_KEY: Final = 16
#: What stands in place of a rejected row's JSON, which holds everything that the other columns would not show.
WITHHELD: Final = "(withheld: the lake's privacy policy)"


class Action(StrEnum):
    """What is done to a column's values."""

    KEEP = "keep"
    PSEUDONYMISE = "pseudonymise"
    TRUNCATE = "truncate"
    DROP = "drop"
    STRIP_QUERY = "strip_query"


#: The columns that rules may name. Those of one name in several tables are alike.
_COLUMNS: Final[dict[str, Column]] = {column.name: column for table in TABLES.values() for column in table.columns}
_KEYS: Final = frozenset(name for table in TABLES.values() for name in table.key)
#: A lake merges answers, and chooses what to ask for again, by these.
_WORKED_WITH: Final = frozenset({"session_updated", "status"})
_CLASSES: Final = tuple(str(privacy) for privacy in Privacy if privacy is not Privacy.NONE)
#: An address that spells out another column's value, and so must not outlive it.
_SPELLS_OUT: Final = {"user_web_url": "user_id"}
_KEEPS_OF_AN_ADDRESS: Final = {4: 24, 6: 48}


@dataclass(frozen=True)
class PrivacyPolicy:
    """What is done to which columns.

    A column's own rule wins over its class's. A class's rule never touches a key or a required column: ``session_id`` is
    what calls and joins need, and says nothing without access to Raygun. ``identifier=pseudonymise`` drops the columns of
    addresses (``user_web_url``, ``api_url``, ``web_url``), which spell ids out and are of no use as hashes. Where ``user_id``
    is pseudonymised or dropped, ``user_web_url``, which holds it, is dropped unless it has a rule of its own. As soon as anything
    is done to any column, the JSON of rejected rows is withheld.

    Parameters
    ----------
    rules : mapping of str to str
        What is done (``keep``, ``pseudonymise``, ``truncate``, ``drop``, ``strip_query``), by privacy class (``personal``,
        ``identifier``, ``content``) or column name. ``truncate`` is for ``ip_address``; ``strip_query`` for content and addresses.
        What has no rule is kept.
    key : Secret, str or None
        The key of the pseudonyms, of 16 characters or more. Read from ``PULSEFRAMES_PSEUDONYM_KEY`` if it is needed and not
        given. It is never written or shown; who has it can find out whether a person is in the lake.

    Raises
    ------
    InvalidQuery
        If a class, column or action is not known, an action does not fit, or the key is missing or too short.
    """

    rules: Mapping[str, str] = field(default_factory=dict)
    key: Secret | str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", {name: _checked_rule(name, self.rules[name]) for name in sorted(self.rules)})
        text = self.key.reveal() if isinstance(self.key, Secret) else self.key
        if text is None and self.needs_key:
            text = os.environ.get(ENV_PSEUDONYM_KEY, "")
            if not text.strip():
                raise InvalidQuery(f"key: pseudonyms need one, and {ENV_PSEUDONYM_KEY} is not set.", argument="key")
        if text is not None and len(text.strip()) < SHORTEST_KEY:
            wanted = f"has fewer than {SHORTEST_KEY} characters, and could be guessed"
            raise InvalidQuery(f"key: the pseudonyms' key ({ENV_PSEUDONYM_KEY}) {wanted}.", argument="key")
        object.__setattr__(self, "key", None if text is None else Secret(text.strip()))

    @classmethod
    def parse(cls, rules: Iterable[str], key: Secret | str | None = None) -> Self:
        """Read rules as the command line has them: ``personal=pseudonymise``, ``ip_address=truncate``.

        Raises
        ------
        InvalidQuery
            As for the class; and if a text is no rule, or two are for the same column or class.
        """
        read: dict[str, str] = {}
        for rule in rules:
            name, equals, action = (part.strip() for part in rule.partition("="))
            if not equals:
                raise InvalidQuery(
                    f"rules: {rule!r} is not like 'personal=pseudonymise' or 'page=strip_query'.", argument="rules"
                )
            if read.setdefault(name, action) != action:
                raise InvalidQuery(f"rules: {name} has two, {read[name]} and {action}.", argument="rules")
        return cls(read, key)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], key: Secret | str | None = None) -> Self:
        """Make the policy again that ``describe()`` described.

        Raises
        ------
        LakeError
            If its key is missing or another one, or the description cannot be read.
        """
        expected = description.get("key_fingerprint")
        if expected is not None and key is None and not os.environ.get(ENV_PSEUDONYM_KEY, "").strip():
            raise LakeError(f"The lake holds pseudonyms, and their key is not set; set {ENV_PSEUDONYM_KEY}.")
        try:
            policy = cls(description["rules"], key)
        except (KeyError, TypeError, AttributeError, InvalidQuery) as problem:
            raise LakeError(f"The lake's privacy policy cannot be used. {problem}") from None
        if policy.describe()["key_fingerprint"] != expected:
            raise LakeError(f"The lake's pseudonyms were made with another key; set {ENV_PSEUDONYM_KEY} to that one.")
        return policy

    def describe(self) -> dict[str, object]:
        """Give what a lake keeps of its policy, to be written as JSON: the rules, and by what to know the key, not the key."""
        rules = {name: str(action) for name, action in self.rules.items()}
        mark = self._hash(b"pulseframes key fingerprint").hex()[:16] if self.needs_key else None
        return {"rules": rules, "key_fingerprint": mark}

    @property
    def needs_key(self) -> bool:
        """Whether anything is pseudonymised."""
        return any(self.action(name) is Action.PSEUDONYMISE for name in _COLUMNS)

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is done to any column."""
        return all(self.action(name) is Action.KEEP for name in _COLUMNS)

    def action(self, column_name: str) -> Action:
        """Say what is done to a column of the tables; what no table declares is kept."""
        column = _COLUMNS.get(column_name)
        if column is None or column_name in _KEYS or column.required:
            return Action.KEEP
        if column_name in self.rules:
            return Action(self.rules[column_name])
        action = Action(self.rules.get(str(column.privacy), Action.KEEP))
        if action is Action.PSEUDONYMISE and _is_address(column):
            return Action.DROP
        spelled_out = _SPELLS_OUT.get(column_name)
        if spelled_out is not None and self.action(spelled_out) in (Action.PSEUDONYMISE, Action.DROP):
            return Action.DROP
        return action

    def apply(self, table: Table, frame: pl.DataFrame) -> pl.DataFrame:
        """Alter rows as the policy says: once, for what is a pseudonym already would become another one.

        Parameters
        ----------
        table : Table
            Which table they are of; ``REJECTED`` is one, too. Its ``reason`` is left, for no reason holds a personal value.
        frame : polars.DataFrame
            Some or all of its columns; others are carried along.

        Returns
        -------
        polars.DataFrame
            The same schema.
        """
        if table.name == REJECTED.name:
            if self.keeps_all or "raw_json" not in frame.columns:
                return frame
            return frame.with_columns(pl.lit(WITHHELD).alias("raw_json"))
        names = [column.name for column in table.columns if column.name in frame.columns]
        return frame.with_columns(self._altered(frame[name]) for name in names if self.action(name) is not Action.KEEP)

    def pseudonym(self, column_name: str, value: str | int | None) -> str | int | None:
        """Give what a value of a column has become in the lake, to look a person up by.

        Raises
        ------
        InvalidQuery
            If the policy does not pseudonymise the column, or the value is of another type than the column.
        """
        if self.action(column_name) is not Action.PSEUDONYMISE:
            raise InvalidQuery(
                f"column_name: {column_name!r} holds no pseudonyms by this policy.", argument="column_name"
            )
        whole = isinstance(_COLUMNS[column_name].dtype, pl.Int64)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int if whole else str):
            wanted = "a whole number" if whole else "a text"
            raise InvalidQuery(f"value: {column_name} holds {wanted} in each row, and this is none.", argument="value")
        return self._pseudonym(column_name, value)

    def _altered(self, values: pl.Series) -> pl.Series:
        match self.action(values.name):
            case Action.PSEUDONYMISE:
                return _replaced(values, lambda value: self._pseudonym(values.name, value))
            case Action.TRUNCATE:
                return _replaced(values, network_of)
            case Action.STRIP_QUERY:
                return values.str.replace(r"(?s)[?#].*$", "")
            case Action.DROP:
                return pl.Series(values.name, [None], dtype=values.dtype).new_from_index(0, len(values))
            case Action.KEEP:
                return values

    def _pseudonym(self, column_name: str, value: str | int) -> str | int:
        digest = self._hash(f"{column_name}\0{value}".encode())
        if isinstance(value, int):
            return int.from_bytes(digest[:8]) >> 1 or 1  # positive, and in an Int64
        return "~" + base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")

    def _hash(self, message: bytes) -> bytes:
        assert isinstance(self.key, Secret)  # noqa: S101  a policy that needs a key is not made without
        return hmac.digest(self.key.reveal().encode(), message, "sha256")


def network_of(address: str) -> str | None:
    """Give the first address of the /24 (IPv4) or /48 (IPv6) that an address lies in; None for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    spare = found.max_prefixlen - _KEEPS_OF_AN_ADDRESS[found.version]
    return str(type(found)(int(found) >> spare << spare))


def _replaced(values: pl.Series, change: Callable[[Any], Any]) -> pl.Series:
    """Change each value; each different one is worked out once."""
    old = values.drop_nulls().unique()
    return values.replace_strict(old, pl.Series([change(value) for value in old], dtype=values.dtype))


def _is_address(column: Column) -> bool:
    return column.name.endswith("_url")


def _checked_rule(name: str, action: str) -> Action:
    """Give a rule's action, if it is one and fits all columns that it is for."""
    try:
        chosen = Action(action)
    except ValueError:
        raise InvalidQuery(f"rules: {action!r} ({name}) is none of {', '.join(Action)}.", argument="rules") from None
    if name in _CLASSES:
        columns = [column for column in _COLUMNS.values() if column.privacy == name and column.name not in _KEYS]
        unfit = [column.name for column in columns if not _fits(chosen, column)]
        if unfit:
            others = ", ".join(column.name for column in columns if column.name not in unfit)
            advice = f"name the columns that it is for: {others}" if others else "it fits none of them"
            raise InvalidQuery(f"rules: {name}={chosen} does not fit {', '.join(unfit)}; {advice}.", argument="rules")
    elif name not in _COLUMNS:
        raise InvalidQuery(
            f"rules: {name!r} is neither a class ({', '.join(_CLASSES)}) nor a column of the tables; "
            "`pulseframes schema` shows them.",
            argument="rules",
        )
    elif chosen is not Action.KEEP and (name in _KEYS | _WORKED_WITH or _COLUMNS[name].required):
        raise InvalidQuery(
            f"rules: {name} is needed as it is, by calls, joins, partitions, or to tell which answer is newer.",
            argument="rules",
        )
    elif not _fits(chosen, _COLUMNS[name]):
        raise InvalidQuery(f"rules: {chosen} does not fit {name}.", argument="rules")
    return chosen


def _fits(action: Action, column: Column) -> bool:
    is_text = isinstance(column.dtype, pl.String)
    match action:
        case Action.PSEUDONYMISE:
            return column.privacy is not Privacy.NONE and (is_text or isinstance(column.dtype, pl.Int64))
        case Action.TRUNCATE:
            return column.name == "ip_address"
        case Action.STRIP_QUERY:
            return is_text and (column.privacy is Privacy.CONTENT or _is_address(column))
    return True
