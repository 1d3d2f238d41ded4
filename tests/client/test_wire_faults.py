"""Faults on the wire, over a real socket: the right frame or the right exception, and the calls it costs.

``python tests/client/test_wire_faults.py`` prints the table.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import sys
import tempfile
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Self
from unittest import mock

import polars as pl
import pytest
from support.documents import SUMMARY, search_body
from support.raw_server import certificate

import pulseframes as pf
from pulseframes.client.transport import MAX_BODY

WINDOW = ("2017-01-20", "2017-02-01")
ROWS: list[dict[str, Any]] = [SUMMARY | {"id": number} for number in (1, 2, 3)]
PAGE = search_body(*ROWS)
KEY = b'{"sessionKey": "a-session-key-of-the-wire"}'


@dataclass(frozen=True)
class Sent:
    """The bytes the server sends for one call, and how the connection ends."""

    data: bytes
    end: str = "close"


def http(body: bytes = PAGE, status: str = "200 OK", *, headers: Sequence[str] = (), length: int | None = -1) -> Sent:
    """An answer. ``length`` is the declared length; None declares none."""
    lines = [f"HTTP/1.1 {status}", *headers, "Connection: close"]
    if not any(line.startswith("Content-Type") for line in headers):
        lines.append("Content-Type: application/json")
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
    return Sent("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def chunked(*chunks: bytes, last: bool = True) -> Sent:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + (b"0\r\n\r\n" if last else b"")
    return http(body, headers=["Transfer-Encoding: chunked"], length=None)


def gzipped(content: bytes) -> Sent:
    return http(content, headers=["Content-Encoding: gzip"])


def page(**changes: Any) -> bytes:
    return json.dumps(json.loads(PAGE) | changes).encode()


def row(text: str) -> bytes:
    """The page with a text in place of its first row's ``"sessionLength": 0``."""
    return PAGE.replace(b'"sessionLength": 0', text.encode(), 1)


HALF = len(PAGE) // 2
CUT = PAGE[:HALF]
MINUTE = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
HOUR = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@dataclass(frozen=True)
class Case:
    """A fault: the answers (the last one repeated), the outcome, and the calls spent, including the authentication."""

    fault: str
    answers: tuple[Sent, ...]
    outcome: str
    calls: int
    #: The body that the journal has for the call of the exception.
    kept: bytes | None = None
    place: str = "server"
    settings: dict[str, Any] = field(default_factory=dict)


def statuses() -> Iterator[Case]:
    refused = b'{"message": "no"}'
    for status, name, once, always in (
        ("400 Bad Request", "InvalidQuery", ("InvalidQuery", 2), 2),
        ("401 Unauthorized", "AuthenticationFailed", ("3 rows", 4), 4),
        ("403 Forbidden", "AuthenticationFailed", ("AuthenticationFailed", 2), 2),
        ("404 Not Found", "ServerError", ("ServerError", 2), 2),
        ("405 Method Not Allowed", "ServerError", ("ServerError", 2), 2),
        ("500 Internal Server Error", "ServerError", ("3 rows", 3), 4),
        ("502 Bad Gateway", "ServerError", ("3 rows", 3), 4),
        ("503 Service Unavailable", "ServerError", ("3 rows", 3), 4),
        ("504 Gateway Timeout", "ServerError", ("3 rows", 3), 7),
    ):
        number = status[:3]
        sent = http(refused, status)
        yield Case(f"{number} once", (sent, http()), *once, kept=None if once[0] == "3 rows" else refused)
        yield Case(f"{number} always", (sent,), name, always, kept=refused)
    for when, headers, once, calls in (
        ("after 20 s", ["Retry-After: 20"], "3 rows", 4),
        ("after 0 s", ["Retry-After: 0"], "3 rows", 4),
        ("after an hour", ["Retry-After: 3600"], "QuotaExhausted", 2),
        ("after a date in 20 s", [f"Retry-After: {MINUTE}"], "3 rows", 4),
        ("after a date in an hour", [f"Retry-After: {HOUR}"], "QuotaExhausted", 2),
        ("and no Retry-After", [], "QuotaExhausted", 2),
    ):
        sent = http(refused, "429 Too Many Requests", headers=headers)
        kept = None if once == "3 rows" else refused
        yield Case(f"429 once, {when}", (sent, http()), once, 3 if kept is None else 2, kept=kept)
        yield Case(f"429 always, {when}", (sent,), "QuotaExhausted", calls, kept=refused)
    for location in ("http://elsewhere.invalid/", "http://[", "http://[::1", "\xff\xfe", "//", "http://\x00/"):
        sent = http(b"", "302 Found", headers=[f"Location: {location}"])
        yield Case(f"302 to {location!r}", (sent,), "ServerError", 2, kept=b"")


