"""A lake's privacy rules: what it does to personal values before it writes them, by privacy class or column.

A value is kept, dropped, truncated or replaced by a pseudonym: a keyed hash that is the same for the same value in the same column
on every machine and day. Rows can still be counted and joined by person, but only someone with the key can tell who it is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

import polars as pl

from pulseframes._arguments import check_type, did_you_mean, shown
from pulseframes._secret import Secret
from pulseframes._text import spelling
from pulseframes.errors import InvalidQuery, LakeError, PulseWarning, warn
from pulseframes.tables import REJECTED, TABLES, Column, Privacy, Table

ENV_PSEUDONYM_KEY: Final = "PULSEFRAMES_PSEUDONYM_KEY"
#: A key that is shorter, or has fewer different characters, could be guessed.
SHORTEST_KEY: Final = 16
FEWEST_CHARACTERS: Final = 8
#: How pseudonyms are made. In version 1 the letter case of ``_FOLDED`` matters, and the fingerprint of the key is quick to compute; in
#: version 2, how their accents are written.
PSEUDONYMS: Final = 3
#: The columns that are pseudonymised by their ``spelling()``, so that a person is found however their name is spelled.
_FOLDED: Final = frozenset({"user_identifier", "user_email_address"})
#: Makes each guess at a key take about as long as opening the lake.
_ROUNDS: Final = 100_000
#: Replaces the JSON of a rejected row, which has everything that the other columns would hide.
WITHHELD: Final = "(withheld: the lake's privacy policy)"


class Action(StrEnum):
    """What happens to a column's values."""

    KEEP = "keep"
    PSEUDONYMISE = "pseudonymise"
    TRUNCATE = "truncate"
    DROP = "drop"
    STRIP_QUERY = "strip_query"


#: The columns that rules may name. Columns of the same name in several tables are alike.
_COLUMNS: Final[dict[str, Column]] = {column.name: column for table in TABLES.values() for column in table.columns}
_KEYS: Final = frozenset(name for table in TABLES.values() for name in table.key)
#: A lake needs these to merge answers and to choose what to re-fetch.
_NEEDED: Final = frozenset({"session_updated", "status"})
_CLASSES: Final = tuple(str(privacy) for privacy in Privacy if privacy is not Privacy.NONE)
#: A URL that contains another column's value, and so must not outlive it.
_CONTAINS: Final = {"user_web_url": "user_id"}
#: How many leading bits of an IP address ``truncate`` keeps, by version.
_KEPT_BITS: Final = {4: 24, 6: 48}


