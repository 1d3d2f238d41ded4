"""The truth is what a client builds from the documents; the client here is written by hand, field by field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS

from .caller import Caller


def get(document: dict[str, Any] | None, *keys: str) -> Any:
    for key in keys:
        document = (document or {}).get(key)
    return document


def instant(text: str | None) -> datetime | None:
    """Read a time; digits after the sixth are cut off."""
    if text is None or text == "0001-01-01T00:00:00Z":
        return None
    whole, _, digits = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{digits[:6]:0<6}+00:00")


def session_row(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "session_id": document["id"],
        "session_start": instant(document["sessionStart"]),
        "session_updated": instant(document.get("sessionUpdated")),
        "session_end": instant(document.get("sessionEnd")),
        "user_id": get(document, "user", "id"),
        "user_is_anonymous": get(document, "user", "isAnonymous"),
        "user_identifier": get(document, "user", "identifier"),
        "user_first_name": get(document, "user", "firstName"),
        "user_full_name": get(document, "user", "fullName"),
        "user_email_address": get(document, "user", "emailAddress"),
        "user_first_seen": instant(get(document, "user", "firstSeen")),
        "user_last_seen": instant(get(document, "user", "lastSeen")),
        "user_web_url": get(document, "user", "links", "web"),
        "satisfaction_rating": document.get("satisfactionRating"),
        "browser_name": get(document, "browser", "name"),
        "browser_version": get(document, "browser", "version"),
        "platform_name": get(document, "platform", "name"),
        "os_name": get(document, "os", "name"),
        "os_version": get(document, "os", "version"),
        "country": get(document, "location", "country"),
        "ip_address": get(document, "location", "ipAddress"),
        "ip_country": get(document, "location", "ipLookup", "country"),
        "ip_state": get(document, "location", "ipLookup", "state"),
        "ip_city": get(document, "location", "ipLookup", "city"),
        "session_length_ms": document.get("sessionLength"),
        "status": document.get("status"),
        "page_view_count": document.get("pageViewCount"),
        "api_url": get(document, "links", "self"),
        "web_url": get(document, "links", "web"),
    }


def view_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "session_id": document["id"],
            "view_index": index,
            "page": view.get("page"),
            "loading_time_ms": view.get("loadingTime"),
            "viewing_time_ms": view.get("viewingTime"),
            "viewed_on": instant(view.get("viewedOn")),
        }
        for index, view in enumerate(document.get("pageViews") or [])
    ]


def error_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "session_id": document["id"],
            "error_index": index,
            "group_id": error.get("groupId"),
            "instance_id": error.get("instanceId"),
            "title": error.get("title"),
            "web_url": get(error, "links", "web"),
        }
        for index, error in enumerate(document.get("errors") or [])
    ]


@pytest.mark.parametrize("minutes", [0, 3])
def test_the_truth_is_what_a_client_builds_from_the_documents(make: Callable[..., Caller], minutes: int) -> None:
    caller = make(sessions=900, days=9)
    caller.simulator.advance(minutes=minutes)
    documents = caller.search_all()
    summaries = pl.DataFrame([session_row(document) for document in documents], schema=SESSIONS.schema)
    assert_frame_equal(caller.simulator.summaries(), summaries.sort("session_start", "session_id"))

    details = [caller.detail(document["id"]) for document in documents]
    views = [row for detail in details for row in view_rows(detail)]
    errors = [row for detail in details for row in error_rows(detail)]
    rows = [{**session_row(detail), "page_view_count": len(detail.get("pageViews") or [])} for detail in details]
    sessions = pl.DataFrame(rows, schema=SESSIONS.schema)
    truth = caller.simulator.truth()
    assert_frame_equal(truth["sessions"], sessions.sort("session_start", "session_id"))
    assert_frame_equal(truth["page_views"], pl.DataFrame(views, schema=PAGE_VIEWS.schema).sort(PAGE_VIEWS.key))
    assert_frame_equal(truth["errors"], pl.DataFrame(errors, schema=ERRORS.schema).sort(ERRORS.key))
    assert all(frame.height for frame in truth.values())


def test_the_truth_of_a_window_is_part_of_the_whole(shop: Caller) -> None:
    whole = shop.simulator.truth()["sessions"]
    day = shop.simulator.truth("2026-10-20", "2026-10-21")["sessions"]
    assert_frame_equal(day, whole.filter(pl.col("session_start").dt.date() == date(2026, 10, 20)))
    assert len(shop.simulator.summaries("2026-10-20", "2026-10-21")) == len(day) > 0


def test_the_truth_of_an_empty_window_has_the_schemas(shop: Caller) -> None:
    truth = shop.simulator.truth("2020-01-01", "2020-01-02")
    assert [frame.schema for frame in truth.values()] == [SESSIONS.schema, PAGE_VIEWS.schema, ERRORS.schema]
    assert not any(frame.height for frame in truth.values())


def test_a_detail_is_available_without_a_call(shop: Caller) -> None:
    known = shop.search(limit=1)["sessions"][0]["id"]
    calls = shop.simulator.calls
    assert shop.simulator.detail(known)["session"] == shop.simulator.detail(known)["session"]
    assert shop.simulator.calls == calls
    with pytest.raises(KeyError):
        shop.simulator.detail(1)


def test_first_seen_is_the_start_of_the_first_session_and_never_after(shop: Caller) -> None:
    sessions = shop.simulator.truth()["sessions"].drop_nulls(["user_id", "user_first_seen"])
    assert (sessions["user_first_seen"] <= sessions["session_start"]).all()
    assert sessions.group_by("user_id").agg(pl.col("user_first_seen").n_unique())["user_first_seen"].max() == 1
