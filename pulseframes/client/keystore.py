"""Keeps a session key for the next process: in a file of its own, apart from the journal, for its owner alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from pulseframes._secret import Secret

#: As long as an authentication can take; then this process asks for a key of its own.
_LOCK_SECONDS: Final = 45.0


class KeyStore:
    """The file of one application's session key.

    A file that is missing, damaged or of another user is a store with no key: what it saves is one call.

    Parameters
    ----------
    folder : Path or None
        Where the file is; None keeps nothing.
    owner : str
        A hash of all that the key depends on: address, API key and consumer.
    """

    def __init__(self, folder: Path | None, owner: str) -> None:
        self._path = None if folder is None else folder / f"session-{owner}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from authenticating at the same time."""
        if self._path is None:
            yield
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_SECONDS, mode=0o600)
            lock.acquire()
        except (OSError, Timeout):
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def load(self, now: datetime) -> tuple[Secret, datetime] | None:
        """Give the key and when it runs out; None where there is none that can still be used."""
        if self._path is None:
            return None
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            key, expires = Secret(kept["key"]), datetime.fromisoformat(kept["expires"])
            usable = key.fits_a_header and expires > now
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return (key, expires) if usable else None

    def save(self, key: Secret, expires: datetime) -> None:
        """Keep a key until it runs out."""
        if self._path is None:
            return
        temporary = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump({"key": key.reveal(), "expires": expires.isoformat()}, file)
            temporary.replace(self._path)
        except OSError:  # the key still works for this process
            temporary.unlink(missing_ok=True)

    def forget(self) -> None:
        """Throw the key away."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
