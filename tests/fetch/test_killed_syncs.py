"""The short form of soak/killed_syncs.py."""

from __future__ import annotations

import pytest
from soak import killed_syncs


@pytest.mark.parametrize(("kills", "at_once"), [(2, 1), (4, 4)])
def test_a_lake_of_syncs_that_were_killed_and_refused_equals_one_of_syncs_that_were_not(
    kills: int, at_once: int
) -> None:
    done = killed_syncs.soak(kills, per_day=150, days=1, steps=3, details=4, hours=0.5, seed=5, at_once=at_once)
    print(done)  # noqa: T201  pytest shows it if the test fails
    assert done.kills >= kills
    assert done.steps >= 3
    assert done.faults
