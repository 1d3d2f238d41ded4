"""Lazy scans of the API: the rows of 40 query shapes are the truth, and their calls the fewest."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import narwhals as nw
import polars as pl
import pytest
from conftest import NOW, client_of
from polars.testing import assert_frame_equal

import pulseframes as pf
from pulseframes.simulator import Fault, Simulator

started, country, user = pl.col("session_start"), pl.col("country"), pl.col("user_identifier")
FIRST = datetime(2026, 10, 1, tzinfo=UTC)
EVER = started >= FIRST


def day(number: int) -> datetime:
    return datetime(2026, 11, number, tzinfo=UTC)


WEEK = (started >= day(9), started < day(16))


class Shape(NamedTuple):
    """A query, and the searches that it needs: a window of days of November, and a country or user."""

    query: Callable[[pl.LazyFrame], pl.LazyFrame]
    searches: list[tuple[datetime, datetime, pl.Expr | bool]]


def week(query: Callable[[pl.LazyFrame], pl.LazyFrame], narrowed: pl.Expr | bool = True) -> Shape:
    """A query that reads one week."""
    return Shape(query, [(day(9), day(16), narrowed)])


def days(query: Callable[[pl.LazyFrame], pl.LazyFrame], *numbers: int) -> Shape:
    """A query that reads some days, each with a search of its own."""
    return Shape(query, [(day(number), day(number + 1), True) for number in numbers])


USERS = ["ada", "grace"]
MICROSECOND = timedelta(microseconds=1)

SHAPES = {
    # Time.
    "two comparisons": week(lambda lf: lf.filter(*WEEK)),
    "one after the other": week(lambda lf: lf.filter(WEEK[0]).filter(WEEK[1])),
    "the literal first": week(lambda lf: lf.filter(day(9) <= started, day(16) > started)),
    "between, closed on the left": week(lambda lf: lf.filter(started.is_between(day(9), day(16), closed="left"))),
    "between, closed": Shape(
        lambda lf: lf.filter(started.is_between(day(9), day(16))), [(day(9), day(16) + MICROSECOND, True)]
    ),
    "no end": Shape(lambda lf: lf.filter(EVER), [(FIRST, NOW, True)]),
    "a day by its date": days(lambda lf: lf.filter(started.dt.date() == date(2026, 11, 9)), 9),
    "days by their dates": days(lambda lf: lf.filter(started.dt.date().is_in([date(2026, 11, 9), date(2026, 11, 12)])), 9, 12),
    "dates cast": week(lambda lf: lf.filter(started.cast(pl.Date) >= date(2026, 11, 9), started.cast(pl.Date) < date(2026, 11, 16))),
    "two windows": days(
        lambda lf: lf.filter(started.is_between(day(2), day(3), closed="left") | started.is_between(day(5), day(6), closed="left")), 2, 5
    ),
    "windows that overlap": week(lambda lf: lf.filter((WEEK[0] & (started < day(12))) | ((started >= day(10)) & WEEK[1]))),
    "not before": week(lambda lf: lf.filter(~(started < day(9)), ~(started >= day(16)))),
    "a parsed text": week(lambda lf: lf.filter(started >= pl.lit("2026-11-09").str.to_datetime(time_zone="UTC"), WEEK[1])),
    "a time that polars makes": week(lambda lf: lf.filter(started >= pl.datetime(2026, 11, 9, time_zone="UTC"), WEEK[1])),
    "an offset": week(lambda lf: lf.filter(started >= pl.lit(day(16)).dt.offset_by("-7d"), WEEK[1])),
    "another zone": week(lambda lf: lf.filter(started.is_between(
        pl.lit(datetime(2026, 11, 9, 13, tzinfo=ZoneInfo("Pacific/Auckland"))).dt.convert_time_zone("UTC"), day(16), closed="left"))),
    "contradictory": Shape(lambda lf: lf.filter(started >= day(16), started < day(9)), []),
    "an empty list": Shape(lambda lf: lf.filter(country.is_in([])), []),
    # Country and user.
    "a country": week(lambda lf: lf.filter(*WEEK, country="NZ"), country == "NZ"),
    "countries": week(lambda lf: lf.filter(*WEEK, country.is_in(["NZ", "US"])), country.is_in(["NZ", "US"])),
    "one country or another": week(lambda lf: lf.filter(*WEEK, (country == "NZ") | (country == "US")), country.is_in(["NZ", "US"])),
    "all countries but one": week(lambda lf: lf.filter(*WEEK, country != "NZ")),
    "a country or none": week(lambda lf: lf.filter(*WEEK, country.is_in(["NZ"]) | country.is_null())),
    "a country in small letters": week(lambda lf: lf.filter(*WEEK, country == "nz"), country == "NZ"),
    "a country that is no code": week(lambda lf: lf.filter(*WEEK, country == "New Zealand")),
    "a country by what is not known": week(lambda lf: lf.filter(*WEEK, country.str.to_lowercase() == "nz")),
    "a user": week(lambda lf: lf.filter(*WEEK, user == "nobody"), user == "nobody"),
    "users": week(lambda lf: lf.filter(*WEEK, user.is_in(USERS))),
    "country and user": week(lambda lf: lf.filter(*WEEK, country == "NZ", user == "nobody"), (country == "NZ") & (user == "nobody")),
    "two countries at once": Shape(lambda lf: lf.filter(*WEEK, country == "NZ", country == "AU"), []),
    "two users at once": Shape(lambda lf: lf.filter(*WEEK, user == "ada", user.is_in(["grace", "joan"])), []),
    "a country in some days only": week(lambda lf: lf.filter(*WEEK, (country == "NZ") | (started >= day(12)))),
    # Other filters, and what follows.
    "a column that the API does not search by": week(lambda lf: lf.filter(*WEEK, pl.col("browser_name") == "Chrome")),
    "a function of ours": week(lambda lf: lf.filter(*WEEK, pl.col("browser_name").map_elements(str.isalpha, return_dtype=pl.Boolean))),
    "columns": week(lambda lf: lf.filter(*WEEK).select("session_id", "country")),
    "a count": week(lambda lf: lf.filter(*WEEK).select(pl.len())),
    "groups": week(lambda lf: lf.filter(*WEEK).group_by("country").agg(pl.len(), pl.col("session_length_ms").median())),
    "top rows": week(lambda lf: lf.filter(*WEEK).top_k(5, by=["session_length_ms", "session_id"])),
    "sorted, then the first": week(lambda lf: lf.filter(*WEEK).sort("session_start", "session_id").head(3)),
    "the last": week(lambda lf: lf.filter(*WEEK).tail(3)),
    "a slice": week(lambda lf: lf.filter(*WEEK).slice(5, 10)),
    "a new column, then a filter on it": week(
        lambda lf: lf.filter(*WEEK).with_columns(day=started.dt.date()).filter(pl.col("day") == date(2026, 11, 10))
    ),
    "with itself": week(lambda lf: lf.filter(*WEEK).join(lf.filter(*WEEK).select("session_id", again="country"), on="session_id")),
    "two weeks, one below the other": Shape(
        lambda lf: pl.concat([lf.filter(*WEEK), lf.filter(started >= day(2), started < day(9))]),
        [(day(9), day(16), True), (day(2), day(9), True)],
    ),
    "unpivoted": week(lambda lf: lf.filter(*WEEK).unpivot(["country"], index="session_id")),
    "SQL of polars": week(
        lambda lf: pl.SQLContext(x=lf).execute(
            "select session_id from x where session_start >= '2026-11-09' and session_start < '2026-11-16' and country in ('NZ', 'US')"
        ),
        country.is_in(["NZ", "US"]),
    ),
    "narwhals": week(
        lambda lf: nw.from_native(lf).filter(nw.col("session_start") >= day(9), nw.col("session_start") < day(16)).to_native()
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> Iterator[Simulator]:
    """3,700 sessions, so that a week has more than a page."""
    with Simulator(sessions=3_700, now=NOW, daily_limit=None) as running:
        yield running


@pytest.fixture(scope="module")
def truth(shop: Simulator) -> pl.DataFrame:
    return shop.summaries()


@pytest.fixture(scope="module")
def lake(shop: Simulator, tmp_path_factory: pytest.TempPathFactory) -> pf.Lake:
    """Two days, with the details of 8 sessions."""
    folder = tmp_path_factory.mktemp("lake")
    with client_of(shop, changes={"home": ":memory:"}) as client:
        pf.sync(folder, day(9), day(11), details=8, client=client)
    return pf.Lake(folder)


@pytest.fixture
def connected(shop: Simulator) -> Iterator[pf.PulseClient]:
    """A client that has a session key and knows nothing else."""
    with client_of(shop, changes={"home": ":memory:"}, clock=lambda: shop.now) as client:
        client.check_credentials()
        yield client


def fewest(truth: pl.DataFrame, shape: Shape) -> int:
    totals = [len(truth.filter(begin <= started, end > started, narrowed)) for begin, end, narrowed in shape.searches]
    return sum(max(1, -(-total // 500)) for total in totals)


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort(rows.columns)


@pytest.mark.parametrize("name", SHAPES)
def test_rows_are_the_truth_and_calls_the_fewest(name: str, connected: pf.PulseClient, truth: pl.DataFrame) -> None:
    shape = SHAPES[name]
    before = connected.calls_spent
    found = shape.query(pf.scan_sessions(client=connected)).collect()
    assert connected.calls_spent - before == fewest(truth, shape)
    assert_frame_equal(in_order(found), in_order(shape.query(truth.lazy()).collect()))


@pytest.mark.parametrize(
    "name", ["two comparisons", "a country", "two windows", "contradictory", "with itself", "narwhals"]
)
def test_the_cost_is_what_is_then_spent(name: str, connected: pf.PulseClient, truth: pl.DataFrame) -> None:
    shape = SHAPES[name]
    query = shape.query(pf.scan_sessions(client=connected))
    before = connected.calls_spent
    plan = pf.cost(query)
    assert plan.probe_cost == len({search[:2] for search in shape.searches})
    query.collect()
    assert connected.calls_spent - before == plan.probe_cost + (plan.calls or 0) == fewest(truth, shape)
    assert pf.cost(query).calls == pf.cost(query).probe_cost == 0


def test_without_a_probe_the_cost_is_unknown_and_nothing_is_spent(connected: pf.PulseClient) -> None:
    before = connected.calls_spent
    assert pf.cost(pf.scan_sessions(client=connected).filter(*WEEK), probe=False).calls is None
    assert connected.calls_spent == before


def test_explaining_a_query_costs_nothing(connected: pf.PulseClient) -> None:
    before = connected.calls_spent
    query = pf.scan_sessions(client=connected).filter(*WEEK)
    assert "PYTHON SCAN" in query.explain()
    assert query.collect_schema()["session_start"] == pl.Datetime("us", "UTC")
    assert connected.calls_spent == before


def test_the_first_rows_cost_the_pages_that_hold_them(connected: pf.PulseClient, truth: pl.DataFrame) -> None:
    before = connected.calls_spent
    found = pf.scan_sessions(date_from=day(9), date_to=day(16), client=connected).head(7).collect()
    assert connected.calls_spent - before == 1
    assert len(found) == 7
    assert found["session_id"].is_in(truth.filter(*WEEK)["session_id"].implode()).all()


def test_a_window_of_the_arguments_and_one_of_a_filter_are_both_kept(
    connected: pf.PulseClient, truth: pl.DataFrame
) -> None:
    found = (
        pf.scan_sessions(date_from="2026-11-09", date_to=day(12), client=connected).filter(started >= day(11)).collect()
    )
    assert_frame_equal(found, truth.filter(started >= day(11), started < day(12)))


@pytest.mark.parametrize(
    "query",
    [
        lambda lf: lf,
        lambda lf: lf.filter(started < day(9)),
        lambda lf: lf.filter((started >= day(9)) | (country == "NZ")),
        lambda lf: lf.with_columns(day=started.dt.date()).filter(pl.col("day") == date(2026, 11, 9)),
        lambda lf: lf.filter(started.dt.year() == 2026),
    ],
)
@pytest.mark.parametrize("act", [pl.LazyFrame.collect, pf.cost])
def test_a_query_without_a_start_is_refused_before_a_call_is_spent(
    query: Callable[[pl.LazyFrame], pl.LazyFrame], act: Callable[[pl.LazyFrame], object], connected: pf.PulseClient
) -> None:
    before = connected.calls_spent
    with pytest.raises(pf.InvalidQuery, match=r"no start of the time window is known.*date_from='7d'"):
        act(query(pf.scan_sessions(client=connected)))
    assert connected.calls_spent == before


def test_a_window_up_to_now_is_paid_for_once_a_quarter_of_an_hour(shop: Simulator) -> None:
    clock = iter([NOW + timedelta(seconds=30 * number) for number in range(1_000)])
    with client_of(shop, changes={"home": ":memory:"}, clock=lambda: next(clock)) as client:
        query = pf.scan_sessions(client=client).filter(started >= NOW - timedelta(hours=2))
        first = query.collect()
        spent = client.calls_spent
        assert_frame_equal(query.collect(), first)
        assert client.calls_spent == spent


SINCE, UNTIL = (
    "session_start >= timestamptz '2026-11-09 00:00:00Z'",
    "session_start < timestamptz '2026-11-16 00:00:00Z'",
)


@pytest.mark.parametrize(
    ("sql", "narrowed"),
    [
        (f"select country, count(*) from scan where {SINCE} and {UNTIL} and country = 'NZ' group by 1", country == "NZ"),
        (f"select session_id from scan where {SINCE} and {UNTIL} and country in ('NZ', 'US')", True),
        ("select session_id from scan where session_start between timestamptz '2026-11-09 00:00:00Z' and timestamptz '2026-11-15 23:59:59.999999Z'", True),
        (f"select count(*) from scan where {SINCE} and {UNTIL}", True),
        (f"select a.session_id from scan a join scan b using (session_id) where a.{SINCE} and a.{UNTIL} and b.{SINCE} and b.{UNTIL}", True),
    ],
)  # fmt: skip
def test_duckdb_queries_the_same_scan(sql: str, narrowed: Any, connected: pf.PulseClient, truth: pl.DataFrame) -> None:
    before = connected.calls_spent
    with duckdb.connect() as connection:
        connection.register("scan", pf.scan_sessions(client=connected))
        found = connection.sql(sql).pl()
        connection.register("scan", truth.to_arrow())
        expected = connection.sql(sql).pl()
    assert_frame_equal(in_order(found), in_order(expected))
    assert connected.calls_spent - before == fewest(truth, week(lambda lf: lf, narrowed))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_scans_that_run_at_the_same_time_pay_once(engine: Any, shop: Simulator, truth: pl.DataFrame) -> None:
    with client_of(shop, changes={"home": ":memory:"}) as client:
        shop.faults.add(Fault(kind="delay", seconds=0.3, on="sessions", times=1))
        left, right = (pf.scan_sessions(date_from=day(9), date_to=day(10), client=client) for _ in range(2))
        joined = left.join(right.select("session_id"), on="session_id").collect(engine=engine)
        shop.faults.clear()
        assert client.calls_spent == 2
    assert len(joined) == len(truth.filter(started >= day(9), started < day(10)))


@pytest.mark.parametrize(
    "wrong",
    [
        started >= datetime(2026, 11, 9),  # noqa: DTZ001  that is what is wrong
        started >= datetime(2026, 11, 9, tzinfo=ZoneInfo("Pacific/Auckland")),
        country > 5,
    ],
)
@pytest.mark.parametrize("scan", [pf.scan_sessions, pf.scan_page_views])
@pytest.mark.parametrize("act", [pl.LazyFrame.collect, pf.cost])
def test_a_filter_that_does_not_suit_a_column_fails_before_a_call_is_spent(
    act: Callable[[pl.LazyFrame], object], scan: Callable[..., pl.LazyFrame], wrong: pl.Expr, connected: pf.PulseClient
) -> None:
    query = scan(date_from=day(9), date_to=day(10), client=connected).filter(wrong)
    before = connected.calls_spent
    with pytest.raises((pl.exceptions.PolarsError, pf.InvalidQuery)):
        act(query)
    assert connected.calls_spent == before


class TestDetails:
    """Scans of page views and errors."""

    def test_a_filter_on_the_session_chooses_the_details(self, shop: Simulator, connected: pf.PulseClient) -> None:
        rows = shop.truth(day(9), day(10))
        chosen = (
            rows["sessions"].filter(country="NZ").select("session_id", "session_start", "country", "user_identifier")
        )
        for name, scan in (("page_views", pf.scan_page_views), ("errors", pf.scan_errors)):
            found = scan(client=connected).filter(started >= day(9), started < day(10), country == "NZ").collect()
            assert_frame_equal(in_order(found), in_order(rows[name].join(chosen, on="session_id")))
        assert connected.calls_spent == 1 + 1 + len(chosen)

    def test_details_outside_the_filter_are_not_paid_for(self, shop: Simulator, connected: pf.PulseClient) -> None:
        users = shop.summaries(day(9), day(10))["user_identifier"].drop_nulls().unique().sort().head(2)
        number = len(shop.summaries(day(9), day(10)).filter(user.is_in(users.implode())))
        query = pf.scan_page_views(date_from=day(9), date_to=day(10), client=connected).filter(
            user.is_in(users.to_list())
        )
        assert pf.cost(query).details == number
        found = query.collect()
        assert set(found["user_identifier"]) == set(users)
        assert connected.calls_spent == 1 + 1 + number

    def test_ids_need_no_search(self, shop: Simulator, connected: pf.PulseClient) -> None:
        ids = shop.summaries(day(9), day(10))["session_id"].head(3).to_list()
        query = pf.scan_page_views(client=connected).filter(pl.col("session_id").is_in(ids))
        assert (pf.cost(query).details, pf.cost(query).calls) == (3, 3)
        assert set(query.collect()["session_id"]) == set(ids)
        assert connected.calls_spent == 1 + 3
        assert (pf.cost(query).details, pf.cost(query).details_kept) == (0, 3)

    def test_ids_outside_the_window_have_no_rows(self, shop: Simulator, connected: pf.PulseClient) -> None:
        ids = shop.summaries(day(9), day(10))["session_id"].head(2).to_list()
        query = pf.scan_page_views(date_from=day(10), client=connected).filter(pl.col("session_id").is_in(ids))
        assert query.collect().is_empty()

    def test_the_first_rows_cost_the_details_that_hold_them(self, connected: pf.PulseClient) -> None:
        found = pf.scan_page_views(date_from=day(9), date_to=day(16), client=connected).head(1).collect()
        assert len(found) == 1
        assert connected.calls_spent == 1 + 1 + 1

    def test_rows_are_found_beyond_the_first_sessions(self, shop: Simulator, connected: pf.PulseClient) -> None:
        errors = shop.truth(day(9), day(10))["errors"]
        found = pf.scan_errors(date_from=day(9), date_to=day(10), client=connected).head(2).collect()
        assert len(found) == min(2, len(errors))

    def test_before_the_sessions_are_known_the_cost_is_the_most_that_it_can_be(self, connected: pf.PulseClient) -> None:
        query = pf.scan_page_views(date_from=FIRST, client=connected).filter(pl.col("page").str.contains("checkout"))
        plan = pf.cost(query)
        assert plan.details == plan.windows[0].sessions == 3_700

    def test_active_sessions_are_paid_for_again_after_a_while(self, tmp_path: Path) -> None:
        with Simulator(sessions=2_000, days=1, now=NOW, daily_limit=None) as busy:
            active = busy.summaries().filter(status="active")["session_id"].to_list()
            assert active
            for minutes, due in ((0, 0), (16, len(active))):
                now = NOW + timedelta(minutes=minutes)
                with client_of(busy, changes={"home": tmp_path}, clock=lambda now=now: now) as client:
                    if not minutes:
                        pf.session_details(active, client=client)
                    plan = pf.cost(pf.scan_page_views(client=client).filter(pl.col("session_id").is_in(active)))
                    assert (plan.details, plan.details_kept) == (due, len(active) - due)

    def test_the_quota_ends_a_query_for_the_first_rows_with_the_details_so_far(self, shop: Simulator) -> None:
        with client_of(shop, changes={"home": ":memory:", "daily_limit": 5}) as client:
            with pytest.raises(pf.QuotaExhausted) as stopped:
                pf.scan_page_views(date_from=day(9), date_to=day(10), client=client).head(500).collect()
            assert len(stopped.value.partial["sessions"]) == 3


class TestLake:
    """Scans of a lake, which cost nothing."""

    def test_have_the_columns_and_rows_of_scans_of_the_api(self, lake: pf.Lake, truth: pl.DataFrame) -> None:
        found = pf.scan_sessions(lake, date_from=day(10)).collect()
        assert found.schema == pf.scan_sessions(date_from="7d").collect_schema()
        assert set(found["session_id"]) == set(truth.filter(started >= day(10), started < day(11))["session_id"])

    @pytest.mark.parametrize("scan", [pf.scan_page_views, pf.scan_errors])
    def test_have_the_session_of_each_page_view_and_error(
        self, scan: Callable[..., pl.LazyFrame], lake: pf.Lake
    ) -> None:
        found = scan(lake).filter(started >= day(10)).collect()
        assert found.schema == scan(date_from="7d").collect_schema()
        assert found["session_start"].is_between(day(10), day(11)).all()

    def test_have_no_cost(self, lake: pf.Lake) -> None:
        with pytest.raises(pf.InvalidQuery, match="no scan of the API, so it costs no calls"):
            pf.cost(pf.scan_sessions(lake))


@pytest.mark.filterwarnings("ignore::pulseframes.IncompleteWarning")
def test_an_incomplete_list_costs_more_and_to_say_so_costs_nothing(shop: Simulator, connected: pf.PulseClient) -> None:
    shop.faults.add(Fault(kind="drift", on="sessions", edit=lambda page: page["sessions"].pop(), times=None))
    query = pf.scan_sessions(date_from=day(9), date_to=day(10), client=connected)
    query.collect()
    shop.faults.clear()
    before = connected.calls_spent
    for asked in (query, pf.scan_page_views(date_from=day(9), date_to=day(10), client=connected)):
        plan = pf.cost(asked, probe=False)
        assert (plan.windows[0].calls, plan.probe_cost) == (1, 0)
    assert connected.calls_spent == before


class TestFailures:
    """What a scan says when it cannot be run."""

    def test_a_query_that_the_quota_does_not_suffice_for_has_what_came(self, shop: Simulator) -> None:
        with client_of(shop, changes={"home": ":memory:", "daily_limit": 2}) as client:
            with pytest.raises(pf.QuotaExhausted) as stopped:
                pf.scan_sessions(date_from=FIRST, client=client).collect()
            assert len(stopped.value.partial) == 500
            plan = pf.cost(pf.scan_sessions(date_from=day(2), client=client))
            assert (plan.calls, plan.probe_cost) == (None, 0)

    def test_cost_refuses_what_would_write_a_file(self, connected: pf.PulseClient, tmp_path: Path) -> None:
        query = pf.scan_sessions(date_from="2026-11-09", client=connected).sink_parquet(
            tmp_path / "x.parquet", lazy=True
        )
        with pytest.raises(pf.InvalidQuery, match="writes a file"):
            pf.cost(query)
        assert not list(tmp_path.iterdir())

    def test_cost_says_that_a_query_fails_on_empty_tables(self, connected: pf.PulseClient) -> None:
        query = pf.scan_sessions(date_from="2026-11-09", client=connected).select(pl.col("nothing"))
        with pytest.raises(pf.InvalidQuery, match="over empty tables failed.*nothing"):
            pf.cost(query)

    def test_cost_takes_scans_of_one_client(self, connected: pf.PulseClient, shop: Simulator) -> None:
        with client_of(shop, changes={"home": ":memory:"}) as other:
            scans = [pf.scan_sessions(date_from="2026-11-09", client=client) for client in (connected, other)]
            with pytest.raises(pf.InvalidQuery, match="scans of 2 clients"):
                pf.cost(pl.concat(scans))

    @pytest.mark.parametrize("query", [None, "scan", pl.DataFrame()])
    def test_cost_names_what_is_no_query(self, query: Any) -> None:
        with pytest.raises(pf.InvalidQuery, match="LazyFrame"):
            pf.cost(query)

    def test_a_scan_with_a_client_is_not_pickled(self, connected: pf.PulseClient) -> None:
        with pytest.raises(pl.exceptions.ComputeError, match="PulseClient cannot be pickled"):
            pickle.dumps(pf.scan_sessions(date_from="2026-11-09", client=connected))

    def test_a_scan_of_the_environment_is_pickled_without_secrets(self) -> None:
        assert b"secret" not in pf.scan_sessions(date_from="2026-11-09").serialize()

    def test_the_extra_is_named_where_it_is_not_installed(self) -> None:
        code = "import sys; sys.modules['polars_io_tools'] = None\nimport pulseframes as pf\npf.scan_sessions()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "pip install 'pulseframes[scan]'" in done.stderr
