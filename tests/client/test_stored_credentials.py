"""Credentials that ``pulseframes login`` stores: where they go, what wins, and who can read them."""

from __future__ import annotations

import importlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from conftest import set_environment

import pulseframes as pf
from pulseframes.client.client import default_client
from pulseframes.client.credentials import (
    ENVIRONMENT,
    KEYRING,
    VARIABLES,
    credentials_file,
    find_credentials,
    remove_credentials,
    store_credentials,
)
from pulseframes.client.settings import DEFAULT_BASE_URL
from pulseframes.simulator import Simulator

STORED = pf.Credentials("stored-api-key-0123", "stored-client-id", "stored-secret-4567")
OTHERS = pf.Credentials("other-api-key-0123", "other-client-id", "other-secret-4567")


class Keyring(ModuleType):
    """The functions of the keyring package that pulseframes calls, over a dictionary."""

    errors = SimpleNamespace(NoKeyringError=type("NoKeyringError", (RuntimeError,), {}))

    def __init__(self, *, fails: Exception | None = None, forgets: bool = False) -> None:
        super().__init__("keyring")
        self.entries: dict[tuple[str, str], str] = {}
        self.fails, self.forgets, self.reads = fails, forgets, 0

    def get_password(self, service: str, entry: str) -> str | None:
        self.reads += 1
        self._check()
        return self.entries.get((service, entry))

    def set_password(self, service: str, entry: str, text: str) -> None:
        self._check()
        if not self.forgets:
            self.entries[service, entry] = text

    def delete_password(self, service: str, entry: str) -> None:
        self._check()
        del self.entries[service, entry]

    def _check(self) -> None:
        if self.fails:
            raise self.fails


class KeyringLocked(Exception):
    """What the keyring package raises if the user does not unlock it."""


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    return use(monkeypatch, Keyring())


def use(monkeypatch: pytest.MonkeyPatch, keyring: Keyring) -> Keyring:
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    return keyring


def test_the_tests_read_no_credentials_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert credentials_file().is_relative_to(tmp_path_factory.getbasetemp())
    with pytest.raises(ImportError):
        importlib.import_module("keyring")
    assert find_credentials() == {}


def test_without_a_keyring_they_are_in_a_file_that_only_the_owner_can_read() -> None:
    assert store_credentials(STORED) == str(credentials_file())
    assert pf.Credentials.find() == STORED
    assert stat.S_IMODE(credentials_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(credentials_file().parent.stat().st_mode) == 0o700
    assert [path.name for path in credentials_file().parent.iterdir()] == ["credentials.json"]


def test_with_a_keyring_they_are_in_one_entry_of_it_and_in_no_file(keyring: Keyring) -> None:
    store_credentials(OTHERS, in_file=True)
    assert store_credentials(STORED) == KEYRING
    assert len(keyring.entries) == 1
    assert not credentials_file().exists()
    assert pf.Credentials.find() == STORED


def test_a_file_that_is_asked_for_replaces_the_entry_of_the_keyring(keyring: Keyring) -> None:
    store_credentials(OTHERS)
    assert store_credentials(STORED, in_file=True) == str(credentials_file())
    assert keyring.entries == {}
    assert pf.Credentials.find() == STORED


@pytest.mark.parametrize(
    "keyring", [Keyring(fails=Keyring.errors.NoKeyringError()), Keyring(forgets=True)], ids=["no backend", "forgets"]
)
def test_a_keyring_without_a_backend_or_one_that_forgets_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, keyring: Keyring
) -> None:
    use(monkeypatch, keyring)
    assert store_credentials(STORED) == str(credentials_file())
    assert pf.Credentials.find() == STORED
    assert remove_credentials() == [str(credentials_file())]


def test_a_locked_keyring_stores_nothing_and_leads_to_the_file(keyring: Keyring) -> None:
    keyring.fails = KeyringLocked()
    with pytest.raises(
        OSError, match=r"The keyring failed \(KeyringLocked\). Unlock it, or .*`pulseframes login --file`"
    ):
        store_credentials(STORED)
    assert not credentials_file().exists()


def test_a_file_written_while_the_keyring_is_locked_wins_when_it_is_unlocked(keyring: Keyring) -> None:
    store_credentials(OTHERS)
    keyring.fails = KeyringLocked()
    with pytest.warns(pf.PulseWarning, match=r"KeyringLocked\), so an entry of an earlier login may remain"):
        store_credentials(STORED, in_file=True)
    assert pf.Credentials.find() == STORED
    keyring.fails = None
    assert len(keyring.entries) == 1
    assert pf.Credentials.find() == STORED
    store_credentials(STORED, in_file=True)
    assert keyring.entries == {}


