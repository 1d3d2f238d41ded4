"""Takes the README's picture: the top of a report of a simulated shop's week, from a sample of 450."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from support import report_lakes

import pulseframes as pf
from browser import chromium

PICTURE = Path(__file__).parent.parent.parent / "docs" / "images" / "report.png"

if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        lake = report_lakes.drawn_lake(Path(place) / "lake", report_lakes.truth(20_000), 450)
        page = pf.report(lake, Path(place) / "report.html", title="A simulated shop")
        with playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
        ) as browser:
            view = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="light")
            view.goto(page.as_uri())
            view.screenshot(path=PICTURE)
