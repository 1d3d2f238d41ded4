"""Raygun Real User Monitoring sessions as typed polars frames.

The names below are loaded when they are first used, so that ``import pulseframes`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from pulseframes._version import __version__

if TYPE_CHECKING:
    from pulseframes import charts
    from pulseframes.analysis import (
        apdex,
        compare,
        error_impact,
        features,
        landings,
        page_speed,
        paths,
        satisfaction,
        traffic,
    )
    from pulseframes.analysis.estimate import estimate
    from pulseframes.analysis.page_template import page_template
    from pulseframes.analysis.precision import PrecisionPlan, plan_precision
    from pulseframes.analysis.sample import Sample
    from pulseframes.client import Credentials, PulseClient, Quota, Settings
    from pulseframes.erasure.forget import Forgotten, forget, retain
    from pulseframes.errors import (
        AuthenticationFailed,
        CredentialsMissing,
        IncompleteWarning,
        InvalidQuery,
        JournalError,
        JournalWarning,
        LakeError,
        MalformedAnswer,
        MissingSessionsWarning,
        PulseError,
        PulseWarning,
        QuotaExhausted,
        RejectedRowsWarning,
        SchemaDriftWarning,
        SchemaViolation,
        ServerError,
        SessionNotFound,
    )
    from pulseframes.fetch.plan import plan
    from pulseframes.fetch.plan_report import Plan
    from pulseframes.fetch.sessions import search_sessions, session_details
    from pulseframes.fetch.sync import sync
    from pulseframes.fetch.sync_report import SyncReport
    from pulseframes.lake import Lake
    from pulseframes.progress import Progress, ProgressHook
    from pulseframes.reports import report
    from pulseframes.sampling.design import Design
    from pulseframes.sampling.selection import choose_details
    from pulseframes.tables.certificate import Certificate, certificate
    from pulseframes.tables.frames import SessionFrames
    from pulseframes.tables.privacy import PrivacyPolicy
    from pulseframes.tables.validation import frame_schema

#: Where each public name lives.
_HOMES: Final = {
    "AuthenticationFailed": "errors",
    "Certificate": "tables.certificate",
    "Credentials": "client",
    "CredentialsMissing": "errors",
    "Design": "sampling.design",
    "Forgotten": "erasure.forget",
    "IncompleteWarning": "errors",
    "InvalidQuery": "errors",
    "JournalError": "errors",
    "JournalWarning": "errors",
    "Lake": "lake",
    "LakeError": "errors",
    "MalformedAnswer": "errors",
    "MissingSessionsWarning": "errors",
    "Plan": "fetch.plan_report",
    "PrecisionPlan": "analysis.precision",
    "PrivacyPolicy": "tables.privacy",
    "Progress": "progress",
    "ProgressHook": "progress",
    "PulseClient": "client",
    "PulseError": "errors",
    "PulseWarning": "errors",
    "Quota": "client",
    "QuotaExhausted": "errors",
    "RejectedRowsWarning": "errors",
    "Sample": "analysis.sample",
    "SchemaDriftWarning": "errors",
    "SchemaViolation": "errors",
    "ServerError": "errors",
    "SessionFrames": "tables.frames",
    "SessionNotFound": "errors",
    "Settings": "client",
    "SyncReport": "fetch.sync_report",
    "apdex": "analysis",
    "compare": "analysis",
    "error_impact": "analysis",
    "features": "analysis",
    "landings": "analysis",
    "page_speed": "analysis",
    "paths": "analysis",
    "satisfaction": "analysis",
    "traffic": "analysis",
    "certificate": "tables.certificate",
    "choose_details": "sampling.selection",
    "estimate": "analysis.estimate",
    "forget": "erasure.forget",
    "frame_schema": "tables.validation",
    "page_template": "analysis.page_template",
    "plan": "fetch.plan",
    "plan_precision": "analysis.precision",
    "report": "reports",
    "retain": "erasure.forget",
    "search_sessions": "fetch.sessions",
    "session_details": "fetch.sessions",
    "sync": "fetch.sync",
}

__all__ = [
    "AuthenticationFailed",
    "Certificate",
    "Credentials",
    "CredentialsMissing",
    "Design",
    "Forgotten",
    "IncompleteWarning",
    "InvalidQuery",
    "JournalError",
    "JournalWarning",
    "Lake",
    "LakeError",
    "MalformedAnswer",
    "MissingSessionsWarning",
    "Plan",
    "PrecisionPlan",
    "PrivacyPolicy",
    "Progress",
    "ProgressHook",
    "PulseClient",
    "PulseError",
    "PulseWarning",
    "Quota",
    "QuotaExhausted",
    "RejectedRowsWarning",
    "Sample",
    "SchemaDriftWarning",
    "SchemaViolation",
    "ServerError",
    "SessionFrames",
    "SessionNotFound",
    "Settings",
    "SyncReport",
    "__version__",
    "apdex",
    "certificate",
    "charts",
    "choose_details",
    "compare",
    "error_impact",
    "estimate",
    "features",
    "forget",
    "frame_schema",
    "landings",
    "page_speed",
    "page_template",
    "paths",
    "plan",
    "plan_precision",
    "report",
    "retain",
    "satisfaction",
    "search_sessions",
    "session_details",
    "sync",
    "traffic",
]


if not TYPE_CHECKING:  # a type checker that saw this would let any misspelt name pass

    def __getattr__(name: str) -> Any:
        if name == "charts":  # a module, whose functions have the names of those whose results they draw
            return import_module("pulseframes.charts")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return __all__
