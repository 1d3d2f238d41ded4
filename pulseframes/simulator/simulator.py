"""The simulator: a population, a clock and the API over them, on a port or in process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import polars as pl

from pulseframes.simulator.access import Credentials
from pulseframes.simulator.app import BASE_PATH, DEFAULT_HOST, App, Request, Rules
from pulseframes.simulator.clock import Clock, to_instant
from pulseframes.simulator.documents import write_detail
from pulseframes.simulator.faults import Faults
from pulseframes.simulator.population import Population
from pulseframes.simulator.responses import Response
from pulseframes.simulator.server import Server
from pulseframes.simulator.sessions import Session
from pulseframes.simulator.truth import detail_frames, summary_frame

When = str | date | datetime


class Simulator:
    """A Pulse server that follows the API's documentation, with a made-up shop's sessions.

    As a context manager it serves on a loopback port; `handle` answers with no server at all.

    Parameters
    ----------
    sessions : int
        How many sessions start in the `days` before `now`. Later ones follow at the same pace as the clock moves.
        Any number: a session is computed when it is asked for.
    seed : int
        The same seed, `sessions`, `days` and `now` give the same sessions on any machine.
    days : int
        The length of the history.
    now : datetime or None
        A time with a time zone, at which the clock stands until `advance`; None is the present, on a running clock.
    daily_limit : int or None
        Calls in any 24 hours by the clock; None is no limit, and 0 allows none. (``pulseframes simulate --daily-limit 0`` is no limit.)
    count_authenticate : bool
        Whether authenticate calls count.
    post_only : bool
        Whether authenticate answers 405 to GET.
    api_key, client_id, client_secret : str
        The credentials that it accepts.
    port : int
        The port; 0 is any free one.

    Raises
    ------
    ValueError
        If a parameter has no such value.
    """

    def __init__(
        self,
        *,
        sessions: int = 20_000,
        seed: int = 1,
        days: int = 28,
        now: datetime | None = None,
        daily_limit: int | None = 50,
        count_authenticate: bool = True,
        post_only: bool = False,
        api_key: str = "simulator-api-key",
        client_id: str = "simulator-client-id",
        client_secret: str = "simulator-client-secret",  # noqa: S107 - made up, and opens nothing but a simulator
        port: int = 0,
    ) -> None:
        self.api_key = api_key
        self.client_id = client_id
        self.client_secret = client_secret
        self._port = port
        self._server: Server | None = None
        self._clock = Clock(now)
        self._population = Population(sessions=sessions, seed=seed, days=days, now=self._clock.now())
        self._app = App(
            population=self._population,
            clock=self._clock,
            credentials=Credentials(api_key, client_id, client_secret),
            rules=Rules(daily_limit, count_authenticate, post_only),
        )

    def start(self) -> None:
        """Serve on the port, in the background; a second call changes nothing.

        Raises
        ------
        OSError
            If the port is taken.
        """
        if self._server is None:
            self._server = Server(self._app, self._port)

    def stop(self) -> None:
        """Stop serving and close every connection; `start` serves again."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The API's base address; one without a port while nothing is served."""
        return f"http://{DEFAULT_HOST if self._server is None else self._server.host}{BASE_PATH}"

    @property
    def now(self) -> datetime:
        """The clock's time, in UTC."""
        return self._clock.now()

    @property
    def begin(self) -> datetime:
        """The start of the history, in UTC; no session starts before."""
        return self._population.begin

    @property
    def faults(self) -> Faults:
        """The faults to come."""
        return self._app.faults

    @property
    def requests(self) -> list[Request]:
        """The requests so far, oldest first; of very many, the last 100,000."""
        return self._app.requests

    @property
    def calls(self) -> int:
        """The number of requests so far."""
        return self._app.calls

    def advance(
        self, by: timedelta = timedelta(), *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Move the clock forward, by the sum of all that is given.

        Parameters
        ----------
        by : datetime.timedelta
            A length of time.
        days, hours, minutes, seconds : float
            More of it, in these units.

        Raises
        ------
        ValueError
            If that is backward.
        """
        self._clock.advance(by + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))

    def remove(self, *session_ids: int) -> None:
        """Let sessions be gone from now on, as if the server had deleted them: lists get shorter.

        Parameters
        ----------
        *session_ids : int
            Their ids.

        Raises
        ------
        KeyError
            If there is no such session.
        """
        for session_id in session_ids:
            number = self._population.find(session_id, self.now)
            if number is None:
                raise KeyError(session_id)
            self._population.remove(number)

    def handle(
        self,
        method: str,
        path: str,
        query: str | Mapping[str, str | int | Sequence[str]] = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer a request in process.

        Parameters
        ----------
        method : str
            The HTTP method.
        path : str
            The path, such as ``/api/v1/pulse/sessions``.
        query : str or mapping
            The parameters, as text or by name.
        headers : mapping or None
            The request's headers; case does not matter.

        Returns
        -------
        Response
            With ``status``, ``headers`` and ``body``.
        """
        return self._app.handle(method, path, query, headers)

    def truth(self, date_from: When | None = None, date_to: When | None = None) -> dict[str, pl.DataFrame]:
        """Return what a faultless client would make of the details of a window's sessions, as of now.

        Parameters
        ----------
        date_from, date_to : str, date, datetime or None
            The window, ``date_from <= session_start < date_to``; None is all that has happened. Naive is UTC.

        Returns
        -------
        dict of str to polars.DataFrame
            ``sessions``, in the order of session_start, session_id; ``page_views`` and ``errors``, in that of their
            keys; each with the declared schema.
        """
        return detail_frames(self._sessions(date_from, date_to), self.url)

    def summaries(self, date_from: When | None = None, date_to: When | None = None) -> pl.DataFrame:
        """Return what a faultless client would make of a search of a window, as of now.

        Parameters
        ----------
        date_from, date_to : str, date, datetime or None
            As in `truth`.

        Returns
        -------
        polars.DataFrame
            The sessions, in the order of session_start, session_id; null in columns that only a detail answer has.
        """
        return summary_frame(self._sessions(date_from, date_to), self.url)

    def detail(self, session_id: int) -> dict[str, Any]:
        """Return the document that the API would send for a session now, and spend no call.

        Parameters
        ----------
        session_id : int
            The session's id.

        Returns
        -------
        dict
            The decoded JSON.

        Raises
        ------
        KeyError
            If there is no such session.
        """
        now = self.now
        number = self._population.find(session_id, now)
        if number is None:
            raise KeyError(session_id)
        return {"session": write_detail(self._population.session(number, now), self.url)}

    def _sessions(self, date_from: When | None, date_to: When | None) -> Iterator[Session]:
        now = self.now
        until = now + timedelta.resolution
        end = until if date_to is None else min(to_instant(date_to), until)
        begin = self.begin if date_from is None else min(to_instant(date_from), end)
        numbers = self._population.between(begin, end)
        return (self._population.session(number, now) for number in numbers if number not in self._population.removed)
