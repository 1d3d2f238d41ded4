"""What every test starts from: none of the developer's own settings, and a simulator where one is asked for."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from typer.main import get_command

from pulseframes import Credentials, PulseClient, Settings, cli
from pulseframes.client import JOURNAL_FILE, Journal
from pulseframes.endpoints import DETAIL
from pulseframes.simulator import Simulator

#: Runs a command with its arguments; gives the exit code, stdout and stderr.
Run: TypeAlias = Callable[..., tuple[int, str, str]]

COMMANDS = get_command(cli.app).commands  # type: ignore[attr-defined]  # a group of commands

settings.register_profile("pulseframes", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("pulseframes")

#: Where Linux keeps files in memory. Lakes and journals wait until a disk has each write, which tests need not.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

#: The moment at which the simulators of the tests stand still.
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders for each test. ``mktemp()`` would look for the next free number among thousands, for each."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, homes: Iterator[Path]) -> None:
    """Each test has a home of its own, so that no test is answered from another's journal."""
    for name in list(os.environ):
        if name.startswith("PULSEFRAMES_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = next(homes)
    for name in ("home", "config", "dlt"):
        (folder / name).mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("PULSEFRAMES_HOME", str(folder / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setitem(sys.modules, "keyring", None)  # it cannot be imported, even if it is installed
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")  # in other processes


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """2,000 sessions of the 28 days before NOW, and no daily limit."""
    with Simulator(sessions=2_000, now=NOW, daily_limit=None) as running:
        yield running


def credentials_of(simulator: Simulator) -> Credentials:
    return Credentials(simulator.api_key, simulator.client_id, simulator.client_secret)


def settings_of(simulator: Simulator, **changes: Any) -> Settings:
    """A limit that no test reaches by accident."""
    return Settings(base_url=simulator.url, **({"daily_limit": 10_000} | changes))


class Clock:
    """A clock that moves when it is told to; sleeping moves it too."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds=seconds)

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client_of(simulator: Simulator, *, changes: dict[str, Any] | None = None, **options: Any) -> PulseClient:
    return PulseClient(credentials_of(simulator), settings=settings_of(simulator, **(changes or {})), **options)


@pytest.fixture
def client(simulator: Simulator, clock: Clock) -> Iterator[PulseClient]:
    with client_of(simulator, clock=clock, sleep=clock.sleep) as connected:
        yield connected


def requested_details(simulator: Simulator) -> list[int]:
    """The sessions whose details were requested, in the journal's order: the server may see those at once in another.

    A sync with a journal in memory requests one at a time.
    """
    records = Journal(Path(os.environ["PULSEFRAMES_HOME"]) / JOURNAL_FILE).records()
    ids = [int(record.params.removeprefix("id=")) for record in records if record.endpoint == DETAIL.name]
    seen = [int(request.query["id"]) for request in simulator.requests if request.endpoint == DETAIL.name]
    assert sorted(ids) in ([], sorted(seen))
    return ids or seen


@pytest.fixture
def environment(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that a user of the simulator sets."""
    set_environment(monkeypatch, simulator)
    monkeypatch.setenv("PULSEFRAMES_DAILY_LIMIT", "10000")


def set_environment(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    monkeypatch.setenv("PULSEFRAMES_BASE_URL", simulator.url)
    monkeypatch.setenv("PULSEFRAMES_API_KEY", simulator.api_key)
    monkeypatch.setenv("PULSEFRAMES_CLIENT_ID", simulator.client_id)
    monkeypatch.setenv("PULSEFRAMES_CLIENT_SECRET", simulator.client_secret)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; give its exit code, stdout and stderr."""

    def running(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pulseframes", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), out, err

    return running


def check_command_line(line: str) -> None:
    """Read a command line as its command would, without running it; what follows a pipe or `||` is another program's."""
    program, command, *arguments = takewhile(
        lambda word: word not in {"|", "||", ">", ">>"}, shlex.split(line, comments=True)
    )
    assert program == "pulseframes"
    COMMANDS[command].make_context(command, arguments)
