"""Differences between parts of one sample: parts that share sessions or make up the whole are compared as what they are."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from support.small_sites import Site

import pulseframes as pf

HALVES = ["browser_name = 'A'", "browser_name = 'B'"]
#: The same, in words that no summary knows, so that both numbers of page views are estimated; their sum is known.
PAGES = ["page = 'A'", "page = 'B'"]
#: Samples of a test; 5% of 100 have a standard error of 2.2 points.
DRAWS = 100
MOST = 0.05 + 2 * 0.022


@cache
def twins(pairs: int = 700, slower: float = 1.0) -> Site:
    """Return a site on which each session has a twin with the other browser, alike in all but that its views are so much slower."""
    random = Random(4)
    loads, browsers, viewed, countries, pages, errors = [], [], [], [], [], []
    for _ in range(pairs):
        times = [random.lognormvariate(7, 0.7) for _ in range(min(40, int(1.5 * random.paretovariate(1.4)) or 1))]
        viewing, country = [random.choice([0, 0, 500, 9_000]) for _ in times], random.choice("abcdef")
        errors += [random.randrange(1, 5) if random.random() < 0.05 else 0] * 2
        for browser, factor in (("A", 1.0), ("B", slower)):
            loads.append([int(time * factor) for time in times])
            viewed += viewing
            browsers.append(browser)
            pages += [browser] * len(times)
            countries.append(country)
    site = Site(loads, errors=errors, browser_name=browsers, country=countries)
    views = site.details.page_views.with_columns(
        viewing_time_ms=pl.Series(viewed, dtype=pl.Int64), page=pl.Series(pages)
    )
    site.details = pf.SessionFrames(site.details.sessions, views, site.details.errors)
    return site


@cache
def sample_of(seed: int, design: str = "pageviews", details: int = 60) -> pf.Sample:
    return twins().sample(details, seed, design)


def compared(sample: pf.Sample, measure: str, **options: Any) -> dict[str, Any]:
    return pf.compare(sample, measure, **({"segments": HALVES, "wide": True} | options)).row(0, named=True)


@pytest.mark.parametrize(
    ("measure", "segments", "design", "details"),
    [
        ("total(viewing_time_ms > 0)", PAGES, "uniform", 45),
        ("count()", PAGES, "pageviews", 60),
        ("p75(loading_time_ms)", HALVES, "pageviews", 60),
    ],
)
def test_halves_that_are_alike_differ_in_one_of_twenty_samples(
    measure: str, segments: list[str], design: str, details: int
) -> None:
    rows = [compared(sample_of(seed, design, details), measure, segments=segments) for seed in range(DRAWS)]
    assert 0 < sum(row["differs"] for row in rows) / DRAWS <= MOST


def test_if_the_sum_of_two_numbers_is_known_their_difference_is_as_wide_as_both_together() -> None:
    row = compared(sample_of(0), "count()", segments=PAGES)
    assert row["first"] + row["second"] == pytest.approx(len(twins().details.page_views))
    widths = [row[f"{name}_upper"] - row[f"{name}_lower"] for name in ("first", "second", "difference")]
    assert widths[2] == pytest.approx(widths[0] + widths[1])


NESTED = ["browser_name = 'A'", "true"]


def test_rare_cases_of_a_part_differ_from_those_of_the_whole_in_one_of_twenty_samples_at_most() -> None:
    rows = [compared(sample_of(seed, details=135), "mean(error_count)", segments=NESTED) for seed in range(DRAWS)]
    assert sum(row["differs"] for row in rows) / DRAWS <= MOST


@pytest.mark.parametrize("measure", ["mean(loading_time_ms)", "median(loading_time_ms)"])
def test_a_part_that_is_like_the_whole_differs_from_it_in_one_of_twenty_samples(measure: str) -> None:
    rows = [compared(sample_of(seed), measure, segments=NESTED) for seed in range(DRAWS)]
    assert sum(row["differs"] for row in rows) / DRAWS <= MOST
    widths = [row["difference_upper"] - row["difference_lower"] for row in rows]
    of_first = [row["first_upper"] - row["first_lower"] for row in rows]
    assert sum(widths) < sum(of_first), "the sessions that both have do not make them differ"


def test_groups_that_are_alike_all_hold_at_once_in_19_of_20_samples() -> None:
    found = [
        pf.compare(sample_of(seed, details=135), "mean(loading_time_ms)", segments=HALVES, by="country", wide=True)
        for seed in range(40)
    ]
    assert sum(frame["differs"].any() for frame in found) / len(found) <= 0.05 + 2 * 0.035
    separately = [
        compared(sample_of(0, details=135), "mean(loading_time_ms)", where=f"country = '{row['country']}'")
        for row in found[0].to_dicts()
    ]
    for together, alone in zip(found[0].to_dicts(), separately, strict=True):
        assert together["first"] == pytest.approx(alone["first"])
        assert together["first_lower"] == pytest.approx(alone["first_lower"])
        assert together["difference_lower"] < alone["difference_lower"]
        assert together["difference_upper"] > alone["difference_upper"]


def test_what_differs_is_what_an_interval_that_is_shown_excludes_0() -> None:
    measures = ["mean(loading_time_ms)", "p75(loading_time_ms)", "share(loading_time_ms > 900)", "count()"]
    found = pf.compare(twins(slower=2.0).sample(300), measures, segments=HALVES, by="country", wide=True)
    excludes = (found["difference_lower"] > 0) | (found["difference_upper"] < 0)
    assert_frame_equal(found.select("differs"), excludes.alias("differs").to_frame())
    assert found["differs"].any()
    assert not found["differs"].all()


def test_a_segment_does_not_differ_from_itself_though_the_sample_cannot_prove_it() -> None:
    for measure in ("mean(loading_time_ms)", "p75(loading_time_ms)", "total(loading_time_ms)"):
        row = compared(sample_of(0), measure, segments=["country = 'a'", "country < 'b'"])
        assert row["difference"] == 0
        assert row["difference_lower"] < 0 < row["difference_upper"]
        assert not row["differs"]


def test_counts_of_summaries_are_exact_in_all_groups() -> None:
    found = pf.compare(sample_of(0), "count()", segments=HALVES, by="country", wide=True)
    assert found["difference"].to_list() == [0] * 6
    assert (found["difference_lower"] == found["difference_upper"]).all()