@dataclass(frozen=True, init=False)
class PrivacyPolicy:
    """Privacy rules of a lake. They are fixed when the lake is created.

    A column's own rule takes precedence over its class's. A class's rule never applies to keys and required columns:
    calls and joins need ``session_id``, which reveals nothing without access to Raygun. ``identifier=pseudonymise``
    drops the URL columns (``user_web_url``, ``api_url``, ``web_url``), because URLs contain ids and are useless as hashes.
    If ``user_id`` is pseudonymised or dropped, ``user_web_url``, which contains it, is dropped unless it has its own rule.
    As soon as a rule changes any column, the JSON of rejected rows is withheld.

    Parameters
    ----------
    rules : mapping of str to str
        An action (``keep``, ``pseudonymise``, ``truncate``, ``drop``, ``strip_query``) per privacy class (``personal``,
        ``identifier``, ``content``) or column. ``truncate`` applies to ``ip_address``, ``strip_query`` to content and URLs.
        Columns without a rule are kept.
    key : Secret, str or None
        The key of the pseudonyms, at least 16 characters. If it is needed and not given, it is read from
        ``PULSEFRAMES_PSEUDONYM_KEY``. It is never written or shown; whoever has it can check whether a person is in the lake.

    Raises
    ------
    InvalidQuery
        If a class, column or action is unknown, an action does not apply, or the key is missing or too short.

    Examples
    --------
    >>> rules = {"personal": "pseudonymise", "ip_address": "truncate", "page": "strip_query"}
    >>> policy = pf.PrivacyPolicy(rules, key="at least sixteen characters")
    >>> policy.pseudonym("user_email_address", "ada@example.com")
    '~...'
    >>> lake = pf.Lake("private", privacy=policy)
    """

    rules: Mapping[str, str]
    key: Secret | str | None = field(repr=False)
    _version: ClassVar[int] = PSEUDONYMS  # of a new lake; the policy of an older lake has its own

    def __init__(self, rules: Mapping[str, str] = MappingProxyType({}), key: Secret | str | None = None) -> None:
        key = _as_secret(key)  # at once, because tools show the locals of the frames of a traceback
        check_type("rules", rules, Mapping, "a mapping, such as {'user_email_address': 'drop'}")
        for name, value in {"rules": rules, "key": key}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "rules", {name: _checked_action(name, rules[name]) for name in sorted(rules)})
        if key is None and self.needs_key:
            key = _as_secret(os.environ.get(ENV_PSEUDONYM_KEY, ""))
            if key is None or not key.reveal():
                raise InvalidQuery(f"key: pseudonyms need a key; set {ENV_PSEUDONYM_KEY}.", argument="key")
        if key is not None and len(key.reveal()) < SHORTEST_KEY:
            raise InvalidQuery(
                f"key: the key of the pseudonyms ({ENV_PSEUDONYM_KEY}) has fewer than {SHORTEST_KEY} characters and could be "
                "guessed; use a longer one.",
                argument="key",
            )
        if key is not None and len({*key.reveal()}) < FEWEST_CHARACTERS:
            warn(
                PulseWarning,
                f"The key of the pseudonyms has fewer than {FEWEST_CHARACTERS} different characters and could be guessed. For a new "
                "lake, use a random one, such as that of: python -c 'import secrets; print(secrets.token_urlsafe())'",
            )
        object.__setattr__(self, "key", key)

    @classmethod
    def parse(cls, rules: Iterable[str], key: Secret | str | None = None) -> Self:
        """Parse rules in the command line's notation: ``personal=pseudonymise``, ``ip_address=truncate``.

        Raises
        ------
        InvalidQuery
            As for the class, and for a malformed rule or two different rules for one class or column.
        """
        key = _as_secret(key)
        if isinstance(rules, str) or not isinstance(rules, Iterable):
            raise _not_a_rule(f"{shown(rules)} is not a list of rules, such as ['ip_address=truncate'].")
        actions: dict[str, str] = {}
        for rule in rules:
            name, equals, action = (part.strip() for part in str(rule).partition("="))
            if not equals or not action:
                raise _not_a_rule(
                    f"{shown(rule)} is not a rule. Example: 'personal=pseudonymise' or 'page=strip_query'."
                )
            if actions.setdefault(name, action) != action:
                raise _not_a_rule(f"{name} has two rules, {actions[name]} and {action}.")
        return cls(actions, key)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], key: Secret | str | None = None) -> Self:
        """Recreate the policy that ``describe()`` described.

        Raises
        ------
        LakeError
            If the key is missing or a different one, or the description is unreadable or of a later version.
        """
        key, fingerprint = _as_secret(key), description.get("key_fingerprint")
        if fingerprint is not None and key is None and not os.environ.get(ENV_PSEUDONYM_KEY, "").strip():
            raise LakeError(f"The lake contains pseudonyms, and their key is not set; set {ENV_PSEUDONYM_KEY}.")
        version = description.get("pseudonyms", 1)
        if version not in range(1, PSEUDONYMS + 1):
            raise LakeError("The lake's pseudonyms were made by a later version of pulseframes; update it.")
        try:
            policy = cls(description["rules"], key)
        except (KeyError, TypeError, AttributeError, InvalidQuery) as problem:
            raise LakeError(f"The lake's privacy policy is unusable. {problem}") from None
        object.__setattr__(policy, "_version", version)
        if policy._fingerprint() != fingerprint:
            raise LakeError(f"The lake's pseudonyms were made with another key; set {ENV_PSEUDONYM_KEY} to that one.")
        return policy

    def of_lake(self, description: Mapping[str, Any]) -> Self | None:
        """Return the policy that a lake's description describes; None if its rules or key are not these."""
        try:
            policy = self.from_description(description, self.key)
        except LakeError:
            return None
        return policy if policy.rules == self.rules else None

    def describe(self) -> dict[str, object]:
        """Return what a lake stores of its policy, as JSON values: the rules, and a fingerprint of the key."""
        rules = {name: str(action) for name, action in self.rules.items()}
        return {"rules": rules, "key_fingerprint": self._fingerprint(), "pseudonyms": self._version}

    @property
    def needs_key(self) -> bool:
        """Whether any column is pseudonymised."""
        return any(self.action(name) is Action.PSEUDONYMISE for name in _COLUMNS)

    @property
    def keeps_all(self) -> bool:
        """Whether every column is kept unchanged."""
        return all(self.action(name) is Action.KEEP for name in _COLUMNS)

    def action(self, column_name: str) -> Action:
        """Return what happens to a column; columns that no table declares are kept."""
        column = _COLUMNS.get(column_name)
        if column is None or column_name in _KEYS or column.required:
            return Action.KEEP
        if column_name in self.rules:
            return Action(self.rules[column_name])
        action = Action(self.rules.get(str(column.privacy), Action.KEEP))
        if action is Action.PSEUDONYMISE and _is_url(column):
            return Action.DROP
        contained = _CONTAINS.get(column_name)
        if contained is not None and self.action(contained) in (Action.PSEUDONYMISE, Action.DROP):
            return Action.DROP
        return action

    def apply(self, table: Table, frame: pl.DataFrame) -> pl.DataFrame:
        """Apply the rules to rows. Do so only once: a pseudonym would be hashed again.

        Parameters
        ----------
        table : Table
            The table of the rows, which may be ``REJECTED``. Its ``reason`` never contains a personal value, and is kept.
        frame : polars.DataFrame
            Some or all of the table's columns; other columns are kept.

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
        """Return the pseudonym of a column's value, to look somebody up by.

        Raises
        ------
        InvalidQuery
            If the policy does not pseudonymise the column, or the value has another type than the column.
        """
        if self.action(column_name) is not Action.PSEUDONYMISE:
            raise InvalidQuery(
                f"column_name: {column_name!r} is not pseudonymised by this policy.", argument="column_name"
            )
        if value is None:
            return None
        wanted = int if isinstance(_COLUMNS[column_name].dtype, pl.Int64) else str
        if isinstance(value, bool) or not isinstance(value, wanted):
            kind = "an integer" if wanted is int else "a string"
            raise InvalidQuery(
                f"value: must be {kind}, as in {column_name}, not {type(value).__name__}.", argument="value"
            )
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
        if isinstance(value, str) and column_name in _FOLDED and self._version > 1:
            value = value.lower() if self._version == 2 else spelling(value)  # noqa: PLR2004  the version
        digest = self._hash(f"{column_name}\0{value}".encode())
        if isinstance(value, int):
            return int.from_bytes(digest[:8]) >> 1 or 1  # positive, and in an Int64
        return "~" + base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")

    def _fingerprint(self) -> str | None:
        if not self.needs_key:
            return None
        mark = self._hash(b"pulseframes key fingerprint")
        return (mark if self._version == 1 else _slow_hash(mark)).hex()[:16]

    def _hash(self, message: bytes) -> bytes:
        assert isinstance(self.key, Secret)  # noqa: S101  a policy that needs a key is not created without
        return hmac.digest(self.key.reveal().encode(), message, "sha256")


def _as_secret(key: Secret | str | None) -> Secret | None:
    """Return a key without white space around it; None if there is none."""
    text = key.reveal() if isinstance(key, Secret) else key
    if text is not None and not isinstance(text, str):  # without what was given, which may be a secret
        raise InvalidQuery(f"key must be a string of at least {SHORTEST_KEY} characters.", argument="key")
    return None if text is None else Secret(text.strip())


@lru_cache(maxsize=8)
def _slow_hash(mark: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", mark, b"pulseframes key fingerprint", _ROUNDS)


def network_of(address: str) -> str | None:
    """Return the first address of an IP address's /24 (IPv4) or /48 (IPv6); None if it is not an IP address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    cut_bits = parsed.max_prefixlen - _KEPT_BITS[parsed.version]
    return str(type(parsed)(int(parsed) >> cut_bits << cut_bits))


