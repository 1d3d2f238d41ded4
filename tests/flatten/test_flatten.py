"""Flattening: the documented answers, and everything that can be wrong with an answer."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from support import reference_flatten
from support.documents import DETAIL, SUMMARY, detail_body, search_body

from pulseframes import MalformedAnswer, endpoints
from pulseframes.flatten import FlatAnswers, flatten_answers
from pulseframes.flatten.assemble import with_raw_json
from pulseframes.tables import SESSIONS, TABLES


def rows(answers: FlatAnswers, table: str) -> list[dict[str, Any]]:
    return answers.frames[table].select(TABLES[table].schema.names()).to_dicts()


def reasons(answers: FlatAnswers) -> list[str]:
    return answers.rejected["reason"].to_list()


def test_the_documented_search_answer_fills_every_column_that_it_has() -> None:
    (row,) = rows(flatten_answers([search_body(SUMMARY)], endpoints.SEARCH), "sessions")
    assert [name for name, value in row.items() if value is None] == [
        "satisfaction_rating",
        "ip_country",
        "ip_state",
        "ip_city",
    ]
    assert row["session_start"] == datetime(2017, 1, 25, 1, 18, 25, 854_000, tzinfo=UTC)


def test_the_documented_detail_answer_fills_every_column_of_every_table() -> None:
    answers = flatten_answers([detail_body()], endpoints.DETAIL)
    for name in TABLES:
        (row,) = rows(answers, name)
        assert None not in row.values()
    assert rows(answers, "sessions")[0]["page_view_count"] == 1
    assert answers.unknown_fields == frozenset()
    assert answers.rejected.is_empty()


def test_no_answers_give_empty_frames_with_the_full_schema() -> None:
    for answers in (flatten_answers([], endpoints.DETAIL), flatten_answers([], endpoints.SEARCH)):
        for name, table in TABLES.items():
            assert answers.frames[name].is_empty()
            assert answers.frames[name].select(table.schema.names()).schema == table.schema


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2017-01-25T01:18:25Z", datetime(2017, 1, 25, 1, 18, 25, tzinfo=UTC)),
        ("2017-01-25T01:18:25.8Z", datetime(2017, 1, 25, 1, 18, 25, 800_000, tzinfo=UTC)),
        ("2017-01-25T01:18:25.8541234Z", datetime(2017, 1, 25, 1, 18, 25, 854_123, tzinfo=UTC)),
        ("2017-01-25T01:18:25.8541239Z", datetime(2017, 1, 25, 1, 18, 25, 854_123, tzinfo=UTC)),
        ("2017-01-25T01:18:25", datetime(2017, 1, 25, 1, 18, 25, tzinfo=UTC)),
        ("2017-01-25T01:18:25.854+13:00", datetime(2017, 1, 24, 12, 18, 25, 854_000, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.9999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_to_the_microsecond_in_utc(text: str, expected: datetime) -> None:
    (row,) = rows(flatten_answers([detail_body(sessionEnd=text)], endpoints.DETAIL), "sessions")
    assert row["session_end"] == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "2017-01-25",
        "2017-01-25 01:18:25Z",
        " 2017-01-25T01:18:25Z",
        "2017-02-30T00:00:00Z",
        "2017-01-25T24:00:00Z",
        "2017-01-25T23:59:60Z",
        "2017-01-25T01:18:25.Z",
        "0001-01-01T00:00:00+14:00",
        "yesterday",
    ],
)
def test_a_row_with_an_invalid_time_is_rejected(text: str) -> None:
    answers = flatten_answers([detail_body(sessionEnd=text)], endpoints.DETAIL)
    assert rows(answers, "sessions") == []
    assert reasons(answers) == ["session_end: not an ISO 8601 time"]


def test_the_reason_names_every_invalid_time() -> None:
    answers = flatten_answers([detail_body(sessionEnd="", sessionStart="x")], endpoints.DETAIL)
    assert reasons(answers) == ["session_start: not an ISO 8601 time; session_end: not an ISO 8601 time"]


def test_year_1_is_null_in_the_seen_columns_and_kept_elsewhere() -> None:
    never = "0001-01-01T00:00:00Z"
    user = {**DETAIL["user"], "firstSeen": never, "lastSeen": never}
    (row,) = rows(flatten_answers([detail_body(user=user, sessionEnd=never)], endpoints.DETAIL), "sessions")
    assert row["user_first_seen"] is None
    assert row["user_last_seen"] is None
    assert row["session_end"] == datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("key", ["user", "browser", "platform", "os", "location", "links", "pageViews", "errors"])
def test_an_object_or_list_may_be_null_or_absent(key: str) -> None:
    absent = {name: value for name, value in DETAIL.items() if name != key}
    bodies = [json.dumps({"session": DETAIL | {key: None}}).encode(), json.dumps({"session": absent}).encode()]
    answers = flatten_answers(bodies, endpoints.DETAIL)
    assert answers.rejected.is_empty()
    assert rows(answers, "sessions") == reference_flatten.flatten_details(bodies)["sessions"]


def test_ids_above_2_to_the_53_keep_every_digit() -> None:
    session_id = 2**53 + 1
    answers = flatten_answers([detail_body(id=session_id), detail_body(id=2**63 - 1)], endpoints.DETAIL)
    assert [row["session_id"] for row in rows(answers, "sessions")] == [session_id, 2**63 - 1]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.dumps({"session": DETAIL}, indent=2).encode(), id="pretty-printed"),
        pytest.param(json.dumps({"session": DETAIL}, indent=2).replace("\n", "\r\n").encode(), id="with CRLF"),
        pytest.param(b"\xef\xbb\xbf" + detail_body(), id="after a byte order mark"),
        pytest.param(b"\n\t " + detail_body() + b" \n", id="with white space around it"),
        pytest.param(detail_body(status="x" * 3_000_000), id="longer than a block"),
        pytest.param(json.dumps({"session": DETAIL | {"status": "naïve 🙂"}}, ensure_ascii=False).encode(), id="UTF-8"),
    ],
)
def test_formatting_and_encoding_of_a_body_do_not_matter(body: bytes) -> None:
    plain = detail_body(id=7)
    for bodies in ([body], [plain, body], [body, plain]):
        answers = flatten_answers(bodies, endpoints.DETAIL)
        assert answers.rejected.is_empty()
        expected = reference_flatten.flatten_details(bodies)
        for name in TABLES:
            assert rows(answers, name) == expected[name]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": "1"}, "session_id: expected an integer, got a string"),
        ({"id": 1.0}, "session_id: expected an integer, got a decimal number"),
        ({"id": True}, "session_id: expected an integer, got a boolean"),
        ({"id": 2**63}, "session_id: outside the range of a 64-bit integer"),
        ({"id": 10**30}, "session_id: outside the range of a 64-bit integer"),
        ({"sessionLength": float("nan")}, "session_length_ms: expected an integer, got a decimal number"),
        ({"status": 1}, "status: expected a string, got an integer"),
        ({"user": "x"}, "expected an object at user, got a string"),
        ({"location": {"ipLookup": []}}, "expected an object at location.ipLookup, got a list"),
        (
            {"user": DETAIL["user"] | {"isAnonymous": 0}},
            "user_is_anonymous: expected a boolean, got an integer",
        ),
        ({"user": DETAIL["user"] | {"fullName": "\ud83d"}}, "user_full_name: contains an unpaired surrogate"),
    ],
)
def test_a_value_of_the_wrong_type_rejects_its_session_only(changes: dict[str, Any], reason: str) -> None:
    bodies = [detail_body(id=1), detail_body(**({"id": 2} | changes)), detail_body(id=3)]
    answers = flatten_answers(bodies, endpoints.DETAIL)
    assert [row["session_id"] for row in rows(answers, "sessions")] == [1, 3]
    assert len(reasons(answers)) == 1
    assert reason in reasons(answers)[0]


def test_an_invalid_page_view_is_rejected_and_the_others_keep_their_index() -> None:
    good = DETAIL["pageViews"][0]
    views = [good, good | {"loadingTime": "fast"}, None, 5, good]
    answers = flatten_answers([detail_body(pageViews=views)], endpoints.DETAIL)
    assert [row["view_index"] for row in rows(answers, "page_views")] == [0, 4]
    assert rows(answers, "sessions")[0]["page_view_count"] == 5
    assert answers.rejected["item_index"].to_list() == [1, 2, 3]
    assert reasons(answers) == [
        "loading_time_ms: expected an integer, got a string",
        "expected an object, got null",
        "expected an object, got an integer",
    ]


def test_a_list_of_another_type_is_rejected_but_its_session_is_kept() -> None:
    answers = flatten_answers([detail_body(pageViews={"page": "x"})], endpoints.DETAIL)
    assert rows(answers, "sessions")[0]["page_view_count"] is None
    assert reasons(answers) == ["pageViews: expected a list, got an object"]
    assert len(rows(answers, "errors")) == 1


def test_a_duplicate_key_rejects_the_row_unless_the_field_is_unknown() -> None:
    body = detail_body(id=5).replace(b'"id": 5', b'"id": 5, "id": 6')
    answers = flatten_answers([body], endpoints.DETAIL)
    assert reasons(answers) == ["session_id: id appears twice"]
    unknown = detail_body(id=5).replace(b'"id": 5', b'"id": 5, "new": 1, "new": 2')
    assert [row["session_id"] for row in rows(flatten_answers([unknown], endpoints.DETAIL), "sessions")] == [5]


def test_bytes_that_are_not_utf_8_reject_only_their_row() -> None:
    body = detail_body(pageViews=[DETAIL["pageViews"][0], {"page": "MARK"}]).replace(b"MARK", b"caf\xe9")
    answers = flatten_answers([body], endpoints.DETAIL)
    assert [row["view_index"] for row in rows(answers, "page_views")] == [0]
    assert reasons(answers) == ["page: contains an unpaired surrogate or bytes that are not UTF-8"]


def test_invalid_sessions_in_a_page_do_not_affect_the_others() -> None:
    sessions: list[Any] = [SUMMARY | {"id": number} for number in range(500)]
    sessions[250] = SUMMARY | {"id": "x"}
    sessions[251] = None
    answers = flatten_answers([search_body(*sessions)], endpoints.SEARCH)
    assert [row["session_id"] for row in rows(answers, "sessions")] == [n for n in range(500) if n not in (250, 251)]
    assert reasons(answers) == ["session_id: expected an integer, got a string", "expected an object, got null"]
    assert answers.totals == [500]


def test_one_invalid_session_among_many_bodies_is_rejected() -> None:
    bodies = [detail_body(id=number) for number in range(300)]
    bodies[123] = detail_body(id=123, sessionLength="long")
    answers = flatten_answers(bodies, endpoints.DETAIL)
    assert len(rows(answers, "sessions")) == 299
    assert answers.rejected["session_id"].to_list() == [123]


def test_raw_json_is_the_original_text() -> None:
    view = '{"page" : "a\\ud800",  "loadingTime":1e0}'
    body = detail_body(pageViews=["VIEW"]).replace(b'"VIEW"', view.encode())
    rejected = with_raw_json(flatten_answers([body], endpoints.DETAIL).rejected, [body], endpoints.DETAIL)
    assert rejected["raw_json"].to_list() == [view]
    assert rejected["reason"].to_list() == [
        "page: contains an unpaired surrogate or bytes that are not UTF-8; "
        "loading_time_ms: expected an integer, got a decimal number"
    ]


def test_raw_json_of_a_session_in_a_search_is_that_session_alone() -> None:
    body = search_body(SUMMARY | {"id": 1}, SUMMARY | {"id": "two"})
    rejected = with_raw_json(flatten_answers([body], endpoints.SEARCH).rejected, [body], endpoints.SEARCH)
    assert json.loads(rejected["raw_json"][0]) == SUMMARY | {"id": "two"}


def test_unknown_fields_are_reported_and_reject_nothing() -> None:
    detail = detail_body(device={"model": "x"}, pageViews=[{"page": "a", "cached": True}])
    answers = flatten_answers([detail_body(), detail], endpoints.DETAIL)
    assert answers.unknown_fields == {"session.device", "session.pageViews[].cached"}
    assert len(rows(answers, "sessions")) == 2
    search = flatten_answers([search_body(SUMMARY | {"score": 1}, total=1, version=2)], endpoints.SEARCH)
    assert search.unknown_fields == {"sessions[].score", "version"}


NAMES = st.text(st.characters() | st.sampled_from('"\\\t\x00\ud800é'), max_size=6)


@settings(max_examples=60)
@given(st.lists(st.tuples(NAMES, st.sampled_from(["session", "user", "view"])), min_size=1, max_size=4), st.booleans())
def test_unknown_fields_may_have_any_name(names: list[tuple[str, str]], again: bool) -> None:
    bodies = []
    for name, place in names * (2 if again else 1):
        document = json.loads(json.dumps({"session": DETAIL}))
        places = {
            "session": document["session"],
            "user": document["session"]["user"],
            "view": document["session"]["pageViews"][0],
        }
        places[place].setdefault(name, 1)
        bodies.append(json.dumps(document).encode())
    answers = flatten_answers(bodies, endpoints.DETAIL)
    assert len(rows(answers, "sessions")) == len(bodies)
    paths = {"session": "session.{}", "user": "session.user.{}", "view": "session.pageViews[].{}"}
    known = {"session": DETAIL, "user": DETAIL["user"], "view": DETAIL["pageViews"][0]}
    assert answers.unknown_fields == {paths[place].format(name) for name, place in names if name not in known[place]}


def test_a_great_many_unknown_fields_are_all_reported() -> None:
    bodies = [detail_body(**{f"new{number}_{each}": 1 for each in range(100)}) for number in range(5)]
    assert len(flatten_answers(bodies, endpoints.DETAIL).unknown_fields) == 500


def test_an_unknown_field_may_have_a_different_type_in_each_answer() -> None:
    answers = flatten_answers(
        [detail_body(device=1), detail_body(device="x"), detail_body(device=[{}])], endpoints.DETAIL
    )
    assert answers.unknown_fields == {"session.device"}
    assert len(rows(answers, "sessions")) == 3


def test_an_unknown_field_of_a_rejected_session_is_reported() -> None:
    answers = flatten_answers([detail_body(device=1, id="x")], endpoints.DETAIL)
    assert answers.unknown_fields == {"session.device"}


@pytest.mark.parametrize("depth", [200, 100_000])
def test_a_deeply_nested_field_breaks_neither_the_process_nor_the_result(depth: int) -> None:
    # In a process of its own: overrunning the stack would take the test runner with it.
    code = f"""
