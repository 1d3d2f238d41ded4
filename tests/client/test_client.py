"""The client over real HTTP on loopback: authentication, renewal, every status, and secrets that never appear."""

from __future__ import annotations

import base64
import gc
import http.server
import logging
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import NOW, Clock, client_of, credentials_of, settings_of

from pulseframes import (
    AuthenticationFailed,
    Credentials,
    InvalidQuery,
    JournalWarning,
    MalformedAnswer,
    PulseClient,
    PulseError,
    QuotaExhausted,
    ServerError,
    SessionNotFound,
    Settings,
    __version__,
    endpoints,
)
from pulseframes.client.client import default_client
from pulseframes.client.failures import retry_time
from pulseframes.client.journal import JOURNAL_FILE
from pulseframes.query import SearchQuery
from pulseframes.simulator import Fault, Simulator

PARAMS = SearchQuery.parse("2026-11-01", "2026-11-08").page_params(0, 10)


def asked(simulator: Simulator) -> list[tuple[str, int | None]]:
    return [(request.endpoint, request.status) for request in simulator.requests]


def test_it_authenticates_once_before_the_first_call(simulator: Simulator, client: PulseClient) -> None:
    client.call(endpoints.SEARCH, PARAMS)
    client.call(endpoints.SEARCH, PARAMS)
    assert asked(simulator) == [("authenticate", 202), ("sessions", 200), ("sessions", 200)]
    assert client.calls_spent == 3


def test_it_authenticates_by_post_if_get_is_not_allowed_and_remembers_that(clock: Clock) -> None:
    with Simulator(sessions=10, now=NOW, post_only=True) as simulator:
        with client_of(simulator, clock=clock) as client:
            client.call(endpoints.SEARCH, PARAMS)
            clock.advance(minutes=15)
            client.call(endpoints.SEARCH, PARAMS)
        methods = [
            (request.method, request.status) for request in simulator.requests if request.endpoint == "authenticate"
        ]
    assert methods == [("GET", 405), ("POST", 202), ("POST", 202)]


def test_the_next_process_knows_that_the_server_takes_post() -> None:
    with Simulator(sessions=10, now=NOW, post_only=True) as simulator:
        for _ in range(2):  # two clients with one journal and no stored session key
            with client_of(simulator, changes={"keep_session_key": False}) as client:
                client.call(endpoints.SEARCH, PARAMS)
        methods = [request.method for request in simulator.requests if request.endpoint == "authenticate"]
    assert methods == ["GET", "POST", "POST"]


def test_a_key_is_renewed_before_it_expires(simulator: Simulator, client: PulseClient, clock: Clock) -> None:
    for minutes in (0, 13.9, 0.1, 13.9, 0.1):
        simulator.advance(minutes=minutes)
        clock.advance(minutes=minutes)
        client.call(endpoints.SEARCH, PARAMS)
    assert [name for name, _ in asked(simulator)] == [
        "authenticate",
        "sessions",
        "sessions",
        "authenticate",
        "sessions",
        "sessions",
        "authenticate",
        "sessions",
    ]
    assert all(status != 401 for _, status in asked(simulator))


def test_after_a_401_the_key_is_renewed_and_the_call_repeated_once(simulator: Simulator, client: PulseClient) -> None:
    client.call(endpoints.SEARCH, PARAMS)
    simulator.advance(minutes=16)  # the client's own clock has not moved
    client.call(endpoints.SEARCH, PARAMS)
    assert asked(simulator)[2:] == [("sessions", 401), ("authenticate", 202), ("sessions", 200)]


def test_a_second_401_is_final(simulator: Simulator, client: PulseClient) -> None:
    simulator.faults.add(Fault(kind="status", status=401, on="sessions", times=None))
    with pytest.raises(AuthenticationFailed) as caught:
        client.call(endpoints.SEARCH, PARAMS)
    assert caught.value.status == 401
    assert client.calls_spent == 4