def connections() -> Iterator[Case]:
    yield Case("connection refused", (), "ServerError", 0, place="nowhere")
    yield Case("the name is not known (DNS)", (), "ServerError", 0, place="no name")
    yield Case("the name cannot be one", (), "ServerError", 0, place="impossible name")
    yield Case("plain HTTP where TLS is expected", (), "ServerError", 0, place="no TLS")
    yield Case("a certificate of its own (TLS)", (), "ServerError", 0, place="self-signed")
    yield Case("no connection in time", (), "ServerError", 0, place="full", settings={"connect_timeout": 0.2})
    waits = {"read_timeout": 0.2}
    yield Case("no answer in time, once", (Sent(b"", "hang"), http()), "3 rows", 3, settings=waits)
    yield Case("no answer in time, always", (Sent(b"", "hang"),), "ServerError", 7, kept=b"", settings=waits)
    half = Sent(http(CUT, length=len(PAGE)).data, "hang")
    yield Case("half an answer in time, always", (half,), "ServerError", 7, kept=CUT, settings=waits)
    for when, data, kept in (
        ("before the answer", b"", b""),
        ("within the headers", http().data[:20], b""),
        ("within the body", http(CUT, length=len(PAGE)).data, CUT),
    ):
        for end in ("reset", "close"):
            if (end, when) == ("close", "within the headers"):
                # Python's http.client takes the end of the stream for the end of the headers.
                yield Case(f"{end} {when}", (Sent(data, end),), "MalformedAnswer", 2, kept=b"")
                continue
            yield Case(f"{end} {when}, once", (Sent(data, end), http()), "3 rows", 3)
            yield Case(f"{end} {when}, always", (Sent(data, end),), "ServerError", 4, kept=kept)
    yield Case("the body is cut, with no Content-Length", (http(CUT, length=None),), "MalformedAnswer", 2, kept=CUT)
    yield Case("the body is whole, with no Content-Length", (http(length=None),), "3 rows", 2)
    yield Case("chunked and whole", (chunked(CUT, PAGE[HALF:]),), "3 rows", 2)
    yield Case("chunked and cut", (chunked(CUT, last=False),), "ServerError", 4, kept=CUT)
    yield Case("chunked, all there but the last chunk", (chunked(PAGE, last=False),), "ServerError", 4, kept=PAGE)
    wrong = http(b"zz\r\n" + PAGE, headers=["Transfer-Encoding: chunked"], length=None)
    yield Case("chunked, a length that is no number", (wrong,), "ServerError", 4, kept=b"")
    yield Case("not HTTP", (Sent(b"SSH-2.0-OpenSSH_9.6\r\n"),), "ServerError", 4, kept=b"")
    yield Case(
        "a header that never ends", (Sent(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999),), "ServerError", 4, kept=b""
    )
    many = [f"X-{number}: x" for number in range(200)]
    yield Case("200 headers", (http(headers=many),), "ServerError", 4, kept=b"")
    two = http(headers=["Content-Length: 5"])
    yield Case("two lengths that differ", (two,), "ServerError", 4, kept=b"")
    yield Case("a length that is no number", (http(headers=["Content-Length: many"], length=None),), "3 rows", 2)


