"""A person to be forgotten: what identifies their sessions, and how to find mentions of them in JSON."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from pulseframes._text import spelling
from pulseframes.errors import InvalidQuery

#: Replaces the name of a forgotten person.
FORGOTTEN: Final = "[forgotten]"
#: A shorter identifier also occurs in unrelated texts.
SHORTEST_NAMED: Final = 6
#: Fields that identify a user: in another user's, only a whole address or identifier is this person's.
_IDENTITY: Final = frozenset({"identifier", "emailAddress", "firstName", "fullName"})

_DIGITS: Final = re.compile("[0-9]+")
_ESCAPED: Final = re.compile(r"(?:\\u[0-9A-Fa-f]{4})+")
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"(\s*:)?', re.DOTALL)
#: Not inside a longer word, but after an escape, as in ``%3Danna``; in an address in an address, percent signs are escaped too.
_WORD_BEGINS: Final = (
    rf"(?:(?<![^\W_])|{'|'.join(rf'(?<=%{depth}[0-9A-Fa-f]{{2}})' for depth in ('', '25', '2525', '252525'))}"
    r"|(?<=[\\%]u[0-9A-Fa-f]{4})|(?<=\\[bfnrt]))"
)
#: The first character of an HTML entity, and of a percent escape, as HTML, JSON and addresses write it.
_AMPERSAND: Final = r"(?:&|\\u0026|%(?:25){0,8}26)(?:amp;){0,8}"
_PERCENT: Final = rf"(?:%|{_AMPERSAND}(?:#0{{0,8}}37|#[xX]0{{0,8}}25|percnt);)(?:25){{0,8}}"
#: The first character of an escape, as JSON writes it, or as text that JSON escapes again.
_BACKSLASH: Final = r"\\{1,8}"
#: Not the second half of an escaped backslash: without it, the first half would escape what follows.
_WHOLE_ESCAPE: Final = r"(?!(?<=\\)\\)"
_SPACE: Final = rf"(?:[ +]|{_PERCENT}20)?"
_ENTITIES: Final = {
    "@": "commat",
    "&": "amp",
    "'": "apos",
    '"': "quot",
    "<": "lt",
    ">": "gt",
    "+": "plus",
    ".": "period",
}
_WORD_ENDS: Final = r"(?![^\W_])"
_ADDRESS_BEGINS: Final = r"(?<![\w.+-])"
_ADDRESS_ENDS: Final = r"(?![.+-]?\w)"


@dataclass(frozen=True, repr=False)
class Person:
    """What identifies a person, or the user of one session. The ``repr`` shows none of it.

    Attributes
    ----------
    user_ids : frozenset of int
        Raygun's ids of the user.
    identifiers : frozenset of str
        What sites call the user, as it is written, in lower case and by its ``spelling()``.
    emails : frozenset of str
        E-mail addresses, in lower case and by their ``spelling()``.
    session_ids : frozenset of int
        The user's sessions.
    texts : frozenset of str
        Names and network addresses. Others may share them, so they identify no sessions.
    """

    user_ids: frozenset[int] = frozenset()
    identifiers: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    session_ids: frozenset[int] = frozenset()
    texts: frozenset[str] = frozenset()

    @classmethod
    def named(cls, user: str) -> Person:
        """Return the person with an identifier, an e-mail address or a user id.

        Raises
        ------
        InvalidQuery
            If it is empty.
        """
        if not user.strip():
            raise InvalidQuery(
                "user is empty. Give an identifier, an e-mail address or a user id, such as jane@example.com.",
                argument="user",
            )
        spelled = {user.lower(), spelling(user)}
        return cls(_user_ids([user]), frozenset({user, *spelled}), frozenset(spelled))

    @classmethod
    def described(
        cls,
        *,
        user_ids: Iterable[Any] = (),
        identifiers: Iterable[Any] = (),
        emails: Iterable[Any] = (),
        session_ids: Iterable[Any] = (),
        texts: Iterable[Any] = (),
    ) -> Person:
        """Return a person by values from a response or a frame; empty, null and invalid values are ignored."""
        ids = list(user_ids)
        written = {*_texts(identifiers), *(text for text in _texts(ids) if not _is_whole(text))}
        names = written | _spelled(written)
        addresses = _spelled([*_texts(emails), *(name for name in names if "@" in name)])
        return cls(
            _user_ids(ids),
            frozenset(names),
            frozenset(addresses),
            frozenset(int(text) for text in _texts(session_ids) if _is_whole(text)),
            frozenset(_texts(texts)),
        )

    def is_user(self, user: Person) -> bool:
        """Return whether this person is a session's user."""
        return not (
            self.user_ids.isdisjoint(user.user_ids)
            and self.identifiers.isdisjoint(user.identifiers)
            and self.emails.isdisjoint(user.emails)
        )

    def has(self, user: Person) -> bool:
        """Return whether a session is this person's, by this response or by another."""
        return self.is_user(user) or not self.session_ids.isdisjoint(user.session_ids)

    def __or__(self, other: Person) -> Person:
        return Person(*(getattr(self, part.name) | getattr(other, part.name) for part in fields(self)))

    def __repr__(self) -> str:
        return f"Person({len(self.session_ids)} sessions)"


