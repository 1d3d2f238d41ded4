"""Several files replaced as one: all of them are written aside and listed first, so that a killed writer's work is done or undone.

A reader that has only the files can see one table's new file and another's old one for a moment, but never half a file.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Final

from pulseframes.errors import LakeError
from pulseframes.lake.storage import OWN_FOLDER, Store
from pulseframes.tables import LAKE_TABLES

#: What is to be moved and removed, once all of it is there.
COMMIT_FILE: Final = f"{OWN_FOLDER}/commit.json"
_STAGING: Final = f"{OWN_FOLDER}/staging"
_STAGED: Final = re.compile(rf"{_STAGING}/[0-9a-f]+/[0-9]+")
_PLACED: Final = re.compile(rf"(?:{'|'.join(LAKE_TABLES)})/date=[0-9-]+/[^/]+|{OWN_FOLDER}/[a-z]+\.json")


class Commit:
    """Files that will be put in their places together; only for the holder of the lake's lock.

    Parameters
    ----------
    store : Store
        Where the lake is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = f"{_STAGING}/{secrets.token_hex(8)}"
        self._moves: list[tuple[str, str]] = []
        self._deletes: list[str] = []

    def put(self, path: str, data: bytes) -> None:
        """Write a file aside, to be put at a path."""
        aside = f"{self._folder}/{len(self._moves)}"
        self._store.write(aside, data)
        self._moves.append((aside, path))

    def delete(self, path: str) -> None:
        """Have a file removed."""
        self._deletes.append(path)

    def done(self) -> None:
        """Put all files in their places."""
        if not self._moves and not self._deletes:
            return
        self._store.keep_lock()
        if len(self._moves) == 1 and not self._deletes:  # one move is all or nothing by itself
            self._store.move(*self._moves[0])
            return
        self._store.write(COMMIT_FILE, json.dumps({"moves": self._moves, "deletes": self._deletes}).encode())
        _carry_out(self._store, self._moves, self._deletes)


def recover(store: Store) -> None:
    """Finish what a killed writer had listed, and remove what it had not; only for the holder of the lake's lock."""
    listed = store.read(COMMIT_FILE)
    if listed is not None:
        _carry_out(store, *_checked(listed, store.location))
    left_over = store.list(_STAGING)
    if left_over:
        store.delete(left_over)


def _checked(listed: bytes, location: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Read a list of what is to be done; it may do nothing outside the lake's tables and state."""
    try:
        told = json.loads(listed)
        moves = [(str(source), str(target)) for source, target in told["moves"]]
        deletes = [str(path) for path in told["deletes"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        moves, deletes = [("", "")], []
    aside = all(_STAGED.fullmatch(source) for source, _ in moves)
    if aside and all(_PLACED.fullmatch(path) for path in [*(target for _, target in moves), *deletes]):
        return moves, deletes
    raise LakeError(
        f"The lake {location} has a damaged {COMMIT_FILE}, the list of what a killed writer was doing. Remove that file: some "
        "days may then be older than others, and what is missing is put back by `pulseframes replay` and Lake.write()."
    )


def _carry_out(store: Store, moves: list[tuple[str, str]], deletes: list[str]) -> None:
    for source, target in moves:
        store.move(source, target)
    store.delete(deletes)
    store.delete([COMMIT_FILE])
