from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from pulseframes.simulator import Response, Simulator

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
BASE = "/api/v1/pulse"


class Caller:
    """Calls a simulator in process, with its credentials and a session key."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.key = ""

    def credentials(self) -> dict[str, str]:
        pair = f"{self.simulator.client_id}:{self.simulator.client_secret}".encode()
        return {"X-ApiKey": self.simulator.api_key, "Authorization": f"Basic {b64encode(pair).decode()}"}

    def authenticate(self, method: str = "GET") -> Response:
        response = self.simulator.handle(method, f"{BASE}/authenticate", headers=self.credentials())
        if response.status == 202:
            self.key = response.json()["sessionKey"]
        return response

    def get(self, endpoint: str, **query: Any) -> Response:
        if not self.key:
            self.authenticate()
        headers = {"x-sessionkey": self.key, "Host": self.simulator.url.split("/")[2]}
        return self.simulator.handle("GET", f"{BASE}/{endpoint}", query, headers)

    def search(self, date_from: str = "2026-10-01", date_to: str = "2026-12-01", **query: Any) -> dict[str, Any]:
        """Search a window, by default everything."""
        response = self.get("sessions", dateFrom=date_from, dateTo=date_to, **query)
        assert response.status == 200, response.body
        document: dict[str, Any] = response.json()
        return document

    def search_all(self, **query: Any) -> list[dict[str, Any]]:
        sessions: list[dict[str, Any]] = []
        while True:
            page = self.search(skip=len(sessions), limit=500, **query)
            sessions += page["sessions"]
            if not page["links"]["next"]:
                return sessions

    def detail(self, session_id: int) -> dict[str, Any]:
        response = self.get("session", id=session_id)
        assert response.status == 200, response.body
        session: dict[str, Any] = response.json()["session"]
        return session
