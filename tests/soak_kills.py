"""Kills a worker again and again while it fetches, and shows that nothing is lost and next to nothing is paid for twice.

``python tests/soak_kills.py [KILLS] [SEED]``: 200 kills by default, over a search of 40 pages and 60 details. A round is
one whole fetch from an empty journal; rounds follow until there were so many kills.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import worker

from pulseframes.journal import JOURNAL_FILE
from pulseframes.simulator import Simulator

PAGE = 500
FRAMES = ("search", "sessions", "page_views", "errors")


@dataclass
class Soak:
    """What came of it."""

    kills: int = 0
    rounds: int = 0
    undisturbed_calls: int = 0
    extra_calls: int = 0
    most_extra_in_a_round: int = 0
    killed_while: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        where = ", ".join(f"{count} {what}" for what, count in sorted(self.killed_while.items()))
        return (
            f"{self.kills} kills in {self.rounds} rounds ({where}); {self.undisturbed_calls} calls undisturbed; "
            f"{self.extra_calls} calls paid twice, {self.most_extra_in_a_round} in one round at most"
        )


class Workers:
    """Workers that are started ahead, so that killing them is not mostly waiting for imports."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._waiting = [worker.start(simulator) for _ in range(2)]

    def run(self, home: Path, task: dict[str, object], kill_after: float | None = None) -> bool:
        """Do a task in a new process, and kill it after so many seconds; tell whether it was done by then."""
        self._waiting.append(worker.start(self._simulator))
        home.mkdir(exist_ok=True, mode=0o700)
        with worker.running(self._waiting.pop(0)) as process:
            worker.give(process, home, **task, out=str(home))
            if kill_after is None:
                assert worker.result(process)["error"] is None
                return True
            time.sleep(kill_after)
            process.kill()
            assert process.stdout is not None
            return process.stdout.readline() != ""

    def close(self) -> None:
        """Kill those that have nothing to do."""
        for process in self._waiting:
            with worker.running(process):
                pass


def soak(kills: int, *, pages: int, details: int, seed: int, longest: float) -> Soak:
    """Kill so many times, each at a random moment up to ``longest`` seconds after the worker began.

    Raises
    ------
    AssertionError
        If a frame differs from the undisturbed run's, a journal is damaged, or more than one call a kill is paid twice.
    """
    draw = random.Random(seed)
    now = datetime.now(UTC)
    done = Soak()
    with contextlib.ExitStack() as ends:
        simulator = ends.enter_context(
            Simulator(sessions=pages * PAGE, days=28, now=now - timedelta(days=2), daily_limit=None)
        )
        place = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        workers = Workers(simulator)
        ends.callback(workers.close)
        window = [(simulator.begin - timedelta(days=1)).isoformat(), (now - timedelta(days=2)).isoformat()]
        task: dict[str, object] = {
            "search": window,
            "ids": simulator.summaries()["session_id"].sample(details, seed=seed).to_list(),
        }
        expected = place / "undisturbed"
        workers.run(expected, task)
        done.undisturbed_calls = simulator.calls
        while done.kills < kills:
            home, before, kills_before = place / f"round-{done.rounds}", simulator.calls, done.kills
            while not workers.run(home, task, draw.uniform(0, longest) if done.kills < kills else None):
                done.kills += 1
                done.killed_while[_last_row(home)] += 1
                _check_journal(home)
            _check_journal(home)
            extra = simulator.calls - before - done.undisturbed_calls
            assert 0 <= extra <= done.kills - kills_before, f"{done.kills - kills_before} kills cost {extra} calls"
            for name in FRAMES:
                one, other = (pl.read_parquet(folder / f"{name}.parquet") for folder in (home, expected))
                assert one.equals(other), f"{name} differs from the undisturbed run's"
            done.rounds += 1
            done.extra_calls += extra
            done.most_extra_in_a_round = max(done.most_extra_in_a_round, extra)
    return done


def _last_row(home: Path) -> str:
    """Tell what the worker was at, by the last row of its journal."""
    if not (home / JOURNAL_FILE).exists():
        return "before the journal"
    with contextlib.closing(sqlite3.connect(home / JOURNAL_FILE)) as journal:
        if not journal.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone():
            return "before the journal"
        row = journal.execute("SELECT endpoint, outcome FROM calls ORDER BY id DESC LIMIT 1").fetchone()
    if row is None:
        return "before the first call"
    return f"{'between calls' if row[1] else f'waiting for {row[0]}'}"


def _check_journal(home: Path) -> None:
    if (home / JOURNAL_FILE).exists():
        with contextlib.closing(sqlite3.connect(home / JOURNAL_FILE)) as journal:
            assert journal.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    start = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(f"{count} kills, seed {start}", flush=True)  # noqa: T201
    began = time.monotonic()
    print(f"{soak(count, pages=40, details=60, seed=start, longest=2.5)}; {time.monotonic() - began:.0f} s")  # noqa: T201
