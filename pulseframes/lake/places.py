"""Where a lake is, by what the user calls the place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pulseframes.errors import InvalidQuery
from pulseframes.lake.storage import LocalStore, Store

#: What begins the address of a bucket or container: what both polars and obstore know.
SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")
_KNOWN: Final = (
    "A lake is in a folder (or file:///folder), or in s3://bucket/folder, gs://bucket/folder, az://container/folder"
)


def open_store(path: str | os.PathLike[str], storage_options: Mapping[str, str] | None = None) -> Store:
    """Give the place that a path or an address names; nothing is read or made.

    Parameters
    ----------
    path : str or path-like
        A folder, or an address such as ``s3://bucket/folder``.
    storage_options : mapping of str to str, optional
        What polars takes under this name, for an address.

    Raises
    ------
    InvalidQuery
        If it is neither.
    LakeError
        If the place needs a package that is not installed.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidQuery(f"path: {type(path).__name__} is no path of a folder, or address.", argument="path")
    text = os.fspath(path)
    if not text:
        raise InvalidQuery(f"{_KNOWN}; this names none.", argument="path")
    # One letter is a drive of Windows; a path object is a path whatever is in it.
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", text) if isinstance(path, str) else None
    if scheme is not None and scheme[1].lower() in SCHEMES:
        from pulseframes.lake.remote_storage import ObjectStore

        return ObjectStore(text, storage_options)
    if scheme is not None and scheme[1].lower() != "file":
        raise InvalidQuery(f"{_KNOWN}; {scheme[1]}:// is not known.", argument="path")
    if storage_options:
        raise InvalidQuery(
            "storage_options are for a lake in a bucket; a folder needs none.", argument="storage_options"
        )
    return LocalStore(Path(text) if scheme is None else _folder_of(text))


def _folder_of(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.strip("/"):
        raise InvalidQuery(f"{_KNOWN}; {url!r} names no folder of this machine.", argument="path")
    return Path(url2pathname(parts.path))
