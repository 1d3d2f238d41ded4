"""A lake's privacy policy: joins still work, and no removed value is left."""

from __future__ import annotations

import ipaddress
import json
import warnings

import polars as pl
import pytest
from conftest import NOW
from hypothesis import given, strategies as st

from pulseframes import endpoints
from pulseframes._secret import Secret
from pulseframes.errors import InvalidQuery, LakeError, PulseWarning
from pulseframes.flatten.assemble import parse_answers
from pulseframes.simulator import Simulator
from pulseframes.tables import ERRORS, PAGE_VIEWS, REJECTED, SESSIONS, TABLES, Privacy, Table
from pulseframes.tables.privacy import ENV_PSEUDONYM_KEY, WITHHELD, Action, PrivacyPolicy, network_of

KEY = "a key of many characters"
OTHER_KEY = "another key of many characters"
TRUTH = Simulator(sessions=200, now=NOW).truth()
EVERYTHING = ["personal=pseudonymise", "identifier=pseudonymise", "content=strip_query", "ip_address=truncate"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ids = st.integers(-(2**63), 2**63 - 1)


def applied(rules: list[str], table: Table, key: str | None = KEY) -> pl.DataFrame:
    return PrivacyPolicy.parse(rules, key).apply(table, TRUTH[table.name])


def hashed(values: list[str | None], *, column: str = "user_identifier", key: str = KEY) -> list[str | None]:
    frame = pl.DataFrame({column: values}, schema={column: pl.String})
    return PrivacyPolicy.parse([f"{column}=pseudonymise"], key).apply(SESSIONS, frame)[column].to_list()


# Pseudonyms


@given(st.lists(st.none() | texts, max_size=20))
def test_equal_strings_and_only_those_get_equal_pseudonyms(values: list[str | None]) -> None:
    after = hashed(values)
    assert [(a is None) for a in after] == [(b is None) for b in values]
    assert len(set(after)) == len(set(values)) == len(set(zip(values, after, strict=True)))


@given(st.lists(st.none() | ids, max_size=20))
def test_pseudonyms_of_ids_are_positive_ids_equal_only_for_equal_ids(values: list[int | None]) -> None:
    frame = pl.DataFrame({"user_id": values}, schema={"user_id": pl.Int64})
    after = PrivacyPolicy.parse(["user_id=pseudonymise"], KEY).apply(SESSIONS, frame)["user_id"]
    assert after.dtype == pl.Int64
    assert (after.drop_nulls() > 0).all()
    assert after.null_count() == values.count(None)
    assert len(set(after.to_list())) == len(set(values)) == len(set(zip(values, after, strict=True)))


@given(texts)
def test_the_pseudonym_depends_on_the_key_and_the_column(value: str) -> None:
    here = hashed([value])
    assert here == hashed([value])
    assert here != hashed([value], key=OTHER_KEY)
    assert here != hashed([value], column="user_full_name")
    assert len(here[0] or "") == 23
    assert (here[0] or "")[0] == "~"


def test_a_pseudonym_is_the_same_on_every_machine_and_day() -> None:
    policy = PrivacyPolicy({"personal": "pseudonymise", "user_id": "pseudonymise"}, KEY)
    assert policy.pseudonym("user_email_address", "anna@example.com") == "~57o63oX8_2gZ7EGEw_j9rQ"
    assert policy.pseudonym("user_id", 12345) == 6344327903273165390
    assert policy.pseudonym("user_id", None) is None


def test_a_person_can_be_looked_up_by_their_pseudonym() -> None:
    policy = PrivacyPolicy.parse(EVERYTHING, KEY)
    after = policy.apply(SESSIONS, TRUTH["sessions"])
    for column in ("user_identifier", "user_id", "user_email_address"):
        value = TRUTH["sessions"][column].drop_nulls()[0]
        found = after.filter(pl.col(column) == policy.pseudonym(column, value))
        expected = TRUTH["sessions"].filter(pl.col(column) == value)
        assert found["session_id"].to_list() == expected["session_id"].to_list() != []
    for column, value in (
        ("page", "x"),
        ("session_id", 1),
        ("no_column", "x"),
        ("user_id", "1"),
        ("user_identifier", 1),
    ):
        with pytest.raises(InvalidQuery):
            policy.pseudonym(column, value)  # type: ignore[arg-type]  # wrong ones


# Everything at once


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_schema_row_count_and_undeclared_columns_do_not_change(table: Table) -> None:
    before = TRUTH[table.name].with_columns(own=pl.lit("anna@example.com"))
    after = PrivacyPolicy.parse(EVERYTHING, KEY).apply(table, before)
    assert after.schema == before.schema
    assert len(after) == len(before)
    untouched = [c.name for c in table.columns if c.privacy is Privacy.NONE or c.name in table.key]
    assert after.select(*untouched, "own").equals(before.select(*untouched, "own"))


def test_no_value_that_a_rule_removes_is_left() -> None:
    after = json.dumps([applied(EVERYTHING, table).write_json() for table in TABLES.values()])
    personal = [c.name for c in SESSIONS.columns if c.privacy is Privacy.PERSONAL]
    for name in [*personal, "user_web_url", "api_url", "web_url"]:
        values = [value for value in TRUTH["sessions"][name].drop_nulls().unique() if len(value) > 6]
        assert values
        assert [value for value in values if value in after] == []
    assert not any("?" in page for page in applied(EVERYTHING, PAGE_VIEWS)["page"].drop_nulls())


def test_joins_and_counts_by_user_still_work() -> None:
    sessions = applied(EVERYTHING, SESSIONS)
    for table in (PAGE_VIEWS, ERRORS):
        assert len(applied(EVERYTHING, table).join(sessions, on="session_id")) == len(TRUTH[table.name])
    by_user = sessions.group_by("user_identifier").len()["len"].sort()
    assert by_user.equals(TRUTH["sessions"].group_by("user_identifier").len()["len"].sort())


def test_a_policy_applies_to_some_columns_and_to_empty_frames() -> None:
    policy = PrivacyPolicy.parse(EVERYTHING, KEY)
    for table in (*TABLES.values(), REJECTED):
        assert policy.apply(table, table.empty()).equals(table.empty())
    assert policy.apply(SESSIONS, pl.DataFrame({"country": ["NZ"]})).to_dicts() == [{"country": "NZ"}]


def test_without_rules_everything_is_kept() -> None:
    policy = PrivacyPolicy()
    assert policy.keeps_all
    for table in TABLES.values():
        assert policy.apply(table, TRUTH[table.name]).equals(TRUTH[table.name])


# What goes with what


def test_the_identifier_class_keeps_session_ids_and_drops_urls() -> None:
    sessions, errors = applied(["identifier=pseudonymise"], SESSIONS), applied(["identifier=pseudonymise"], ERRORS)
    assert sessions["session_id"].equals(TRUTH["sessions"]["session_id"])
    assert sessions["user_email_address"].equals(TRUTH["sessions"]["user_email_address"])
    for dropped in (sessions["user_web_url"], sessions["api_url"], sessions["web_url"], errors["web_url"]):
        assert dropped.null_count() == len(dropped)


@pytest.mark.parametrize("action", ["drop", "pseudonymise"])
def test_the_url_that_contains_the_user_id_is_dropped_with_it(action: str) -> None:
    assert applied([f"user_id={action}"], SESSIONS)["user_web_url"].drop_nulls().is_empty()
    kept = applied([f"user_id={action}", "user_web_url=keep"], SESSIONS)["user_web_url"]
    assert kept.equals(TRUTH["sessions"]["user_web_url"])


def test_a_columns_rule_takes_precedence_over_its_classs() -> None:
    after = applied(["personal=drop", "ip_address=truncate", "user_full_name=keep"], SESSIONS)
    assert after["user_email_address"].drop_nulls().is_empty()
    assert after["user_full_name"].equals(TRUTH["sessions"]["user_full_name"])
    assert after["ip_address"].drop_nulls().str.contains(r"^(\d+\.\d+\.\d+\.0|2001:db8:[0-9a-f]+::)$").all()


def test_strip_query_cuts_at_the_first_mark() -> None:
    pages = ["https://shop.example/a?mail=anna%40example.com#top", "/a#b?c", "/plain", "", None, "/a?b\nc"]
    after = PrivacyPolicy({"page": "strip_query"}).apply(PAGE_VIEWS, pl.DataFrame({"page": pages}))
    assert after["page"].to_list() == ["https://shop.example/a", "/a", "/plain", "", None, "/a"]


# Network addresses


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_becomes_its_24_bits(address: ipaddress.IPv4Address) -> None:
    network = network_of(str(address))
    assert network == str(ipaddress.ip_network(f"{address}/24", strict=False).network_address)
    assert network_of(f"::ffff:{address}") == network
    assert network_of(str(network)) == network


@given(st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None))
def test_an_ipv6_address_becomes_its_48_bits(address: ipaddress.IPv6Address) -> None:
    assert network_of(str(address)) == str(ipaddress.ip_network(f"{address}/48", strict=False).network_address)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2::3", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("203.0.113.77:80", None),
        ("203.0.113", None),
        ("anna@example.com", None),
        ("", None),
    ],
)
def test_a_string_that_is_not_an_ip_address_becomes_null(address: str, network: str | None) -> None:
    frame = pl.DataFrame({"ip_address": [address, None]})
    assert PrivacyPolicy({"ip_address": "truncate"}).apply(SESSIONS, frame)["ip_address"].to_list() == [network, None]