import sys; sys.path.insert(0, {str(sys.path[0])!r}); sys.path.insert(0, "tests")
from support.documents import detail_body
from pulseframes import endpoints
from pulseframes.flatten import flatten_answers
body = detail_body(id=1, zone=None).replace(b'"zone": null', b'"zone": ' + b"[" * {depth} + b"]" * {depth})
answers = flatten_answers([body, detail_body(id=2)], endpoints.DETAIL)
print(sorted(answers.frames["sessions"]["session_id"].to_list()), len(answers.rejected))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1, 2] 0"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b'"text"',
        b"<html><body>502</body></html>",
        b"{}",
        b'{"session": null}',
        b'{"session": []}',
        b'{"session": {"id": 1}',
        b'{"session": {"id": 1,}}',
        b'{"session": {"id": 01}}',
        b'{"session": {"id": 1}} trailing',
        b'{"session": {"id": 1}}{"session": {"id": 2}}',
        b'{"session": {"id": 1}, "session": {"id": 2}}',
        b'{"message": "rate limited"}',
        '{"session": {}}'.encode("utf-16"),
    ],
)
def test_a_detail_body_that_is_not_the_documented_json_raises(body: bytes) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        flatten_answers([detail_body(), body], endpoints.DETAIL)
    assert caught.value.body == body


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"sessions": []}',
        b'{"totalSessions": 0}',
        b'{"totalSessions": null, "sessions": []}',
        b'{"totalSessions": -1, "sessions": []}',
        b'{"totalSessions": 1.5, "sessions": []}',
        b'{"totalSessions": 1e400, "sessions": []}',
        b'{"totalSessions": true, "sessions": []}',
        b'{"totalSessions": "3", "sessions": []}',
        b'{"totalSessions": 99999999999999999999, "sessions": []}',
        b'{"totalSessions": 0, "totalSessions": 1, "sessions": []}',
        b'{"totalSessions": 0, "sessions": {}}',
        b'{"totalSessions": 1, "sessions": [{"id": 1}',
    ],
)
def test_a_search_body_that_is_not_the_documented_json_raises(body: bytes) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        flatten_answers([search_body(), body], endpoints.SEARCH)
    assert caught.value.body == body


