"""Kept answers: 1,000 cached details into frames, beside flattening the same bodies at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pulseframes as pf
from pulseframes.endpoints import DETAIL
from pulseframes.flatten import parse_answers
from pulseframes.simulator import Simulator

COUNT = 1_000
ROUNDS = 7


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    with Simulator(sessions=COUNT, now=datetime(2026, 11, 20, 12, tzinfo=UTC), daily_limit=None) as simulator:
        ids = simulator.summaries()["session_id"]
        with simulator.client() as client:
            pf.session_details(ids, client=client)
            bodies = [client.kept_answer(DETAIL, {"id": str(session_id)}) for session_id in ids]
            raw = [answer.body for answer in bodies if answer is not None]
            kept = [
                (seconds(lambda: pf.session_details(ids, client=client)), seconds(lambda: parse_answers(raw, DETAIL)))
                for _ in range(ROUNDS)
            ]
    whole, flat = (statistics.median(times) for times in zip(*kept, strict=True))
    print(
        f"{COUNT:,} kept details into frames: {whole:.3f} s of CPU; flattened at once: {flat:.3f} s; ratio {whole / flat:.2f}"
    )
