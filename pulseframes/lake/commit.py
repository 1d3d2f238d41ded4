"""Several files replaced as one: all of them are written aside and listed first, so that a killed writer's work is done or undone.

A reader that has only the files can see one table's new file and another's old one for a moment, but never half a file.
"""

from __future__ import annotations

import json
import secrets
from typing import Final

from pulseframes.lake.store import OWN_FOLDER, Store

#: What is to be moved and removed, once all of it is there.
COMMIT_FILE: Final = f"{OWN_FOLDER}/commit.json"
_STAGING: Final = f"{OWN_FOLDER}/staging"


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
        told = json.loads(listed)
        _carry_out(store, [(source, target) for source, target in told["moves"]], told["deletes"])
    left_over = store.list(_STAGING)
    if left_over:
        store.delete(left_over)


def _carry_out(store: Store, moves: list[tuple[str, str]], deletes: list[str]) -> None:
    for source, target in moves:
        store.move(source, target)
    store.delete(deletes)
    store.delete([COMMIT_FILE])