def test_the_error_for_a_malformed_answer_does_not_quote_it() -> None:
    with pytest.raises(MalformedAnswer) as caught:
        flatten_answers([b'{"session": {"user": {"emailAddress": "ada@example.com"'], endpoints.DETAIL)
    assert "ada" not in str(caught.value)


def test_raw_control_characters_in_a_string_are_kept() -> None:
    body = detail_body(status="a-b").replace(b"a-b", b"a\tb")
    assert rows(flatten_answers([body, detail_body(id=1)], endpoints.DETAIL), "sessions")[-1]["status"] == "a\tb"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"session":"' + b'\\"' * 200_000, id="a text that is never closed"),
        pytest.param(
            b'{"session":{"id":"x",' + b",".join(b'"k%d":1' % n for n in range(60_000)) + b',"k1":2}}', id="many keys"
        ),
        pytest.param(detail_body(pageViews=[{"loadingTime": 1.5}] * 3_000), id="many bad items"),
        pytest.param(b'{"session":' * 50_000, id="many objects"),
    ],
)
def test_no_body_takes_more_than_linear_time(body: bytes) -> None:
    # The test's own time limit is the assertion: with quadratic work each of these takes minutes.
    try:
        answers = flatten_answers([body], endpoints.DETAIL)
    except MalformedAnswer:
        return
    assert len(with_raw_json(answers.rejected, [body], endpoints.DETAIL)) == len(answers.rejected) > 0


