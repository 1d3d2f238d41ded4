"""A lake's storage in a folder and in a bucket behaves alike, with an S3 server on this machine."""

from __future__ import annotations

import http.server
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import requests
from conftest import Clock
from hypothesis import given, strategies as st
from moto.server import ThreadedMotoServer

import pulseframes as pf
from lake.test_lake import START
from pulseframes.lake import sql
from pulseframes.lake.lease import LOCK_FILE, ConditionsUnknown
from pulseframes.lake.partitions import encode
from pulseframes.lake.remote_storage import ObjectStore
from pulseframes.lake.storage import LocalStore, Store, open_store
from pulseframes.lake.weights import NO_WEIGHTS
from pulseframes.tables import LAKE_TABLES, SESSIONS

KEY = "AKIAMARKEDACCESSKEY"
SECRET = "marked-secret-access-key-0123456789"
TOKEN = "marked-session-token-0123456789"


@pytest.fixture(autouse=True)
def _no_cloud_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    # Rust's sockets are none that pytest-socket blocks.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request to stderr
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    assert requests.put(f"{url}/lake", timeout=10).ok  # the bucket
    yield url
    server.stop()


def options_of(endpoint: str) -> dict[str, str]:
    return {
        "aws_endpoint_url": endpoint,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
        "aws_session_token": TOKEN,
    }


@pytest.fixture
def options(endpoint: str) -> dict[str, str]:
    return options_of(endpoint)


@pytest.fixture
def url() -> str:
    """A folder of the bucket that no other test has."""
    return f"s3://lake/tests/{uuid.uuid4().hex}"


@pytest.fixture
def bucket(url: str, options: dict[str, str]) -> ObjectStore:
    return ObjectStore(url, options)


