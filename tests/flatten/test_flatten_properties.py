"""Any document of the documented shape flattens to the same rows as in the slow reference."""

from __future__ import annotations

import json
import random
import string
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import polars as pl
from hypothesis import example, given, settings, strategies as st
from soak.fuzz_answers import CHANGES
from support import reference_flatten

from pulseframes import MalformedAnswer, endpoints
from pulseframes.flatten import assemble, flatten_answers, parse_answers
from pulseframes.flatten.assemble import with_raw_json
from pulseframes.flatten.times import instants
from pulseframes.tables import TABLES
from pulseframes.tables.validation import check

ABSENT = object()

ids = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def times(draw: st.DrawFn) -> str:
    moment = draw(st.datetimes()).replace(microsecond=0).isoformat()
    digits = draw(st.text("0123456789", max_size=7))
    zone = draw(st.sampled_from(["Z", "Z", "Z", "", "+00:00"]))
    never = draw(st.integers(0, 9)) == 0
    return "0001-01-01T00:00:00Z" if never else moment + (f".{digits}" if digits else "") + zone


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for a value, null or an absent field."""
    return st.one_of(values, values, values, st.none(), st.just(ABSENT))


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    drawn = st.fixed_dictionaries({name: maybe(values) for name, values in fields.items()})
    return drawn.map(lambda fields: {name: value for name, value in fields.items() if value is not ABSENT})


page_views = objects(page=texts, loadingTime=ids, viewingTime=ids, viewedOn=times())
errors = objects(groupId=ids, instanceId=ids, title=texts, links=objects(web=texts))
user = objects(
    id=ids,
    isAnonymous=st.booleans(),
    identifier=texts,
    firstName=texts,
    fullName=texts,
    emailAddress=texts,
    firstSeen=times(),
    lastSeen=times(),
    links=objects(web=texts),
)
sessions = objects(
    id=ids,
    sessionStart=times(),
    sessionUpdated=times(),
    sessionEnd=times(),
    user=user,
    satisfactionRating=st.sampled_from(["Excellent", "Good", "Average", "Poor"]),
    browser=objects(name=texts, version=texts),
    platform=objects(name=texts),
    os=objects(name=texts, version=texts),
    location=objects(country=texts, ipAddress=texts, ipLookup=objects(country=texts, state=texts, city=texts)),
    sessionLength=ids,
    status=texts,
    pageViewCount=ids,
    links=objects(self=texts, web=texts),
    pageViews=st.lists(page_views, max_size=4),
    errors=st.lists(errors, max_size=3),
)
writings = st.sampled_from(
    [
        lambda document: json.dumps(document).encode(),
        lambda document: json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        ),
        lambda document: b"\xef\xbb\xbf" + json.dumps(document, indent=1).encode(),
    ]
)


def assert_same_rows(frame: pl.DataFrame, table: str, expected: list[dict[str, Any]]) -> None:
    columns = TABLES[table].schema.names()
    order = ["_body_index", "_session_index", *([TABLES[table].index] if TABLES[table].index else [])]
    assert frame.sort(order).select(columns).to_dicts() == [{name: row[name] for name in columns} for row in expected]


@given(st.lists(sessions, max_size=4), writings)
def test_details_equal_the_reference(documents: list[dict[str, Any]], write: Any) -> None:
    bodies = [write({"session": session}) for session in documents]
    answers = flatten_answers(bodies, endpoints.DETAIL)
    assert answers.rejected.is_empty()
    assert answers.unknown_fields == frozenset()
    for name, expected in reference_flatten.flatten_details(bodies).items():
        assert_same_rows(answers.frames[name], name, expected)


@given(st.lists(st.lists(sessions, max_size=3), max_size=3), writings)
def test_searches_equal_the_reference(pages: list[list[dict[str, Any]]], write: Any) -> None:
    bodies = [write({"totalSessions": len(page), "sessions": page, "links": None}) for page in pages]
    answers = flatten_answers(bodies, endpoints.SEARCH)
    assert answers.totals == [len(page) for page in pages]
    assert_same_rows(answers.frames["sessions"], "sessions", reference_flatten.flatten_searches(bodies))


SPOILED = st.sampled_from([0.5, "x", True, [], {}, [1], {"a": 1}, 2**64, "\ud800", float("inf"), "", -1])


@given(st.lists(sessions, min_size=1, max_size=3), st.data())
def test_replacing_one_value_loses_no_row_and_changes_no_other_session(
    documents: list[dict[str, Any]], data: st.DataObject
) -> None:
    documents = [session | {"id": number} for number, session in enumerate(documents)]
    victim = data.draw(st.integers(0, len(documents) - 1))
    spoiled = json.loads(json.dumps(documents))
    key = data.draw(
        st.sampled_from(["sessionStart", "user", "status", "sessionLength", "pageViews", "errors", "links"])
    )
    spoiled[victim][key] = data.draw(SPOILED)
    bodies = [json.dumps({"session": session}).encode() for session in spoiled]

    answers = flatten_answers(bodies, endpoints.DETAIL)
    kept = answers.frames["sessions"]["session_id"].to_list()
    rejected = answers.rejected.filter(pl.col("table") == "sessions")["session_id"].to_list()
    assert sorted(kept + rejected) == list(range(len(documents)))
    others = [number for number in range(len(documents)) if number != victim]
    assert set(rejected) <= {victim}
    expected = reference_flatten.flatten_details([bodies[number] for number in others])
    for name in TABLES:
        assert_same_rows(answers.frames[name].filter(pl.col("session_id") != victim), name, expected[name])
    with_raw = with_raw_json(answers.rejected, bodies, endpoints.DETAIL)
    assert all(json.loads(raw) is not ABSENT for raw in with_raw["raw_json"])


@settings(max_examples=50)
@given(st.lists(sessions, max_size=4))
def test_every_row_is_either_valid_or_rejected_with_a_reason(documents: list[dict[str, Any]]) -> None:
    frames = flatten_answers(
        [json.dumps({"session": session}).encode() for session in documents], endpoints.DETAIL
    ).frames
    valid, invalid = check(frames)
    for name, table in TABLES.items():
        assert len(valid[name]) + len(invalid[name]) == len(frames[name])
        assert invalid[name]["reason"].null_count() == 0
        assert (invalid[name]["reason"].str.len_chars() > 0).all()
        for column in table.columns:
            assert not column.required or valid[name][column.name].null_count() == 0
            assert column.minimum is None or (valid[name][column.name] >= column.minimum).all(ignore_nulls=True)
        assert valid[name].select(table.key).is_unique().all()
    belongs = set(valid["sessions"]["session_id"])
    assert set(valid["page_views"]["session_id"]) <= belongs
    assert set(valid["errors"]["session_id"]) <= belongs


@settings(max_examples=25)
@given(st.lists(sessions, max_size=8), st.integers(0, 3), st.booleans())
def test_answers_that_are_flattened_in_parts_give_the_same_as_at_once(
    documents: list[dict[str, Any]], broken: int, drifts: bool
) -> None:
    documents += [{"id": number, "sessionStart": "soon", "new": number} for number in range(broken)]
    bodies = [json.dumps({"session": session} | ({"extra": 1} if drifts else {})).encode() for session in documents]
    whole = parse_answers(bodies, endpoints.DETAIL)
    with patch.object(assemble, "_LEAST_PART", 1), patch.object(assemble, "_LARGEST_PART", 300):
        parts = parse_answers(bodies, endpoints.DETAIL)
    for name in TABLES:
        assert parts.frames[name].equals(whole.frames[name])
    assert parts.body_indices.equals(whole.body_indices)
    assert parts.rejected.sort(pl.all()).equals(whole.rejected.sort(pl.all()))
    assert (parts.drift, parts.truncated) == (whole.drift, whole.truncated)


@settings(max_examples=100)
@given(st.lists(st.lists(sessions, max_size=4), max_size=3), writings, st.randoms(use_true_random=False), st.data())
def test_a_list_with_broken_sessions_gives_what_the_fallback_reader_gives(
    pages: list[list[dict[str, Any]]], write: Any, draw: random.Random, data: st.DataObject
) -> None:
    """Its sessions are read as if each had come alone, and only the broken ones by the fallback reader."""
    for page in pages:
        for session in page:
            if data.draw(st.booleans()):
                session[data.draw(st.sampled_from(["id", "sessionStart", "user", "status", "new"]))] = data.draw(
                    SPOILED
                )
    bodies = [write({"totalSessions": len(page), "sessions": page, "links": {}}) for page in pages]
    bodies = [draw.choice(CHANGES)(draw, body) if draw.random() < 0.2 else body for body in bodies]
    outcomes = []
    for way in (assemble._flatten_apart, lambda *_: ({}, None)):
        with patch.object(assemble, "_flatten_apart", way):
            try:
                parsed = parse_answers(bodies, endpoints.SEARCH)
                flat = flatten_answers(bodies, endpoints.SEARCH)
            except MalformedAnswer as problem:
                outcomes.append(problem.body)
            else:
                tables = [parsed.frames["sessions"], parsed.rejected.sort(pl.all())]
                outcomes.append([[table.to_dicts() for table in tables], flat.totals, flat.unknown_fields])
    assert outcomes[0] == outcomes[1]


#: Times of the API, those that are almost some, and any text.
written = st.one_of(
    times(),
    st.builds(lambda text, at, new: text[:at] + new + text[at + 1 :], times(), st.integers(0, 30), st.text(max_size=1)),
    st.text(string.digits + "-T:.Z+ ", max_size=32),
)


@settings(max_examples=150)
@given(st.lists(st.none() | written, max_size=4))
@example(["0000-01-01T00:00:00Z"])
@example(["2026-02-30T00:00:00Z", "2026-11-01T24:00:00Z", "2026-11-01T00:00:00.123456ZZ", "٢026-11-01T00:00:00Z"])
@example(["2026-11-01T00:00:00.1234569Z", None, "2026-11-01T00:00:00", "9999-12-31T23:59:59.999999999Z"])
def test_a_time_is_read_alike_beside_others_and_with_an_offset(texts: list[str | None]) -> None:
    """Columns in which no time has an offset take a quicker way."""
    alone = [instants(pl.Series([text], dtype=pl.String))[0] for text in texts]
    offset = pl.Series([*texts, "2026-11-01T00:00:00+13:00"], dtype=pl.String)
    assert instants(offset).to_list() == [*alone, datetime(2026, 10, 31, 11, tzinfo=UTC)]
