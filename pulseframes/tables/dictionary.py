"""The data dictionary: the tables' declarations as plain rows, Markdown or JSON."""

from __future__ import annotations

import json
from typing import Any, Final

import polars as pl

from pulseframes.endpoints import DETAIL
from pulseframes.tables import Column, Table

#: What the dictionary calls each type.
_TYPE_NAMES: Final[dict[type[pl.DataType], str]] = {
    pl.Int64: "Int64",
    pl.Float64: "Float64",
    pl.String: "String",
    pl.Boolean: "Boolean",
    pl.Datetime: "Datetime(us, UTC)",
}


def entries(table: Table) -> list[dict[str, Any]]:
    """Return one entry per column, in the columns' order.

    Parameters
    ----------
    table : Table
        Any of the tables.

    Returns
    -------
    list of dict
        With the keys ``table``, ``column``, ``type``, ``unit``, ``nullable``, ``key``, ``json_path``, ``answers``,
        ``minimum``, ``known_values``, ``privacy`` and ``description``.
    """
    return [_entry(table, column) for column in table.columns]


def as_json(tables: list[Table]) -> str:
    """Return the entries of some tables as one JSON array."""
    return json.dumps([entry for table in tables for entry in entries(table)], indent=2)


def as_markdown(table: Table) -> str:
    """Return the dictionary of a table as a Markdown table."""
    lines = ["| column | type | JSON | null? | in | what it is |", "|---|---|---|---|---|---|"]
    for entry in entries(table):
        name = f"**`{entry['column']}`**" if entry["key"] else f"`{entry['column']}`"
        kind = entry["type"] + (f", {entry['unit']}" if entry["unit"] else "")
        known = f" Known values: {', '.join(entry['known_values'])}." if entry["known_values"] else ""
        null = "yes" if entry["nullable"] else "no"
        cells = [name, kind, _origin(table, entry), null, entry["answers"] or "lake", entry["description"] + known]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _origin(table: Table, entry: dict[str, Any]) -> str:
    if entry["json_path"]:
        return f"`{entry['json_path']}`"
    if entry["column"] == table.index:
        return "(position)"
    return "(session)" if table.endpoints else "(sync)"


def _entry(table: Table, column: Column) -> dict[str, Any]:
    prefix = f"{table.list_key}[]." if table.list_key else ""
    endpoints = (*column.endpoints, DETAIL) if column.length_of else column.endpoints
    return {
        "table": table.name,
        "column": column.name,
        "type": _TYPE_NAMES[type(column.dtype)],
        "unit": column.unit or None,
        "nullable": not column.required,
        "key": column.name in table.key,
        "json_path": prefix + column.path if column.path else None,
        "answers": ", ".join(endpoint.answer for endpoint in endpoints) or None,
        "minimum": column.minimum,
        "known_values": list(column.known_values),
        "privacy": str(column.privacy),
        "description": column.description,
    }
