"""The API's endpoints. Each is declared once: its path, its parameters and what its answers contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of the Pulse API.

    Attributes
    ----------
    name : str
        Its name in the journal and in messages.
    path : str
        Its path below the base address.
    answer : str
        What the documentation calls an answer; empty for answers without sessions.
    methods : tuple of str
        The HTTP methods to try, in this order.
    parameters : mapping
        The API's name of the query parameter for each of our arguments.
    sessions_key : str
        The member of an answer that holds the session, or the list of them.
    total_key : str
        The member that holds the length of the whole list; empty if there is no list.
    links_key : str
        The member whose ``next`` announces another page; empty if there is no list.
    page_size : int
        The maximum number of sessions in an answer.
    """

    name: str
    path: str
    answer: str = ""
    methods: tuple[str, ...] = ("GET",)
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    sessions_key: str = ""
    total_key: str = ""
    links_key: str = ""
    page_size: int = 1

    @property
    def is_list(self) -> bool:
        """Whether an answer is a page of a list."""
        return bool(self.total_key)


#: The heading of the documentation says GET, its example POST.
AUTHENTICATE: Final = Endpoint("authenticate", "authenticate", methods=("GET", "POST"))

SEARCH: Final = Endpoint(
    "sessions",
    "sessions",
    answer="search",
    parameters=MappingProxyType(
        {
            "date_from": "dateFrom",
            "date_to": "dateTo",
            "user_identifier": "userIdentifier",
            "country": "country",
            "user_type": "userType",
            "skip": "skip",
            "limit": "limit",
        }
    ),
    sessions_key="sessions",
    total_key="totalSessions",
    links_key="links",
    page_size=500,
)

DETAIL: Final = Endpoint(
    "session",
    "session",
    answer="detail",
    parameters=MappingProxyType({"session_id": "id"}),
    sessions_key="session",
)

#: The endpoints whose answers hold sessions, by name.
ENDPOINTS: Final = MappingProxyType({endpoint.name: endpoint for endpoint in (SEARCH, DETAIL)})
