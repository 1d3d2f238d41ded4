"""Each answer is flattened once, in batches; only its outline is read before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import client_of

import pulseframes as pf
from pulseframes.fetch import sessions, sync_report
from pulseframes.fetch.answers import BATCH
from pulseframes.flatten import ParsedAnswers, parse_answers
from pulseframes.simulator import Simulator

START = datetime(2026, 10, 26, tzinfo=UTC)
WEEKS = ("2026-10-26", "2026-11-16")


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of bodies of each call of ``parse_answers()``."""
    sizes: list[int] = []

    def counted(bodies: Sequence[bytes], *arguments: Any, **options: Any) -> ParsedAnswers:
        sizes.append(len(bodies))
        return parse_answers(bodies, *arguments, **options)

    for module in (sessions, sync_report):
        monkeypatch.setattr(module, "parse_answers", counted)
    return sizes


def test_a_search_flattens_all_its_pages_together(simulator: Simulator, batches: list[int]) -> None:
    with client_of(simulator) as client:
        found = pf.search_sessions(*WEEKS, client=client)
        pages = -(-len(found) // 500)
        assert batches == [pages] != [1]
        pf.search_sessions(*WEEKS, client=client)
        assert batches == [pages, pages]


def test_details_are_flattened_together_paid_or_kept(simulator: Simulator, batches: list[int]) -> None:
    ids = simulator.summaries()["session_id"].head(30)
    with client_of(simulator) as client:
        pf.session_details(ids, client=client)
        pf.session_details(ids, client=client)
    assert batches == [30, 30]


def test_a_sync_loads_kept_answers_and_paid_ones_in_batches(
    simulator: Simulator, batches: list[int], tmp_path: Path
) -> None:
    ended = simulator.summaries().filter(pl.col("status") == "ended", pl.col("session_start") >= START)["session_id"]
    with client_of(simulator) as client:
        pf.session_details(ended.head(BATCH + 20), client=client)
        batches.clear()
        report = pf.sync(tmp_path / "lake", *WEEKS, details=5, design="newest", client=client)
        assert report.calls_saved > 0
        kept, paid = batches[-2:]
        assert (kept, paid) == (report.calls_saved, 5)
