"""Examples to look at in Raygun: links to slow sessions of each page, and to the last instances of each error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import polars as pl

from pulseframes._text import printable
from pulseframes.analysis.details import Details, map_parts, without_others
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.frames import SessionFrames

#: By group, the addresses of its examples.
Links: TypeAlias = dict[Any, list[str]]

#: How many examples a group has.
_MOST: Final = 3
#: How many of its rows are looked at first.
_LOOKED_AT: Final = 8
_LONGEST: Final = 2_000
_ADDRESS: Final = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?", re.IGNORECASE)


def slow_sessions(sample: Details) -> Links:
    """Return the sessions with the slowest views of each page template."""
    by, order = "page_template", ["loading_time_ms"]

    def slowest(details: SessionFrames) -> pl.DataFrame:
        views = details.page_views.select("session_id", by, *order).drop_nulls(order)
        addresses = details.sessions.select("session_id", "web_url")
        return _first(views.join(addresses, on="session_id", maintain_order="left"), by, order)

    wanted = {SESSIONS.name: {"web_url"}, PAGE_VIEWS.name: {by, *order}}
    return _links(map_parts(sample, slowest, wanted), by, order)


def last_errors(sample: Details) -> Links:
    """Return the last instances of each group of errors, of different sessions."""
    by, order = "group_id", ["session_start", "session_id", "error_index"]

    def last(details: SessionFrames) -> pl.DataFrame:
        errors = details.errors.select("session_id", "error_index", by, "web_url")
        return _first(errors.join(details.sessions.select("session_id", "session_start"), on="session_id"), by, order)

    wanted = {SESSIONS.name: {"session_start"}, ERRORS.name: {"error_index", by, "web_url"}}
    return _links(map_parts(sample, last, wanted), by, order)


def _links(parts: Iterable[pl.DataFrame], by: str, order: list[str]) -> Links:
    """Return each group's first safe addresses, of different sessions, in descending order, from those of each part."""
    links: Links = {}
    for group, address in _first(pl.concat(parts), by, order).select(by, "web_url").iter_rows():
        links.setdefault(group, []).append(address)
    return links


def _first(rows: pl.DataFrame, by: str, order: list[str]) -> pl.DataFrame:
    """Return the first rows of each group that have a safe address, looking at few more addresses than needed."""
    rows, looked_at = rows.drop_nulls("web_url"), _LOOKED_AT
    seen = rows.clear().with_columns(is_safe=pl.lit(value=True))
    while not rows.is_empty():
        is_next = rows.select(pl.col(order[0]) >= pl.col(order[0]).top_k(looked_at).min().over(by)).to_series()
        next_rows = rows.filter(is_next).sort(order, descending=True, maintain_order=True)
        next_rows = next_rows.with_columns(pl.Series("is_safe", map(is_safe, next_rows["web_url"]), dtype=pl.Boolean))
        seen = pl.concat([seen, next_rows]).unique([by, "session_id"], keep="first", maintain_order=True)
        safe = seen.filter("is_safe").group_by(by).len()
        full = safe.filter(pl.col("len") >= _MOST)
        rows = rows.filter(~is_next).join(full, on=by, how="anti", nulls_equal=True, maintain_order="left")
        looked_at *= 4
    found = seen.filter("is_safe").group_by(by, maintain_order=True).head(_MOST).drop("is_safe")
    return without_others(found)


def is_safe(address: str) -> bool:
    """Return whether an address is a web page's, without hidden characters or personal data."""
    return bool(_ADDRESS.fullmatch(address)) and printable(address, _LONGEST) == address
