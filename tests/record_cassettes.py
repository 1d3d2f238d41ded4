"""Records cassettes/ anew, against the simulator over real HTTP: ``make cassettes``."""

from __future__ import annotations

import contextlib
import warnings

from conftest import NOW, credentials_of, settings_of
from support.cassette import CASSETTES, tape

import pulseframes as pf
from pulseframes.simulator import Simulator

#: What is recorded, and asked again from the cassettes.
WINDOW = ("2026-11-13", "2026-11-20")
POPULATION = {"sessions": 1_200, "days": 14, "now": NOW, "seed": 3}
UNKNOWN_ID = 1


def detail_ids(simulator: Simulator) -> list[int]:
    """The first sessions of the window that have errors, and the first that have none."""
    truth = simulator.truth(*WINDOW)
    with_errors = truth["sessions"].join(truth["errors"], on="session_id", how="semi")
    return [*with_errors["session_id"].head(3), *truth["sessions"]["session_id"].head(3)]


def record() -> None:
    for old in CASSETTES.glob("*.json"):
        old.unlink()
    with Simulator(**POPULATION) as simulator, _recording("search.json"), _client(simulator) as client:
        pf.search_sessions(*WINDOW, client=client)
    with Simulator(**POPULATION) as simulator, _recording("details.json"), _client(simulator) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pf.MissingSessionsWarning)
            pf.session_details([*detail_ids(simulator), UNKNOWN_ID], client=client)
    with Simulator(**POPULATION, post_only=True, daily_limit=3) as simulator, _recording("quota.json"):
        with _client(simulator) as client, contextlib.suppress(pf.QuotaExhausted):
            pf.session_details(detail_ids(simulator), client=client)


def _recording(name: str) -> contextlib.AbstractContextManager[object]:
    return tape.use_cassette(name, record_mode="all")


def _client(simulator: Simulator) -> pf.PulseClient:
    return pf.PulseClient(credentials_of(simulator), settings=settings_of(simulator, concurrency=1))


if __name__ == "__main__":
    record()
