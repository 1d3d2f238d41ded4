from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pulseframes.simulator import Simulator

from .caller import NOW, Caller


@pytest.fixture
def make() -> Callable[..., Caller]:
    """Build callers of a simulator in process; the clock stands still and calls are not limited."""

    def build(**parameters: Any) -> Caller:
        return Caller(Simulator(**{"sessions": 2000, "now": NOW, "daily_limit": None, **parameters}))

    return build


@pytest.fixture(scope="session")
def shop() -> Caller:
    """A shop of 2000 sessions that tests only read."""
    return Caller(Simulator(sessions=2000, seed=7, now=NOW, daily_limit=None))


@pytest.fixture(scope="session")
def everything(shop: Caller) -> list[dict[str, Any]]:
    """Every session of the shop as a search returns it, newest first."""
    return shop.search_all()


@pytest.fixture
def served() -> Iterator[Simulator]:
    """A simulator on a loopback port."""
    with Simulator(sessions=500, now=NOW) as simulator:
        yield simulator
