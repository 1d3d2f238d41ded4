"""The provenance of a result: where each part came from, when, and whether the result is complete."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

import polars as pl

from pulseframes._card import Card, Row
from pulseframes._text import plural


@dataclass(frozen=True)
class Part:
    """One answer that a result is made from.

    Attributes
    ----------
    call_id : int
        Its number in the journal.
    fetched_at : datetime
        When it was requested, in UTC.
    kept : bool
        Whether it was cached in the journal, and so cost nothing.
    rows : int
        Number of sessions in it.
    """

    call_id: int
    fetched_at: datetime
    kept: bool
    rows: int


@dataclass(frozen=True, repr=False)
class Certificate(Card):
    """Provenance of a result: counts, calls and times. ``certificate()`` returns it.

    Attributes
    ----------
    question : {"search", "details"}
        The kind of query.
    declared : int
        Number of sessions expected. For a search, the server's latest total, less ``skip`` and up to ``limit``; for
        details, the number of ids requested.
    distinct : int
        Number of different sessions received, including rejected ones and excluding forgotten ones.
    complete : bool
        Whether the answers show that nothing is missing or deleted, and that every row answers the query.
    parts : tuple of Part
        The answers, in the order of their requests.
    duplicates : int
        Rows received more than once, because the list moved during pagination.
    totals : tuple of int
        The different totals that the server declared; more than one if its list changed during pagination.
    repaired : int
        Calls spent on re-reading pages that had moved.
    calls_spent : int
        Calls that this result cost, including authentication, failures and repairs.
    calls_saved : int
        Calls that cached answers saved.
    still_active : tuple of int
        Sessions that had not ended when they were fetched, and so will change.
    forgotten : int
        Sessions that ``forget()`` or ``retain()`` removed from cached answers: the server declared them, but the result lacks
        them.
    foreign : int
        Rows of another time, country or user than requested.

    Examples
    --------
    >>> sessions = pf.search_sessions("2026-11-09", "2026-11-16")
    >>> made_of = pf.certificate(sessions)
    >>> made_of.complete, made_of.declared == made_of.distinct == len(sessions)
    (True, True)
    """

    question: Literal["search", "details"]
    declared: int
    distinct: int
    complete: bool
    parts: tuple[Part, ...] = field(repr=False)
    duplicates: int = 0
    totals: tuple[int, ...] = ()
    repaired: int = 0
    calls_spent: int = 0
    calls_saved: int = 0
    still_active: tuple[int, ...] = field(default=(), repr=False)
    forgotten: int = 0
    foreign: int = 0

    @property
    def call_ids(self) -> tuple[int, ...]:
        """The numbers of the answers in the journal.

        Examples
        --------
        >>> certificate = pf.certificate(pf.search_sessions("2026-11-09", "2026-11-10"))
        >>> len(certificate.call_ids)
        1
        """
        return tuple(part.call_id for part in self.parts)

    @property
    def fetched(self) -> tuple[datetime, datetime] | None:
        """When the oldest and the newest part were requested, in UTC; None if there are no parts.

        Examples
        --------
        >>> oldest, newest = pf.certificate(pf.search_sessions("2026-11-09", "2026-11-10")).fetched
        """
        times = [part.fetched_at for part in self.parts]
        return (min(times), max(times)) if times else None

    def __repr__(self) -> str:
        state = "complete" if self.complete else "incomplete"
        return f"Certificate({self.question}, {state}, {self.distinct:,} of {plural(self.declared, 'session')})"

    def _rows(self) -> Iterator[Row]:
        yield "Query", self.question
        yield "Complete", "yes" if self.complete else "no"
        yield "Sessions", f"{self.distinct:,} received of {self.declared:,} expected"
        repairs = f", {self.repaired:,} of them to re-read pages that had moved" if self.repaired else ""
        yield "Calls", f"{self.calls_spent:,} spent{repairs}; {self.calls_saved:,} saved by the journal"
        if self.fetched is not None:
            yield "Requested", " to ".join(dict.fromkeys(f"{moment:%Y-%m-%d %H:%M} UTC" for moment in self.fetched))
        if len(self.totals) > 1:
            yield "Totals of the server", ", ".join(f"{total:,}" for total in self.totals)
        notes = {
            "Received more than once": self.duplicates,
            "Still active": len(self.still_active),
            "Forgotten": self.forgotten,
            "Not what was asked for": self.foreign,
        }
        yield from ((label, plural(number, "session")) for label, number in notes.items() if number)


#: The certificates of the frames that are still in use. Frames are not hashable, so the key is a frame's identity.
_ISSUED: Final[dict[int, Certificate]] = {}


def certify(frame: pl.DataFrame, certificate: Certificate) -> None:
    """Register a frame's certificate for as long as the frame exists."""
    key = id(frame)
    _ISSUED[key] = certificate
    weakref.finalize(frame, _ISSUED.pop, key, None)


class Certified(Protocol):
    """A result that carries its certificate, as SessionFrames does."""

    @property
    def certificate(self) -> Certificate | None:
        """The certificate."""


def certificate(result: pl.DataFrame | Certified) -> Certificate:
    """Return the provenance of a result. Costs no calls.

    Parameters
    ----------
    result : polars.DataFrame or SessionFrames
        The object that ``search_sessions()`` or ``session_details()`` returned, unchanged. A frame derived from it, by
        a filter for example, is a new object and has no certificate.

    Returns
    -------
    Certificate
        Declared and received counts, the answers behind them, what moved meanwhile, and the calls spent.

    Raises
    ------
    ValueError
        If the result has no certificate.

    Examples
    --------
    >>> details = pf.session_details(pf.search_sessions("2026-11-09", "2026-11-16")["session_id"].head(2))
    >>> pf.certificate(details).distinct
    2
    """
    issued = _ISSUED.get(id(result)) if isinstance(result, pl.DataFrame) else getattr(result, "certificate", None)
    if issued is None:
        raise ValueError(
            "result has no certificate: only the object that search_sessions() or session_details() returned has one, not a frame "
            "derived from it. Example: pf.certificate(pf.search_sessions('2026-11-01', '2026-11-08'))."
        )
    return issued


def fetched_of(result: pl.DataFrame | Certified) -> datetime | None:
    """Return when the last answer behind a result was requested; None if unknown."""
    try:
        fetched = certificate(result).fetched
    except ValueError:
        return None
    return None if fetched is None else fetched[1]
