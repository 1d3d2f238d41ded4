"""The outline of an answer has the ids, the total and the errors of flattening it, and the start and status of accepted rows."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from soak.fuzz_answers import CHANGES
from support.documents import DETAIL, SUMMARY, detail_body, search_body

from pulseframes import MalformedAnswer, endpoints
from pulseframes.flatten import Outline, flatten_answers, read_outline, read_outlines

BODIES = {
    endpoints.SEARCH: [search_body(), search_body(SUMMARY), search_body(SUMMARY, SUMMARY | {"id": 5}, SUMMARY)],
    endpoints.DETAIL: [detail_body(), detail_body(pageViews=DETAIL["pageViews"] * 3), detail_body(id=7, errors=None)],
}


def meaning(outline: Outline) -> tuple[Any, ...]:
    """What an outline tells, however its times are written."""
    return outline.ids, outline.statuses, outline.total, outline.starts()


def assert_agrees(body: bytes, endpoint: endpoints.Endpoint) -> None:
    try:
        flat = flatten_answers([body], endpoint)
    except MalformedAnswer:
        with pytest.raises(MalformedAnswer):
            read_outline(body, endpoint)
        assert endpoint.is_list or read_outlines([body, detail_body()], endpoint)[0] is None
        return
    outline = read_outline(body, endpoint)
    if not endpoint.is_list:
        # Together, pyarrow also reads the id of a session that Python cannot decode: a number of thousands of digits.
        (together, _) = read_outlines([body, detail_body()], endpoint)
        assert together is not None
        assert meaning(together) == meaning(outline) or outline.ids == [None]
    sessions, rejected = flat.frames["sessions"], flat.rejected.filter(table="sessions")
    ids = [*sessions["session_id"], *rejected["session_id"]]
    assert sorted(outline.ids, key=str) == sorted(ids, key=str)
    assert [outline.total] == (flat.totals or [0])
    by_id = dict(zip(outline.ids, outline.statuses, strict=True))
    for session_id, start, status in sessions.select("session_id", "session_start", "status").iter_rows():
        if ids.count(session_id) == 1 and session_id is not None:
            assert outline.starts()[session_id] == start
            assert by_id[session_id] == status


@given(st.sampled_from(list(BODIES)), st.integers(0, 2), st.integers(0, 2**32), st.integers(1, 3))
@settings(max_examples=200)
def test_a_damaged_answer_has_the_same_sessions_in_both(
    endpoint: endpoints.Endpoint, which: int, seed: int, changes: int
) -> None:
    draw = random.Random(seed)
    body = BODIES[endpoint][which]
    for _ in range(changes):
        body = draw.choice(CHANGES)(draw, body) or b"\x00"
    assert_agrees(body, endpoint)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 2**63},
        {"id": None},
        {"id": "5"},
        {"id": 5.0},
        {"id": True},
        {"sessionStart": "2026-02-30T00:00:00Z"},
        {"sessionStart": "2026-11-01T00:00:00.1234567+13:00"},
        {"sessionStart": 5},
        {"status": {}},
        {"user": []},
        {"pageViews": {}},
    ],
)
def test_a_row_with_one_wrong_value_has_the_same_outline(changes: dict[str, Any]) -> None:
    assert_agrees(detail_body(**changes), endpoints.DETAIL)
    assert_agrees(search_body(SUMMARY | changes, SUMMARY | {"id": 8}), endpoints.SEARCH)


@pytest.mark.parametrize("value", [b"1" * 5_000, b"[" * 3_000 + b"]" * 3_000])
def test_an_unknown_field_that_python_cannot_decode_hides_no_session(value: bytes) -> None:
    session = b'{"id": 5, "sessionStart": "2026-11-01T00:00:00Z", "status": "ended", "new": ' + value + b"}"
    assert_agrees(b'{"session": ' + session + b"}", endpoints.DETAIL)
    assert_agrees(b'{"totalSessions": 2, "sessions": [' + session + b', {"id": "x"}]}', endpoints.SEARCH)
    outline = read_outline(b'{"session": ' + session + b"}", endpoints.DETAIL)
    assert meaning(outline) == ([5], ["ended"], 0, {5: datetime(2026, 11, 1, tzinfo=UTC)})


@pytest.mark.parametrize(
    "body",
    [
        b'{"sessions": null, "totalSessions": 3}',
        b'{"sessions": [null], "totalSessions": 1}',
        b'{"sessions": [{"id": 1, "id": 2}], "totalSessions": 1}',
        b'{"sessions": [], "sessions": [], "totalSessions": 1}',
        b'{"x": 1, "x": 2, "sessions": [{"id": null}], "totalSessions": 1}',
        b'{"sessions": [], "totalSessions": -1}',
        b'{"sessions": [], "totalSessions": true}',
        b'{"sessions": {}, "totalSessions": 1}',
        b"\xef\xbb\xbf" + json.dumps({"sessions": [{"id": 1}], "totalSessions": 1}).encode(),
        '{"sessions": [], "totalSessions": 1}'.encode("utf-16"),
        b"",
        b"null",
    ],
)
def test_an_odd_page_has_the_same_outline(body: bytes) -> None:
    assert_agrees(body, endpoints.SEARCH)


def test_starts_are_utc_to_the_microsecond() -> None:
    outline = Outline([1, None], ["2026-11-01T13:00:00.1234567+13:00", None], [None, None])
    assert outline.starts() == {1: pl.Series(["2026-11-01T00:00:00.123456Z"]).str.to_datetime(time_zone="UTC")[0]}
