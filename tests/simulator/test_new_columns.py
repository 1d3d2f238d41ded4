"""A column that is added to a table's declaration, and nowhere else, is in documents, frames, the truth and the lake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import pulseframes
from pulseframes.simulator import Simulator

from .caller import NOW

#: For each file, a line of it, and the declarations to insert before that line.
DECLARATIONS = {
    "sessions.py": (
        '        text("api_url"',
        """
        integer("scroll_depth_px", "scroll.depth", "How far the user scrolled.", unit="px", minimum=10),
        text("user_plan", "user.plan", "The user's plan.", known_values=("free", "paid"), endpoints=(DETAIL,)),
        boolean("is_recorded", "recording.exists", "Whether there is a recording.", endpoints=(SEARCH,)),
        instant("user_left", "user.leftOn", "When the user left; null if never.", never_is_null=True),
        text("build", "build", "The site's build.", required=True),
        integer("error_count", "errorCount", "Number of errors.", length_of="errors", endpoints=(SEARCH,)),
        """,
    ),
    "items.py": (
        '    instant("viewed_on"',
        """
    integer("requests", "network.requests", "Number of requests that the page made.", minimum=1),
        """,
    ),
}

#: Runs on the changed package.
SCRIPT = """
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.simulator import Simulator

assert Path(pf.__path__[0]).parent == Path.cwd()
with Simulator(sessions=120, now=datetime(2026, 11, 1, 12, tzinfo=UTC), daily_limit=None) as simulator:
    credentials = pf.Credentials(simulator.api_key, simulator.client_id, simulator.client_secret)
    settings = pf.Settings(base_url=simulator.url, home=":memory:", daily_limit=1_000)
    with pf.PulseClient(credentials, settings=settings, clock=lambda: simulator.now) as client:
        sessions = pf.search_sessions("2026-10-01", "2026-12-01", client=client)
        details = pf.session_details(sessions["session_id"], client=client)
        pf.sync("lake", "2026-10-01", "2026-11-02", details="all", client=client)
    summaries, truth = simulator.summaries(), simulator.truth()
    documents = [simulator.detail(session_id)["session"] for session_id in sessions["session_id"]]

assert_frame_equal(sessions, summaries)
assert_frame_equal(details.sessions, truth["sessions"])
assert_frame_equal(details.page_views, truth["page_views"])
assert_frame_equal(details.errors, truth["errors"])
assert {document["scroll"]["depth"] for document in documents if document["scroll"]["depth"]} == {
    *sessions["scroll_depth_px"].drop_nulls()
}
assert not any("recording" in document for document in documents)
for name, frame in (("summaries", summaries), *truth.items()):
    frame.write_parquet(f"{name}.parquet")
pf.Lake("lake").sessions().collect().write_parquet("lake.parquet")
pf.Lake("lake").page_views().collect().write_parquet("views.parquet")
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The frames of a package with more columns, in which only their declarations differ."""
    folder = tmp_path_factory.mktemp("changed")
    package = Path(pulseframes.__path__[0])
    shutil.copytree(package, folder / "pulseframes", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, lines) in DECLARATIONS.items():
        file = folder / "pulseframes" / "tables" / name
        source = file.read_text()
        assert source.count(before) == 1
        file.write_text(source.replace(before, lines.strip("\n ") + "\n" + before))
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return {file.stem: pl.read_parquet(file) for file in folder.glob("*.parquet")}


def test_a_new_column_has_values_of_its_type_in_the_frames_of_its_endpoints(frames: dict[str, pl.DataFrame]) -> None:
    summaries, sessions, views = frames["summaries"], frames["sessions"], frames["page_views"]
    for frame in (summaries, sessions, frames["lake"]):
        assert frame["scroll_depth_px"].dtype == pl.Int64
        assert frame["scroll_depth_px"].min() >= 10
        assert frame["scroll_depth_px"].n_unique() > 50
        assert frame["build"].null_count() == 0
        assert frame["user_left"].dtype == pl.Datetime("us", "UTC")
    assert (summaries["user_plan"].null_count(), sessions["is_recorded"].null_count()) == (120, 120)
    assert {*sessions["user_plan"]} == {"free", "paid", None}
    assert {*summaries["is_recorded"]} == {True, False, None}
    for frame in (views, frames["views"]):
        assert frame["requests"].dtype == pl.Int64
        assert frame["requests"].min() >= 1
        assert 0 < frame["requests"].null_count() < len(views) / 2


def test_a_new_length_counts_the_items_of_its_list(frames: dict[str, pl.DataFrame]) -> None:
    counts = frames["errors"].group_by("session_id").len("length")
    for frame in (frames["summaries"], frames["sessions"]):
        with_errors = frame.join(counts, on="session_id")
        assert with_errors["error_count"].drop_nulls().to_list()
        assert with_errors.filter(pl.col("error_count") != pl.col("length")).is_empty()
        assert (frame["error_count"] == 0).sum() > 50


def test_a_new_column_changes_no_other_value(frames: dict[str, pl.DataFrame]) -> None:
    simulator = Simulator(sessions=120, now=NOW)
    for name, expected in (("summaries", simulator.summaries()), *simulator.truth().items()):
        same = [column for column in expected.columns if column != "api_url"]  # it has the server's port
        assert_frame_equal(frames[name].select(same), expected.select(same))
