"""Updates a lake within the quota: downloads what it lacks and what may have changed, in as few calls as possible."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pulseframes._arguments import check_flag
from pulseframes._progress import ProgressHook, reporting
from pulseframes.client import Answer, PulseClient, as_client
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.errors import IncompleteWarning, JournalError, PulseError, QuotaExhausted, RejectedRowsWarning, warn
from pulseframes.fetch.answers import BATCH, Fetcher
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
from pulseframes.fetch.pagination import ListReader
from pulseframes.fetch.sync_report import Loader, SyncReport
from pulseframes.flatten import describe_rejected, warn_of_drift, warn_of_truncated_lists
from pulseframes.lake import Lake, LakeState, Refresh, as_lake
from pulseframes.query import DateLike, SearchQuery
from pulseframes.sampling.design import Design
from pulseframes.windows import LOOK_BACK, SETTLED, Window, is_within, subtract

#: Details that are written to the lake together: each write rewrites the days that it touches, which takes most of a sync's time.
_CACHED_AT_A_TIME: Final = 5_000
_AT_A_TIME: Final = 50


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
    progress: ProgressHook | bool | None = None,
) -> SyncReport:
    """Update a lake for a window: download sessions, and the details of some of them.

    Downloads days that were never downloaded, days downloaded less than ``look_back`` after they ended, and sessions that were
    active. Each response is in the journal before it is read. If the journal keeps nothing, details are requested one at a time, and each is in
    the lake before the next request. When the quota runs out, the sync stops, and the next one resumes. Costs one call per 500 sessions, one per detail, and one more if a session key must be fetched first;
    nothing for what the lake or the journal has. Source: ``GET /sessions`` and ``GET /session``.

    Parameters
    ----------
    lake : Lake or path
        The lake, created if necessary. A lake holds the sessions of one application.
    date_from, date_to : str, date or datetime
        The window of the sessions' start, as for ``search_sessions()``. ``date_to`` defaults to now.
    details : int or "all"
        Number of details to download. Details in the journal are added for free and do not count.
    design : {"pageviews", "uniform", "newest"}, Design or None
        Which details: a random sample of all sessions in the window, as ``choose_details()`` draws it, which grows from sync to
        sync and is recorded in the lake's ``design`` for ``estimate()``; or the newest sessions, those without details first,
        ended before active ones, which represent no others. Default: the lake's last design, or ``"pageviews"``.
    look_back : datetime.timedelta
        How long sessions can change or arrive late: 24 hours.
    client : PulseClient or None
        Default: a client of the environment, which is kept for the next call.
    refresh : bool
        Download the whole window again, ignoring cached responses. If the quota runs out, the next refresh with the same
        ``date_from`` resumes it.
    progress : callable, bool or None
        Called with a ``Progress`` after each page and each detail. True shows a bar with the calls spent and left, False none; None shows it if the call
        takes more than 2 seconds and stderr is a terminal or this is a notebook.

    Returns
    -------
    SyncReport
        Calls spent and saved, new rows, and coverage. If the quota ran out first, ``finished`` is False and ``resume_at`` says
        when to continue.

    Raises
    ------
    InvalidQuery
        If an argument is invalid, before any call is spent; or if the server rejects the query.
    LakeError
        If the lake cannot be read or written, or holds another application's sessions.
    CredentialsMissing, AuthenticationFailed, ServerError, MalformedAnswer, JournalError
        If a call fails; ``partial`` has the ``SyncReport`` so far, and what was received is in the lake.

    Warns
    -----
    RejectedRowsWarning
        If rows break the schema; they are in the lake's ``rejected``.
    IncompleteWarning
        If a window's sessions are not exactly those that the server reported, or a list looks truncated.
    SchemaDriftWarning
        If the server sent unknown fields or values.

    See Also
    --------
    plan : What it would cost.
    Lake : Reads what it wrote.
    estimate : Estimates figures for all sessions from its sample.

    Examples
    --------
    >>> report = pf.sync("lake", "2026-11-09", "2026-11-16", details=60, design="pageviews")
    >>> report.finished
    True
    """
    check_details(details)
    check_look_back(look_back)
    check_flag("refresh", refresh)
    client = as_client(client)
    wanted = wanted_window(date_from, date_to, client.clock())
    lake = as_lake(lake)
    with reporting(progress, lambda: client.quota().left) as hook:
        fetcher = Fetcher(client, progress=hook)
        return _Sync(lake, fetcher, wanted, look_back).run(details, design, refresh=refresh)


class _Sync:
    """A sync under way."""

    def __init__(self, lake: Lake, fetcher: Fetcher, wanted: Window, look_back: timedelta) -> None:
        self._lake = lake
        self._fetcher = fetcher
        self._client = fetcher.client
        self._wanted = wanted
        self._look_back = look_back
        self._loader = Loader(lake)
        self._unreadable: set[int] = set()
        self._incomplete: dict[Window, str] = {}
        self._report = SyncReport(lake.location)

    def run(self, details: Details, design: Design | str | None, *, refresh: bool) -> SyncReport:
        """Search, then download details, until everything is there or the quota runs out."""
        with self._lake.locked() as state:
            check_lake(self._lake, state, self._client.application)
            chosen = design_to_use(state, design)
            state.application = self._client.application
            try:
                self._search_all(state, refresh=refresh)
                if details:
                    with self._until_quota_runs_out():
                        self._fetch_details(details, chosen, refresh=refresh)
            except PulseError as problem:
                self._fill_report()
                problem.partial = self._report
                raise
            if refresh and self._report.finished:
                state.refreshing = None
                self._lake.save_state()
            self._fill_report()
        self._warn()
        return self._report

    def _search_all(self, state: LakeState, *, refresh: bool) -> None:
        now = self._client.clock()
        if refresh:
            windows = self._windows_to_refresh(state, now)
        else:
            windows = windows_to_fetch(self._lake, state, self._wanted, now, self._look_back)
        for window in windows:
            with self._until_quota_runs_out():
                self._search(state, window)
        if self._report.finished:
            state.active_asked_at = now
            self._lake.save_state()

    def _windows_to_refresh(self, state: LakeState, now: datetime) -> list[Window]:
        """Return the window to download again: a refresh that was begun resumes, and reuses the answers since then."""
        start, end = left_out_before(state, self._wanted) or self._wanted.start, self._wanted.end
        if start >= end:
            return []
        begun = state.refreshing
        if begun is None or begun.window.start != start or begun.window.end > end:
            begun = state.refreshing = Refresh(Window(start, end), now)
        self._fetcher.refresh = begun.since
        return [begun.window]

    @contextmanager
    def _until_quota_runs_out(self) -> Iterator[None]:
        """Record that the quota ran out. The next step may be cached, and cost nothing."""
        try:
            yield
        except QuotaExhausted as stopped:
            self._report.finished = False
            self._report.resume_at = stopped.resets_at
            if stopped.remaining is not None:
                self._report.remaining = (self._report.remaining or 0) + stopped.remaining

    def _search(self, state: LakeState, window: Window) -> None:
        """Download the sessions of a window."""
        began = self._client.clock()
        query = SearchQuery(window.start, window.end)
        if self._fetcher.is_settled(query) and window not in state.reading:
            state.reading.append(window)
        self._lake.save_state()
        reader = ListReader(self._fetcher, query, repair_calls=self._client.settings.repair_calls)
        try:
            for answers in _in_batches(self._fetcher.read(reader)):
                self._loader.add(answers, SEARCH)
                # By the server's clock, if this machine's is wrong.
                began = min(began, *(answer.asked_at for answer in answers))
        except PulseError as problem:
            problem.remaining = reader.reading.remaining
            raise
        complete = reader.reading.complete
        if not complete and not (quota := self._client.quota()).left:
            message = "The quota ran out before the pages that moved were read again."
            raise QuotaExhausted(message, resets_at=quota.next_call_at)
        # What is missing is requested again by the next sync. If it is still missing then, it is accepted as missing.
        if complete or is_within(window, state.incomplete):
            state.reading = [part for part in state.reading if not is_within(part, [window])]
        lacks_nothing = reader.reading.lacks_nothing
        state.incomplete = subtract(state.incomplete, [window]) + ([] if lacks_nothing else [window])
        state.coverage.add(window, began, max(self._look_back, SETTLED))
        self._lake.save_state()
        self._report.asked.append(window)
        if not lacks_nothing:
            self._incomplete[window] = reader.reading.problem

    def _fetch_details(self, details: Details, design: Design | None, *, refresh: bool) -> None:
        """Download details: all that are cached, and as many of the others as were requested."""
        kept = {} if refresh else self._client.answered_details()
        if design is None:
            ids = details_to_fetch(self._lake, self._wanted, self._client.clock(), self._look_back)
            self._load_details(details, ids, kept)
            return
        draw = SampleDraw(self._lake, design, self._wanted)
        ids = draw.pending()
        paid = [session_id for session_id in ids if session_id not in kept]
        if paid:  # a shared ledger is asked, and may be out of reach
            left = self._fetcher.calls_left()
            paid = paid[: left if details == "all" else min(details, left)]
        draw.begin([*paid, *(session_id for session_id in ids if session_id in kept)])
        try:
            self._load_details(details, ids, kept)
        finally:
            self._report.sample = draw.record(self._unreadable, latest=bool(self._loader.detailed))

    def _load_details(self, details: Details, ids: list[int], kept: Mapping[int, int]) -> None:
        """Load details in this order; ``kept`` has the number of cached answers of each session."""
        cached: list[Answer] = []
        for batch in self._fetcher.kept_details([session_id for session_id in ids if session_id in kept]):
            cached += batch.values()
            if len(cached) >= _CACHED_AT_A_TIME:
                self._loader.add(cached, DETAIL)
                cached = []
        self._loader.add(cached, DETAIL)
        # A cached answer that breaks the schema is not loaded, so its session is fetched once more.
        loaded = self._loader.detailed.union(self._fetcher.missing)
        pending = [session_id for session_id in ids if session_id not in loaded]
        # Sessions whose answers were useless twice come last: one that can never be read must not block the others.
        self._unreadable = {session_id for session_id in pending if kept.get(session_id, 0) > 1}
        pending.sort(key=self._unreadable.__contains__)
        self._load_paid_details(pending if details == "all" else pending[:details])

    def _load_paid_details(self, ids: Sequence[int]) -> None:
        """Fetch details, and write those to the lake together that the journal has, so that none is lost or paid for again."""
        answers: dict[int, Answer | None] = {}
        # Without a journal on disk, each answer is in the lake before the next call is sent.
        at_once = 1 if self._client.journal.path is None else None
        try:
            with closing(self._fetcher.paid_details(ids, at_once=at_once)) as paid:
                for session_id, answer in paid:
                    answers[session_id] = answer
                    # The journal answers 404 for some minutes only: a sync that is killed would soon ask for the session again.
                    if answer is None or not answer.recorded or len(answers) == _AT_A_TIME:
                        complete, answers = answers, {}
                        self._write_details(complete)
        finally:
            self._write_details(answers)
            self._report.missing = self._fetcher.missing

    def _write_details(self, answers: Mapping[int, Answer | None]) -> None:
        self._loader.add([answer for answer in answers.values() if answer is not None], DETAIL)
        if failed := [session_id for session_id in answers if session_id not in self._loader.detailed]:
            self._lake.mark_failed(failed, self._client.clock())

    def _fill_report(self) -> None:
        report, loader = self._report, self._loader
        report.calls_spent = self._fetcher.calls_spent
        report.calls_saved = loader.kept
        report.rows = loader.written.rows
        report.rejected = loader.written.rejected
        report.details = len(loader.detailed)
        state = self._lake.state()
        report.coverage = state.coverage.windows()
        report.incomplete = state.incomplete
        report.left_out_before = left_out_before(state, self._wanted)
        with suppress(JournalError):  # no call was needed, or the sync's own error says it
            report.quota = self._client.quota()

    def _warn(self) -> None:
        loader = self._loader
        warn_of_drift(sorted(loader.drift))
        warn_of_truncated_lists(loader.truncated)
        if self._incomplete:
            problems = (
                f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: {problem}"
                for (start, end), problem in self._incomplete.items()
            )
            warn(
                IncompleteWarning,
                f"{' '.join(problems)} A sync of the same days requests once more what the server did not send.",
                python="sync(refresh=True) requests everything again.",
                cli="With --refresh, it requests everything again.",
            )
        if loader.rejected:
            warn(RejectedRowsWarning, describe_rejected(pl.concat(loader.rejected)))


def _in_batches(answers: Iterable[Answer]) -> Iterator[list[Answer]]:
    """Yield cached answers in batches, and each answer that was paid for at once."""
    kept: list[Answer] = []
    try:
        for answer in answers:
            kept.append(answer)
            if not answer.kept or len(kept) == BATCH:
                yield kept
                kept = []
    except PulseError:
        if kept:
            yield kept
        raise
    if kept:
        yield kept
