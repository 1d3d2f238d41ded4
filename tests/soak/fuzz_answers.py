"""Throws damaged answers at flattening and assembly: each has to end in frames or in a PulseError, and in nothing else.

``PYTHONPATH=tests python -m soak.fuzz_answers [SECONDS] [SEED]``: 600 seconds by default. Prints how many bodies there were, and how they
ended; on a failure, the bodies, as a program that shows it again.
"""

from __future__ import annotations

import copy
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from support.documents import DETAIL, SUMMARY, detail_body, search_body

import pulseframes as pf
from pulseframes import endpoints
from pulseframes.flatten import flatten_answers
from pulseframes.flatten.assemble import parse_answers
from pulseframes.simulator import Simulator
from pulseframes.tables import REJECTED, TABLES

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

TOKENS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"null",
        b"true",
        b"false",
        b"{}",
        b"[]",
        b'""',
        b" ",
        b"\n",
        b"\x00",
    ),
    *(
        b"0",
        b"-1",
        b"1.5",
        b"1e400",
        b"-0",
        b"NaN",
        b"Infinity",
        b"9223372036854775807",
        b"9223372036854775808",
        b"1e2",
    ),
    *(b'"id"', b'"id":1,', b'"session":', b'"sessions":', b'"totalSessions":', b'"pageViews":[null],', b'"errors":{},'),
    *(b"\\ud800", b"\\u0000", b"\\udc00\\ud800", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8"),
    *(
        b'"9999-12-31T23:59:59.9999999Z"',
        b'"0001-01-01T00:00:00Z"',
        b'"2026-02-30T00:00:00Z"',
        b'"10000-01-01T00:00:00Z"',
    ),
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, float("nan"), float("inf"), 1e300),
    *(
        "",
        "x",
        "\x00",
        "\ud800",
        "☃",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "-5-01-01",
        "2026-13-01T00:00:00Z",
    ),
    *([], {}, [None], [[]], [{}], {"id": None}, {"": ""}, ["x"] * 501, [{}] * 500),
]


