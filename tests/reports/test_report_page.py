"""A report's page: any lake has one, with its charts, and no text from the data becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path

import polars as pl
import pytest
from support import report_lakes
from support.report_lakes import LATER, Page, changed, hostile, lake_of, truth

import pulseframes as pf
from pulseframes import _text


@pytest.fixture(scope="module")
def shop() -> pf.SessionFrames:
    return truth(1_000)


@pytest.fixture(scope="module")
def whole(shop: pf.SessionFrames, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    """A lake with all details."""
    return lake_of(tmp_path_factory.mktemp("whole") / "lake", shop)


@pytest.fixture(scope="module")
def attacked(shop: pf.SessionFrames, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a lake whose texts would be markup if they were not escaped."""
    lake = lake_of(tmp_path_factory.mktemp("attacked") / "lake", hostile(shop))
    return pf.report(lake, title=f"{report_lakes.SCRIPT} & more")


def test_details_not_sampled_at_random_describe_only_themselves(shop: pf.SessionFrames, tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", shop, details=False)
    lake.write(report_lakes.part_of(shop, shop.sessions["session_id"].tail(30).to_list()), fetched_at=LATER)
    page = Page(pf.report(lake))
    assert "come from 30 sessions not sampled at random. They describe these sessions only" in page.text
    assert "from 30 sessions not sampled at random" in page.text
    assert page.text.count("That is so in the sessions with details, which may be unlike the others.") >= 3
    assert "probably" not in page.text
    assert "between" not in page.text.split("Sessions rated Poor")[1].split("Traffic")[0]


def test_a_single_session_has_a_page(shop: pf.SessionFrames, tmp_path: Path) -> None:
    one = report_lakes.part_of(shop, shop.sessions["session_id"].head(1).to_list())
    page = Page(pf.report(lake_of(tmp_path / "lake", one)))
    assert "The one session was downloaded in full: the figures are exact." in page.text
    assert "1 session, " in page.text


def test_sessions_without_errors_or_views_have_a_page_that_says_so(shop: pf.SessionFrames, tmp_path: Path) -> None:
    bare = pf.SessionFrames(shop.sessions, shop.page_views.clear(), shop.errors.clear())
    page = Page(pf.report(lake_of(tmp_path / "lake", bare)))
    assert "No session with details has an error." in page.text
    assert "The details have no page views." in page.text
    assert "Load time, 75th percentile not known" in page.text


def test_columns_of_nulls_have_a_page(shop: pf.SessionFrames, tmp_path: Path) -> None:
    kept = {"session_id", "session_start", "view_index", "error_index"}
    nulls = changed(
        shop,
        lambda frame: frame.with_columns(
            pl.lit(None, dtype).alias(name) for name, dtype in frame.schema.items() if name not in kept
        ),
    )
    page = Page(pf.report(lake_of(tmp_path / "lake", nulls)))
    assert "Users 0" in page.text
    assert "No session with details has a rating." in page.text
    assert "(no title)" in page.text


def test_text_from_the_data_never_becomes_markup(attacked: str) -> None:
    page = Page(attacked)
    assert not {"script", "img", "b", "iframe", "object", "link", "a:"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "srcset", "style"}]
        assert re.match(r"#|https://app\.raygun\.example/pulse/(sessions|errors)/\d+$", attributes.get("href") or "#")
    shown = page.column("Errors by number of sessions affected", "Error")
    texts = {cell[0] for cell in shown}
    assert {report_lakes.SCRIPT, report_lakes.IMAGE, report_lakes.ENTITY} <= texts
    assert "invoice\ufffdgpj.exe\ufffd\ufffd[31m" in texts
    assert max(len(text) for text in texts) == _text.MAX_LENGTH
    assert attacked.count(report_lakes.SCRIPT) == 0
    assert not {*attacked} & {*report_lakes.UNPRINTABLE, *report_lakes.REVERSED[7]}


def test_no_user_is_named(shop: pf.SessionFrames, attacked: str) -> None:
    assert "User [e-mail] from [address] was not found" in attacked
    people = shop.sessions.select(pl.col("^user_.*$").exclude("^user_(first|last)_seen$"), "session_id", "ip_address")
    known = people.select(pl.all().drop_nulls().cast(pl.String).unique().implode()).row(0)
    words = {word for values in known for word in values if len(word) > 5}
    assert len(words) > 100
    without_links = re.sub(r'href="https://app\.raygun\.example/pulse/sessions/\d+"', "", attacked)
    assert not [word for word in words if re.search(rf"\b{re.escape(word)}\b", without_links)]
    assert "@" not in re.sub(r"<style>.*?</style>", "", attacked, flags=re.DOTALL)


def test_the_policy_blocks_loading_and_scripts(whole: pf.Lake) -> None:
    source = pf.report(whole)
    (style,) = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in source
    assert source.index("Content-Security-Policy") < source.index("<style>")
    addresses = r"https?://(?!www\.w3\.org/2000/svg)"
    assert not re.search(addresses, re.sub(rf'<a href="{addresses}[^"]+"', "", source))
    assert "url(" not in source


@pytest.mark.parametrize("package", ["altair", "vl_convert", "jinja2"])
def test_without_the_extra_the_error_explains_what_to_install(
    whole: pf.Lake, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=re.escape("pip install 'pulseframes[report]'")):
        pf.report(whole)
