"""The populations that estimates are measured on are what they are said to be, and always the same."""

from __future__ import annotations

import polars as pl
import pytest
from populations import BOT_VIEWS, KINDS, START, Kind, lost, make, sample_of, truth

import pulseframes as pf
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS

SIZE = 4_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_population_has_the_frames_of_a_search_and_of_details(kind: Kind) -> None:
    summaries, details = make(kind, SIZE)
    assert summaries.schema == details.sessions.schema == SESSIONS.schema
    assert (details.page_views.schema, details.errors.schema) == (PAGE_VIEWS.schema, ERRORS.schema)
    counts = details.page_views.group_by("session_id", maintain_order=True).len()["len"]
    assert counts.to_list() == details.sessions["page_view_count"].to_list()
    assert details.page_views["loading_time_ms"].null_count() / len(details.page_views) == pytest.approx(0.08, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_some_summaries_report_fewer_page_views_none_or_zero(kind: Kind) -> None:
    summaries, details = make(kind, SIZE)
    told, true = summaries["page_view_count"], details.sessions["page_view_count"]
    assert told.null_count() / SIZE == pytest.approx(0.03, abs=0.01)
    assert (told == 0).sum() / SIZE == pytest.approx(0.02, abs=0.01)
    assert 0.05 < ((told > 0) & (told < true)).sum() / SIZE < 0.12
    assert not (told > true).any()
    assert told.filter(true == BOT_VIEWS).to_list() == [BOT_VIEWS] * (2 if kind in {"pareto", "ties"} else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_always_the_same_population_and_another_seed_another(kind: Kind) -> None:
    summaries, details = make.__wrapped__(kind, SIZE)
    again, others = make.__wrapped__(kind, SIZE), make(kind, SIZE, seed=2)
    assert summaries.equals(again[0])
    assert details.page_views.equals(again[1].page_views)
    assert not details.page_views.equals(others[1].page_views)


def test_two_weeks_have_a_first_that_teaches_the_second() -> None:
    summaries, details = make("shop", 2 * SIZE, days=14)
    week = (summaries["session_start"] - START).dt.total_days() // 7
    assert sorted(week.unique()) == [0, 1]
    by_page = details.page_views.join(summaries.select("session_id", week=week), on="session_id")
    first, second = (
        by_page.filter(week=number)
        .group_by("page")
        .agg(pl.col("loading_time_ms").mean())
        .sort("page")["loading_time_ms"]
        for number in (0, 1)
    )
    assert pl.DataFrame({"first": first, "second": second}).select(pl.corr("first", "second")).item() > 0.9


def test_the_details_of_long_sessions_are_lost_most_often() -> None:
    _, details = make("nonresponse", SIZE)
    gone = details.sessions.with_columns(gone=pl.col("session_id").is_in([*lost("nonresponse", SIZE)]))
    rates = gone.group_by(pl.col("page_view_count") > 10).agg(pl.col("gone").mean()).sort("page_view_count")["gone"]
    assert rates[0] < 0.2
    assert rates[1] > 0.4
    assert not lost("shop", SIZE)


def test_a_sample_has_the_details_that_are_not_lost_and_the_truth_is_that_of_all() -> None:
    sample = sample_of("nonresponse", 120, seed=3, sessions=SIZE)
    assert 0 < 120 - len(sample.details.sessions) == len(sample.members) - sample.members["responded"].sum()
    assert not {*sample.details.sessions["session_id"]} & lost("nonresponse", SIZE)
    _, details = make("nonresponse", SIZE)
    true = truth(details, "mean(loading_time_ms)")
    assert true["estimate"].item() == pytest.approx(details.page_views["loading_time_ms"].mean())
    assert isinstance(sample, pf.Sample)
