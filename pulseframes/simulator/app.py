"""The API as a function: a request in, an answer out, with no socket."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import parse_qs, urlencode

from pulseframes.endpoints import AUTHENTICATE, DETAIL, SEARCH, Endpoint
from pulseframes.simulator.access import Credentials, DailyLimit, Refusal, Response, SessionKeys, json_response
from pulseframes.simulator.documents import write_detail, write_summary
from pulseframes.simulator.faults import Fault, Faults
from pulseframes.simulator.population import Filters, Population

BASE_PATH: Final = "/api/v1/pulse"
#: The server's address if a request has no Host header.
DEFAULT_HOST: Final = "localhost"

_BY_PATH: Final = {f"{BASE_PATH}/{endpoint.path}": endpoint for endpoint in (AUTHENTICATE, SEARCH, DETAIL)}

#: How many requests are remembered, as a simulator may run for days.
_REMEMBERED: Final = 100_000
_DEFAULT_LIMIT: Final = 50

_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|[+-]\d\d:\d\d)?)?")
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_INT64: Final = 1 << 63


@dataclass(frozen=True)
class Request:
    """A request that was answered, without its credentials.

    Attributes
    ----------
    at : datetime
        When it came, by the simulator's clock, in UTC.
    method, path : str
        The method, and the path without parameters.
    query : dict of str to str
        The parameters; several values of one name are joined by commas.
    status : int or None
        The status of the answer; None if the connection was broken before it.
    fault : str or None
        The kind of the fault that hit it, if any.
    """

    at: datetime
    method: str
    path: str
    query: dict[str, str]
    status: int | None
    fault: str | None = None

    @property
    def endpoint(self) -> str:
        """The endpoint's name, such as ``sessions``; empty if the API has no such path."""
        return _name(_BY_PATH.get(self.path))


class App:
    """Answers requests; safe to share between threads.

    A call counts against the daily limit once its credentials are accepted, whatever the answer; a refused call (401,
    405, 429, or an unknown path) does not.

    Parameters
    ----------
    population
        The sessions.
    clock
        Returns the time.
    credentials
        Those that it accepts.
    daily_limit
        Calls in any 24 hours; None is no limit.
    count_authenticate
        Whether authenticate calls count.
    post_only
        Whether authenticate refuses GET (405).
    """

    def __init__(
        self,
        population: Population,
        clock: Callable[[], datetime],
        credentials: Credentials,
        *,
        daily_limit: int | None,
        count_authenticate: bool,
        post_only: bool,
    ) -> None:
        self.faults = Faults()
        self._population = population
        self._clock = clock
        self._credentials = credentials
        self._count_authenticate = count_authenticate
        self._post_only = post_only
        self._keys = SessionKeys()
        self._limit = DailyLimit(daily_limit)
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
        """Answer one request; the parameters are `Simulator.handle`'s."""
        text = query if isinstance(query, str) else urlencode(query, doseq=True)
        parameters = parse_qs(text, keep_blank_values=True)
        now = self._clock()
        try:
            lowered = {name.lower(): value for name, value in (headers or {}).items()}
            response = self._answer(method, path, parameters, lowered, now)
        except Refusal as refusal:
            response = refusal.response
        fault = self.faults.take(_name(_BY_PATH.get(path)), response.status)
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
        self, method: str, path: str, parameters: _Parameters, headers: Mapping[str, str], now: datetime
    ) -> Response:
        endpoint = _BY_PATH.get(path)
        if endpoint is None:
            raise Refusal(404, "No such resource")
        allowed = ("POST",) if endpoint is AUTHENTICATE and self._post_only else endpoint.methods
        if method not in allowed:
            raise Refusal(405, f"{endpoint.name} takes {' or '.join(allowed)}", {"Allow": ", ".join(allowed)})
        if endpoint is AUTHENTICATE:
            return self._authenticate(headers, now)
        self._keys.check(headers, now)
        self._limit.spend(now)
        base_url = f"http://{headers.get('host', DEFAULT_HOST)}{BASE_PATH}"
        answer = self._search if endpoint is SEARCH else self._detail
        return json_response(200, answer(parameters, base_url, now))

    def _authenticate(self, headers: Mapping[str, str], now: datetime) -> Response:
        self._credentials.check(headers)
        if self._count_authenticate:
            self._limit.spend(now)
        return json_response(202, {"sessionKey": self._keys.issue(now)})

    def _search(self, parameters: _Parameters, base_url: str, now: datetime) -> dict[str, object]:
        date_from, date_to = _instant(parameters, "date_from"), _instant(parameters, "date_to")
        if date_to < date_from:
            raise Refusal(400, "dateTo lies before dateFrom")
        skip = _whole(parameters, SEARCH.parameters["skip"], 0)
        if skip < 0:
            raise Refusal(400, "skip must be at least 0")
        limit = _whole(parameters, SEARCH.parameters["limit"], _DEFAULT_LIMIT)
        if not 1 <= limit <= SEARCH.page_size:
            raise Refusal(400, f"limit must be from 1 to {SEARCH.page_size}")
        numbers = self._population.search(date_from, date_to, now, _filters(parameters))
        # The newest first.
        end = max(0, len(numbers) - skip)
        page = [self._population.session(number, now) for number in list(numbers[max(0, end - limit) : end])[::-1]]
        return {
            SEARCH.total_key: len(numbers),
            SEARCH.sessions_key: [write_summary(session, base_url) for session in page],
            "links": _links(f"{base_url}/{SEARCH.path}", parameters, skip, limit, len(numbers)),
        }

    def _detail(self, parameters: _Parameters, base_url: str, now: datetime) -> dict[str, object]:
        name = DETAIL.parameters["session_id"]
        if not _last(parameters, name):
            raise Refusal(400, f"{name} is missing")
        number = self._population.find(_whole(parameters, name, 0), now)
        if number is None:
            raise Refusal(404, "No such session")
        return {DETAIL.sessions_key: write_detail(self._population.session(number, now), base_url)}


