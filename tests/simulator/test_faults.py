from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from pulseframes.simulator import Fault, Response, Simulator, load_faults

from .caller import BASE, Caller

SEARCH = f"{BASE}/sessions?dateFrom=2026-10-01&dateTo=2026-12-01&limit=50"


@pytest.fixture
def call(served: Simulator) -> Callable[[], Response]:
    """Send the same search over a new connection each time."""
    key = Caller(served).authenticate().json()["sessionKey"]
    host = served.url.split("/")[2]

    def send() -> Response:
        connection = http.client.HTTPConnection(host, timeout=5)
        try:
            connection.request("GET", SEARCH, headers={"X-SessionKey": key})
            answer = connection.getresponse()
            return Response(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    return send


def test_a_status_is_answered_with_its_headers_and_body(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(
        Fault(kind="status", status=429, headers={"Retry-After": "7"}), Fault(kind="status", body="<oops>")
    )
    first, second, third = call(), call(), call()
    assert (first.status, first.headers["Retry-After"], first.json()) == (429, "7", {"message": "simulated fault"})
    assert (second.status, second.body) == (500, b"<oops>")
    assert third.status == 200
    assert [request.status for request in served.requests[-3:]] == [429, 500, 200]


def test_a_reset_breaks_the_connection_before_any_answer(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(Fault(kind="reset", on="sessions"))
    with pytest.raises(ConnectionResetError):
        call()
    assert (served.requests[-1].status, served.requests[-1].fault) == (None, "reset")
    assert call().status == 200


def test_a_reset_can_come_within_the_body(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(Fault(kind="reset", at_bytes=100))
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        call()


def test_a_body_can_be_shorter_than_its_promised_length(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(Fault(kind="truncate", at_bytes=100))
    with pytest.raises(http.client.IncompleteRead) as caught:
        call()
    assert len(caught.value.partial) == 100


def test_a_chunked_body_can_miss_its_end(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(Fault(kind="truncate", framing="chunked"))
    with pytest.raises(http.client.IncompleteRead):
        call()


def test_a_cut_body_without_a_length_is_cut_json(served: Simulator, call: Callable[[], Response]) -> None:
    whole = call().body
    served.faults.add(Fault(kind="truncate", framing="close"))
    assert call().body == whole[: len(whole) // 2]


def test_a_delay_comes_before_the_answer(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(Fault(kind="delay", seconds=0.2))
    began = time.monotonic()
    assert call().status == 200
    assert time.monotonic() - began >= 0.2


def test_a_delay_ends_when_the_simulator_stops() -> None:
    with Simulator(sessions=10) as simulator:
        simulator.faults.add(Fault(kind="delay", seconds=3600))
        host, port = simulator.url.split("/")[2].split(":")
        client = socket.create_connection((host, int(port)), timeout=5)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not simulator.calls:
            time.sleep(0.005)
    assert client.recv(100) == b""
    client.close()


def test_a_body_replaces_the_document(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(Fault(kind="body", body="<html>", headers={"Content-Type": "text/html"}), Fault(kind="body"))
    first, second = call(), call()
    assert (first.status, first.body, first.headers["Content-Type"]) == (200, b"<html>", "text/html")
    assert (second.status, second.body) == (200, b"")


def test_a_drift_edits_the_document(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(Fault(kind="drift", edit=lambda document: document.update(new=[1])))
    assert call().json()["new"] == [1]
    assert "new" not in call().json()


def test_a_drift_waits_for_an_answer_with_a_document(make: Callable[..., Caller]) -> None:
    caller = make()
    caller.authenticate()
    caller.simulator.faults.add(Fault(kind="drift", edit=lambda document: document.clear()))
    assert caller.get("nowhere").status == 404
    assert caller.get("sessions").status == 400
    assert len(caller.simulator.faults) == 1
    assert caller.search() == {}
    assert len(caller.simulator.faults) == 0


def test_a_failing_edit_is_answered_with_a_500(served: Simulator, call: Callable[[], Response]) -> None:
    served.faults.add(Fault(kind="drift", edit=lambda document: document["nothing"]))
    answer = call()
    assert answer.status == 500
    assert "KeyError" in answer.json()["message"]


def test_faults_hit_their_endpoint_from_the_given_call_as_often_as_given(make: Callable[..., Caller]) -> None:
    caller = make()
    caller.authenticate()
    caller.simulator.faults.add(Fault(kind="status", on="session", after=1, times=2, status=503))
    known = caller.search(limit=1)["sessions"][0]["id"]
    assert [caller.get("session", id=known).status for _ in range(4)] == [200, 503, 503, 200]
    caller.simulator.faults.add(Fault(kind="status", times=None))
    assert [caller.get("session", id=known).status for _ in range(4)] == [500] * 4
    caller.simulator.faults.clear()
    assert caller.get("session", id=known).status == 200


def test_of_two_faults_the_one_added_first_hits_first(make: Callable[..., Caller]) -> None:
    caller = make()
    caller.simulator.faults.add(Fault(kind="status", status=501), Fault(kind="status", status=502, after=1))
    assert [caller.authenticate().status for _ in range(3)] == [501, 502, 202]


def test_a_faulted_call_counts_against_the_daily_limit(make: Callable[..., Caller]) -> None:
    caller = make(daily_limit=3)
    caller.authenticate()
    caller.simulator.faults.add(Fault(kind="status", times=2))
    assert [caller.get("sessions").status for _ in range(3)] == [500, 500, 429]


def test_a_script_is_read_from_json(make: Callable[..., Caller]) -> None:
    script: list[dict[str, Any]] = [
        {"kind": "status", "on": "sessions", "status": 503, "headers": {"Retry-After": "1"}, "body": "busy"},
        {
            "kind": "drift",
            "on": "sessions",
            "edits": [
                {"set": "sessions.*.mood", "value": "happy"},
                {"remove": "sessions.1"},
                {"remove": "sessions.*.browser"},
                {"remove": "totalSessions"},
                {"set": "links.next.deep", "value": 1},
            ],
        },
    ]
    caller = make()
    caller.simulator.faults.add(*load_faults(json.dumps(script)))
    query = {"dateFrom": "2026-10-01", "dateTo": "2026-12-01", "limit": 5}
    busy = caller.get("sessions", **query)
    assert (busy.status, busy.headers["Retry-After"], busy.body) == (503, "1", b"busy")
    changed = caller.get("sessions", **query).json()
    assert [session["mood"] for session in changed["sessions"]] == ["happy"] * 4
    assert not any("browser" in session for session in changed["sessions"])
    assert "totalSessions" not in changed


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("{", "not JSON"),
        ("{}", "JSON list"),
        ("[1]", "fault 1: a fault is a JSON object"),
        ('[{"kind": "reset"}, {}]', "fault 2: kind is missing: one of status, reset"),
        ('[{"kind": "boom"}]', "fault 1: kind must be one of status, reset"),
        ('[{"kind": "reset", "on": "all"}]', "on must be one of authenticate, sessions, session"),
        ('[{"kind": "reset", "often": 1}]', "a name must be one of kind, on, times"),
        ('[{"kind": "reset", "edit": 1}]', "a name must be one of"),
        ('[{"kind": "reset", "times": 0}]', "times must be a whole number of at least 1"),
        ('[{"kind": "reset", "after": null}]', "after must be a whole number of at least 0"),
        ('[{"kind": "status", "status": "500"}]', "status must be a whole number from 200 to 599"),
        ('[{"kind": "status", "headers": {"Retry-After": 1}}]', "headers must be an object of strings"),
        ('[{"kind": "body", "body": {}}]', "body must be a string"),
        ('[{"kind": "delay", "seconds": -1}]', "seconds must be a number from 0"),
        ('[{"kind": "truncate", "framing": "none"}]', "framing must be one of length, chunked, close"),
        ('[{"kind": "drift"}]', "a drift needs an edit"),
        ('[{"kind": "drift", "edits": {}}]', "edits must be a list"),
        ('[{"kind": "drift", "edits": [{"put": 1}]}]', "an edit is"),
    ],
)
def test_an_invalid_script_is_refused_with_the_entry_and_what_is_allowed(script: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_faults(script)
