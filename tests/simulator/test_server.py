from __future__ import annotations

import gc
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from pulseframes.simulator import Simulator

from .caller import BASE, NOW, Caller


def test_the_server_answers_requests_on_loopback(served: Simulator) -> None:
    assert served.url.startswith("http://127.0.0.1:")
    assert served.url.endswith(BASE)
    with requests.Session() as session:
        answer = session.get(f"{served.url}/authenticate", headers=Caller(served).credentials(), timeout=5)
        assert answer.status_code == 202
        session.headers["X-SessionKey"] = answer.json()["sessionKey"]
        window = {"dateFrom": "2026-10-01", "dateTo": "2026-12-01", "limit": "100"}
        answer = session.get(f"{served.url}/sessions", params=window, timeout=5)
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.json()["totalSessions"] == 500
        link = answer.json()["sessions"][0]["links"]["self"]
        assert session.get(link, timeout=5).json() == served.detail(answer.json()["sessions"][0]["id"])


def test_a_client_that_does_not_accept_gzip_gets_plain_bytes(served: Simulator) -> None:
    caller = Caller(served)
    caller.authenticate()
    headers = {"X-SessionKey": caller.key, "Accept-Encoding": "identity"}
    answer = requests.get(f"{served.url}/sessions?dateFrom=2026-10-01&dateTo=2026-12-01", headers=headers, timeout=5)
    assert "Content-Encoding" not in answer.headers
    assert len(answer.content) == int(answer.headers["Content-Length"])


def test_one_connection_serves_many_requests_even_with_bodies(served: Simulator) -> None:
    connection = http.client.HTTPConnection(served.url.split("/")[2], timeout=5)
    for body in (None, b"x" * 1000, None):
        connection.request("POST", f"{BASE}/authenticate", body=body, headers=Caller(served).credentials())
        first = connection.sock
        answer = connection.getresponse()
        assert (answer.status, answer.version) == (202, 11)
        answer.read()
        assert connection.sock is first
    connection.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_other_methods_are_405(served: Simulator, method: str) -> None:
    answer = requests.request(method, f"{served.url}/sessions", timeout=5)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_invalid_http_is_400_and_the_server_keeps_running(served: Simulator, text: bytes) -> None:
    host, port = served.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(text)
        assert b"400" in client.recv(1000)
    assert Caller(served).authenticate().status == 202


def test_many_clients_at_once_are_all_served_and_counted(served: Simulator) -> None:
    headers = Caller(served).credentials()

    def call(_: int) -> int:
        return requests.get(f"{served.url}/authenticate", headers=headers, timeout=10).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(call, range(60)))
    assert statuses == [202] * 50 + [429] * 10
    assert served.calls == len(served.requests) == 60


def test_stopping_closes_open_connections_and_ends_every_thread() -> None:
    threads = {*threading.enumerate()}
    with Simulator(sessions=10) as simulator:
        host, port = simulator.url.split("/")[2].split(":")
        clients = [socket.create_connection((host, int(port)), timeout=5) for _ in range(5)]
        clients[0].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"404" in clients[0].recv(1000)
    for thread in {*threading.enumerate()} - threads:
        thread.join(60)
        assert not thread.is_alive()
    for client in clients:
        client.close()
    gc.collect()


def test_a_client_that_leaves_in_the_middle_prints_nothing(
    served: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    host, port = served.url.split("/")[2].split(":")
    for text in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"):
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(text)
    assert Caller(served).authenticate().status == 202
    time.sleep(0.05)
    assert capfd.readouterr() == ("", "")


def test_a_simulator_can_be_started_again_on_a_chosen_port() -> None:
    with Simulator(sessions=10, now=NOW) as first:
        port = int(first.url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            Simulator(sessions=10, port=port).start()
    again = Simulator(sessions=10, now=NOW, port=port)
    for _ in range(2):
        again.start()
        again.start()
        assert f":{port}/" in again.url
        assert requests.get(again.url, timeout=5).status_code == 404
        again.stop()
        again.stop()
    assert json.loads(again.handle("GET", "/").body) == {"message": "No such resource"}
