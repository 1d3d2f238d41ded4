"""The same documents through each tool, as somebody who knows the tool would do it: all columns, three tables, times parsed.

Types, keys and paths come from the declared columns, so that no tool does less than another.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
from measure import Facts, Way

from pulseframes.endpoints import Endpoint
from pulseframes.flatten import parse_answers
from pulseframes.tables import ITEM_TABLES, SESSIONS, Column, Table

#: A JSON object's keys, each with a type's name, an object or a list.
Nested = dict[str, Any]
Frames = dict[str, pl.DataFrame]

_TIME: Final = "%Y-%m-%dT%H:%M:%S%.fZ"
_DUCKDB: Final = {"Int64": "BIGINT", "Boolean": "BOOLEAN", "String": "VARCHAR", "Datetime": "TIMESTAMP"}
_POLARS: Final = {"Int64": pl.Int64(), "Boolean": pl.Boolean(), "String": pl.String(), "Datetime": pl.String()}
#: What one tool alone checks, and the others do not.
CHECKS: Final = "checks types, ranges, times, keys; keeps invalid rows apart with reasons"


def all_tools(bodies: list[bytes], endpoint: Endpoint, file: Path, *, lossy: bool = False) -> dict[str, Way]:
    """Return the ways of all tools to read some responses; `lossy` lets them do what they can with invalid rows."""
    ways = {
        "pulseframes": Way(lambda: parse_answers(bodies, endpoint).frames, facts_of, CHECKS, lossy),
        "polars json_decode": Way(
            lambda: _polars_decoded(bodies, endpoint, lossy=lossy),
            facts_of,
            "stops at a wrong type; turns 1.5 into 1 silently",
            lossy,
        ),
        "polars read_ndjson": Way(
            lambda: _polars_lines(bodies, endpoint, lossy=lossy), facts_of, _null(lossy, "checks types"), lossy
        ),
        "DuckDB": Way(
            lambda: _duckdb(file, endpoint, lossy=lossy), _facts_of_duckdb, _null(lossy, "checks types"), lossy
        ),
        "orjson + pandas": Way(
            lambda: _pandas(bodies, endpoint, lossy=lossy), _facts_of_pandas, _null(lossy, "checks times"), lossy
        ),
        "dlt": Way(
            lambda: _dlt(bodies, endpoint), _facts_of_dlt, "puts values of another type into other columns", lossy
        ),
        "pysimdjson, parse only": Way(lambda: _parse_only(bodies), does="builds no table"),
    }
    if not _has_dlt():
        del ways["dlt"]
    return ways


def _null(lossy: bool, checks: str) -> str:
    return f"{checks}; a wrong one becomes null" if lossy else f"{checks}; stops at the first wrong one"


def _has_dlt() -> bool:
    from importlib.util import find_spec

    return find_spec("dlt") is not None


# What the documents are.


def _columns(table: Table, endpoint: Endpoint) -> list[Column]:
    return [column for column in table.sourced if endpoint in (column.endpoints or table.endpoints)]


def _nested(table: Table, endpoint: Endpoint) -> Nested:
    nested: Nested = {}
    for column in _columns(table, endpoint):
        inner = nested
        for key in column.keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[column.keys[-1]] = type(column.dtype).__name__
    return nested


def _item_tables(endpoint: Endpoint) -> list[Table]:
    return [table for table in ITEM_TABLES if endpoint in table.endpoints]


def _document(endpoint: Endpoint) -> Nested:
    session = _nested(SESSIONS, endpoint) | {
        table.list_key: [_nested(table, endpoint)] for table in _item_tables(endpoint)
    }
    return {endpoint.sessions_key: [session] if endpoint.is_list else session}


def _times(table: Table, endpoint: Endpoint) -> list[Column]:
    return [column for column in _columns(table, endpoint) if isinstance(column.dtype, pl.Datetime)]


# polars


def _polars_type(nested: Any) -> pl.DataType:
    if isinstance(nested, list):
        return pl.List(_polars_type(nested[0]))
    if isinstance(nested, dict):
        return pl.Struct({key: _polars_type(value) for key, value in nested.items()})
    return _POLARS[nested]


def _polars_decoded(bodies: list[bytes], endpoint: Endpoint, *, lossy: bool) -> Frames:
    """Decode each response as a string of a column, which uses all cores."""
    texts = pl.Series("body", bodies, dtype=pl.Binary).cast(pl.String).to_frame().lazy()
    decoded = texts.select(pl.col("body").str.json_decode(_polars_type(_document(endpoint))))
    return _polars_tables(decoded.select(pl.col("body").struct.unnest()).collect().lazy(), endpoint, strict=not lossy)


def _polars_lines(bodies: list[bytes], endpoint: Endpoint, *, lossy: bool) -> Frames:
    schema = {key: _polars_type(value) for key, value in _document(endpoint).items()}
    read = pl.read_ndjson(b"\n".join(bodies), schema=schema, ignore_errors=lossy)
    return _polars_tables(read.lazy(), endpoint, strict=not lossy)


def _polars_tables(read: pl.LazyFrame, endpoint: Endpoint, *, strict: bool = True) -> Frames:
    session = pl.col(endpoint.sessions_key)
    if endpoint.is_list:
        read = read.select(session.explode())
    names = [SESSIONS.name, *(table.name for table in _item_tables(endpoint))]
    queries = [read.select(_polars_columns(SESSIONS, endpoint, session, strict=strict))]
    for table in _item_tables(endpoint):
        items = read.select(
            session.struct.field("id").alias("session_id"), session.struct.field(table.list_key).alias("item")
        )
        items = items.filter(pl.col("item").list.len() > 0)
        items = items.with_columns(pl.int_ranges(pl.col("item").list.len()).alias(table.index))
        items = items.explode("item", table.index)
        queries.append(
            items.select("session_id", table.index, *_polars_columns(table, endpoint, pl.col("item"), strict=strict))
        )
    return dict(zip(names, pl.collect_all(queries), strict=True))


def _polars_columns(table: Table, endpoint: Endpoint, row: pl.Expr, *, strict: bool) -> Iterator[pl.Expr]:
    for column in _columns(table, endpoint):
        value = row
        for key in column.keys:
            value = value.struct.field(key)
        if isinstance(column.dtype, pl.Datetime):
            value = value.str.to_datetime(_TIME, time_unit="us", time_zone="UTC", strict=strict)
        yield value.alias(column.name)


# DuckDB


def _duckdb_type(nested: Any) -> str:
    if isinstance(nested, list):
        return f"{_duckdb_type(nested[0])}[]"
    if isinstance(nested, dict):
        return f"STRUCT({', '.join(f'{key} {_duckdb_type(value)}' for key, value in nested.items())})"
    return _DUCKDB[nested]


def _duckdb(file: Path, endpoint: Endpoint, *, lossy: bool) -> Any:
    """Read the file once into a table of structs, and make the tables from that."""
    import duckdb

    connection = duckdb.connect()
    columns = ", ".join(f"'{key}': '{_duckdb_type(value)}'" for key, value in _document(endpoint).items())
    source = f"read_json('{file}', format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = {lossy})"
    key = endpoint.sessions_key
    rows = (
        f"(select unnest({key}) as session from {source})"
        if endpoint.is_list
        else f"(select {key} as session from {source})"
    )
    connection.execute(f"create table raw as select session.* from {rows}")
    connection.execute(f"create table sessions as select {_duckdb_columns(SESSIONS, endpoint, '')} from raw")
    for table in _item_tables(endpoint):
        connection.execute(
            f"create table {table.name} as select session_id, {table.index}, {_duckdb_columns(table, endpoint, 'item.')} from "
            f"(select id as session_id, unnest({table.list_key}) as item, "
            f"generate_subscripts({table.list_key}, 1) - 1 as {table.index} from raw)"
        )
    return connection


def _duckdb_columns(table: Table, endpoint: Endpoint, prefix: str) -> str:
    return ", ".join(f"{prefix}{'.'.join(column.keys)} as {column.name}" for column in _columns(table, endpoint))


def _facts_of_duckdb(connection: Any) -> Facts:
    names = {row[0] for row in connection.execute("show tables").fetchall()}
    names -= {"raw"}
    frames: Frames = {name: pl.from_arrow(connection.table(name).to_arrow_table()) for name in names}  # type: ignore[misc]  # tables
    connection.close()
    return facts_of(frames)


# pandas


def _pandas(bodies: list[bytes], endpoint: Endpoint, *, lossy: bool) -> dict[str, Any]:
    import orjson
    import pandas as pd

    documents = [orjson.loads(body)[endpoint.sessions_key] for body in bodies]
    sessions = [session for page in documents for session in page] if endpoint.is_list else documents
    frames = {}
    for table in _item_tables(endpoint):
        items = [
            {"session_id": session.get("id"), table.index: index, **item}
            for session in sessions
            for index, item in enumerate(session.pop(table.list_key, None) or ())
        ]
        frames[table.name] = pd.json_normalize(items) if table.name == "errors" else pd.DataFrame(items)
    frames[SESSIONS.name] = pd.json_normalize(sessions)
    for table in (SESSIONS, *_item_tables(endpoint)):
        for column in _times(table, endpoint):
            # "Never" is before pandas' first nanosecond.
            errors = "coerce" if lossy or column.never_is_null else "raise"
            frame, name = frames[table.name], ".".join(column.keys)
            if name in frame:
                frame[name] = pd.to_datetime(frame[name], format="ISO8601", utc=True, errors=errors)
    return frames


def _facts_of_pandas(frames: dict[str, Any]) -> Facts:
    import pandas as pd

    found = {}
    for name, frame in frames.items():
        names = [key for key in _FACT_KEYS if key in frame]
        numbers = frame[names].apply(
            lambda column: column if column.dtype.kind == "M" else pd.to_numeric(column, errors="coerce")
        )
        found[name] = pl.from_pandas(numbers.assign(row=range(len(frame)))).rename(_FACT_KEYS, strict=False)
    return facts_of(found)


#: The fields that the facts need, and their columns.
_FACT_KEYS: Final = {
    "sessionStart": "session_start",
    "sessionLength": "session_length_ms",
    "loadingTime": "loading_time_ms",
    "viewedOn": "viewed_on",
}


# dlt


def _dlt(bodies: list[bytes], endpoint: Endpoint) -> tempfile.TemporaryDirectory[str]:
    """Extract, normalise in a process for each core, and load to Parquet files."""
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
        "NORMALIZE__WORKERS": str(os.cpu_count()),
        "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "10000",
    }
    import dlt
    import orjson

    folder = tempfile.TemporaryDirectory()
    files = dlt.destinations.filesystem(bucket_url=Path(folder.name, "files").as_uri())
    pipeline = dlt.pipeline("benchmark", pipelines_dir=f"{folder.name}/dlt", destination=files, dataset_name="data")

    def pages() -> Iterator[list[Any]]:
        step = 10 if endpoint.is_list else 5_000
        for start in range(0, len(bodies), step):
            documents = [orjson.loads(body)[endpoint.sessions_key] for body in bodies[start : start + step]]
            yield [session for page in documents for session in page] if endpoint.is_list else documents

    pipeline.run(dlt.resource(pages, name="sessions"), loader_file_format="parquet")
    return folder


def _facts_of_dlt(folder: tempfile.TemporaryDirectory[str]) -> Facts:
    tables = {"sessions": SESSIONS.name, "sessions__page_views": "page_views", "sessions__errors": "errors"}
    renamed = {"session_length": "session_length_ms", "loading_time": "loading_time_ms"}
    frames = {}
    for name, table in tables.items():
        if Path(folder.name, "files", "data", name).exists():
            frame = pl.read_parquet(f"{folder.name}/files/data/{name}/*.parquet")
            frames[table] = frame.rename({old: new for old, new in renamed.items() if old in frame.columns})
    folder.cleanup()
    return facts_of(frames)


# The limit


def _parse_only(bodies: list[bytes]) -> int:
    import simdjson

    parser, count = simdjson.Parser(), 0
    for body in bodies:
        document = parser.parse(body)
        count += 1
        del document  # a parser holds one document at a time
    return count


# What must be equal


def facts_of(frames: Frames) -> Facts:
    """Return the facts of some frames."""
    none = pl.DataFrame()
    views = frames.get("page_views", none)
    sessions = frames[SESSIONS.name]
    return Facts(
        sessions=len(sessions),
        page_views=len(views),
        errors=len(frames.get("errors", none)),
        loading_ms=_total(views, "loading_time_ms"),
        length_ms=_total(sessions, "session_length_ms"),
        first_start=_micros(sessions["session_start"].min()),
        last_start=_micros(sessions["session_start"].max()),
        last_view=None if views.is_empty() else _micros(views["viewed_on"].max()),
    )


def _total(frame: pl.DataFrame, name: str) -> int:
    return 0 if frame.is_empty() else int(frame[name].cast(pl.Int64, strict=False).sum())


def _micros(moment: Any) -> int:
    assert isinstance(moment, datetime)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
