"""What a result is made of: where each part came from, when, and whether it is complete."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

import polars as pl


@dataclass(frozen=True)
class Part:
    """One answer that a result is made from.

    Attributes
    ----------
    call_id : int
        Its number in the journal.
    fetched_at : datetime
        When it was asked for, in UTC.
    kept : bool
        True for an answer that was in the journal already and cost nothing.
    rows : int
        How many sessions it holds.
    """

    call_id: int
    fetched_at: datetime
    kept: bool
    rows: int


@dataclass(frozen=True)
class Certificate:
    """What a result is made of.

    Attributes
    ----------
    question : {"search", "details"}
        What was asked.
    declared : int
        How many sessions there should be: what the server declared last, less ``skip`` and up to ``limit``; for details,
        how many were asked for.
    distinct : int
        How many different sessions came, rejected ones included, and forgotten ones not.
    complete : bool
        Whether nothing is missing but what was forgotten, as far as can be told.
    parts : tuple of Part
        The answers, in the order they were asked for.
    duplicates : int
        Rows that came more than once, since the list moved while it was read.
    totals : tuple of int
        The different totals that the server declared on the way; more than one where its list changed.
    repaired : int
        Calls spent on reading again what had moved.
    calls_spent : int
        Calls that this result cost, authentication, failures and repairs included.
    calls_saved : int
        Calls that kept answers saved.
    still_active : tuple of int
        Sessions that had not ended when they were fetched: they will change.
    forgotten : int
        Sessions taken out of kept answers by forget: the server declared them, and they are not in the result.
    """

    question: Literal["search", "details"]
    declared: int
    distinct: int
    complete: bool
    parts: tuple[Part, ...] = field(repr=False)
    duplicates: int
    totals: tuple[int, ...]
    repaired: int
    calls_spent: int
    calls_saved: int
    still_active: tuple[int, ...] = field(repr=False)
    forgotten: int = 0

    @property
    def call_ids(self) -> tuple[int, ...]:
        """The journal's numbers of the answers."""
        return tuple(part.call_id for part in self.parts)

    @property
    def fetched(self) -> tuple[datetime, datetime] | None:
        """When the oldest and the newest part were asked for, in UTC; None where there are none."""
        times = [part.fetched_at for part in self.parts]
        return (min(times), max(times)) if times else None


#: The certificates of frames that are still in use, by the frames' identity: a polars frame has no place for one.
_issued: dict[int, Certificate] = {}


def certify(frame: pl.DataFrame, certificate: Certificate) -> None:
    """Issue a frame's certificate; it is forgotten with the frame."""
    key = id(frame)
    _issued[key] = certificate
    weakref.finalize(frame, _issued.pop, key, None)


class Certified(Protocol):
    """What carries its certificate, as SessionFrames does."""

    @property
    def certificate(self) -> Certificate | None:
        """The certificate."""


def certificate(result: pl.DataFrame | Certified) -> Certificate:
    """Say what a result is made of.

    Parameters
    ----------
    result : polars.DataFrame or SessionFrames
        What ``search_sessions()`` or ``session_details()`` returned, itself: a frame that was filtered or otherwise made
        from it is another one, and has none.

    Returns
    -------
    Certificate
        Declared and distinct counts, parts, what moved, and what it cost. Costs no call.

    Raises
    ------
    ValueError
        If it has no certificate.
    """
    found = _issued.get(id(result)) if isinstance(result, pl.DataFrame) else getattr(result, "certificate", None)
    if found is None:
        raise ValueError("no certificate: give what search_sessions() or session_details() returned, unchanged")
    return found


def fetched_of(result: pl.DataFrame | Certified) -> datetime | None:
    """Give when the last answer that a result is made of was asked for; None where that is not known."""
    try:
        fetched = certificate(result).fetched
    except ValueError:
        return None
    return None if fetched is None else fetched[1]


def issue(
    question: Literal["search", "details"],
    *,
    parts: Sequence[Part],
    sessions: pl.DataFrame,
    declared: int,
    distinct: int,
    complete: bool,
    calls_spent: int,
    duplicates: int = 0,
    totals: Sequence[int] = (),
    repaired: int = 0,
    forgotten: int = 0,
) -> Certificate:
    """Make a certificate; what can be worked out from the parts and the frame is."""
    return Certificate(
        question=question,
        declared=declared,
        distinct=distinct,
        complete=complete,
        parts=tuple(parts),
        duplicates=duplicates,
        totals=tuple(dict.fromkeys(totals)),
        repaired=repaired,
        calls_spent=calls_spent,
        calls_saved=sum(part.kept for part in parts),
        still_active=tuple(sessions.filter(pl.col("status") == "active")["session_id"]),
        forgotten=forgotten,
    )
