"""A scan as polars runs it: a filter becomes searches and details, and their answers become rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import polars as pl

from pulseframes.client import PulseClient, as_client
from pulseframes.errors import InvalidQuery, PulseError
from pulseframes.fetch.sessions import search_sessions, session_details
from pulseframes.query import EVER, SearchQuery
from pulseframes.scan.bounds import SEARCHED, START, Bounds, bounds_of
from pulseframes.tables import SESSIONS
from pulseframes.tables.columns import Table
from pulseframes.windows import FRESH, Window

#: The columns that a row of a page view or an error has of its session.
OF_SESSION: Final = pl.Schema({name: SESSIONS[name].dtype for name in SEARCHED})
#: While the cost of a query is asked for: registers a scan, and returns the number of its rehearsal.
rehearsing: Final[ContextVar[Callable[[ApiScan], int] | None]] = ContextVar("rehearsing", default=None)
#: Rehearsals by their numbers: what polars runs instead of a scan to learn what it would ask.
rehearsals: Final[dict[int, Callable[..., Iterator[pl.DataFrame]]]] = {}


def rehearsal(number: int) -> Callable[..., Iterator[pl.DataFrame]]:
    """Return the rehearsal with a number."""
    return rehearsals[number]


@dataclass(frozen=True)
class Question:
    """What a scan asks of the API.

    Attributes
    ----------
    searches : tuple of SearchQuery
        The searches.
    ids : tuple of int or None
        The details to fetch, if no search is needed to know them.
    bounds : Bounds
        What the sessions must have whose details are fetched.
    """

    searches: tuple[SearchQuery, ...]
    ids: tuple[int, ...] | None = None
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True)
class ApiScan:
    """Gives polars the rows of one table.

    Attributes
    ----------
    table : Table
        The table.
    window : Window
        Only sessions that started in it.
    client : PulseClient or None
        The client; None for that of the environment.
    """

    table: Table
    window: Window
    client: PulseClient | None

    @property
    def has_details(self) -> bool:
        """Whether the rows are in details."""
        return self.table is not SESSIONS

    @property
    def schema(self) -> pl.Schema:
        """The columns of the scan."""
        return pl.Schema({**self.table.schema, **OF_SESSION}) if self.has_details else self.table.schema

    def __call__(
        self, columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows. This is the interface of polars' IO sources."""
        del batch_size  # the rows are one batch: they fit into memory, as the calls of a day are few
        self.check(predicate)
        client = as_client(self.client)
        rows = self._rows(predicate, n_rows, client)
        if n_rows is not None and rows.height < n_rows:  # the first sessions were not enough
            rows = self._rows(predicate, None, client)
        yield rows.head(rows.height if n_rows is None else n_rows).select(columns or list(self.schema))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the scan or, while the cost of a query is asked for, its rehearsal."""
        rehearse = rehearsing.get()
        return (ApiScan, (self.table, self.window, self.client)) if rehearse is None else (rehearsal, (rehearse(self),))

    def check(self, predicate: pl.Expr | None) -> None:
        """Raise what polars raises if a filter does not suit the columns, such as a time without a zone: before a call is spent."""
        if predicate is not None:
            self.schema.to_frame().filter(predicate)

    def question(self, bounds: Bounds, limit: int | None, now: datetime) -> Question:
        """Return what the API has to be asked.

        Raises
        ------
        InvalidQuery
            If no start of the window is known.
        """
        if self.has_details and bounds.ids is not None:
            return Question((), tuple(sorted(bounds.ids)))
        windows = self._windows(bounds, now)
        searches = tuple(_search(window, bounds, limit if len(windows) == 1 else None) for window in windows)
        return Question(searches, bounds=bounds)

    def _rows(self, predicate: pl.Expr | None, limit: int | None, client: PulseClient) -> pl.DataFrame:
        question = self.question(bounds_of(predicate), limit, client.clock())
        if not self.has_details:
            rows = _sessions(question, client)
        elif limit is None:
            rows = self._details(find_ids(question, client), client)
        else:
            rows = self._first_details(find_ids(question, client), limit, client)
        rows = rows.filter(pl.col(START).is_between(*self.window, closed="left"))
        return rows if predicate is None else rows.filter(predicate)

    def _windows(self, bounds: Bounds, now: datetime) -> list[Window]:
        """Return the windows to search. One without an end ends with the present quarter of an hour, so that its answers are reused."""
        given, ends = self.window, now + FRESH - (now - EVER.start) % FRESH
        windows = [Window(max(start, given.start), min(end, given.end)) for start, end in bounds.windows]
        if any(window.start == EVER.start for window in windows):
            raise InvalidQuery(
                f"scan_{self.table.name}(): no start of the time window is known, and to read all of time could take all calls. Filter "
                "on session_start before any other step, such as .filter(pl.col('session_start') >= datetime(2026, 11, 9, tzinfo=UTC)), "
                f"or pass the start: scan_{self.table.name}(date_from='7d').",
                argument="date_from",
            )
        windows = [Window(start, ends if end == EVER.end else end) for start, end in windows]
        return [window for window in windows if window.start < window.end]

    def _first_details(self, ids: Iterable[int], count: int, client: PulseClient) -> pl.DataFrame:
        """Fetch details one by one, until there are enough rows."""
        rows, done = self.schema.to_frame(), list[int]()
        for session_id in ids:
            if rows.height >= count:
                break
            try:
                rows = pl.concat([rows, self._details([session_id], client)])
            except PulseError as problem:
                problem.partial = session_details(done, client=client)  # all of them were fetched a moment ago
                raise
            done.append(session_id)
        return rows

    def _details(self, ids: Iterable[int], client: PulseClient) -> pl.DataFrame:
        frames = session_details(ids, client=client)
        of_session = frames.sessions.select("session_id", *OF_SESSION)
        return frames[self.table.name].join(of_session, on="session_id", how="left", maintain_order="left")


def _search(window: Window, bounds: Bounds, limit: int | None) -> SearchQuery:
    """Return a search as narrow as the API allows: by any number of countries and one user."""
    codes, users = bounds.countries, bounds.users
    is_code = codes is not None and all(len(code) == 2 and code.isascii() and code.isalpha() for code in codes)  # noqa: PLR2004
    user = next(iter(users)) if users is not None and len(users) == 1 else None
    return SearchQuery.parse(
        *window,
        country=sorted(codes) if codes and is_code else None,
        user_identifier=user if user and user.strip() else None,
        limit=limit,
    )


def find_ids(question: Question, client: PulseClient) -> list[int]:
    """Return the ids of the sessions whose details are needed."""
    if question.ids is not None:
        return list(question.ids)
    sessions = _sessions(question, client)
    start, bounds = pl.col(START), question.bounds
    in_windows = [start.is_between(*query.window, closed="left") for query in question.searches]
    sessions = sessions.filter(pl.any_horizontal(in_windows or pl.lit(value=False)))
    for name, values in (("country", bounds.countries), ("user_identifier", bounds.users)):
        sessions = sessions if values is None else sessions.filter(pl.col(name).is_in(list(values)))
    return sessions["session_id"].to_list()


def _sessions(question: Question, client: PulseClient) -> pl.DataFrame:
    """Return the sessions of all searches, each once: two windows may share a session that started where they meet."""
    found = [
        search_sessions(
            *query.window,
            user_identifier=query.user_identifier,
            country=query.country or None,
            limit=query.limit,
            client=client,
        )
        for query in question.searches
    ]
    return pl.concat([SESSIONS.empty(), *found]).unique("session_id", keep="first", maintain_order=True)
