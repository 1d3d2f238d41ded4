"""What a lake records of itself: stored and read with types checked, upgraded from older versions, refused if damaged or newer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, strategies as st
from polars.testing import assert_frame_equal

import pulseframes as pf
from lake.test_lake import START, session_rows
from pulseframes.lake import LakeState, Refresh
from pulseframes.lake.partitions import VERSION_KEY
from pulseframes.lake.state import STATE_FILE
from pulseframes.sampling.rates import DesignState, RateWindow
from pulseframes.tables import LAKE_TABLES, LAKE_VERSION
from pulseframes.windows import Coverage, ReadWindow, Window

#: As version 1 wrote it, before there were designs.
VERSION_1 = """{
 "about": "A pulseframes lake: its tables are the folders beside this one, and any reader of Parquet reads them.",
 "version": 1,
 "application": "2c26b46b68ff",
 "privacy": {"rules": {"ip_address": "truncate"}, "fingerprint": null},
 "covered": [["2026-11-01T00:00:00+00:00", "2026-11-05T12:30:00+00:00", null]],
 "reading": [],
 "incomplete": [],
 "active_asked_at": null,
 "refreshing": null,
 "kept_from": null
}"""
VERSION_2 = """{
 "about": "A pulseframes lake: its tables are the folders beside this one, and any reader of Parquet reads them.",
 "version": 2,
 "application": "2c26b46b68ff",
 "privacy": {},
 "covered": [
  ["2026-11-01T00:00:00+00:00", "2026-11-05T12:30:00+00:00", null],
  ["2026-11-05T12:30:00+00:00", "2026-11-06T00:00:00+00:00", "2026-11-06T00:00:01.250000+00:00"]
 ],
 "reading": [["2026-11-07T00:00:00+00:00", "2026-11-08T00:00:00+00:00"]],
 "incomplete": [["2026-11-02T00:00:00+00:00", "2026-11-03T00:00:00+00:00"]],
 "active_asked_at": "2026-11-06T00:00:01+00:00",
 "refreshing": ["2026-11-01T00:00:00+00:00", "2026-11-06T00:00:00+00:00", "2026-11-06T09:00:00+00:00"],
 "kept_from": "2026-10-01T00:00:00+00:00",
 "designs": [
  {
   "kind": "uniform",
   "seed": 7,
   "strata": ["country"],
   "allocation": {"NZ": 0.5},
   "cohorts": [["2026-11-01T00:00:00+00:00", "2026-11-06T00:00:00+00:00", {"NZ": 0.25, "AU": 1}]],
   "buying": [[2326153017553092389, 12], [8, 1]]
  }
 ]
}"""


def november(day: int, hour: int = 0, minute: int = 0, second: float = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC) + timedelta(seconds=second)


STATE_2 = LakeState(
    about=json.loads(VERSION_2)["about"],
    version=2,
    application="2c26b46b68ff",
    coverage=Coverage(
        [
            ReadWindow(Window(november(1), november(5, 12, 30)), None),
            ReadWindow(Window(november(5, 12, 30), november(6)), november(6, second=1.25)),
        ]
    ),
    reading=[Window(november(7), november(8))],
    incomplete=[Window(november(2), november(3))],
    active_asked_at=november(6, second=1),
    refreshing=Refresh(Window(november(1), november(6)), november(6, 9)),
    kept_from=datetime(2026, 10, 1, tzinfo=UTC),
    designs=[
        DesignState(
            pf.Design("uniform", 7, ("country",), {"NZ": 0.5}, bot_share=None),
            [RateWindow(Window(november(1), november(6)), {"NZ": 0.25, "AU": 1.0})],
            {2326153017553092389: 12, 8: 1},
        )
    ],
)


def test_the_state_of_version_1_is_read() -> None:
    state = LakeState.decode(VERSION_1.encode(), "x")
    assert (state.version, state.application, state.designs) == (1, "2c26b46b68ff", [])
    assert state.privacy == {"rules": {"ip_address": "truncate"}, "fingerprint": None}
    assert state.coverage.windows() == [Window(november(1), november(5, 12, 30))]


def test_the_state_of_version_2_is_read() -> None:
    assert LakeState.decode(VERSION_2.encode(), "x") == STATE_2


def test_a_state_is_stored_and_read_unchanged() -> None:
    stored = LakeState(**{**vars(STATE_2), "version": LAKE_VERSION})
    assert LakeState.decode(stored.encode(), "x") == stored
    assert LakeState.decode(LakeState().encode(), "x") == LakeState()


times = st.datetimes(timezones=st.just(UTC))


@given(
    st.builds(
        LakeState,
        application=st.none() | st.text(),
        coverage=st.lists(times, unique=True, max_size=6)
        .map(sorted)
        .map(
            lambda at: Coverage([ReadWindow(Window(*ends), ends[0]) for ends in zip(at[::2], at[1::2], strict=False)])
        ),
        incomplete=st.lists(st.builds(Window, times, times)),
        active_asked_at=st.none() | times,
        kept_from=st.none() | times,
        designs=st.lists(
            st.builds(
                DesignState,
                st.builds(pf.Design, seed=st.integers(0, 2**63 - 1)),
                st.lists(
                    st.builds(
                        RateWindow,
                        st.builds(Window, times, times),
                        st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
                        st.none() | times,
                    )
                ),
                st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**62)),
            )
        ),
    )
)
def test_any_state_is_stored_and_read_unchanged(state: LakeState) -> None:
    assert LakeState.decode(state.encode(), "x") == state


@pytest.fixture
def lake(tmp_path: Path) -> pf.Lake:
    return pf.Lake(tmp_path / "lake")


@pytest.mark.parametrize("stored", [VERSION_1, VERSION_2], ids=["1", "2"])
def test_an_older_lake_is_read_as_it_is_and_upgraded_by_the_next_write(
    lake: pf.Lake, tmp_path: Path, stored: str
) -> None:
    lake.write(
        session_rows({"session_id": 1, "country": "NZ"}, {"session_id": 2, "session_start": START + timedelta(days=5)})
    )
    paths = list((tmp_path / "lake/sessions").glob("*/*.parquet"))
    for path in paths:  # as a version would have written them that had other columns
        rows = pl.read_parquet(path, hive_partitioning=False).drop("detail_failed_at", "country")
        rows.with_columns(gone=pl.lit(1)).write_parquet(path, metadata={VERSION_KEY: "1"})
    (tmp_path / "lake" / STATE_FILE).write_text(
        stored.replace('{"rules": {"ip_address": "truncate"}, "fingerprint": null}', "{}")
    )
    before = lake.state()
    assert before.version < LAKE_VERSION
    assert lake.sessions().collect().schema.names() == [*LAKE_TABLES["sessions"].schema, "date"]
    with pytest.raises(pf.LakeError, match="other privacy rules"):  # but these do not stop the upgrade
        pf.Lake(lake.location, privacy=pf.PrivacyPolicy({"ip_address": "drop"})).write(session_rows({"session_id": 3}))
    after = lake.state()
    assert after == LakeState(**{**vars(before), "version": LAKE_VERSION})
    for path in paths:
        assert pl.read_parquet_schema(path) == LAKE_TABLES["sessions"].schema
    assert sorted(lake.sessions().collect()["session_id"]) == [1, 2]


def test_a_lake_without_settled_at_gets_it_from_what_it_knows_when_it_is_upgraded(
    lake: pf.Lake, tmp_path: Path
) -> None:
    """Draws before that had no time, and later ones know the sessions that the lake has now."""
    active = {"status": "active", "session_updated": START, "page_view_count": 7}
    rows = session_rows({"session_id": 1, "page_view_count": 3}, {"session_id": 2, **active})
    lake.write(rows, fetched_at=START + timedelta(hours=1))
    expected = lake.sessions().collect()
    assert expected["settled_at"].to_list() == [START + timedelta(hours=1), None]
    assert expected["settled_page_views"].to_list() == [3, None]
    [path] = (tmp_path / "lake/sessions").glob("*/*.parquet")
    old = pl.read_parquet(path, hive_partitioning=False).drop("settled_at", "settled_page_views")
    old.write_parquet(path, metadata={VERSION_KEY: "4"})
    state = tmp_path / "lake" / STATE_FILE
    state.write_text(json.dumps(json.loads(state.read_text()) | {"version": 4}))
    assert lake.sessions().collect()["settled_at"].to_list() == [None, None]
    with lake.locked():
        pass
    assert_frame_equal(lake.sessions().collect(), expected)


def test_the_version_goes_up_whenever_a_column_changes() -> None:
    columns = [(table, name, str(dtype)) for table, t in LAKE_TABLES.items() for name, dtype in t.schema.items()]
    mark = hashlib.sha256(repr(columns).encode()).hexdigest()[:12]
    assert {
        1: "dadfc9a63f33",
        2: "8d3d500a5a6c",
        3: "8d3d500a5a6c",
        4: "8d3d500a5a6c",
        5: "8d3d500a5a6c",
        6: "681bac1b9415",
    }[LAKE_VERSION] == mark, "LAKE_VERSION goes up with each change; then add the new mark here"


def test_a_lake_of_a_newer_version_is_refused(lake: pf.Lake, tmp_path: Path) -> None:
    lake.write(session_rows({"session_id": 1}))
    state = tmp_path / "lake" / STATE_FILE
    state.write_text(json.dumps({"version": 99, "anything": "else"}))
    for use in (lake.sessions, lambda: lake.write(session_rows({"session_id": 2}))):
        with pytest.raises(pf.LakeError, match="A newer version of pulseframes wrote the lake .*Update pulseframes"):
            use()


def changed(stored: str, **changes: Any) -> bytes:
    return json.dumps(json.loads(stored) | changes).encode()


PRESENT = LakeState(**{**vars(STATE_2), "version": LAKE_VERSION}).encode().decode()
DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"[" * 100_000,
    b'{"version": 1}',
    b'{"version": "x"}',
    b'{"version": null}',
    b"\xff",
    changed(VERSION_2, covered=[["2026-11-01T00:00:00", "2026-11-02T00:00:00", None]]),  # no zone
    changed(VERSION_2, covered=[["2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z", None]]),
    changed(VERSION_2, covered=[["2026-11-02T00:00:00Z"]]),
    changed(VERSION_2, kept_from="2026-11-01"),
    changed(VERSION_2, kept_from=7),
    changed(VERSION_2, refreshing=[1]),
    changed(VERSION_2, designs=[{"kind": "uniform"}]),
    changed(PRESENT, coverage=[]),
    changed(PRESENT, coverage={"reads": [[["2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z"], None]]}),
    changed(PRESENT, reading=[["2026-11-01T00:00:00", "2026-11-02T00:00:00"]]),
    changed(PRESENT, application=5),
    changed(PRESENT, privacy=None),
    changed(PRESENT, designs=[{"design": {"kind": "views"}}]),
    changed(PRESENT, designs=[{"design": {"kind": "uniform", "seed": -1}}]),
    changed(PRESENT, designs=[{"design": {"kind": "uniform"}, "pending": {"x": 1}}]),
]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_state_says_what_to_do(lake: pf.Lake, tmp_path: Path, damage: bytes) -> None:
    lake.write(session_rows({"session_id": 1}))
    (tmp_path / "lake" / STATE_FILE).write_bytes(damage)
    message = "has a damaged _pulseframes/lake.json, .* Restore that file, or create another lake"
    for use in (lake.sessions, lambda: lake.write(session_rows({"session_id": 2}))):
        with pytest.raises(pf.LakeError, match=message):
            use()


def test_a_lake_that_lost_its_state_is_not_continued_under_other_privacy_rules(
    lake: pf.Lake, client: pf.PulseClient, tmp_path: Path
) -> None:
    lake.write(session_rows({"session_id": 1}))
    (tmp_path / "lake" / STATE_FILE).unlink()
    (tmp_path / "lake" / "notes.txt").write_text("the user's")
    uses: list[Callable[[], object]] = [
        lake.is_there,
        lake.sessions,
        lambda: lake.sql("SELECT 1"),
        lambda: lake.write(session_rows({"session_id": 2})),
        lambda: pf.forget(lake, "jane@example.com", settings=pf.Settings(home=":memory:")),
        lambda: pf.retain(lake, 1, settings=pf.Settings(home=":memory:")),
        lambda: pf.estimate(lake, "count()"),
        lambda: pf.plan(lake, "2026-11-01", "2026-11-02", client=client),
        lambda: pf.sync(lake, "2026-11-01", "2026-11-02", client=client),
    ]
    for use in uses:
        with pytest.raises(pf.LakeError, match="has lost its _pulseframes/lake.json, which holds its privacy rules"):
            use()
    assert client.calls_spent == 0