class Finder:
    """Finds a person in JSON: in upper or lower case, and however JSON, addresses or HTML escape it.

    It does not find other encodings, such as base64, look-alikes, such as a full-width @, or all ways to write the letters of
    another case, such as a mention of "strasse" that is written "straße".

    Parameters
    ----------
    person : Person
        The person.
    """

    def __init__(self, person: Person) -> None:
        names = person.identifiers | person.emails
        ids = {str(abs(number)) for number in person.user_ids | person.session_ids if number}
        self._numbers = ids | {text for text in names if _DIGITS.fullmatch(text)}
        self._long_numbers = {text for text in self._numbers if len(text) >= SHORTEST_NAMED}
        self._spelled = {spelling(text) for text in names if not _DIGITS.fullmatch(text)}
        self._names = _any_of({text for text in names if not _DIGITS.fullmatch(text)})
        # Digits alone may be an order number.
        named = {text for text in names if len(text) >= SHORTEST_NAMED and not _DIGITS.fullmatch(text)}
        self._named = _any_of(named, _WORD_BEGINS, _WORD_ENDS)
        self._addresses = _any_of(named, _ADDRESS_BEGINS, _ADDRESS_ENDS)
        private = names | person.texts
        self._whole = _any_of({text for text in private if len(text) <= 2}, '"', '"')  # noqa: PLR2004  part of any word
        self._private = _any_of({text for text in private if len(text) > 2}, _WORD_BEGINS, _WORD_ENDS)  # noqa: PLR2004

    def may_be_in(self, text: str) -> bool:
        """Return quickly whether a response may be about the person; no response about the person is missed."""
        is_named = self._names.search(text) or self._is_spelled_in(text)
        return bool(is_named) or not self._numbers.isdisjoint(_DIGITS.findall(text))

    def _is_spelled_in(self, text: str) -> bool:
        """Return whether a text has a name in other letters than the pattern's, such as "straße" for "STRASSE"."""
        if text.isascii() and "\\u" not in text:
            return False
        plain = spelling(_ESCAPED.sub(lambda escapes: str(json.loads(f'"{escapes[0]}"')), text))
        return any(name in plain for name in self._spelled)

    def is_in(self, text: str) -> bool:
        """Return whether a text without readable sessions holds anything that is known of the person."""
        match = self._private.search(text) or self._whole.search(text)
        return bool(match) or not self._long_numbers.isdisjoint(_DIGITS.findall(text))

    def redacted(self, text: str) -> str:
        """Redact the person's identifiers and e-mail addresses in the strings of a JSON text, which is otherwise unchanged."""
        if not self._named.search(text):
            return text
        key = ""

        def replaced(string: re.Match[str]) -> str:
            nonlocal key
            inner, colon = string[1], string[2] or ""
            if colon:
                key = inner
                if key.isalpha():  # as the API's own names are
                    return string[0]
            pattern = self._addresses if key in _IDENTITY else self._named
            return f'"{pattern.sub(FORGOTTEN, inner)}"{colon}'

        return _STRING.sub(replaced, text)


def _texts(values: Iterable[Any]) -> list[str]:
    """Return the values that identify somebody, as text; a number as its digits."""
    texts = [str(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)]
    # .NET writes 0 for no number.
    return [text for text in texts if text.strip() not in ("", "0")]


def _spelled(texts: Iterable[str]) -> set[str]:
    return {form for text in texts for form in (text.lower(), spelling(text))}


def _user_ids(values: Iterable[Any]) -> frozenset[int]:
    return frozenset(int(text) for text in _texts(values) if _is_whole(text))


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,19}", text) is not None


def _any_of(texts: Iterable[str], begins: str = "", ends: str = "") -> re.Pattern[str]:
    """Return a pattern that matches any of some texts, the longest first; without texts, it matches nothing."""
    composed = {form for text in texts for form in (text, unicodedata.normalize("NFC", text), spelling(text))}
    forms = ["".join(map(_any_form, text)) for text in sorted(composed, key=lambda text: (-len(text), text))]
    return re.compile(f"{_may_begin(composed)}{begins}(?:{'|'.join(forms)}){ends}" if forms else r"(?!)")


def _may_begin(texts: Iterable[str]) -> str:
    """Return a pattern by which most positions are skipped: a first letter of some texts, or the beginning of an escape."""
    cases = {case for text in texts for case in (text[0], text[0].lower(), text[0].upper())}
    letters = {letter[0] for case in cases for letter in (case, unicodedata.normalize("NFD", case))}
    return rf"{_WHOLE_ESCAPE}(?=[%&+\\{''.join(map(re.escape, sorted(letters)))}])"


def _any_form(letter: str) -> str:
    """Return a pattern that matches a letter in all ways in which JSON, addresses and HTML write it.

    Without ``re.IGNORECASE``, with which the search would try every position, and be ten times as slow.
    """
    cases = {case for case in (letter, letter.lower(), letter.upper()) if len(case) == 1}
    forms = {re.escape(case) for case in cases}
    for case in cases:
        units = case.encode("utf-16-be", "surrogatepass").hex()
        forms.add("".join(rf"(?:{_BACKSLASH}|{_PERCENT})u{_hex(units[at : at + 4])}" for at in range(0, len(units), 4)))
        encoded = case.encode("utf-8", "surrogatepass").hex()
        forms.add("".join(f"{_PERCENT}{_hex(encoded[at : at + 2])}" for at in range(0, len(encoded), 2)))
        forms.add(f"{_AMPERSAND}#(?:0{{0,8}}{ord(case)}|[xX]0{{0,8}}{_hex(f'{ord(case):x}')});")
        parts = unicodedata.normalize("NFD", case)
        if len(parts) > 1:
            forms.add("".join(map(_any_form, parts)))
    forms.add(re.escape(json.dumps(letter, ensure_ascii=False)[1:-1]))
    if letter in _ENTITIES:
        forms.add(f"{_AMPERSAND}{_ENTITIES[letter]};")
    if letter == "/":
        forms.add(r"\\/")
    if letter == " ":
        forms.add(r"\+")
    form = f"(?:{'|'.join(sorted(forms))})"
    return f"{_SPACE}{form}{_SPACE}" if letter == "@" else form


def _hex(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)
