"""Connections: what was sent is counted and what was not is not, every call ends, and no process uses another's connection."""

from __future__ import annotations

import gzip
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Run
from support.raw_server import RawServer, certificate, ok, raw_server, trickle

import pulseframes as pf
from pulseframes import _process
from pulseframes.client.transport import MAX_REFUSAL
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.tables import SESSIONS

#: An address for documentation: no test may reach it, except through a proxy on this machine.
ELSEWHERE = "https://192.0.2.77/api/v1/pulse"


@pytest.fixture(autouse=True)
def _no_certificates_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def client_of(url: str, sleep: Callable[[float], object] = lambda _: None, **settings: Any) -> pf.PulseClient:
    return pf.PulseClient(
        pf.Credentials("an-api-key", "a-client-id", "a-client-secret"),
        settings=pf.Settings(base_url=url, **settings),
        sleep=sleep,
    )


def outcomes(client: pf.PulseClient) -> list[str | None]:
    return [call.outcome for call in client.last_calls()][::-1]


# TLS


def garble(server: RawServer, connection: socket.socket) -> None:
    """Answer the first search with bytes that are no TLS record, as an inspecting middlebox does; the next one well."""
    if server.calls > 2:
        connection.sendall(ok())
        return
    with socket.socket(fileno=connection.detach()) as plain:
        plain.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)


def test_a_tls_failure_after_the_request_was_sent_counts_and_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(tmp_path)))
    with (
        raw_server(lambda connection, _: garble(server, connection), certificate=certificate(tmp_path)) as server,
        client_of(server.url) as client,
    ):
        assert client.call(SEARCH, {}).ok
        assert outcomes(client) == ["answered", "lost", "answered"]
        assert client.quota().used == client.calls_spent == server.calls == 3


def test_an_untrusted_certificate_names_the_reason_and_the_variable(tmp_path: Path) -> None:
    with raw_server(lambda *_: None, certificate=certificate(tmp_path)) as server, client_of(server.url) as client:
        with pytest.raises(pf.ServerError, match="CERTIFICATE_VERIFY_FAILED, self-signed certificate") as caught:
            client.call(SEARCH, {})
        assert "set REQUESTS_CA_BUNDLE to a file with its certificates" in str(caught.value)
        assert (outcomes(client), client.quota().used, server.calls) == (["unsent"], 0, 0)


# Proxies and certificates: nothing is sent, and the message names what to change


def answering_proxy(status: str) -> Any:
    return raw_server(lambda connection, _: connection.sendall(ok(b"", status=status)))


@pytest.mark.parametrize(
    ("status", "said", "tries"),
    [
        ("407 Proxy Authentication Required", "requires a valid login (407); set HTTPS_PROXY=http://user:password@", 1),
        ("403 Forbidden", "refused the connection (403); have the host allowed there, or name it in NO_PROXY", 1),
        ("502 Bad Gateway", "refused the connection (502)", 1),
    ],
)
def test_a_proxy_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch, status: str, said: str, tries: int) -> None:
    with answering_proxy(status) as proxy, client_of(ELSEWHERE) as client:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret-of-the-proxy@127.0.0.1:{proxy.port}")
        for ask in (client.check_connection, lambda: client.call(SEARCH, {})):
            with pytest.raises(pf.ServerError) as caught:
                ask()
            assert said in str(caught.value)
            assert "secret-of-the-proxy" not in str(caught.value)
        assert (outcomes(client), client.quota().used) == (["unsent"] * tries, 0)


@pytest.mark.parametrize(
    ("variable", "value", "said", "tries"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:1", "could not be reached (Connection refused); check HTTPS_PROXY", 3),
        ("HTTPS_PROXY", "socks5h://127.0.0.1:1", "pip install pysocks", 1),
        ("HTTPS_PROXY", "http://", "HTTPS_PROXY or HTTP_PROXY is not an address, such as http://", 1),
        ("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem", "/nonexistent/ca.pem); check REQUESTS_CA_BUNDLE", 1),
        ("CURL_CA_BUNDLE", "/nonexistent/ca.pem", "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE", 1),
    ],
)
def test_what_was_never_sent_is_never_counted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str, tries: int
) -> None:
    monkeypatch.setenv(variable, value)
    with client_of(ELSEWHERE) as client:
        with pytest.raises(pf.ServerError) as caught:
            client.call(SEARCH, {})
        assert said in str(caught.value)
        assert (outcomes(client), client.quota().used, client.calls_spent) == (["unsent"] * tries, 0, 0)


