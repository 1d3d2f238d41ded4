"""Where a row's JSON lies, kept beside the row until its raw JSON is looked up; this needs no pyarrow."""

from __future__ import annotations

from typing import Final

import polars as pl

from pulseframes.tables import REJECTED, Table

#: Columns that locate a row's session: the index of its body, and of the session in that body. They stay inside this package.
BODY_INDEX: Final = "_body_index"
SESSION_INDEX: Final = "_session_index"
LOCATORS: Final = pl.Schema({BODY_INDEX: pl.Int64(), SESSION_INDEX: pl.Int64()})

#: The rejected table before the raw JSON is looked up: the locators say where it is.
LOCATED_REJECTED: Final = pl.Schema(
    {**{name: dtype for name, dtype in REJECTED.schema.items() if name != "raw_json"}, **LOCATORS}
)


def unparsed_schema(table: Table) -> pl.Schema:
    """Return a table's schema before its times are parsed: they are strings, and the rows have locators."""
    columns = {name: pl.String() if isinstance(dtype, pl.Datetime) else dtype for name, dtype in table.schema.items()}
    return pl.Schema({**columns, **LOCATORS})
