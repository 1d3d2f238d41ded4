"""Shared by the tests of the analysis: a lake with all details, and the truth as plain Python rows."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.tables import SESSIONS
from pulseframes.windows import Window
from support.populations import population

Row = dict[str, Any]

BEGIN = datetime(2026, 10, 20, tzinfo=UTC)
END = datetime(2026, 11, 20, 12, tzinfo=UTC)


def ended() -> pf.SessionFrames:
    """The sessions of the population that have ended: those that a lake's figures include."""
    whole = population()
    over = whole.sessions.filter(pl.col("status").ne_missing("active"))
    items = (frame.join(over, on="session_id", how="semi") for frame in (whole.page_views, whole.errors))
    return pf.SessionFrames(over, *items)


def summaries() -> pl.DataFrame:
    """These sessions as a search returns them."""
    of_details = [column for column in SESSIONS.columns if endpoints.SEARCH not in column.endpoints]
    return ended().sessions.with_columns(pl.lit(None, column.dtype).alias(column.name) for column in of_details)


def lake_of(frames: Any, folder: Path) -> pf.Lake:
    """A lake as a sync would leave it, with frames fetched at the end."""
    lake = pf.Lake(folder)
    lake.write(frames, fetched_at=END)
    with lake.locked() as state:
        state.coverage.add(Window(BEGIN, END), END, timedelta(0))
        lake.save_state()
    return lake


def rows_of(frames: pf.SessionFrames) -> tuple[list[Row], list[Row], list[Row]]:
    """Sessions, page views and errors as dicts; the views and errors have their session as ``session``."""
    sessions = {row["session_id"]: row for row in frames.sessions.to_dicts()}
    views, errors = (
        [row | {"session": sessions[row["session_id"]]} for row in frame.to_dicts()]
        for frame in (frames.page_views, frames.errors)
    )
    return list(sessions.values()), views, errors


def template_of(page: str | None) -> str | None:
    """The template of an address of the simulator's shop."""
    if page is None:
        return None
    path = re.sub(r"/[0-9]+-[a-z-]+", "/{id}-{slug}", urlsplit(page).path)
    return re.sub(r"/[0-9]+", "/{id}", path)


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def quantile(values: Sequence[Any], probability: float) -> Any:
    """The smallest value with at least that share of all values at or below it; nulls are ignored."""
    known = sorted(value for value in values if value is not None)
    return known[math.ceil(probability * len(known)) - 1] if known else None


def figures(found: pl.DataFrame, *keys: str) -> dict[Any, Row]:
    """The rows of a result by their keys."""
    return {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in found.to_dicts()}


def is_exact(found: pl.DataFrame, *names: str) -> bool:
    """Whether each figure is its own interval, and there is no flag."""
    limits = (pl.col(name).eq_missing(pl.col(f"{name}_{end}")) for name in names for end in ("lower", "upper"))
    return bool(found.select(pl.all_horizontal(*limits, pl.col("flag").is_null()).all()).item())
