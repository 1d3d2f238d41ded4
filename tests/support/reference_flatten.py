"""A slow and obvious flattening to compare with: plain json, dicts and loops.

Its field names are copied by hand from the API's documentation, because it must not share the tables' declarations.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)

SESSION_FIELDS = {
    "session_id": ("id",),
    "session_start": ("sessionStart",),
    "session_updated": ("sessionUpdated",),
    "session_end": ("sessionEnd",),
    "user_id": ("user", "id"),
    "user_is_anonymous": ("user", "isAnonymous"),
    "user_identifier": ("user", "identifier"),
    "user_first_name": ("user", "firstName"),
    "user_full_name": ("user", "fullName"),
    "user_email_address": ("user", "emailAddress"),
    "user_first_seen": ("user", "firstSeen"),
    "user_last_seen": ("user", "lastSeen"),
    "user_web_url": ("user", "links", "web"),
    "satisfaction_rating": ("satisfactionRating",),
    "browser_name": ("browser", "name"),
    "browser_version": ("browser", "version"),
    "platform_name": ("platform", "name"),
    "os_name": ("os", "name"),
    "os_version": ("os", "version"),
    "country": ("location", "country"),
    "ip_address": ("location", "ipAddress"),
    "ip_country": ("location", "ipLookup", "country"),
    "ip_state": ("location", "ipLookup", "state"),
    "ip_city": ("location", "ipLookup", "city"),
    "session_length_ms": ("sessionLength",),
    "status": ("status",),
    "page_view_count": ("pageViewCount",),
    "api_url": ("links", "self"),
    "web_url": ("links", "web"),
}
PAGE_VIEW_FIELDS = {
    "page": ("page",),
    "loading_time_ms": ("loadingTime",),
    "viewing_time_ms": ("viewingTime",),
    "viewed_on": ("viewedOn",),
}
ERROR_FIELDS = {
    "group_id": ("groupId",),
    "instance_id": ("instanceId",),
    "title": ("title",),
    "web_url": ("links", "web"),
}
TIMES = {"session_start", "session_updated", "session_end", "user_first_seen", "user_last_seen", "viewed_on"}


def instant(text: str) -> datetime:
    """Parse a time, truncated to microseconds."""
    match = TIME.fullmatch(text)
    assert match is not None, text
    *parts, fraction, zone = match.groups()
    moment = datetime(*map(int, parts), int((fraction or "").ljust(6, "0")[:6]), tzinfo=UTC)
    if zone and zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[4:])
        moment -= timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    return moment


def lookup(element: dict[str, Any], column: str, path: tuple[str, ...]) -> Any:
    value: Any = element
    for key in path:
        value = None if value is None else value.get(key)
    if value is not None and column in TIMES:
        value = instant(value)
        if column in {"user_first_seen", "user_last_seen"} and value == datetime(1, 1, 1, tzinfo=UTC):
            return None
    return value


def flatten_session(session: dict[str, Any], *, detail: bool) -> dict[str, list[dict[str, Any]]]:
    row = {column: lookup(session, column, path) for column, path in SESSION_FIELDS.items()}
    views = session.get("pageViews") or [] if detail else []
    errors = session.get("errors") or [] if detail else []
    if detail and row["page_view_count"] is None:
        row["page_view_count"] = len(views)
    return {
        "sessions": [row],
        "page_views": [_item(row, "view_index", index, view, PAGE_VIEW_FIELDS) for index, view in enumerate(views)],
        "errors": [_item(row, "error_index", index, error, ERROR_FIELDS) for index, error in enumerate(errors)],
    }


def _item(
    session: dict[str, Any], index_name: str, index: int, item: dict[str, Any], fields: dict[str, tuple[str, ...]]
) -> dict[str, Any]:
    values = {column: lookup(item, column, path) for column, path in fields.items()}
    return {"session_id": session["session_id"], index_name: index, **values}


def flatten_details(bodies: list[bytes]) -> dict[str, list[dict[str, Any]]]:
    flat = [flatten_session(json.loads(body.decode("utf-8-sig"))["session"], detail=True) for body in bodies]
    return {name: [row for part in flat for row in part[name]] for name in ("sessions", "page_views", "errors")}


def flatten_searches(bodies: list[bytes]) -> list[dict[str, Any]]:
    documents = [json.loads(body.decode("utf-8-sig")) for body in bodies]
    return [
        flatten_session(session, detail=False)["sessions"][0]
        for document in documents
        for session in document["sessions"] or []
    ]
