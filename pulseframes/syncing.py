"""Keeps a lake up to date within the quota: asks for what it lacks, and for what may have changed, in the fewest calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pulseframes.agenda import (
    LOOK_BACK,
    Details,
    check_application,
    check_details,
    check_look_back,
    details_to_ask,
    wanted_window,
    windows_to_ask,
)
from pulseframes.api.client import PulseClient, default_client
from pulseframes.assemble import assemble
from pulseframes.coverage import Window
from pulseframes.errors import IncompleteWarning, PulseError, QuotaExhausted, RejectedRowsWarning
from pulseframes.lake import Batch, Counts, Lake, Written
from pulseframes.merge import AGE
from pulseframes.notices import describe_rejected, warn_of_cut_lists, warn_of_drift
from pulseframes.paging import ListReader
from pulseframes.progress import ProgressHook
from pulseframes.query import DateLike, DetailQuery, SearchQuery
from pulseframes.quota import Quota
from pulseframes.reuse import is_settled
from pulseframes.run import Run
from pulseframes.tables import INSTANT, ITEM_TABLES, SESSIONS
from pulseframes.warn import warn

#: Kept answers are put into the lake so many at a time; one that was paid for, at once.
_KEPT_AT_ONCE: Final = 100


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
    missing : list of int
        Sessions whose details the server does not know.
    rejected : int
        Rows that broke the schema, and are new in the lake's ``rejected``.
    asked : list of Window
        What was searched, and read to its end.
    coverage : list of Window
        What the lake has been read of, in all.
    complete : bool
        False where a search gave fewer sessions than the server declared.
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
    missing: list[int] = field(default_factory=list)
    rejected: int = 0
    asked: list[Window] = field(default_factory=list)
    coverage: list[Window] = field(default_factory=list)
    complete: bool = True
    quota: Quota | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the report as JSON takes it; times in ISO 8601, UTC."""
        told = asdict(self)
        told["resume_at"] = self.resume_at and self.resume_at.isoformat()
        for name in ("asked", "coverage"):
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
            *(f"Covered: {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC." for start, end in self.coverage),
        ]
        if self.rejected:
            lines.append(f"{self.rejected} rows broke the schema; they are in rejected/.")
        if self.missing:
            lines.append(f"The server has no details of {len(self.missing)} sessions.")
        if self.resume_at is not None:
            rest = "" if self.remaining is None else f" ({self.remaining} known to be still to come)"
            lines.append(
                f"Not finished{rest}: sync again from {self.resume_at:%Y-%m-%d %H:%M:%S} UTC on, and it goes on."
            )
        return "\n".join(lines)


def sync(
    lake: Lake | str | os.PathLike[str],
    date_from: DateLike,
    date_to: DateLike | None = None,
    *,
    details: Details = 0,
    look_back: timedelta = LOOK_BACK,
    client: PulseClient | None = None,
    refresh: bool = False,
    progress: ProgressHook | None = None,
) -> SyncReport:
    """Bring a lake up to date for a window: sessions, and the details of some of them.

    It asks for the times that were never read, for those that were read less than ``look_back`` after they ended, and for
    sessions that went on when they were last seen. Each answer is in the lake before the next is asked for. When the calls
    end, it stops, and the next sync goes on. Costs one call for every 500 sessions asked for, one for each of the details,
    and one more where a session key has to be fetched first; nothing for what the lake or the journal has.
    Source: ``GET /sessions`` and ``GET /session``.

    Parameters
    ----------
    lake : Lake or path
        The lake, made if it is not there. One lake holds one application's sessions.
    date_from, date_to : str, date or datetime
        The window, by the sessions' start. A date stands for its first instant; what has no zone is UTC. ``date_to`` is
        the present if not given.
    details : int or "all"
        How many details to get, by calls: sessions that have none first, ended before active ones; then those that were
        active when their details were fetched. Details that the journal has come besides, at no cost.
    look_back : datetime.timedelta
        How long a session can still change, or come late: 24 hours.
    client : PulseClient or None
        A client made from the environment, and kept for the next call, if not given.
    refresh : bool
        Ask again for the whole window, and for what the journal holds an answer to.
    progress : callable or None
        Called with a ``Progress`` after each page and each detail.

    Returns
    -------
    SyncReport
        What was spent and saved, what is new in the lake, what it covers. ``finished`` is False where the calls ended
        first; ``resume_at`` says when to come back then.

    Raises
    ------
    InvalidQuery
        If an argument is wrong, before any call is spent; or if the server refuses the query.
    LakeError
        If the lake cannot be read or written, or has another application's sessions.
    CredentialsMissing, AuthenticationFailed, ServerError, MalformedAnswer, JournalError
        If a call fails; ``partial`` has the ``SyncReport`` so far, and what came is in the lake.

    Warns
    -----
    RejectedRowsWarning
        If rows break the schema; they are in the lake's ``rejected``.
    IncompleteWarning
        If fewer sessions came than the server declared, or a list looks cut.
    SchemaDriftWarning
        If the server sent fields or values that are not known.
    """
    check_details(details)
    check_look_back(look_back)
    client = client or default_client()
    wanted = wanted_window(date_from, date_to, client.clock())
    lake = lake if isinstance(lake, Lake) else Lake(lake)
    work = _Sync(lake, client, wanted, look_back, refresh=refresh, progress=progress)
    return work.do(details)


