"""Turns the bodies of answers into checked frames: flattened, deduplicated, validated, the rest rejected with a reason."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, Final

import polars as pl

from pulseframes.endpoints import Endpoint
from pulseframes.errors import MalformedAnswer
from pulseframes.flatten import raw_json
from pulseframes.flatten.fallback import FallbackReader
from pulseframes.flatten.locators import BODY_INDEX, LOCATED_REJECTED, LOCATORS, SESSION_INDEX, unparsed_schema
from pulseframes.flatten.times import parse_times
from pulseframes.tables import ITEM_TABLES, REJECTED, SESSIONS, TABLES, Table
from pulseframes.tables.validation import check, new_values

#: The API lists at most this many items; a list of exactly this many was probably truncated.
LONGEST_LIST: Final = 500

#: In bytes: a thread of its own is not worth its while for less, and more at once takes memory for nothing.
_LEAST_PART: Final = 2 << 20
_LARGEST_PART: Final = 64 << 20


@dataclass(frozen=True)
class FlatAnswers:
    """The rows of some answers of one endpoint, before they are checked against each other.

    Attributes
    ----------
    frames : dict of str to polars.DataFrame
        For each table, its declared columns and the locators.
    rejected : polars.DataFrame
        Rows with a value that their column cannot hold: the columns of ``LOCATED_REJECTED``.
    totals : list of int
        For search answers: the total of each body, in order. Empty for details.
    unknown_fields : frozenset of str
        The paths of undeclared fields, which are in no frame.
    """

    frames: dict[str, pl.DataFrame]
    rejected: pl.DataFrame
    totals: list[int]
    unknown_fields: frozenset[str]


@dataclass(frozen=True)
class ParsedAnswers:
    """The checked rows of some answers of one endpoint.

    Attributes
    ----------
    frames : dict of str to polars.DataFrame
        For each table, the valid rows: the declared columns, sorted.
    body_indices : polars.Series
        For each row of ``sessions``, the index of its body among those given.
    rejected : polars.DataFrame
        The other rows: the rejected table.
    drift : list of str
        Unknown fields and values.
    truncated : list of (str, int)
        Lists that the API probably truncated, by table and session id.
    """

    frames: dict[str, pl.DataFrame]
    body_indices: pl.Series
    rejected: pl.DataFrame
    drift: list[str]
    truncated: list[tuple[str, int]]


def parse_answers(bodies: Sequence[bytes], endpoint: Endpoint, *, limit: int | None = None) -> ParsedAnswers:
    """Parse the answers of one query into checked frames, with each session once: its newest row.

    Parameters
    ----------
    bodies : sequence of bytes
        The answers, in the order of their requests.
    endpoint : Endpoint
        The endpoint that answered.
    limit : int or None
        Keep at most this many sessions, the first of the server's list; for a server that returns more than requested.

    Raises
    ------
    MalformedAnswer
        If a body is not the documented JSON; its ``body`` is that one.
    """
    flat = flatten_answers(bodies, endpoint)
    newest = _newest(flat.frames, limit)
    valid, invalid = check({name: newest[name].sort(_order(table)) for name, table in TABLES.items()})
    rejected = pl.concat([flat.rejected, *(_as_rejected(invalid[name], table) for name, table in TABLES.items())])
    frames = {name: valid[name].select(table.schema.names()) for name, table in TABLES.items()}
    return ParsedAnswers(
        frames=frames,
        body_indices=valid[SESSIONS.name][BODY_INDEX],
        rejected=with_raw_json(rejected, bodies, endpoint),
        drift=[*sorted(flat.unknown_fields), *new_values(frames)],
        truncated=_truncated_lists(flat),
    )


def flatten_answers(bodies: Sequence[bytes], endpoint: Endpoint) -> FlatAnswers:
    """Flatten the answers of one endpoint, with all cores; parameters and exceptions as for ``parse_answers()``."""
    starts_and_parts = [(start, bodies[start:end]) for start, end in _parts(bodies)]
    if len(starts_and_parts) == 1:
        return _flatten(bodies, endpoint, 0)
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return _together(list(pool.map(lambda part: _flatten(part[1], endpoint, part[0]), starts_and_parts)))


def _together(flat: Sequence[FlatAnswers]) -> FlatAnswers:
    return FlatAnswers(
        frames={name: pl.concat([each.frames[name] for each in flat]) for name in TABLES},
        rejected=pl.concat([each.rejected for each in flat]),
        totals=[total for each in flat for total in each.totals],
        unknown_fields=frozenset().union(*(each.unknown_fields for each in flat)),
    )


def _parts(bodies: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return where to cut bodies into parts of about equal size: start and end of each."""
    ends = list(accumulate(map(len, bodies)))
    total = ends[-1] if ends else 0
    number = max(min(pl.thread_pool_size(), total // _LEAST_PART), -(-total // _LARGEST_PART), 1)
    cuts = {bisect_left(ends, total * part / number) for part in range(1, number)}
    edges = sorted({0, len(bodies)} | cuts) if bodies else [0, 0]
    return list(pairwise(edges))


def _flatten(bodies: Sequence[bytes], endpoint: Endpoint, first: int) -> FlatAnswers:
    """Flatten some answers, the first of which has this index."""
    from pulseframes.flatten.arrow import read_bodies  # pyarrow takes as long to import as polars
    from pulseframes.flatten.shapes import SHAPES

    shape = SHAPES[endpoint.name]
    arrow, fallback = read_bodies(bodies, shape), FallbackReader(shape)
    apart_totals, apart = _flatten_apart(bodies, arrow.unread, endpoint)
    for index in arrow.unread:
        if index not in apart_totals:
            fallback.read(bodies[index], index)
    rejected = [pl.DataFrame(fallback.rejected, schema=LOCATED_REJECTED, orient="row")]
    frames = {}
    for name, table in TABLES.items():
        rows = arrow.frames[name]
        if fallback.rows[name]:
            rows = pl.concat([rows, pl.DataFrame(fallback.rows[name], schema=unparsed_schema(table), orient="row")])
        frames[name], failed = parse_times(rows, table)
        rejected.append(_as_rejected(failed, table))
    totals = arrow.totals | fallback.totals | apart_totals
    unknown = frozenset(arrow.unknown | fallback.unknown)
    whole = FlatAnswers(frames, pl.concat(rejected), [totals[index] for index in sorted(totals)], unknown)
    flat = whole if apart is None else _together([whole, apart])
    return _relocated(flat, pl.col(BODY_INDEX) + first) if first else flat


def _flatten_apart(
    bodies: Sequence[bytes], unread: Sequence[int], endpoint: Endpoint
) -> tuple[dict[int, int], FlatAnswers | None]:
    """Flatten lists of which a session is unreadable as if each session had come alone, so that the others are read at once.

    Returns the totals of these lists by index, and their rows; other bodies are left to the fallback reader.
    """
    totals, places, pieces = {}, [], []
    for index in unread:
        total, sessions = (endpoint.is_list and raw_json.session_bodies(bodies[index], endpoint)) or (0, [])
        if len(sessions) > 1:
            totals[index] = total
            places += [(index, number) for number in range(len(sessions))]
            pieces += [_page_of_one(session, endpoint) for session in sessions]
    if not pieces:
        return {}, None
    try:
        flat = _flatten(pieces, endpoint, 0)
    except MalformedAnswer:
        return {}, None  # whose body would be a piece
    body_indices, session_indices = (pl.Series(values, dtype=pl.Int64) for values in zip(*places, strict=True))
    piece = pl.col(BODY_INDEX)
    columns = [
        pl.lit(body_indices).gather(piece).alias(BODY_INDEX),
        pl.lit(session_indices).gather(piece).alias(SESSION_INDEX),
    ]
    return totals, replace(_relocated(flat, *columns), totals=[])


def _page_of_one(session: bytes, endpoint: Endpoint) -> bytes:
    return b'{"%b": 1, "%b": [%b]}' % (endpoint.total_key.encode(), endpoint.sessions_key.encode(), session)


def _relocated(flat: FlatAnswers, *locators: pl.Expr) -> FlatAnswers:
    frames = {name: frame.with_columns(locators) for name, frame in flat.frames.items()}
    return replace(flat, frames=frames, rejected=flat.rejected.with_columns(locators))


def with_raw_json(rejected: pl.DataFrame, bodies: Sequence[bytes], endpoint: Endpoint) -> pl.DataFrame:
    """Replace the locators of rejected rows by the raw JSON that they point to: the rejected table, in the same order."""

    @cache
    def sessions_of(body_index: int) -> list[str]:
        body = bodies[body_index]
        if not endpoint.is_list:
            return [raw_json.member(raw_json.text_of(body), endpoint.sessions_key)]
        quick = raw_json.session_bodies(body, endpoint)
        if quick is None:
            return raw_json.session_texts(raw_json.text_of(body), endpoint)
        return [raw_json.text_of(session) for session in quick[1]]

    @cache
    def list_of(body_index: int, session_index: int, list_key: str) -> tuple[str, list[str]]:
        text = raw_json.member(sessions_of(body_index)[session_index], list_key)
        return text, raw_json.item_texts(text) if text[0] == "[" else []

    def text_of(row: dict[str, Any]) -> str:
        list_key = next((table.list_key for table in ITEM_TABLES if table.name == row["table"]), "")
        if not list_key:
            session_index: int = row[SESSION_INDEX]
            return sessions_of(row[BODY_INDEX])[session_index]
        text, items = list_of(row[BODY_INDEX], row[SESSION_INDEX], list_key)
        return text if row["item_index"] is None else items[row["item_index"]]

    raw = [text_of(row).encode("utf-8", "backslashreplace").decode() for row in rejected.iter_rows(named=True)]
    return rejected.with_columns(pl.Series("raw_json", raw, dtype=pl.String)).select(REJECTED.schema.names())


def _as_rejected(failed: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return a table's failed rows, which have a ``reason`` and locators, with the columns of ``LOCATED_REJECTED``."""
    if failed.is_empty():
        return pl.DataFrame(schema=LOCATED_REJECTED)
    index = pl.col(table.index) if table.index else pl.lit(None)
    return failed.with_columns(table=pl.lit(table.name), item_index=index).select(
        pl.col(name).cast(dtype) for name, dtype in LOCATED_REJECTED.items()
    )


def _newest(frames: dict[str, pl.DataFrame], limit: int | None) -> dict[str, pl.DataFrame]:
    """Keep the rows of each session's newest answer."""
    sessions = frames[SESSIONS.name]
    if limit is None and sessions["session_id"].drop_nulls().is_unique().all():
        return frames
    distinct = _distinct(sessions, limit)
    superseded = sessions.join(distinct, on=LOCATORS.names(), how="anti").select(LOCATORS.names())
    return {
        name: distinct if name == SESSIONS.name else frame.join(superseded, on=LOCATORS.names(), how="anti")
        for name, frame in frames.items()
    }


def _distinct(sessions: pl.DataFrame, limit: int | None) -> pl.DataFrame:
    """Keep the newest row of each session, and all rows without an id, which will be rejected with a reason."""
    newest_first = sessions.sort("session_updated", BODY_INDEX, descending=True, nulls_last=True, maintain_order=True)
    without_id = newest_first.filter(pl.col("session_id").is_null())
    distinct = newest_first.drop_nulls("session_id").unique("session_id", keep="first", maintain_order=True)
    if limit is not None:
        distinct = distinct.sort(LOCATORS.names()).head(limit)
    return pl.concat([distinct, without_id])


def _order(table: Table) -> list[str]:
    return ["session_start", "session_id"] if table is SESSIONS else list(table.key)


def _truncated_lists(flat: FlatAnswers) -> list[tuple[str, int]]:
    """Return the table and the session of each list whose last item, valid or not, is the longest list's last."""
    truncated = []
    for table in ITEM_TABLES:
        if (
            not flat.frames[table.name].select((pl.col(table.index) >= LONGEST_LIST - 1).any()).item()
            and flat.rejected.is_empty()
        ):
            continue
        valid = flat.frames[table.name].select("session_id", index=table.index)
        invalid = flat.rejected.filter(table=table.name).select("session_id", index="item_index")
        late = pl.concat([valid, invalid]).filter(pl.col("index") >= LONGEST_LIST - 1)
        last = late.group_by("session_id").agg(pl.col("index").max()).filter(index=LONGEST_LIST - 1)
        truncated += [(table.name, session_id) for session_id in last["session_id"].drop_nulls().sort()]
    return truncated
