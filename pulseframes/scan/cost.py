"""What a lazy query would cost, without running it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

import polars as pl

from pulseframes._arguments import check_flag, check_type
from pulseframes.client import PulseClient, as_client
from pulseframes.endpoints import SEARCH
from pulseframes.errors import InvalidQuery, QuotaExhausted
from pulseframes.fetch.answers import Fetcher
from pulseframes.fetch.forecast import Plan, PlannedWindow, forecast
from pulseframes.fetch.pagination import kept_pages
from pulseframes.fetch.plan import counts_in_journal
from pulseframes.query import SearchQuery
from pulseframes.scan.bounds import bounds_of
from pulseframes.scan.source import ApiScan, Question, find_ids, rehearsals, rehearsing

_SINK: Final = re.compile(r"^\s*SINK", re.MULTILINE)
_numbers: Final = count(1)


def cost(query: pl.LazyFrame, *, probe: bool = True) -> Plan:
    """Forecast the calls that a lazy query takes, without running it.

    Costs at most one call per search, for its first page, which the query then does not need again; none if the journal has
    that page or without ``probe``.

    Parameters
    ----------
    query : polars.LazyFrame
        A query over scans of the API: ``scan_sessions()``, ``scan_page_views()`` or ``scan_errors()``.
    probe : bool
        Whether calls may be spent to count sessions. If none is left, counts stay unknown.

    Returns
    -------
    Plan
        The searches, the details, and the calls and days they take. If the sessions are not known yet, ``details`` is the most
        that there can be.

    Raises
    ------
    InvalidQuery
        If the query has no scan of the API, a scan has no start, it writes a file, it cannot be copied, or it fails on empty tables.
    CredentialsMissing, AuthenticationFailed, ServerError, MalformedAnswer, JournalError
        If a probe fails.

    Notes
    -----
    A copy of the query runs over empty tables, to learn what it would ask. Functions of yours that it contains run too.

    Examples
    --------
    >>> monday = pf.scan_sessions(date_from="2026-11-09", date_to="2026-11-10")
    >>> print(pf.cost(monday))
    Search 2026-11-09 00:00 to 2026-11-10 00:00: ...
    """
    check_type("query", query, pl.LazyFrame, "a polars LazyFrame, such as scan_sessions(date_from='7d')")
    check_flag("probe", probe)
    asked = _rehearse(query)
    clients = list({id(client): client for scan, _ in asked if (client := as_client(scan.client))}.values())
    if len(clients) != 1:
        what = (
            "no scan of the API, so it costs no calls"
            if not clients
            else f"scans of {len(clients)} clients, whose quotas differ"
        )
        raise InvalidQuery(f"query: it has {what}. cost() takes a query over scans of one client.", argument="query")
    client, spent_before = clients[0], clients[0].calls_spent
    searches = dict.fromkeys(search for _, question in asked for search in question.searches)
    planned = {search: _planned(client, search, probe=probe) for search in searches}
    to_download, kept = _details(asked, planned, client)
    return forecast(client, list(planned.values()), to_download, kept, spent_before)


@dataclass(frozen=True)
class _Rehearsal:
    """Stands in for a scan: notes what it would ask, and yields no rows."""

    scan: ApiScan
    asked: list[tuple[ApiScan, Question]]

    def __call__(
        self, columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del batch_size
        self.scan.check(predicate)
        question = self.scan.question(bounds_of(predicate), n_rows, as_client(self.scan.client).clock())
        self.asked.append((self.scan, question))
        yield self.scan.schema.to_frame().select(columns or list(self.scan.schema))


def _rehearse(query: pl.LazyFrame) -> list[tuple[ApiScan, Question]]:
    """Run a copy of a query whose scans yield no rows, and return what they would ask."""
    asked: list[tuple[ApiScan, Question]] = []
    numbers: list[int] = []

    def register(scan: ApiScan) -> int:
        number = next(_numbers)
        rehearsals[number] = _Rehearsal(scan, asked)
        numbers.append(number)
        return number

    try:
        if _SINK.search(query.explain(optimized=False)):
            raise InvalidQuery(
                "query: it writes a file. Ask for the cost before sink_parquet() or the like.", argument="query"
            )
        copy = _copied(query, register)
        pl.LazyFrame.deserialize(io.BytesIO(copy)).collect(engine="in-memory")
    except pl.exceptions.PolarsError as problem:
        raise InvalidQuery(f"query: its copy over empty tables failed: {problem}", argument="query") from problem
    finally:
        for number in numbers:
            del rehearsals[number]
    return asked


def _copied(query: pl.LazyFrame, register: Callable[[ApiScan], int]) -> bytes:
    token = rehearsing.set(register)
    try:
        return query.serialize()
    finally:
        rehearsing.reset(token)


def _planned(client: PulseClient, search: SearchQuery, *, probe: bool) -> PlannedWindow:
    counts = counts_in_journal(Fetcher(client), search)
    if counts is None and probe:
        # The first page tells the count, and the search that follows does not need it again.
        with suppress(QuotaExhausted):
            Fetcher(client).paid_page(search, 0, SEARCH.page_size)
            counts = counts_in_journal(Fetcher(client), search)
    if counts is not None and _lacks_sessions(client, search, counts[0]):
        # The search requests what the cached pages lack; how much that takes, they cannot tell.
        return PlannedWindow(*search.window, sessions=search.wanted(counts[0]), calls=1, kept=counts[1], estimated=True)
    if counts is None:
        return PlannedWindow(*search.window, sessions=None, calls=None, kept=0, estimated=False)
    total, pages = counts
    return PlannedWindow(
        *search.window, search.wanted(total), max(0, search.calls(total) - pages), pages, estimated=False
    )


def _lacks_sessions(client: PulseClient, search: SearchQuery, total: int) -> bool:
    """Return whether all pages are cached, and do not have all sessions."""
    pages = [*kept_pages(Fetcher(client), search, search.skip, total)]
    ids = {session_id for page in pages for session_id in page.ids}
    reaches_the_end = search.calls(total) <= len(pages)
    return reaches_the_end and len(ids) < search.wanted(total)


def _details(
    asked: list[tuple[ApiScan, Question]], planned: dict[SearchQuery, PlannedWindow], client: PulseClient
) -> tuple[int | None, int]:
    """Return how many details are to be downloaded, and how many the journal has."""
    ids: set[int] = set()
    unknown: dict[SearchQuery, int | None] = {}
    for scan, question in asked:
        if not scan.has_details:
            continue
        if question.ids is not None:
            ids.update(question.ids)
        elif all(planned[search].calls == 0 for search in question.searches):
            ids.update(find_ids(question, client))
        else:
            unknown |= {search: planned[search].sessions for search in question.searches}
    fetcher, totals = Fetcher(client), list(unknown.values())
    kept = sum(map(len, fetcher.kept_details(sorted(ids))))
    pending = len(ids) - kept - len(fetcher.missing)
    return None if None in totals else pending + sum(filter(None, totals)), kept
