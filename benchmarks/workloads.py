"""The workloads: each is run in a process of its own, and returns what it was and what each way took."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import documents
import lakes
import peers
import pyarrow.dataset as ds
from documents import KEPT, NOW
from measure import Way, alone, in_turn, lines, measured

import pulseframes as pf
from pulseframes.client import JOURNAL_FILE, Journal
from pulseframes.client.journal import Request
from pulseframes.client.quota_rule import QuotaRule
from pulseframes.endpoints import DETAIL, SEARCH, Endpoint
from pulseframes.fetch.replay import replay_journal, restore_lake
from pulseframes.flatten import parse_answers
from pulseframes.simulator import Simulator
from pulseframes.windows import LOOK_BACK, Window

Result = dict[str, Any]
_APPLICATION: Final = "benchmark"


@dataclass(frozen=True)
class Workload:
    """A workload: its function, how much it does, and how much with ``--quick``."""

    run: Callable[[int], Result]
    size: int
    quick: int
    #: Ways that the check leaves out, because they take long.
    slow: tuple[str, ...] = ()


WORKLOADS: Final[dict[str, Workload]] = {}
#: What is run in a process of its own, for its memory, by name.
TASKS: Final[dict[str, Callable[..., dict[str, float]]]] = {}


def workload(size: int, quick: int, *slow: str) -> Callable[[Callable[[int], Result]], Callable[[int], Result]]:
    def register(function: Callable[[int], Result]) -> Callable[[int], Result]:
        WORKLOADS[function.__name__] = Workload(function, size, quick, slow)
        return function

    return register


def task(function: Callable[..., dict[str, float]]) -> Callable[..., dict[str, float]]:
    TASKS[function.__name__] = function
    return function


# Responses to frames


@workload(50_000, 5_000, "dlt", "orjson + pandas")
def summaries(size: int) -> Result:
    bodies = documents.summaries(size)
    return _frames(f"{size:,} summaries, {documents.megabytes(bodies)}, to a frame", bodies, SEARCH)


@workload(20_000, 2_000, "dlt", "orjson + pandas")
def details(size: int) -> Result:
    bodies = documents.details(size)
    return _frames(f"{size:,} details, {documents.megabytes(bodies)}, to three frames", bodies, DETAIL)


@workload(20_000, 2_000, "dlt", "orjson + pandas")
def broken(size: int) -> Result:
    clean = documents.details(size)
    return _dirty(f"{size:,} details, 1% of the sessions broken", clean, documents.broken(clean, 0.01), DETAIL)


@workload(20_000, 2_000, "dlt", "orjson + pandas")
def broken_10(size: int) -> Result:
    clean = documents.details(size)
    return _dirty(f"{size:,} details, 10% of the sessions broken", clean, documents.broken(clean, 0.1), DETAIL)


@workload(50_000, 5_000, "dlt", "orjson + pandas")
def broken_summaries(size: int) -> Result:
    clean = documents.summaries(size)
    return _dirty(f"{size:,} summaries, 1% of them broken", clean, documents.broken_lists(clean, 0.01), SEARCH)


@workload(20_000, 2_000, "dlt", "orjson + pandas")
def drift(size: int) -> Result:
    clean = documents.details(size)
    return _dirty(f"{size:,} details, unknown fields in every row", clean, documents.drifting(clean), DETAIL)


@workload(100_000, 10_000, "dlt", "orjson + pandas")
def long_session(size: int) -> Result:
    bodies = documents.long_session(size)
    return _frames(f"one session with {size:,} page views, {documents.megabytes(bodies)}", bodies, DETAIL)


def _frames(what: str, bodies: list[bytes], endpoint: Endpoint) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        file = lines(bodies, Path(folder) / "bodies.ndjson")
        return {"what": what, "ways": in_turn(peers.all_tools(bodies, endpoint, file))}


def _dirty(what: str, clean: list[bytes], bodies: list[bytes], endpoint: Endpoint) -> Result:
    """Measure changed responses beside the same responses as they were."""
    with tempfile.TemporaryDirectory() as folder:
        file = lines(bodies, Path(folder) / "bodies.ndjson")
        ways = peers.all_tools(bodies, endpoint, file, lossy=True)
        ways["pulseframes, clean"] = Way(lambda: parse_answers(clean, endpoint).frames)
        rejected = len(parse_answers(bodies, endpoint).rejected)
        return {"what": what, "ways": in_turn(ways), "rejected": rejected}


# From the journal


@workload(1_000, 200)
def cached(size: int) -> Result:
    """Cached details into frames and into a lake, beside reading the same bodies at once."""
    window = Window(NOW - timedelta(days=28), NOW - timedelta(days=2))
    with (
        Simulator(sessions=size, now=NOW, daily_limit=None) as simulator,
        tempfile.TemporaryDirectory() as home,
        simulator.client(home=home) as client,
    ):
        pf.sync(f"{home}/first", *window, details="all", client=client, progress=False)
        ids = simulator.summaries(*window)["session_id"]
        answers = client.kept_answers(DETAIL, [{"id": str(session_id)} for session_id in ids])
        bodies = [answer.body for answer in answers if answer is not None]
        assert len(bodies) == len(ids)
        spent = client.calls_spent

        def new_lake() -> str:
            return tempfile.mkdtemp(dir=home)

        def written(folder: str) -> None:
            frames = parse_answers(bodies, DETAIL).frames
            pf.Lake(folder).write(pf.SessionFrames(frames["sessions"], frames["page_views"], frames["errors"]))

        ways = {
            "bodies to frames, at once": Way(lambda: parse_answers(bodies, DETAIL)),
            "cached details to frames": Way(lambda: pf.session_details(ids, client=client, progress=False)),
            "bodies to a lake, at once": Way(written, prepare=new_lake),
            "cached details to a lake": Way(
                lambda folder: pf.sync(folder, *window, details="all", client=client, progress=False), prepare=new_lake
            ),
        }
        results = in_turn(ways)
        assert client.calls_spent == spent, "a cached answer was paid for again"
    return {"what": f"{len(ids):,} cached details", "ways": results}


@workload(20_000, 2_000)
def replay(size: int) -> Result:
    """All that the journal has into files and into a lake, beside reading the same bodies at once."""
    home, bodies = _journal(size), documents.details(size)
    settings = pf.Settings(home=str(home))
    with tempfile.TemporaryDirectory() as place:

        def folder() -> Path:
            return Path(tempfile.mkdtemp(dir=place))

        def written(path: Path) -> None:
            frames = parse_answers(bodies, DETAIL).frames
            pf.Lake(path).write(pf.SessionFrames(frames["sessions"], frames["page_views"], frames["errors"]))

        ways = {
            "bodies to frames, at once": Way(lambda: parse_answers(bodies, DETAIL)),
            "journal to files": Way(lambda path: replay_journal(path, settings=settings), prepare=folder),
            "bodies to a lake, at once": Way(written, prepare=folder),
            "journal to a lake": Way(
                lambda path: restore_lake(pf.Lake(path), settings=settings), prepare=lambda: _lost_lake(folder())
            ),
        }
        return {"what": f"a journal of {size:,} details", "ways": in_turn(ways)}


def _journal(size: int) -> Path:
    """Return the folder of a journal with the details of a shop's sessions."""
    home = KEPT / f"journal-{size}"
    if not home.exists():
        begun = home.with_suffix(".begun")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        fill_journal(begun / JOURNAL_FILE, documents.details(size))
        begun.rename(home)
    return home


