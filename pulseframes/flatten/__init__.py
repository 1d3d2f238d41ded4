"""Raw answers in, flat frames out: bytes of the API's JSON become the tables' rows, or rejected rows with a reason."""

from pulseframes.flatten.assemble import ParsedAnswers, parse_answers
from pulseframes.flatten.bodies import FlatAnswers, flatten_answers
from pulseframes.flatten.cut import cut_sessions, decoded, session_spans, values_at
from pulseframes.flatten.fallback import text_of
from pulseframes.flatten.merge import (
    AGE,
    DETAIL_AGE,
    DETAIL_COLUMNS,
    FROM_DETAIL,
    as_merged,
    newest_details,
    newest_sessions,
)
from pulseframes.flatten.notices import (
    describe_left_out,
    describe_rejected,
    warn_of_cut_lists,
    warn_of_drift,
    warn_of_missing,
)
from pulseframes.flatten.raw_json import NotJson

__all__ = [
    "AGE",
    "DETAIL_AGE",
    "DETAIL_COLUMNS",
    "FROM_DETAIL",
    "FlatAnswers",
    "NotJson",
    "ParsedAnswers",
    "as_merged",
    "cut_sessions",
    "decoded",
    "describe_left_out",
    "describe_rejected",
    "flatten_answers",
    "newest_details",
    "newest_sessions",
    "parse_answers",
    "session_spans",
    "text_of",
    "values_at",
    "warn_of_cut_lists",
    "warn_of_drift",
    "warn_of_missing",
]
