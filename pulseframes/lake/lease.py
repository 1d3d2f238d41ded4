"""The lock of a place that has none: an object that says who writes, and until when, and that only one can put there."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from pulseframes.errors import LakeError

if TYPE_CHECKING:
    from pulseframes.lake.objects import Objects, Version

#: How long a lease lasts. It is renewed when a third is gone, so a holder may do ten minutes of work between two
#: ``renew()``, less what the clocks of two machines differ.
LEASE: Final = timedelta(minutes=15)
#: A waiter looks again after this many seconds, and up to twice as many, so that several do not look at once.
_POLL_SECONDS: Final = 0.25


class _Held(NamedTuple):
    owner: str
    since: datetime
    expires: datetime
    version: Version

    def body(self) -> bytes:
        told = {"owner": self.owner, "since": self.since.isoformat(), "expires": self.expires.isoformat()}
        return json.dumps(told).encode()


class Lease:
    """One object that locks others.

    It is put where there is none, and put in the place of one that has run out only while that one is unchanged, so that
    the server lets one of several win.

    Parameters
    ----------
    objects : Objects
        Where.
    path : str
        The object's path.
    clock, sleep : callable
        What tells the time, and what waits; for tests.
    """

    def __init__(
        self, objects: Objects, path: str, *, clock: Callable[[], datetime], sleep: Callable[[float], None]
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
            If another one has it after ``wait`` seconds, or the server cannot keep two from having it.
        """
        give_up = self._clock() + timedelta(seconds=wait)
        owner = secrets.token_hex(16)
        while True:
            now = self._clock()
            mine = _Held(owner, now, now + LEASE, {})
            seen = self._read()
            if seen is None:
                version = self._objects.put_if(self._path, mine.body(), "create")
            elif seen.owner == owner:  # it was put there, and the answer was lost
                mine, version = seen, seen.version
            elif seen.expires <= now:
                version = self._take_over(mine, seen)
            else:
                version = None
            if version is not None:
                self._held = mine._replace(version=version)
                self._check_exclusive()
                return
            if now >= give_up:
                raise self._refusal()
            self._sleep(_POLL_SECONDS * random.uniform(1, 2))  # noqa: S311  no secret

    def renew(self) -> None:
        """Let the lease begin again, when a third of it is gone.

        Raises
        ------
        LakeError
            If it ran out, and another one has taken it over.
        """
        held, now = self._held, self._clock()
        if held is None:
            raise LakeError(f"The lake {self._objects.location} is not locked by this writer.")
        if now < held.expires - LEASE * 2 / 3:
            return
        from pulseframes.lake.objects import ConditionsUnknown

        renewed = held._replace(expires=now + LEASE)
        try:
            version = self._objects.put_if(self._path, renewed.body(), held.version)
        except ConditionsUnknown:  # then no other one can take it over either
            return
        if version is not None:
            self._held = renewed._replace(version=version)
            return
        seen = self._read()
        if seen is None or seen.owner != held.owner:
            self._held = None
            raise LakeError(
                f"The lock of the lake {self._objects.location} ran out at {_text(held.expires)}, and another writer took"
                " over: this one stops. Run it again."
            )
        self._held = seen  # it was put there, and the answer was lost

    def release(self) -> None:
        """Give the lease back; one that ran out may be another's by now, and is left alone."""
        held, self._held = self._held, None
        if held is None or self._clock() >= held.expires:
            return
        seen = self._read()
        if seen is not None and seen.owner == held.owner:
            self._objects.delete([self._path])

    def _read(self) -> _Held | None:
        found = self._objects.get(self._path)
        if found is None:
            return None
        try:
            told = json.loads(found.data)
            since, expires = (datetime.fromisoformat(told[name]).astimezone(UTC) for name in ("since", "expires"))
            return _Held(str(told["owner"]), since, expires, found.version)
        except (ValueError, TypeError, KeyError, RecursionError):  # not ours; it gets as long as ours
            return _Held("", found.modified, found.modified + LEASE, found.version)

    def _refusal(self) -> LakeError:
        held = self._read()
        since = "" if held is None else f", since {_text(held.since)}"
        until = "" if held is None else f" at {_text(held.expires)}"
        return LakeError(
            f"The lake {self._objects.location} is being written by another process{since}. Try again later. If that"
            f" process is dead, its lock runs out{until}; one that is at work renews it."
        )

    def _take_over(self, mine: _Held, seen: _Held) -> Version | None:
        from pulseframes.lake.objects import ConditionsUnknown

        try:
            return self._objects.put_if(self._path, mine.body(), seen.version)
        except ConditionsUnknown:
            raise LakeError(
                f"The lock of the lake {self._objects.location} ran out at {_text(seen.expires)}, but this server cannot"
                f" hand it over. If no process writes there, delete the object {self._objects.location}/{self._path}."
            ) from None

    def _check_exclusive(self) -> None:
        """See once that the server refuses a second lease: one that does not know conditions may let both pass."""
        if self._is_exclusive or self._held is None:
            return
        if self._objects.put_if(self._path, self._held.body(), "create") is not None:
            self.release()
            raise LakeError(
                f"{self._objects.location}: this server overwrites an object that was to be written only if there is"
                " none (If-None-Match), so two writers could not be kept apart. Such a lake can only be read."
            )
        self._is_exclusive = True


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