def test_wrong_credentials_cost_one_call(simulator: Simulator) -> None:
    wrong = Credentials("not", "the", "right ones")
    with (
        PulseClient(wrong, settings=settings_of(simulator)) as client,
        pytest.raises(AuthenticationFailed, match="PULSEFRAMES_API_KEY"),
    ):
        client.call(endpoints.SEARCH, PARAMS)
    assert asked(simulator) == [("authenticate", 401)]


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (400, InvalidQuery, False),
        (403, AuthenticationFailed, False),
        (404, ServerError, False),
        (429, QuotaExhausted, True),
        (408, ServerError, True),
        (418, ServerError, False),
        (301, ServerError, False),
        (307, ServerError, False),
        (500, ServerError, True),
        (502, ServerError, True),
        (503, ServerError, True),
        (504, ServerError, True),
    ],
)
def test_each_status_has_its_exception(
    simulator: Simulator, client: PulseClient, status: int, error: type[PulseError], *, retryable: bool
) -> None:
    simulator.faults.add(Fault(kind="status", status=status, on="sessions", times=None))
    with pytest.raises(error) as caught:
        client.call(endpoints.SEARCH, PARAMS)
    assert caught.value.retryable is retryable
    assert getattr(caught.value, "status", status) == status
    assert str(status) in str(caught.value)


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503, 302])
def test_authentication_has_the_same_exceptions(simulator: Simulator, client: PulseClient, status: int) -> None:
    simulator.faults.add(Fault(kind="status", status=status, on="authenticate", times=None))
    with pytest.raises(PulseError, match=f"authenticate.*{status}"):
        client.call(endpoints.SEARCH, PARAMS)
    assert client.calls_spent == (3 if status >= 500 else 1)


def test_the_error_names_the_session_that_was_not_found(client: PulseClient) -> None:
    with pytest.raises(SessionNotFound, match="Session 12345") as caught:
        client.call(endpoints.DETAIL, {"id": "12345"}, session_id=12345)
    assert caught.value.session_id == 12345


def test_a_refusal_quotes_the_server_on_one_line(simulator: Simulator, client: PulseClient) -> None:
    simulator.faults.add(
        Fault(kind="status", status=400, on="sessions", body="dateTo:\n\x1b[31m too far \x00away " + "x" * 999)
    )
    with pytest.raises(InvalidQuery) as caught:
        client.call(endpoints.SEARCH, PARAMS)
    assert "(400): dateTo: [31m too far away xxx" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0.5", 1),
        ("2.0", 2),
        ("3e1", 30),
        ("-1", 0),
        ("60, 60", 60),
        ("5, 30.2", 31),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30),
        ("Fri, 20 Nov 2026 13:00:30 +0100", 30),
        ("2026-11-20T12:00:30Z", 30),
        ("2026-11-20 13:00:30+01:00", 30),
        ("9" * 30, 10**9),
    ],
)
def test_retry_after_may_be_any_number_several_or_a_date(header: str, seconds: int) -> None:
    assert retry_time(header, now=NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("header", [None, "", "soon", "30s", "nan", "5, soon", "Fri, 99 Nov 2026 12:00:30 GMT", "\xff"])
def test_a_missing_or_invalid_retry_after_is_ignored(header: str | None) -> None:
    assert retry_time(header, now=NOW) is None


def test_the_quota_error_has_the_time_of_the_next_call(simulator: Simulator, client: PulseClient) -> None:
    simulator.faults.add(Fault(kind="status", status=429, on="sessions", headers={"Retry-After": "600"}))
    before = datetime.now(UTC)
    with pytest.raises(QuotaExhausted, match="Next call possible at") as caught:
        client.call(endpoints.SEARCH, PARAMS)
    assert caught.value.resets_at is not None
    assert timedelta(seconds=599) < caught.value.resets_at - before < timedelta(seconds=660)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(kind="reset", on="sessions", times=None), "the connection failed"),
        (Fault(kind="reset", on="sessions", times=None, at_bytes=20), "the connection failed|cut off"),
        (Fault(kind="truncate", on="sessions", times=None), "cut off"),
        (Fault(kind="truncate", on="sessions", times=None, framing="chunked"), "cut off"),
        (
            Fault(kind="body", on="sessions", times=None, body=b"no gzip", headers={"Content-Encoding": "gzip"}),
            "garbled",
        ),
    ],
)
def test_a_lost_connection_is_a_retryable_server_error(
    simulator: Simulator, client: PulseClient, fault: Fault, message: str
) -> None:
    simulator.faults.add(fault)
    with pytest.raises(ServerError, match=message) as caught:
        client.call(endpoints.SEARCH, PARAMS)
    assert caught.value.retryable
    assert caught.value.status is None
    assert client.calls_spent == 4
    simulator.faults.clear()
    assert client.call(endpoints.SEARCH, PARAMS)