def to_instant(value: str | date | datetime) -> datetime:
    """Read an ISO date or date-time, in UTC if it has no time zone; digits beyond microseconds are cut off.

    Raises
    ------
    ValueError
        If a string is not an ISO date or date-time.
    """
    if isinstance(value, str):
        if not _ISO.fullmatch(value):
            raise ValueError(f"not an ISO date or date-time: {value!r}")
        value = datetime.fromisoformat(value)
    elif not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


#: The parameters of a request: every value of every name.
_Parameters = Mapping[str, Sequence[str]]


def _name(endpoint: Endpoint | None) -> str:
    return endpoint.name if endpoint else ""


def _last(parameters: _Parameters, name: str) -> str:
    """Return the last value of a parameter; empty if it is not given."""
    return parameters[name][-1] if parameters.get(name) else ""


def _instant(parameters: _Parameters, argument: str) -> datetime:
    name = SEARCH.parameters[argument]
    text = _last(parameters, name)
    if not text:
        raise Refusal(400, f"{name} is missing")
    try:
        return to_instant(text)
    except (ValueError, OverflowError):
        raise Refusal(400, f"{name} must be an ISO date or date-time") from None


def _whole(parameters: _Parameters, name: str, default: int) -> int:
    text = _last(parameters, name)
    if not text:
        return default
    if not _WHOLE.fullmatch(text) or not -_INT64 <= int(text) < _INT64:
        raise Refusal(400, f"{name} must be a whole number")
    return int(text)


def _filters(parameters: _Parameters) -> Filters:
    """Read the filters.

    The documentation does not list the user types. Here ``anonymous`` and ``known`` match those users, and any other
    type, like a country that nobody comes from, matches nobody.
    """
    codes = [code.strip() for text in parameters.get(SEARCH.parameters["country"], ()) for code in text.split(",")]
    countries = frozenset(code for code in codes if code)
    user_type = _last(parameters, SEARCH.parameters["user_type"])
    if user_type and user_type not in ("anonymous", "known"):
        return Filters(countries=frozenset())
    return Filters(
        user_identifier=_last(parameters, SEARCH.parameters["user_identifier"]) or None,
        countries=countries or None,
        anonymous=user_type == "anonymous" if user_type else None,
    )


def _links(address: str, parameters: _Parameters, skip: int, limit: int, total: int) -> dict[str, str | None]:
    """Return the links of a page: to itself, the next and the previous one."""

    def link(to_skip: int) -> str:
        changed = {**parameters, SEARCH.parameters["skip"]: [str(to_skip)], SEARCH.parameters["limit"]: [str(limit)]}
        return f"{address}?{urlencode(changed, doseq=True)}"

    return {
        "self": f"{address}?{urlencode(parameters, doseq=True)}",
        "next": link(skip + limit) if skip + limit < total else None,
        "previous": link(max(0, skip - limit)) if skip else None,
    }


def _with_fault(response: Response, fault: Fault) -> Response:
    """Apply a fault to an answer; the kinds that concern the connection are left to the server."""
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
