"""The two answers, copied by hand from the API's documentation."""

from __future__ import annotations

import json
from typing import Any

USER: dict[str, Any] = {
    "id": 0,
    "isAnonymous": True,
    "identifier": "string",
    "firstName": "string",
    "fullName": "string",
    "emailAddress": "string",
    "firstSeen": "2017-01-25T01:18:25.854Z",
    "lastSeen": "2017-01-25T01:18:25.854Z",
    "links": {"web": "string"},
}
COMMON: dict[str, Any] = {
    "id": 0,
    "sessionStart": "2017-01-25T01:18:25.854Z",
    "sessionUpdated": "2017-01-25T01:18:25.854Z",
    "sessionEnd": "2017-01-25T01:18:25.854Z",
    "user": USER,
    "browser": {"name": "string", "version": "string"},
    "platform": {"name": "string"},
    "os": {"name": "string", "version": "string"},
    "sessionLength": 0,
    "status": "ended",
    "links": {"self": "string", "web": "string"},
}
SUMMARY: dict[str, Any] = {
    **COMMON,
    "location": {"country": "NZ", "ipAddress": "string"},
    "pageViewCount": 0,
}
DETAIL: dict[str, Any] = {
    **COMMON,
    "satisfactionRating": "Excellent",
    "location": {
        "country": "NZ",
        "ipAddress": "string",
        "ipLookup": {"country": "string", "state": "string", "city": "string"},
    },
    "errors": [{"groupId": 0, "instanceId": 0, "title": "string", "links": {"web": "string"}}],
    "pageViews": [{"page": "string", "loadingTime": 0, "viewingTime": 0, "viewedOn": "2017-01-25T01:18:25.879Z"}],
}


def search_body(*sessions: Any, total: int | None = None, **more: Any) -> bytes:
    links = {"self": "string", "next": "string", "previous": "string"}
    document = {"totalSessions": len(sessions) if total is None else total, "sessions": list(sessions), "links": links}
    return json.dumps(document | more).encode()


def detail_body(**changes: Any) -> bytes:
    return json.dumps({"session": DETAIL | changes}).encode()
