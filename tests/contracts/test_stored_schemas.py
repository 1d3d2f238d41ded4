"""What is stored on users' disks changes with its version only."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import stored_schemas


def test_what_is_stored_changes_with_its_version_only() -> None:
    assert stored_schemas.unversioned(stored_schemas.read(), stored_schemas.stored()) == []
    assert stored_schemas.read() == stored_schemas.stored(), "run `make contracts`, now that the version went up"


@pytest.mark.parametrize("name", ["journal", "lake"])
def test_a_stored_schema_that_changed_under_its_old_version_is_reported(name: str) -> None:
    stored = stored_schemas.stored()
    changed: dict[str, Any] = stored | {name: stored[name] | {"schema": "another"}}
    assert stored_schemas.unversioned(stored, changed) == [name]
    changed[name] = changed[name] | {"version": changed[name]["version"] + 1}
    assert stored_schemas.unversioned(stored, changed) == []
