"""What a column and a table are; the three tables are declared with these in the modules beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from pulseframes.endpoints import DETAIL, SEARCH, Endpoint

#: Every time in every table: an instant in UTC, to the microsecond.
INSTANT = pl.Datetime("us", "UTC")


class Privacy(StrEnum):
    """How closely a column speaks of a person."""

    NONE = "none"
    #: Tells one user from another, without saying who they are.
    IDENTIFIER = "identifier"
    #: Says who somebody is: names, e-mail and network addresses.
    PERSONAL = "personal"
    #: Free text or an address of a page, which may hold anything a site puts there.
    CONTENT = "content"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: where its values come from and what they may be.

    Attributes
    ----------
    name
        The column's name, snake_case, with its unit.
    path
        The keys that lead to the value, from the JSON object that is one row of the table; joined by dots.
        Empty where the value is not in that object: a position in a list, or the parent's id.
    dtype
        The polars type. Times are text in the JSON.
    description
        One sentence for the data dictionary.
    unit
        The unit of a number.
    required
        True where null is an error.
    minimum
        The smallest number allowed.
    known_values
        The values that the documentation lists. Another one is kept, with a warning.
    never_is_null
        True where ``0001-01-01T00:00:00Z``, which .NET writes for "never", is read as null.
    privacy
        How closely the column speaks of a person.
    endpoints
        The endpoints whose answers hold the value; it is null in frames made from others.
    """

    name: str
    path: str
    dtype: pl.DataType
    description: str
    unit: str = ""
    required: bool = False
    minimum: int | None = None
    known_values: tuple[str, ...] = ()
    never_is_null: bool = False
    privacy: Privacy = Privacy.NONE
    endpoints: tuple[Endpoint, ...] = (SEARCH, DETAIL)

    @property
    def keys(self) -> tuple[str, ...]:
        """The path as keys."""
        return tuple(self.path.split(".")) if self.path else ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: its key and its columns, in their order.

    Attributes
    ----------
    name
        The table's name.
    description
        One sentence for the data dictionary: what a row is.
    key
        The columns that tell one row from another; their values are required.
    columns
        The columns.
    list_key
        For a table whose rows are items of a list in a session: the list's key in the JSON. Empty for sessions.
    index
        For such a table: the column that holds the item's position in the list.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    list_key: str = ""
    index: str = ""

    @property
    def schema(self) -> pl.Schema:
        """Column names and polars types."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def sourced(self) -> tuple[Column, ...]:
        """The columns whose values stand in the row's own JSON object."""
        return tuple(column for column in self.columns if column.path)

    def empty(self) -> pl.DataFrame:
        """No rows, every column."""
        return pl.DataFrame(schema=self.schema)

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)
