"""The API as a function: a request in, an answer out, with no socket."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs, urlencode

from pulseframes.simulator.access import Credentials, DailyLimit, SessionKeys
from pulseframes.simulator.clock import Clock
from pulseframes.simulator.documents import write_detail, write_summary
from pulseframes.simulator.faults import Fault, Faults
from pulseframes.simulator.population import Population
from pulseframes.simulator.responses import Refusal, Response, json_response
from pulseframes.simulator.search import Parameters, Searches, SearchRequest, read_session_id

BASE_PATH: Final = "/api/v1/pulse"
#: Stands for the server's address where a request has no Host header.
DEFAULT_HOST: Final = "localhost"

#: So many requests are remembered, as a simulator may run for days.
_REMEMBERED: Final = 100_000


@dataclass(frozen=True)
class Request:
    """A request that was answered: what was asked, with no credentials.

    Attributes
    ----------
    at
        When, by the simulator's clock, in UTC.
    method, path
        Its method, and its path with no parameters.
    query
        Its parameters; several values of one name are joined by commas.
    status
        The status of the answer; None where the connection was broken before it.
    fault
        The kind of fault that hit it; None where that is none.
    """

    at: datetime
    method: str
    path: str
    query: dict[str, str]
    status: int | None
    fault: str | None = None

    @property
    def endpoint(self) -> str:
        """The endpoint, such as ``sessions``; empty where the API has none there."""
        return _endpoint(self.path)


@dataclass(frozen=True)
class Rules:
    """What the server is strict about.

    Attributes
    ----------
    daily_limit
        Calls in any 24 hours; None is no limit.
    count_authenticate
        Whether authenticate calls count.
    post_only
        Whether GET is refused (405) by authenticate.
    """

    daily_limit: int | None = 50
    count_authenticate: bool = True
    post_only: bool = False


class App:
    """Answers requests; safe to share between threads.

    A call counts against the daily limit once its credentials are right, whatever comes of it; a refused call (401,
    405, 429, or a path that does not exist) does not.
    """

    def __init__(self, *, population: Population, clock: Clock, credentials: Credentials, rules: Rules) -> None:
        self.faults = Faults()
        self._population = population
        self._searches = Searches(population)
        self._clock = clock
        self._credentials = credentials
        self._rules = rules
        self._keys = SessionKeys()
        self._limit = DailyLimit(rules.daily_limit)
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque(maxlen=_REMEMBERED)
        self._calls = 0

    @property
    def requests(self) -> list[Request]:
        """The requests so far, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def calls(self) -> int:
        """The number of requests so far."""
        with self._lock:
            return self._calls

    def handle(
        self,
        method: str,
        path: str,
        query: str | Mapping[str, str | int | Sequence[str]] = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer one request.

        Parameters
        ----------
        method
            The HTTP method.
        path
            The path, such as ``/api/v1/pulse/sessions``.
        query
            The parameters, as text or by name.
        headers
            The request's headers; case does not matter.
        """
        text = query if isinstance(query, str) else urlencode(query, doseq=True)
        parameters = parse_qs(text, keep_blank_values=True)
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        now = self._clock.now()
        try:
            response = self._answer(method, path, parameters, lowered, now)
        except Refusal as refusal:
            response = refusal.response
        fault = self.faults.take(_endpoint(path), response.status)
        if fault is not None:
            response = _with_fault(response, fault)
        lost = fault is not None and fault.kind == "reset" and fault.at_bytes is None
        request = Request(
            at=now,
            method=method,
            path=path,
            query={name: ",".join(values) for name, values in parameters.items()},
            status=None if lost else response.status,
            fault=None if fault is None else fault.kind,
        )
        with self._lock:
            self._requests.append(request)
            self._calls += 1
        return response

    def _answer(
        self, method: str, path: str, parameters: Parameters, headers: Mapping[str, str], now: datetime
    ) -> Response:
        endpoint = _endpoint(path)
        base_url = f"http://{headers.get('host', DEFAULT_HOST)}{BASE_PATH}"
        if not endpoint:
            raise Refusal(404, "No such resource")
        self._check_method(method, endpoint)
        if endpoint == "authenticate":
            return self._authenticate(headers, now)
        self._keys.check(headers, now)
        self._limit.spend(now)
        if endpoint == "sessions":
            return self._search(parameters, base_url, now)
        return self._detail(parameters, base_url, now)

    def _check_method(self, method: str, endpoint: str) -> None:
        allowed = ["GET"]
        if endpoint == "authenticate":
            allowed = ["POST"] if self._rules.post_only else ["GET", "POST"]
        if method not in allowed:
            raise Refusal(405, f"{endpoint} takes {' or '.join(allowed)}", {"Allow": ", ".join(allowed)})

    def _authenticate(self, headers: Mapping[str, str], now: datetime) -> Response:
        self._credentials.check(headers)
        if self._rules.count_authenticate:
            self._limit.spend(now)
        return json_response(202, {"sessionKey": self._keys.give(now)})

    def _search(self, parameters: Parameters, base_url: str, now: datetime) -> Response:
        request = SearchRequest.read(parameters)
        total, numbers = self._searches.find(request, now)
        sessions = (self._population.session(number, now) for number in numbers)
        document = {
            "totalSessions": total,
            "sessions": [write_summary(session, base_url) for session in sessions],
            "links": request.links(f"{base_url}/sessions", parameters, total),
        }
        return json_response(200, document)

    def _detail(self, parameters: Parameters, base_url: str, now: datetime) -> Response:
        number = self._population.find(read_session_id(parameters), now)
        if number is None:
            raise Refusal(404, "No such session")
        session = self._population.session(number, now)
        return json_response(200, {"session": write_detail(session, base_url)})


def _endpoint(path: str) -> str:
    name = path.removeprefix(f"{BASE_PATH}/")
    return name if path != name and name in ("authenticate", "sessions", "session") else ""


def _with_fault(response: Response, fault: Fault) -> Response:
    """Play a fault that is in the answer itself; others are played while it is sent."""
    if fault.kind == "drift" and fault.edit is not None:
        document = json.loads(response.body)
        fault.edit(document)
        return json_response(response.status, document, response.headers)
    if fault.kind == "body":
        return Response(200, {**response.headers, **fault.headers}, fault.content or b"")
    if fault.kind == "status":
        plain = json_response(fault.status, {"message": "simulated fault"}, fault.headers)
        return plain if fault.content is None else replace(plain, body=fault.content)
    return replace(response, fault=fault)
