"""A browser, and reports opened in it from disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright
from support import report_lakes

import pulseframes as pf
from browser import chromium

#: The browser sends no request of its own.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow sockets, which Playwright's loop and pipes are to Python; a test checks that the page itself sends no request."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.enable_socket)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium.find()
    assert program is not None, chromium.NEEDED
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report of a sample."""
    place = tmp_path_factory.mktemp("drawn")
    lake = report_lakes.drawn_lake(place / "lake", report_lakes.truth(800), 60, lost=1)
    return pf.report(lake, place / "report.html", title="The shop").as_uri()


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report that compares three days with those before."""
    place = tmp_path_factory.mktemp("compared")
    lake = report_lakes.drawn_lake(place / "lake", report_lakes.truth(2_000), 80)
    days = {"date_from": "2026-11-13", "date_to": "2026-11-16"}
    return pf.report(lake, place / "report.html", **days, compare="previous").as_uri()


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report with hostile texts."""
    place = tmp_path_factory.mktemp("hostile")
    lake = report_lakes.lake_of(place / "lake", report_lakes.hostile(report_lakes.truth(200)))
    return pf.report(lake, place / "report.html", title=report_lakes.SCRIPT).as_uri()


class Opened:
    """A page, and the browser's messages and requests."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.messages: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda problem: self.messages.append(str(problem)))
        page.on("request", self._see)
        page.goto(address)

    def _hear(self, message: ConsoleMessage) -> None:
        self.messages.append(message.text)

    def _see(self, request: Request) -> None:
        self.requests.append(request.url)
