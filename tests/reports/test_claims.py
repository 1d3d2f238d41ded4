"""What a report claims: the slowest page is called so only if the sample proves it, and no page is left out of the comparison."""

from __future__ import annotations

import math
import re
from pathlib import Path

import polars as pl
import pytest
from claims import changed, slowest as slowest_of
from support.report_lakes import Page, drawn_lake, lake_of, part_of, summaries, truth

import pulseframes as pf
from pulseframes.analysis.compare import Largest, largest
from pulseframes.analysis.estimate import with_templates
from pulseframes.charts.style import TOP
from pulseframes.reports.rankings import slowest_page
from pulseframes.reports.svg import Picture

LOAD = "p75(loading_time_ms)"
PAGE = pl.col("page_template")


@pytest.fixture(scope="module")
def shop() -> pf.SessionFrames:
    return truth(6_000)


@pytest.fixture(scope="module")
def contrasted(shop: pf.SessionFrames) -> pf.SessionFrames:
    """The shop with one page of many views that is clearly the slowest, and another just behind the others."""
    is_slow = pl.col("page").str.contains("/search")
    views = shop.page_views.with_columns(
        loading_time_ms=pl.when(is_slow).then(pl.col("loading_time_ms") * 9).otherwise(pl.col("loading_time_ms"))
    )
    return pf.SessionFrames(shop.sessions, views, shop.errors)


def sample_of(frames: pf.SessionFrames, details: int, seed: int) -> pf.Sample:
    chosen = pf.choose_details(summaries(frames), details, seed=seed)
    design = pf.Design("pageviews", seed=seed)
    details_of = part_of(frames, chosen["session_id"].to_list())
    return with_templates(pf.Sample.of_frames(summaries(frames), chosen, details_of, design=design), None)


def shown_pages(sample: pf.Sample, top: int = TOP) -> pl.DataFrame:
    return pf.page_speed(sample).head(top).drop_nulls("page_template")


def slowest(sample: pf.Sample, rows: pl.DataFrame) -> Largest:
    found = largest(sample, LOAD, rows, figure="p75_ms", by=PAGE, of="page_views")
    assert found is not None
    return found


def true_times(frames: pf.SessionFrames) -> dict[str | None, float]:
    return dict(pf.page_speed(pf.Sample.of_details(frames)).select("page_template", "p75_ms").iter_rows())


@pytest.mark.parametrize(
    ("kind", "details", "top"), [("shop", 60, TOP), ("shop", 80, 4), ("shop", 100, TOP), ("contrasted", 400, 6)]
)
def test_a_page_is_called_the_slowest_only_if_it_is_and_otherwise_probably(
    request: pytest.FixtureRequest, kind: str, details: int, top: int
) -> None:
    frames = request.getfixturevalue(kind)
    times, certain = true_times(frames), 0
    for seed in range(8):
        sample = sample_of(frames, details, seed)
        rows = shown_pages(sample, top)
        sentence = slowest_page(slowest(sample, rows))
        (named,) = re.findall(r"most viewed pages, (\S+) is", sentence)
        assert named == rows.sort("p75_ms", descending=True, nulls_last=True)["page_template"][0]
        if "probably" in sentence:
            assert sentence.endswith("There are too few details to be sure.")
        else:
            certain += 1
            assert times[named] == max(times[page] for page in rows["page_template"])
    assert certain > 0 or kind == "shop"


def test_certainty_is_that_of_bonferronis_intervals(contrasted: pf.SessionFrames) -> None:
    sample = sample_of(contrasted, 400, 1)
    for top in (2, 6, TOP):
        rows = shown_pages(sample, top)
        limits = pf.estimate(sample, LOAD, by="page_template", confidence=1 - 0.05 / len(rows), wide=True).join(
            rows.select("page_template"), on="page_template", how="semi"
        )
        first, *others = limits.sort("estimate", descending=True).to_dicts()
        found = slowest(sample, rows)
        assert found.row["page_template"] == first["page_template"]
        assert found.compared == len(rows)
        assert found.is_certain == all(first["lower"] > other["upper"] for other in others)


def test_a_page_without_a_known_time_in_the_sample_leaves_the_slowest_uncertain(contrasted: pf.SessionFrames) -> None:
    sample = sample_of(contrasted, 400, 0)
    rows = shown_pages(sample, 4)
    assert slowest(sample, rows).is_certain
    hidden = rows["page_template"].filter(rows["page_template"] != "/search")[0]
    views = sample.details.page_views.with_columns(loading_time_ms=pl.when(PAGE.ne(hidden)).then("loading_time_ms"))
    details = pf.SessionFrames(sample.details.sessions, views, sample.details.errors)
    unknown = pf.Sample(sample.population, sample.members, details)
    assert not slowest(unknown, rows).is_certain


def test_all_details_are_certain_and_equals_share_the_place(shop: pf.SessionFrames) -> None:
    views = shop.page_views.with_columns(loading_time_ms=pl.lit(700, pl.Int64))
    for frames in (shop, pf.SessionFrames(shop.sessions, views, shop.errors)):
        sample = with_templates(pf.Sample.of_details(frames), None)
        rows = shown_pages(sample)
        found = slowest(sample, rows)
        assert found.is_certain
        assert found.is_shared == (rows["p75_ms"].n_unique() == 1)
        assert ("is among the slowest" in slowest_page(found)) == found.is_shared


