"""A lake: what is put into it is there, once a key, in files that anybody reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.frames import SessionFrames
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS

START = datetime(2026, 11, 1, 22, tzinfo=UTC)


def contents(lake: pf.Lake) -> dict[str, pl.DataFrame]:
    """All of a lake, in order, with its bookkeeping."""
    return {
        "sessions": lake.sessions().sort("session_id").collect(),
        "page_views": lake.page_views().sort(PAGE_VIEWS.key).collect(),
        "errors": lake.errors().sort(ERRORS.key).collect(),
    }


def assert_same(one: pf.Lake, other: pf.Lake) -> None:
    for name, frame in contents(one).items():
        assert_frame_equal(frame, contents(other)[name])


def files(path: Path) -> dict[str, bytes]:
    """The tables' files."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.parquet"))}


def session_rows(*rows: dict[str, Any]) -> pl.DataFrame:
    """Sessions with these values, and null elsewhere."""
    return pl.DataFrame([{"session_start": START} | row for row in rows], schema=SESSIONS.schema)


def detail_of(row: dict[str, Any], pages: Sequence[str] = (), errors: Sequence[str] = ()) -> SessionFrames:
    session_id = row["session_id"]
    views = [{"session_id": session_id, "view_index": i, "page": page} for i, page in enumerate(pages)]
    faults = [{"session_id": session_id, "error_index": i, "title": title} for i, title in enumerate(errors)]
    return SessionFrames(
        session_rows(row), pl.DataFrame(views, schema=PAGE_VIEWS.schema), pl.DataFrame(faults, schema=ERRORS.schema)
    )


@pytest.fixture
def lake(tmp_path: Path) -> pf.Lake:
    return pf.Lake(tmp_path / "lake")


# Any order, any grouping


@dataclass(frozen=True)
class Seen:
    """One answer about one session."""

    session_id: int
    hours: int
    updated: int | None
    fetched: int
    detail: bool
    pages: int

    @property
    def row(self) -> dict[str, Any]:
        return {
            "session_id": self.session_id,
            "session_start": START + timedelta(hours=self.hours),
            "session_updated": None if self.updated is None else START + timedelta(minutes=self.updated),
            "country": f"{self.fetched}",
            "satisfaction_rating": f"Rated {self.fetched}" if self.detail else None,
        }

    @property
    def at(self) -> datetime:
        return START + timedelta(seconds=self.fetched)

    def frames(self) -> pl.DataFrame | SessionFrames:
        if not self.detail:
            return session_rows(self.row)
        pages = [f"/{self.fetched}/{n}" for n in range(self.pages)]
        return detail_of(self.row, pages, pages[:1])


@st.composite
def answers(draw: st.DrawFn) -> list[Seen]:
    count = draw(st.integers(1, 8))
    return [
        Seen(
            session_id=draw(st.integers(1, 3)),
            hours=draw(st.sampled_from([0, 1, 3])),  # a later one is on the next day
            updated=draw(st.one_of(st.none(), st.integers(0, 3))),
            fetched=number,
            detail=draw(st.booleans()),
            pages=draw(st.integers(0, 2)),
        )
        for number in range(count)
    ]


@settings(max_examples=60)
@given(data=st.data())
def test_any_order_and_grouping_of_summaries_and_details_ends_in_the_same_lake(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seen = data.draw(answers())
    shuffled = data.draw(st.permutations(seen))
    one, other = (pf.Lake(tmp_path_factory.mktemp("lakes") / name) for name in ("one", "other"))
    for answer in seen:
        one.write(answer.frames(), fetched_at=answer.at)
    while shuffled:
        kind = shuffled[0].detail
        group = [shuffled.pop(0)]
        while shuffled and shuffled[0].detail == kind and data.draw(st.booleans()):
            group.append(shuffled.pop(0))
        write_together(other, group)
    assert_same(one, other)
    newest = max(
        seen,
        key=lambda a: (a.session_id == seen[0].session_id, a.updated is not None, a.updated or 0, a.detail, a.fetched),
    )
    row = one.sessions().filter(session_id=seen[0].session_id).collect().row(0, named=True)
    assert (row["country"], row["session_start"]) == (newest.row["country"], newest.row["session_start"])


def write_together(lake: pf.Lake, group: list[Seen]) -> None:
    """Write several answers of one kind as one batch; each session once in a batch."""
    from pulseframes.lake import Batch
    from pulseframes.lake.inputs import as_batch

    by_session: dict[int, Seen] = {}
    for answer in group:
        if answer.session_id in by_session:
            lake.write(answer.frames(), fetched_at=answer.at)
        else:
            by_session[answer.session_id] = answer
    batches = [as_batch(answer.frames(), answer.at) for answer in by_session.values()]
    items = None
    if group[0].detail:
        items = {
            name: pl.concat([batch.items[name] for batch in batches if batch.items])
            for name in ("page_views", "errors")
        }
    lake.put(Batch(pl.concat([batch.sessions for batch in batches]), items))
