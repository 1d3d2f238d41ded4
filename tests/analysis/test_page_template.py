"""page_template(): what is normalised, what stays, and rules."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, strategies as st

import pulseframes as pf


def template_of(page: str | None, rules: Any = None) -> str | None:
    folded: str | None = pl.select(pf.page_template(pl.lit(page, pl.String), rules)).item()
    return folded


#: Bits that the rules look at, so that hypothesis makes addresses of them.
BITS = st.sampled_from(
    [
        *(
            "/",
            "//",
            "?",
            "#",
            "#/",
            "#!/",
            ";",
            "=",
            "@",
            "%40",
            "%3F",
            "%2F",
            ".",
            "-",
            "_",
            ",",
            " ",
            "\n",
            "\x01",
            "\t",
        ),
        *("https://", "shop.example", "a", "cart", "é", "日", "2026", "11", "01", "7", "40592", "deadbeef", "3f2a9c81"),
        *(
            "550e8400-e29b-41d4-a716-446655440000",
            "{id}",
            "{slug}",
            "{date}",
            ".html",
            "x" * 99,
            "B08N5WRWNW",
            "T09:30Z",
        ),
    ]
)
ADDRESSES = st.one_of(st.lists(BITS, max_size=12).map("".join), st.text(max_size=40))


@pytest.mark.parametrize(
    ("page", "template"),
    [
        ("/product/123?ref=x", "/product/{id}"),
        ("https://shop.example/product/123?ref=x#reviews", "/product/{id}"),
        ("http://user@shop.example:8080/cart", "/cart"),
        ("app://localhost/cart", "/cart"),
        ("https://shop.example", "/"),
        ("https://shop.example?utm_source=mail", "/"),
        ("/", "/"),
        ("", "/"),
        ("?a=1", "/"),
        ("/cart/", "/cart"),
        ("//cart//items///", "/cart/items"),
        ("  /cart\n", "/cart"),
        ("/cart;jsessionid=5A7/items;v=1", "/cart/items"),
        ("/cart%3Fa=1", "/cart"),
        ("/cart?next=/a#/b", "/cart#/b"),
    ],
)
def test_only_the_path_of_an_address_is_kept(page: str, template: str) -> None:
    assert template_of(page) == template


@pytest.mark.parametrize(
    "segment",
    [
        *("7", "000123", "2026", "12-7", "1,2,3", "2024_000123", "123.html", "ORD10482", "tt0111161", "B08N5WRWNW"),
        *("550e8400-e29b-41d4-a716-446655440000", "%7B550E8400-E29B-41D4-A716-446655440000%7D", "3f2a9c81"),
        *("da39a3ee5e6b4b0d3255bfef95601890afd80709", "507f1f77bcf86cd799439011", "cus_9s6XKzkNRiz8i3ab"),
        *("jane@example.com", "jane%40example.com", "@jane", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ],
)
def test_ids_are_normalised(segment: str) -> None:
    assert template_of(f"/a/{segment}/b") == "/a/{id}/b"
    assert template_of(f"/{segment}/{segment}") == "/{id}/{id}"


@pytest.mark.parametrize(
    ("page", "template"),
    [
        ("/p/40592-wool-watering-can", "/p/{id}-{slug}"),
        ("/p/40592-wool-watering-can.html", "/p/{id}-{slug}"),
        ("/p/wool-watering-can-40592.html", "/p/{slug}-{id}"),
        ("/p/Wool_Can-3f2a9c81b7d4", "/p/{slug}-{id}"),
        ("/p/100%25-wool", "/p/100%25-wool"),
        ("/a/2026-11-01/b", "/a/{date}/b"),
        ("/a/2026-11-01T09:30:00Z", "/a/{date}"),
        ("/a/2026-11", "/a/{date}"),
        ("/a/2026/11/01/b", "/a/{date}/b"),
        ("/a/2026/13/01/b", "/a/{id}/{id}/{id}/b"),
        ("/list/page=2/sort=price", "/list/page={id}/sort={id}"),
        ("/reset/" + "x" * 101, "/reset/{slug}"),
        ("/reset/" + "x" * 100, "/reset/" + "x" * 100),
    ],
)
def test_slugs_beside_ids_dates_and_parameters_are_normalised(page: str, template: str) -> None:
    assert template_of(page) == template


@pytest.mark.parametrize(
    "page",
    [
        *(
            "/c/garden-tools",
            "/journal/pruning-roses",
            "/en-GB/v2/cart",
            "/es-419",
            "/index.html",
            "/docs/1.2.3",
            "/10-tips",
        ),
        *(
            "/Cart",
            "/caf%C3%A9/cr%C3%A8me",
            "/café/日本",
            "/iphone-15",
            "/sale-2026",
            "/fabaceae",
            "/deadbeef",
            "/my%20page",
        ),
        *("Home page", "MainActivity", "cart", "about:blank", "/PLANTERS", "/NZ", "/{id}/{id}-{slug}/{date}"),
    ],
)
def test_words_stay_as_they_are(page: str) -> None:
    assert template_of(page) == page


@pytest.mark.parametrize(
    ("page", "template"),
    [
        ("https://shop.example/#/cart", "/#/cart"),
        ("/#/product/123?ref=x", "/#/product/{id}"),
        ("/?a=1#!/orders/7/", "/#!/orders/{id}"),
        ("/app#/cart#top", "/app#/cart"),
        ("/#", "/"),
        ("/#/", "/"),
        ("/#!", "/"),
        ("/cart#top", "/cart"),
    ],
)
def test_a_route_in_the_fragment_stays_and_other_fragments_are_removed(page: str, template: str) -> None:
    assert template_of(page) == template


@given(page=ADDRESSES)
@example(page="/# ")
@example(page="#/?")
@example(page="\x01/x-12345")
def test_any_string_has_a_template_without_a_query_that_is_its_own_template(page: str) -> None:
    template = template_of(page)
    assert template
    assert "?" not in template
    assert template == template.strip(" \t\r\n")
    assert "//" not in template
    assert template_of(template) == template


@given(
    page=st.sampled_from(["/cart", "/p/7", "/#/p/7"]),
    secret=st.text("abc019=&/", min_size=3, max_size=20).map(lambda text: "Q" + text),
)
def test_nothing_of_a_query_is_in_the_template(page: str, secret: str) -> None:
    assert template_of(f"{page}?{secret}") == template_of(page)


def test_null_stays_null_and_a_column_of_nulls_becomes_strings() -> None:
    folded = pl.DataFrame({"page": [None, "/a/1"]}).select(pf.page_template())
    assert folded["page"].to_list() == [None, "/a/{id}"]
    assert pl.DataFrame({"page": [None, None]}).select(pf.page_template())["page"].dtype == pl.String
    assert pl.DataFrame(schema={"page": pl.String}).select(pf.page_template()).is_empty()


def test_templates_of_columns_and_expressions_eager_and_lazy() -> None:
    views = pl.LazyFrame({"url": ["/en-GB/orders/7"]})
    assert views.select(pf.page_template("url")).collect().item() == "/en-GB/orders/{id}"
    assert views.select(pf.page_template(pl.col("url").str.replace("^/en-GB", ""))).collect().item() == "/orders/{id}"


@pytest.mark.parametrize(
    ("rules", "page", "template"),
    [
        ({"/c/*": "/c/{category}"}, "https://shop.example/c/pots/?a=1", "/c/{category}"),
        ({"/c/*": "/c/{category}"}, "/c/pots/7", "/c/pots/{id}"),
        ({"/c/*": "/c/{category}"}, "/c", "/c"),
        ({"/c/**": "/c"}, "/c/pots/7", "/c"),
        ({"/c/**": "/c"}, "/c", "/c"),
        ({"/c/**": "/c"}, "/cart", "/cart"),
        ({"/c/*/**": "/c/{category}/**"}, "/c/pots/7/x", "/c/{category}/{id}/x"),
        ({"/en-*/**": "/**"}, "/en-GB/orders/7", "/orders/{id}"),
        ({"/en-*/**": "/**"}, "/en-GB", "/"),
        ({"/**": "/**"}, "/orders/7", "/orders/{id}"),
        ({"/": "/home"}, "https://shop.example", "/home"),
        ({"/a.b/*": "/x"}, "/aXb/c", "/aXb/c"),
        ({"/2026/*": "/2026/sale-12345"}, "/2026/pots", "/2026/sale-12345"),
        ({"/a/*": "/$1/$$"}, "/a/b", "/$1/$$"),
        ({"/c/*/": "/c/{category}"}, "/c/pots", "/c/{category}"),
        ({"/#/c/*": "/#/c/{category}"}, "/#/c/pots", "/#/c/{category}"),
        ([("/a/b", "/first"), ("/a/*", "/second")], "/a/b", "/first"),
        ([("/a/*", "/second"), ("/a/b", "/first")], "/a/b", "/second"),
        ([("/a", "/b"), ("/b", "/c")], "/a", "/b"),
        ([], "/a/7", "/a/{id}"),
        ({"Main*": "main"}, "MainActivity", "main"),
        ({"/c/*": "/c/{category}"}, None, None),
    ],
)
def test_rules_replace_the_paths_that_they_match(rules: Any, page: str | None, template: str) -> None:
    assert template_of(page, rules) == template


@given(page=ADDRESSES)
def test_any_string_has_a_template_with_rules_too(page: str) -> None:
    rules = {"/a/*": "/a/{letter}", "/cart/**": "/cart/**", "/*": "/{page}"}
    template = template_of(page, rules)
    assert template
    assert "\x01" not in template


@pytest.mark.parametrize(
    ("rules", "because"),
    [
        ("/c/*", "mapping"),
        (7, "mapping"),
        (["/c"], "a rule is a pair"),
        ([("/c", "/d", "/e")], "a rule is a pair"),
        ({"": "/c"}, "not empty"),
        ({"/c": None}, "not empty"),
        ({7: "/c"}, "not empty"),
        ({"/a/**/b": "/c"}, "only at the end"),
        ({"/a**": "/c"}, "only at the end"),
        ({"/a/*": "/c/*"}, "only in patterns"),
        ({"/a/*": "/c/**"}, "needs a '/\\*\\*'"),
        ({"/a?b=1": "/c"}, "without scheme, host and query"),
        ({"https://shop.example/a": "/c"}, "without scheme, host and query"),
    ],
)
def test_an_invalid_rule_is_refused(rules: Any, because: str) -> None:
    with pytest.raises(pf.InvalidQuery, match=because) as refused:
        pf.page_template(rules=rules)
    assert refused.value.argument == "rules"


def test_an_invalid_page_argument_is_refused() -> None:
    with pytest.raises(pf.InvalidQuery, match="page must be a column name or a polars expression") as refused:
        pf.page_template(7)  # type: ignore[arg-type]  # on purpose
    assert refused.value.argument == "page"