@pytest.fixture(params=["folder", "bucket"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Return a function that opens the same storage anew each time."""
    if request.param == "folder":
        return lambda: LocalStore(tmp_path / "lake")
    options, url = request.getfixturevalue("options"), request.getfixturevalue("url")
    return lambda: ObjectStore(url, options)


@pytest.fixture
def store(open_again: Callable[[], Store]) -> Store:
    return open_again()


# What every place does


def test_a_file_is_read_as_it_was_written_and_replaced(store: Store) -> None:
    path = "sessions/date=2026-11-09/part-1.parquet"
    assert store.read(path) is None
    store.write(path, b"one")
    assert store.read(path) == b"one"
    store.write(path, b"")
    assert store.read(path) == b""


def test_a_large_file_is_read_as_it_was_written(store: Store) -> None:
    data = os.urandom(6_000_000)  # more than one part of an upload
    store.write("large", data)
    assert store.read("large") == data


def test_files_are_listed_below_a_folder_and_sorted(store: Store) -> None:
    assert store.list("sessions") == []
    assert store.list("") == []
    for path in ("sessions/date=2026-11-10/b", "sessions/date=2026-11-09/a", "sessions_2/c", "sessions/z"):
        store.write(path, b"some")
    inside = ["sessions/date=2026-11-09/a", "sessions/date=2026-11-10/b", "sessions/z"]
    assert store.list("sessions") == inside
    assert store.list("") == [*inside, "sessions_2/c"]


def test_a_moved_file_replaces_another_and_one_that_is_missing_none(store: Store) -> None:
    store.write("_pulseframes/staged/a", b"new")
    store.write("sessions/a", b"old")
    store.move("_pulseframes/staged/a", "sessions/a")
    assert store.read("sessions/a") == b"new"
    assert store.list("_pulseframes") == []
    store.move("_pulseframes/staged/a", "sessions/a")
    assert store.read("sessions/a") == b"new"


def test_deleting_ignores_what_is_missing(store: Store) -> None:
    for path in ("a/1", "a/2", "b/3"):
        store.write(path, b"some")
    store.delete([])
    store.delete(["a/1", "missing", "b/3", "nor/this"])
    assert store.list("") == ["a/2"]


def test_polars_reads_a_store_at_its_location(store: Store, url: str, tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, 2]}).write_parquet(buffer := io.BytesIO())
    store.write("sessions/date=2026-11-09/a.parquet", buffer.getvalue())
    assert store.location in {url, str(tmp_path / "lake")}
    assert pl.scan_parquet(
        f"{store.location}/sessions/**/*.parquet", storage_options=store.storage_options, hive_partitioning=True
    ).collect().shape == (2, 2)


def test_one_of_several_threads_writes_at_a_time(open_again: Callable[[], Store]) -> None:
    shared = open_again()
    inside: list[int] = []
    most: list[int] = []

    def write(store: Store) -> None:
        with store.locked(wait=30):
            inside.append(1)
            time.sleep(0.02)
            most.append(len(inside))
            store.keep_lock()
            inside.pop()

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(write, [shared, shared, shared, open_again(), open_again()]))
    assert most == [1] * 5


def test_a_writer_gives_up_after_its_wait_and_an_error_inside_unlocks(open_again: Callable[[], Store]) -> None:
    holder, other = open_again(), open_again()
    with holder.locked():
        for waiting in (holder, other):
            with pytest.raises(pf.LakeError, match="Another .* has been writing to the lake") as caught:
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(waiting.locked(wait=0.05).__enter__).result()
            assert holder.location in str(caught.value)
    with pytest.raises(ZeroDivisionError), holder.locked(wait=0):
        raise ZeroDivisionError
    with other.locked(wait=0):
        pass


HOLD = """
import sys, time
from pulseframes.lake.storage import open_store
with open_store(sys.argv[1]).locked(wait=0):
    print("locked", flush=True)
    time.sleep(60)
"""


@contextmanager
def holding(location: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process, that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, location],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_the_system_unlocks_a_folder_whose_writer_was_killed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with holding(str(tmp_path)) as process:
        with pytest.raises(pf.LakeError, match="Another process or thread .* for over 0.1 s"), store.locked(wait=0.1):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with store.locked(wait=5):
            pass


# The lease


@pytest.fixture
def timed(url: str, options: dict[str, str], clock: Clock) -> Callable[[], ObjectStore]:
    return lambda: ObjectStore(url, options, clock=clock, sleep=clock.sleep)


def test_a_lease_exists_while_it_is_held_and_names_no_machine(bucket: ObjectStore) -> None:
    with bucket.locked():
        body = bucket.read(LOCK_FILE)
        assert body is not None
        assert set(pl.read_json(body).columns) == {"owner", "since", "expires"}
    assert bucket.read(LOCK_FILE) is None


def test_a_writer_that_gives_up_says_since_when_the_other_writes_when_its_lock_expires_and_what_to_do(
    timed: Callable[[], ObjectStore], clock: Clock
) -> None:
    since = clock()
    with timed().locked():
        with pytest.raises(pf.LakeError) as caught, timed().locked(wait=60):
            pass
        assert timedelta(seconds=60) <= clock() - since < timedelta(seconds=61)
    message = str(caught.value)
    assert f"since {since:%Y-%m-%d %H:%M:%S} UTC" in message
    assert f"its lock expires at {since + timedelta(minutes=15):%Y-%m-%d %H:%M:%S} UTC" in message
    assert len(set(clock.slept)) > 10  # not in step with others


def test_an_expired_lease_is_taken_over_and_its_first_holder_stops_writing(
    timed: Callable[[], ObjectStore], clock: Clock
) -> None:
    first, second = timed(), timed()
    with first.locked():
        clock.advance(minutes=15)
        with second.locked(wait=0):
            with pytest.raises(pf.LakeError, match="another writer took over"):
                first.keep_lock()
            with pytest.raises(pf.LakeError, match="is not locked by this writer"):
                first.keep_lock()
            second.keep_lock()
    assert second.read(LOCK_FILE) is None


def test_a_writer_that_lost_its_lease_leaves_the_new_one_in_place(
    timed: Callable[[], ObjectStore], clock: Clock
) -> None:
    first, second = timed(), timed()
    with ExitStack() as late:
        with first.locked():
            clock.advance(minutes=15)
            late.enter_context(second.locked(wait=0))
            lease = second.read(LOCK_FILE)
        assert second.read(LOCK_FILE) == lease is not None


def test_a_lease_is_renewed_when_a_third_is_gone_so_that_it_lasts(
    timed: Callable[[], ObjectStore], clock: Clock
) -> None:
    first, second = timed(), timed()
    with first.locked():
        lease = first.read(LOCK_FILE)
        clock.advance(minutes=4)
        first.keep_lock()
        assert first.read(LOCK_FILE) == lease
        for _ in range(3):
            clock.advance(minutes=10)
            first.keep_lock()
            with pytest.raises(pf.LakeError, match="has been writing"), second.locked(wait=0):
                pass
    with second.locked(wait=0):
        pass


def test_an_expired_lease_that_nobody_took_is_renewed(timed: Callable[[], ObjectStore], clock: Clock) -> None:
    store = timed()
    with store.locked():
        clock.advance(hours=1)
        store.keep_lock()
        with pytest.raises(pf.LakeError, match="has been writing"), timed().locked(wait=0):
            pass


def test_one_of_several_takes_over(url: str, options: dict[str, str]) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    dead = ObjectStore(url, options, clock=lambda: long_ago)
    dead.locked().__enter__()
    together = threading.Barrier(6)
    lost: list[str] = []

    def take_over(_: int) -> bool:
        store = ObjectStore(url, options)
        together.wait()
        try:
            with store.locked(wait=0):
                time.sleep(1)
                store.keep_lock()
                return True
        except pf.LakeError as problem:
            lost.append(str(problem))
            return False

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(take_over, range(6)))
    assert sum(won) == 1
    assert all("Another process has been writing" in message for message in lost)


def test_a_killed_writers_lease_expires(
    url: str, options: dict[str, str], timed: Callable[[], ObjectStore], clock: Clock
) -> None:
    with holding(url, {name.upper(): value for name, value in options.items()}) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with pytest.raises(pf.LakeError, match="If that process is dead"), timed().locked(wait=0):
        pass
    clock.advance(minutes=16)  # the other process began a moment after this clock
    with timed().locked(wait=0):
        pass


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"owner": 1, "since": "x", "expires": 2}', b"\xff"])
def test_an_unreadable_lock_lasts_as_long_as_a_lease(
    timed: Callable[[], ObjectStore], clock: Clock, body: bytes
) -> None:
    store = timed()
    store.write(LOCK_FILE, body)
    with pytest.raises(pf.LakeError, match="has been writing"), store.locked(wait=0):
        pass
    clock.advance(minutes=16)
    with store.locked(wait=0):
        pass


def test_a_lease_is_still_held_if_the_responses_to_its_writes_were_lost(
    timed: Callable[[], ObjectStore], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = ObjectStore.put_if

    def and_lose_the_answer(*arguments: Any) -> None:
        really(*arguments)

    monkeypatch.setattr(ObjectStore, "put_if", and_lose_the_answer)
    store = timed()
    with store.locked():
        clock.advance(minutes=6)
        store.keep_lock()
        clock.advance(minutes=6)
        store.keep_lock()
    assert store.read(LOCK_FILE) is None


def test_a_server_that_ignores_conditions_cannot_be_written_to(
    bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = ObjectStore.put_if

    def overwrite(asked: ObjectStore, path: str, data: bytes, _: object) -> object:
        asked.write(path, data)
        found = asked.get(path)
        return found and found.version

    monkeypatch.setattr(ObjectStore, "put_if", overwrite)
    with pytest.raises(pf.LakeError, match="can only be read"), bucket.locked():
        pass
    monkeypatch.setattr(ObjectStore, "put_if", really)
    with bucket.locked(wait=0):
        pass


def test_a_server_that_cannot_update_on_a_condition_never_hands_a_lease_over(
    timed: Callable[[], ObjectStore], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = ObjectStore.put_if

    def create_only(asked: ObjectStore, path: str, data: bytes, condition: Any) -> object:
        if condition != "create":
            raise ConditionsUnknown("no")
        return really(asked, path, data, condition)

    monkeypatch.setattr(ObjectStore, "put_if", create_only)
    first, second = timed(), timed()
    with first.locked():
        clock.advance(minutes=20)
        first.keep_lock()
        with pytest.raises(pf.LakeError, match="delete the object s3://.*/_pulseframes/lock"), second.locked():
            pass


# What goes wrong


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers with a fixed status, and echoes the request and the secrets."""

    status = 500
    code = "InternalError"
    delay = 0.0

    def answer(self) -> None:
        time.sleep(self.delay)
        body = (
            f"<Error><Code>{self.code}</Code><Message>{SECRET} {TOKEN} {KEY} {self.headers}</Message></Error>".encode()
        )
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815  http.server's names

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering(status: int, code: str, delay: float = 0) -> Iterator[str]:
    handler = type("Handler", (Answering,), {"status": status, "code": code, "delay": delay})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def all_of(store: Store) -> list[Callable[[], Any]]:
    """Everything that asks the server."""
    return [
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.list("a"),
        lambda: store.move("a", "b"),
        lambda: store.delete(["a", "b"]),
        lambda: store.locked(wait=0).__enter__(),
    ]


def shown(problem: BaseException) -> str:
    """All that could be printed of an exception."""
    chain: list[BaseException] = []
    link: BaseException | None = problem
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return "".join(traceback.format_exception(problem)) + "".join(f"{link!r} {link} {vars(link)}" for link in chain)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (404, "NoSuchBucket", "there is no such bucket or container. Create it first"),
        (403, "AccessDenied", "rejects the credentials, or they lack a permission"),
        (403, "SignatureDoesNotMatch", "rejects the credentials, or they lack a permission"),
        (401, KEY, "rejects the credentials, or they lack a permission"),
        (403, "RequestTimeTooSkewed", "the clock of this machine is wrong"),
        (400, "AuthorizationHeaderMalformed", "another region. Set aws_region"),
        (301, "PermanentRedirect", "another region. Set aws_region"),
        (501, "NotImplemented", "does not support this request"),
        (400, "InvalidRequest", r"answered 400 \(InvalidRequest\)"),
        (400, KEY, r"answered 400\."),
    ],
)
def test_a_failure_says_what_to_do_and_shows_no_secret(url: str, status: int, code: str, reason: str) -> None:
    with answering(status, code) as endpoint:
        for ask in all_of(ObjectStore(url, options_of(endpoint))):
            with pytest.raises(pf.LakeError, match=reason) as caught:
                ask()
            assert str(caught.value).startswith(f"{url}: ")
            assert not [mark for mark in (KEY, SECRET, TOKEN) if mark in shown(caught.value)]


