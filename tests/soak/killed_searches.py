"""Kills a worker again and again while it fetches, and shows that nothing is lost and next to nothing is paid for twice.

``PYTHONPATH=tests python -m soak.killed_searches [KILLS] [SEED]``: 200 kills by default, half of them with one detail at a time and
half with four, over a search of 40 pages and 60 details. A round is one whole fetch from an empty journal; rounds follow until there were so many kills.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from support import worker

from pulseframes.client.journal import JOURNAL_FILE
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


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after the server has heard so many calls of the process, or after it began."""

    calls: int
    seconds: float

    @classmethod
    def drawn(cls, draw: random.Random, longest: float) -> Moment:
        """Draw one: mostly around a call, as that is where something can be lost."""
        if draw.random() < 0.25:
            return cls(0, draw.uniform(0, longest))
        return cls(draw.randint(1, 6), draw.choice([0.0, draw.uniform(0, 0.005), draw.uniform(0, 0.05)]))


def run(
    simulator: Simulator,
    nurse: subprocess.Popen[str],
    home: Path,
    task: dict[str, object],
    kill: Moment | None = None,
) -> bool:
    """Do a task in a new process, and kill it at a moment; tell whether it was done by then."""
    told = attempt(simulator, nurse, home, task, kill)
    assert told is None or told["error"] is None
    return told is not None


def attempt(
    simulator: Simulator,
    nurse: subprocess.Popen[str],
    home: Path,
    task: dict[str, object],
    kill: Moment | None = None,
) -> dict[str, Any] | None:
    """Do a task in a new process, and kill it at a moment; give its answer, or None where it was killed before it had one."""
    home.mkdir(exist_ok=True, mode=0o700)
    before = simulator.calls
    worker.give(nurse, home, **task, out=str(home))
    process = worker.result(nurse)["pid"]
    if kill is not None:
        with contextlib.suppress(ProcessLookupError):
            while simulator.calls - before < kill.calls:
                os.kill(process, 0)  # it raises when the process has ended
                time.sleep(0.0005)
            time.sleep(kill.seconds)
            os.kill(process, signal.SIGKILL)
    told = worker.result(nurse)
    if "ended" in told:
        assert os.waitstatus_to_exitcode(told["ended"]) == -signal.SIGKILL
        return None
    worker.result(nurse)
    return told


def soak(kills: int, *, pages: int, details: int, seed: int, longest: float, at_once: int) -> Soak:
    """Kill so many times, each at a random moment: around a call, or up to ``longest`` seconds after the worker began.

    Raises
    ------
    AssertionError
        If a frame differs from the undisturbed run's, a journal is damaged, or a kill has more calls paid twice than were at once.
    """
    draw = random.Random(seed)
    now = datetime.now(UTC)
    done = Soak()
    with contextlib.ExitStack() as ends:
        simulator = ends.enter_context(
            Simulator(sessions=pages * PAGE, days=28, now=now - timedelta(days=2), daily_limit=None)
        )
        place = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        nurse = ends.enter_context(worker.running(worker.start(simulator, "frames", "nurse", at_once=at_once)))
        window = [(simulator.begin - timedelta(days=1)).isoformat(), (now - timedelta(days=2)).isoformat()]
        task: dict[str, object] = {
            "search": window,
            "ids": simulator.summaries()["session_id"].sample(details, seed=seed).to_list(),
        }
        expected = place / "undisturbed"
        run(simulator, nurse, expected, task)
        done.undisturbed_calls = simulator.calls
        while done.kills < kills:
            home, before, kills_before = place / f"round-{done.rounds}", simulator.calls, done.kills
            while not run(simulator, nurse, home, task, Moment.drawn(draw, longest) if done.kills < kills else None):
                done.kills += 1
                done.killed_while[last_row(home)] += 1
                check_journal(home)
            check_journal(home)
            extra, killed = simulator.calls - before - done.undisturbed_calls, done.kills - kills_before
            assert 0 <= extra <= killed * at_once, f"{killed} kills cost {extra} calls"
            for name in FRAMES:
                one, other = (pl.read_parquet(folder / f"{name}.parquet") for folder in (home, expected))
                assert one.equals(other), f"{name} differs from the undisturbed run's"
            done.rounds += 1
            done.extra_calls += extra
            done.most_extra_in_a_round = max(done.most_extra_in_a_round, extra)
    return done


def last_row(home: Path) -> str:
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


def check_journal(home: Path) -> None:
    if (home / JOURNAL_FILE).exists():
        with contextlib.closing(sqlite3.connect(home / JOURNAL_FILE)) as journal:
            assert journal.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    start = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for number in (1, 4):
        print(f"{count // 2} kills, seed {start}, {number} at once", flush=True)  # noqa: T201
        began = time.monotonic()
        told = soak(count // 2, pages=40, details=60, seed=start, longest=2.5, at_once=number)
        print(f"{told}; {time.monotonic() - began:.0f} s")  # noqa: T201
