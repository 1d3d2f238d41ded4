"""Measures, parsed from strings such as p75(loading_time_ms)."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import pulseframes as pf
from pulseframes.sampling.measures import Measure, expression
from pulseframes.sampling.questions import level_of


@pytest.mark.parametrize(
    ("text", "kind", "columns"),
    [
        ("total(loading_time_ms)", "total", {"loading_time_ms"}),
        ("  mean ( loading_time_ms + viewing_time_ms ) ", "mean", {"loading_time_ms", "viewing_time_ms"}),
        ("share(page LIKE '%,(%')", "share", {"page"}),
        ("ratio(error_count, page_view_count)", "mean", {"error_count", "page_view_count"}),
        ("ratio(COALESCE(loading_time_ms, 0), viewing_time_ms)", "mean", {"loading_time_ms", "viewing_time_ms"}),
        ("ratio(CASE WHEN page = 'a,b' THEN 1 END, viewing_time_ms)", "mean", {"page", "viewing_time_ms"}),
        ('mean("loading_time_ms")', "mean", {"loading_time_ms"}),
        ("median(loading_time_ms)", "quantile", {"loading_time_ms"}),
        ("p75(loading_time_ms)", "quantile", {"loading_time_ms"}),
        ("count()", "total", set()),
        ("count( )", "total", set()),
        ("sessions()", "sessions", set()),
        ("sessions(page_view_count)", "sessions", {"page_view_count"}),
    ],
)
def test_a_measure_is_parsed_with_the_columns_it_needs(text: str, kind: str, columns: set[str]) -> None:
    measure = Measure.parse(text)
    assert (measure.text, measure.kind, measure.columns) == (text, kind, columns)


@pytest.mark.parametrize(
    ("text", "probability"),
    [("median(x)", 0.5), ("p5(x)", 0.05), ("p75(x)", 0.75), ("p99.9(x)", 0.999), ("p00.1(x)", 0.001)],
)
def test_a_quantile_has_the_probability_in_its_name(text: str, probability: float) -> None:
    assert Measure.parse(text).probability == pytest.approx(probability)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mean",
        "mean(",
        "total(x",
        "loading_time_ms",
        "stdev(x)",
        "MEAN(x)",
        "mean75(x)",
        "p(x)",
        "p0(x)",
        "p00(x)",
        "p100(x)",
        "p999999999999999999(x)",
        "p-5(x)",
        "p7.(x)",
        "mean(x) -- of all",
        "mean(x); DROP TABLE sessions",
        None,
        7,
        b"mean(x)",
    ],
)
def test_an_unknown_measure_is_answered_with_those_available(text: Any) -> None:
    with pytest.raises(pf.InvalidQuery, match="Unknown measure .* Available: total\\(x\\), mean\\(x\\)") as caught:
        Measure.parse(text)
    assert caught.value.argument == "measures"


@pytest.mark.parametrize("text", ["median(x", "mean(x); DROP TABLE sessions", "mean"])
def test_no_measure_is_suggested_that_is_the_same(text: str) -> None:
    with pytest.raises(pf.InvalidQuery) as caught:
        Measure.parse(text)
    assert "Did you mean" not in str(caught.value)
    assert "one pair of parentheses" in str(caught.value)


@pytest.mark.parametrize(
    "inside",
    [
        "*",
        "x; DROP TABLE sessions",
        "x) + (y",
        "x, y",
        "SELECT 1",
        "1 UNION SELECT 2",
        "x FROM sessions",
        "read_csv('/etc/passwd')",
        "'open",
    ],
)
def test_only_one_sql_expression_is_allowed_in_the_parentheses(inside: str) -> None:
    with pytest.raises(pf.InvalidQuery, match="is not a SQL expression") as caught:
        Measure.parse(f"mean({inside})")
    assert caught.value.argument == "measures"


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        (" + ".join(["x"] * 3_000), "characters"),
        ("+".join(["x"] * 4_000), "3,999 operators"),
        (" AND ".join(["x > 1"] * 300), "599 operators"),
        (f"CASE {'WHEN x > 1 THEN 2 ' * 150} END", "300 operators"),
        (f"x {'IS NULL ' * 201}", "201 operators"),
        (f"x {'::INT' * 201}", "201 operators"),
        ("rpad(page, 2000000000)", r"rpad\(\), whose result could exhaust"),
        ('"LPAD" /**/ (page, page_view_count * 1000000)', "LPAD"),
        ("page || ' and ' || rPad(page, 3)", "rPad"),
        ("generate_series(1, 1e12::BIGINT)", "generate_series"),
        ("LEN(range(1, 100000000000))", "range"),
        ("x IN (" + ", ".join(["'abcdefghijkl'"] * 1_000) + ")", "16,005 characters"),
    ],
)
@pytest.mark.parametrize("argument", ["measures", "where"])
def test_an_expression_that_would_exhaust_the_process_is_refused_before_it_is_parsed(
    inside: str, problem: str, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(pl, "sql_expr")
    with pytest.raises(pf.InvalidQuery, match=problem) as caught:
        Measure.parse(f"mean({inside})") if argument == "measures" else expression(inside, argument)
    assert caught.value.argument == argument
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "inside",
    [
        "x IN (" + ", ".join(["'NZ'"] * 1_500) + ")",
        "page LIKE '%/range/%rpad(%' AND title = 'a+b-c*d'",
        "SUM(x) OVER (PARTITION BY session_id ORDER BY y ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        f"CASE {'WHEN x > 1 THEN 2 ' * 90} END",
    ],
)
def test_long_lists_and_words_in_strings_are_allowed(inside: str) -> None:
    assert Measure.parse(f"mean({inside})").columns


def test_a_panic_of_polars_is_an_invalid_query(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(text: str) -> pl.Expr:
        raise pl.exceptions.PanicException(text)

    monkeypatch.setattr(pl, "sql_expr", panic)
    with pytest.raises(pf.InvalidQuery, match="is not a SQL expression"):
        Measure.parse("mean(x)")


@pytest.mark.parametrize("length", [300, 30_000])
def test_messages_about_long_measures_are_short(length: int) -> None:
    for text in ("x" * length, "avg(" + "x" * length + ")", f"ratio({'x' * length})", f"mean(({'x' * length})"):
        with pytest.raises(pf.InvalidQuery) as caught:
            Measure.parse(text)
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize("text", ["mean()", "total( )", "share()", "median()", "p75()", "ratio(, x)", "ratio(x,)"])
def test_empty_parentheses_are_refused(text: str) -> None:
    with pytest.raises(pf.InvalidQuery, match="needs a column or a SQL expression in its parentheses") as caught:
        Measure.parse(text)
    assert caught.value.argument == "measures"


@pytest.mark.parametrize("text", ["ratio()", "ratio(x)", "ratio(COALESCE(x, y))", "ratio('x, y')"])
def test_a_ratio_needs_two_arguments(text: str) -> None:
    with pytest.raises(pf.InvalidQuery, match="a ratio needs two arguments"):
        Measure.parse(text)


def test_count_takes_no_argument() -> None:
    with pytest.raises(pf.InvalidQuery, match=r"use total\(condition\) to count rows"):
        Measure.parse("count(page)")


def test_a_polars_expression_is_used_as_it_is_unless_it_selects_several_columns() -> None:
    given = pl.col("page").str.len_chars()
    assert expression(given, "by") is given
    for several in (pl.all(), pl.col("country", "page")):
        with pytest.raises(pf.InvalidQuery, match="selects several columns") as caught:
            expression(several, "where")
        assert caught.value.argument == "where"


@pytest.mark.parametrize(
    ("columns", "of", "level"),
    [
        (set(), None, "sessions"),
        ({"country"}, None, "sessions"),
        ({"error_count"}, None, "sessions"),
        ({"country", "page_template"}, None, "page_views"),
        ({"title", "browser_name"}, None, "errors"),
        (set(), "errors", "errors"),
        ({"country"}, "page_views", "page_views"),
    ],
)
def test_a_question_is_about_the_first_table_with_all_its_columns(columns: set[str], of: Any, level: str) -> None:
    assert level_of({"measures": columns}, of) == level
    assert level_of({"measures": set(), "by": columns}, of) == level


@pytest.mark.parametrize(
    ("columns", "of", "message"),
    [
        ({"nope"}, None, "Unknown column 'nope' of sessions, page views and errors in measures="),
        ({"title"}, "page_views", "Unknown column 'title' of page_views in measures=.$"),
        ({"title", "page"}, None, "page, title belong to page views and to errors"),
        (set(), "pages", "of must be one of sessions, page_views, errors, not 'pages'"),
    ],
)
def test_columns_that_no_table_has_together_are_named(columns: set[str], of: Any, message: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=message):
        level_of({"measures": columns}, of)


@pytest.mark.parametrize("argument", ["measures", "by", "where"])
def test_an_unknown_column_is_named_with_its_argument_and_a_hint_on_quotes(argument: str) -> None:
    asked = {"measures": {"loading_time_ms"}, "by": {"country"}, "where": {"page"}} | {argument: {"US"}}
    with pytest.raises(
        pf.InvalidQuery, match=f"^Unknown column 'US' .* in {argument}=. .*single quotes in SQL: 'US'"
    ) as caught:
        level_of(asked, None)
    assert caught.value.argument == argument