def bodies() -> Iterator[Case]:
    def malformed(fault: str, body: bytes, **options: Any) -> Case:
        return Case(fault, (http(body, **options),), "MalformedAnswer", 2, kept=body)

    yield malformed("HTML with 200", b"<html><body>Service</body></html>", headers=["Content-Type: text/html"])
    yield malformed("an empty body with 200", b"")
    yield Case("204", (http(b"", "204 No Content"),), "MalformedAnswer", 2, kept=b"")
    yield Case("valid JSON, declared as HTML", (http(headers=["Content-Type: text/html"]),), "3 rows", 2)
    yield Case("valid JSON, declared as UTF-16", (http(headers=["Content-Type: x; charset=utf-16"]),), "3 rows", 2)
    yield malformed("UTF-16", PAGE.decode().encode("utf-16"))
    yield Case("a byte order mark", (http(b"\xef\xbb\xbf" + PAGE),), "3 rows", 2)
    yield Case("gzip", (gzipped(gzip.compress(PAGE)),), "3 rows", 2)
    yield Case("gzip in two members", (gzipped(gzip.compress(CUT) + gzip.compress(PAGE[HALF:])),), "3 rows", 2)
    yield Case("declared as gzip, and is not", (gzipped(PAGE),), "ServerError", 4, kept=b"")
    broken = bytearray(gzip.compress(PAGE))
    broken[len(broken) // 2] ^= 0xFF
    yield Case("gzip that is broken", (gzipped(bytes(broken)),), "ServerError", 4)
    short = gzip.compress(PAGE)[: len(gzip.compress(PAGE)) // 2]
    yield Case(
        "gzip that is cut", (gzipped(short),), "MalformedAnswer", 2, kept=zlib.decompressobj(31).decompress(short)
    )
    brotli = http(b"\x0b\x02\x80", headers=["Content-Encoding: br"])
    yield Case("an encoding that was not asked for", (brotli,), "MalformedAnswer", 2, kept=b"\x0b\x02\x80")
    long = PAGE[:-1] + b" " * 200_000_000 + b"}"
    yield Case("200 MB", (gzipped(gzip.compress(long, 1)),), "3 rows", 2)
    longer = PAGE[:-1] + b" " * MAX_BODY + b"}"
    yield Case("more than 256 MB", (gzipped(gzip.compress(longer, 1)),), "ServerError", 2)
    deep = PAGE[:-1] + b', "new": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    yield Case("a new field, 50,000 levels deep", (http(deep),), "3 rows, SchemaDriftWarning", 2)
    within = row('"new": ' + "[" * 50_000 + "]" * 50_000)
    yield Case("a new field of a row, 50,000 levels deep", (http(within),), "3 rows, SchemaDriftWarning", 2)
    wrong = row('"sessionLength": ' + "[" * 50_000 + "]" * 50_000)
    yield Case("a number, 50,000 levels deep", (http(wrong),), "SchemaViolation, 2 rows", 2)
    yield malformed("brackets that never close", b'{"totalSessions": 3, "sessions": ' + b"[" * 99_999)
    for number in ("NaN", "Infinity", "1e400", "1.5", "1e2", "9" * 30, "9" * 5_000, "-1"):
        text = row(f'"sessionLength": {number}')
        short_name = number if len(number) < 20 else f"a number of {len(number)} digits"
        yield Case(f"{short_name} for a whole number", (http(text),), "SchemaViolation, 2 rows", 2)
    yield Case(
        "a key twice in a row", (http(row('"sessionLength": 0, "sessionLength": 1')),), "SchemaViolation, 2 rows", 2
    )
    yield malformed("totalSessions twice", PAGE[:-1] + b', "totalSessions": 4}')
    yield malformed("an array", b"[" + PAGE + b"]")
    for scalar in (b"null", b"3", b'"text"', b"{}", PAGE + PAGE, PAGE + b"x"):
        yield malformed(f"{scalar.decode()[:10]}… ({len(scalar)} bytes)", scalar)
    for total in (-1, 1.5, "3", None, True, [3], 2**63):
        yield malformed(f"totalSessions: {total!r}", page(totalSessions=total))
    yield malformed("no totalSessions", json.dumps({"sessions": ROWS}).encode())
    yield Case("totalSessions: 10**18", (http(page(totalSessions=10**18)),), "3 rows, IncompleteWarning", 3)
    yield Case("totalSessions: 1, and 3 rows", (http(page(totalSessions=1)),), "3 rows, IncompleteWarning", 2)
    yield Case("totalSessions: 5, and 3 rows", (http(page(totalSessions=5)),), "3 rows, IncompleteWarning", 4)
    yield Case("sessions: null, of 0", (http(page(totalSessions=0, sessions=None)),), "0 rows", 2)
    yield Case("sessions: null, of 3", (http(page(sessions=None)),), "0 rows, IncompleteWarning", 4)
    yield malformed("no sessions", b'{"totalSessions": 3}')
    for wrong_list in ({}, "text", 3):
        yield malformed(f"sessions: {wrong_list!r}", page(sessions=wrong_list))
    for wrong_row in (None, 3, "text", []):
        yield Case(
            f"a row: {wrong_row!r}", (http(page(sessions=[wrong_row, *ROWS[1:]])),), "SchemaViolation, 2 rows", 2
        )
    yield Case("an id twice on a page", (http(page(sessions=[*ROWS, ROWS[0]])),), "3 rows", 2)
    yield Case("an id: null", (http(page(sessions=[ROWS[0] | {"id": None}, *ROWS[1:]])),), "SchemaViolation, 2 rows", 2)
    latin = PAGE.replace(b'"id": 1', b'"id": 1, "status": "\xff"', 1).replace(b'"status": "ended"', b'"new": 1', 1)
    yield Case("a byte that is not UTF-8 in a row", (http(latin),), "SchemaViolation, 2 rows, SchemaDriftWarning", 2)


TABLE = [*statuses(), *connections(), *bodies()]


class Wire:
    """A server that issues a session key and then sends prepared answers."""

    def __init__(self, answers: Sequence[Sent], *, certificate: Path | None = None) -> None:
        self.calls = 0
        self._asked = 0
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        threads = []
        while not self._over.is_set():
            try:
                connection = self._listener.accept()[0]
            except OSError:
                break
            threads.append(threading.Thread(target=self._answer, args=(connection,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5)
            if self._context is not None:
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1)
                return
            head = connection.recv(65536)
            if not head.startswith((b"GET ", b"POST ")):
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")  # TLS, to a plain server
                return
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            self.calls += 1
            if b"/authenticate" in head:
                connection.sendall(http(KEY).data)
                return
            sent = self._answers[min(self._asked, len(self._answers) - 1)]
            self._asked += 1
            connection.sendall(sent.data)
            if sent.end == "hang":
                self._over.wait(5)
            elif sent.end == "reset":
                self._over.wait(0.05)  # so that what was sent is read before the reset overtakes it
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.contextmanager
def address(case: Case, folder: Path) -> Iterator[tuple[str, Wire | None]]:
    """Yield the address for the client, and the server if there is one."""
    match case.place:
        case "server":
            with Wire(case.answers) as wire:
                yield f"http://127.0.0.1:{wire.port}", wire
        case "nowhere":
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))  # bound and not listening
                yield f"http://127.0.0.1:{taken.getsockname()[1]}", None
        case "no name":
            unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            with mock.patch("socket.getaddrinfo", side_effect=unknown):
                yield "https://api.invalid", None
        case "impossible name":
            yield f"https://{'a' * 70}.invalid", None
        case "no TLS":
            with Wire([]) as wire:
                yield f"https://127.0.0.1:{wire.port}", wire
        case "self-signed":
            with Wire([], certificate=certificate(folder)) as wire:
                yield f"https://127.0.0.1:{wire.port}", wire
        case "full":
            with socket.socket() as listener, contextlib.ExitStack() as waiting:
                listener.bind(("127.0.0.1", 0))
                listener.listen(0)
                for _ in range(4):  # nobody takes them, and the queue has room for one
                    ahead = waiting.enter_context(socket.socket())
                    ahead.setblocking(False)
                    ahead.connect_ex(listener.getsockname())
                yield f"http://127.0.0.1:{listener.getsockname()[1]}", None


@dataclass(frozen=True)
class Result:
    """The outcome of a case."""

    outcome: str
    calls: int
    heard: int | None
    error: pf.PulseError | None
    body: bytes | None


def play(case: Case, folder: Path) -> Result:
    """Search with the fault. An exception that is not a PulseError is not caught."""
    error, body = None, None
    with address(case, folder) as (url, wire), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        settings = pf.Settings(base_url=url, home=str(folder / "home"), **case.settings)
        slept: list[float] = []

        def now() -> datetime:
            return datetime.now(UTC) + timedelta(seconds=sum(slept))

        credentials = pf.Credentials("an-api-key", "a-client-id", "a-client-secret")
        with pf.PulseClient(credentials, settings=settings, sleep=slept.append, clock=now) as client:
            try:
                frame: pl.DataFrame | None = pf.search_sessions(*WINDOW, client=client)
            except pf.SchemaViolation as problem:
                frame = problem.valid
                outcome = ["SchemaViolation"]
            except pf.PulseError as problem:
                frame, error, outcome = problem.partial, problem, [type(problem).__name__]
            else:
                outcome = []
            outcome += [] if frame is None else [f"{len(frame)} rows"]
            outcome += [warning.category.__name__ for warning in warned]
            if error is not None and error.call_id is not None:
                entry = client.journal.record(error.call_id)
                body = None if entry is None else entry.body
            spent = client.calls_spent
            assert client.quota().used == spent
    return Result(", ".join(outcome), spent, None if wire is None else wire.calls, error, body)


@pytest.mark.parametrize("case", TABLE, ids=[case.fault for case in TABLE])
def test_each_fault_has_the_expected_outcome_and_cost(case: Case, tmp_path: Path) -> None:
    result = play(case, tmp_path)
    assert (result.outcome, result.calls) == (case.outcome, case.calls)
    assert result.heard in (None, case.calls)
    if result.error is not None:
        assert result.error.call_id is not None
        assert result.error.__cause__ is None
        if case.kept is not None:
            assert result.body == case.kept


if __name__ == "__main__":
    print("| fault | outcome | calls spent |\n| --- | --- | --- |")  # noqa: T201
    for each in TABLE:
        with tempfile.TemporaryDirectory() as scratch:
            result = play(each, Path(scratch))
        print(f"| {each.fault} | {result.outcome} | {result.calls} |")  # noqa: T201
    sys.exit()
