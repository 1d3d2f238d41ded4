"""Raw answers in, flat frames out: the API's JSON becomes the tables' rows, or rejected rows with a reason."""

from pulseframes.flatten.assemble import FlatAnswers, ParsedAnswers, flatten_answers, parse_answers
from pulseframes.flatten.merge import (
    AGE,
    DETAIL_AGE,
    DETAIL_COLUMNS,
    FROM_DETAIL,
    as_unmerged,
    newest_details,
    newest_sessions,
)
from pulseframes.flatten.notices import (
    describe_rejected,
    warn_of_drift,
    warn_of_missing,
    warn_of_truncated_lists,
)
from pulseframes.flatten.outline import Outline, read_outline, read_outlines
from pulseframes.flatten.raw_answers import ANSWERS, CALL, FLAT, flatten_raw, merge_raw
from pulseframes.flatten.raw_json import NotJson, cut_sessions, decode_pairs, session_texts, text_of, values_at

__all__ = [
    "AGE",
    "ANSWERS",
    "CALL",
    "DETAIL_AGE",
    "DETAIL_COLUMNS",
    "FLAT",
    "FROM_DETAIL",
    "FlatAnswers",
    "NotJson",
    "Outline",
    "ParsedAnswers",
    "as_unmerged",
    "cut_sessions",
    "decode_pairs",
    "describe_rejected",
    "flatten_answers",
    "flatten_raw",
    "merge_raw",
    "newest_details",
    "newest_sessions",
    "parse_answers",
    "read_outline",
    "read_outlines",
    "session_texts",
    "text_of",
    "values_at",
    "warn_of_drift",
    "warn_of_missing",
    "warn_of_truncated_lists",
]