def test_a_refused_connection_is_named_in_the_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        with (
            PulseClient(Credentials("a", "b", "c"), settings=Settings(base_url=f"http://127.0.0.1:{port}")) as client,
            pytest.raises(ServerError, match="Connection refused"),
        ):
            client.call(endpoints.SEARCH, PARAMS)


def test_a_server_that_does_not_answer_times_out(simulator: Simulator, clock: Clock) -> None:
    simulator.faults.add(Fault(kind="delay", on="sessions", seconds=30, times=None))
    with (
        client_of(simulator, changes={"read_timeout": 0.2}, sleep=clock.sleep) as client,
        pytest.raises(ServerError, match=r"no answer within 0\.2 s"),
    ):
        client.call(endpoints.SEARCH, PARAMS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"not json",
        b'{"sessionKey": ""}',
        b'{"sessionKey": 5}',
        b'{"sessionKey": "a\\nb"}',
        b"[" * 9999,
    ],
)
def test_an_authentication_without_a_usable_key_is_malformed(
    simulator: Simulator, client: PulseClient, body: bytes
) -> None:
    simulator.faults.add(Fault(kind="body", on="authenticate", body=body))
    with pytest.raises(MalformedAnswer, match="no usable sessionKey") as caught:
        client.call(endpoints.SEARCH, PARAMS)
    assert caught.value.body == b""


def test_many_threads_share_one_key_and_one_renewal(simulator: Simulator, client: PulseClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.call(endpoints.SEARCH, PARAMS), range(24)))
        assert [name for name, _ in asked(simulator)].count("authenticate") == 1
        simulator.advance(minutes=16)
        list(threads.map(lambda _: client.call(endpoints.SEARCH, PARAMS), range(24)))
    assert [name for name, _ in asked(simulator)].count("authenticate") == 2
    assert client.calls_spent == len(simulator.requests)


@contextmanager
def recording_server(
    answer: Callable[[http.server.BaseHTTPRequestHandler], None],
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A bare server that records each request's headers."""
    heard: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def key_or_page(handler: http.server.BaseHTTPRequestHandler) -> None:
    body = b'{"sessionKey": "k-1"}' if "authenticate" in handler.path else b"{}"
    send(handler, 200, body, Set_Cookie="tracking=1")


def test_each_request_has_only_the_headers_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login intruder password intruder\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with recording_server(key_or_page) as (url, heard):
        with PulseClient(Credentials("the-key", "the-id", "the-secret"), settings=Settings(base_url=url)) as client:
            client.call(endpoints.SEARCH, PARAMS)
            client.call(endpoints.DETAIL, {"id": "5"})
    sign_in, search, detail = heard
    assert sign_in["x-apikey"] == "the-key"
    assert sign_in["authorization"] == "Basic " + base64.b64encode(b"the-id:the-secret").decode()
    for request in (search, detail):
        assert request["x-sessionkey"] == "k-1"
        assert not {"authorization", "x-apikey", "cookie"} & request.keys()
    for request in heard:
        assert request["user-agent"] == f"pulseframes/{__version__}"
        assert request["accept-encoding"] == "gzip"
        assert request["connection"] == "keep-alive"


def test_a_redirect_is_not_followed_so_that_no_key_is_sent_elsewhere() -> None:
    with recording_server(key_or_page) as (elsewhere, requests_elsewhere):

        def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
            if "authenticate" in handler.path:
                key_or_page(handler)
            else:
                send(handler, 302, b"", Location=elsewhere)

        with (
            recording_server(redirect) as (url, _),
            PulseClient(Credentials("a", "b", "c"), settings=Settings(base_url=url)) as client,
            pytest.raises(ServerError, match="redirected sessions"),
        ):
            client.call(endpoints.SEARCH, PARAMS)
    assert requests_elsewhere == []


def test_loopback_requests_use_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with recording_server(key_or_page) as (proxy, heard_by_proxy), recording_server(key_or_page) as (url, heard):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        with PulseClient(Credentials("a", "b", "c"), settings=Settings(base_url=url)) as client:
            client.call(endpoints.SEARCH, PARAMS)
    assert len(heard) == 2
    assert heard_by_proxy == []


def test_a_redirect_to_nowhere_is_a_server_error() -> None:
    def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
        if "authenticate" in handler.path:
            key_or_page(handler)
        else:
            send(handler, 302, b"", Location="http://[bad")

    with recording_server(redirect) as (url, _):
        with PulseClient(Credentials("a", "b", "c"), settings=Settings(base_url=url)) as client:
            with pytest.raises(ServerError, match="redirected sessions") as caught:
                client.call(endpoints.SEARCH, PARAMS)
    assert caught.value.status == 302


MARKER = "marker-7d1e"


def everything_about(problem: BaseException) -> str:
    """Everything an exception can show: its whole chain, with the local variables of each frame."""
    trace = traceback.TracebackException.from_exception(problem, capture_locals=True)
    trace.stack = traceback.StackSummary(
        frame for frame in trace.stack if frame.filename != __file__
    )  # it holds the secrets
    seen, link = [], problem
    while link is not None:
        seen.append(f"{link!r} {link} {vars(link)}")
        link = link.__cause__ or link.__context__
    return "".join(trace.format()) + "".join(seen)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=400, body=f"you sent {MARKER}-key and {MARKER}-secret"),
        Fault(kind="status", status=401, times=None, body=f"{MARKER}-id"),
        Fault(kind="status", status=500, times=None),
        Fault(kind="reset", times=None),
        Fault(kind="truncate", times=None),
        Fault(kind="body", body="<html>"),
        Fault(kind="body", body=f'{{"sessionKey": ["{MARKER}-session-key"]}}'),
    ],
)
def test_no_secret_is_in_any_log_or_exception(fault: Fault, caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"api_key": f"{MARKER}-key", "client_id": f"{MARKER}-id", "client_secret": f"{MARKER}-secret"}
    with Simulator(sessions=5, now=NOW, **secrets) as simulator:
        simulator.faults.add(fault)
        with PulseClient(Credentials(**secrets), settings=settings_of(simulator), sleep=clock.sleep) as client:
            with pytest.raises(PulseError) as caught:
                client.call(endpoints.SEARCH, PARAMS)
            shown = everything_about(caught.value) + caplog.text + repr(client) + repr(vars(client))
    assert MARKER not in shown
    assert "pulseframes" in shown


