"""Takes the README's picture: parts of a report of a simulated shop's week, from a sample of 450 details."""

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
            view = browser.new_page(
                viewport={"width": 880, "height": 1000}, color_scheme="light", device_scale_factor=1.25
            )
            view.goto(page.as_uri())
            # What the README shows is short; the report allows no style from elsewhere.
            view.evaluate("document.querySelectorAll('nav, #traffic, details').forEach(part => part.remove())")
            box = view.locator("#speed").bounding_box()
            assert box is not None
            end = box["y"] + box["height"]
            view.screenshot(path=PICTURE, full_page=True, clip={"x": 0, "y": 0, "width": 880, "height": end})