def test_brackets_that_do_not_match_are_not_json() -> None:
    with pytest.raises(MalformedAnswer, match="an unexpected }"):
        flatten_answers([b'{"session": {"id": "x"}, "other": [}}'], endpoints.DETAIL)


def test_null_instead_of_a_list_of_sessions_is_an_empty_list() -> None:
    answers = flatten_answers([b'{"totalSessions": 0, "sessions": null}'], endpoints.SEARCH)
    assert answers.totals == [0]
    assert rows(answers, "sessions") == []


def test_totals_are_in_the_order_of_the_bodies() -> None:
    bodies = [search_body(SUMMARY, total=1), search_body(SUMMARY | {"id": "x"}, total=2), search_body(total=3)]
    assert flatten_answers(bodies, endpoints.SEARCH).totals == [1, 2, 3]


def test_page_view_count_of_a_detail_is_the_length_of_its_list_unless_given() -> None:
    answers = flatten_answers(
        [detail_body(id=1), detail_body(id=2, pageViewCount=9), detail_body(id=3, pageViews=None)], endpoints.DETAIL
    )
    counts = answers.frames["sessions"].select("session_id", "page_view_count").sort("session_id")
    assert counts.rows() == [(1, 1), (2, 9), (3, 0)]


def test_the_frames_have_the_declared_types() -> None:
    sessions = flatten_answers([search_body(SUMMARY)], endpoints.SEARCH).frames["sessions"]
    assert sessions.select(SESSIONS.schema.names()).schema == SESSIONS.schema
    assert sessions["session_start"].dtype == pl.Datetime("us", "UTC")
