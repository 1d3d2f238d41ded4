"""Examples to look at in Raygun: links to slow sessions of each page, and to the last instances of each error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import polars as pl

from pulseframes._text import printable
from pulseframes.analysis.details import Details, parts_of
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS

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
    wanted = {SESSIONS.name: {"web_url"}, PAGE_VIEWS.name: {"page_template", "loading_time_ms"}}
    views = (
        details.page_views.select("session_id", "page_template", "loading_time_ms")
        .drop_nulls("loading_time_ms")
        .join(details.sessions.select("session_id", "web_url"), on="session_id", maintain_order="left")
        for details in parts_of(sample, wanted)
    )
    return _links(views, "page_template", ["loading_time_ms"])


def last_errors(sample: Details) -> Links:
    """Return the last instances of each group of errors, of different sessions."""
    order = ["session_start", "session_id", "error_index"]
    wanted = {SESSIONS.name: {"session_start"}, ERRORS.name: {"error_index", "group_id", "web_url"}}
    errors = (
        details.errors.select("session_id", "error_index", "group_id", "web_url").join(
            details.sessions.select("session_id", "session_start"), on="session_id"
        )
        for details in parts_of(sample, wanted)
    )
    return _links(errors, "group_id", order)


def _links(parts: Iterable[pl.DataFrame], by: str, order: list[str]) -> Links:
    """Return each group's first safe addresses, of different sessions, in descending order."""
    first = _first(pl.concat([_first(rows, by, order) for rows in parts]), by, order)
    links: Links = {}
    for group, address in first.select(by, "web_url").iter_rows():
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
    return seen.filter("is_safe").group_by(by, maintain_order=True).head(_MOST).drop("is_safe")


def is_safe(address: str) -> bool:
    """Return whether an address is a web page's, without hidden characters or personal data."""
    return bool(_ADDRESS.fullmatch(address)) and printable(address, _LONGEST) == address
