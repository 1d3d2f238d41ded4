"""What a sync did, in figures and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from pulseframes.client import Quota
from pulseframes.flatten import describe_left_out
from pulseframes.lake import Counts
from pulseframes.sampling.weights import effective_size
from pulseframes.windows import Window


@dataclass(frozen=True)
class SampleReport:
    """How a lake's sample stands.

    Attributes
    ----------
    design : str
        How it is drawn.
    seed : int
        What the permanent random numbers hang on.
    sessions : int
        How many sessions it speaks for.
    drawn : int
        How many of them were drawn.
    unanswered : int
        How many of those have no details, since the server did not know them, or their answer broke the schema. The weights of the
        others make up for them.
    effective : float
        How many sessions would say as much if each spoke for as much (Kish): as many page views in a sample by page views, as
        many sessions in a uniform one.
    beside : list of str
        Where this sample was begun just now: the others that the lake has.
    """

    design: str
    seed: int
    sessions: int
    drawn: int
    unanswered: int
    effective: float
    beside: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, design: str, seed: int, sessions: int, rows: pl.DataFrame, size: pl.Expr, beside: list[str]
    ) -> SampleReport:
        """Make it of the rows of the design's table, and what a session's chance was proportional to."""
        effective = effective_size(rows.select(pl.col("weight") * size).to_series())
        return cls(design, seed, sessions, len(rows), int((~rows["responded"]).sum()), effective, beside)

    def __str__(self) -> str:
        name, came = f"Sample {self.design} (seed {self.seed})", self.drawn - self.unanswered
        if not self.drawn:
            return f"{name}: nothing drawn yet."
        drawn = f"{name}: {self.drawn:,} of {self.sessions:,} sessions drawn"
        others = f" It is a new one; the lake also has {', '.join(self.beside)}." if self.beside else ""
        if not came:
            return f"{drawn}, none of them with details.{others}"
        missing = (
            f"{self.unanswered:,} of them without details; the other {came:,}"
            if self.unanswered
            else "all with details; they"
        )
        return f"{drawn}, {missing} say as much as {self.effective:,.0f} of equal weight.{others}"


@dataclass
class SyncReport:
    """What a sync did.

    Attributes
    ----------
    location : str
        The lake.
    finished : bool
        False where the calls ended before the work did.
    resume_at : datetime or None
        When to come back, in UTC; None where it is finished.
    remaining : int or None
        Sessions, or details, that are known to be still to come.
    calls_spent, calls_saved : int
        Calls sent, authentication and failures included; answers that the journal had.
    rows : dict of str to Counts
        For each table, the rows that were new, updated and unchanged.
    details : int
        Details that came.
    sample : SampleReport or None
        How the sample stands that they were drawn for; None for the newest first, and where no details were asked for.
    missing : list of int
        Sessions whose details the server does not know.
    rejected : int
        Rows that broke the schema, and are new in the lake's ``rejected``.
    asked : list of Window
        What was searched, and read to its end.
    coverage : list of Window
        What the lake has been read of, in all.
    incomplete : list of Window
        What the lake has of which, by the server's counts, sessions are missing.
    left_out_before : datetime or None
        What ``retain()`` has dropped, and so was not asked for, though the window has it.
    quota : Quota or None
        How the application stands at the end.
    """

    location: str
    finished: bool = True
    resume_at: datetime | None = None
    remaining: int | None = None
    calls_spent: int = 0
    calls_saved: int = 0
    rows: dict[str, Counts] = field(default_factory=dict)
    details: int = 0
    sample: SampleReport | None = None
    missing: list[int] = field(default_factory=list)
    rejected: int = 0
    asked: list[Window] = field(default_factory=list)
    coverage: list[Window] = field(default_factory=list)
    incomplete: list[Window] = field(default_factory=list)
    left_out_before: datetime | None = None
    quota: Quota | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the report as JSON takes it.

        Returns
        -------
        dict
            Times in ISO 8601, UTC.
        """
        told = asdict(self)
        told["resume_at"] = self.resume_at and self.resume_at.isoformat()
        told["left_out_before"] = self.left_out_before and self.left_out_before.isoformat()
        for name in ("asked", "coverage", "incomplete"):
            told[name] = [[moment.isoformat() for moment in window] for window in getattr(self, name)]
        if self.quota is not None:
            told["quota"]["next_call_at"] = self.quota.next_call_at.isoformat()
        return told

    def __str__(self) -> str:
        counts = "; ".join(
            f"{name} {count.new} new, {count.updated} updated, {count.unchanged} unchanged"
            for name, count in self.rows.items()
        )
        lines = [
            f"{self.location}: {counts}.",
            f"Calls: {self.calls_spent} spent, {self.calls_saved} saved by the journal"
            + (f", {self.quota.left} of {self.quota.limit} left." if self.quota is not None else "."),
            *(f"Covered: {_span(window)}." for window in self.coverage),
            *(f"Sessions are missing, by the server's count: {_span(window)}." for window in self.incomplete),
        ]
        if self.left_out_before is not None:
            lines.append(describe_left_out(self.left_out_before))
        if self.rejected:
            lines.append(f"{self.rejected} rows broke the schema; they are in rejected/.")
        if self.missing:
            lines.append(f"The server has no details of {len(self.missing)} sessions.")
        if self.sample is not None:
            lines.append(str(self.sample))
        if self.resume_at is not None:
            rest = "" if self.remaining is None else f" ({self.remaining} known to be still to come)"
            lines.append(
                f"Not finished{rest}: sync again from {self.resume_at:%Y-%m-%d %H:%M:%S} UTC on, and it goes on."
            )
        return "\n".join(lines)


def _span(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
