"""Texts from the data, as reports and charts print them."""

from __future__ import annotations

import pytest

from pulseframes._text import MAX_LENGTH, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mail jane.doe@example.com!", "mail [e-mail]!"),
        ("mail jane.doe@localhost", "mail [e-mail]"),
        ("mail jane.doe&#64;pii.example, jane&amp;#x40;pii.example", "mail [e-mail], [e-mail]"),
        ("mail jane.doe (at) pii.example, jane%2540pii.example", "mail [e-mail], [e-mail]"),
        ("from 203.0.113.7", "from [address]"),
        (
            "from 2001:db8::1, fe80::1%eth0, ::1 and ::ffff:203.0.113.7.",
            "from [address], [address]%eth0, [address] and [address].",
        ),
        ("from [2001:0DB8:0:0:0:0:0:1]:443", "from [[address]]:443"),
        ("call +64 21 555 0199 or +1 (555) 010-0199", "call [phone] or [phone]"),
    ],
)
def test_addresses_and_phone_numbers_are_removed(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "at 12:30:45 std::vector::at() failed in Foo::bar",
        "TypeError: undefined is not a function (evaluating 'a.b')",
        "1 + 2 = 3, version 1.2.3, order 48213377, a:b:c",
        "Array(1:2) :: Int",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("piece", ["a@", "1:", "+1 ", "&amp;#64;", "%2540", "((at)"])
def test_any_long_text_is_shown_short(piece: str) -> None:
    assert len(printable(piece * 100_000)) <= MAX_LENGTH
