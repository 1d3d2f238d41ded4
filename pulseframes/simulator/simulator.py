"""The simulator: a population, a clock and the API over them, on a port or in process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import polars as pl

from pulseframes.endpoints import DETAIL
from pulseframes.simulator.access import Clock, Credentials, Response
from pulseframes.simulator.app import BASE_PATH, DEFAULT_HOST, App, Request, to_instant
from pulseframes.simulator.documents import detail_frames, summary_frame, write_detail
from pulseframes.simulator.faults import Faults
from pulseframes.simulator.population import Population
from pulseframes.simulator.server import Server
from pulseframes.simulator.sessions import Session

if TYPE_CHECKING:
    import pulseframes as pf

When = str | date | datetime

#: The limit of a client, if the simulator has none.
_NO_LIMIT: Final = 1_000_000


class Simulator:
    """A Pulse server that follows the API's documentation, with the sessions of a simulated shop.

    As a context manager it serves on a loopback port; `handle` answers without a server.

    Parameters
    ----------
    sessions : int
        The number of sessions that start in the `days` before `now`. Later ones follow at the same pace as the clock
        moves. The number can be very large, as a session is computed when it is needed.
    seed : int
        The same seed, `sessions`, `days` and `now` give the same sessions on any machine.
    days : int
        The length of the history.
    now : datetime or None
        A time with a time zone, at which the clock stands until `advance`. None is the present, on a running clock.
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
        If a parameter is not valid.

    Examples
    --------
    >>> from pulseframes.simulator import Simulator
    >>> with Simulator(sessions=1_000, seed=7) as simulator:
    ...     with simulator.client() as client:
    ...         sessions = pf.search_sessions(simulator.begin, simulator.now, client=client)
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
        client_secret: str = "simulator-client-secret",  # noqa: S107 - it opens nothing but a simulator
        port: int = 0,
    ) -> None:
        self.api_key = api_key
        self.client_id = client_id
        self.client_secret = client_secret
        self._port = port
        self._server: Server | None = None
        self._daily_limit = _NO_LIMIT if daily_limit is None else daily_limit
        self._clock = Clock(now)
        self._population = Population(sessions=sessions, seed=seed, days=days, now=self._clock.now())
        self._app = App(
            self._population,
            self._clock.now,
            Credentials(api_key, client_id, client_secret),
            daily_limit=daily_limit,
            count_authenticate=count_authenticate,
            post_only=post_only,
        )

    def start(self) -> None:
        """Serve on the port, in the background; a second call does nothing.

        Raises
        ------
        OSError
            If the port is taken.

        Examples
        --------
        >>> simulator = Simulator(sessions=100)
        >>> simulator.start()
        >>> simulator.url
        'http://127.0.0.1:.../api/v1/pulse'
        >>> simulator.stop()
        """
        if self._server is None:
            self._server = Server(self._app, self._port)

    def stop(self) -> None:
        """Stop serving and close every connection; `start` serves again.

        Examples
        --------
        >>> simulator = Simulator(sessions=100)
        >>> simulator.start()
        >>> simulator.stop()
        """
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

    def client(self, **settings: Any) -> pf.PulseClient:
        """Return a client with the simulator's credentials, clock and daily limit. It keeps nothing on disk.

        ``"7d"``, ``"today"`` and ``"yesterday"`` are days of this machine's clock, also if the simulator stands at another time.

        Starts to serve, unless it does so already.

        Parameters
        ----------
        **settings
            Arguments of ``Settings`` to use instead, such as ``home`` or ``daily_limit``.

        Returns
        -------
        PulseClient
            The client. Close it, or use it as a context manager.

        Raises
        ------
        InvalidQuery
            If a setting is invalid.

        Examples
        --------
        >>> with Simulator(daily_limit=None) as simulator, simulator.client(home="journal") as client:
        ...     sessions = pf.search_sessions(simulator.now.date(), simulator.now, client=client)
        """
        import pulseframes as pf  # as a user's code would; the server knows no client

        self.start()
        defaults: dict[str, Any] = {"base_url": self.url, "home": ":memory:", "daily_limit": max(1, self._daily_limit)}
        return pf.PulseClient(
            pf.Credentials(self.api_key, self.client_id, self.client_secret),
            settings=pf.Settings(**(defaults | settings)),
            clock=lambda: self.now,
        )

    @property
    def url(self) -> str:
        """The API's base address, without a port while nothing is served.

        Examples
        --------
        >>> with Simulator(sessions=100) as simulator:
        ...     settings = pf.Settings(base_url=simulator.url)
        """
        return f"http://{DEFAULT_HOST if self._server is None else self._server.host}{BASE_PATH}"

    @property
    def now(self) -> datetime:
        """The clock's time, in UTC.

        Examples
        --------
        >>> simulator = Simulator(sessions=100, now=datetime(2026, 11, 20, tzinfo=UTC))
        >>> simulator.now.isoformat()
        '2026-11-20T00:00:00+00:00'
        """
        return self._clock.now()

    @property
    def begin(self) -> datetime:
        """The start of the history, in UTC; no session starts before it.

        Examples
        --------
        >>> simulator = Simulator(sessions=100, days=7, now=datetime(2026, 11, 20, tzinfo=UTC))
        >>> simulator.begin.isoformat()
        '2026-11-13T00:00:00+00:00'
        """
        return self._population.begin

    @property
    def faults(self) -> Faults:
        """The faults still to come: ``add()`` some, or ``clear()`` them.

        Examples
        --------
        >>> from pulseframes.simulator import Fault
        >>> simulator = Simulator(sessions=100)
        >>> simulator.faults.add(Fault(kind="status", status=503))
        >>> len(simulator.faults)
        1
        """
        return self._app.faults

    @property
    def requests(self) -> list[Request]:
        """The last 100,000 requests, oldest first.

        Examples
        --------
        >>> simulator = Simulator(sessions=100)
        >>> answer = simulator.handle("GET", "/api/v1/pulse/sessions")
        >>> [(request.method, request.status) for request in simulator.requests]
        [('GET', 401)]
        """
        return self._app.requests

    @property
    def calls(self) -> int:
        """The number of requests so far.

        Examples
        --------
        >>> simulator = Simulator(sessions=100)
        >>> answer = simulator.handle("GET", "/api/v1/pulse/sessions")
        >>> simulator.calls
        1
        """
        return self._app.calls

    def advance(
        self, by: timedelta = timedelta(), *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Move the clock forward, by the sum of the arguments.

        Parameters
        ----------
        by : datetime.timedelta
            A duration.
        days, hours, minutes, seconds : float
            Durations in these units.

        Raises
        ------
        ValueError
            If the sum is negative.

        Examples
        --------
        >>> simulator = Simulator(sessions=100, now=datetime(2026, 11, 20, tzinfo=UTC))
        >>> simulator.advance(days=1, minutes=2)  # the next day's calls
        >>> simulator.now.isoformat()
        '2026-11-21T00:02:00+00:00'
        """
        self._clock.advance(by + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))

    def remove(self, *session_ids: int) -> None:
        """Delete sessions, so that lists get shorter.

        Parameters
        ----------
        *session_ids : int
            Their ids.

        Raises
        ------
        KeyError
            If there is no such session.

        Examples
        --------
        >>> simulator = Simulator(sessions=100)
        >>> before = simulator.summaries()
        >>> simulator.remove(before["session_id"][0])
        >>> len(before) - len(simulator.summaries())
        1
        """
        for session_id in session_ids:
            self._population.remove(self._number(session_id, self.now))

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
            The parameters, encoded or by name.
        headers : mapping or None
            The headers; case does not matter.

        Returns
        -------
        Response
            With ``status``, ``headers`` and ``body``.

        Examples
        --------
        >>> Simulator(sessions=100).handle("GET", "/api/v1/pulse/sessions").status
        401
        """
        return self._app.handle(method, path, query, headers)

    def truth(self, date_from: When | None = None, date_to: When | None = None) -> dict[str, pl.DataFrame]:
        """Return the frames that a perfect client would build from the details of a window's sessions, as of now.

        Parameters
        ----------
        date_from, date_to : str, date, datetime or None
            The window, ``date_from <= session_start < date_to``; None is no limit. Naive times are UTC.

        Returns
        -------
        dict of str to polars.DataFrame
            ``sessions``, in the order of session_start, session_id; ``page_views`` and ``errors``, in the order of
            their keys.

        Examples
        --------
        >>> truth = Simulator(sessions=100).truth()
        >>> list(truth)
        ['sessions', 'page_views', 'errors']
        """
        return detail_frames(self._sessions(date_from, date_to), self.url)

    def summaries(self, date_from: When | None = None, date_to: When | None = None) -> pl.DataFrame:
        """Return the frame that a perfect client would build from a search of a window, as of now.

        Parameters
        ----------
        date_from, date_to : str, date, datetime or None
            As in `truth`.

        Returns
        -------
        polars.DataFrame
            The sessions, in the order of session_start, session_id; columns that only details have are null.

        Examples
        --------
        >>> simulator = Simulator(sessions=100)
        >>> len(simulator.summaries())
        100
        """
        return summary_frame(self._sessions(date_from, date_to), self.url)

    def detail(self, session_id: int) -> dict[str, Any]:
        """Return the detail document that the API would send for a session now, without a call.

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

        Examples
        --------
        >>> simulator = Simulator(sessions=100)
        >>> document = simulator.detail(simulator.summaries()["session_id"][0])
        >>> list(document)
        ['session']
        """
        now = self.now
        session = self._population.session(self._number(session_id, now), now)
        return {DETAIL.sessions_key: write_detail(session, self.url)}

    def _number(self, session_id: int, at: datetime) -> int:
        number = self._population.find(session_id, at)
        if number is None:
            raise KeyError(session_id)
        return number

    def _sessions(self, date_from: When | None, date_to: When | None) -> Iterator[Session]:
        now = self.now
        begin = self.begin if date_from is None else to_instant(date_from)
        end = now + timedelta.resolution if date_to is None else to_instant(date_to)
        return (self._population.session(number, now) for number in self._population.search(begin, end, now))