def test_a_missing_bucket_is_not_an_empty_one(url: str, options: dict[str, str]) -> None:
    for ask in all_of(ObjectStore(url.replace("lake", "no-such-lake"), options)):
        with pytest.raises(pf.LakeError, match="there is no such bucket"):
            ask()


def test_a_server_that_keeps_failing_is_reported(url: str) -> None:
    with answering(503, "SlowDown") as endpoint:
        with pytest.raises(pf.LakeError, match=r"answered 503 \(SlowDown\). Try again later") as caught:
            ObjectStore(url, options_of(endpoint)).read("a")
    assert SECRET not in shown(caught.value)


def test_an_unreachable_server_is_reported(url: str) -> None:
    with pytest.raises(pf.LakeError, match="cannot reach the server. Check the network, the endpoint"):
        ObjectStore(url, options_of("http://127.0.0.1:1")).read("a")


def test_a_timeout_is_reported(url: str) -> None:
    with answering(200, "", delay=1) as endpoint:
        options = options_of(endpoint) | {"timeout": "50ms"}
        with pytest.raises(pf.LakeError, match="the server did not answer in time"):
            ObjectStore(url, options).read("a")


def test_missing_credentials_are_reported(url: str, endpoint: str) -> None:
    options = {name: value for name, value in options_of(endpoint).items() if not name.endswith(("key", "id", "token"))}
    with pytest.raises(pf.LakeError, match="no credentials were found. Pass storage_options"):
        ObjectStore(url, options | {"aws_metadata_endpoint": "http://127.0.0.1:1"}).read("a")


