"""``login``: what is typed is stored and never shown."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from client.test_stored_credentials import Keyring, KeyringLocked, no_home
from conftest import Run, set_environment

import pulseframes as pf
from pulseframes.client.credentials import VARIABLES, credentials_file, store_credentials
from pulseframes.simulator import Simulator

SECRETS = ("typed-api-key-0123", "typed-client-id", "typed-secret-4567")


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_three_lines_of_a_pipe_are_stored_and_not_shown(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    typed(monkeypatch, *SECRETS)
    code, out, err = run("login")
    assert (code, out) == (0, "")
    assert err == f"Stored in {credentials_file()}. `pulseframes doctor --spend` checks them, which may cost a call.\n"
    assert pf.Credentials.find() == pf.Credentials(*SECRETS)


def test_what_is_typed_on_a_terminal_is_not_shown() -> None:
    leader, follower = os.openpty()
    environment = os.environ | {"PYTHONPATH": str(Path(pf.__file__).parents[1])}
    command = [sys.executable, "-m", "pulseframes", "login", "--file"]
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True
    )
    os.close(follower)
    shown = b""
    for label, secret in zip(("API key: ", "client ID: ", "client secret: "), SECRETS, strict=True):
        while not shown.endswith(label.encode()):
            shown += os.read(leader, 1_000)
        os.write(leader, f"{secret}\n".encode())
    try:
        while part := os.read(leader, 1_000):
            shown += part
    except OSError:  # how a terminal ends
        pass
    os.close(leader)
    assert process.wait() == 0
    assert "Stored in" in shown.decode()
    assert not any(secret in shown.decode() for secret in SECRETS)
    assert pf.Credentials.find() == pf.Credentials(*SECRETS)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "The API key is empty. Nothing was stored."),
        ((SECRETS[0], " "), "The client ID is empty. Nothing was stored."),
        ((SECRETS[0], SECRETS[1]), "The client secret is empty. Nothing was stored."),
        (
            (SECRETS[0], SECRETS[1], "nö"),
            "The client secret has a character that is not printable ASCII. Copy it again.",
        ),
    ],
)
def test_incomplete_credentials_are_not_stored(
    monkeypatch: pytest.MonkeyPatch, run: Run, lines: tuple[str, ...], said: str
) -> None:
    typed(monkeypatch, *lines)
    code, _, err = run("login")
    assert code == 2
    assert said in err
    assert not any(secret in err for secret in SECRETS)
    assert not credentials_file().exists()


def test_a_variable_that_wins_over_what_is_stored_is_named(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("PULSEFRAMES_API_KEY", "set-in-the-shell")
    typed(monkeypatch, *SECRETS)
    _, _, err = run("login")
    assert "PULSEFRAMES_API_KEY is set in the environment, and wins over the API key that is stored." in err
    assert "PULSEFRAMES_CLIENT_ID" not in err


def test_what_is_stored_can_be_removed(run: Run) -> None:
    store_credentials(pf.Credentials(*SECRETS))
    assert run("login", "--remove") == (0, "", f"Removed from {credentials_file()}.\n")
    assert run("login", "--remove") == (0, "", "Nothing was stored, so nothing was removed.\n")
    assert not credentials_file().exists()


def test_a_locked_keyring_fails_the_removal(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setitem(sys.modules, "keyring", Keyring(fails=KeyringLocked()))
    code, out, err = run("login", "--remove")
    assert (code, out) == (1, "")
    assert "error: The keyring failed (KeyringLocked), so what is stored there was not removed. Unlock it" in err


@pytest.mark.parametrize("stored", [False, True])
def test_an_address_with_secrets_is_refused_before_anything_is_typed_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, run: Run, stored: bool
) -> None:
    if stored:
        store_credentials(pf.Credentials(*SECRETS))
    monkeypatch.setenv("PULSEFRAMES_BASE_URL", "https://me:PASSW0RD@proxy.example/api?key=TOPSECRET")
    monkeypatch.setattr(sys, "stdin", None)  # reading it would fail
    code, _, err = run("login")
    assert (code, "error: PULSEFRAMES_BASE_URL: the value is not an http(s) address." in err) == (2, True)
    ended, out, shown = run("doctor")
    assert (ended, "skip credentials: needs valid settings" in out) == (1, stored)
    assert not any(secret in err + out + shown for secret in ("PASSW0RD", "TOPSECRET"))


def test_doctor_runs_without_a_home(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delenv("PULSEFRAMES_HOME")
    for folder in ("config", "data"):
        monkeypatch.setattr(f"platformdirs.user_{folder}_path", no_home)
    code, out, _ = run("doctor")
    assert (code, "FAIL settings: PULSEFRAMES_HOME: no home folder" in out) == (1, True)
    assert "FAIL credentials: Not set: PULSEFRAMES_API_KEY" in out


def test_commands_run_with_what_is_stored_and_doctor_names_each_place(
    monkeypatch: pytest.MonkeyPatch, run: Run, simulator: Simulator
) -> None:
    set_environment(monkeypatch, simulator)
    for name in ("client_id", "client_secret"):
        monkeypatch.delenv(VARIABLES[name])
    store_credentials(pf.Credentials("another-key", simulator.client_id, simulator.client_secret))
    code, out, _ = run("search", "2026-11-09", "2026-11-10", "-f", "csv")
    assert code == 0
    assert len(out.splitlines()) > 1
    code, out, err = run("doctor", "--json")
    (credentials,) = (step for step in json.loads(out)["steps"] if step["step"] == "credentials")
    file = str(credentials_file())
    assert code == 0
    assert f"API key from the environment, client ID and client secret from {file}" in credentials["said"]
    for secret in ("another-key", simulator.api_key, simulator.client_id, simulator.client_secret):
        assert secret not in out + err
