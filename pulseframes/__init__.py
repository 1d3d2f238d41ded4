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
    from pulseframes.api import PulseClient
    from pulseframes.design import Design
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
    from pulseframes.estimation import estimate
    from pulseframes.forgetting import Forgotten, forget, retain
    from pulseframes.frames import SessionFrames
    from pulseframes.lake import Lake
    from pulseframes.pipeline import search_sessions, session_details
    from pulseframes.plan_report import Plan
    from pulseframes.planning import plan
    from pulseframes.precision import PrecisionPlan, plan_precision
    from pulseframes.privacy import PrivacyPolicy
    from pulseframes.progress import Progress, ProgressHook
    from pulseframes.provenance import Certificate, certificate
    from pulseframes.quota import Quota
    from pulseframes.reporting import report
    from pulseframes.sample import Sample
    from pulseframes.sampling import choose_details
    from pulseframes.settings import Credentials, Settings
    from pulseframes.sync_report import SyncReport
    from pulseframes.syncing import sync
    from pulseframes.templates import page_template
    from pulseframes.validate import frame_schema

#: Where each public name lives.
_HOMES: Final = {
    "AuthenticationFailed": "errors",
    "Certificate": "provenance",
    "Credentials": "settings",
    "CredentialsMissing": "errors",
    "Design": "design",
    "Forgotten": "forgetting",
    "IncompleteWarning": "errors",
    "InvalidQuery": "errors",
    "JournalError": "errors",
    "JournalWarning": "errors",
    "Lake": "lake",
    "LakeError": "errors",
    "MalformedAnswer": "errors",
    "MissingSessionsWarning": "errors",
    "Plan": "plan_report",
    "PrecisionPlan": "precision",
    "PrivacyPolicy": "privacy",
    "Progress": "progress",
    "ProgressHook": "progress",
    "PulseClient": "api",
    "PulseError": "errors",
    "PulseWarning": "errors",
    "Quota": "quota",
    "QuotaExhausted": "errors",
    "RejectedRowsWarning": "errors",
    "Sample": "sample",
    "SchemaDriftWarning": "errors",
    "SchemaViolation": "errors",
    "ServerError": "errors",
    "SessionFrames": "frames",
    "SessionNotFound": "errors",
    "Settings": "settings",
    "SyncReport": "sync_report",
    "apdex": "analysis",
    "compare": "analysis",
    "error_impact": "analysis",
    "features": "analysis",
    "landings": "analysis",
    "page_speed": "analysis",
    "paths": "analysis",
    "satisfaction": "analysis",
    "traffic": "analysis",
    "certificate": "provenance",
    "choose_details": "sampling",
    "estimate": "estimation",
    "forget": "forgetting",
    "frame_schema": "validate",
    "page_template": "templates",
    "plan": "planning",
    "plan_precision": "precision",
    "report": "reporting",
    "retain": "forgetting",
    "search_sessions": "pipeline",
    "session_details": "pipeline",
    "sync": "syncing",
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