WRONG = st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.lists(st.text()) | st.just(object())


@given(
    options=st.dictionaries(WRONG.filter(lambda it: not isinstance(it, list)) | st.text(), WRONG, min_size=1)
    | WRONG.filter(lambda it: it is not None)
)
def test_an_option_of_another_type_is_rejected_by_name(options: Any) -> None:
    with pytest.raises(pf.InvalidQuery, match="storage_options") as caught:
        pf.Lake("s3://bucket/x", storage_options=options)
    assert caught.value.argument == "storage_options"
    number: Any = {"secret_access_key": int("876543210") + 1}
    with pytest.raises(pf.InvalidQuery, match="'secret_access_key' .* must be strings.* of type int") as caught:
        pf.Lake("s3://bucket/x", storage_options=number)
    assert "876543211" not in shown(caught.value)


def test_plain_http_must_be_allowed(url: str, options: dict[str, str]) -> None:
    del options["aws_allow_http"]
    with pytest.raises(pf.LakeError, match="set aws_allow_http"):
        ObjectStore(url, options).read("a")


def test_invalid_options_and_addresses_are_rejected_at_once(url: str, options: dict[str, str]) -> None:
    with pytest.raises(pf.InvalidQuery, match=f"'bogus' is not a valid option of {url}"):
        ObjectStore(url, options | {"bogus": SECRET})
    for address in (
        f"s3://{KEY}:{SECRET}@lake/x",
        f"s3://{KEY}@lake/x",
        f"az://lake/x?sig={SECRET}",
        f"abfss://lake:{SECRET}@a.dfs.core.windows.net/x",
    ):
        with pytest.raises(pf.InvalidQuery, match="Pass them in storage_options") as caught:
            ObjectStore(address, options)
        assert SECRET not in shown(caught.value)
    for wrong in ({"timeout": SECRET}, {"aws_allow_http": SECRET}):
        with pytest.raises(pf.InvalidQuery, match="has an invalid value") as caught:
            ObjectStore(url, options | wrong)
        assert SECRET not in shown(caught.value)
    with pytest.raises(pf.InvalidQuery, match="has no bucket"):
        ObjectStore("s3:///x")
    with pytest.raises(pf.LakeError, match="azure_storage_account_name"):
        ObjectStore("az://container/x")


