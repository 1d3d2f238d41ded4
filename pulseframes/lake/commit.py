"""Several files replaced as one: all are staged and listed first, so that a killed writer's work is finished or undone.

A reader that has only the files can see one table's new file and another's old one for a moment, but never half a file.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Final

import msgspec

from pulseframes.errors import LakeError
from pulseframes.lake.lease import OWN_FOLDER
from pulseframes.lake.storage import Store
from pulseframes.tables import LAKE_TABLES

#: The moves and deletes of a commit, once all files are staged.
COMMIT_FILE: Final = f"{OWN_FOLDER}/commit.json"
_STAGING: Final = f"{OWN_FOLDER}/staging"
_STAGED: Final = re.compile(rf"{_STAGING}/[0-9a-f]+/[0-9]+")
_PLACED: Final = re.compile(
    rf"(?:{'|'.join(LAKE_TABLES)})/date=[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}/data\.parquet|{OWN_FOLDER}/lake\.json"
)
#: What a killed writer leaves beside staged files and state: the temporary files of ``write_whole()``.
_HALF_WRITTEN: Final = re.compile(rf"{OWN_FOLDER}/(?:staging/[0-9a-f]+/)?\.\w+\.part")


class _Changes(msgspec.Struct):
    """The changes of a commit; a stored list may reach nothing but the lake's tables and state."""

    moves: list[tuple[str, str]]
    deletes: list[str]

    def __post_init__(self) -> None:
        targets = [*(target for _, target in self.moves), *self.deletes]
        if not all(_STAGED.fullmatch(source) for source, _ in self.moves) or not all(map(_PLACED.fullmatch, targets)):
            raise ValueError("a path outside the lake")


class Commit:
    """Files to be replaced together; only for the holder of the lake's lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.folder = f"{_STAGING}/{secrets.token_hex(8)}"
        self._changes = _Changes([], [])

    def put(self, path: str, data: bytes) -> None:
        """Stage a file."""
        self._store.check_own(path)
        staged = f"{self.folder}/{len(self._changes.moves)}"
        self._store.write(staged, data)
        self._changes.moves.append((staged, path))

    def adopt(self, staged: str, path: str) -> None:
        """Take over a file that is already in the staging folder."""
        self._store.check_own(path)
        self._changes.moves.append((staged, path))

    def delete(self, path: str) -> None:
        """Stage the removal of a file."""
        self._store.check_own(path)
        self._changes.deletes.append(path)

    def done(self) -> None:
        """Move all files to their places."""
        moves, deletes = self._changes.moves, self._changes.deletes
        if not moves and not deletes:
            return
        self._store.keep_lock()
        if len(moves) == 1 and not deletes:  # a single move is atomic by itself
            self._store.move(*moves[0])
            return
        self._store.write(COMMIT_FILE, msgspec.json.encode(self._changes))
        _carry_out(self._store, self._changes)


def recover(store: Store) -> None:
    """Finish the commit that a killed writer had listed, and delete files it had only staged; only for the lock's holder."""
    data = store.read(COMMIT_FILE)
    if data is not None:
        try:
            changes = msgspec.json.decode(data, type=_Changes)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise LakeError(
                f"The lake {store.location} has a damaged {COMMIT_FILE}, the list of a killed writer's changes. Delete that file. "
                "Some days may then be older than others; `pulseframes replay --lake LAKE` puts back what is missing."
            ) from None
        _carry_out(store, changes)
    store.delete(leftovers(store.list(OWN_FOLDER)))


def leftovers(paths: Iterable[str]) -> list[str]:
    """Return those of some paths at which a killed writer leaves files."""
    return [path for path in paths if _STAGED.fullmatch(path) or _HALF_WRITTEN.fullmatch(path)]


def _carry_out(store: Store, changes: _Changes) -> None:
    for source, target in changes.moves:
        store.move(source, target)
    store.delete(changes.deletes)
    store.delete([COMMIT_FILE])
