"""Samples of a simulated population, made without a server."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import polars as pl

import pulseframes as pf
from pulseframes.simulator import Simulator


@cache
def population() -> pf.SessionFrames:
    """2,000 sessions with all their details."""
    truth = Simulator(sessions=2_000, now=datetime(2026, 11, 20, 12, tzinfo=UTC)).truth()
    return pf.SessionFrames(truth["sessions"], truth["page_views"], truth["errors"])


def part_of(frames: pf.SessionFrames, ids: Iterable[int]) -> pf.SessionFrames:
    """The details of some sessions."""
    named = pl.col("session_id").is_in(pl.Series(list(ids), dtype=pl.Int64).implode())
    return pf.SessionFrames(*(frame.filter(named) for frame in frames.tables().values()))


def sample_of(
    calls: int,
    design: Any = "pageviews",
    *,
    frames: pf.SessionFrames | None = None,
    seed: int = 1,
    strata: Any = None,
    lost: int = 0,
) -> pf.Sample:
    """A sample of N details, the last ``lost`` of which were never received."""
    frames = frames or population()
    chosen = pf.choose_details(frames.sessions, calls, design=design, seed=seed, strata=strata)
    came = part_of(frames, chosen["session_id"].head(calls - lost))
    whole = pf.Design(design, seed, tuple([strata] if isinstance(strata, str) else strata or ()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pf.IncompleteWarning)  # about the lost details
        return pf.Sample.of_frames(frames.sessions, chosen, came, design=whole)