def test_connection_options_of_polars_are_accepted(url: str, options: dict[str, str]) -> None:
    store = ObjectStore(url, options | {"max_retries": "1", "timeout": "20s", "AWS_CONNECT_TIMEOUT": "2s"})
    store.write("a", b"1")
    assert store.read("a") == b"1"


def test_a_store_shows_no_secret(bucket: ObjectStore) -> None:
    assert SECRET not in repr(bucket) + str(bucket) + bucket.location
    assert bucket.storage_options is not None


def test_without_obstore_a_bucket_says_what_to_install(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pulseframes.lake.remote_storage")
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(pf.LakeError, match=r"needs obstore: pip install 'pulseframes\[cloud\]'"):
        open_store(url)


# Readers


@pytest.fixture
def filled(bucket: ObjectStore) -> ObjectStore:
    """Three days of ten rows each."""
    for day in (9, 10, 11):
        rows = [{"session_id": day * 100 + n, "session_start": START, "fetched_at": START} for n in range(10)]
        table = pl.DataFrame(rows, schema=LAKE_TABLES["sessions"].schema)
        bucket.write(f"sessions/date=2026-11-{day:02}/data.parquet", encode("sessions", table))
    return bucket


def read(url: str, options: dict[str, str] | None) -> tuple[list[str], pl.DataFrame]:
    store = open_store(url, options)
    rows = pl.scan_parquet(
        f"{store.location}/sessions/**/*.parquet", hive_partitioning=True, storage_options=store.storage_options
    )
    return store.list("sessions"), rows.filter(pl.col("date") > date(2026, 11, 9)).collect()


def test_obstore_and_polars_find_the_server_by_options_alone(filled: ObjectStore) -> None:
    files, rows = read(filled.location, filled.storage_options)
    assert (len(files), len(rows)) == (3, 20)


def test_obstore_and_polars_find_the_server_by_the_environment_alone(
    filled: ObjectStore, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in options.items():
        monkeypatch.setenv(name.upper(), value)
    assert open_store(filled.location).storage_options is None
    files, rows = read(filled.location, None)
    assert (len(files), len(rows)) == (3, 20)


def test_duckdb_reads_only_the_days_it_needs_each_file_in_one_request(
    filled: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    really = ObjectStore.get
    monkeypatch.setattr(ObjectStore, "get", lambda store, path: [opened.append(path), really(store, path)][1])
    with sql.connect(filled, NO_WEIGHTS) as connection:
        rows = connection.execute("select session_id from sessions where date = '2026-11-10' order by 1").fetchall()
    assert [row[0] for row in rows] == list(range(1000, 1010))
    assert opened == ["sessions/date=2026-11-10/data.parquet"]


def test_a_file_that_is_deleted_while_duckdb_reads_is_named(filled: ObjectStore) -> None:
    with sql.connect(filled, NO_WEIGHTS) as connection:
        filled.delete(["sessions/date=2026-11-10/data.parquet"])
        for _ in range(50):  # an exception in a file system of pyarrow's is a deadlock once in a hundred times
            with pytest.raises(duckdb.Error, match="2026-11-10/data.parquet"):
                connection.execute("select count(session_id) from sessions").fetchall()


# What names a place


def test_a_path_or_a_file_address_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "a b", str(tmp_path / "a b"), "a b", (tmp_path / "a b").as_uri(), f"FILE://{tmp_path}/a b"):
        store = open_store(name)
        assert isinstance(store, LocalStore)
        assert store.location == str(tmp_path / "a b")
    assert not list(tmp_path.iterdir())


def test_a_windows_drive_is_not_a_scheme() -> None:
    for name in (r"C:\lakes\shop", "C:/lakes/shop", "D://lakes"):
        assert isinstance(open_store(name), LocalStore)


@pytest.mark.parametrize("name", ["gs://bucket/a", "gs://bucket", "abfss://container@account.dfs.core.windows.net/a"])
def test_other_services_are_known(name: str) -> None:
    assert open_store(f"{name}/").location == name


def test_an_azure_container_has_its_account_in_the_options() -> None:
    options = {"azure_storage_account_name": "account", "azure_storage_account_key": "bWFya2Vk"}
    store = open_store("az://container/a", options)
    assert (store.location, store.storage_options) == ("az://container/a", options)


@pytest.mark.parametrize("name", ["", "ftp://host/a", "http://host/a", "memory://", "file://host/a", "file://"])
def test_any_other_path_is_rejected_with_the_valid_forms(name: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=r"A lake is in a folder .*, or in s3://bucket/folder, gs://.* or az://"):
        open_store(name)


def test_an_address_with_a_percent_sign_is_rejected_since_polars_and_obstore_differ_on_it(
    options: dict[str, str],
) -> None:
    with pytest.raises(pf.InvalidQuery, match=r"has a %\. Write the letters as they are"):
        open_store("s3://lake/my%20folder/lake", options)
    spaced = pf.Lake(f"s3://lake/my folder {uuid.uuid4().hex}/lake", storage_options=options)
    spaced.write(
        pl.DataFrame([{"session_id": 1, "session_start": datetime(2026, 11, 1, tzinfo=UTC)}], schema=SESSIONS.schema)
    )
    assert spaced.sessions().collect().height == spaced.sql("FROM sessions").height == 1


def test_options_for_a_folder_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(pf.InvalidQuery, match="only a lake in a bucket"):
        open_store(tmp_path, {"aws_region": "us-east-1"})


def test_joins_end_and_a_process_ends_after_it_read_a_part_of_a_bucket(endpoint: str) -> None:
    address = f"s3://lake/ends-{uuid.uuid4().hex}"
    script = f"""
import pulseframes as pf
lake = pf.Lake({address!r})
rows = {{lake.sql("select count(a.status), count(*) from sessions a join sessions b using (session_id)").row(0) for _ in range(10)}}
print(rows, len(lake.sql("select * from sessions limit 1")))
"""
    rows = [{"session_id": day, "session_start": START + timedelta(days=day)} for day in range(20)]
    pf.Lake(address, storage_options=options_of(endpoint)).write(pl.DataFrame(rows, SESSIONS.schema))
    environment = os.environ | {name.upper(): value for name, value in options_of(endpoint).items()}
    for _ in range(3):  # threads may still read ahead when Python ends
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "{(0, 20)} 1\n", "")
