"""How cassettes are recorded and replayed: as JSON, which holds data and nothing that runs, and scrubbed.

The server that is recorded is the simulator; the addresses on the cassettes are made to look like the API's own, so that
a request which is not on a cassette has nowhere to go.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import vcr

from pulseframes.client.settings import DEFAULT_BASE_URL
from pulseframes.tables import SESSIONS, Privacy

CASSETTES = Path(__file__).parent.parent.parent / "cassettes"

SCRUBBED = "scrubbed"
KEPT_HEADERS = {"content-type", "retry-after", "allow"}
PERSONAL = [column for column in SESSIONS.columns if column.privacy is Privacy.PERSONAL]


def scrub_request(request: Any) -> Any:
    """Leave the question alone: its headers hold secrets, its address this machine's port."""
    request.headers = {}
    parts = urlsplit(request.uri)
    path = parts.path.removeprefix(urlsplit(DEFAULT_BASE_URL).path)
    request.uri = DEFAULT_BASE_URL + path + (f"?{parts.query}" if parts.query else "")
    return request


def scrub_response(response: Any) -> Any:
    """Take keys, people and this machine's address out of an answer."""
    response["headers"] = {
        name: value for name, value in sorted(response["headers"].items()) if name.lower() in KEPT_HEADERS
    }
    document = json.loads(response["body"]["string"])
    if "sessionKey" in document:
        document["sessionKey"] = SCRUBBED
    for session in [*document.get("sessions", []), *([document["session"]] if "session" in document else [])]:
        _scrub_session(session)
    response["body"]["string"] = json.dumps(_with_public_links(document)).encode()
    return response


def _scrub_session(session: dict[str, Any]) -> None:
    for column in PERSONAL:
        *keys, last = column.keys
        holder: Any = session
        for key in keys:
            holder = (holder or {}).get(key)
        if holder and holder.get(last) is not None:
            holder[last] = SCRUBBED


def _with_public_links(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_public_links(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_with_public_links(child) for child in value]
    if isinstance(value, str) and value.startswith("http://127.0.0.1"):
        return DEFAULT_BASE_URL + value.partition(urlsplit(DEFAULT_BASE_URL).path)[2]
    return value


tape = vcr.VCR(
    cassette_library_dir=str(CASSETTES),
    serializer="json",
    record_mode="none",
    match_on=["method", "path", "query"],
    decode_compressed_response=True,
    before_record_request=scrub_request,
    before_record_response=scrub_response,
)
