"""A lake's storage: what a lake needs of it, the storage in a local folder, and which storage a path or address names."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout

from pulseframes._files import write_bytes
from pulseframes.errors import InvalidQuery, LakeError
from pulseframes.lake.lease import LOCK_FILE, LOCK_SECONDS

#: The schemes of addresses that both polars and obstore know.
_SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")
_VALID: Final = (
    "A lake is in a folder (or file:///folder), or in s3://bucket/folder, gs://bucket/folder or az://container/folder"
)

#: The folders between a lake's folder and its deepest files, which are staged ones.
_DEEPEST: Final = 3


class Store(Protocol):
    """Storage of files by paths with slashes, relative to the lake."""

    @property
    def location(self) -> str:
        """The folder or address, as a user names it."""

    @property
    def storage_options(self) -> dict[str, str] | None:
        """What polars needs to read there, apart from the address."""

    def names(self) -> list[str]:
        """Return the names of the files and folders at the top."""

    def list(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, sorted; none if there is no such folder."""

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None if there is no such file."""

    def versions(self, folder: str) -> dict[str, str]:
        """Return the paths of all files below a folder, each with a text that changes with its content."""

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """Return a file's bytes and the text that ``versions()`` has for them, or None if there is no such file."""

    def check_own(self, path: str) -> None:
        """Refuse to change a file that is not the lake's own, such as one behind a link.

        Raises
        ------
        LakeError
            If it is not.
        """

    def write(self, path: str, data: bytes) -> None:
        """Write or replace a file, whole or not at all."""

    def move(self, source: str, target: str) -> None:
        """Replace a file by another at once; do nothing if there is no such source."""

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files; a missing one is ignored."""

    def locked(self, wait: float = LOCK_SECONDS) -> AbstractContextManager[None]:
        """Keep other writers out, in this process and others.

        Raises
        ------
        LakeError
            If another one is still writing after ``wait`` seconds.
        """

    def keep_lock(self) -> None:
        """Renew the lock, if it expires by itself."""


def open_store(path: str | os.PathLike[str], storage_options: Mapping[str, str] | None = None) -> Store:
    """Return the storage that a path or an address names. Nothing is read or created.

    Parameters
    ----------
    path : str or path-like
        A folder, or an address such as ``s3://bucket/folder``.
    storage_options : mapping of str to str, optional
        For an address: options as polars takes them.

    Raises
    ------
    InvalidQuery
        If it is neither.
    LakeError
        If an address needs obstore, which is not installed.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidQuery(f"path must be a folder or an address, not {type(path).__name__}.", argument="path")
    text = os.fspath(path)
    if not text:
        raise InvalidQuery(f"path is empty. {_VALID}.", argument="path")
    # One letter is a drive of Windows; a path object is a path whatever is in it.
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", text) if isinstance(path, str) else None
    if scheme is not None and scheme[1].lower() in _SCHEMES:
        return _open_bucket(text, storage_options)
    if "\0" in text:
        raise InvalidQuery("path holds a NUL character, which no file's name can have.", argument="path")
    if scheme is not None and scheme[1].lower() != "file":
        raise InvalidQuery(f"path: unknown scheme {scheme[1]}://. {_VALID}.", argument="path")
    if storage_options:
        raise InvalidQuery(
            "storage_options: only a lake in a bucket takes them. Omit them.", argument="storage_options"
        )
    return LocalStore(Path(text) if scheme is None else _folder_of(text))


def _open_bucket(url: str, storage_options: Mapping[str, str] | None) -> Store:
    try:
        from pulseframes.lake.remote_storage import ObjectStore
    except ModuleNotFoundError as problem:
        if problem.name is None or problem.name.partition(".")[0] != "obstore":
            raise
        raise LakeError("A lake or file in a bucket needs obstore: pip install 'pulseframes[cloud]'") from None
    return ObjectStore(url, storage_options)