@pytest.mark.parametrize("in_file", [False, True])
def test_what_a_locked_keyring_has_is_not_called_removed(keyring: Keyring, in_file: bool) -> None:
    store_credentials(OTHERS)
    keyring.fails = KeyringLocked()
    if in_file:
        with pytest.warns(pf.PulseWarning, match="may remain there"):
            store_credentials(STORED, in_file=True)
    with pytest.raises(
        OSError, match=r"KeyringLocked\), so what is stored there was not removed.*--remove` again"
    ) as caught:
        remove_credentials()
    assert (f"{credentials_file()} was removed" in str(caught.value)) == in_file
    assert not credentials_file().exists()
    keyring.fails = None
    assert remove_credentials() == [KEYRING]
    assert keyring.entries == {}


def test_a_locked_keyring_is_named_when_it_is_needed(monkeypatch: pytest.MonkeyPatch, keyring: Keyring) -> None:
    store_credentials(STORED)
    keyring.fails = KeyringLocked("stored-secret-4567")
    monkeypatch.setenv("PULSEFRAMES_CLIENT_ID", "id")
    message = r"Not set: PULSEFRAMES_API_KEY, PULSEFRAMES_CLIENT_SECRET. The keyring failed \(KeyringLocked\), so"
    with pytest.raises(pf.CredentialsMissing, match=message) as caught:
        pf.Credentials.find()
    assert "stored-secret-4567" not in str(caught.value)


@pytest.mark.parametrize("places", [*product((False, True), repeat=3)], ids=str)
def test_the_environment_wins_over_the_file_and_the_file_over_the_keyring(
    monkeypatch: pytest.MonkeyPatch, keyring: Keyring, places: tuple[bool, ...]
) -> None:
    in_environment, in_keyring, in_file = places
    if in_keyring:
        store_credentials(STORED)
    if in_file:
        credentials_file().parent.mkdir(parents=True, exist_ok=True)
        credentials_file().touch(mode=0o600)
        credentials_file().write_text(
            json.dumps({name: f"file-{name}" for name in VARIABLES} | {"base_url": DEFAULT_BASE_URL})
        )
    if in_environment:
        monkeypatch.setenv("PULSEFRAMES_API_KEY", "environment-api-key")
    found = find_credentials()
    stored = str(credentials_file()) if in_file else KEYRING if in_keyring else None
    expected = {"client_id": stored, "client_secret": stored} if stored else {}
    expected |= {"api_key": ENVIRONMENT if in_environment else stored} if stored or in_environment else {}
    assert {name: value.place for name, value in found.items()} == expected
    if in_environment:
        assert found["api_key"].secret.reveal() == "environment-api-key"
    del keyring


def test_what_is_stored_is_not_looked_for_if_all_variables_are_set(
    monkeypatch: pytest.MonkeyPatch, keyring: Keyring, simulator: Simulator
) -> None:
    set_environment(monkeypatch, simulator)
    credentials_file().parent.mkdir(parents=True)
    credentials_file().write_text("damaged")  # and readable by others
    assert pf.Credentials.find() == pf.Credentials.from_env()
    assert keyring.reads == 0


def test_queries_look_into_the_keyring_once(
    monkeypatch: pytest.MonkeyPatch, keyring: Keyring, simulator: Simulator
) -> None:
    set_environment(monkeypatch, simulator)
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable)
    store_credentials(pf.Credentials(simulator.api_key, simulator.client_id, simulator.client_secret))
    keyring.reads = 0
    for day in ("2026-11-09", "2026-11-10", "2026-11-11"):
        pf.search_sessions(day, "2026-11-12")
    assert keyring.reads == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_not_used(mode: int) -> None:
    store_credentials(STORED)
    credentials_file().chmod(mode)
    with pytest.raises(pf.CredentialsMissing, match="can be read by other users, so it is not used.*login") as caught:
        pf.Credentials.find()
    assert "stored" not in str(caught.value)
    store_credentials(STORED)
    assert pf.Credentials.find() == STORED


def test_a_link_is_not_followed_neither_when_it_is_read_nor_when_it_is_written(tmp_path: Path) -> None:
    store_credentials(STORED)
    elsewhere = tmp_path / "elsewhere"
    credentials_file().rename(elsewhere)
    credentials_file().symlink_to(elsewhere)
    with pytest.raises(pf.CredentialsMissing, match="is a link, so it is not used"):
        pf.Credentials.find()
    before = elsewhere.read_bytes()
    store_credentials(OTHERS)
    assert elsewhere.read_bytes() == before
    assert not credentials_file().is_symlink()
    credentials_file().unlink()
    credentials_file().symlink_to(elsewhere)
    assert remove_credentials() == [str(credentials_file())]
    assert elsewhere.exists()


def damages() -> Iterator[bytes]:
    yield b""
    yield b"\xff\xfe"
    yield b"[" * 100_000
    yield b'{"api_key": "only-this-one"}'
    yield json.dumps(dict.fromkeys(VARIABLES, "no-address")).encode()
    yield json.dumps(dict.fromkeys(VARIABLES, 5)).encode()
    yield json.dumps(dict.fromkeys(VARIABLES, "two\nlines")).encode()


