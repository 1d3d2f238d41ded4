"""Fills one lake by syncs that are killed and refused again and again, one by syncs that are not, and shows that they are equal.

``PYTHONPATH=tests python -m soak.killed_syncs [KILLS] [SEED]``: 20 kills by default, over some eight days of sessions that begin, go on, end and
are removed. All stands still while both lakes are synced; then the clock of the simulator moves on. So both see the same
sessions, and differ in nothing but when an answer was asked for: a 429 has the disturbed one wait, up to ten minutes.

``details=n`` is so many for each sync. One that is killed and repeated would buy more than one that is not, so it is given what
it has not bought yet. ``n`` is small enough to be used up by sessions that have no details yet: in which order details are
bought again depends on when they were bought. Now and then the last hours' details are bought, all of them, which reaches
sessions that go on, that went on when they were bought, and that are gone.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from conftest import client_of
from polars.testing import assert_frame_equal
from support import worker
from support.compare_lakes import LONGEST_WAIT, check_truth, tables_of, whole

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.simulator import Fault, Simulator
from pulseframes.tables import SESSIONS
from soak.killed_searches import Moment, attempt, check_journal, last_row

BEGIN = datetime(2026, 3, 2, 9, 30, 0, 250_000, tzinfo=UTC)
#: How a sync may end that is asked again.
PASSING = {None, "ServerError", "MalformedAnswer"}


@dataclass
class Soak:
    """What came of it."""

    kills: int = 0
    steps: int = 0
    sessions: int = 0
    details: int = 0
    removed: int = 0
    undisturbed_calls: int = 0
    extra_calls: int = 0
    most_extra_in_a_step: int = 0
    other_pages: int = 0
    stopped: int = 0
    in_a_write: int = 0
    days: float = 0
    faults: Counter[str] = field(default_factory=Counter)
    killed_while: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        where = ", ".join(f"{count} {what}" for what, count in sorted(self.killed_while.items()))
        faults = ", ".join(f"{count} {what}" for what, count in sorted(self.faults.items()))
        return (
            f"{self.kills} kills ({where}; {self.in_a_write} of them in the midst of a write to the lake) in {self.steps} "
            f"syncs over {self.days:.1f} days; {self.faults.total()} faults met ({faults}), which ended {self.stopped} syncs; "
            f"{self.sessions} sessions, {self.details} with details, {self.removed} removed; {self.undisturbed_calls} calls "
            f"undisturbed; {self.extra_calls} calls paid twice, {self.most_extra_in_a_step} in one step at most; "
            f"{self.other_pages} pages of windows that were cut in another way"
        )


class Lakes:
    """Two lakes of one simulator, each with a journal of its own: one is left in peace."""

    def __init__(
        self, simulator: Simulator, nurse: subprocess.Popen[str], place: Path, draw: random.Random, at_once: int
    ) -> None:
        self._simulator = simulator
        self._at_once = at_once
        self._nurse = nurse
        self._draw = draw
        self._home = place / "disturbed-home"
        self._peaceful_home = place / "peaceful-home"
        self.peaceful = pf.Lake(place / "peaceful")
        self.disturbed = pf.Lake(place / "disturbed")
        self.done = Soak()

    def sync(self, date_from: datetime, details: int | str, kills: int) -> None:
        """Sync both up to the present; the second is killed so many times, if it takes long enough."""
        simulator, done = self._simulator, self.done
        step = simulator.now
        before = simulator.calls
        with self._client(self._peaceful_home) as client:
            report = pf.sync(self.peaceful, date_from, whole(step), details=details, client=client)  # type: ignore[arg-type]
            assert report.finished
            assert not report.incomplete
        undisturbed = simulator.calls - before
        requests, killed = len(simulator.requests), done.kills
        simulator.faults.add(*_faults(self._draw, undisturbed))
        self._sync_disturbed(date_from, details, kills)
        simulator.faults.clear()
        heard = simulator.requests
        met = [request.fault for request in heard[requests:] if request.fault is not None]
        asked = Counter((r.endpoint, *r.query.items()) for r in heard[requests:] if r.fault is None)
        peaceful = {(r.endpoint, *r.query.items()) for r in heard[requests - undisturbed : requests]}
        extra, killed = asked.total() - len(asked), done.kills - killed
        assert extra <= killed * self._at_once, (
            f"{killed} kills and {len(met)} faults: {extra} questions were answered twice: {asked}"
        )
        # What a page has told of sessions that went on can move the window that the repeated sync asks for.
        others = asked.keys() - peaceful
        assert {endpoint for endpoint, *_ in others} <= {"sessions"}, others
        done.other_pages += len(others)
        done.faults.update(met)
        done.undisturbed_calls += undisturbed
        done.extra_calls += extra
        done.most_extra_in_a_step = max(done.most_extra_in_a_step, extra)

    def _sync_disturbed(self, date_from: datetime, details: int | str, kills: int) -> None:
        """Sync until it has been killed often enough, or is done before, whatever else ends it."""
        step = now = self._simulator.now
        while True:
            wanted = details if isinstance(details, str) else details - len(self._bought(step))
            task = self._task(date_from, whole(step), wanted, now)
            kill = _moment(self._draw) if kills else None
            told = attempt(self._simulator, self._nurse, self._home, task, kill)
            if told is None:
                kills -= 1
                self._note_kill()
                continue
            assert told["error"] in PASSING, told
            now = datetime.fromisoformat(told["resume_at"] or told["now"])
            assert now - step < LONGEST_WAIT
            if told["finished"]:
                break
            self.done.stopped += 1
        if details == 0 or isinstance(details, str):
            return
        # A killed sync may have left one answer in the journal alone, and no details to buy that would bring it along.
        rows = (
            self.disturbed.sessions()
            .filter(pl.col("detail_fetched_at").is_null(), pl.col("detail_failed_at").is_null())
            .collect()
        )
        for start in rows.filter(pl.col("session_id").is_in(self._bought(step)))["session_start"]:
            task = self._task(start, start + timedelta.resolution, 1, now)
            told = attempt(self._simulator, self._nurse, self._home, task)
            assert told is not None
            assert told["finished"], told

    def _task(self, date_from: datetime, date_to: datetime, details: int | str, now: datetime) -> dict[str, object]:
        window = [date_from.isoformat(), date_to.isoformat()]
        return {"sync": [self.disturbed.location, *window], "details": details, "now": now.isoformat()}

    def _client(self, home: Path) -> pf.PulseClient:
        return client_of(self._simulator, changes={"home": str(home)}, clock=lambda: self._simulator.now)

    def _bought(self, since: datetime) -> set[int]:
        """Give the sessions whose details the disturbed lake's journal has got since a moment, or heard to be gone."""
        if not self._home.exists():
            return set()
        bought = set()
        with self._client(self._home) as client:
            for call in client.last_calls(10_000):
                if call.endpoint == "session" and call.at >= since and call.status in (200, 404):
                    answer = client.kept_answer(endpoints.DETAIL, {"id": call.params.removeprefix("id=")})
                    with contextlib.suppress(ValueError):  # a cut answer has to be bought again
                        json.loads(answer.body if answer is not None else b"")
                        bought.add(int(call.params.removeprefix("id=")))
        return bought

    def _note_kill(self) -> None:
        self.done.kills += 1
        self.done.killed_while[last_row(self._home)] += 1
        check_journal(self._home)
        self.done.in_a_write += bool(self.disturbed.store.list("_pulseframes/staging"))

    def compare(self, moments: list[datetime], gone: pl.DataFrame) -> None:
        """Hold the lakes against each other and against what the server has, cell by cell."""
        check_journal(self._home)
        assert self.disturbed.store.list("_pulseframes/staging") == []
        one, other = (tables_of(lake, moments) for lake in (self.peaceful, self.disturbed))
        for name, frame in one.items():
            assert_frame_equal(other[name], frame)
        self.done.sessions = len(one["sessions"])
        self.done.details = one["sessions"]["detail_fetched_at"].count()
        check_truth(other, self._simulator, gone)