def test_a_file_without_certificates_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "empty.pem"))
    with raw_server(lambda *_: None, certificate=certificate(tmp_path)) as server, client_of(server.url) as client:
        with pytest.raises(pf.ServerError, match="REQUESTS_CA_BUNDLE"):
            client.call(SEARCH, {})
        assert (outcomes(client), client.quota().used) == (["unsent"], 0)


def test_a_plain_proxy_that_wants_a_login_is_quoted_and_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        answering_proxy("407 Proxy Authentication Required") as proxy,
        client_of(ELSEWHERE.replace("https", "http"), allow_http=True) as client,
    ):
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret-of-the-proxy@127.0.0.1:{proxy.port}")
        with pytest.raises(pf.ServerError, match="requires a valid login") as caught:
            client.call(SEARCH, {})
        assert "set HTTP_PROXY=http://user:password@" in str(caught.value)
        assert "secret-of-the-proxy" not in str(caught.value)
        assert outcomes(client) == ["answered", "unsent"]  # the proxy of this test does answer authentications
        assert client.quota().used == client.calls_spent == 1


# The doctor connects as a call does


def doctor(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> tuple[int, str]:
    for name, value in {
        "API_KEY": "an-api-key",
        "CLIENT_ID": "an-id",
        "CLIENT_SECRET": "a-secret",
        "BASE_URL": url,
    }.items():
        monkeypatch.setenv(f"PULSEFRAMES_{name}", value)
    code, out, _ = run("doctor")
    (network,) = [line for line in out.splitlines() if " reachability: " in line[:20]]
    return code, network


def test_doctor_names_the_variable_for_the_certificates_of_a_company(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(lambda connection, _: connection.sendall(ok(b"")), certificate=certificate(tmp_path)) as server:
        code, network = doctor(run, monkeypatch, server.url)
        assert code == 1
        assert network.startswith("FAIL reachability")
        assert "set REQUESTS_CA_BUNDLE to a file with its certificates" in network
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(tmp_path)))
        code, network = doctor(run, monkeypatch, server.url)
        assert (code, network[:4]) == (0, "ok  ")
        assert [head[:4] for head in server.heard] == [b"HEAD"]


def test_doctor_names_the_variable_of_a_proxy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering_proxy("407 Proxy Authentication Required") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret-of-the-proxy@127.0.0.1:{proxy.port}")
        code, network = doctor(run, monkeypatch, ELSEWHERE)
    assert code == 1
    assert network.startswith("FAIL reachability")
    assert "set HTTPS_PROXY=http://user:password@" in network
    assert "secret-of-the-proxy" not in network