# Rejected rows


def broken_session() -> dict[str, object]:
    """Return a session whose personal values have the wrong type or the wrong place."""
    user = {
        "id": "anna@example.com",
        "isAnonymous": "anna@example.com",
        "identifier": ["anna@example.com"],
        "firstName": {"anna@example.com": "Anna"},
        "fullName": 123456789,
        "emailAddress": True,
        "firstSeen": "anna@example.com",
        "links": {"web": ["anna@example.com"]},
    }
    return {
        "id": 7,
        "sessionStart": "anna@example.com",
        "user": user,
        "location": {"ipAddress": 203.0113},
        "sessionLength": -5,
    }


def test_the_json_of_a_rejected_row_is_withheld_and_its_reason_quotes_no_personal_value() -> None:
    good = broken_session() | {"user": {"emailAddress": "anna@example.com"}, "sessionStart": "2026-11-01T00:00:00Z"}
    no_time = good | {"sessionStart": "anna@example.com"}
    bodies = [
        json.dumps(
            {"totalSessions": 3, "sessions": [broken_session(), good | {"id": 8}, no_time | {"id": 9}]}
        ).encode(),
        b'{"totalSessions": 1, "sessions": [{"id": 10, "user": {"id": 1, "id": "anna@example.com"}}]}',
    ]
    rejected = parse_answers(bodies, endpoints.SEARCH).rejected
    assert len(rejected) == 4
    for policy in (PrivacyPolicy({"page": "strip_query"}), PrivacyPolicy({"personal": "drop"})):
        after = policy.apply(REJECTED, rejected)
        assert after["raw_json"].unique().to_list() == [WITHHELD]
        assert after.drop("raw_json").equals(rejected.drop("raw_json"))
        assert after.schema == rejected.schema
        for value in ("anna", "Anna", "123456789", "203"):
            assert not any(value in reason for reason in after["reason"])
    assert PrivacyPolicy({"page": "keep"}).apply(REJECTED, rejected).equals(rejected)


