"""Weights in SQL: how many sessions or page views each row of a sampled lake represents, and macros that use them."""

from __future__ import annotations

import re
from typing import Final, Protocol

import polars as pl

from pulseframes.errors import InvalidQuery, PulseWarning, warn
from pulseframes.lake.state import LakeState
from pulseframes.sampling.columns import VIEW_WEIGHT, WEIGHT
from pulseframes.sampling.population import session_weights
from pulseframes.sampling.rates import of_design
from pulseframes.tables import ERRORS, PAGE_VIEWS, SESSIONS
from pulseframes.tables.lake_tables import SETTLED_AT, SETTLED_VIEWS, in_window, is_active
from pulseframes.windows import LOOK_BACK

#: The registered weights, and the weight that the rows of a table have.
WEIGHTS: Final = "_weights"
WEIGHT_OF: Final = {SESSIONS.name: WEIGHT, PAGE_VIEWS.name: VIEW_WEIGHT, ERRORS.name: VIEW_WEIGHT}
NO_WEIGHTS: Final = pl.DataFrame(schema={"session_id": pl.Int64, WEIGHT: pl.Float64, VIEW_WEIGHT: pl.Float64})

#: DuckDB's macros cannot name a column, so the weight is their last argument; ``with_weights()`` adds it.
MACROS: Final = (
    "CREATE TEMP MACRO w_count(w) AS coalesce(sum(w), 0)",
    "CREATE TEMP MACRO w_sum(x, w) AS sum(x::DOUBLE * w)",
    "CREATE TEMP MACRO w_avg(x, w) AS sum(x::DOUBLE * w) / sum(w) FILTER (x IS NOT NULL)",
    # The first value up to which the rows have the share q of all weight. The first element holds that weight, then what was added.
    """
    CREATE TEMP MACRO w_quantile(x, q, w) AS list_reduce(
        list_prepend(
            {'value': NULL::DOUBLE, 'weight': 0.0::DOUBLE, 'wanted': (1 - 1e-12) * q * sum(w) FILTER (x IS NOT NULL)},
            list({'value': x::DOUBLE, 'weight': w::DOUBLE, 'wanted': 0.0::DOUBLE} ORDER BY x)
                FILTER (x IS NOT NULL AND w IS NOT NULL)
        ),
        lambda sofar, row: if(
            sofar.value IS NOT NULL AND sofar.weight >= sofar.wanted,
            sofar,
            {'value': row.value, 'weight': sofar.weight + row.weight, 'wanted': sofar.wanted}
        )
    ).value
    """,
)
#: How many arguments a macro has before the weight.
_ARGUMENTS: Final = {"w_count": 0, "w_sum": 1, "w_avg": 1, "w_quantile": 2}
_TOKEN: Final = re.compile(
    rf"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\b({"|".join(_ARGUMENTS)})\s*\(|[(),[\]{{}}]""",
    re.DOTALL | re.IGNORECASE,
)
_AGGREGATE: Final = re.compile(
    r"\b(?:(?:approx_)?(?:count|quantile)\w*|sum|avg|mean|median|mode|stddev\w*|var\w*|histogram)\s*\(|\bsummarize\b",
    re.IGNORECASE,
)
_DETAILS: Final = re.compile(
    r"\b(?:page_views|errors|satisfaction_rating|ip_country|ip_state|ip_city)\b", re.IGNORECASE
)
_WEIGHTED: Final = re.compile(rf"\bweight\b|\b(?:{'|'.join(_ARGUMENTS)})\s*\(", re.IGNORECASE)
_NATURAL: Final = re.compile(r"\bnatural\b[\w\s]*\bjoin\b", re.IGNORECASE)
#: The lakes of whose sample a user was told, each once in a process.
_TOLD: Final[set[str]] = set()


class _SampledLake(Protocol):
    """What the weights need of a lake."""

    @property
    def location(self) -> str: ...
    def state(self) -> LakeState: ...
    def design(self) -> pl.LazyFrame: ...
    def sessions(self) -> pl.LazyFrame: ...


def weights_of(lake: _SampledLake) -> pl.DataFrame:
    """Return the weights of a lake's last sample: ``session_id``, ``weight`` and ``view_weight``; no rows without a sample."""
    state = lake.state().find_design()
    if state is None or state.window is None:
        return NO_WEIGHTS
    drawn = lake.design().filter(of_design(state.design)).collect()
    columns = dict.fromkeys([*state.design.columns, "session_start", SETTLED_AT, SETTLED_VIEWS])
    sessions = lake.sessions().filter(in_window(state.window), ~is_active(LOOK_BACK)).select(*columns).collect()
    return NO_WEIGHTS if drawn.is_empty() else session_weights(sessions, drawn, state)


def refuse_natural_joins(query: str) -> None:
    """Raise ``InvalidQuery`` if a query joins tables by all columns that they share, which would compare weights."""
    if _NATURAL.search(query):
        raise InvalidQuery(
            "query: a natural join would compare the weights of rows. Name the column, as in page_views JOIN sessions USING (session_id).",
            argument="query",
        )


def with_weights(query: str) -> str:
    """Return a query whose ``w_...()`` have the weight as their last argument, where it was left out."""
    parts, end = list[str](), 0
    open_calls: list[tuple[str, int]] = []  # the macro, or "" for other brackets, and the arguments so far
    for match in _TOKEN.finditer(query):
        part = match[0]
        if match[1] or part in ("(", "[", "{"):
            open_calls.append(((match[1] or "").lower(), 1))
        elif part == "," and open_calls:
            name, count = open_calls.pop()
            open_calls.append((name, count + 1))
        elif part in (")", "]", "}") and open_calls:
            name, count = open_calls.pop()
            given = 0 if query[: match.start()].rstrip().endswith("(") else count
            if name and given == _ARGUMENTS[name]:
                parts += [query[end : match.start()], ", weight" if given else "weight"]
                end = match.start()
    return "".join([*parts, query[end:]])


def warn_of_sample(lake: _SampledLake, query: str) -> None:
    """Warn, once for each lake, of a plain aggregate over details that only some sessions have."""
    if lake.location in _TOLD or _WEIGHTED.search(query) or not (_AGGREGATE.search(query) and _DETAILS.search(query)):
        return
    is_detailed = pl.col("detail_fetched_at").is_not_null()
    total, detailed = lake.sessions().select(pl.len(), is_detailed.sum()).collect().row(0)
    if not 0 < detailed < total:
        return
    _TOLD.add(lake.location)
    if lake.state().find_design() is None:
        advice = "They were not sampled at random, so they say nothing of the others."
    else:
        advice = "w_count(), w_sum(x), w_avg(x) and w_quantile(x, 0.75) estimate all sessions, as estimate() does."
    warn(PulseWarning, f"Plain aggregates describe the {detailed:,} of {total:,} sessions with details. {advice}")
