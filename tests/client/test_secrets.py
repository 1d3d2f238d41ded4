"""The server echoes marked secrets wherever it can; none of them reaches a log, exception, file or frame."""

from __future__ import annotations

import base64
import http.server
import json
import logging
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.documents import DETAIL, SUMMARY

import pulseframes as pf
from pulseframes.fetch.replay import replay_journal

SECRETS = {
    "api_key": "marked-api-key-0123456789",
    "client_id": "marked-client-id-0123456789",
    "client_secret": "marked-client-secret-0123456789",
}
SESSION_KEY = "marked-session-key-0123456789"
LOGIN = base64.b64encode(f"{SECRETS['client_id']}:{SECRETS['client_secret']}".encode()).decode()
#: What must not be seen: each secret, and what is sent for two of them.
MARKS = [*SECRETS.values(), SESSION_KEY, LOGIN]
ECHO = " ".join(MARKS)
#: Without the session key, which is not known before it was given out.
ECHO_OF_LOGIN = " ".join([*SECRETS.values(), LOGIN])
WINDOW = ("2017-01-20", "2017-02-01")

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


def send(handler: Handler, body: bytes, status: int = 200, *, length: int | None = None, **headers: str) -> None:
    handler.send_response(status, ECHO)
    for name, value in {"X-Echo": ECHO, "Set-Cookie": f"echo={SESSION_KEY}", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True


def key(handler: Handler) -> None:
    send(handler, json.dumps({"sessionKey": SESSION_KEY}).encode(), 202)


def page(handler: Handler) -> None:
    """A page and a session whose strings are the secrets."""
    user = DETAIL["user"] | {"identifier": SECRETS["api_key"], "fullName": ECHO, "emailAddress": SESSION_KEY}
    if "/sessions" in handler.path:
        rows = [SUMMARY | {"id": number, "user": user, "status": LOGIN} for number in (1, 2)]
        send(handler, json.dumps({"totalSessions": 2, "sessions": rows, ECHO: ECHO}).encode())
        return
    views = [DETAIL["pageViews"][0] | {"page": f"https://shop.example/?key={SECRETS['client_secret']}", SESSION_KEY: 1}]
    send(handler, json.dumps({"session": DETAIL | {"id": 1, "user": user, "pageViews": views}}).encode())


def rejected(handler: Handler) -> None:
    rows = [SUMMARY | {"id": 1, "sessionLength": ECHO}, SUMMARY | {"id": 2, "sessionStart": ECHO}]
    send(handler, json.dumps({"totalSessions": 2, "sessions": rows}).encode())


def status(number: int, echo: str = ECHO) -> Answer:
    return lambda handler: send(handler, echo.encode(), number, Retry_After="99999", Location=f"http://{SESSION_KEY}/")


def cut(answer: bytes) -> Answer:
    return lambda handler: send(handler, answer, length=len(answer) + 10)


def text(body: str, **headers: str) -> Answer:
    return lambda handler: send(handler, body.encode(), **headers)


def drop(handler: Handler) -> None:
    handler.close_connection = True


def cut_by_chunks(handler: Handler) -> None:
    body = json.dumps({"sessionKey": SESSION_KEY, "echo": ECHO}).encode()
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
    handler.close_connection = True


#: What the server answers to an authentication, and to all else.
FAULTS: dict[str, tuple[Answer, Answer]] = {
    "nothing wrong but the echo": (key, page),
    "rows that break the schema": (key, rejected),
    **{f"{number}": (key, status(number)) for number in (302, 400, 401, 403, 404, 429, 500)},
    **{
        f"{number} at authentication": (status(number, ECHO_OF_LOGIN), page)
        for number in (302, 400, 401, 403, 405, 429, 500)
    },
    "not JSON": (key, text(ECHO)),
    "no JSON at authentication": (text(ECHO), page),
    "a key in the wrong place": (text(json.dumps({"sessionKey": [SESSION_KEY], "key": SESSION_KEY})), page),
    "a key with a line break": (text(json.dumps({"sessionKey": SESSION_KEY + "\n"})), page),
    "cut": (key, cut(ECHO.encode())),
    "cut by chunks": (key, cut_by_chunks),
    "cut at authentication": (cut(json.dumps({"sessionKey": SESSION_KEY}).encode()), page),
    "cut by chunks at authentication": (cut_by_chunks, page),
    "broken gzip": (key, text(ECHO, Content_Encoding="gzip")),
    "broken gzip at authentication": (text(ECHO, Content_Encoding="gzip"), page),
    "a redirect to no address": (key, lambda handler: send(handler, b"", 302, Location=f"http://[{SESSION_KEY}")),
    "no answer": (key, drop),
    "no answer at authentication": (drop, page),
}


@contextmanager
def echoing(at_authentication: Answer, otherwise: Answer) -> Iterator[str]:
    class Echo(Handler):
        def do_GET(self) -> None:  # noqa: N802  looked for by name
            (at_authentication if "/authenticate" in self.path else otherwise)(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def all_about(problem: BaseException) -> str:
    """Everything an exception can show: its chain, its attributes, and the variables of our frames."""
    seen: list[str] = []
    links: list[BaseException | None] = [problem]
    while links:
        link = links.pop()
        if link is None:
            continue
        links += [link.__cause__, link.__context__]
        seen.append(f"{link!r} {link} {link.args!r} {vars(link)!r} {getattr(link, 'body', b'')!r}")
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if "/pulseframes/" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
                seen.append(repr({name: value for name, value in frame.f_locals.items() if name != "self"}))
    return "\n".join(seen)


def everything(frame: Any) -> str:
    return json.dumps(frame.to_dicts(), default=str)


def use(url: str, home: Path, out: Path) -> str:
    """Search, fetch details, write files and replay, whatever fails; return everything visible as text."""
    seen: list[str] = []
    settings = pf.Settings(base_url=url, home=str(home), daily_limit=10_000)
    out.mkdir()

    def attempt(work: Callable[[], Any]) -> None:
        try:
            work()
        except pf.PulseError as problem:
            seen.append(all_about(problem))
            if isinstance(problem, pf.SchemaViolation):
                rejected_rows = pl.DataFrame(problem.rejected)
                rejected_rows.write_parquet(out / "rejected-now.parquet")
                seen.append(everything(rejected_rows))

    def search(client: pf.PulseClient) -> None:
        sessions = pf.search_sessions(*WINDOW, client=client)
        sessions.write_parquet(out / "found.parquet")
        seen.append(everything(sessions) + repr(pf.certificate(sessions)))

    def details(client: pf.PulseClient) -> None:
        frames = pf.session_details(1, client=client)
        for name, frame in frames.tables().items():
            frame.write_parquet(out / f"now-{name}.parquet")
            seen.append(everything(frame))
        seen.append(repr(frames))

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(2):  # the second time like another process, from the cache
            with pf.PulseClient(pf.Credentials(**SECRETS), settings=settings, sleep=lambda _: None) as client:
                for work in (search, details):
                    attempt(lambda work=work, client=client: work(client))
                seen += [repr(client), repr(vars(client)), repr(client.settings), repr(client.credentials)]
                seen += [repr(entry) for entry in client.last_calls(50)]
                for entry in client.last_calls(50):
                    kept = client.journal.record(entry.id)
                    assert kept is not None
                    seen.append(kept.body.decode("utf-8", "replace"))
                attempt(lambda: replay_journal(out, settings=settings))
                attempt(client.journal.check)
                # While it is open, so that the -wal exists.
                seen += [str(file.read_bytes()) for file in home.iterdir() if not file.name.startswith("session-")]
    seen += [str(warning.message) for warning in warned]
    seen += [file.read_bytes().decode("latin-1") for file in (*home.iterdir(), *out.iterdir()) if is_public(file)]
    return "\n".join(seen)


def is_public(file: Path) -> bool:
    """Return whether a file is not the session key's own."""
    return not (file.name.startswith("session-") and file.suffix == ".json")


@pytest.mark.parametrize("fault", FAULTS)
def test_no_secret_is_visible_anywhere(fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    home = tmp_path / "home"
    with echoing(*FAULTS[fault]) as url:
        seen = use(url, home, tmp_path / "out") + caplog.text + repr([vars(record) for record in caplog.records])
    assert "pulseframes" in seen
    assert [mark for mark in MARKS if mark in seen] == []
    (stored,) = [*home.glob("session-*.json")] or [None]
    assert stored is None or (SESSION_KEY in stored.read_text() and stored.stat().st_mode & 0o777 == 0o600)


def test_a_redacted_answer_gives_the_same_frames_at_once_and_from_the_journal(tmp_path: Path) -> None:
    with echoing(key, page) as url, warnings.catch_warnings():
        warnings.simplefilter("ignore", pf.SchemaDriftWarning)
        settings = pf.Settings(base_url=url, home=str(tmp_path))
        with pf.PulseClient(pf.Credentials(**SECRETS), settings=settings) as client:
            now = pf.search_sessions(*WINDOW, client=client)
            kept = pf.search_sessions(*WINDOW, client=client)
    assert now.equals(kept)


@pytest.mark.parametrize(
    "refused",
    [
        lambda secret: pf.Credentials(secret, secret, ""),
        lambda secret: pf.Credentials("x\u2026", secret, secret),
        lambda secret: pf.PrivacyPolicy({"personal": "nonsense"}, key=secret),
        lambda secret: pf.PrivacyPolicy.parse(["personal"], key=secret),
        lambda secret: pf.PrivacyPolicy.from_description({}, key=secret),
    ],
)
def test_a_traceback_that_shows_the_locals_of_our_frames_shows_no_secret(refused: Callable[[str], object]) -> None:
    with pytest.raises(pf.PulseError) as caught:
        refused("S3cret-0123456789")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "/pulseframes/" in frame.filename and "/tests/" not in frame.filename]
    assert ours
    assert not [frame.name for frame in ours if "S3cret" in str(frame.locals)]
