"""Takes the README's picture of a report: the top of one of a made-up shop's week, from a sample of 450."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import reported
from playwright.sync_api import sync_playwright

import pulseframes as pf
from browser import chromium

PICTURE = Path(__file__).parent.parent.parent / "docs" / "images" / "report.png"

if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        lake = reported.drawn_lake(Path(place) / "lake", reported.truth(20_000), 450)
        page = pf.report(lake, Path(place) / "report.html", title="A made-up shop")
        with playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
        ) as browser:
            view = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="light")
            view.goto(page.as_uri())
            view.screenshot(path=PICTURE)
