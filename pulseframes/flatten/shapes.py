"""The JSON shapes of the two answers, as Arrow types made from the tables' declared paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import polars as pl
import pyarrow as pa

from pulseframes.endpoints import ENDPOINTS, Endpoint
from pulseframes.tables import ITEM_TABLES, SESSIONS, Table

#: Columns that say where a row came from: which body, and which session in it. They never leave the pipeline.
BODY: Final = "_body"
POSITION: Final = "_position"
LOCATORS: Final = pl.Schema({BODY: pl.Int64(), POSITION: pl.Int64()})

Tree: TypeAlias = dict[str, "Tree | pa.DataType"]
#: The fields that an object, or each object of a list, may have; None where no object is expected.
Names: TypeAlias = "dict[str, Names] | None"


def raw_schema(table: Table) -> pl.Schema:
    """Give a table's schema before its times are parsed: they are text, and the locators are there."""
    columns = {name: pl.String() if isinstance(dtype, pl.Datetime) else dtype for name, dtype in table.schema.items()}
    return pl.Schema({**columns, **LOCATORS})


def _json_type(dtype: pl.DataType) -> pa.DataType:
    match dtype:
        case pl.Int64():
            return pa.int64()
        case pl.Boolean():
            return pa.bool_()
        case pl.String() | pl.Datetime():
            return pa.string()
    raise TypeError(f"no JSON type is declared for {dtype}")


def _tree(table: Table) -> Tree:
    tree: Tree = {}
    for column in table.sourced:
        branch = tree
        for key in column.keys[:-1]:
            child = branch.setdefault(key, {})
            assert isinstance(child, dict)  # noqa: S101  a path that runs through another column's value
            branch = child
        branch[column.keys[-1]] = _json_type(column.dtype)
    return tree


def _struct(tree: Mapping[str, Tree | pa.DataType]) -> pa.StructType:
    return pa.struct([(key, _struct(node) if isinstance(node, dict) else node) for key, node in tree.items()])


def _session_type() -> pa.StructType:
    lists = {table.list_key: pa.list_(_struct(_tree(table))) for table in ITEM_TABLES}
    return _struct({**_tree(SESSIONS), **lists})


def _names(known: pa.DataType | pa.Schema) -> Names:
    if isinstance(known, pa.ListType):
        return _names(known.value_type)
    if isinstance(known, pa.Schema | pa.StructType):
        return {field.name: _names(field.type) for field in known}
    return None


@dataclass(frozen=True)
class Shape:
    """The shape of one kind of answer.

    Attributes
    ----------
    endpoint
        The endpoint that answers so.
    schema
        All fields that are known, as Arrow types.
    known
        The fields again, as nested names: quick to look up, one value at a time.
    """

    endpoint: Endpoint
    schema: pa.Schema
    known: Names


def _schema(endpoint: Endpoint) -> pa.Schema:
    if not endpoint.is_list:
        return pa.schema({endpoint.sessions_key: _session_type()})
    sessions = {endpoint.total_key: pa.int64(), endpoint.sessions_key: pa.list_(_session_type())}
    return pa.schema({**sessions, "links": _LINKS})


_LINKS: Final = pa.struct({"self": pa.string(), "next": pa.string(), "previous": pa.string()})

#: The shape of each endpoint's answers, by the endpoint's name.
SHAPES: Final = {
    name: Shape(endpoint, schema := _schema(endpoint), _names(schema)) for name, endpoint in ENDPOINTS.items()
}
