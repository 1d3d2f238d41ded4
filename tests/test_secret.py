"""Secrets that a server repeats are found in any spelling, and innocent text is left alone."""

from __future__ import annotations

import base64
import html
import json
import tracemalloc
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from pulseframes._secret import PIECE, WITHHELD, Redactor, Secret

SECRET = "client:se/cret+SECRETthree==xyz&1234567"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "percent": lambda text: quote(text, safe=""),
    "lower-case percent": lambda text: "".join(f"%{ord(letter):02x}" for letter in text),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON escapes": lambda text: "".join(f"\\u{ord(letter):04X}" for letter in text),
    "HTML": html.escape,
    "HTML entities": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "HTML hex entities": lambda text: "".join(f"&#x{ord(letter):X};" for letter in text),
    "hex": lambda text: text.encode().hex(),
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64 in a longer text": lambda text: base64.b64encode(f"x{text}y".encode()).decode(),
    "reversed": lambda text: text[::-1],
    "upper case": str.upper,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_explanation_with_a_secret_in_any_spelling_is_withheld(spelling: str) -> None:
    body = f'{{"message": "not {SPELLINGS[spelling](SECRET)} please"}}'.encode()
    assert Redactor(Secret(SECRET)).explanation(body) == WITHHELD


@pytest.mark.parametrize("half", [slice(None, 20), slice(20, None)])
def test_an_explanation_with_half_a_secret_is_withheld(half: slice) -> None:
    assert Redactor(Secret(SECRET)).explanation(f"you sent {SECRET[half]}".encode()) == WITHHELD


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_data_with_a_secret_in_any_spelling_has_stars_in_its_place(spelling: str) -> None:
    written = SPELLINGS[spelling](SECRET)
    kept = Redactor(Secret(SECRET)).data(f"before {written} after".encode())
    assert b"***" in kept
    assert kept.startswith(b"before ")
    assert kept.endswith(b" after")
    assert written.encode()[4:-4] not in kept


@given(body=st.binary(max_size=200))
def test_bytes_without_a_secret_are_unchanged(body: bytes) -> None:
    redactor = Redactor(Secret("a-key-that-is-nowhere-0123456789"))
    assert redactor.data(body) == redactor.explanation(body) == body


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=12, max_size=40)


@given(secret=PRINTABLE, spelling=st.sampled_from([*SPELLINGS]))
def test_any_secret_has_stars_in_its_place(secret: str, spelling: str) -> None:
    kept = Redactor(Secret(secret)).data(f"before: {SPELLINGS[spelling](secret)} :after".encode())
    assert b"***" in kept
    assert kept.startswith(b"before: ")
    assert kept.endswith(b" :after")


@pytest.mark.parametrize("spelling", ["as it is", "JSON escapes", "HTML entities"])
def test_a_secret_is_found_wherever_it_is_in_large_data(spelling: str) -> None:
    written = SPELLINGS[spelling](SECRET).encode()
    for before in (PIECE - len(written), PIECE - len(written) // 2, PIECE - 1, PIECE):
        kept = Redactor(Secret(SECRET)).data(b"a" * before + b"!" + written + b" " + written + b"!" + b"b" * PIECE)
        assert kept == b"a" * before + b"!*** ***!" + b"b" * PIECE


@pytest.mark.parametrize("text", [b"ab ", b"\\", b"0", "Zo\u00eb".encode()])
def test_large_data_without_a_secret_is_examined_in_little_memory(text: bytes) -> None:
    body = text * (16 * PIECE // len(text))
    redactor = Redactor(Secret(SECRET))
    tracemalloc.start()
    try:
        assert redactor.data(body) == body
        assert tracemalloc.get_traced_memory()[1] < len(body)
    finally:
        tracemalloc.stop()