def test_no_personal_column_has_a_check_that_would_quote_its_value() -> None:
    """A reason quotes a number below the minimum, and a drift warning an unknown value."""
    for table in TABLES.values():
        for column in table.columns:
            if column.privacy is not Privacy.NONE:
                assert column.minimum is None
                assert column.known_values == ()


# Rules


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("personal", "is not a rule. Example"),
        ("public=drop", "neither a class .* nor a column"),
        ("user_frist_name=drop", "Did you mean 'user_first_name'"),
        ("user_email_address=pseudonym", "Did you mean 'pseudonymise'"),
        ("none=drop", "neither a class"),
        ("raw_json=drop", "neither a class"),
        ("personal=hide", "personal=hide is not a rule; its action must be one of keep, pseudonymise"),
        ("personal=truncate", "does not apply to user_identifier.*set it for single columns: ip_address"),
        ("identifier=truncate", "it applies to no column of the class"),
        (
            "identifier=strip_query",
            "does not apply to user_id; set it for single columns: user_web_url, api_url, web_url",
        ),
        ("personal=strip_query", "does not apply"),
        ("user_identifier=truncate", "truncate does not apply to user_identifier"),
        ("user_email_address=strip_query", "strip_query does not apply"),
        ("country=pseudonymise", "pseudonymise does not apply to country"),
        ("session_id=pseudonymise", "must be kept"),
        ("session_id=drop", "must be kept"),
        ("view_index=drop", "must be kept"),
        ("error_index=drop", "must be kept"),
        ("session_start=drop", "must be kept"),
        ("session_updated=drop", "must be kept"),
        ("status=drop", "must be kept"),
    ],
)
def test_an_invalid_rule_raises_and_the_message_says_what_is_valid(rule: str, message: str) -> None:
    with pytest.raises(InvalidQuery, match=message) as caught:
        PrivacyPolicy.parse([rule], KEY)
    assert caught.value.argument == "rules"


def test_two_different_rules_for_one_column_raise() -> None:
    with pytest.raises(InvalidQuery, match="page has two rules, drop and keep"):
        PrivacyPolicy.parse(["page=drop", "page=keep"])
    assert PrivacyPolicy.parse([" page = drop", "page=drop"]).rules == {"page": Action.DROP}


@pytest.mark.parametrize("rule", ["session_id=keep", "ip_city=drop", "user_last_seen=drop", "web_url=strip_query"])
def test_rules_without_pseudonyms_need_no_key(rule: str) -> None:
    assert PrivacyPolicy.parse([rule]).describe()["key_fingerprint"] is None


