"""A publish that is killed at any moment leaves whole days, and the next one completes the tables without a duplicate or a loss."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import NOW
from support import publisher

import pulseframes as pf
from publishing.places import FORMATS, Place, rows_of
from pulseframes.simulator import Simulator

KILLS = 8


def by_day(rows: pl.DataFrame) -> dict[Any, list[tuple[Any, ...]]]:
    parts = rows.select(sorted(rows.columns)).partition_by("date", as_dict=True)
    return {day: sorted(part.rows(), key=repr) for (day,), part in parts.items()}


def kill(process: int) -> None:
    with suppress(ProcessLookupError):  # it has ended
        os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_killed_publish_leaves_whole_days_and_the_next_completes_them(tmp_path: Path, table_format: str) -> None:
    rng = random.Random(1)
    place, lake = Place(tmp_path / "published", table_format), pf.Lake(tmp_path / "lake")
    with Simulator(sessions=60, days=5, now=NOW, daily_limit=None) as shop:
        sessions = shop.summaries()
    lake.write(sessions)
    versions: dict[Any, list[Any]] = {}  # each form that a day has had in the lake
    killed = 0
    with publisher.running() as process:
        began = time.monotonic()
        publisher.give(process, lake.location, **Place(tmp_path / "measured", table_format).arguments)
        assert publisher.answer(process) == 0
        duration = time.monotonic() - began
        for number in range(KILLS):
            for day, rows in by_day(rows_of(lake, "sessions")).items():
                versions.setdefault(day, []).append(rows)
            child = publisher.give(process, lake.location, **place.arguments)
            time.sleep(rng.uniform(0, duration / 2))  # the later ones are shorter
            kill(child)
            killed += publisher.answer(process) == signal.SIGKILL
            for day, rows in by_day(place.rows("sessions")).items() if place.has("sessions") else ():
                assert rows in versions[day]
            place.publish(lake)
            place.check(lake)
            updated = NOW + timedelta(hours=number)
            lake.write(sessions.sample(fraction=0.5, seed=number).with_columns(session_updated=updated))
            pf.forget(lake, int(sessions["user_id"][number]), settings=pf.Settings(home=":memory:"))
    assert killed > 1