def soak(
    kills: int, *, per_day: int, days: int, steps: int, details: int, hours: float, seed: int, at_once: int
) -> Soak:
    """Sync so many times, in steps of minutes to more than a day, with all the kills that there are to be.

    Parameters
    ----------
    kills
        How often a process is killed.
    per_day, days
        How many sessions there are in a day, and of how many days before the first sync.
    steps
        How many syncs.
    details
        How many details each sync buys.
    hours
        All details of so many last hours are bought in every third step.
    seed
        Of what is drawn; not of the moments at which a process is killed, which depend on the machine, too.
    at_once
        How many details the disturbed lake requests at once.
    """
    draw = random.Random(seed)
    with contextlib.ExitStack() as ends:
        simulator = ends.enter_context(
            Simulator(sessions=per_day * days, days=days, now=BEGIN, seed=seed, daily_limit=None)
        )
        place = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        nurse = ends.enter_context(worker.running(worker.start(simulator, "frames", "nurse", at_once=at_once)))
        lakes = Lakes(simulator, nurse, place, draw, at_once)
        done = lakes.done
        gone = SESSIONS.empty()
        moments: list[datetime] = []
        while done.steps < steps or done.kills < kills:
            moments.append(simulator.now)
            left = kills - done.kills
            share = -(-left // max(1, steps - done.steps))
            lakes.sync(simulator.begin, details, share)
            if done.steps % 3 == 2:
                lakes.sync(max(simulator.begin, simulator.now - timedelta(hours=hours)), "all", share)
            done.steps += 1
            lakes.compare(moments, gone)
            leaving = _leaving(simulator, draw)
            simulator.remove(*leaving["session_id"])
            gone = pl.concat([gone, leaving])
            # A short while before all details are bought, so that some of them are of sessions that were just removed.
            soon, later = draw.uniform(0.3, hours), draw.choice([draw.uniform(2, 9), draw.uniform(20, 30)])
            simulator.advance(hours=soon if done.steps % 3 == 2 else later)
        done.removed = len(gone)
        done.days = (moments[-1] - moments[0]) / timedelta(days=1)
    return done


def _moment(draw: random.Random) -> Moment:
    """Draw a moment to kill at: around a call, while its answer is put into the lake, or before the first."""
    return Moment(draw.randint(0, 6), draw.choice([0.0, draw.uniform(0, 0.02), draw.uniform(0, 0.25)]))


def _leaving(simulator: Simulator, draw: random.Random) -> pl.DataFrame:
    """Choose sessions to be removed: some of the last hour, some older; one that goes on, if there is one."""
    until = whole(simulator.now)
    there = simulator.summaries(simulator.begin, until)
    recent = there.filter(pl.col("session_start") > until - timedelta(hours=2))
    kinds = [recent.filter(status="active").head(1), recent.filter(status="ended").tail(4)]
    kinds.append(there.sample(2, seed=draw.randrange(1 << 30)))
    return pl.concat(kinds).unique("session_id", maintain_order=True)


def _faults(draw: random.Random, calls: int) -> list[Fault]:
    """Draw what goes wrong in one sync, somewhere in its calls; each costs one call for each time it hits."""
    waits = [0, 1, 20, 59, 60, draw.randint(61, 240)]  # up to 60 seconds are waited for; more ends the sync
    kinds = [
        Fault(kind="status", status=429, headers={"Retry-After": str(draw.choice(waits))}),
        Fault(kind="status", status=500, times=draw.choice([1, 2, 4])),  # three in a row end the sync
        Fault(kind="status", status=503, on="session"),
        Fault(kind="truncate", framing=draw.choice(["length", "chunked", "close"])),
        Fault(kind="reset"),
        Fault(kind="reset", at_bytes=draw.randint(0, 50), times=draw.choice([1, 3])),
        Fault(kind="body", body="<html>at work</html>"),
    ]
    return [replace(fault, after=draw.randint(0, max(1, calls))) for fault in draw.sample(kinds, draw.randint(1, 4))]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    start = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(f"{count} kills, seed {start}", flush=True)  # noqa: T201
    began = time.monotonic()
    told = soak(count, per_day=700, days=4, steps=12, details=15, hours=2, seed=start, at_once=4)
    print(f"{told}; {time.monotonic() - began:.0f} s")  # noqa: T201
