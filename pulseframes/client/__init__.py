"""Sends calls within the quota and records every answer: an endpoint and its parameters in, raw bytes out."""

from pulseframes.client.answer import Answer
from pulseframes.client.client import PulseClient, as_client, quota
from pulseframes.client.credentials import (
    ENV_API_KEY,
    ENV_CLIENT_ID,
    ENV_CLIENT_SECRET,
    VARIABLES,
    Credentials,
    find_credentials,
    problem_of,
    remove_credentials,
    store_credentials,
)
from pulseframes.client.journal import JOURNAL_FILE, CallRecord, Journal
from pulseframes.client.quota_rule import Quota
from pulseframes.client.sender import clock_problem
from pulseframes.client.settings import (
    ENV_BASE_URL,
    ENV_DAILY_LIMIT,
    ENV_HOME,
    IN_MEMORY,
    Settings,
    as_settings,
    base_url_of_environment,
)
from pulseframes.client.shared_ledger import ledger_place
from pulseframes.client.turns import ALONE, Turn, in_turns

__all__ = [
    "ALONE",
    "ENV_API_KEY",
    "ENV_BASE_URL",
    "ENV_CLIENT_ID",
    "ENV_CLIENT_SECRET",
    "ENV_DAILY_LIMIT",
    "ENV_HOME",
    "IN_MEMORY",
    "JOURNAL_FILE",
    "VARIABLES",
    "Answer",
    "CallRecord",
    "Credentials",
    "Journal",
    "PulseClient",
    "Quota",
    "Settings",
    "Turn",
    "as_client",
    "as_settings",
    "base_url_of_environment",
    "clock_problem",
    "find_credentials",
    "in_turns",
    "ledger_place",
    "problem_of",
    "quota",
    "remove_credentials",
    "store_credentials",
]
