"""The tables, each column declared once; everything that needs a column's name, type or path asks here."""

from pulseframes.tables.columns import INSTANT, Column, Privacy, Table
from pulseframes.tables.design import DESIGN
from pulseframes.tables.errors import ERRORS
from pulseframes.tables.lake_tables import DATE, LAKE_ORDER, LAKE_TABLES, LAKE_VERSION, partitioned
from pulseframes.tables.page_views import PAGE_VIEWS
from pulseframes.tables.rejected import REJECTED
from pulseframes.tables.sessions import SESSIONS

#: The tables that a user gets, by name.
TABLES: dict[str, Table] = {table.name: table for table in (SESSIONS, PAGE_VIEWS, ERRORS)}

#: What the data dictionary has: these, and the table that a lake's sample is in.
DICTIONARY: dict[str, Table] = {**TABLES, DESIGN.name: DESIGN}

#: The tables whose rows are items of a list in a session.
ITEM_TABLES: tuple[Table, ...] = (PAGE_VIEWS, ERRORS)

__all__ = [
    "DATE",
    "DESIGN",
    "DICTIONARY",
    "ERRORS",
    "INSTANT",
    "ITEM_TABLES",
    "LAKE_ORDER",
    "LAKE_TABLES",
    "LAKE_VERSION",
    "PAGE_VIEWS",
    "REJECTED",
    "SESSIONS",
    "TABLES",
    "Column",
    "Privacy",
    "Table",
    "partitioned",
]