def fill_journal(path: Path, bodies: Iterable[bytes], endpoint: Endpoint = DETAIL) -> None:
    journal, rule = Journal(path), QuotaRule(1)
    with journal.transaction():
        for number, body in enumerate(bodies):
            request = Request(_APPLICATION, endpoint.name, f"id={number}", counted=False)
            journal.complete(journal.reserve(request, rule), "answered", status=200, body=body)
    journal.close()


def _lost_lake(folder: Path) -> Path:
    """Make a lake that covers the shop's time and has lost everything."""
    lake = pf.Lake(folder)
    with lake.locked() as state:
        state.application = _APPLICATION
        state.coverage.add(Window(NOW - timedelta(days=40), NOW), NOW, LOOK_BACK)
        lake.save_state()
    return folder


# Calls


@workload(45, 15)
def sync(size: int) -> Result:
    """The details that a day's calls pay for, beside the same requests with nothing kept. The server is another process."""
    import orjson
    import requests

    with _shop() as url, tempfile.TemporaryDirectory() as place:
        window = ("6d", "2d")

        def known() -> tuple[str, pf.PulseClient]:
            home = tempfile.mkdtemp(dir=place)
            mine = _client(url, home)
            pf.sync(f"{home}/lake", *window, client=mine, progress=False)
            return home, mine

        def synced(given: tuple[str, pf.PulseClient]) -> None:
            home, mine = given
            report = pf.sync(f"{home}/lake", *window, details=size, client=mine, progress=False)
            assert report.calls_spent == size, report
            mine.close()

        with _client(url, tempfile.mkdtemp(dir=place)) as asking:
            ids = pf.search_sessions(*window, client=asking)["session_id"].head(size)
        key = requests.get(
            f"{url}/authenticate",
            headers={"X-ApiKey": "simulator-api-key"},
            auth=("simulator-client-id", "simulator-client-secret"),
            timeout=30,
        ).json()["sessionKey"]

        def requested() -> None:
            with requests.Session() as session:
                session.headers["X-SessionKey"] = key
                for session_id in ids:
                    orjson.loads(session.get(f"{url}/session", params={"id": session_id}, timeout=30).content)

        ways = {
            "pulseframes.sync": Way(synced, prepare=known, units=size),
            "requests + orjson": Way(requested, units=size, does="keeps nothing, counts nothing"),
        }
        return {"what": f"a sync of {size} details", "ways": in_turn(ways)}


