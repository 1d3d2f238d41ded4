"""The report in a real browser: drawn, readable, inert; on a desktop, a phone, in the dark, and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from support import report_lakes

from browser.conftest import Opened

Open: TypeAlias = Callable[..., Opened]

WIDTHS = {"desktop": 1280, "phone": 390}

#: Texts that extend beyond their chart or page, or overlap.
CLIPPED = """() => [...document.querySelectorAll('svg.chart')].filter(chart => chart.clientWidth).flatMap(chart => {
    const frame = chart.getBoundingClientRect();
    return [...chart.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1);
    }).map(text => text.textContent);
})"""
OVERLAPPING = """() => [...document.querySelectorAll('svg.chart')].filter(chart => chart.clientWidth).flatMap(chart => {
    const boxes = [...chart.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 2 || b.bottom <= a.top + 2;
    return boxes.flatMap(([one, a], i) => boxes.slice(i + 1).filter(([, b]) => a.width && b.width && !apart(a, b))
        .map(([other]) => `${one} | ${other}`));
})"""
DRAWN = """() => [...document.querySelectorAll('svg.chart')].filter(chart => chart.clientWidth).map(chart => {
    const marks = [...chart.querySelectorAll('path, line, rect')].filter(mark => {
        const box = mark.getBoundingClientRect();
        return box.width + box.height > 1 && getComputedStyle(mark).display !== 'none';
    });
    return [chart.getAttribute('aria-label'), marks.length, chart.clientWidth, chart.clientHeight];
})"""


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    contexts = []

    def opening(address: str, width: int = 1280, scheme: Any = "light") -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        return Opened(context.new_page(), address)

    yield opening
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", ["drawn", "hostile"])
def test_no_request_leaves_the_page_and_the_console_stays_silent(
    open_page: Open, request: pytest.FixtureRequest, name: str, width: int
) -> None:
    address = request.getfixturevalue(name)
    opened = open_page(address, width)
    assert opened.requests == [address]
    assert opened.messages == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", ["drawn", "hostile"])
def test_each_chart_is_drawn_once_and_no_text_is_clipped_or_overlaps(
    open_page: Open, request: pytest.FixtureRequest, name: str, width: int
) -> None:
    page = open_page(request.getfixturevalue(name), width).page
    charts = page.evaluate(DRAWN)
    assert len(charts) == 8
    for label, marks, width_of_chart, height in charts:
        assert len(label) > 20
        assert marks >= 3
        assert width_of_chart > 300
        assert height > 60
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(OVERLAPPING) == []


def test_a_phone_does_not_scroll_sideways_even_with_all_tables_open(open_page: Open, hostile: str, drawn: str) -> None:
    for address in (hostile, drawn):
        page = open_page(address, WIDTHS["phone"]).page
        page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == WIDTHS["phone"]


def test_a_phone_shows_each_change_without_scrolling(open_page: Open, compared: str) -> None:
    page = open_page(compared, WIDTHS["phone"]).page
    for cell in page.locator("#changes td:nth-child(2)").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= WIDTHS["phone"]


def test_links_into_raygun_have_names_and_are_not_followed(open_page: Open, drawn: str) -> None:
    opened = open_page(drawn)
    links = opened.page.locator("a[href^='https://app.raygun.example/']")
    assert links.count() > 10
    for link in links.all()[:10]:
        assert (link.get_attribute("aria-label") or "").endswith(" in Raygun")
    opened.page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
    heights = opened.page.evaluate(
        "[...document.querySelectorAll('.links')].map(element => element.getBoundingClientRect().height)"
    )
    assert 0 < max(heights) < 32, "in one line"
    assert opened.requests == [drawn]


def test_hostile_texts_are_shown_and_inert(open_page: Open, hostile: str) -> None:
    page = open_page(hostile).page
    page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
    shown = page.inner_text("body")
    assert report_lakes.SCRIPT in shown
    assert report_lakes.IMAGE in shown
    assert report_lakes.ENTITY in shown
    assert page.title().startswith(report_lakes.SCRIPT)
    assert page.locator("script, img, iframe, object, embed, form").count() == 0
    assert page.locator("svg.chart text", has_text="<img src=x").count() > 0


@pytest.mark.parametrize("name", ["drawn", "compared"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def test_axe_finds_no_violation(
    open_page: Open, request: pytest.FixtureRequest, width: int, scheme: str, name: str
) -> None:
    page = open_page(request.getfixturevalue(name), width, scheme).page
    for open_tables in ("false", "true"):
        page.evaluate(f"document.querySelectorAll('details').forEach(element => element.open = {open_tables})")
        violations = Axe().run(page).response["violations"]
        assert [(rule["id"], rule["impact"], rule["nodes"][0]["html"][:200]) for rule in violations] == []


def test_in_dark_mode_background_and_charts_are_dark(open_page: Open, drawn: str) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = open_page(drawn, scheme=scheme).page
        colours[scheme] = page.evaluate(
            "() => [getComputedStyle(document.body).backgroundColor, "
            "getComputedStyle(document.querySelector('svg.chart text')).fill]"
        )
    assert colours["light"][0] == "rgb(255, 255, 255)"
    assert all(light != dark for light, dark in zip(colours["light"], colours["dark"], strict=True))


def test_the_keyboard_reaches_figures_sections_and_tables(open_page: Open, drawn: str) -> None:
    page = open_page(drawn).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the figures"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.focus("details summary")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details').open")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "region"


def test_headings_are_in_order_and_each_section_has_a_link(open_page: Open, drawn: str) -> None:
    page = open_page(drawn).page
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(element => element.tagName)")
    assert levels == ["H1", *["H2"] * (len(levels) - 1)]
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href") or "").count() == 1


def test_it_prints_light_with_no_chart_wider_than_the_paper(open_page: Open, drawn: str, tmp_path: Path) -> None:
    page = open_page(drawn, scheme="dark").page
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(printed) > 20_000
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 less its margins
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") == 688
    assert page.evaluate(CLIPPED) == []
