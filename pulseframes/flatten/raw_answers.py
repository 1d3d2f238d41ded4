"""Exported raw answers to tables, batch by batch, for engines that hand out Arrow batches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pulseframes.endpoints import DETAIL, ENDPOINTS, Endpoint
from pulseframes.errors import MalformedAnswer
from pulseframes.flatten.assemble import ParsedAnswers, parse_answers
from pulseframes.flatten.merge import AGE, FROM_DETAIL, newest_sessions
from pulseframes.tables import DATE, INSTANT, LAKE_TABLES, REJECTED, SESSIONS, TABLES, partitioned
from pulseframes.tables.lake_tables import SETTLED_AT, as_settled

if TYPE_CHECKING:
    import pyarrow as pa

#: The number of the call that a row came from; of two rows that are equally new, the one of the later call wins.
CALL: Final = "call_id"
#: The table that an answer which is not the documented JSON is rejected from.
ANSWERS: Final = "answers"

#: The columns of each flattened table.
FLAT: Final[dict[str, dict[str, Any]]] = {
    **{
        name: {**table.schema, AGE: INSTANT, CALL: pl.Int64(), FROM_DETAIL: pl.Boolean()}
        for name, table in TABLES.items()
    },
    REJECTED.name: {**REJECTED.schema, AGE: INSTANT},
}


def flatten_raw(batch: pa.RecordBatch | pa.Table, table: str) -> pl.DataFrame:
    """Flatten and check the raw answers of a batch, and return the rows of one table.

    Parameters
    ----------
    batch : pyarrow.RecordBatch or pyarrow.Table
        Rows that ``export_raw()`` wrote; ``call_id``, ``endpoint``, ``fetched_at``, ``body`` and ``body_bytes`` are used.
    table : {"sessions", "page_views", "errors", "rejected"}
        The table.

    Returns
    -------
    polars.DataFrame
        The columns of the table and ``fetched_at``; those of the first three have also ``call_id`` and whether they are of a detail,
        ``_detail``. A session that several batches have is there several times, for ``merge_raw()``.
    """
    return pl.concat([_flatten(batch, endpoint, table) for endpoint in ENDPOINTS.values()])


def merge_raw(sessions: pl.DataFrame) -> pl.DataFrame:
    """Merge all flattened rows about some sessions, as a lake does, and return one row of a lake for each, with ``date``."""
    rows = sessions.sort(CALL, descending=True)  # of equally new rows, the first wins
    settled = as_settled(rows).sort(SETTLED_AT, maintain_order=True).unique("session_id", keep="first")
    merged = newest_sessions(rows.drop(CALL)).join(settled, on="session_id", how="left")
    schema = partitioned(LAKE_TABLES[SESSIONS.name])
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in merged.columns]
    day = pl.col("session_start").dt.date().alias(DATE)
    return merged.with_columns(missing).with_columns(day).select(schema.names())


def _flatten(batch: pa.RecordBatch | pa.Table, endpoint: Endpoint, table: str) -> pl.DataFrame:
    answers = _Answers.of(batch, endpoint)
    parsed, malformed = answers.parsed(endpoint)
    if table == REJECTED.name:
        rejected = parsed.rejected.with_columns(pl.lit(max(answers.times, default=None), INSTANT).alias(AGE))
        return pl.concat([rejected, pl.DataFrame(malformed, FLAT[table], orient="row")])
    rows = answers.marked(parsed, table).with_columns(pl.lit(endpoint is DETAIL).alias(FROM_DETAIL))
    return rows.select(*FLAT[table])


@dataclass
class _Answers:
    """The answers of one endpoint in a batch, in the order of their calls."""

    bodies: list[bytes]
    times: list[datetime]
    calls: list[int]

    @classmethod
    def of(cls, batch: pa.RecordBatch | pa.Table, endpoint: Endpoint) -> _Answers:
        rows = pl.DataFrame(pl.from_arrow(batch)).filter(endpoint=endpoint.name).sort(CALL)
        body = pl.coalesce(pl.col("body").cast(pl.Binary), "body_bytes")
        times = rows[AGE].dt.convert_time_zone("UTC").to_list()
        return cls(rows.select(body).to_series().to_list(), times, rows[CALL].to_list())

    def parsed(self, endpoint: Endpoint) -> tuple[ParsedAnswers, list[tuple[object, ...]]]:
        """Flatten the answers; take out those that cannot be read, and return their rows among the rejected ones."""
        malformed: list[tuple[object, ...]] = []
        while True:
            try:
                return parse_answers(self.bodies, endpoint), malformed
            except MalformedAnswer as problem:
                index = self.bodies.index(problem.body)
                del self.calls[index]
                body, time = self.bodies.pop(index), self.times.pop(index)
                raw = body.decode(errors="backslashreplace")
                malformed.append((ANSWERS, None, None, str(problem), raw, time))

    def marked(self, parsed: ParsedAnswers, table: str) -> pl.DataFrame:
        """Return the rows of a table with the time and the number of the call that each came from."""
        gathered = {AGE: pl.Series(self.times, dtype=INSTANT), CALL: pl.Series(self.calls, dtype=pl.Int64)}
        marks = [values.gather(parsed.body_indices).alias(name) for name, values in gathered.items()]
        sessions = parsed.frames[SESSIONS.name].with_columns(marks)
        if table == SESSIONS.name:
            return sessions
        of_session = sessions.select("session_id", AGE, CALL)
        return parsed.frames[table].join(of_session, on="session_id", maintain_order="left")
