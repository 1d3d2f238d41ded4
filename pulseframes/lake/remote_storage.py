"""A lake in a bucket of S3, Google Cloud Storage or Azure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pulseframes.errors import LakeError
from pulseframes.lake.lease import Lease
from pulseframes.lake.storage import LOCK_FILE, LOCK_SECONDS

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


class ObjectStore:
    """A folder of a bucket.

    Nothing is sent before the first file is read or written.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/folder``, ``gs://bucket/folder`` or ``az://container/folder``.
    storage_options : mapping of str to str, optional
        What polars takes under this name, such as ``aws_region``. What is not in it, the environment may say
        (``AWS_REGION``).
    clock, sleep : callable
        What tells the time, and what waits; for tests.

    Raises
    ------
    LakeError
        If obstore is not installed.
    InvalidQuery
        If the address holds a password, or an option is none of the service's.
    """

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            from pulseframes.lake.objects import Objects
        except ModuleNotFoundError as problem:
            if problem.name is None or problem.name.partition(".")[0] != "obstore":
                raise
            raise LakeError("A lake in a bucket needs obstore: pip install 'pulseframes[cloud]'") from None
        self._options = dict(storage_options or {})
        self._objects = Objects(url, self._options)
        self._lease = Lease(self._objects, LOCK_FILE, clock=clock, sleep=sleep)
        self._one_thread = threading.Lock()

    def __repr__(self) -> str:
        return f"ObjectStore({self.location!r})"

    @property
    def location(self) -> str:
        """The address, without a slash at its end."""
        return self._objects.location

    @property
    def storage_options(self) -> dict[str, str] | None:
        """What polars needs besides the address; None where the environment says it."""
        return dict(self._options) or None

    def names(self) -> list[str]:
        """Give the names of the files and folders at the top."""
        return sorted({path.partition("/")[0] for path in self._objects.list("")})

    def list(self, folder: str) -> list[str]:
        """Give the paths of all files below a folder, sorted."""
        return sorted(self._objects.list(folder))

    def read(self, path: str) -> bytes | None:
        """Give a file's bytes; None where there is no such file."""
        found = self._objects.get(path)
        return None if found is None else found.data

    def write(self, path: str, data: bytes) -> None:
        """Put a file there; a server shows it when it has all of it."""
        self._objects.put(path, data)

    def move(self, source: str, target: str) -> None:
        """Have the server copy a file, then remove the first one: no server knows how to rename."""
        if self._objects.copy(source, target):
            self._objects.delete([source])

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files; one that is not there is no error."""
        self._objects.delete(paths)

    @contextmanager
    def locked(self, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold a lease, which runs out after 15 minutes unless ``keep_lock()`` is called now and then."""
        started = time.monotonic()
        if not self._one_thread.acquire(timeout=wait):
            raise LakeError(
                f"The lake {self.location} is being written by another thread for over {wait:g} s; try again later."
            )
        try:
            self._lease.acquire(max(0.0, wait - (time.monotonic() - started)))
            try:
                yield
            finally:
                with suppress(LakeError):  # what was written is written; the lease runs out by itself
                    self._lease.release()
        finally:
            self._one_thread.release()

    def keep_lock(self) -> None:
        """Renew the lease when a third of it is gone.

        Raises
        ------
        LakeError
            If it ran out, and another writer took over.
        """
        self._lease.renew()

    def filesystem(self) -> tuple[FileSystem, str]:
        """Give a file system of pyarrow's in which the lake is all there is."""
        from pyarrow.fs import PyFileSystem

        from pulseframes.lake.object_files import ObjectFiles

        return PyFileSystem(ObjectFiles(self._objects)), ""