def _replaced(values: pl.Series, change: Callable[[Any], Any]) -> pl.Series:
    """Change each distinct value once."""
    old = values.drop_nulls().unique()
    return values.replace_strict(old, pl.Series([change(value) for value in old], dtype=values.dtype))


def _is_url(column: Column) -> bool:
    return column.name.endswith("_url")


def _checked_action(name: str, action: str) -> Action:
    """Return a rule's action if it applies to all columns of the rule."""
    if action not in [*Action]:
        suggestion = did_you_mean(str(action), Action)
        raise _not_a_rule(f"{name}={action} is not a rule; its action must be one of {', '.join(Action)}.{suggestion}")
    chosen = Action(action)
    if name in _CLASSES:
        columns = [column for column in _COLUMNS.values() if column.privacy == name and column.name not in _KEYS]
        unfit = [column.name for column in columns if not _applies(chosen, column)]
        fit = [column.name for column in columns if column.name not in unfit]
        if unfit:
            advice = f"set it for single columns: {', '.join(fit)}" if fit else "it applies to no column of the class"
            raise _not_a_rule(f"{name}={chosen} does not apply to {', '.join(unfit)}; {advice}.")
    elif name not in _COLUMNS:
        suggestion = did_you_mean(str(name), [*_CLASSES, *_COLUMNS])
        raise _not_a_rule(
            f"{name!r} is neither a class ({', '.join(_CLASSES)}) nor a column; `pulseframes schema` lists them.{suggestion}"
        )
    elif chosen is not Action.KEEP and (name in _KEYS | _NEEDED or _COLUMNS[name].required):
        raise _not_a_rule(f"{name} must be kept: calls, joins, partitions or merges need it.")
    elif not _applies(chosen, _COLUMNS[name]):
        raise _not_a_rule(f"{chosen} does not apply to {name}.")
    return chosen


def _not_a_rule(problem: str) -> InvalidQuery:
    return InvalidQuery(f"rules: {problem}", argument="rules")


def _applies(action: Action, column: Column) -> bool:
    is_text = isinstance(column.dtype, pl.String)
    match action:
        case Action.PSEUDONYMISE:
            return column.privacy is not Privacy.NONE and (is_text or isinstance(column.dtype, pl.Int64))
        case Action.TRUNCATE:
            return column.name == "ip_address"
        case Action.STRIP_QUERY:
            return is_text and (column.privacy is Privacy.CONTENT or _is_url(column))
    return True
