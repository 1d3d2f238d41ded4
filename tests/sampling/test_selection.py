"""choose_details(): a random sample with stateless selection."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.sampling.design import Design
from pulseframes.tables import SESSIONS

#: Made-up summaries, as a draw of page views and countries.
POPULATIONS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.one_of(st.none(), st.integers(0, 900)),
        st.sampled_from(["NZ", "US", None, "DE"]),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda row: row[0],
)
STRATA = st.sampled_from([None, "country", ["country", "status"]])
KINDS = st.sampled_from(["pageviews", "uniform"])


def summaries(rows: list[tuple[int, int | None, str | None]]) -> pl.DataFrame:
    ids, views, countries = zip(*rows, strict=True)
    return pl.DataFrame(
        {"session_id": ids, "page_view_count": views, "country": countries, "status": "ended"},
        schema={name: SESSIONS.schema[name] for name in ("session_id", "page_view_count", "country", "status")},
    )


def simulated(count: int, *, first: int = 0) -> pl.DataFrame:
    """Sessions with 1 to 7 page views, a fifth of them from New Zealand."""
    numbers = range(first, first + count)
    return summaries([(7919 * n + 1, 1 + n * n % 7, "NZ" if n % 5 == 0 else "US") for n in numbers])


def ids(chosen: pl.DataFrame) -> list[int]:
    return chosen["session_id"].to_list()


@settings(max_examples=50)
@given(rows=POPULATIONS, calls=st.lists(st.integers(0, 20), max_size=6), kind=KINDS, strata=STRATA, data=st.data())
def test_any_split_of_the_calls_selects_the_same_sessions_as_one_run(
    rows: list[Any], calls: list[int], kind: Any, strata: Any, data: st.DataObject
) -> None:
    at_once = pf.choose_details(summaries(rows), sum(calls), design=kind, strata=strata, seed=7)
    downloaded: set[int] = set()
    for today in calls:
        shuffled = data.draw(st.permutations(rows))
        chosen = pf.choose_details(summaries(shuffled), today, design=kind, strata=strata, seed=7, detailed=downloaded)
        new = chosen.filter(~pl.col("detailed"))
        assert len(new) == min(today, len(rows) - len(downloaded))
        assert downloaded <= {*ids(chosen)}, "downloaded sessions stay drawn"
        downloaded |= {*ids(new)}
        assert_frame_equal(
            chosen.drop("detailed"),
            pf.choose_details(summaries(rows), len(downloaded), design=kind, strata=strata, seed=7).drop("detailed"),
        )
    assert downloaded == {*ids(at_once)}


@given(rows=POPULATIONS, calls=st.integers(0, 70), kind=KINDS)
def test_the_probabilities_of_all_sessions_add_up_to_the_number_drawn(rows: list[Any], calls: int, kind: Any) -> None:
    population = summaries(rows)
    chosen = pf.choose_details(population, calls, design=kind, bot_share=None)
    sizes = pl.Series([1 if kind == "uniform" else max(1, views or 1) for _, views, _ in rows])
    assert len(chosen) == min(calls, len(rows))
    assert chosen["inclusion_probability"].is_between(0, 1, closed="right").all()
    uncertain = chosen.filter(pl.col("inclusion_probability") < 1)
    if uncertain.is_empty():
        assert len(chosen) in {0, len(rows)}, "all are certain only where all are drawn"
    else:
        rate = (uncertain["inclusion_probability"] / uncertain["size"]).min()
        assert (sizes * rate).clip(upper_bound=1).sum() == pytest.approx(len(chosen))


def with_bots(bots: int, others: int) -> pl.DataFrame:
    """Bots of 600 page views among sessions of 1 to 7."""
    crawled = summaries([(7919 * n + 2, 600, "US") for n in range(bots)])
    return pl.concat([simulated(others), crawled])


@pytest.mark.parametrize("strata", [None, "country"])
@pytest.mark.parametrize(("calls", "most"), [(20, 2), (45, 3), (200, 11)])
def test_bots_take_at_most_one_detail_in_twenty(calls: int, most: int, strata: str | None) -> None:
    population = with_bots(40, 2_000)  # three quarters of all page views
    as_others, apart = (
        pf.choose_details(population, calls, strata=strata, bot_share=share)["size"] for share in (None, 0.05)
    )
    assert (as_others == 600).sum() > min(calls / 4, 35)
    assert 1 <= (apart == 600).sum() <= most


def test_bots_that_are_few_take_less_than_their_share() -> None:
    chosen = pf.choose_details(with_bots(1, 20_000), 500)
    assert (chosen["size"] == 600).sum() <= 5


def test_where_all_are_bots_they_take_all() -> None:
    bots = summaries([(n, 600, "US") for n in range(30)])
    assert len(pf.choose_details(bots, 12)) == 12


@given(rows=POPULATIONS, calls=st.integers(0, 70), share=st.floats(0.01, 1))
def test_the_probabilities_of_bots_and_others_add_up_to_the_numbers_drawn(
    rows: list[Any], calls: int, share: float
) -> None:
    chosen = pf.choose_details(summaries(rows), calls, bot_share=share)
    views = pl.Series([max(1, count or 1) for _, count, _ in rows])
    for bots in (True, False):
        drawn = chosen.filter((pl.col("size") >= 500) == bots)
        uncertain = drawn.filter(pl.col("inclusion_probability") < 1)
        if len(drawn) > 1 and not uncertain.is_empty():  # strata of one are pooled
            rate = (uncertain["inclusion_probability"] / uncertain["size"]).min()
            sizes = views.filter((views >= 500) == bots)
            assert (sizes * rate).clip(upper_bound=1).sum() == pytest.approx(len(drawn))


def test_weights_of_bots_stand_for_all_bots() -> None:
    population = with_bots(40, 2_000)
    totals = []
    for seed in range(200):
        chosen = pf.choose_details(population, 100, seed=seed).filter(pl.col("size") == 600)
        totals.append((1 / chosen["inclusion_probability"]).sum())
    assert pl.Series(totals).mean() == pytest.approx(40, rel=0.05)


@pytest.mark.parametrize("share", [0, -0.1, 1.5, True, "all", float("nan")])
def test_a_wrong_share_of_bots_is_explained(share: Any) -> None:
    with pytest.raises(pf.InvalidQuery, match="bot_share must be above 0 and at most 1, or None") as caught:
        Design(bot_share=share)
    assert caught.value.argument == "bot_share"


def test_a_uniform_probability_is_the_share_drawn() -> None:
    chosen = pf.choose_details(simulated(2_000), 45, design="uniform")
    assert chosen["inclusion_probability"].unique().to_list() == [45 / 2_000]
    assert chosen["order"].to_list() == list(range(45))
    assert chosen["stratum"].unique().to_list() == [""]


@pytest.mark.parametrize("kind", ["pageviews", "uniform"])
def test_over_many_seeds_each_session_is_drawn_as_often_as_its_probability_says(kind: Any) -> None:
    population = simulated(40)
    seeds = 300
    drawn = pl.concat([pf.choose_details(population, 8, design=kind, seed=seed) for seed in range(seeds)])
    found = drawn.group_by("session_id").agg(pl.len() / seeds, pl.col("inclusion_probability").first())
    # Three standard errors of a share; sequential Poisson sampling itself is off by less than one per cent.
    error = (found["inclusion_probability"] * (1 - found["inclusion_probability"]) / seeds).sqrt()
    assert ((found["len"] - found["inclusion_probability"]).abs() < 3.3 * error + 0.01).all()


def test_the_order_for_a_seed_never_changes() -> None:
    chosen = pf.choose_details(simulated(1_000), 5, seed=1)
    assert ids(chosen) == ORDER_FOR_SEED_1
    assert ids(pf.choose_details(simulated(1_000), 5, seed=2)) != ids(chosen)


def test_later_sessions_take_their_places_and_drawn_sessions_stay_drawn() -> None:
    first, later = simulated(500), simulated(500, first=500)
    today = pf.choose_details(first, 40)
    both = pl.concat([first, later])
    tomorrow = pf.choose_details(both, 40, detailed=ids(today))
    assert tomorrow.filter(~pl.col("detailed"))["session_id"].is_in(later["session_id"].implode()).sum() > 30
    week_later = pf.choose_details(both, 300, detailed=[*ids(today), *ids(tomorrow)])
    assert {*ids(today), *ids(tomorrow)} <= {*ids(week_later)}


def test_existing_details_cost_nothing_and_join_when_the_order_reaches_them() -> None:
    population = simulated(400)
    whole = ids(pf.choose_details(population, 400))
    early, late = whole[3], whole[300]
    chosen = pf.choose_details(population, 10, detailed=[early, late])
    assert ids(chosen) == whole[:11]
    assert chosen.filter("detailed")["session_id"].to_list() == [early]
    lake_like = population.with_columns(
        pl.when(pl.col("session_id") == early).then(pl.lit("2026-11-01").str.to_datetime()).alias("detail_fetched_at")
    )
    assert ids(pf.choose_details(lake_like, 10)) == whole[:11]


def test_active_sessions_are_omitted_until_they_have_ended() -> None:
    population = simulated(100).with_columns(
        pl.when(pl.col("session_id") % 2 == 0).then(pl.lit("active")).otherwise("status").alias("status")
    )
    chosen = pf.choose_details(population, 100)
    assert {*ids(chosen)} == {*population.filter(status="ended")["session_id"]}


@given(rows=POPULATIONS, calls=st.integers(0, 60), seed=st.integers(0, 2**40))
def test_each_beginning_of_the_order_has_each_stratums_share_to_one_session(
    rows: list[Any], calls: int, seed: int
) -> None:
    population = summaries(rows)
    chosen = pf.choose_details(population, calls, design="uniform", strata="country", seed=seed)
    counts = dict(chosen.group_by("stratum").len().iter_rows())
    sizes = dict(population.group_by(pl.col("country").fill_null("null")).len().iter_rows())
    assert {*counts} <= {*sizes}
    for stratum, size in sizes.items():
        assert abs(counts.get(stratum, 0) - len(chosen) * size / len(rows)) < 2


def test_strata_get_their_allocated_shares_and_the_others_divide_the_rest() -> None:
    population = simulated(1_000).with_columns(
        pl.when(pl.col("session_id") % 3 == 0).then(pl.lit("DE")).otherwise("country").alias("country")
    )
    chosen = pf.choose_details(population, 100, design="uniform", strata="country", allocation={"NZ": 0.5})
    counts = dict(chosen.group_by("stratum").len().iter_rows())
    assert counts["NZ"] == pytest.approx(50, abs=1)
    assert counts["US"] / counts["DE"] == pytest.approx(
        len(population.filter(country="US")) / len(population.filter(country="DE")), rel=0.1
    )
    nz = len(population.filter(country="NZ"))
    rate = chosen.filter(stratum="NZ")["inclusion_probability"].unique().to_list()
    assert rate == [pytest.approx(counts["NZ"] / nz)]


@settings(max_examples=30)
@given(calls=st.integers(0, 200), step=st.integers(1, 40))
def test_more_calls_never_lower_a_probability(calls: int, step: int) -> None:
    population = simulated(200)
    few, more = (pf.choose_details(population, n, strata="country") for n in (calls, calls + step))
    both = few.join(more, on="session_id", suffix="_more")
    assert len(both) == len(few)
    assert (both["inclusion_probability_more"] >= both["inclusion_probability"] - 0.05).all()


def test_the_columns_of_a_choice() -> None:
    chosen = pf.choose_details(simulated(1_000), 50)
    assert chosen.schema == {
        "session_id": pl.Int64,
        "order": pl.Int64,
        "stratum": pl.String,
        "size": pl.Int64,
        "inclusion_probability": pl.Float64,
        "detailed": pl.Boolean,
    }
    views = simulated(1_000)["page_view_count"].sum()
    assert (chosen["size"] / chosen["inclusion_probability"]).sum() == pytest.approx(views)


def test_no_sessions_and_no_calls_give_no_rows() -> None:
    assert pf.choose_details(simulated(10).clear(), 5).is_empty()
    assert pf.choose_details(simulated(10), 0, strata="country").is_empty()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"calls": -1}, "calls must be a whole number of at least 0, not -1"),
        ({"calls": True}, "calls must be .* not True"),
        ({"calls": 1.5}, "calls must be .* not 1.5"),
        ({"design": "newest"}, "design must be one of pageviews, uniform, not 'newest'"),
        ({"seed": -1}, "seed must be .* not -1"),
        ({"seed": "x"}, "seed must be .* not 'x'"),
        (
            {"strata": "satisfaction_rating"},
            "Unknown column 'satisfaction_rating' in strata=. Use one that a search fills",
        ),
        ({"strata": "user_email_address"}, "identifies people or single sessions"),
        ({"strata": "nowhere"}, "Unknown column 'nowhere' in strata="),
        ({"strata": "platform_name"}, "sessions: it has no column platform_name"),
        ({"allocation": {"NZ": 0.5}}, "allocation needs strata"),
        ({"strata": "country", "allocation": [("NZ", 0.5)]}, "must be a mapping such as {'NZ': 0.5}"),
        ({"strata": 5}, "strata must be column names, .* not 5"),
        ({"strata": ["country", None]}, "strata must be column names, .* not None"),
        ({"detailed": ["abc"]}, "detailed must be session ids"),
        ({"detailed": [2**70]}, "detailed must be session ids"),
        ({"detailed": 5}, "detailed must be session ids"),
        ({"strata": "country", "allocation": {"NZ": 0}}, "the share of 'NZ' must be above 0 and at most 1, not 0"),
        ({"strata": "country", "allocation": {"NZ": 0.6, "US": 0.6}}, "add up to more than 1"),
        ({"strata": "country", "allocation": {"NZ": 1.0}}, "leave nothing for 'US'"),
        (
            {"strata": "country", "allocation": {"New Zealand": 0.5}},
            "no session is in the stratum 'New Zealand'; the strata are 'NZ', 'US'",
        ),
        ({"sessions": [1, 2]}, "must be a polars DataFrame, not list"),
        ({"sessions": simulated(3).lazy()}, "must be a polars DataFrame, not LazyFrame"),
        ({"sessions": simulated(3).drop("page_view_count")}, "no column page_view_count"),
        ({"sessions": pl.concat([simulated(3), simulated(1)])}, "session 1 occurs twice"),
    ],
)
def test_invalid_arguments_are_explained(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=message):
        pf.choose_details(**({"sessions": simulated(20), "calls": 5} | arguments))


def test_a_designs_name_includes_its_strata() -> None:
    assert Design().name == "pageviews"
    assert Design("uniform", strata=("country", "os_name")).name == "uniform by country, os_name"
    assert all(one != other for one, other in pairwise([Design(), Design(seed=1), Design("uniform")]))


ORDER_FOR_SEED_1 = [3753607, 2747894, 3112168, 7768540, 5622491]
