"""What a session costs at each stage, measured on this machine, and what many sessions would cost.

``docs/explanation/scale.md`` has the table that ``scale_table.py`` makes of the figures, ``scale.json``.

Usage: python benchmarks/scale.py [SESSIONS]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import documents
import measure
import workloads

import pulseframes as pf
from pulseframes.client import JOURNAL_FILE
from pulseframes.endpoints import DETAIL, SEARCH, Endpoint
from pulseframes.flatten import parse_answers

RESULTS: Final = Path(__file__).with_name("scale.json")
SESSIONS: Final = 20_000


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def stage(endpoint: Endpoint, bodies: list[bytes], sessions: int) -> dict[str, float]:
    """Return bytes and seconds of CPU per session of responses of one endpoint, from the journal to a lake, and of the raw export."""
    with tempfile.TemporaryDirectory() as place:
        home, lake, raw = (Path(place) / name for name in ("home", "lake", "raw"))
        home.mkdir()
        _, _, kept = measure.timed(lambda: workloads.fill_journal(home / JOURNAL_FILE, bodies, endpoint))
        parsed, _, flattened = measure.timed(lambda: parse_answers(bodies, endpoint))
        frames = pf.SessionFrames(**parsed.frames) if endpoint is DETAIL else parsed.frames["sessions"]
        _, _, written = measure.timed(lambda: pf.Lake(lake).write(frames))
        _, _, exported = measure.timed(lambda: pf.export_raw(raw, settings=pf.Settings(home=str(home))))
        found = {
            "response_bytes": sum(map(len, bodies)),
            "journal_bytes": size_of(home),
            "raw_export_bytes": size_of(raw),
            "lake_bytes": size_of(lake),
            "journal_cpu": kept,
            "flatten_cpu": flattened,
            "lake_cpu": written,
            "raw_export_cpu": exported,
        }
    return {name: float(f"{value / sessions:.3g}") for name, value in found.items()}


def main(sessions: int) -> None:
    views = len(parse_answers(documents.details(sessions), DETAIL).frames["page_views"])
    found: dict[str, Any] = {
        "sessions": sessions,
        "views": round(views / sessions, 1),
        "summary": stage(SEARCH, documents.summaries(sessions), sessions),
        "detail": stage(DETAIL, documents.details(sessions), sessions),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS)
