"""Where a lake's files are: what a lake needs of a place, and the place that is a folder of this machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from filelock import FileLock, Timeout

from pulseframes._files import write_bytes
from pulseframes.errors import InvalidQuery, LakeError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

#: How long a writer waits for another one, in seconds.
LOCK_SECONDS: Final = 60.0
#: The folder of what is no table: lock, state, and files that are not in their place yet.
OWN_FOLDER: Final = "_pulseframes"
LOCK_FILE: Final = f"{OWN_FOLDER}/lock"


class Store(Protocol):
    """A place for files, named by paths with slashes, relative to the lake."""

    @property
    def location(self) -> str:
        """What a user calls the place: a folder or an address."""

    @property
    def storage_options(self) -> dict[str, str] | None:
        """What polars needs besides the address, to read there."""

    def names(self) -> list[str]:
        """Give the names of the files and folders at the top."""

    def list(self, folder: str) -> list[str]:
        """Give the paths of all files below a folder, sorted; none where there is no such folder."""

    def read(self, path: str) -> bytes | None:
        """Give a file's bytes; None where there is no such file."""

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, whole or not at all, in the place of one that is there."""

    def move(self, source: str, target: str) -> None:
        """Put a file in the place of another, at once; nothing happens where there is no such source."""

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files; one that is not there is no error."""

    def locked(self, wait: float = LOCK_SECONDS) -> AbstractContextManager[None]:
        """Keep other writers out, in this process and others.

        Raises
        ------
        LakeError
            If another one is still writing after ``wait`` seconds.
        """

    def keep_lock(self) -> None:
        """Tell that the holder of the lock is still at work, where a lock runs out by itself."""

    def filesystem(self) -> tuple[FileSystem, str]:
        """Give a file system of pyarrow's and the lake's path in it, to read with."""


class LocalStore:
    """A folder.

    Parameters
    ----------
    folder : Path
        Made when the first file is written.
    """

    storage_options = None

    def __init__(self, folder: Path) -> None:
        try:
            self._folder = folder.expanduser().absolute()
        except RuntimeError:
            raise InvalidQuery(
                f"path: {str(folder)!r} names the home of a user who is not there.", argument="path"
            ) from None

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self._folder)

    def names(self) -> list[str]:
        """Give the names of the files and folders at the top, but for hidden ones."""
        with self._explained():
            if not self._folder.exists():
                return []
            return [path.name for path in self._folder.iterdir() if not path.name.startswith(".")]

    def list(self, folder: str) -> list[str]:
        """Give the paths of all files below a folder, sorted; hidden ones, which are not in their place yet, are left out."""
        found = []
        for parent, _, names in os.walk(self._folder / folder):
            inside = Path(parent).relative_to(self._folder)
            found += [(inside / name).as_posix() for name in names if not name.startswith(".")]
        return sorted(found)

    def read(self, path: str) -> bytes | None:
        """Give a file's bytes; None where there is no such file."""
        with self._explained():
            try:
                return (self._folder / path).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        """Write a file beside its place, to the disk, and move it there."""
        place = self._folder / path
        with self._explained():
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(data, place)

    def move(self, source: str, target: str) -> None:
        """Rename a file, have the disk know it, and leave no empty folder behind."""
        place = self._folder / target
        with self._explained():
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                (self._folder / source).replace(place)
            except FileNotFoundError:
                return
            _sync_folder(place.parent)
            with suppress(OSError):  # others are still in it
                (self._folder / source).parent.rmdir()

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files, and the folders that are empty then."""
        for path in paths:
            place = self._folder / path
            with self._explained():
                place.unlink(missing_ok=True)
            with suppress(OSError):  # the first that is not empty ends it
                for parent in place.relative_to(self._folder).parents[:-1]:
                    (self._folder / parent).rmdir()

    @contextmanager
    def locked(self, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """Lock a file, which the system unlocks when the process ends, however it does."""
        place = self._folder / LOCK_FILE
        lock = FileLock(place, timeout=wait)
        try:
            with self._explained():
                place.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire()
        except Timeout:
            raise LakeError(
                f"The lake {self.location} is being written by another process or thread for over {wait:g} s; try again later."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def keep_lock(self) -> None:
        """Do nothing: this lock lasts as long as its holder."""

    def filesystem(self) -> tuple[FileSystem, str]:
        """Give this machine's file system."""
        from pyarrow.fs import LocalFileSystem

        return LocalFileSystem(), self.location

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what a failure of the file system means, and what to do."""
        try:
            yield
        except Timeout:
            raise
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                what = "cannot be written: the disk is full; make room, and do the same again: it goes on where it was"
            else:
                what = f"cannot be used ({problem.strerror or problem}); check the path and its permissions"
            raise LakeError(f"The lake {self.location} {what}.") from None


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
