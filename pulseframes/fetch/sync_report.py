"""What a sync loads into its lake as answers arrive, and its report, in figures and in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from pulseframes._card import Card, Row, short_path
from pulseframes._text import listed, plural
from pulseframes.client import Answer, Quota
from pulseframes.endpoints import DETAIL, Endpoint
from pulseframes.fetch.backlog import describe_left_out
from pulseframes.flatten import AGE, ParsedAnswers, parse_answers
from pulseframes.lake import Batch, Counts, Lake, Written, describe_rows
from pulseframes.sampling.columns import RESPONDED
from pulseframes.tables import INSTANT, ITEM_TABLES, SESSIONS
from pulseframes.windows import Window, span_text


class Loader:
    """Flattens answers and writes them to a lake.

    Attributes
    ----------
    written : Written
        What the lake did with the rows.
    kept : int
        Answers that cost nothing.
    detailed : set of int
        The sessions whose details were loaded.
    drift, truncated, rejected
        What to warn the user of.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self.written = Written()
        self.kept = 0
        self.detailed: set[int] = set()
        self.drift: set[str] = set()
        self.truncated: list[tuple[str, int]] = []
        self.rejected: list[pl.DataFrame] = []

    def add(self, answers: Sequence[Answer], endpoint: Endpoint) -> None:
        """Write the rows of some answers to the lake."""
        if not answers:
            return
        parsed = parse_answers([answer.body for answer in answers], endpoint)
        self.load(parsed, endpoint, [answer.asked_at for answer in answers])
        self.kept += sum(answer.kept for answer in answers)

    def load(
        self,
        parsed: ParsedAnswers,
        endpoint: Endpoint,
        asked_at: Sequence[datetime],
        *,
        only: pl.Expr = pl.lit(value=True),  # noqa: B008  an expression never changes
    ) -> None:
        """Write the rows of parsed answers to the lake: those of the sessions that a filter selects."""
        times = pl.Series(asked_at, dtype=INSTANT)
        sessions = parsed.frames[SESSIONS.name].with_columns(times.gather(parsed.body_indices).alias(AGE)).filter(only)
        batch = Batch(
            sessions=sessions,
            items={table.name: parsed.frames[table.name] for table in ITEM_TABLES} if endpoint is DETAIL else None,
            rejected=parsed.rejected.with_columns(pl.lit(times.max(), times.dtype).alias(AGE)),
        )
        written = self._lake.put(batch)
        if endpoint is DETAIL:  # the search has counted their sessions
            counts = written.rows[SESSIONS.name]
            counts.updated = counts.unchanged = 0
        self.written.add(written)
        self.drift.update(parsed.drift)
        self.truncated += parsed.truncated
        if endpoint is DETAIL:
            self.detailed.update(sessions["session_id"])
        if not parsed.rejected.is_empty():
            self.rejected.append(parsed.rejected)


@dataclass(frozen=True)
class SampleReport:
    """The state of a lake's sample.

    Attributes
    ----------
    design : str
        The design's name.
    seed : int
        The seed of the permanent random numbers.
    sessions : int
        Number of sessions that the sample represents.
    drawn : int
        Number of sessions in the sample.
    unanswered : int
        Number of those without details, because the server does not know them or their answer breaks the schema. The weights
        of the others compensate for them.
    effective : float
        Kish's effective sample size: for figures of page views in a sample by page views, of sessions in a uniform one. The report
        of the lake's sample shows the same.
    beside : list of str
        The lake's other samples, if this one was begun by this sync.
    wrong_design : str or None
        What the sample is worth for questions that its design is not for, and the design for these; None if it suits them.
    """

    design: str
    seed: int
    sessions: int
    drawn: int
    unanswered: int
    effective: float
    beside: list[str] = field(default_factory=list)
    wrong_design: str | None = None

    @classmethod
    def of(
        cls, design: str, seed: int, sessions: int, members: pl.DataFrame, effective: float, beside: list[str]
    ) -> SampleReport:
        """Summarise a sample's members."""
        return cls(design, seed, sessions, len(members), int((~members[RESPONDED]).sum()), effective, beside)

    def __str__(self) -> str:
        return ": ".join(self.row())

    def row(self) -> tuple[str, str]:
        """Return the sample's name and its state."""
        name = f"Sample {self.design} (seed {self.seed})"
        if not self.drawn:
            return name, "no sessions yet."
        sizes = f"{self.drawn:,} of {plural(self.sessions, 'session')}"
        others = f" It is new; the lake also has {', '.join(self.beside)}." if self.beside else ""
        if self.unanswered == self.drawn:
            return name, f"{sizes}, none with details.{others}"
        details = f"{self.unanswered:,} without details" if self.unanswered else "all with details"
        unit = "page views" if self.design.startswith("pageviews") else "sessions"
        return name, f"{sizes}, {details}; effective sample size {self.effective:,.0f} for {unit}.{others}"


