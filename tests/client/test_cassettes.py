"""The main paths, replayed from recorded answers without a server; and the contents of the cassettes."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal
from pytest_socket import SocketConnectBlockedError
from record_cassettes import POPULATION, UNKNOWN_ID, WINDOW, detail_ids
from support.cassette import CASSETTES, PERSONAL, SCRUBBED, tape
from vcr.cassette import Cassette

import pulseframes as pf
from pulseframes.client.settings import DEFAULT_BASE_URL
from pulseframes.simulator import Simulator

SIMULATOR = Simulator(**POPULATION)  # not served: it only provides the truth


@pytest.fixture
def client() -> Iterator[pf.PulseClient]:
    """A client of Raygun itself; the blocked network keeps it from being reached."""
    with pf.PulseClient(pf.Credentials("key", "id", "secret")) as connected:
        yield connected


def as_recorded(truth: pl.DataFrame) -> pl.DataFrame:
    """The truth as on the cassettes: people scrubbed, public addresses."""
    people = [
        pl.when(pl.col(column.name).is_not_null()).then(pl.lit(SCRUBBED)).alias(column.name) for column in PERSONAL
    ]
    return truth.with_columns(*people, pl.col("api_url").str.replace(SIMULATOR.url, DEFAULT_BASE_URL, literal=True))


def test_a_replayed_search_equals_the_simulators_sessions(client: pf.PulseClient) -> None:
    with tape.use_cassette("search.json") as cassette:
        sessions = pf.search_sessions(*WINDOW, client=client)
        assert cassette.all_played
    assert_frame_equal(sessions, as_recorded(SIMULATOR.summaries(*WINDOW)))
    assert len(sessions) > 500


def test_replayed_details_equal_the_simulators_sessions(client: pf.PulseClient) -> None:
    ids = detail_ids(SIMULATOR)
    with tape.use_cassette("details.json") as cassette:
        with pytest.warns(pf.MissingSessionsWarning):
            frames = pf.session_details([*ids, UNKNOWN_ID], client=client)
        assert cassette.all_played
    truth = {name: frame.filter(pl.col("session_id").is_in(ids)) for name, frame in SIMULATOR.truth(*WINDOW).items()}
    assert_frame_equal(frames.sessions, as_recorded(truth["sessions"]))
    assert_frame_equal(frames.page_views, truth["page_views"])
    assert_frame_equal(frames.errors, truth["errors"])
    assert len(frames.errors) >= 3
    assert frames.missing == [UNKNOWN_ID]


def test_authentication_by_post_and_an_exhausted_quota_can_be_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEFRAMES_CONCURRENCY", "1")  # those under way beside the refused one are not on the cassette
    client = pf.PulseClient(pf.Credentials("key", "id", "secret"))
    ids = detail_ids(SIMULATOR)
    with client, tape.use_cassette("quota.json") as cassette, pytest.raises(pf.QuotaExhausted) as caught:
        pf.session_details(ids, client=client)
    assert [request.method for request in cassette.requests[:2]] == ["GET", "POST"]
    assert sorted(caught.value.partial.sessions["session_id"]) == sorted(ids[:2])
    assert caught.value.resets_at is not None


def test_a_request_that_is_not_on_the_cassette_is_not_sent(client: pf.PulseClient) -> None:
    with tape.use_cassette("search.json"), pytest.raises(Exception, match="no recorded interaction matches"):
        pf.search_sessions("2025-01-01", "2025-01-02", client=client)


def test_the_network_is_blocked_without_a_cassette() -> None:
    # The plug-in warns before it raises, and a warning is an error here.
    with pytest.raises((SocketConnectBlockedError, UserWarning), match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 443), timeout=1)


@pytest.mark.parametrize("path", sorted(CASSETTES.iterdir()), ids=lambda path: path.name)
def test_a_cassette_contains_no_secret_and_no_personal_data(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert '"sessionKey\\": \\"scrubbed\\"' in text
    for header in ("authorization", "x-apikey", "x-sessionkey", "cookie", "user-agent"):
        assert header not in text.lower()
    for secret in (SIMULATOR.api_key, SIMULATOR.client_id, SIMULATOR.client_secret):
        assert secret not in text
    assert not re.search(r"[\w.+-]+@[\w-]+\.\w+", text)
    assert not re.search(
        r"(?<![\w.])\d{1,3}(\.\d{1,3}){3}(?![\w.])(?=\\\")", re.sub(r"\\\"version\\\": \\\"[^\"]*", "", text)
    )
    assert "2001:db8" not in text
    people = SIMULATOR.summaries(*WINDOW)
    for column in PERSONAL:
        for value in people[column.name].drop_nulls().unique():
            assert f'\\"{value}\\"' not in text
    assert "127.0.0.1" not in text
    assert "localhost" not in text


def test_a_cassette_is_data_and_nothing_in_it_is_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    bomb = f"!!python/object/apply:os.system ['touch {canary}']\n"
    (tmp_path / "search.json").write_text(bomb)
    with pytest.raises(ValueError, match="Expecting value"):
        Cassette.load(path=str(tmp_path / "search.json"), serializer=tape.serializers[tape.serializer])
    assert not canary.exists()
    # The bomb is a live one: this is what the loader that was not chosen would have done.
    yaml.unsafe_load(bomb)
    assert canary.exists()