def _folder_of(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.strip("/"):
        raise InvalidQuery(f"path: {url!r} is not a folder of this machine. {_VALID}.", argument="path")
    return Path(url2pathname(parts.path))


class LocalStore:
    """A folder."""

    storage_options = None

    def __init__(self, folder: Path) -> None:
        try:
            self._folder = folder.expanduser().absolute()
        except RuntimeError:
            raise InvalidQuery(
                f"path: {str(folder)!r} is in the home of a user who does not exist. Write the whole path.",
                argument="path",
            ) from None

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self._folder)

    def names(self) -> list[str]:
        """Return the names of the files and folders at the top, except hidden ones."""
        with self._explained():
            try:
                return [path.name for path in self._folder.iterdir() if not path.name.startswith(".")]
            except FileNotFoundError:
                self._check_leads_somewhere(self._folder)
                return []

    def list(self, folder: str) -> list[str]:
        """Return the paths of the files at most three folders below a folder, sorted; those behind links too."""
        with self._explained():
            return sorted(self._files_below(folder, _DEEPEST))

    def _files_below(self, folder: str, levels: int) -> Iterator[str]:
        place = self._folder / folder
        try:
            entries = [*os.scandir(place)]
        except FileNotFoundError:
            self._check_leads_somewhere(place)
            return
        for entry in entries:
            path = f"{folder}/{entry.name}".removeprefix("/")
            is_lost = entry.is_symlink() and not entry.name.startswith(".") and not Path(entry).exists()
            if not entry.is_dir() and not is_lost:
                yield path
            elif levels:
                yield from self._files_below(path, levels - 1)

    def _check_leads_somewhere(self, place: Path) -> None:
        if place.is_symlink():
            raise LakeError(f"{place} is a link that leads nowhere. Restore what it leads to.") from None

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None if there is no such file."""
        with self._explained():
            try:
                return (self._folder / path).read_bytes()
            except FileNotFoundError:
                return None

    def versions(self, folder: str) -> dict[str, str]:
        """Return the paths of the files below a folder, each with a digest: two contents can have one size and one time."""
        read = ((path, self.read_version(path)) for path in self.list(folder))
        return {path: found[1] for path, found in read if found is not None}

    def read_version(self, path: str) -> tuple[bytes, str] | None:
        """Return a file's bytes and their digest, or None if there is no such file."""
        data = self.read(path)
        return None if data is None else (data, hashlib.sha256(data).hexdigest())

    def check_own(self, path: str) -> None:
        """Refuse a file that is a link, or behind one: what links lead to may be anybody's."""
        if Path(os.path.realpath(self._folder / path)) != Path(os.path.realpath(self._folder), path):
            raise LakeError(
                f"{self._folder / path} is a link, or behind one, and pulseframes changes nothing behind links. Replace the link with the "
                "file or folder that it leads to."
            )

    def write(self, path: str, data: bytes) -> None:
        """Write a file beside its place, to the disk, and move it there."""
        self.check_own(path)
        place = self._folder / path
        with self._explained():
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(data, place)

    def move(self, source: str, target: str) -> None:
        """Rename a file, sync the folder to the disk, and leave no empty folder behind."""
        self.check_own(source)
        self.check_own(target)
        staged, place = self._folder / source, self._folder / target
        with self._explained():
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                staged.replace(place)
            except FileNotFoundError:
                return
            _sync_folder(place.parent)
            with suppress(OSError):  # other files are still in it
                staged.parent.rmdir()

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files, and the folders that are empty then."""
        for path in paths:
            self.check_own(path)
            place = self._folder / path
            with self._explained():
                place.unlink(missing_ok=True)
            with suppress(OSError):  # the first folder that is not empty ends it
                for parent in place.relative_to(self._folder).parents[:-1]:
                    (self._folder / parent).rmdir()

    @contextmanager
    def locked(self, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """Lock a file, which the system unlocks when the process ends, however it ends."""
        self.check_own(LOCK_FILE)
        place = self._folder / LOCK_FILE
        lock = FileLock(place, timeout=wait)
        try:
            with self._explained():
                place.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire()
        except Timeout:
            raise LakeError(
                f"Another process or thread has been writing to the lake {self.location} for over {wait:g} s. Try again later."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def keep_lock(self) -> None:
        """Do nothing: this lock lasts as long as its holder."""

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Timeout:
            raise
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                advice = "the disk is full. Free some space and run it again: it resumes where it stopped"
            else:
                advice = f"{problem.strerror or problem}. Check the path and its permissions"
            raise LakeError(f"Cannot use the lake {self.location}: {advice}.") from None


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
