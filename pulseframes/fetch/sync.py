"""Keeps a lake up to date within the quota: asks for what it lacks, and for what may have changed, in the fewest calls."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pulseframes._text import listed
from pulseframes.client import PulseClient, default_client
from pulseframes.endpoints import DETAIL, SEARCH, Endpoint
from pulseframes.errors import IncompleteWarning, PulseError, QuotaExhausted, RejectedRowsWarning, warn
from pulseframes.fetch.answers import Run
from pulseframes.fetch.backlog import (
    Details,
    check_details,
    check_lake,
    check_look_back,
    details_to_fetch,
    left_out_before,
    wanted_window,
    windows_to_fetch,
)
from pulseframes.fetch.draw import SampleDraw, design_to_use
from pulseframes.fetch.loader import Loader
from pulseframes.fetch.sync_report import SyncReport
from pulseframes.flatten import describe_rejected, warn_of_drift, warn_of_truncated_lists
from pulseframes.lake import Lake, LakeState, Refresh, as_lake
from pulseframes.progress import ProgressHook
from pulseframes.query import DateLike, DetailQuery, SearchQuery
from pulseframes.sampling.design import Design
from pulseframes.windows import LOOK_BACK, SETTLED, Window, is_settled, subtract

#: Kept answers are put into the lake so many at a time; one that was paid for, at once.
_KEPT_AT_ONCE: Final = 100


def sync(
    lake: Lake | str | os.PathLike[str],
    date_from: DateLike,
    date_to: DateLike | None = None,
    *,
    details: Details = 0,
    design: Design | str | None = None,
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
        How many details to get, by calls. Details that the journal has come besides, at no cost.
    design : {"pageviews", "uniform", "newest"}, Design or None
        Whose details: a probability sample, as ``choose_details()`` draws it from all sessions of the window, which goes on
        from sync to sync, and is put down in the lake's ``design``, for ``estimate()``; or the newest sessions, those without
        details first, ended before active ones. The lake's last design, if not given; ``"newest"`` where it has none.
    look_back : datetime.timedelta
        How long a session can still change, or come late: 24 hours.
    client : PulseClient or None
        A client made from the environment, and kept for the next call, if not given.
    refresh : bool
        Ask again for the whole window, and for what the journal holds an answer to. One that the calls do not suffice for is
        gone on with by the next refresh from the same ``date_from``.
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
    lake = as_lake(lake)
    work = _Sync(lake, client, wanted, look_back, refresh=refresh, progress=progress)
    return work.do(details, design)


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
        self._loader = Loader(lake)
        self._not_before: datetime | None = None
        self._in_vain: set[int] = set()
        self._useless: set[int] = set()
        self._short: list[Window] = []
        self._report = SyncReport(lake.location)
        self._spent_before = client.calls_spent

    def do(self, details: Details, design: Design | str | None) -> SyncReport:
        """Search, then get details, until all is there or the calls end."""
        with self._lake.locked() as state:
            check_lake(self._lake, state, self._client.application)
            chosen = design_to_use(state, design)
            state.application = self._client.application
            try:
                now = self._client.clock()
                if self._refresh:
                    windows = self._refreshed(state, now)
                else:
                    windows = windows_to_fetch(self._lake, state, self._wanted, now, self._look_back)
                for window in windows:
                    with self._as_far_as_calls_go():
                        self._search(window)
                if self._report.finished:
                    state.active_asked_at = now
                    self._lake.save_state()
                if details:
                    with self._as_far_as_calls_go():
                        self._details(details, chosen)
            except PulseError as problem:
                self._close()
                problem.partial = self._report
                raise
            if self._refresh and self._report.finished:
                state.refreshing = None
                self._lake.save_state()
            self._close()
        self._warn()
        return self._report

    def _refreshed(self, state: LakeState, now: datetime) -> list[Window]:
        """Give the window to be read again: one that was begun is gone on with, and what came since is not paid for twice."""
        start, end = left_out_before(state, self._wanted) or self._wanted.start, self._wanted.end
        if start >= end:
            return []
        begun = state.refreshing
        if begun is None or begun.window.start != start or begun.window.end > end:
            begun = state.refreshing = Refresh(Window(start, end), now)
        self._not_before = begun.since
        return [begun.window]

    @contextmanager
    def _as_far_as_calls_go(self) -> Iterator[None]:
        """Note that no call was left; what comes next may be in the journal, and cost none."""
        try:
            yield
        except QuotaExhausted as stopped:
            self._report.finished = False
            self._report.resume_at = stopped.resets_at
            if stopped.remaining is not None:
                self._report.remaining = (self._report.remaining or 0) + stopped.remaining

    def _search(self, window: Window) -> None:
        """Read a window into the lake."""
        state = self._lake.state()
        began = self._client.clock()
        query = SearchQuery(window.start, window.end)
        if is_settled(query, began) and window not in state.reading:
            state.reading.append(window)
        self._lake.save_state()
        run = self._run(SEARCH)
        reader = run.reader(query)
        try:
            reading = reader.read()
        except PulseError as problem:
            problem.remaining = reader.remaining
            raise
        finally:
            self._loader.take(run, SEARCH)
        quota = self._client.quota()
        if not reading.complete and not quota.left:  # reading again what moved was cut short
            raise QuotaExhausted("No call is left to read again what moved.", resets_at=quota.next_call_at)
        state.reading = [part for part in state.reading if not (window.start <= part.start and part.end <= window.end)]
        state.incomplete = subtract(state.incomplete, [window]) + ([] if reading.complete else [window])
        state.coverage.add(window, began, max(self._look_back, SETTLED))
        self._lake.save_state()
        self._report.asked.append(window)
        if not reading.complete:
            self._short.append(window)

    def _details(self, details: Details, design: Design | None) -> None:
        """Get details into the lake: all that cost nothing, and as many of the others as were asked for."""
        now = self._client.clock()
        kept = {} if self._refresh else self._client.answered_details()
        if design is None:
            self._buy(details, details_to_fetch(self._lake, self._wanted, now, self._look_back), kept)
            return
        sample_draw = SampleDraw(self._lake, design, self._wanted, self._look_back)
        ids = sample_draw.to_fetch()
        left = self._client.quota().left
        to_pay = [one for one in ids if one not in kept][: left if details == "all" else min(details, left)]
        sample_draw.begin([*to_pay, *(one for one in ids if one in kept)])
        try:
            self._buy(details, ids, kept)
        finally:
            self._report.sample = sample_draw.record(self._useless, came=bool(self._loader.detailed))

    def _buy(self, details: Details, ids: list[int], kept: Mapping[int, int]) -> None:
        """Get the details of sessions, in this order; how many answers of each are kept says which may cost nothing."""
        run = self._run(DETAIL)
        to_pay = run.take_kept_details(DetailQuery(tuple(one for one in ids if one in kept)))
        self._loader.take(run, DETAIL)
        # Last, whose answers were of no use twice: one that can never be read is not to stand before all others.
        again = self._useless = {one for one in to_pay if kept[one] > 1}
        chosen = [one for one in ids if one not in kept or one in to_pay]
        chosen = [one for one in chosen if one not in again] + [one for one in chosen if one in again]
        chosen = chosen if details == "all" else chosen[:details]
        try:
            run.ask_details(chosen, DetailQuery(tuple(chosen)))
        finally:
            self._take(run, DETAIL)
            self._report.missing = run.missing

    def _take(self, run: Run, endpoint: Endpoint) -> None:
        """Put what came into the lake, and whose details were asked for in vain: a killed sync would ask for those again."""
        self._loader.take(run, endpoint)
        in_vain = set(run.details_asked) - self._loader.detailed - self._in_vain
        if in_vain:
            self._lake.mark_failed(sorted(in_vain), self._client.clock())
            self._in_vain |= in_vain

    def _run(self, endpoint: Endpoint) -> Run:
        def take(run: Run) -> None:
            if not run.bodies or not run.parts[-1].kept or len(run.bodies) >= _KEPT_AT_ONCE:
                self._take(run, endpoint)

        return Run(
            self._client,
            refresh=self._not_before or False,
            progress=self._progress,
            on_answer=take,
            spent_before=self._spent_before,
        )

    def _close(self) -> None:
        """Fill in the report's figures."""
        report, loader = self._report, self._loader
        report.calls_spent = self._client.calls_spent - self._spent_before
        report.calls_saved = loader.kept
        report.rows = loader.written.rows
        report.rejected = loader.written.rejected
        report.details = len(loader.detailed)
        state = self._lake.state()
        report.coverage = state.coverage.windows()
        report.incomplete = state.incomplete
        report.left_out_before = left_out_before(state, self._wanted)
        report.quota = self._client.quota()

    def _warn(self) -> None:
        loader = self._loader
        warn_of_drift(sorted(loader.drift))
        warn_of_truncated_lists(loader.truncated)
        if self._short:
            warn(
                IncompleteWarning,
                "By the server's counts more sessions were to come than came, since its list changed while it was read: "
                f"{listed(f'{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC' for start, end in self._short)}. What has not "
                "settled yet is asked for again by the next sync; sync(refresh=True) asks for all.",
            )
        if loader.rejected:
            warn(RejectedRowsWarning, describe_rejected(pl.concat(loader.rejected)))
