"""The lock of a lake in a bucket: an object that says who writes and until when, which only one writer can put there."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from pulseframes.errors import LakeError
from pulseframes.windows import Instant

#: How long a writer waits for another, in seconds.
LOCK_SECONDS: Final = 60.0
#: The folder of everything that is not a table: lock, state and staged files.
OWN_FOLDER: Final = "_pulseframes"
LOCK_FILE: Final = f"{OWN_FOLDER}/lock"

#: How long a lease lasts. It is renewed when a third is gone, so a holder may work for ten minutes between two
#: ``renew()``, less the difference between the clocks of two machines.
LEASE: Final = timedelta(minutes=15)
#: A waiter looks again after this many seconds, and up to twice as many, so that several do not look at once.
_POLL_SECONDS: Final = 0.25

#: The version of an object: its ``e_tag``, its ``version``, or both, as the server has them.
Version = dict[str, str]


class StoredObject(NamedTuple):
    """An object as it was read."""

    data: bytes
    version: Version
    modified: datetime


class ConditionsUnknown(LakeError):
    """The server cannot write on a condition."""


class _Objects(Protocol):
    """The bucket, as a lease needs it."""

    location: str

    def get(self, path: str) -> StoredObject | None: ...
    def put_if(self, path: str, data: bytes, condition: Version | Literal["create"]) -> Version | None: ...
    def delete(self, paths: list[str]) -> None: ...


class _Terms(msgspec.Struct, frozen=True):
    owner: str
    since: Instant
    expires: Instant


class _Held(NamedTuple):
    terms: _Terms
    version: Version


class Lease:
    """One object that locks others.

    A writer creates it if there is none, and replaces one that has expired only while that one is unchanged, so the server
    lets one of several win.
    """

    def __init__(
        self, objects: _Objects, path: str, *, clock: Callable[[], datetime], sleep: Callable[[float], None]
    ) -> None:
        self._objects = objects
        self._path = path
        self._clock = clock
        self._sleep = sleep
        self._held: _Held | None = None
        self._is_exclusive = False

    def acquire(self, wait: float) -> None:
        """Take the lease, or wait for it.

        Raises
        ------
        LakeError
            If another writer still has it after ``wait`` seconds, or the server cannot keep two from having it.
        """
        give_up = self._clock() + timedelta(seconds=wait)
        owner = secrets.token_hex(16)
        while True:
            now = self._clock()
            held = self._try(_Terms(owner, now, now + LEASE), now)
            if held is not None:
                self._held = held
                self._check_exclusive(held)
                return
            if now >= give_up:
                raise self._refusal()
            self._sleep(_POLL_SECONDS * random.uniform(1, 2))  # noqa: S311  no secret

    def _try(self, terms: _Terms, now: datetime) -> _Held | None:
        current = self._read()
        if current is not None and current.terms.owner == terms.owner:  # it was written, and the response was lost
            return current
        if current is None:
            version = self._write(terms, "create")
        elif current.terms.expires <= now:
            version = self._take_over(terms, current)
        else:
            version = None
        return None if version is None else _Held(terms, version)

    def renew(self) -> None:
        """Extend the lease, if a third of it is gone.

        Raises
        ------
        LakeError
            If it expired, and another writer has taken it over.
        """
        held, now = self._held, self._clock()
        if held is None:
            raise LakeError(f"The lake {self._objects.location} is not locked by this writer.")
        if now < held.terms.expires - LEASE * 2 / 3:
            return
        terms = msgspec.structs.replace(held.terms, expires=now + LEASE)
        try:
            version = self._write(terms, held.version)
        except ConditionsUnknown:  # then nobody else can take it over either
            return
        if version is not None:
            self._held = _Held(terms, version)
            return
        current = self._read()
        if current is None or current.terms.owner != held.terms.owner:
            self._held = None
            raise LakeError(
                f"The lock of the lake {self._objects.location} expired at {_text(held.terms.expires)}, and another writer"
                " took over. This writer stops; run it again."
            )
        self._held = current  # it was written, and the response was lost

    def release(self) -> None:
        """Delete the lease, unless it expired and may be another writer's by now."""
        held, self._held = self._held, None
        if held is None or self._clock() >= held.terms.expires:
            return
        current = self._read()
        if current is not None and current.terms.owner == held.terms.owner:
            self._objects.delete([self._path])

    def _read(self) -> _Held | None:
        stored = self._objects.get(self._path)
        if stored is None:
            return None
        try:
            terms = msgspec.json.decode(stored.data, type=_Terms)
        except (msgspec.DecodeError, ValueError, RecursionError):  # not one of ours; it lasts as long as ours
            terms = _Terms("", stored.modified, stored.modified + LEASE)
        return _Held(terms, stored.version)

    def _write(self, terms: _Terms, condition: Version | Literal["create"]) -> Version | None:
        return self._objects.put_if(self._path, msgspec.json.encode(terms), condition)

    def _take_over(self, terms: _Terms, expired: _Held) -> Version | None:
        try:
            return self._write(terms, expired.version)
        except ConditionsUnknown:
            raise LakeError(
                f"The lock of the lake {self._objects.location} expired at {_text(expired.terms.expires)}, but this server"
                f" cannot hand it over. If no process writes there, delete the object {self._objects.location}/{self._path}."
            ) from None

    def _refusal(self) -> LakeError:
        current = self._read()
        since = "" if current is None else f" since {_text(current.terms.since)}"
        until = "" if current is None else f" at {_text(current.terms.expires)}"
        return LakeError(
            f"Another process has been writing to the lake {self._objects.location}{since}. Try again later. If that process"
            f" is dead, its lock expires{until}; a running one renews it."
        )

    def _check_exclusive(self, held: _Held) -> None:
        """Check once that the server refuses a second lease: one that ignores conditions would let both pass."""
        if self._is_exclusive:
            return
        if self._write(held.terms, "create") is not None:
            self.release()
            raise LakeError(
                f"{self._objects.location}: this server ignores If-None-Match and overwrites an object that should only be"
                " created, so it cannot keep two writers apart. Lakes on this server can only be read."
            )
        self._is_exclusive = True


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