@dataclass(repr=False)
class SyncReport(Card):
    """The report of a sync.

    Attributes
    ----------
    location : str
        The lake.
    finished : bool
        Whether everything was downloaded; False if the quota ran out first.
    resume_at : datetime or None
        When the next call is possible, in UTC; None if it is finished.
    remaining : int or None
        Number of sessions or details that are left, as far as known.
    calls_spent, calls_saved : int
        Calls sent, authentication and failures included; responses taken from the journal instead.
    rows : dict of str to Counts
        For each table, how many rows are new, updated and unchanged. Getting details is no update of a session.
    details : int
        Number of sessions whose details were loaded.
    sample : SampleReport or None
        The sample that the details belong to; None if the newest sessions or no details were requested.
    missing : list of int
        Sessions whose details the server does not have.
    rejected : int
        Rows that break the schema and are new in the lake's ``rejected``.
    asked : list of Window
        Windows that were searched completely.
    coverage : list of Window
        All windows that the lake has.
    incomplete : list of Window
        Those of which the lake lacks sessions: the server reported more, or they were deleted.
    left_out_before : datetime or None
        Data before this time was deleted by ``retain()`` and is not downloaded again; None if the window has none.
    quota : Quota or None
        The quota at the end.

    Examples
    --------
    >>> report = pf.sync("lake", "2026-11-09", "2026-11-16")
    >>> report.finished, report.remaining
    (True, None)
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
        """Return the report as JSON types.

        Returns
        -------
        dict
            Times are ISO 8601, in UTC; a window has ``date_from`` and ``date_to``.

        Examples
        --------
        >>> spent = pf.sync("lake", "2026-11-09", "2026-11-16").as_dict()["calls_spent"]
        """
        spans = {name: _as_dicts(getattr(self, name)) for name in ("asked", "coverage", "incomplete")}
        report: dict[str, Any] = json.loads(json.dumps(asdict(self) | spans, default=datetime.isoformat))
        return report

    def __repr__(self) -> str:
        return f"SyncReport({short_path(self.location)!r}, finished={self.finished}, calls_spent={self.calls_spent}, details={self.details})"

    def _rows(self) -> Iterator[Row]:
        left = f", {self.quota.left:,} of {self.quota.limit:,} left" if self.quota is not None else ""
        yield short_path(self.location), f"{describe_rows(self.rows)}."
        yield "Calls", f"{self.calls_spent:,} spent, {self.calls_saved:,} saved by the journal{left}."
        yield from (("Covered", f"{span_text(window)}.") for window in self.coverage)
        yield from (("Incomplete", f"{span_text(window)}.") for window in self.incomplete)
        if self.left_out_before is not None:
            yield "", describe_left_out(self.left_out_before)
        if self.rejected:
            yield "", f"{plural(self.rejected, 'row')} broke the schema; see the lake's rejected/."
        if self.missing:
            yield f"{plural(len(self.missing), 'session')} not found", f"{listed(self.missing)}."
        if self.sample is not None:
            yield self.sample.row()
            if self.sample.wrong_design is not None:
                yield "", self.sample.wrong_design
        if self.resume_at is not None:
            rest = (
                "part of the search"
                if self.remaining is None
                else f"{self.remaining:,} sessions or details of this run"
            )
            when = f"{self.resume_at:%Y-%m-%d %H:%M:%S} UTC"
            yield (
                f"Not finished ({rest} still to download)",
                f"run the same sync again after {when} to resume. Each run downloads up to its own number of details.",
            )


def _as_dicts(windows: Sequence[Window]) -> list[dict[str, datetime]]:
    return [{"date_from": start, "date_to": end} for start, end in windows]
