"""Queries are checked before any call is spent."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from pulseframes import InvalidQuery, endpoints
from pulseframes.query import DetailQuery, SearchQuery

WEEK = ("2026-11-01", "2026-11-08")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        (" 2026-11-01T09:30 ", datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
        ("2026-11-01T09:30:00Z", datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
        ("2026-11-01T09:30:00+13:00", datetime(2026, 10, 31, 20, 30, tzinfo=UTC)),
        (date(2026, 11, 1), datetime(2026, 11, 1, tzinfo=UTC)),
        (datetime(2026, 11, 1, 9), datetime(2026, 11, 1, 9, tzinfo=UTC)),  # noqa: DTZ001  naive is what is tested
        (datetime(2026, 11, 1, 9, tzinfo=timezone(timedelta(hours=-5))), datetime(2026, 11, 1, 14, tzinfo=UTC)),
        (pd.Timestamp("2026-11-01 09:00", tz="Pacific/Auckland"), datetime(2026, 10, 31, 20, tzinfo=UTC)),
    ],
)
def test_a_time_can_be_a_string_a_date_or_a_datetime_and_naive_means_utc(value: Any, expected: datetime) -> None:
    start = SearchQuery.parse(value, "2030-01-01").date_from
    assert start == expected
    assert type(start) is datetime
    assert start.tzinfo is UTC


@pytest.mark.parametrize(("value", "days"), [("today", 0), (" yesterday ", 1), ("0d", 0), ("7d", 7), ("365d", 365)])
def test_a_date_can_be_relative_to_today_in_utc(value: str, days: int) -> None:
    today = datetime.now(UTC).date()
    start = SearchQuery.parse(value, "2100-01-01").date_from
    if today == datetime.now(UTC).date():  # else midnight passed
        assert start == datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=days)


@pytest.mark.parametrize("value", ["d", "-7d", "7 d", "7D", "7h", "tomorrow", "10000d", "7dd", "todays"])
def test_other_words_are_no_dates(value: str) -> None:
    with pytest.raises(InvalidQuery, match="is not an ISO 8601 date or time. Give .*'yesterday' or '7d'"):
        SearchQuery.parse(value, "2100-01-01")


@pytest.mark.parametrize("value", ["", "last week", "2026-13-01", None, 5, 5.0, pd.NaT, [], "0001-01-01T00:00+01:00"])
def test_an_invalid_time_is_refused_with_the_argument_and_an_example(value: Any) -> None:
    with pytest.raises(InvalidQuery, match=r"^date_to: ") as caught:
        SearchQuery.parse("2026-11-01", value)
    assert caught.value.argument == "date_to"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("end", ["2026-11-01", "2026-10-31"])
def test_a_window_that_ends_before_it_starts_is_refused(end: str) -> None:
    with pytest.raises(InvalidQuery, match="date_from .* must be before date_to"):
        SearchQuery.parse("2026-11-01", end)


@pytest.mark.parametrize(
    ("given_", "codes"),
    [
        (None, ()),
        ("nz", ("NZ",)),
        ("US,NZ", ("NZ", "US")),
        (["us", "NZ", "US "], ("NZ", "US")),
        (pl.Series(["DE"]), ("DE",)),
        ({"NZ": 1}.keys(), ("NZ",)),
    ],
)
def test_countries_become_sorted_unique_upper_case_codes(given_: Any, codes: tuple[str, ...]) -> None:
    assert SearchQuery.parse(*WEEK, country=given_).country == codes


@pytest.mark.parametrize(
    "wrong", ["", "NZL", "New Zealand", "N1", "ÄÖ", [], [""], ["NZ", None], 5, [5], "NZ,", np.array("NZ")]
)
def test_an_invalid_country_code_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidQuery, match=r"^country: ") as caught:
        SearchQuery.parse(*WEEK, country=wrong)
    assert caught.value.argument == "country"


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("skip", -1),
        ("skip", 1.0),
        ("skip", "1"),
        ("skip", True),
        ("skip", 2**63),
        ("limit", 0),
        ("limit", -1),
        ("limit", 0.5),
        ("user_identifier", ""),
        ("user_identifier", "  "),
        ("user_identifier", 5),
        ("user_type", ""),
        ("user_type", b"x"),
        ("user_identifier", "\ud800"),
        pytest.param("limit", 10**5000, id="limit of thousands of digits"),
    ],
)
def test_other_arguments_are_checked(argument: str, wrong: Any) -> None:
    with pytest.raises(InvalidQuery, match=f"^{argument}(:| must be) ") as caught:
        SearchQuery.parse(*WEEK, **{argument: wrong})
    assert caught.value.argument == argument


def test_equal_searches_are_equal_however_they_are_written() -> None:
    one = SearchQuery.parse("2026-11-01", "2026-11-08T00:00:00Z", country="us,nz", limit=np.int64(5))
    other = SearchQuery.parse(date(2026, 11, 1), datetime(2026, 11, 8), country=["NZ", "US", "NZ"], limit=5)  # noqa: DTZ001
    assert one == other
    assert hash(one) == hash(other)


def test_a_page_is_requested_with_the_api_names_of_parameters() -> None:
    query = SearchQuery.parse(*WEEK, user_identifier="ada@example.com", country=["US", "NZ"], user_type="known")
    assert query.page_params(500, 20) == {
        "dateFrom": "2026-11-01T00:00:00Z",
        "dateTo": "2026-11-08T00:00:00Z",
        "userIdentifier": "ada@example.com",
        "country": "NZ,US",
        "userType": "known",
        "skip": "500",
        "limit": "20",
    }
    assert SearchQuery.parse(*WEEK).page_params(0, 1).keys() == {"dateFrom", "dateTo", "skip", "limit"}


@pytest.mark.parametrize(
    ("total", "skip", "limit", "calls"),
    [
        (0, 0, None, 1),
        (1, 0, None, 1),
        (500, 0, None, 1),
        (501, 0, None, 2),
        (1234, 0, None, 3),
        (1234, 1000, None, 1),
        (1234, 0, 500, 1),
        (1234, 0, 501, 2),
        (5, 10, None, 1),
        (1234, 234, 600, 2),
    ],
)
def test_a_search_costs_one_call_per_started_page(total: int, skip: int, limit: int | None, calls: int) -> None:
    assert SearchQuery.parse(*WEEK, skip=skip, limit=limit).calls(total) == calls


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.none() | st.integers(1, 10**6))
def test_the_pages_of_a_search_have_the_wanted_sessions(total: int, skip: int, limit: int | None) -> None:
    query = SearchQuery.parse(*WEEK, skip=skip, limit=limit)
    wanted = query.wanted(total)
    assert 0 <= wanted <= total
    assert wanted <= query.calls(total) * endpoints.SEARCH.page_size
    assert wanted > (query.calls(total) - 1) * endpoints.SEARCH.page_size or query.calls(total) == 1


@pytest.mark.parametrize(
    "ids",
    [
        [3, 1, 3, 2],
        (3, 1, 2),
        iter([3, 1, 2]),
        pl.Series([3, 1, 2, 1]),
        pd.Series([3, 1, 2]),
        pd.Series([3, 1, 2], dtype="int64[pyarrow]"),
        np.array([3, 1, 2]),
        [np.int64(3), np.int64(1), np.int64(2)],
        pa.array([3, 1, 2]),
        pa.chunked_array([[3], [1, 2]]),
        {3: "a", 1: "b", 2: "c"},
    ],
)
def test_ids_can_be_any_collection_of_integers_and_become_unique_in_their_order(ids: Any) -> None:
    query = DetailQuery.parse(ids)
    assert query.ids == (3, 1, 2)
    assert query.calls == 3


@pytest.mark.parametrize("one", [5, np.int64(5), np.uint64(5), np.array(5)])
def test_a_single_id_is_accepted(one: Any) -> None:
    assert DetailQuery.parse(one).ids == (5,)


@pytest.mark.parametrize("none", [[], (), pl.Series([], dtype=pl.Int64), pl.Series([])])
def test_no_ids_cost_no_calls(none: Any) -> None:
    assert DetailQuery.parse(none).calls == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("123", "a string; give int"),
        (b"123", "a string"),
        (None, "got None"),
        (True, "got True"),
        (1.0, "got 1.0"),
        ([1, 2.0], "got 2.0 (at position 1"),
        ([1, None], "got None (at position 1"),
        ([1, "2"], "got '2' (at position 1"),
        ([False], "got False"),
        (-1, "-1, outside 0 to"),
        ([1, 2**63], "outside 0 to"),
        (pl.Series([1.0]), "a column of Float64"),
        (pl.Series(["1"]), "a column of String"),
        # Older versions of pandas hand out no Arrow column, only values.
        (
            pd.Series([1.0]),
            "a column of Float64" if hasattr(pd.Series, "__arrow_c_stream__") else "1.0 (at position 0)",
        ),
        (pl.Series([1, None]), "got None (at position 1"),
        (pl.DataFrame({"a": [1], "b": [2]}), "a DataFrame"),
        (object(), "got <object"),
        (np.array(5.0), "got array(5.)"),
        pytest.param([10**5000], "a number of thousands of digits", id="thousands of digits"),
        (pl.DataFrame({"a": [1]}), "a DataFrame"),
    ],
)
def test_an_invalid_id_is_named_with_its_position(wrong: Any, message: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        DetailQuery.parse(wrong)
    assert message in str(caught.value)
    assert caught.value.argument == "ids"
