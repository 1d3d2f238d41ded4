"""The documents have the documented fields, which are listed here by hand, from the documentation."""

from __future__ import annotations

from typing import Any

from .caller import Caller

SUMMARY = {
    "id": int,
    "sessionStart": str,
    "sessionUpdated": str,
    "sessionEnd": str,
    "user": {
        "id": int,
        "isAnonymous": bool,
        "identifier": str,
        "firstName": str,
        "fullName": str,
        "emailAddress": str,
        "firstSeen": str,
        "lastSeen": str,
        "links": {"web": str},
    },
    "browser": {"name": str, "version": str},
    "platform": {"name": str},
    "os": {"name": str, "version": str},
    "location": {"country": str, "ipAddress": str},
    "sessionLength": int,
    "status": str,
    "pageViewCount": int,
    "links": {"self": str, "web": str},
}
PAGE_VIEW = {"page": str, "loadingTime": int, "viewingTime": int, "viewedOn": str}
ERROR = {"groupId": int, "instanceId": int, "title": str, "links": {"web": str}}
DETAIL = {
    **{key: value for key, value in SUMMARY.items() if key != "pageViewCount"},
    "satisfactionRating": str,
    "location": {
        "country": str,
        "ipAddress": str,
        "ipLookup": {"country": str, "state": str, "city": str},
    },
    "errors": [ERROR],
    "pageViews": [PAGE_VIEW],
}


def paths(shape: Any, prefix: str = "") -> dict[str, type]:
    """Flatten a shape to its paths."""
    if isinstance(shape, list):
        return {path: kind for item in shape for path, kind in paths(item, prefix + "[]").items()}
    if isinstance(shape, dict):
        return {path: kind for key, item in shape.items() for path, kind in paths(item, f"{prefix}.{key}").items()}
    return {prefix: shape if isinstance(shape, type) else type(shape)}


def seen(documents: list[dict[str, Any]]) -> dict[str, set[type]]:
    """Collect the types at every path, except null."""
    types: dict[str, set[type]] = {}
    for document in documents:
        for path, kind in paths(document).items():
            if kind is not type(None):
                types.setdefault(path, set()).add(kind)
    return types


def test_a_search_answer_has_the_documented_fields_and_types(shop: Caller) -> None:
    assert seen(shop.search(limit=500)["sessions"]) == {path: {kind} for path, kind in paths(SUMMARY).items()}


def test_a_detail_answer_has_the_documented_fields_and_types(shop: Caller) -> None:
    details = [shop.detail(session["id"]) for session in shop.search(limit=500)["sessions"]]
    assert seen(details) == {path: {kind} for path, kind in paths(DETAIL).items()}


def test_the_envelopes_are_as_documented(shop: Caller) -> None:
    page = shop.search(skip=10, limit=10)
    assert set(page) == {"totalSessions", "sessions", "links"}
    assert set(page["links"]) == {"self", "next", "previous"}
    assert set(shop.get("session", id=page["sessions"][0]["id"]).json()) == {"session"}
    assert set(shop.authenticate().json()) == {"sessionKey"}


def test_ids_are_larger_than_a_float_can_hold(shop: Caller) -> None:
    for session in shop.search(limit=500)["sessions"]:
        assert 2**53 < session["id"] < 2**63
        assert session.get("user") is None or session["user"].get("id") is None or session["user"]["id"] > 2**53


def test_missing_values_are_null_or_omitted_at_every_level(shop: Caller, everything: list[dict[str, Any]]) -> None:
    assert {"null", "absent"} == {
        "null" if "user" in session else "absent" for session in everything if session.get("user") is None
    }
    details = [shop.detail(session["id"]) for session in everything]
    for key in ("pageViews", "errors", "location", "status"):
        states = {"absent" if key not in detail else "null" for detail in details if detail.get(key) is None}
        assert states == {"null", "absent"}, key


def test_times_have_from_0_to_7_fractional_digits_and_never_is_year_1(everything: list[dict[str, Any]]) -> None:
    starts = [session["sessionStart"] for session in everything]
    assert all(start.endswith("Z") for start in starts)
    assert {len(start.rstrip("Z").partition(".")[2]) for start in starts} == set(range(8))
    for key in ("firstSeen", "lastSeen"):
        assert any((session.get("user") or {}).get(key) == "0001-01-01T00:00:00Z" for session in everything)


def test_email_and_ip_addresses_are_reserved_for_documentation(everything: list[dict[str, Any]]) -> None:
    for session in everything:
        email = (session.get("user") or {}).get("emailAddress") or "nobody@example.com"
        assert email.endswith(("@example.com", "@example.org"))
        address = (session.get("location") or {}).get("ipAddress") or "192.0.2.1"
        assert address.startswith(("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"))