# The key


def test_the_key_is_shown_nowhere() -> None:
    policy = PrivacyPolicy({"personal": "pseudonymise"}, KEY)
    assert KEY not in repr(policy) + str(policy) + json.dumps(policy.describe())


def test_a_key_that_is_needed_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidQuery, match=ENV_PSEUDONYM_KEY):
        PrivacyPolicy({"personal": "pseudonymise"})
    monkeypatch.setenv(ENV_PSEUDONYM_KEY, "short")
    with pytest.raises(InvalidQuery, match="fewer than 16") as caught:
        PrivacyPolicy({"personal": "pseudonymise"})
    assert "short" not in str(caught.value)
    assert PrivacyPolicy({"personal": "drop"}).key is None
    monkeypatch.setenv(ENV_PSEUDONYM_KEY, f" {KEY}\n")
    assert PrivacyPolicy({"personal": "pseudonymise"}) == PrivacyPolicy({"personal": "pseudonymise"}, Secret(KEY))
    with pytest.raises(InvalidQuery, match="fewer than 16"):
        PrivacyPolicy(key="x" * 15)


def test_a_policy_can_be_recreated_from_its_description(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = PrivacyPolicy.parse(EVERYTHING, KEY)
    described = json.loads(json.dumps(policy.describe()))
    assert list(described["rules"]) == sorted(described["rules"])
    assert PrivacyPolicy.from_description(described, KEY) == policy
    with pytest.raises(LakeError, match=f"not set; set {ENV_PSEUDONYM_KEY}"):
        PrivacyPolicy.from_description(described)
    with pytest.raises(LakeError, match="another key"):
        PrivacyPolicy.from_description(described, OTHER_KEY)
    monkeypatch.setenv(ENV_PSEUDONYM_KEY, KEY)
    assert PrivacyPolicy.from_description(described) == policy
    assert PrivacyPolicy.from_description(PrivacyPolicy().describe()).keeps_all


def test_a_pseudonym_of_an_address_does_not_depend_on_the_letter_case() -> None:
    policy = PrivacyPolicy({"personal": "pseudonymise"}, KEY)
    one, other, name, same_name = (
        policy.pseudonym(*given)
        for given in [
            ("user_email_address", "Ada@Example.com"),
            ("user_email_address", "ADA@example.COM"),
            ("user_first_name", "Ada"),
            ("user_first_name", "ada"),
        ]
    )
    assert one == other
    assert name != same_name


def test_the_pseudonyms_and_the_key_of_a_lake_of_version_1_stay_valid() -> None:
    stored = {"rules": {"personal": "pseudonymise"}, "key_fingerprint": "9b4cad927a96b537"}
    policy = PrivacyPolicy({"personal": "pseudonymise"}, KEY).of_lake(stored)
    assert policy is not None
    assert policy.pseudonym("user_email_address", "Ada@Example.com") == "~m5Rorwi4IusxTj2awQHUgw"
    assert policy.pseudonym("user_email_address", "ada@example.com") == "~v2JDe_dBRLndiB5Qv_Yc3Q"
    assert PrivacyPolicy.from_description(stored, KEY) == policy
    assert PrivacyPolicy({"personal": "drop"}).of_lake(stored) is None
    assert PrivacyPolicy({"personal": "pseudonymise"}, OTHER_KEY).of_lake(stored) is None
    with pytest.raises(LakeError, match="later version"):
        PrivacyPolicy.from_description(stored | {"pseudonyms": 4}, KEY)


@pytest.mark.parametrize("key", ["1" * 16, "passwordpassword"])
def test_a_key_that_could_be_guessed_is_warned_of_and_not_shown(key: str) -> None:
    with pytest.warns(PulseWarning, match="could be guessed") as caught:
        PrivacyPolicy({"personal": "pseudonymise"}, key)
    assert key not in str(caught[0].message)


@pytest.mark.parametrize("description", [{}, {"rules": None}, {"rules": {"future_column": "drop"}}, {"rules": ["a"]}])
def test_an_unreadable_description_raises(description: dict[str, object]) -> None:
    with pytest.raises(LakeError, match="unusable"):
        PrivacyPolicy.from_description(description)


def test_a_million_rows_keep_their_number_of_distinct_values() -> None:
    frame = TRUTH["sessions"].select("user_identifier").sample(1_000_000, with_replacement=True, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = PrivacyPolicy({"personal": "pseudonymise"}, KEY).apply(SESSIONS, frame)
    assert after["user_identifier"].n_unique() == frame["user_identifier"].n_unique()
