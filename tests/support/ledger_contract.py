"""What holds for every ledger. A test file imports these tests, and has a fixture ``books`` that makes empty ledgers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import pulseframes as pf
from pulseframes.client.ledger import Ledger, Request
from pulseframes.client.quota_rule import DAY, MARGIN, QuotaDay, QuotaRule

CALL = Request("shop", "session", "id=1")
OTHER = Request("help", "session", "id=1")
#: The tests last some seconds by the clock of a database.
SOON = timedelta(seconds=30)


class Book(Protocol):
    """An empty ledger, and its time."""

    def open(self) -> Ledger:
        """Return the ledger, as another process or machine has it."""

    def advance(self, by: timedelta) -> None:
        """Let time pass."""

    def now(self) -> datetime:
        """Return the present, by the clock of the ledger's user."""


#: Makes an empty ledger, as a context.
Books = Callable[[], AbstractContextManager[Book]]


@pytest.fixture
def book(books: Books) -> Iterator[Book]:
    with books() as empty:
        yield empty


def is_admitted(ledger: Ledger, rule: QuotaRule, call: Request = CALL) -> bool:
    try:
        ledger.reserve(call, rule)
    except pf.QuotaExhausted:
        return False
    return True


def test_as_many_calls_as_the_limit_are_admitted_and_the_error_has_the_time_of_the_next(book: Book) -> None:
    rule = QuotaRule(3)
    assert [is_admitted(book.open(), rule) for _ in range(3)] == [True] * 3
    with pytest.raises(pf.QuotaExhausted, match="3 of 3 calls used") as caught:
        book.open().reserve(CALL, rule)
    assert caught.value.resets_at is not None
    assert abs(caught.value.resets_at - (book.now() + DAY + MARGIN)) < SOON
    quota = book.open().quota("shop", rule)
    assert (quota.used, quota.left, quota.next_call_at) == (3, 0, caught.value.resets_at)


def test_a_call_that_was_not_sent_does_not_count_and_every_other_does(book: Book) -> None:
    ledger, rule = book.open(), QuotaRule(10)
    for outcome in ("unsent", "answered", "lost"):
        ledger.complete(ledger.reserve(CALL, rule), outcome)  # type: ignore[arg-type]  # each is one
    ledger.reserve(CALL, rule)  # and is never completed
    assert book.open().quota("shop", rule).used == 3


def test_applications_are_counted_apart(book: Book) -> None:
    ledger, rule = book.open(), QuotaRule(1)
    assert is_admitted(ledger, rule)
    assert not is_admitted(ledger, rule)
    assert is_admitted(ledger, rule, OTHER)
    assert ledger.quota("another", rule).used == 0


def test_a_call_that_does_not_count_is_always_admitted(book: Book) -> None:
    rule = QuotaRule(1)
    for _ in range(3):
        book.open().reserve(Request("shop", "authenticate", counted=False), rule)
    assert book.open().quota("shop", rule).used == 0


def test_a_refusal_of_the_server_holds_for_everybody_until_it_ends(book: Book) -> None:
    ledger, rule = book.open(), QuotaRule(10)
    ledger.complete(ledger.reserve(CALL, rule), "answered", blocked_until=book.now() + timedelta(hours=2))
    with pytest.raises(pf.QuotaExhausted, match="the server refused more") as caught:
        book.open().reserve(CALL, rule)
    assert caught.value.resets_at is not None
    assert abs(caught.value.resets_at - (book.now() + timedelta(hours=2))) < SOON
    assert is_admitted(ledger, rule, OTHER)
    book.advance(timedelta(hours=3))
    assert is_admitted(book.open(), rule)


@pytest.mark.parametrize("day", ["rolling", "utc"])
def test_calls_of_an_earlier_day_do_not_count(book: Book, day: QuotaDay) -> None:
    rule = QuotaRule(1, day)
    assert is_admitted(book.open(), rule)
    assert not is_admitted(book.open(), rule)
    book.advance(2 * DAY)
    assert book.open().quota("shop", rule).used == 0
    assert is_admitted(book.open(), rule)


def test_threads_and_ledgers_that_reserve_at_once_get_exactly_the_limit(book: Book) -> None:
    rule = QuotaRule(20)

    def reserve_some(_: int) -> int:
        ledger = book.open()
        return sum(is_admitted(ledger, rule) for _ in range(6))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(reserve_some, range(8))) == 20


#: Times that differ by a day are a minute within the window, and those of one more hour are outside.
GAPS = [timedelta(hours=hours) for hours in (0, 0, 0, 1, 6, 18, 24, 25)]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(GAPS), st.sampled_from(["lost", "unsent", None])), max_size=12),
)
def test_any_schedule_is_counted_as_the_rule_says(
    books: Books, limit: int, steps: list[tuple[timedelta, str | None]]
) -> None:
    with books() as book:
        rule, now, counted = QuotaRule(limit), timedelta(), list[timedelta]()
        for gap, outcome in steps:
            book.advance(gap)
            now += gap
            ledger = book.open()
            used = sum(now - at < DAY + MARGIN for at in counted)
            quota = ledger.quota("shop", rule)
            assert (quota.used, quota.left) == (used, limit - used)
            if used == limit:
                assert not is_admitted(ledger, rule)
                continue
            call_id = ledger.reserve(CALL, rule)
            if outcome is not None:
                ledger.complete(call_id, outcome)  # type: ignore[arg-type]  # it is one
            counted += [now] if outcome != "unsent" else []
