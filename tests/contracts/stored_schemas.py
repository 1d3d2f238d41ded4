"""What is stored on users' disks, as plain data: the journal's tables, the lake's columns and its state."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import msgspec

from pulseframes.client.journal import MIGRATIONS
from pulseframes.lake.state import LakeState
from pulseframes.tables import LAKE_TABLES, LAKE_VERSION, partitioned

SNAPSHOT = Path(__file__).parent / "stored_schemas.json"


def stored() -> dict[str, dict[str, Any]]:
    """Return, for journal and lake, the version and what is stored under it."""
    return {
        "journal": {"version": len(MIGRATIONS), "schema": _journal()},
        "lake": {"version": LAKE_VERSION, "schema": {"tables": _tables(), "state": _state()}},
    }


def unversioned(before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """Return what was changed without a higher version: an older pulseframes would misread it."""
    return [
        name
        for name, old in before.items()
        if now[name]["schema"] != old["schema"] and now[name]["version"] <= old["version"]
    ]


def _journal() -> list[str]:
    connection = sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        connection.executescript(migration)
    statements = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()
    connection.close()
    return [" ".join(line.partition("--")[0].strip() for line in sql.splitlines()).strip() for (sql,) in statements]


def _tables() -> dict[str, dict[str, str]]:
    return {
        name: {column: str(dtype) for column, dtype in partitioned(table).items()}
        for name, table in LAKE_TABLES.items()
    }


def _state() -> dict[str, Any]:
    schemas: dict[str, Any] = msgspec.json.schema(LakeState)["$defs"]
    return {
        name: sorted(schema["properties"]) if "properties" in schema else schema.get("prefixItems", schema.get("type"))
        for name, schema in sorted(schemas.items())
    }


def read() -> dict[str, dict[str, Any]]:
    """Return what released versions have stored."""
    snapshot: dict[str, dict[str, Any]] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return snapshot


if __name__ == "__main__":
    if SNAPSHOT.exists() and (changed := unversioned(read(), stored())):
        sys.exit(f"{', '.join(changed)}: what is stored has changed, so its version must go up first.")
    SNAPSHOT.write_text(json.dumps(stored(), indent=1) + "\n", encoding="utf-8")