@pytest.mark.parametrize("damaged", [*damages()], ids=range(7))
def test_a_damaged_file_is_named_and_its_content_is_not_shown(damaged: bytes) -> None:
    store_credentials(STORED)
    credentials_file().write_bytes(damaged)
    with pytest.raises(pf.CredentialsMissing, match=r"credentials\.json are damaged.*login") as caught:
        pf.Credentials.find()
    assert "only-this-one" not in str(caught.value)


def test_a_folder_or_a_pipe_in_place_of_the_file_is_an_error_and_blocks_nothing() -> None:
    credentials_file().mkdir(parents=True)
    with pytest.raises(pf.CredentialsMissing, match="is not a file|cannot be read"):
        pf.Credentials.find()
    credentials_file().rmdir()
    os.mkfifo(credentials_file(), 0o600)
    with pytest.raises(pf.CredentialsMissing, match="is not a file"):
        pf.Credentials.find()


def test_they_are_sent_to_no_other_address_than_the_one_they_were_stored_for(
    monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    store_credentials(STORED)
    assert pf.PulseClient().credentials == STORED
    other = "The credentials in .*credentials.json are for https://api.raygun.com/api/v1/pulse and are not sent to http://127"
    with pytest.raises(pf.CredentialsMissing, match=other):
        pf.PulseClient(settings=pf.Settings(base_url=simulator.url))
    monkeypatch.setenv("PULSEFRAMES_BASE_URL", f"{simulator.url}/")
    with pytest.raises(pf.CredentialsMissing, match="Not set: PULSEFRAMES_API_KEY, .* Set the variables"):
        pf.search_sessions("2026-11-01", "2026-11-02")
    store_credentials(OTHERS)
    assert pf.PulseClient().credentials == OTHERS
    assert simulator.requests == []


def test_missing_ones_are_named_by_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEFRAMES_CLIENT_ID", "id")
    with pytest.raises(
        pf.CredentialsMissing, match="Not set: PULSEFRAMES_API_KEY, PULSEFRAMES_CLIENT_SECRET. .*`pulseframes login`"
    ):
        pf.PulseClient()
    assert remove_credentials() == []


WITH_SECRETS = "https://me:PASSW0RD@proxy.example/api?key=TOPSECRET"


def test_an_address_with_secrets_is_neither_stored_nor_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSEFRAMES_BASE_URL", WITH_SECRETS)
    with pytest.raises(pf.InvalidQuery, match="PULSEFRAMES_BASE_URL: the value is not an http"):
        store_credentials(STORED)
    assert not credentials_file().exists()
    monkeypatch.delenv("PULSEFRAMES_BASE_URL")
    store_credentials(STORED)
    for given in (WITH_SECRETS, None):
        if given is None:
            monkeypatch.setenv("PULSEFRAMES_BASE_URL", WITH_SECRETS)
        with pytest.raises(pf.InvalidQuery, match="the value is not an http") as caught:
            pf.Credentials.find(given)
        assert "SECRET" not in str(caught.value)
        assert "PASSW0RD" not in str(caught.value)


def test_a_stored_address_with_secrets_is_damage_and_not_shown() -> None:
    store_credentials(STORED)
    document = json.loads(credentials_file().read_text()) | {"base_url": WITH_SECRETS}
    credentials_file().write_text(json.dumps(document))
    with pytest.raises(pf.CredentialsMissing, match=r"credentials\.json are damaged.*login") as caught:
        pf.Credentials.find()
    assert "SECRET" not in str(caught.value)


def no_home(*_: object, **__: object) -> Path:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("default", [no_home, lambda *_, **__: Path("~/.config/pulseframes")], ids=["none", "relative"])
def test_without_a_home_nothing_is_stored_and_the_variables_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, default: object
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_config_path", default)
    with pytest.raises(pf.CredentialsMissing, match="Not set: PULSEFRAMES_API_KEY, PULSEFRAMES_CLIENT_ID"):
        pf.quota()
    with pytest.raises(
        pf.CredentialsMissing, match="No home folder was found.*Set HOME to one, or set PULSEFRAMES_API_KEY"
    ):
        store_credentials(STORED)
    assert remove_credentials() == []
    assert [*tmp_path.iterdir()] == []
    keyring = use(monkeypatch, Keyring())
    assert store_credentials(STORED) == KEYRING
    assert pf.Credentials.find() == STORED
    assert len(keyring.entries) == 1


def test_the_default_client_is_replaced_after_a_rejection_if_others_are_stored(
    monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    monkeypatch.setenv("PULSEFRAMES_BASE_URL", simulator.url)
    store_credentials(pf.Credentials(simulator.api_key, simulator.client_id, "a-wrong-secret"))
    for _ in range(2):
        with pytest.raises(pf.AuthenticationFailed):
            pf.search_sessions("2026-11-09", "2026-11-10")
    rejected = default_client()
    assert default_client() is rejected
    store_credentials(pf.Credentials(simulator.api_key, simulator.client_id, simulator.client_secret))
    assert len(pf.search_sessions("2026-11-09", "2026-11-10")) > 0
    replacing = default_client()
    assert replacing is not rejected
    assert default_client() is replacing
    replacing.close()