@workload(60, 12)
def concurrency(size: int) -> Result:
    """Details from a server that takes 200 ms for each, one after the other and four at once."""
    with _shop(latency=0.2) as url, tempfile.TemporaryDirectory() as place:
        with _client(url, tempfile.mkdtemp(dir=place)) as asking:
            ids = pf.search_sessions("6d", "2d", client=asking)["session_id"].head(size)

        def at_once(count: int) -> Way:
            def new_client() -> pf.PulseClient:
                client = _client(url, tempfile.mkdtemp(dir=place), concurrency=count)
                client.check_credentials()
                return client

            def downloaded(client: pf.PulseClient) -> None:
                assert len(pf.session_details(ids, client=client, progress=False).sessions) == size
                client.close()

            return Way(downloaded, prepare=new_client, units=size)

        ways = {"one after the other": at_once(1), "4 at once": at_once(4)}
        return {"what": f"{size} details from a server that takes 200 ms for each", "ways": in_turn(ways)}


def _client(url: str, home: str, **settings: Any) -> pf.PulseClient:
    account = pf.Credentials("simulator-api-key", "simulator-client-id", "simulator-client-secret")
    return pf.PulseClient(account, settings=pf.Settings(base_url=url, home=home, daily_limit=100_000, **settings))


@contextlib.contextmanager
def _shop(latency: float = 0) -> Iterator[str]:
    """Serve a simulated shop in another process, so that its work is not counted."""
    code = (
        "from pulseframes.simulator import Fault, Simulator\n"
        "shop = Simulator(sessions=2_000, daily_limit=None)\n"
        f"if {latency}: shop.faults.add(Fault(kind='delay', on='session', seconds={latency}, times=None))\n"
        "shop.start()\nprint(shop.url, flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


# Lakes


@workload(1_000_000, 20_000)
def upsert(size: int) -> Result:
    """A new day, and the day before again, into a year of sessions and into five times as many."""
    ways, rows = {}, 2 * (size // lakes.DAYS)
    for count in (size, 5 * size):
        with tempfile.TemporaryDirectory(dir=KEPT) as place:
            shutil.copytree(lakes.lake(count, "none"), f"{place}/lake")
            ways[f"into {count:,} sessions"] = alone("write_two_days", f"{place}/lake", count // lakes.DAYS, rows)
    return {"what": f"{rows:,} sessions of two days, one new and one changed, into a lake of a year", "ways": ways}


@task
def write_two_days(folder: str, per_day: int, count: int) -> dict[str, float]:
    days = lakes.sessions_of(lakes.DAYS - 1, 2, per_day)
    rows = days.gather_every(len(days) // count)
    pf.Lake(f"{folder}-warm").write(
        rows.head(1), fetched_at=lakes.LATER
    )  # the first write imports what checks the rows
    return measured(lambda: pf.Lake(folder).write(rows, fetched_at=NOW))


QUESTIONS: Final[dict[str, Callable[[str], object]]] = {
    "estimate": lambda lake: pf.estimate(lake, ["mean(loading_time_ms)", "p75(loading_time_ms)"]),
    "page_speed": pf.page_speed,
    "report": pf.report,
}


@workload(1_000_000, 20_000)
def sampled(size: int) -> Result:
    """Questions to a lake with the details of a sample."""
    return _asked(f"a lake of {size:,} sessions, details of {lakes.SAMPLE:,}", lakes.lake(size, "sample"))


@workload(1_000_000, 20_000)
def complete(size: int) -> Result:
    """Questions to a lake with all details."""
    return _asked(f"a lake of {size:,} sessions, details of all", lakes.lake(size, "all"))


@workload(100_000, 10_000)
def complete_100k(size: int) -> Result:
    """The same at a tenth of the size, for the check."""
    return _asked(f"a lake of {size:,} sessions, details of all", lakes.lake(size, "all"))


def _asked(what: str, folder: str) -> Result:
    ways = {name: alone("ask", name, folder) for name in QUESTIONS}
    ways["DuckDB, five queries"] = alone("query_files", folder)
    return {"what": what, "ways": ways}


@task
def ask(question: str, folder: str) -> dict[str, float]:
    return measured(lambda: QUESTIONS[question](folder))


#: As somebody asks who knows the files: `{table}` is what to select from.
QUERIES: Final = (
    "select country, count(*), avg(session_length_ms) from {sessions} group by country",
    "select session_start::date as day, count(*) from {sessions} group by day order by day",
    "select browser_name, quantile_cont(session_length_ms, 0.75) from {sessions} group by browser_name",
    "select page, count(*), median(loading_time_ms) from {page_views} group by page order by 2 desc limit 20",
    "select platform_name, avg(loading_time_ms) from {page_views} v join {sessions} s using (session_id) group by platform_name",
)


@workload(1_000_000, 20_000)
def queries(size: int) -> Result:
    """Five queries by ``Lake.sql()`` and by DuckDB alone."""
    import duckdb

    folder = lakes.lake(size, "all")
    lake = pf.Lake(folder)

    def with_lake() -> list[Any]:
        return [lake.sql(query.format(sessions="sessions", page_views="page_views")).rows() for query in QUERIES]

    def with_files() -> list[Any]:
        return [duckdb.sql(query.format(**_files(folder))).fetchall() for query in QUERIES]

    assert [len(rows) for rows in with_lake()] == [len(rows) for rows in with_files()]
    ways = {"Lake.sql": Way(with_lake), "DuckDB on the files": Way(with_files)}
    return {"what": f"five queries of a lake of {size:,} sessions, details of all", "ways": in_turn(ways)}


def _files(folder: str) -> dict[str, str]:
    tables = ("sessions", "page_views")
    return {table: f"read_parquet('{folder}/{table}/*/*.parquet', hive_partitioning = true)" for table in tables}


@task
def query_files(folder: str) -> dict[str, float]:
    import duckdb

    return measured(lambda: [duckdb.sql(query.format(**_files(folder))).fetchall() for query in QUERIES])


# Starting


@workload(9, 3)
def imports(size: int) -> Result:
    """What a process needs before it can do anything."""
    commands = {
        "import polars": ["-c", "import polars"],
        "import pulseframes": ["-c", "import pulseframes"],
        "search_sessions ready to call": ["-c", "import pulseframes; pulseframes.search_sessions"],
        "pulseframes --help": ["-m", "pulseframes", "--help"],
        "python alone": ["-c", "pass"],
    }

    def started(arguments: list[str]) -> Way:
        return Way(lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True))

    ways = {name: started(arguments) for name, arguments in commands.items()}
    return {"what": "a process that starts and ends", "ways": in_turn(ways, rounds=size)}


# Curves


@workload(1_000_000, 10_000)
def scaling(size: int) -> Result:
    """Time and peak memory by the number of sessions, up to a size."""
    sizes = [10**power for power in range(3, 8) if 10**power <= size]
    curves: dict[str, list[dict[str, float]]] = {}
    for name in ("flatten_to_lake", "replay_to_files", *QUESTIONS):
        points = curves[name] = []
        for count in sizes:
            told = alone("ask", name, lakes.lake(count, "all")) if name in QUESTIONS else alone(name, count)
            if "stops" in told:
                break
            points.append({"sessions": count, "seconds": told["seconds"][0], "peak_mb": told["peak_mb"]})
    return {"what": f"up to {sizes[-1]:,} sessions, each in a process of its own", "ways": {}, "curves": curves}


@task
def flatten_to_lake(count: int) -> dict[str, float]:
    """Read search responses a day at a time, and write them to a lake; only that is timed."""
    total = {"seconds": 0.0, "cpu": 0.0, "peak_mb": 0.0}
    with tempfile.TemporaryDirectory(dir=KEPT) as folder:
        lake = pf.Lake(folder)
        for bodies in documents.batches(count):

            def flattened(bodies: list[bytes] = bodies) -> None:
                lake.write(parse_answers(bodies, SEARCH).frames["sessions"])

            told = measured(flattened)
            total = {key: total[key] + told[key] for key in ("seconds", "cpu")} | {"peak_mb": told["peak_mb"]}
        assert ds.dataset(f"{folder}/sessions", format="parquet").count_rows() == count
    return total


@task
def replay_to_files(count: int) -> dict[str, float]:
    """Rebuild the tables from a journal of search responses."""
    home = KEPT / f"journal-of-searches-{count}"
    if not home.exists():
        alone("fill_with_searches", str(home), count)  # so that its memory is not counted
    with tempfile.TemporaryDirectory(dir=KEPT) as folder:
        return measured(lambda: replay_journal(Path(folder), settings=pf.Settings(home=str(home))))


@task
def fill_with_searches(home: str, count: int) -> dict[str, float]:
    def fill() -> None:
        begun = Path(home).with_suffix(".begun")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        fill_journal(begun / JOURNAL_FILE, (body for batch in documents.batches(count) for body in batch), SEARCH)
        begun.rename(home)

    return measured(fill)
