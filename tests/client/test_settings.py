"""Settings come from arguments, else from the environment; secrets are never shown."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pulseframes import Credentials, CredentialsMissing, InvalidQuery, PulseClient, Settings
from pulseframes._secret import Secret

MARKER = "marker-4f0c"


def test_the_default_address_is_raygun() -> None:
    assert Settings().base_url == "https://api.raygun.com/api/v1/pulse"


def test_the_environment_is_read_when_settings_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEFRAMES_BASE_URL", " http://127.0.0.1:99/api/ ")
    assert Settings().base_url == "http://127.0.0.1:99/api"
    assert Settings(base_url="https://example.com").base_url == "https://example.com"


@pytest.mark.parametrize("url", ["http://localhost:1/x", "http://127.0.0.1", "http://127.8.8.8:5", "http://[::1]:5"])
def test_plain_http_is_allowed_on_this_machine(url: str) -> None:
    assert Settings(base_url=url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "ftp://127.0.0.1",
        "api.raygun.com",
        "https://",
        "https://example.com:port",
        "https://example.com/?a=b",
        "https://[::1",
        "http://localhost?",
        "http://localhost#x",
        "https://exa mple.com",
        "https://example.com\n",
    ],
)
def test_an_insecure_or_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidQuery, match="^base_url: ") as caught:
        Settings(base_url=url)
    assert caught.value.argument == "base_url"


def test_an_address_that_is_not_a_string_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="base_url"):
        Settings(base_url=5)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("rest", ["@example.com", "@example.com?a=b", "/word@example.com", "@example.com:port"])
def test_a_password_in_the_address_is_refused_and_not_repeated(rest: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        Settings(base_url=f"https://me:{MARKER}{rest}")
    assert MARKER not in str(caught.value)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e12, "5", None])
def test_a_timeout_is_a_positive_number(seconds: Any) -> None:
    with pytest.raises(InvalidQuery, match="read_timeout"):
        Settings(read_timeout=seconds)


@pytest.mark.parametrize("number", [0, -1, 33, 2.5, True, "4", None])
def test_the_number_of_calls_at_once_is_a_whole_number_from_1_to_32(number: Any) -> None:
    with pytest.raises(InvalidQuery, match="concurrency must be a whole number from 1 to 32"):
        Settings(concurrency=number)


def test_the_number_of_calls_at_once_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().concurrency == 4
    monkeypatch.setenv("PULSEFRAMES_CONCURRENCY", "7")
    assert (Settings().concurrency, Settings(concurrency=1).concurrency) == (7, 1)
    monkeypatch.setenv("PULSEFRAMES_CONCURRENCY", "99")
    with pytest.raises(InvalidQuery, match="PULSEFRAMES_CONCURRENCY must be a whole number from 1 to 32"):
        Settings()


def test_the_error_names_each_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEFRAMES_CLIENT_ID", MARKER)
    monkeypatch.setenv("PULSEFRAMES_CLIENT_SECRET", "  ")
    with pytest.raises(CredentialsMissing) as caught:
        Credentials.from_env()
    assert "PULSEFRAMES_API_KEY, PULSEFRAMES_CLIENT_SECRET" in str(caught.value)
    assert "PULSEFRAMES_CLIENT_ID" not in str(caught.value)
    assert MARKER not in str(caught.value)


@pytest.mark.parametrize("wrong", ["", " ", "a\nb", "schlüssel"])
def test_a_credential_that_does_not_fit_a_header_is_refused_and_not_shown(wrong: str) -> None:
    with pytest.raises(CredentialsMissing, match="client_secret") as caught:
        Credentials("key", "id", wrong)
    assert not wrong.strip() or wrong not in str(caught.value)


def test_white_space_around_a_key_is_removed() -> None:
    assert Credentials(" key\n", "id", "secret") == Credentials("key", "id", "secret")


def test_credentials_do_not_appear_in_their_repr_or_str() -> None:
    credentials = Credentials(MARKER, MARKER, MARKER)
    for text in (repr(credentials), str(credentials), f"{credentials.api_key}", f"{credentials.client_id!s}"):
        assert MARKER not in text


def test_credentials_can_be_copied_and_not_pickled() -> None:
    credentials = Credentials("a", "b", "c")
    assert copy.copy(credentials) == copy.deepcopy(credentials) == credentials
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    with pytest.raises(TypeError, match=r"in each process: Credentials.find\(\)"):
        pickle.dumps(credentials)


def test_a_client_is_made_in_each_process_and_not_pickled() -> None:
    with PulseClient(Credentials("a", "b", "c")) as client, pytest.raises(TypeError, match="Make one in each process"):
        pickle.dumps(client)


@pytest.mark.parametrize("url", ["https://x/?key=S3cret", "https://x/#S3cret", "https://jane:S3cret@x/"])
def test_a_secret_in_an_invalid_address_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        Settings(base_url=url)
    assert "S3cret" not in str(caught.value)
