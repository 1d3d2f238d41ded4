"""The tables. Each column is declared once, here; its name, type and JSON path come from that declaration everywhere."""

from pulseframes.tables.columns import INSTANT, Column, Privacy, Table
from pulseframes.tables.items import ERRORS, PAGE_VIEWS
from pulseframes.tables.lake_tables import DATE, DESIGN, LAKE_ORDER, LAKE_TABLES, LAKE_VERSION, REJECTED, partitioned
from pulseframes.tables.raw_answers import PULSE_V1, RAW_ANSWERS
from pulseframes.tables.sessions import RATINGS, SESSIONS

#: The tables that users receive, by name.
TABLES: dict[str, Table] = {table.name: table for table in (SESSIONS, PAGE_VIEWS, ERRORS)}

#: The tables in the data dictionary: these, and the table of a lake's sample.
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
    "PULSE_V1",
    "RATINGS",
    "RAW_ANSWERS",
    "REJECTED",
    "SESSIONS",
    "TABLES",
    "Column",
    "Privacy",
    "Table",
    "partitioned",
]
