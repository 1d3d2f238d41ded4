"""How results show themselves: one line as ``repr``, lines as text, an escaped table or a link in a notebook."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import NOW, client_of

import pulseframes as pf
from pulseframes._card import as_html, short_path
from pulseframes.client import Quota
from pulseframes.fetch.sync_report import SyncReport
from pulseframes.lake import Lake
from pulseframes.reports.shown import ReportFile, ReportPage
from pulseframes.simulator import Simulator

WEEK = ("2026-11-09", "2026-11-16")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Each kind of result."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch, Simulator(sessions=400, now=NOW, daily_limit=None) as simulator:
        patch.chdir(folder)
        patch.setenv("PULSEFRAMES_HOME", str(folder / "home"))
        with client_of(simulator) as client:
            sessions = pf.search_sessions(*WEEK, client=client)
            yield {
                "Plan": pf.plan("lake", *WEEK, details=12, client=client),
                "SyncReport": pf.sync("lake", *WEEK, details=12, client=client),
                "PrecisionPlan": pf.plan_precision("lake", top=2),
                "Quota": client.quota(),
                "Certificate": pf.certificate(sessions),
                "Forgotten": pf.forget("lake", "nobody@example.com", settings=client.settings),
                "PublishReport": pf.publish("lake", "published", format="delta"),
                "Lake": pf.Lake("lake"),
                "PulseClient": client,
                "SessionFrames": pf.session_details(sessions["session_id"].head(2), client=client),
            }


KINDS = [
    *("Plan", "SyncReport", "PrecisionPlan", "Quota", "Certificate", "Forgotten", "Lake", "PulseClient"),
    *("PublishReport", "SessionFrames"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_repr_is_one_line_that_names_the_class(results: dict[str, Any], kind: str) -> None:
    text = repr(results[kind])
    assert text.startswith(f"{kind}(")
    assert text.count("\n") == 0
    assert len(text) < 120
    assert "datetime" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_notebook_shows_a_table_without_colours(results: dict[str, Any], kind: str) -> None:
    shown = results[kind]._repr_html_()
    assert shown.startswith(f'<table><caption style="text-align: left"><b>{kind}')
    assert "<tr><t" in shown
    assert not re.search("color|background|<script", shown)


def test_text_and_table_have_the_same_rows(results: dict[str, Any]) -> None:
    plan = results["Plan"]
    rows = re.findall(r"<tr>(.*?)</tr>", plan._repr_html_())
    assert len(rows) == len(str(plan).splitlines())
    assert "Quota: " in str(plan)


def test_results_show_neither_secrets_nor_the_whole_path_of_the_home_folder(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = results["PulseClient"]
    secrets = [getattr(client.credentials, name).reveal() for name in ("api_key", "client_id", "client_secret")]
    monkeypatch.setenv("HOME", str(client.journal.path.parent.parent))
    monkeypatch.setenv("USERPROFILE", str(client.journal.path.parent.parent))
    monkeypatch.chdir(tmp_path)
    for result in results.values():
        text = repr(result) + str(result) + result._repr_html_()
        assert not [secret for secret in secrets if secret in text]
        assert str(Path.home()) not in text
    assert "~/home/journal.sqlite" in client._repr_html_()


def test_a_path_is_shown_from_the_working_folder_or_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path / "work")
    assert short_path(str(tmp_path / "work" / "lake")) == "lake"
    assert short_path(str(tmp_path / "lake")) == str(Path("~") / "lake")
    assert short_path(str(tmp_path.parent)) == str(tmp_path.parent)
    assert short_path("s3://bucket/lake") == "s3://bucket/lake"


def test_what_a_notebook_shows_is_escaped() -> None:
    shown = as_html("<b>", [("<i>", "a & \u202eb"), ("", "<script>alert(1)</script>")])
    assert not re.search("<b><b>|<i>|<script|\u202e", shown)
    assert "a &amp; \N{REPLACEMENT CHARACTER}b" in shown
    report = SyncReport("/lakes/<img src=x onerror=alert(1)>")
    assert "<img" not in report._repr_html_()
    link = ReportFile('"><script>.html')._repr_html_()
    assert "<script" not in link


def test_a_quota_that_is_used_up_shows_when_the_next_call_is_possible() -> None:
    quota = Quota(50, 50, 0, datetime(2026, 11, 21, 9, 30, tzinfo=UTC), "rolling")
    assert repr(quota) == "Quota(0 of 50 calls left, next call at 2026-11-21 09:30:00 UTC)"
    assert "2026-11-21 09:30:00 UTC" in str(quota)
    assert "2026-11-21 09:30:00 UTC" in quota._repr_html_()


def test_a_lake_that_is_missing_or_damaged_shows_it(tmp_path: Path) -> None:
    assert "no lake yet" in Lake(tmp_path / "none")._repr_html_()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    assert "is not a lake" in Lake(tmp_path / "other")._repr_html_()


def test_showing_a_client_creates_no_journal(tmp_path: Path) -> None:
    with pf.PulseClient(pf.Credentials("a", "b", "c"), settings=pf.Settings(home=tmp_path / "home")) as client:
        assert "Journal" in client._repr_html_()
    assert not (tmp_path / "home").exists()


def test_the_file_of_a_report_is_a_path_that_a_notebook_links_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = ReportFile(tmp_path / "a report.html")
    assert file == tmp_path / "a report.html"
    assert isinstance(file, Path)
    assert hash(file) == hash(Path(file))
    assert pickle.loads(pickle.dumps(file)) == file
    assert file._repr_html_() == f'<a href="a%20report.html" target="_blank">{file}</a>'


def test_the_page_of_a_report_is_text_that_a_notebook_shows_without_scripts() -> None:
    page = ReportPage('<p title="a">Tea & more</p>')
    assert page == '<p title="a">Tea & more</p>'
    assert isinstance(page, str)
    shown = page._repr_mimebundle_(include=None, exclude=None)
    assert shown["text/plain"] == "A report: 27 characters of HTML"
    assert 'srcdoc="&lt;p title=&quot;a&quot;&gt;Tea &amp; more&lt;/p&gt;" sandbox ' in shown["text/html"]


def test_a_report_is_shown_as_a_link_or_a_page(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulseframes.reports.page.collect", lambda *_, **__: None)
    monkeypatch.setattr("pulseframes.reports.page.render", lambda *_, **__: "<p>A page</p>")
    lake = results["Lake"]
    assert isinstance(pf.report(lake, tmp_path / "report.html"), ReportFile)
    assert isinstance(pf.report(lake), ReportPage)


def test_a_precision_plan_is_an_arrow_table_of_its_groups(results: dict[str, Any]) -> None:
    plan = results["PrecisionPlan"]
    assert pl.DataFrame(plan).equals(plan.groups)
