"""Bits that a disk flipped in a lake's files end in a result or an error of ours, and in nothing else: no other exception, no abort."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import NOW

import pulseframes as pf
from pulseframes.simulator import Simulator
from pulseframes.tables.frames import SessionFrames

#: Runs in a process of its own, since a library in C++ or Rust may abort the process.
FLIPS = """
import random, shutil, sys
from pathlib import Path
import polars as pl
import pulseframes as pf
from lake.test_lake import session_rows

def flip(path, chance):
    data = bytearray(path.read_bytes())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(chance.choice([0, footer]), len(data))
        data[place] = chance.choice([data[place] ^ 1 << chance.randrange(8), chance.randrange(256)])
    path.write_bytes(data)

whole, copy = map(Path, sys.argv[1:3])
for seed in range(int(sys.argv[3]), int(sys.argv[4])):
    shutil.copytree(whole, copy)
    chance = random.Random(seed)
    path = chance.choice(sorted(copy.rglob("*.parquet")))
    table = path.parts[-3]
    flip(path, chance)
    lake = pf.Lake(copy)
    uses = {
        "read": lambda: lake._scan(table).collect(),
        "filter": lambda: lake._scan(table).filter(pl.col("session_id") > 5).select("session_id").collect(),
        "SQL": lambda: lake.sql(f"SELECT * FROM {table}"),
        "SQL of statistics": lambda: lake.sql(f"SELECT max(COLUMNS(*)) FROM {table}"),
        "estimate": lambda: pf.estimate(lake, ["total(page_view_count)", "count()"], by="country"),
        "write": lambda: lake.write(session_rows({"session_id": 1, "status": "ended"})),
    }
    for name, use in uses.items():
        print(f"{seed}, {name}, {path.relative_to(copy)}", flush=True)
        try:
            use()
        except pf.LakeError:
            pass
        except pf.InvalidQuery as problem:  # the bits of a value may be another time
            assert "times outside" in str(problem)
    shutil.rmtree(copy)
print("done")
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small lake with all tables."""
    lake = pf.Lake(tmp_path_factory.mktemp("whole") / "lake")
    truth = Simulator(sessions=12, days=3, now=NOW).truth()
    lake.write(SessionFrames(truth["sessions"], truth["page_views"], truth["errors"]))
    return Path(lake.location)


@pytest.mark.parametrize("first", [0, 8])
def test_flipped_bits_are_a_result_or_a_named_error(whole: Path, tmp_path: Path, first: int) -> None:
    tests = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, *sys.path])}
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        FLIPS,
        str(whole),
        str(tmp_path / "copy"),
        str(first),
        str(first + 8),
    ]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    *_, last = process.stdout.splitlines()
    assert (process.returncode, last) == (0, "done"), process.stderr[-3_000:]