def flip(draw: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def cut(draw: random.Random, body: bytes) -> bytes:
    start, end = sorted(draw.randint(0, len(body)) for _ in range(2))
    return draw.choice([body[:end], body[start:], body[:start] + body[end:], body + body[start:end]])


def insert(draw: random.Random, body: bytes) -> bytes:
    for _ in range(draw.randint(1, 4)):
        place = draw.randint(0, len(body))
        body = body[:place] + draw.choice(TOKENS) * draw.choice([1, 1, 1, 2, 500]) + body[place:]
    return body


def nest(draw: random.Random, body: bytes) -> bytes:
    depth, (opening, closing) = draw.choice([5, 600, 2_000, 20_000]), draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
    start = draw.randint(0, len(body))
    end = start if draw.random() < 0.5 else len(body)
    return body[:start] + opening * depth + (b"1" if start == end else body[start:end]) + closing * depth + body[end:]


def number(draw: random.Random, body: bytes) -> bytes:
    places = [place for place in range(len(body)) if body[place : place + 1].isdigit()]
    place = draw.choice(places) if places else 0
    return (
        body[:place] + draw.choice([b"9" * 25, b"-", b"1e", b".", b"0x", b"9" * 5_000, b"e308", b"00"]) + body[place:]
    )


def recode(draw: random.Random, body: bytes) -> bytes:
    return body.decode("utf-8", "replace").encode(
        draw.choice(["utf-16", "utf-16-le", "utf-32", "utf-7", "cp1252"]), "ignore"
    )


def value(draw: random.Random, body: bytes) -> bytes:
    """Put another value somewhere into the document, a key twice, or a list many times."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return insert(draw, body)
    for _ in range(draw.randint(1, 3)):
        here = document
        while isinstance(here, dict | list) and here:
            keys: list[Any] = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = draw.choice(keys)
            if not isinstance(here[key], dict | list) or not here[key] or draw.random() < 0.3:
                here[key] = copy.deepcopy(draw.choice(VALUES))
                break
            here = here[key]
    try:
        text = json.dumps(document, ensure_ascii=draw.random() < 0.5)
    except RecursionError:
        return nest(draw, body)
    if draw.random() < 0.2:
        text = text.replace('"id":', '"id": 7, "id":', draw.randint(1, 3))
    return text.encode("utf-8", "surrogatepass")


CHANGES: list[Callable[[random.Random, bytes], bytes]] = [flip, cut, insert, nest, number, recode, value, value, value]


def sound_bodies() -> dict[bool, list[bytes]]:
    """What is changed: documented and simulated answers, details under True."""
    simulator = Simulator(sessions=60, days=2, now=NOW)
    ids = simulator.summaries()["session_id"].to_list()
    details = [json.dumps(simulator.detail(session_id)).encode() for session_id in ids[:12]]
    rows = [json.loads(body)["session"] for body in details]
    for each in rows:
        each.pop("pageViews")
        each.pop("errors")
    searches = [search_body(), search_body(SUMMARY), search_body(SUMMARY, SUMMARY | {"id": 5}), search_body(*rows)]
    return {False: searches, True: [detail_body(), detail_body(pageViews=DETAIL["pageViews"] * 3), *details]}


def outcome(bodies: list[bytes], *, details: bool) -> str:
    """Flatten and assemble; say how it ended.

    Raises
    ------
    Exception
        Whatever is neither frames nor a PulseError.
    """
    try:
        endpoint = endpoints.DETAIL if details else endpoints.SEARCH
        flat = flatten_answers(bodies, endpoint)
        made = parse_answers(bodies, endpoint)
    except pf.PulseError as problem:
        return type(problem).__name__
    for name, table in TABLES.items():
        assert made.frames[name].schema == table.schema, name
        assert made.frames[name].select(table.key).is_unique().all(), name
    assert made.rejected.schema == REJECTED.schema
    assert made.rejected["reason"].null_count() == made.rejected["raw_json"].null_count() == 0
    assert details or len(flat.totals) == len(bodies)
    json.dumps(made.frames["sessions"].to_dicts(), default=str)
    if not made.rejected.is_empty():
        return "frames, and rejected rows"
    return "frames, with drift" if made.drift else "frames"


def fuzz(*, seconds: float | None = None, count: int | None = None, seed: int) -> Counter[str]:
    """Try so many bodies, or for so long; give how they ended.

    Raises
    ------
    AssertionError
        If one ended in any other way; the message is a program that shows it again.
    """
    draw = random.Random(seed)
    sound = sound_bodies()
    ends: Counter[str] = Counter()
    until = None if seconds is None else time.monotonic() + seconds
    while (count is None or ends.total() < count) and (until is None or time.monotonic() < until):
        details = draw.random() < 0.5
        bodies = [draw.choice(sound[details]) for _ in range(draw.choice([1, 1, 2, 3]))]
        victim = draw.randrange(len(bodies))
        for _ in range(draw.choice([1, 1, 2, 4])):
            bodies[victim] = draw.choice(CHANGES)(draw, bodies[victim]) or b"\x00"
        try:
            ends[outcome(bodies, details=details)] += 1
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                raise
            told = "".join(traceback.format_exception(problem))
            raise AssertionError(
                f"seed {seed}, body {ends.total()}:\n{told}\nfrom soak.fuzz_answers import outcome\n"
                f"outcome({bodies!r}, details={details})"
            ) from None
    return ends


if __name__ == "__main__":
    for_seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    start = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    print(f"{for_seconds:g} seconds, seed {start}", flush=True)  # noqa: T201
    found = fuzz(seconds=for_seconds, seed=start)
    print(f"{found.total()} answers:", ", ".join(f"{count} {end}" for end, count in found.most_common()))  # noqa: T201
