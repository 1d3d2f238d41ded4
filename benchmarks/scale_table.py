"""Tables of what many sessions cost, from what one costs (``scale.json``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

#: Sessions in a response to a search, less the one by which pages overlap.
PER_PAGE: Final = 499
#: Calls a day: the usual limit, and one that Raygun has raised a hundredfold.
LIMITS: Final = (50, 5_000)
#: Dollars for an hour of a core and for a month of a gigabyte in object storage: assumptions.
CORE_HOUR: Final = 0.05
GB_MONTH: Final = 0.023
POWERS: Final = range(6, 11)
_CPU: Final = ("journal_cpu", "flatten_cpu", "lake_cpu", "raw_export_cpu")
_STAGES: Final = {
    "response, as received": "response_bytes",
    "in the journal, compressed": "journal_bytes",
    "in the raw export, Parquet": "raw_export_bytes",
    "in the lake, Parquet": "lake_bytes",
    "CPU to keep it in the journal": "journal_cpu",
    "CPU to flatten and validate it": "flatten_cpu",
    "CPU to write it to the lake": "lake_cpu",
    "CPU to export it": "raw_export_cpu",
}


def markdown(found: Mapping[str, Any]) -> str:
    """Return the measured figures per session, and what they come to for many, as tables."""
    text = (
        f"Measured with {found['sessions']:,} sessions of a simulated shop, {found['views']} page views each:\n\n"
        "| per session | summary | details |\n|---|---|---|\n"
    )
    for name, key in _STAGES.items():
        values = (found[kind][key] for kind in ("summary", "detail"))
        text += f"| {name} | {' | '.join(map(_micro if key.endswith('cpu') else _bytes, values))} |\n"
    for kind, title in (("summary", "Summaries of all sessions"), ("detail", "Details of all sessions, in addition")):
        text += (
            f"\n{title}, extrapolated:\n\n"
            f"| sessions | calls | days at {LIMITS[0]} a day | days at {LIMITS[1]:,} a day | journal | lake | core-hours | dollars, once | "
            "dollars a month |\n|---|---|---|---|---|---|---|---|---|\n"
        )
        text += "".join(_row(10**power, power, kind, found[kind]) for power in POWERS)
    return text


def _row(sessions: int, power: int, kind: str, each: Mapping[str, float]) -> str:
    calls = math.ceil(sessions / PER_PAGE) if kind == "summary" else sessions
    hours = sessions * sum(each[name] for name in _CPU) / 3600
    gigabytes = sessions * (each["journal_bytes"] + each["lake_bytes"]) / 1e9
    days = [_number(math.ceil(calls / limit)) for limit in LIMITS]
    kept = [_bytes(sessions * each[name]) for name in ("journal_bytes", "lake_bytes")]
    money = [_number(hours * CORE_HOUR), _number(gigabytes * GB_MONTH)]
    return f"| 10^{power} | {' | '.join([_number(calls), *days, *kept, _number(hours), *money])} |\n"


def _number(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.2f}" if value < 1 else f"{float(f'{value:.2g}'):,.0f}"


def _bytes(value: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if value < 1_000 or unit == "TB":
            break
        value /= 1_000
    return f"{float(f'{value:.3g}'):,g} {unit}"


def _micro(seconds: float) -> str:
    return f"{float(f'{seconds * 1e6:.2g}'):g} µs"
