"""Examples to look at in Raygun: links to slow sessions of each page, and to the last instances of each error."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import polars as pl

from pulseframes._text import printable
from pulseframes.tables.frames import SessionFrames

#: By group, the addresses of its examples.
Links: TypeAlias = dict[Any, list[str]]

#: How many examples a group has.
_MOST: Final = 3
_LONGEST: Final = 2_000
_ADDRESS: Final = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?", re.IGNORECASE)


def slow_sessions(details: SessionFrames) -> Links:
    """Return the sessions with the slowest views of each page template."""
    views = details.page_views.drop_nulls("loading_time_ms").sort(
        "loading_time_ms", descending=True, maintain_order=True
    )
    return _links(views.join(details.sessions.select("session_id", "web_url"), on="session_id"), "page_template")


def last_errors(details: SessionFrames) -> Links:
    """Return the last instances of each group of errors, of different sessions."""
    starts = details.sessions.select("session_id", "session_start")
    last = ["session_start", "session_id", "error_index"]
    return _links(details.errors.join(starts, on="session_id").sort(last, descending=True), "group_id")


def _links(rows: pl.DataFrame, by: str) -> Links:
    first = rows.filter(pl.col("web_url").is_not_null()).unique([by, "session_id"], keep="first", maintain_order=True)
    links: Links = {}
    for group, address in first.select(by, "web_url").iter_rows():
        if is_safe(address) and len(links.setdefault(group, [])) < _MOST:
            links[group].append(address)
    return links


def is_safe(address: str) -> bool:
    """Return whether an address is a web page's, without hidden characters or personal data."""
    return bool(_ADDRESS.fullmatch(address)) and printable(address, _LONGEST) == address
