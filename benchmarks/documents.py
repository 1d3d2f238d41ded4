"""Makes the responses that the tools read: a simulated shop's, and the same with broken rows, unknown fields or one very long session."""

from __future__ import annotations

import json
import pickle
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from pulseframes.simulator import Simulator

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
#: Inputs that take long to make; ``make clean`` removes them.
KEPT: Final = Path(__file__).parents[1] / "build" / "benchmarks"

Document = dict[str, Any]


def details(count: int) -> list[bytes]:
    """Return the detail responses of a shop's sessions."""

    def make() -> list[bytes]:
        simulator = Simulator(sessions=count, now=NOW)
        return [_encoded(simulator.detail(session_id)) for session_id in simulator.summaries()["session_id"]]

    return kept(f"details-{count}", make)


def summaries(count: int) -> list[bytes]:
    """Return the search responses, of 500 sessions each, that list a shop's sessions."""

    def make() -> list[bytes]:
        simulator = Simulator(sessions=count, now=NOW, daily_limit=None)
        basic = b64encode(f"{simulator.client_id}:{simulator.client_secret}".encode()).decode()
        login = {"X-ApiKey": simulator.api_key, "Authorization": f"Basic {basic}"}
        base = "/api/v1/pulse"
        key = simulator.handle("GET", f"{base}/authenticate", headers=login).json()["sessionKey"]
        window = {"dateFrom": simulator.begin.isoformat(), "dateTo": NOW.isoformat(), "limit": 500}
        return [
            simulator.handle("GET", f"{base}/sessions", {**window, "skip": skip}, {"X-SessionKey": key}).body
            for skip in range(0, count, 500)
        ]

    return kept(f"summaries-{count}", make)


def broken(bodies: list[bytes], share: float) -> list[bytes]:
    """Break one value in a share of the details, evenly spread, in one of six ways in turn."""
    every, ways = round(1 / share), cycle(_BREAKS)
    return [_changed(body, next(ways)) if number % every == 0 else body for number, body in enumerate(bodies)]


def broken_lists(pages: list[bytes], share: float) -> list[bytes]:
    """Do the same to a share of the sessions in search responses."""
    every, ways, changed = round(1 / share), cycle(_BREAKS), []
    for page in pages:
        document = json.loads(page)
        for session in document["sessions"][::every]:
            next(ways)(session)
        changed.append(_encoded(document))
    return changed


def drifting(bodies: list[bytes]) -> list[bytes]:
    """Add two unknown fields to each of the details."""
    return [_changed(body, _drift) for body in bodies]


def long_session(views: int) -> list[bytes]:
    """Return one detail response with very many page views."""
    sessions = (json.loads(body)["session"] for body in details(20_000))
    session = next(session for session in sessions if session.get("pageViews") and session.get("sessionLength"))
    session["pageViews"] = [
        {
            "page": f"https://shop.example/p/{number % 5_000}",
            "loadingTime": 200 + number % 3_000,
            "viewingTime": 1_000 + number % 60_000,
            "viewedOn": f"2026-11-19T{number // 3_600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.{number % 1_000:03}Z",
        }
        for number in range(views)
    ]
    return [_encoded({"session": session})]


def kept(name: str, make: Callable[[], list[bytes]]) -> list[bytes]:
    """Return what an earlier run made, or make it."""
    path = KEPT / f"{name}.pickle"
    if path.exists():
        read: list[bytes] = pickle.loads(path.read_bytes())
        return read
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(made))
    return made


def megabytes(bodies: list[bytes]) -> str:
    return f"{sum(map(len, bodies)) / 1e6:.0f} MB"


def _encoded(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _changed(body: bytes, change: Callable[[Document], None]) -> bytes:
    document = json.loads(body)
    change(document["session"])
    return _encoded(document)


def _set(name: str, value: object) -> Callable[[Document], None]:
    def change(session: Document) -> None:
        session[name] = value

    return change


def _set_in_a_view(name: str, value: object) -> Callable[[Document], None]:
    def change(session: Document) -> None:
        if session.get("pageViews"):
            session["pageViews"][-1][name] = value
        else:
            session["sessionLength"] = value

    return change


def _drift(session: Document) -> None:
    session["deviceMemory"] = {"gigabytes": 8}
    for view in session.get("pageViews") or []:
        view["largestContentfulPaint"] = 1_200


#: Types, ranges, times and ids that are wrong: each rejects one row and no other.
_BREAKS: Final = (
    _set("sessionLength", "long"),
    _set_in_a_view("loadingTime", 1.5),
    _set("sessionStart", "yesterday"),
    _set_in_a_view("viewingTime", -5),
    _set("id", None),
    _set("sessionLength", 2**63),
)


def batches(count: int, size: int = 50_000) -> Iterator[list[bytes]]:
    """Yield the search responses of a site with many sessions a day, a day or less at a time, with other ids on each day."""
    import re
    from datetime import timedelta

    template = summaries(min(count, size))
    for number in range(0, count, size):
        day = (NOW - timedelta(days=number // size)).date().isoformat().encode()
        shift = number // size * 1_000_003

        def renumbered(found: re.Match[bytes], shift: int = shift) -> bytes:
            return b'{"id":%d,"sessionStart"' % ((int(found[1]) + shift) & (2**62 - 1))

        part = [re.sub(rb'\{"id": ?(\d+), ?"sessionStart"', renumbered, body) for body in template]
        yield [re.sub(rb'("session(?:Start|Updated|End)": ?")\d{4}-\d\d-\d\d', rb"\g<1>" + day, body) for body in part]