def test_a_users_identifier_is_not_in_an_exception(simulator: Simulator, client: PulseClient) -> None:
    simulator.faults.add(Fault(kind="reset", on="sessions", times=None))
    with pytest.raises(ServerError) as caught:
        client.call(endpoints.SEARCH, PARAMS | {"userIdentifier": "ada@example.com"})
    assert "ada" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_each_call_is_one_line_in_the_log(client: PulseClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="pulseframes")
    client.call(endpoints.SEARCH, PARAMS)
    lines = [record.getMessage() for record in caplog.records if record.name == "pulseframes.client"]
    assert [re.sub(r"\d+ ms, \d+ bytes", "…", line) for line in lines] == [
        "authenticate 202, …, 9999 calls left (call 1)",
        "sessions 200, …, 9998 calls left (call 2)",
    ]


@pytest.mark.usefixtures("environment")
def test_the_default_client_keeps_its_session_key_until_the_environment_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = default_client()
    assert default_client() is first
    monkeypatch.setenv("PULSEFRAMES_API_KEY", "another")
    assert default_client() is not first
    first.close()


def test_a_new_client_opens_no_file_and_sends_nothing(simulator: Simulator, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with PulseClient(credentials_of(simulator), settings=settings_of(simulator, home=home)) as client:
        assert not home.exists()
        assert client.quota().used == 0
        assert [file.name for file in home.iterdir() if file.suffix == ".sqlite"] == [JOURNAL_FILE]
    assert simulator.requests == []


def test_a_home_in_memory_from_the_environment_warns_that_responses_are_lost(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSEFRAMES_HOME", ":memory:")
    with pytest.warns(JournalWarning, match="a second run will pay again"):
        PulseClient(credentials_of(simulator), settings=settings_of(simulator)).close()


def test_a_closed_client_leaves_no_open_connection(simulator: Simulator) -> None:
    client = PulseClient(credentials_of(simulator), settings=settings_of(simulator))
    client.call(endpoints.SEARCH, PARAMS)
    client.close()
    del client
    gc.collect()  # an open socket would warn here, and a warning is an error
    with PulseClient(credentials_of(simulator), settings=settings_of(simulator)) as again:
        assert again.call(endpoints.SEARCH, PARAMS)
