"""A PostgreSQL server of its own, on loopback, in a folder that is deleted afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

#: With each character that an address must have encoded.
PASSWORD = "pa/ss@w0rd?%#: of the ledger"


class Postgres:
    """A running server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://collector:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"
        self.process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = (
            "--username=collector",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--no-sync",
            "--encoding=UTF8",
        )
        subprocess.run(
            [_program("initdb"), "-D", self._data, *options], check=True, stdout=subprocess.DEVNULL, **_user()
        )

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            # What a database of somebody else's may be set to.
            "default_transaction_isolation": "serializable",
            "TimeZone": "Pacific/Auckland",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen([_program("postgres"), "-D", self._data, *words], stderr=log, **_user())
        give_up = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def execute(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    @property
    def _data(self) -> str:
        return str(self._folder / "data")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    # Not in the folder of the tests, which only its owner can enter: PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="pulseframes-postgres-"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    server = Postgres(folder)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.stop()
        with suppress(OSError):
            shutil.rmtree(folder)


def _program(name: str) -> str:
    """Return a program of the newest PostgreSQL; Debian has them in no folder of PATH."""
    found = [*Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    newest = max(found, key=lambda path: int(path.parts[4]), default=shutil.which(name))
    assert newest is not None, "install PostgreSQL, as with apt-get install postgresql"
    return str(newest)


def _user() -> dict[str, Any]:
    return {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"} if os.getuid() == 0 else {}
