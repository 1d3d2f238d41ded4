from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from pulseframes.simulator import Simulator

from .caller import BASE, Caller

WINDOW = {"dateFrom": "2026-10-01", "dateTo": "2026-12-01"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_authenticate_answers_202_with_a_key_to_get_and_post(make: Callable[..., Caller], method: str) -> None:
    response = make().authenticate(method)
    assert response.status == 202
    assert response.json()["sessionKey"]


def test_authenticate_can_accept_post_only(make: Callable[..., Caller]) -> None:
    caller = make(post_only=True)
    refused = caller.authenticate()
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")
    assert caller.authenticate("POST").status == 202


@pytest.mark.parametrize(
    "change",
    [{"X-ApiKey": "wrong"}, {"X-ApiKey": ""}, {"Authorization": "Basic d3Jvbmc6"}, {"Authorization": ""}],
)
def test_authenticate_answers_401_to_wrong_or_missing_credentials(shop: Caller, change: dict[str, str]) -> None:
    headers = {**shop.credentials(), **change}
    assert shop.simulator.handle("GET", f"{BASE}/authenticate", headers=headers).status == 401


def test_a_key_is_valid_for_15_minutes(make: Callable[..., Caller]) -> None:
    caller = make()
    caller.authenticate()
    caller.simulator.advance(timedelta(minutes=14, seconds=59))
    assert caller.get("sessions", **WINDOW).status == 200
    caller.simulator.advance(seconds=1)
    assert caller.get("sessions", **WINDOW).status == 401
    caller.authenticate()
    assert caller.get("sessions", **WINDOW).status == 200


def test_an_invalid_or_missing_key_is_401(shop: Caller) -> None:
    for headers in ({}, {"X-SessionKey": "invalid"}):
        assert shop.simulator.handle("GET", f"{BASE}/sessions", WINDOW, headers).status == 401
        assert shop.simulator.handle("GET", f"{BASE}/session", {"id": 1}, headers).status == 401


@pytest.mark.parametrize(
    "change",
    [
        {"dateFrom": ""},
        {"dateTo": ""},
        {"dateFrom": "yesterday"},
        {"dateFrom": "2026-13-01"},
        {"dateFrom": "20261001"},
        {"dateFrom": "2027-01-01"},
        {"dateFrom": "0001-01-01T00:00:00+14:00"},
        {"limit": 0},
        {"limit": 501},
        {"limit": "ten"},
        {"limit": "1.5"},
        {"skip": -1},
        {"skip": "x"},
    ],
)
def test_a_search_with_a_bad_parameter_is_400_with_a_message(shop: Caller, change: dict[str, Any]) -> None:
    response = shop.get("sessions", **{**WINDOW, **change})
    assert response.status == 400
    assert set(response.json()) == {"message"}


@pytest.mark.parametrize("text", ["", "abc", "1.0", str(2**63), "12 "])
def test_a_detail_with_a_bad_id_is_400(shop: Caller, text: str) -> None:
    assert shop.get("session", id=text).status == 400


def test_an_unknown_session_is_404(shop: Caller) -> None:
    known = shop.search(limit=1)["sessions"][0]["id"]
    for unknown in (0, -1, 1, known + 1, known - 1, 2**63 - 1, -(2**63)):
        assert shop.get("session", id=unknown).status == 404


def test_a_session_of_the_future_is_404_until_it_starts(make: Callable[..., Caller]) -> None:
    later, caller = make(), make()
    later.simulator.advance(days=1)
    session_id = later.search(limit=1)["sessions"][0]["id"]
    assert caller.get("session", id=session_id).status == 404
    caller.simulator.advance(days=1)
    caller.authenticate()
    assert caller.get("session", id=session_id).status == 200


@pytest.mark.parametrize("path", ["/", BASE, f"{BASE}/sessions/1", "/api/v2/pulse/sessions", "/sessions", "/session"])
def test_an_unknown_path_is_404(shop: Caller, path: str) -> None:
    assert shop.simulator.handle("GET", path).status == 404


@pytest.mark.parametrize("endpoint", ["sessions", "session"])
def test_another_method_is_405_with_the_allowed_ones(shop: Caller, endpoint: str) -> None:
    response = shop.simulator.handle("POST", f"{BASE}/{endpoint}")
    assert (response.status, response.headers["Allow"]) == (405, "GET")


def test_after_50_calls_in_24_hours_the_answer_is_429_with_the_time_to_wait(make: Callable[..., Caller]) -> None:
    caller = make(daily_limit=50)
    caller.authenticate()
    caller.simulator.advance(minutes=10)
    for _ in range(49):
        assert caller.get("sessions", **WINDOW).status == 200
    refused = caller.get("sessions", **WINDOW)
    assert (refused.status, refused.headers["Retry-After"]) == (429, str(24 * 3600 - 600))
    assert caller.authenticate().status == 429

    caller.simulator.advance(seconds=24 * 3600 - 600)
    assert caller.authenticate().status == 202
    assert caller.authenticate().status == 429
    caller.simulator.advance(minutes=10)
    assert caller.get("sessions", **WINDOW).status == 200


def test_bad_requests_count_against_the_limit_and_refused_credentials_do_not(make: Callable[..., Caller]) -> None:
    caller = make(daily_limit=3)
    for _ in range(5):
        assert caller.simulator.handle("GET", f"{BASE}/authenticate").status == 401
    assert [caller.get("sessions").status, caller.get("session", id=1).status] == [400, 404]
    assert caller.get("session", id=1).status == 429


def test_authenticate_can_be_free_and_the_limit_absent(make: Callable[..., Caller]) -> None:
    free = make(daily_limit=1, count_authenticate=False)
    assert [free.authenticate().status for _ in range(5)] == [202] * 5
    assert [free.get("sessions", **WINDOW).status for _ in range(2)] == [200, 429]
    unlimited = make(daily_limit=None)
    assert {unlimited.authenticate().status for _ in range(100)} == {202}


def test_the_links_lead_through_every_page_and_back(shop: Caller, everything: list[dict[str, Any]]) -> None:
    ids = [session["id"] for session in everything]
    assert len(set(ids)) == len(ids) == 2000

    listed, page = [], shop.search(limit=300)
    assert page["links"]["previous"] is None
    while True:
        listed += [session["id"] for session in page["sessions"]]
        assert page["totalSessions"] == 2000
        if page["links"]["next"] is None:
            break
        link = urlsplit(page["links"]["next"])
        page = shop.simulator.handle("GET", link.path, link.query, {"X-SessionKey": shop.key}).json()
    assert listed == ids
    link = urlsplit(page["links"]["previous"])
    page = shop.simulator.handle("GET", link.path, link.query, {"X-SessionKey": shop.key}).json()
    assert [session["id"] for session in page["sessions"]] == ids[1500:1800]


def test_links_are_absolute_from_the_host_header(shop: Caller) -> None:
    shop.authenticate()
    headers = {"X-SessionKey": shop.key, "Host": "pulse.test:8080"}
    page = shop.simulator.handle("GET", f"{BASE}/sessions", {**WINDOW, "limit": 1}, headers).json()
    assert (
        page["links"]["self"] == f"http://pulse.test:8080{BASE}/sessions?dateFrom=2026-10-01&dateTo=2026-12-01&limit=1"
    )
    assert page["sessions"][0]["links"]["self"].startswith(f"http://pulse.test:8080{BASE}/session?id=")


def test_the_default_limit_is_50_and_beyond_the_end_there_is_nothing(shop: Caller) -> None:
    assert len(shop.search()["sessions"]) == 50
    page = shop.search(skip=5000)
    assert (page["totalSessions"], page["sessions"], page["links"]["next"]) == (2000, [], None)


def test_a_window_includes_its_start_and_excludes_its_end(shop: Caller) -> None:
    starts = shop.simulator.truth()["sessions"]["session_start"]
    first, last = (starts[position].isoformat().replace("+00:00", "Z") for position in (100, 200))
    assert shop.search(first, last)["totalSessions"] == 100
    assert shop.search(first, first)["totalSessions"] == 0
    assert shop.search("1999-01-01", "2000-01-01")["totalSessions"] == 0
    assert shop.search("2030-01-01", "9999-12-31")["totalSessions"] == 0


def test_a_time_zone_in_the_window_is_respected(shop: Caller) -> None:
    utc = shop.search("2026-10-20T00:00:00Z", "2026-10-21T00:00Z")["totalSessions"]
    assert utc == shop.search("2026-10-20T13:00:00.0000000+13:00", "2026-10-21")["totalSessions"] > 0


def ids_of(sessions: list[dict[str, Any]], keep: Callable[[dict[str, Any]], bool]) -> list[int]:
    return [session["id"] for session in sessions if keep(session)]


def of(session: dict[str, Any], member: str, key: str) -> Any:
    return (session.get(member) or {}).get(key)


def test_each_filter_matches_what_a_slow_scan_matches(shop: Caller, everything: list[dict[str, Any]]) -> None:
    regular = of(everything[0], "user", "identifier") or of(everything[1], "user", "identifier")
    scans: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
        ({"country": "NZ"}, lambda session: of(session, "location", "country") == "NZ"),
        ({"country": "US, NZ"}, lambda session: of(session, "location", "country") in ("US", "NZ")),
        ({"country": ["US", "NZ"]}, lambda session: of(session, "location", "country") in ("US", "NZ")),
        ({"userType": "anonymous"}, lambda session: of(session, "user", "isAnonymous") is True),
        ({"userType": "known"}, lambda session: of(session, "user", "isAnonymous") is False),
        ({"userIdentifier": regular}, lambda session: of(session, "user", "identifier") == regular),
        (
            {"country": "GB", "userType": "known"},
            lambda session: of(session, "location", "country") == "GB" and of(session, "user", "isAnonymous") is False,
        ),
    ]
    for query, keep in scans:
        expected = ids_of(everything, keep)
        assert expected
        assert [session["id"] for session in shop.search_all(**query)] == expected
        assert shop.search(limit=1, **query)["totalSessions"] == len(expected)


@pytest.mark.parametrize(
    "query", [{"country": "XX"}, {"userType": "vip"}, {"userIdentifier": "nobody"}, {"userIdentifier": "visitor-1"}]
)
def test_a_filter_that_matches_nobody_returns_nothing(shop: Caller, query: dict[str, str]) -> None:
    assert shop.search(**query)["totalSessions"] == 0


def test_requests_are_recorded_without_credentials(make: Callable[..., Caller]) -> None:
    caller = make()
    caller.search(country=["NZ", "US"])
    first, second = caller.simulator.requests
    assert (first.endpoint, first.method, first.status, first.query) == ("authenticate", "GET", 202, {})
    assert (second.endpoint, second.status, second.query["country"]) == ("sessions", 200, "NZ,US")
    assert second.at == caller.simulator.now
    assert caller.simulator.calls == 2
    assert not any(secret in repr(caller.simulator.requests) for secret in (caller.key, caller.simulator.api_key))


def test_invalid_parameters_of_the_simulator_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Simulator(sessions=-1)
    with pytest.raises(ValueError, match="daily_limit"):
        Simulator(daily_limit=-1)
