"""Lakes for reports, created without a server: complete, sampled, hostile; and a parser of reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import polars as pl

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.fetch.draw import SampleDraw
from pulseframes.simulator import Simulator
from pulseframes.tables import SESSIONS
from pulseframes.windows import LOOK_BACK, Window

#: The week of the lakes, and a time long after it.
WEEK = Window(datetime(2026, 11, 9, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC))
LATER = datetime(2026, 11, 20, 12, tzinfo=UTC)

#: Texts that must never run or become markup.
SCRIPT = "<script>document.title = 'owned'</script>"
IMAGE = '<img src=x onerror="document.title = 1">'
ENTITY = "&lt;b&gt; & \"quotes\" 'and' </text></svg><script>document.title = 'owned'</script>"
REVERSED = "invoice\u202egpj.exe\u0000\u001b[31m"
#: Characters that XML cannot hold, or that control a terminal or the direction of writing.
UNPRINTABLE = "\u0000\u0007\b\u001b\u007f\u009b\u200b\u202e\u2066\ue000\ufdd0\ufeff\ufffe\uffff\U0001fffe\U000e0041"
LONG = "A title without an end " * 500
PERSONAL = "User jane.doe@example.com from 203.0.113.7 was not found"


def truth(sessions: int = 400) -> pf.SessionFrames:
    """Return all details of a week's simulated sessions; about a quarter of the sessions are in that week."""
    whole = Simulator(sessions=sessions, now=LATER).truth(*WEEK)
    return pf.SessionFrames(whole["sessions"], whole["page_views"], whole["errors"])


def summaries(frames: pf.SessionFrames) -> pl.DataFrame:
    """Return the summaries that a search would return."""
    unknown = [
        pl.lit(None, column.dtype).alias(column.name)
        for column in SESSIONS.columns
        if endpoints.SEARCH not in column.endpoints
    ]
    return frames.sessions.with_columns(unknown)


def lake_of(place: Path, frames: pf.SessionFrames | None, *, details: bool = True) -> pf.Lake:
    """Create a lake that covers the week and has all details, or none."""
    lake = pf.Lake(place)
    empty = summaries(truth(8)).clear()
    lake.write(empty if frames is None else summaries(frames), fetched_at=LATER)
    if frames is not None and details:
        lake.write(frames, fetched_at=LATER)
    with lake.locked() as state:
        state.coverage.add(WEEK, LATER, LOOK_BACK)
        lake.save_state()
    return lake


def drawn_lake(place: Path, frames: pf.SessionFrames, calls: int, *, lost: int = 0) -> pf.Lake:
    """Create a lake with the details that a sync would download in that many calls, some of them without an answer."""
    lake = lake_of(place, frames, details=False)
    with lake.locked():
        begun = SampleDraw(lake, pf.Design("pageviews"), WEEK)
        ids = begun.pending()[:calls]
        begun.begin(ids)
        lake.write(part_of(frames, ids[lost:]), fetched_at=LATER)
        if lost:
            lake.mark_failed(ids[:lost], LATER + timedelta(seconds=1))
        SampleDraw(lake, pf.Design("pageviews"), WEEK).record(ids[:lost])
    return lake


def part_of(frames: pf.SessionFrames, ids: list[int]) -> pf.SessionFrames:
    """Return the details of some sessions."""
    return changed(frames, lambda frame: frame.filter(pl.col("session_id").is_in(ids)))


def changed(frames: pf.SessionFrames, change: Callable[[pl.DataFrame], pl.DataFrame]) -> pf.SessionFrames:
    """Return the frames, each with the same change."""
    return pf.SessionFrames(*(change(frame) for frame in frames.tables().values()))


def hostile(frames: pf.SessionFrames) -> pf.SessionFrames:
    """Return the same sessions with texts that would mislead or be markup if they were not escaped."""
    titles = pl.Series([SCRIPT, IMAGE, ENTITY, REVERSED, LONG, PERSONAL, UNPRINTABLE])
    number = pl.int_range(pl.len())
    ids = frames.sessions["session_id"]
    rows = pl.DataFrame({"session_id": ids}).with_columns(
        pl.lit(0, pl.Int64).alias("error_index"), (number % len(titles)).cast(pl.Int64).alias("group_id")
    )
    rows = rows.with_columns(title=pl.lit(titles).gather(pl.col("group_id")))
    errors = pl.concat([frames.errors.clear(), rows], how="diagonal")
    sessions = frames.sessions.with_columns(
        browser_name=pl.lit(pl.Series([IMAGE, "Chrome", SCRIPT, UNPRINTABLE])).gather(number % 4),
        country=pl.lit(pl.Series(["NZ", "<b>", None, UNPRINTABLE])).gather(number % 4),
        satisfaction_rating=pl.lit(pl.Series(["Poor", "Good", SCRIPT, "Average"])).gather(number % 4),
    )
    page = pl.lit(
        pl.Series(
            [f"https://shop.example/{SCRIPT}", f"/\u202ekcab/{UNPRINTABLE}", "/ok?user=jane.doe@example.com", None]
        )
    )
    return pf.SessionFrames(sessions, frames.page_views.with_columns(page=page.gather(number % 4)), errors)


class Page(HTMLParser):
    """A parsed page: its tags, texts and tables."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.tables: dict[str, list[list[list[str]]]] = {}
        self._open: list[str] = []
        self._caption = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        elif tag in {"td", "th"}:
            self.tables[self._caption][-1].append([])

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.texts.append(data)
        if "caption" in self._open:
            self._caption += data
        elif {"td", "th"} & {*self._open}:
            self.tables[self._caption][-1][-1].append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def column(self, caption: str, name: str) -> list[list[str]]:
        header, *rows = self.tables[caption]
        place = [cell[0] for cell in header].index(name)
        return [row[place] for row in rows]