# Every call ends

ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a status line": (b"HTTP/1.1 ", b"2"),
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
    "a body without a length": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "the length of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "gzip without content": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03",
        b"n",
    ),
    "the body of a refusal": (b"HTTP/1.1 503 Sorry\r\nConnection: close\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("trickled", ENDLESS)
def test_an_answer_that_trickles_ends_at_the_deadline_and_counts(trickled: str) -> None:
    with (
        raw_server(lambda connection, _: trickle(connection, *ENDLESS[trickled])) as server,
        client_of(server.url, total_timeout=0.25) as client,
    ):
        with pytest.raises(pf.ServerError, match=r"no complete answer within 0\.25 s.*total_timeout=0\.5") as caught:
            client.call(SEARCH, {})
        assert caught.value.timed_out
        assert caught.value.cut_off
        assert outcomes(client) == ["answered", "lost"]
        assert client.quota().used == server.calls == 2


def test_a_search_tries_a_page_that_trickles_twice() -> None:
    with (
        raw_server(lambda connection, _: trickle(connection, *ENDLESS["a body"])) as server,
        client_of(server.url, total_timeout=1) as client,
    ):
        with pytest.raises(pf.ServerError, match="not requested again"):
            pf.search_sessions("2017-01-20", "2017-02-01", client=client)
        assert [b"limit=500" in head for head in server.heard[1:]] == [True, False]


@pytest.mark.parametrize("status", [408, 500, 503, 504, 524, 598, 599])
@pytest.mark.parametrize("header", ["120", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_failure_that_passes_later_ends_a_search_at_once(status: int, header: str) -> None:
    answer = ok(b"", f"Retry-After: {header}", status=f"{status} Later")
    with (
        raw_server(lambda connection, _: connection.sendall(answer)) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(pf.ServerError, match="Next call possible at") as caught:
            pf.search_sessions("2017-01-20", "2017-02-01", client=client)
        assert caught.value.retry_at is not None
        assert server.calls == 2


@pytest.mark.parametrize("status", [408, 504, 524])
def test_a_timeout_that_passes_soon_is_waited_for_and_the_page_stays_whole(status: int) -> None:
    answers = [ok(b"", "Retry-After: 20", status=f"{status} Later"), ok(b'{"totalSessions": 0, "sessions": []}')]
    slept: list[float] = []
    with (
        raw_server(lambda connection, _: connection.sendall(answers.pop(0))) as server,
        client_of(server.url, slept.append) as client,
    ):
        assert pf.search_sessions("2017-01-20", "2017-02-01", client=client).is_empty()
        assert all(b"limit=500" in head for head in server.heard[1:])
        assert 19 < sum(slept) <= 20


def test_a_handshake_that_trickles_ends_and_does_not_count() -> None:
    start = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # a long ServerHello
    with (
        raw_server(lambda connection, _: trickle(connection, start, b"x")) as server,
        client_of(server.url.replace("http", "https"), connect_timeout=0.2) as client,
    ):
        with pytest.raises(pf.ServerError, match=r"no connection within 0\.2 s"):
            client.call(SEARCH, {}, retry_timeouts=False)
        assert set(outcomes(client)) == {"unsent"}


def test_a_long_refusal_is_cut_in_the_journal_and_in_the_message() -> None:
    body = gzip.compress(b"ab " * 7_000_000, 1)
    refusal = ok(body, "Content-Encoding: gzip", status="400 Bad Request")
    with raw_server(lambda connection, _: connection.sendall(refusal)) as server, client_of(server.url) as client:
        with pytest.raises(pf.InvalidQuery, match="ab ab ab") as caught:
            client.call(SEARCH, {})
        assert len(str(caught.value)) < 400
        assert caught.value.call_id is not None
        record = client.journal.record(caught.value.call_id)
        assert record is not None
        assert record.size == MAX_REFUSAL


# Forks


def echo(connection: socket.socket, head: bytes) -> None:
    """Answer a call with its own query, a moment later."""
    time.sleep(0.05)
    connection.sendall(ok(head.split(b" ")[1]))


def in_child(work: Any) -> tuple[int, str]:
    """Run something in a forked child; return its process id, and what it returned or raised, or nothing if it hangs."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = str(work())
        except BaseException as problem:  # noqa: BLE001  the parent looks at it
            said = f"{type(problem).__name__}: {problem}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        if not select.select([pipe], [], [], 30)[0]:
            os.kill(child, signal.SIGKILL)
        return child, pipe.read()


@pytest.fixture
def polars_has_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not used polars."""
    monkeypatch.setattr(_process, "_name", lambda _: "")


@pytest.fixture
def children() -> Iterator[list[int]]:
    """Processes to wait for."""
    started: list[int] = []
    yield started
    for child in started:
        os.waitpid(child, 0)


@pytest.mark.usefixtures("polars_has_no_threads")
def test_a_forked_child_shares_no_connection_with_its_parent(children: list[int]) -> None:
    with raw_server(echo) as server, client_of(server.url) as client:
        client.check_credentials()  # the parent has an open connection
        answers: list[bytes] = []
        mine = threading.Thread(target=lambda: answers.append(client.call(DETAIL, {"id": "1"}).body))
        mine.start()
        child, said = in_child(lambda: client.call(DETAIL, {"id": "2"}).body)
        children.append(child)
        mine.join()
        assert (answers, said) == ([b"/session?id=1"], "b'/session?id=2'")
        assert client.quota().used == server.calls == 3


@pytest.mark.usefixtures("polars_has_no_threads")
def test_a_forked_child_waits_for_no_lock_of_its_parents_threads(children: list[int]) -> None:
    with raw_server(echo) as server, client_of(server.url) as client:
        with client._keys._lock, client._sender._counting:  # as while another thread authenticates
            child, said = in_child(lambda: client.call(DETAIL, {"id": "2"}).body)
        children.append(child)
    assert said == "b'/session?id=2'"


@dataclass
class Parent:
    """What a parent had before it forked."""

    client: pf.PulseClient
    lake: pf.Lake
    frames: pf.SessionFrames


FORKED: dict[str, Callable[[Parent], object]] = {
    "a search": lambda had: pf.search_sessions("2026-11-01", "2026-11-02", client=had.client),
    "details": lambda had: pf.session_details([1250], client=had.client),
    "no details": lambda had: pf.session_details([], client=had.client),
    "a call": lambda had: had.client.call(DETAIL, {"id": "2"}),
    "a cached answer": lambda had: had.client.kept_answer(DETAIL, {"id": "2"}),
    "a sync": lambda had: pf.sync(had.lake, "2026-11-01", details=3, client=had.client),
    "a plan": lambda had: pf.plan(had.lake, "2026-11-01", client=had.client),
    "a scan": lambda had: had.lake.sessions().collect(),
    "sql": lambda had: had.lake.sql("select count(*) from sessions"),
    "a write": lambda had: had.lake.write(had.frames),
    "an estimate": lambda had: pf.estimate(had.lake, "p75(loading_time_ms)", by="country"),
    "an analysis of frames": lambda had: pf.page_speed(had.frames),
    "an analysis of a lake": lambda had: pf.traffic(had.lake),
    "forget": lambda had: pf.forget(had.lake, "jane@example.com", settings=had.client.settings),
    "retain": lambda had: pf.retain(had.lake, 9, settings=had.client.settings),
}


@pytest.mark.parametrize("work", FORKED.values(), ids=FORKED)
def test_a_child_forked_after_polars_was_used_is_told_to_spawn_before_a_call_is_sent(
    work: Callable[[Parent], object], children: list[int], tmp_path: Path
) -> None:
    frames, lake = pf.session_details([]), pf.Lake(tmp_path / "lake")
    lake.write(pl.DataFrame([{"session_id": 1, "session_start": datetime(2026, 11, 1, tzinfo=UTC)}], SESSIONS.schema))
    with raw_server(echo) as server, client_of(server.url, home=tmp_path / "home") as client:
        child, said = in_child(lambda: work(Parent(client, lake, frames)))
        children.append(child)
        assert said.startswith("PulseError: This process was forked from one that had used polars")
        assert 'get_context("spawn")' in said
        assert server.calls == 0


def test_a_forked_child_can_import_every_module() -> None:
    names = [
        module.name
        for module in pkgutil.walk_packages(pf.__path__, "pulseframes.")
        if "__main__" not in module.name and ".spark" not in module.name  # Spark has an environment of its own
    ]
    script = (
        "import importlib, os, polars as pl\n"
        "pl.DataFrame({'a': [1, 2] * 1000}).group_by('a').len()\n"
        "if os.fork() == 0:\n"
        f"    [importlib.import_module(name) for name in {names}]\n"
        "    os._exit(7)\n"
        "os._exit(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 7


def test_the_parent_of_a_forked_child_goes_on(children: list[int]) -> None:
    pl.DataFrame({"a": [1, 2]}).filter(pl.col("a") > 1)
    with raw_server(echo) as server, client_of(server.url) as client:
        children.append(in_child(lambda: None)[0])
        assert client.call(DETAIL, {"id": "1"}).ok
        assert server.calls == 2