class _Sync:
    """One sync, as far as it is."""

    def __init__(
        self,
        lake: Lake,
        client: PulseClient,
        wanted: Window,
        look_back: timedelta,
        *,
        refresh: bool,
        progress: ProgressHook | None,
    ) -> None:
        self._lake = lake
        self._client = client
        self._wanted = wanted
        self._look_back = look_back
        self._refresh = refresh
        self._progress = progress
        self._intake = _Intake(lake)
        self._report = SyncReport(lake.location)
        self._spent_before = client.calls_spent

    def do(self, details: Details) -> SyncReport:
        """Search, then get details, until all is there or the calls end."""
        with self._lake.locked() as state:
            check_application(state, self._client.application, self._lake.location)
            state.application = self._client.application
            try:
                now = self._client.clock()
                for window in windows_to_ask(
                    self._lake, state, self._wanted, now, self._look_back, refresh=self._refresh
                ):
                    self._search(window)
                if details:
                    self._details(details)
            except QuotaExhausted as stopped:
                self._report.finished = False
                self._report.resume_at = stopped.resets_at
            except PulseError as problem:
                self._close()
                problem.partial = self._report
                raise
            self._close()
        self._warn()
        return self._report

    def _search(self, window: Window) -> None:
        """Read a window into the lake."""
        state = self._lake.state()
        began = self._client.clock()
        query = SearchQuery(window.start, window.end)
        if is_settled(query, began) and window not in state.reading:
            state.reading.append(window)
        self._lake.save_state()
        run = self._run(details=False)
        reader = ListReader(
            run.page,
            query,
            repair_calls=self._client.settings.repair_calls,
            is_settled=lambda part: is_settled(part, self._client.clock()),
            is_kept=run.is_kept,
            calls_left=lambda: self._client.quota().left,
            tell=lambda done, total: run.tell("sessions", done, total),
        )
        try:
            reading = reader.read()
        except PulseError:
            self._report.remaining = reader.remaining
            raise
        finally:
            self._intake.take(run, details=False)
        quota = self._client.quota()
        if not reading.complete and not quota.left:  # reading again what moved was cut short
            raise QuotaExhausted("No call is left to read again what moved.", resets_at=quota.next_call_at)
        self._report.complete &= reading.complete
        state.reading = [part for part in state.reading if not (window.start <= part.start and part.end <= window.end)]
        state.coverage.add(window, began, self._look_back)
        self._lake.save_state()
        self._report.asked.append(window)

    def _details(self, details: Details) -> None:
        """Get details into the lake: all that cost nothing, and as many of the others as were asked for."""
        ids = details_to_ask(self._lake, self._wanted, self._client.clock(), self._look_back)
        kept = set() if self._refresh else self._client.answered_details()
        run = self._run(details=True)
        to_pay = run.take_kept_details(DetailQuery(tuple(one for one in ids if one in kept)))
        self._intake.take(run, details=True)
        chosen = [one for one in ids if one not in kept or one in to_pay]
        chosen = chosen if details == "all" else chosen[:details]
        tried = chosen
        try:
            run.ask_details(chosen, DetailQuery(tuple(chosen)))
        except PulseError as problem:
            tried = chosen[: len(chosen) - (problem.remaining or 0)]
            self._report.remaining = problem.remaining
            raise
        finally:
            self._intake.take(run, details=True)
            self._report.missing = run.missing
            in_vain = [one for one in tried if one not in self._intake.detailed]
            if in_vain:
                self._lake.mark_failed(in_vain, self._client.clock())

    def _run(self, *, details: bool) -> Run:
        def take(run: Run) -> None:
            if not run.parts[-1].kept or len(run.bodies) >= _KEPT_AT_ONCE:
                self._intake.take(run, details=details)

        return Run(self._client, refresh=self._refresh, progress=self._progress, on_answer=take)

    def _close(self) -> None:
        """Fill in the report's figures."""
        report, intake = self._report, self._intake
        report.calls_spent = self._client.calls_spent - self._spent_before
        report.calls_saved = intake.kept
        report.rows = intake.written.rows
        report.rejected = intake.written.rejected
        report.details = len(intake.detailed)
        report.coverage = self._lake.coverage()
        report.quota = self._client.quota()

    def _warn(self) -> None:
        intake = self._intake
        warn_of_drift(sorted(intake.drift))
        warn_of_cut_lists(intake.cut)
        if not self._report.complete:
            warn(
                IncompleteWarning,
                "By the server's counts more sessions were to come than came: its list changed while it was read. "
                "What has not settled yet is asked for again by the next sync; sync(refresh=True) asks for all.",
            )
        if intake.rejected:
            warn(RejectedRowsWarning, describe_rejected(pl.concat(intake.rejected)))


class _Intake:
    """Puts answers into the lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self.written = Written()
        self.kept = 0
        self.detailed: set[int] = set()
        self.drift: set[str] = set()
        self.cut: list[str] = []
        self.rejected: list[pl.DataFrame] = []

    def take(self, run: Run, *, details: bool) -> None:
        """Put the answers that came since the last time into the lake."""
        bodies, parts = run.drain()
        if not bodies:
            return
        result = assemble(bodies, details=details)
        sessions = result.frames[SESSIONS.name]
        times = _instants([part.fetched_at for part in parts])
        batch = Batch(
            sessions=sessions.with_columns(times.gather(result.answers).alias(AGE)),
            items={table.name: result.frames[table.name] for table in ITEM_TABLES} if details else None,
            rejected=result.rejected.with_columns(pl.lit(times.max(), times.dtype).alias(AGE)),
        )
        self.written.add(self._lake.put(batch))
        self.kept += sum(part.kept for part in parts)
        self.drift.update(result.drift)
        self.cut += result.cut
        if details:
            self.detailed.update(sessions["session_id"])
        if not result.rejected.is_empty():
            self.rejected.append(result.rejected)


def _instants(moments: Sequence[datetime]) -> pl.Series:
    return pl.Series(moments, dtype=INSTANT)
