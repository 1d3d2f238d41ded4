"""All answers of one run, from raw bodies to checked frames: flattened, deduplicated, validated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from pulseframes.endpoints import Endpoint
from pulseframes.flatten.bodies import as_rejected, flatten_answers, with_raw_json
from pulseframes.flatten.shapes import BODY, LOCATORS
from pulseframes.tables import ITEM_TABLES, SESSIONS, TABLES, Table
from pulseframes.tables.validation import check, new_values

#: A list of exactly this many items has probably been cut by the server.
CUT_LENGTH: Final = 500


@dataclass(frozen=True)
class ParsedAnswers:
    """What a run's answers hold.

    Attributes
    ----------
    frames : dict of str to polars.DataFrame
        For each table, the valid rows: the declared columns, sorted.
    answers : polars.Series
        For each row of ``sessions``, the position of its body among those given.
    rejected : polars.DataFrame
        The other rows, as the rejected table.
    drift : list of str
        Fields and values that are not known.
    cut : list of str
        Lists that look cut, each described in a sentence.
    """

    frames: dict[str, pl.DataFrame]
    answers: pl.Series
    rejected: pl.DataFrame
    drift: list[str]
    cut: list[str]


def parse_answers(bodies: Sequence[bytes], endpoint: Endpoint, *, limit: int | None = None) -> ParsedAnswers:
    """Make the answers of one run into checked frames.

    Parameters
    ----------
    bodies : sequence of bytes
        The answers, all of one kind, in the order they were asked for.
    details : bool
        Whether they are detail answers.
    limit : int or None
        Keep so many sessions at most, the first of the server's list: for a server that gives more than it is asked.

    Raises
    ------
    MalformedAnswer
        If a body is not the documented JSON.
    """
    flat = flatten_answers(bodies, endpoint)
    sessions = _distinct(flat.frames[SESSIONS.name], limit)
    older = flat.frames[SESSIONS.name].join(sessions, on=LOCATORS.names(), how="anti").select(LOCATORS.names())
    frames_of_newest = {
        name: sessions if name == SESSIONS.name else frame.join(older, on=LOCATORS.names(), how="anti")
        for name, frame in flat.frames.items()
    }
    valid, invalid = check(frames_of_newest)
    rejected = pl.concat([flat.rejected, *(as_rejected(invalid[name], table) for name, table in TABLES.items())])
    ordered = {name: valid[name].sort(_order(table)) for name, table in TABLES.items()}
    frames = {name: ordered[name].select(table.schema.names()) for name, table in TABLES.items()}
    return ParsedAnswers(
        frames=frames,
        answers=ordered[SESSIONS.name][BODY],
        rejected=with_raw_json(rejected, bodies, endpoint),
        drift=[*sorted(flat.unknown_fields), *new_values(frames)],
        cut=_cut_lists(flat.frames, flat.rejected),
    )


def _distinct(sessions: pl.DataFrame, limit: int | None) -> pl.DataFrame:
    """Keep the newest row of each session; rows without an id are kept, to be rejected with a reason."""
    newest_first = sessions.sort("session_updated", BODY, descending=True, nulls_last=True, maintain_order=True)
    without_id = newest_first.filter(pl.col("session_id").is_null())
    distinct = newest_first.drop_nulls("session_id").unique("session_id", keep="first", maintain_order=True)
    if limit is not None:
        distinct = distinct.sort(LOCATORS.names()).head(limit)
    return pl.concat([distinct, without_id])


def _order(table: Table) -> list[str]:
    return ["session_start", "session_id"] if table is SESSIONS else list(table.key)


def _cut_lists(frames: dict[str, pl.DataFrame], rejected: pl.DataFrame) -> list[str]:
    """Describe the lists whose last item is number 500, be it a good one or not."""
    found = []
    for table in ITEM_TABLES:
        good = frames[table.name].select("session_id", table.index)
        bad = rejected.filter(table=table.name).select("session_id", pl.col("item_index").alias(table.index))
        late = pl.concat([good, bad]).filter(pl.col(table.index) >= CUT_LENGTH - 1)
        last = late.group_by("session_id").agg(pl.col(table.index).max()).filter(pl.col(table.index) == CUT_LENGTH - 1)
        ids = last["session_id"].sort()
        found += [f"Session {session_id} came with exactly {CUT_LENGTH} {table.name}" for session_id in ids]
    return found
