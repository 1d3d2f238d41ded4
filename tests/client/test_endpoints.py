"""A new endpoint is one declaration: the client calls it, counts the call and records the answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest

from pulseframes import Credentials, PulseClient, ServerError, Settings
from pulseframes.endpoints import Endpoint

PAGES: Final = Endpoint("pages", "v3/pages", methods=("POST",), parameters={"site": "siteId"})


class _Server(BaseHTTPRequestHandler):
    """Returns a session key, and answers only POST at PAGES."""

    def do_GET(self) -> None:
        self._answer(202 if self.path == "/authenticate" else 404)

    def do_POST(self) -> None:
        self._answer(200 if self.path == f"/{PAGES.path}?{PAGES.parameters['site']}=7" else 404)

    def _answer(self, status: int) -> None:
        body = json.dumps({"sessionKey": "a-session-key-of-a-test"} if status == 202 else {"status": status}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def client() -> Iterator[PulseClient]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = Settings(base_url=f"http://127.0.0.1:{server.server_port}")
    with PulseClient(Credentials("key-of-a-test", "id", "secret"), settings=settings) as connected:
        yield connected
    server.shutdown()
    server.server_close()


def test_a_declared_endpoint_is_called_as_declared_and_recorded_in_the_journal(client: PulseClient) -> None:
    params = {PAGES.parameters["site"]: "7"}
    answer = client.call(PAGES, params)
    assert (answer.status, json.loads(answer.body)) == (200, {"status": 200})
    kept = client.kept_answer(PAGES, params)
    assert kept is not None
    assert (kept.body, kept.call_id, kept.kept) == (answer.body, answer.call_id, True)
    assert [call.endpoint for call in client.last_calls()] == ["pages", "authenticate"]
    assert client.quota().used == 2


def test_a_refusal_names_the_declared_endpoint(client: PulseClient) -> None:
    with pytest.raises(ServerError, match=r"^pages answered with undocumented status 404"):
        client.call(PAGES, {PAGES.parameters["site"]: "8"})
