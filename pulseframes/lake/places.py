"""Which store a lake's path names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pulseframes.lake.store import LocalStore, Store


def open_store(path: str | os.PathLike[str], storage_options: Mapping[str, str] | None = None) -> Store:
    """Give the store."""
    del storage_options
    return LocalStore(Path(path))
