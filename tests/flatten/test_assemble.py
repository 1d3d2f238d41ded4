"""All answers of a query as one result."""

from __future__ import annotations

from typing import Any

from support.documents import SUMMARY, search_body

from pulseframes import endpoints
from pulseframes.flatten.assemble import parse_answers


def numbered(*ids: int, **changes: Any) -> list[dict[str, Any]]:
    return [SUMMARY | {"id": number} | changes for number in ids]


def test_of_a_session_received_twice_the_newest_row_is_kept() -> None:
    old = search_body(*numbered(*range(500)))
    new = search_body(*numbered(499, sessionUpdated="2026-01-01T00:00:00Z", sessionLength=7), *numbered(500))
    for bodies in ([old, new], [new, old]):
        sessions = parse_answers(bodies, endpoints.SEARCH).frames["sessions"]
        assert len(sessions) == 501
        assert sessions.filter(session_id=499)["session_length_ms"].to_list() == [7]


def test_sessions_beyond_the_limit_are_dropped() -> None:
    result = parse_answers([search_body(*numbered(3, 1, 2))], endpoints.SEARCH, limit=2)
    assert sorted(result.frames["sessions"]["session_id"]) == [1, 3]
