"""The JSON shape of each endpoint's answers, as Arrow types derived from the tables' declared paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import polars as pl
import pyarrow as pa

from pulseframes.endpoints import ENDPOINTS, Endpoint
from pulseframes.tables import ITEM_TABLES, SESSIONS, Table

_JSON_TYPES: Final = {
    pl.Int64: pa.int64(),
    pl.Boolean: pa.bool_(),
    pl.String: pa.string(),
    pl.Datetime: pa.string(),
}
_PYTHON_TYPES: Final[dict[pa.DataType, Any]] = {
    pa.int64(): Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    pa.bool_(): bool,
    pa.string(): str,
}
_UNDECLARABLE: Final = frozenset('"\\')
_LINKS: Final = pa.struct({"self": pa.string(), "next": pa.string(), "previous": pa.string()})

#: The keys of the outline's columns.
_OUTLINE_KEYS: Final = [SESSIONS[name].path for name in ("session_id", "session_start", "status")]

#: The fields that an object, or each object of a list, may have; None where no object is expected.
Names: TypeAlias = "dict[str, Names] | None"
#: Types by their paths of keys.
Fields: TypeAlias = dict[tuple[str, ...], pa.DataType]


@dataclass(frozen=True)
class Shape:
    """The shape of an endpoint's answers.

    Attributes
    ----------
    endpoint
        The endpoint.
    schema
        All known fields, as Arrow types.
    known
        The same fields as nested names: quick to look up, one value at a time.
    decoder
        Decodes one body, and fails where pyarrow would: it finds the bodies that stop pyarrow.
    """

    endpoint: Endpoint
    schema: pa.Schema
    known: dict[str, Names]
    decoder: msgspec.json.Decoder[Any]


def _shape(endpoint: Endpoint) -> Shape:
    if endpoint.is_list:
        fields = {
            endpoint.total_key: pa.int64(),
            endpoint.sessions_key: pa.list_(_session_type()),
            endpoint.links_key: _LINKS,
        }
    else:
        fields = {endpoint.sessions_key: _session_type()}
    return _shape_of(endpoint, pa.schema(fields), {key: _names(field) for key, field in fields.items()})


def _shape_of(endpoint: Endpoint, schema: pa.Schema, known: dict[str, Names]) -> Shape:
    return Shape(endpoint, schema, known, msgspec.json.Decoder(_python_type(pa.struct(schema))))


def _python_type(known: pa.DataType) -> Any:
    """Return the Python type that decodes what an Arrow type holds, or null."""
    if isinstance(known, pa.StructType):
        names = {f"_{number}": field.name for number, field in enumerate(known)}
        fields = [(name, _python_type(field.type), None) for name, field in zip(names, known, strict=True)]
        return msgspec.defstruct("Fields", fields, rename=names, gc=False) | None
    if isinstance(known, pa.ListType):
        return list[_python_type(known.value_type)] | None  # type: ignore[misc]  # a type made at run time
    return _PYTHON_TYPES[known] | None


def _session_type() -> pa.StructType:
    lists: Fields = {(table.list_key,): pa.list_(_struct(_fields(table))) for table in ITEM_TABLES}
    return _struct({**_fields(SESSIONS), **lists})


def _fields(table: Table) -> Fields:
    return {column.keys: _JSON_TYPES[type(column.dtype)] for column in table.sourced}


def _outline_fields() -> Fields:
    return {(name,): dtype for (name, *rest), dtype in _fields(SESSIONS).items() if name in _OUTLINE_KEYS and not rest}


def _struct(fields: Fields) -> pa.StructType:
    """Nest fields by their keys."""
    groups: dict[str, Fields] = {}
    for (key, *rest), dtype in fields.items():
        groups.setdefault(key, {})[tuple(rest)] = dtype
    return pa.struct([(key, group[()] if () in group else _struct(group)) for key, group in groups.items()])


def _names(known: pa.DataType) -> Names:
    if isinstance(known, pa.ListType):
        return _names(known.value_type)
    if isinstance(known, pa.StructType):
        return {field.name: _names(field.type) for field in known}
    return None


def decoder_of_names(known: dict[str, Names]) -> msgspec.json.Decoder[Any]:
    """Return a decoder that fails for bodies with other fields than the known ones, whatever their values are.

    It fails for names with quotes, backslashes or control characters too, which msgspec cannot declare.
    """
    return msgspec.json.Decoder(_type_of_names(known))


def _type_of_names(known: Names) -> Any:
    if known is None:
        return msgspec.Raw
    declarable = (name for name in known if name.isprintable() and not _UNDECLARABLE.intersection(name))
    names = {f"_{number}": name for number, name in enumerate(declarable)}
    fields = [(name, _type_of_names(known[key]), msgspec.Raw()) for name, key in names.items()]
    struct = msgspec.defstruct("Names", fields, rename=names, gc=False, forbid_unknown_fields=True)
    return struct | list[struct] | None  # type: ignore[valid-type]  # made at run time


#: The shape of each endpoint's answers, by the endpoint's name.
SHAPES: Final = {name: _shape(endpoint) for name, endpoint in ENDPOINTS.items()}

#: The same for the fields of a session that an outline needs, for endpoints that answer with one session.
OUTLINES: Final = {
    name: _shape_of(endpoint, pa.schema({endpoint.sessions_key: _struct(_outline_fields())}), {})
    for name, endpoint in ENDPOINTS.items()
    if not endpoint.is_list
}
