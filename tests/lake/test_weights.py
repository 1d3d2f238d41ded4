"""SQL over a sample: weights and macros give what estimate() gives, and plain aggregates are warned of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import NOW, Run, client_of
from hypothesis import given, settings, strategies as st

import pulseframes as pf
from pulseframes.lake import weights
from pulseframes.lake.weights import with_weights
from pulseframes.simulator import Simulator

WEEK = ("2026-11-09", "2026-11-16")
DESIGNS = {
    "pageviews": pf.Design(),
    "uniform": pf.Design("uniform"),
    "strata": pf.Design("pageviews", strata=("os_name",)),
}
#: What is asked of each view: the measure of estimate(), and SQL.
FIGURES = [
    ("page_views", "mean(loading_time_ms)", "w_avg(loading_time_ms)"),
    ("page_views", "total(viewing_time_ms)", "w_sum(viewing_time_ms)"),
    ("page_views", "share(loading_time_ms > 2000)", "w_avg((loading_time_ms > 2000)::int)"),
    ("page_views", "p75(loading_time_ms)", "w_quantile(loading_time_ms, 0.75)"),
    ("page_views", "median(viewing_time_ms)", "w_quantile(viewing_time_ms, 0.5)"),
    ("page_views", "count()", "w_count()"),
    ("errors", "count()", "w_count()"),
    ("sessions", "share(satisfaction_rating = 'Poor')", "w_avg((satisfaction_rating = 'Poor')::int)"),
]


@pytest.fixture(scope="module")
def shop() -> Iterator[Simulator]:
    with Simulator(sessions=2_000, now=NOW, daily_limit=None) as running:
        yield running


@pytest.fixture(scope="module", params=DESIGNS)
def lake(request: pytest.FixtureRequest, shop: Simulator, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    """A lake with a sample of 30 of about 500 sessions, and the details of others besides."""
    folder = tmp_path_factory.mktemp("weights")
    with (
        client_of(shop, changes={"home": folder / "home"}) as client,
        warnings.catch_warnings(action="ignore", category=pf.IncompleteWarning),
    ):
        pf.sync(folder / "lake", *WEEK, details=30, design=DESIGNS[request.param], client=client)
        pf.sync(folder / "lake", *WEEK, details=3, design="newest", client=client)
    return pf.Lake(folder / "lake")


@pytest.mark.parametrize(("view", "measure", "sql"), FIGURES)
def test_macros_give_what_estimate_gives(lake: pf.Lake, view: str, measure: str, sql: str) -> None:
    expected = pf.estimate(lake, measure, of=view, calibrate=None, wide=True)["estimate"].item()  # type: ignore[arg-type]  # one of the levels
    assert lake.sql(f"select {sql} from {view}").item() == pytest.approx(expected, rel=1e-9)


def test_macros_give_what_estimate_gives_by_group(lake: pf.Lake) -> None:
    expected = pf.estimate(lake, "p75(loading_time_ms)", by="country", wide=True).drop_nulls("country")
    found = lake.sql(
        "select country, w_quantile(loading_time_ms, 0.75, page_views.weight) as p75 from page_views "
        "join sessions using (session_id) where loading_time_ms is not null and page_views.weight is not null group by country"
    )
    both = expected.join(found, on="country")
    assert len(both) > 4
    assert both["p75"].to_list() == both["estimate"].to_list()


def test_weights_add_up_to_all_sessions_and_only_sampled_rows_have_one(lake: pf.Lake) -> None:
    sessions = lake.sessions().collect()
    rows = lake.sql("select session_id, weight from sessions")
    assert rows["weight"].sum() == pytest.approx(len(sessions), rel=0.1)  # active ones are not drawn
    sampled = lake.design().collect()["session_id"].unique()
    assert set(rows.drop_nulls("weight")["session_id"]) <= set(sampled)
    assert "weight" in lake.sql("from page_views limit 1").columns
    with lake.duckdb() as connection:
        [(total,)] = connection.sql("select w_count(weight) from sessions").fetchall()
    assert total == pytest.approx(rows["weight"].sum())


@pytest.mark.parametrize(
    "query",
    [
        "with views as (from page_views) select max(weight) from views",
        "select max(x) from (select columns('^weight$') as x from page_views)",
        "select max(weight) from (pivot (select page, session_id, weight from page_views) on page in ('/') using count(*))",
        "select max(weight) from (table page_views)",
    ],
)
def test_weights_are_there_however_a_query_names_them(lake: pf.Lake, query: str) -> None:
    assert lake.sql(query).item() == lake.sql("select max(weight) from page_views").item() > 1


def test_macros_of_nothing_are_null_and_a_count_is_0(lake: pf.Lake) -> None:
    row = lake.sql(
        "select w_count(), w_sum(loading_time_ms), w_avg(loading_time_ms), w_quantile(loading_time_ms, 0.5) from page_views where page = ''"
    )
    assert row.row(0) == (0, None, None, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select w_count() from t", "select w_count(weight) from t"),
        ("select W_AVG( f(a, b) )", "select W_AVG( f(a, b) , weight)"),
        ("w_quantile(w_avg(x), 0.5)", "w_quantile(w_avg(x, weight), 0.5, weight)"),
        ("w_avg([a, b][1])", "w_avg([a, b][1], weight)"),
        ("w_avg(x, t.weight) + w_count(w)", "w_avg(x, t.weight) + w_count(w)"),
        (
            "select 'w_avg(x)', \"w_count()\", w_avg('a,b)') -- w_avg(x)",
            "select 'w_avg(x)', \"w_count()\", w_avg('a,b)', weight) -- w_avg(x)",
        ),
        ("/* w_avg(x) */ new_w_avg(x)", "/* w_avg(x) */ new_w_avg(x)"),
        ("w_avg(x", "w_avg(x"),
    ],
)
def test_the_weight_is_added_where_it_was_left_out(query: str, expected: str) -> None:
    assert with_weights(query) == expected


@settings(max_examples=200)
@given(st.text(max_size=60) | st.text("w_avg(),'\"[]{}-*/ x", max_size=60))
def test_other_queries_are_unchanged(query: str) -> None:
    changed = with_weights(query)
    assert changed == query or changed.replace(", weight", "").replace("weight", "") == query.replace("weight", "")


@pytest.mark.parametrize(
    "query",
    [
        "select avg(loading_time_ms) from page_views",
        "select page, count(*) from page_views group by page",
        "select count(*) from errors",
        "select satisfaction_rating, count(*) from sessions group by all",
        "select approx_count_distinct(page) from page_views",
        "summarize page_views",
    ],
)
def test_plain_aggregates_over_a_sample_are_warned_of_once(
    lake: pf.Lake, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_TOLD", set())
    with pytest.warns(pf.PulseWarning, match=r"with details\. w_count\(\), w_sum\(x\), w_avg\(x\) and w_quantile"):
        lake.sql(query)
    lake.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from sessions",
        "select country, avg(page_view_count) from sessions group by all",
        "select loading_time_ms from page_views limit 3",
        "select w_avg(loading_time_ms) from page_views",
        "select sum(weight * loading_time_ms) / sum(weight) from page_views",
    ],
)
def test_nothing_is_said_of_queries_that_do_not_mislead(
    lake: pf.Lake, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_TOLD", set())
    lake.sql(query)


def test_details_that_were_not_sampled_have_no_weight_and_are_warned_of(
    shop: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_TOLD", set())
    lake = pf.Lake(tmp_path / "lake")
    with client_of(shop) as client:
        pf.sync(lake, *WEEK, details=5, design="newest", client=client)
    with pytest.warns(pf.PulseWarning, match="the 5 of .* They were not sampled at random"):
        lake.sql("select count(*) from page_views")
    assert lake.sql("select w_count() from page_views").item() == 0


def test_many_joins_end(lake: pf.Lake) -> None:
    query = (
        "select count(page), w_avg(loading_time_ms, page_views.weight) from page_views join sessions using (session_id)"
    )
    assert (
        len({lake.sql(query).row(0)[0] for _ in range(15)}) == 1
    )  # Arrow's threads and DuckDB's may wait for each other


def test_a_natural_join_is_refused_because_it_would_compare_weights(lake: pf.Lake) -> None:
    with pytest.raises(pf.InvalidQuery, match=r"USING \(session_id\)"):
        lake.sql("select page from page_views natural join sessions")


def test_the_command_line_warns_too(lake: pf.Lake, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_TOLD", set())
    code, _, said = run("sql", lake.location, "select avg(loading_time_ms) from page_views")
    assert code == 0
    assert "warning: Plain aggregates describe the" in said
    assert "w_avg(x)" in said
