"""Columns and tables: each column is declared once, in one line, and all that depends on it is derived from that line."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final

import polars as pl

from pulseframes.endpoints import Endpoint

#: The type of every time in every table: an instant in UTC, to the microsecond.
INSTANT: Final = pl.Datetime("us", "UTC")

#: The path of a column whose values are not in the row's JSON object.
NO_PATH: Final = ""


class Privacy(StrEnum):
    """How much a column reveals about a person."""

    NONE = "none"
    #: Distinguishes users without revealing who they are.
    IDENTIFIER = "identifier"
    #: Reveals who somebody is: names, e-mail and IP addresses.
    PERSONAL = "personal"
    #: Free text or a page address, which may contain anything the site puts there.
    CONTENT = "content"


@dataclass(frozen=True)
class Column:
    """One column: where its values come from and which values are valid.

    Attributes
    ----------
    name
        The column's name in snake_case, with its unit.
    path
        The keys that lead to the value from the JSON object of the row, joined by dots; ``NO_PATH`` if the value is
        not in that object.
    description
        One sentence for the data dictionary.
    dtype
        The polars type. Times are strings in the JSON.
    unit
        The unit of a number.
    required
        Whether null is invalid.
    minimum
        The smallest valid number.
    known_values
        The documented values. Other values are kept, with a warning.
    never_is_null
        Whether ``0001-01-01T00:00:00Z``, which .NET writes for "never", is read as null.
    length_of
        The key of a list in the session whose length is the value where an answer has the list but not the value.
    privacy
        How much the column reveals about a person.
    endpoints
        The endpoints whose answers have the value; by default, those of the table.
    """

    name: str
    path: str
    description: str
    _: KW_ONLY
    dtype: pl.DataType
    unit: str = ""
    required: bool = False
    minimum: int | None = None
    known_values: tuple[str, ...] = ()
    never_is_null: bool = False
    length_of: str = ""
    privacy: Privacy = Privacy.NONE
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The path as separate keys."""
        return tuple(self.path.split(".")) if self.path else ()


text: Final = partial(Column, dtype=pl.String())
integer: Final = partial(Column, dtype=pl.Int64())
number: Final = partial(Column, dtype=pl.Float64())
boolean: Final = partial(Column, dtype=pl.Boolean())
instant: Final = partial(Column, dtype=INSTANT)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: its key and its columns, in order.

    Attributes
    ----------
    name
        The table's name.
    description
        One sentence for the data dictionary: what a row represents.
    key
        The columns that identify a row; their values are required.
    columns
        The columns.
    endpoints
        The endpoints whose answers contain the rows; none for a table that pulseframes computes.
    list_key
        If the rows are the items of a list in a session: the key of the list in the JSON.
    index
        If so, the column that holds the position of the item in the list.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    endpoints: tuple[Endpoint, ...] = ()
    list_key: str = ""
    index: str = ""

    def __post_init__(self) -> None:
        columns = (replace(column, endpoints=column.endpoints or self.endpoints) for column in self.columns)
        object.__setattr__(self, "columns", tuple(columns))

    @property
    def schema(self) -> pl.Schema:
        """Column names and polars types."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def sourced(self) -> tuple[Column, ...]:
        """The columns whose values are in the row's own JSON object."""
        return tuple(column for column in self.columns if column.path)

    def empty(self) -> pl.DataFrame:
        """Return a frame with every column and no rows."""
        return pl.DataFrame(schema=self.schema)

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)