def test_each_figures_flag_is_that_of_its_own_estimate(shop: pf.SessionFrames) -> None:
    sample = sample_of(shop, 80, 1)
    wide, narrow = pf.page_speed(sample, wide=True), pf.page_speed(sample)
    assert narrow["flag"].equals(wide.select(pl.coalesce("flag", "views_flag").alias("flag"))["flag"])
    for figure, measure in {"p75_ms": LOAD, "p95_ms": "p95(loading_time_ms)", "p50_ms": "p50(loading_time_ms)"}.items():
        flags = pf.estimate(sample, measure, by="page_template", wide=True).select("page_template", "flag", "upper")
        column = "flag" if figure == "p75_ms" else f"{figure}_flag"
        both = wide.join(flags, on="page_template", nulls_equal=True, suffix="_alone")
        alone = "flag_alone"
        assert both[column].equals(both[alone].alias(column))
    unlike = wide.filter(pl.col("flag").is_null(), pl.col("p95_ms_flag").is_not_null())
    assert not unlike.is_empty()
    impact = pf.error_impact(sample, wide=True)
    assert pf.error_impact(sample)["flag"].equals(impact["flag"])


@pytest.fixture
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = lambda *_: Picture("<svg></svg>", "<svg></svg>")  # noqa: E731  one line for two modules
    monkeypatch.setattr("pulseframes.reports.sections.picture", drawing)
    monkeypatch.setattr("pulseframes.reports.rankings.picture", drawing)


@pytest.mark.usefixtures("_no_pictures")
def test_a_report_ranks_nothing_that_its_sample_does_not_prove(shop: pf.SessionFrames, tmp_path: Path) -> None:
    text = Page(pf.report(drawn_lake(tmp_path / "lake", shop, 60))).text
    assert "most viewed pages, " in text
    for what in (
        "the slowest:",
        "the slowest country:",
        "the slowest browser:",
        "the error that affects the most sessions:",
    ):
        assert f"is probably {what}" in text
        assert f"is {what}" not in text
    assert text.count("There are too few details to be sure.") >= 4


@pytest.mark.usefixtures("_no_pictures")
def test_browser_noise_is_listed_apart_from_the_errors(shop: pf.SessionFrames, tmp_path: Path) -> None:
    page = Page(pf.report(lake_of(tmp_path / "lake", shop)))
    errors = [cell[0] for cell in page.column("Errors by number of sessions affected", "Error")]
    noise = [cell[0] for cell in page.column("Browser noise by number of sessions affected", "Error")]
    assert {re.split(r" loop|\.", title)[0] for title in noise} == {"ResizeObserver", "Script error"}
    assert not [title for title in errors if "ResizeObserver" in title or title == "Script error."]
    assert len(errors) + len(noise) == len(pf.error_impact(lake_of(tmp_path / "other", shop)))
    assert math.isclose(page.text.count("browser noise included"), 1)


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize(
    ("details", "shown"),
    [(20, "too few for a chart by time"), (80, "One column per week"), (400, "One column per day")],
)
def test_ratings_are_drawn_by_a_period_with_enough_rated_sessions(
    shop: pf.SessionFrames, tmp_path: Path, details: int, shown: str
) -> None:
    assert shown in Page(pf.report(drawn_lake(tmp_path / "lake", shop, details))).text


@pytest.mark.usefixtures("_no_pictures")
def test_examples_link_to_slow_sessions_and_last_errors_in_raygun(shop: pf.SessionFrames, tmp_path: Path) -> None:
    hostile = [
        "javascript:alert(1)",
        "https://x.example/\u202e",
        "data:text/html,x",
        "http://a b",
        "//raygun.example/1",
    ]
    number = pl.int_range(pl.len())
    errors = shop.errors.with_columns(
        web_url=pl.when(number % 2 == 0)
        .then("web_url")
        .otherwise(pl.lit(pl.Series(hostile)).gather(number % len(hostile)))
    )
    frames = pf.SessionFrames(shop.sessions, shop.page_views, errors)
    page = Page(pf.report(lake_of(tmp_path / "lake", frames)))
    links = [
        attributes for tag, attributes in page.tags if tag == "a" and not (attributes["href"] or "").startswith("#")
    ]
    known = {*shop.sessions["web_url"].drop_nulls(), *shop.errors["web_url"].drop_nulls()}
    assert len(links) > 20
    assert {attributes["href"] for attributes in links} <= known
    assert {attributes["rel"] for attributes in links} == {"noopener noreferrer"}
    times = with_templates(pf.Sample.of_details(shop), None).details.page_views
    slowest_views = times.filter(page_template="/search").sort("loading_time_ms", descending=True, nulls_last=True)
    worst = shop.sessions.filter(session_id=slowest_views["session_id"][0])["web_url"].item()
    assert worst in {
        attributes["href"] for attributes in links if attributes["aria-label"] == "Slow session 1 in Raygun"
    }


def test_what_is_said_of_a_skewed_population_is_right_in_19_of_20_reports() -> None:
    said = [is_right for seed in range(18) for _, is_said, is_right in slowest_of("pareto", 400, seed) if is_said]
    assert len(said) >= 3
    assert sum(said) >= 0.95 * len(said)
    highest = [is_right for seed in range(6) for *_, is_right in slowest_of("pareto", 40, seed)]
    assert sum(highest) < 0.8 * len(highest), "the highest estimate alone is often another's"
    changes = [changed("pareto", 120, seed) for seed in range(12)]
    assert sum(is_said for is_said, *_ in changes) >= 5
    assert sum(is_right and holds for _, is_right, holds in changes) >= 11
