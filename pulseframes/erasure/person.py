"""Somebody who is to be forgotten: by what their sessions are known, and in what texts they are named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from pulseframes.errors import InvalidQuery

#: What stands where somebody was named.
FORGOTTEN: Final = "[forgotten]"
#: A shorter identifier is found in texts that have nothing to do with it.
SHORTEST_NAMED: Final = 6
#: Fields that say who somebody is: within another one's, only a whole address or identifier is this person's.
_IDENTITY: Final = frozenset({"identifier", "emailAddress", "firstName", "fullName"})

_DIGITS: Final = re.compile("[0-9]+")
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"(\s*:)?', re.DOTALL)
#: Neither inside a longer word; what is before may end in an escape, as in ``%3Danna``.
_WORD_BEGINS: Final = (
    r"(?:(?<![^\W_])|(?<=%[0-9A-Fa-f]{2})|(?<=%25[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\[bfnrt]))"
)
_WORD_ENDS: Final = r"(?![^\W_])"
_ADDRESS_BEGINS: Final = r"(?<![\w.+-])"
_ADDRESS_ENDS: Final = r"(?![.+-]?\w)"


@dataclass(frozen=True, repr=False)
class Person:
    """What is known of a person; and also, what one session says of its user. The ``repr`` shows none of it.

    Attributes
    ----------
    user_ids : frozenset of int
        Raygun's ids of the user.
    identifiers : frozenset of str
        What sites called the user.
    emails : frozenset of str
        E-mail addresses, in lower case.
    session_ids : frozenset of int
        The user's sessions.
    texts : frozenset of str
        Names and network addresses. Others may share them: they tell nobody's sessions.
    """

    user_ids: frozenset[int] = frozenset()
    identifiers: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    session_ids: frozenset[int] = frozenset()
    texts: frozenset[str] = frozenset()

    @classmethod
    def named(cls, user: str) -> Person:
        """Give the person of an identifier, an e-mail address or a user id.

        Raises
        ------
        InvalidQuery
            If it is empty.
        """
        if not user.strip():
            raise InvalidQuery("user: give an identifier, an e-mail address or a user id.", argument="user")
        return cls(_user_ids([user]), frozenset({user}), frozenset({user.lower()}))

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
        """Give a person by values as they stand in an answer or a frame; what is empty, null or no value says nothing."""
        known_as, ids = set(_texts(identifiers)), list(user_ids)
        known_as |= {text for text in _texts(ids) if not _is_whole(text)}
        addresses = {text.lower() for text in (*_texts(emails), *(name for name in known_as if "@" in name))}
        return cls(
            _user_ids(ids),
            frozenset(known_as),
            frozenset(addresses),
            frozenset(int(text) for text in _texts(session_ids) if _is_whole(text)),
            frozenset(_texts(texts)),
        )

    def is_user(self, said: Person) -> bool:
        """Tell whether a session says that this person is its user."""
        return not (
            self.user_ids.isdisjoint(said.user_ids)
            and self.identifiers.isdisjoint(said.identifiers)
            and self.emails.isdisjoint(said.emails)
        )

    def has(self, said: Person) -> bool:
        """Tell whether a session is this person's: it says so, or another answer said so of the same session."""
        return self.is_user(said) or not self.session_ids.isdisjoint(said.session_ids)

    def __or__(self, other: Person) -> Person:
        return Person(*(getattr(self, part.name) | getattr(other, part.name) for part in fields(self)))

    def __repr__(self) -> str:
        return f"Person({len(self.session_ids)} sessions)"


class Finder:
    """Finds a person in texts of JSON: in any case, escaped as JSON or addresses do, or not.

    Parameters
    ----------
    person : Person
        Whom.
    """

    def __init__(self, person: Person) -> None:
        names = person.identifiers | person.emails
        ids = {str(abs(number)) for number in person.user_ids | person.session_ids}
        self._numbers = ids | {text for text in names if _DIGITS.fullmatch(text)}
        self._long_numbers = {text for text in self._numbers if len(text) >= SHORTEST_NAMED}
        self._names = _any_of({text for text in names if not _DIGITS.fullmatch(text)})
        # Digits alone are order numbers as well.
        named = {text for text in names if len(text) >= SHORTEST_NAMED and not _DIGITS.fullmatch(text)}
        self._named = _any_of(named, _WORD_BEGINS, _WORD_ENDS)
        self._addresses = _any_of(named, _ADDRESS_BEGINS, _ADDRESS_ENDS)
        private = names | person.texts
        self._whole = _any_of({text for text in private if len(text) <= 2}, '"', '"')  # noqa: PLR2004  in any word
        self._private = _any_of({text for text in private if len(text) > 2}, _WORD_BEGINS, _WORD_ENDS)  # noqa: PLR2004

    def may_be_in(self, text: str) -> bool:
        """Tell quickly whether it is worth to look at an answer; no answer of the person's is missed."""
        return bool(self._names.search(text)) or not self._numbers.isdisjoint(_DIGITS.findall(text))

    def is_in(self, text: str) -> bool:
        """Tell whether anything that is known of the person stands in a text that has no readable sessions."""
        found = self._private.search(text) or self._whole.search(text)
        return bool(found) or not self._long_numbers.isdisjoint(_DIGITS.findall(text))

    def redacted(self, text: str) -> str:
        """Take the person's identifiers and e-mail addresses out of a JSON text's strings; all else stays, letter by letter."""
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
    """Give the values that say something, as text; a number as its digits."""
    known = [str(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)]
    # 0 is what .NET writes for no number: it is nobody's.
    return [text for text in known if text.strip() not in ("", "0")]


def _user_ids(values: Iterable[Any]) -> frozenset[int]:
    return frozenset(int(text) for text in _texts(values) if _is_whole(text))


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,19}", text) is not None


def _any_of(texts: Iterable[str], begins: str = "", ends: str = "") -> re.Pattern[str]:
    """Give a pattern of some texts, the longest first; of none, one that matches nothing."""
    forms = ["".join(map(_any_form, text)) for text in sorted(texts, key=lambda text: (-len(text), text))]
    return re.compile(f"{begins}(?:{'|'.join(forms)}){ends}" if forms else r"(?!)")


def _any_form(letter: str) -> str:
    """Give a pattern of a letter in all ways in which JSON and addresses write it.

    Not by ``re.IGNORECASE``: with that, the search would try each place of a text, and be ten times as slow.
    """
    cases = {case for case in (letter, letter.lower(), letter.upper()) if len(case) == 1}
    forms = {re.escape(case) for case in cases}
    for case in cases:
        units = case.encode("utf-16-be", "surrogatepass").hex()
        forms.add("".join(rf"\\u{_hex(units[at : at + 4])}" for at in range(0, len(units), 4)))
        encoded = case.encode("utf-8", "surrogatepass").hex()
        forms.add("".join(f"%(?:25)?{_hex(encoded[at : at + 2])}" for at in range(0, len(encoded), 2)))
    forms.add(re.escape(json.dumps(letter, ensure_ascii=False)[1:-1]))
    if letter == "/":
        forms.add(r"\\/")
    if letter == " ":
        forms.add(r"\+")
    return f"(?:{'|'.join(sorted(forms))})"


def _hex(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)
