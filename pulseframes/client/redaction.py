"""Redaction: replaces secrets by stars in what is kept, logged or raised."""

from __future__ import annotations

import base64
import json
from typing import Final
from urllib.parse import quote, quote_plus

from pulseframes._secret import Secret
from pulseframes.client.settings import Credentials

#: Shorter secrets may be part of ordinary words.
SHORTEST_REDACTED: Final = 12


class Redactor:
    """Replaces secrets by stars: the credentials, and each session key from the moment it is known."""

    def __init__(self, credentials: Credentials) -> None:
        login = f"{credentials.client_id.reveal()}:{credentials.client_secret.reveal()}"
        self._secrets = {
            base64.b64encode(login.encode()).decode(),
            *(secret.reveal() for secret in (credentials.client_secret, credentials.api_key, credentials.client_id)),
        }

    def add(self, secret: Secret) -> None:
        """Redact this secret too."""
        self._secrets = self._secrets | {secret.reveal()}  # a new set: another thread may be reading the old one

    def text(self, text: str) -> str:
        """Return a message without the secrets."""
        for secret in self._longest_first():
            for spelling in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(spelling, "***")
        return text

    def body(self, body: bytes) -> bytes:
        """Return a body without the secrets. Short ones stay: they would be found in innocent data, which must not change."""
        for secret in self._longest_first():
            if len(secret) >= SHORTEST_REDACTED and secret.encode() in body:
                body = body.replace(secret.encode(), b"***")
        return body

    def _longest_first(self) -> list[str]:
        return sorted(self._secrets, key=len, reverse=True)  # one may be part of another
