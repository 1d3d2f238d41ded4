"""A column is declared in one line, and everything else follows from that line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pulseframes
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.tables import LAKE_TABLES, SESSIONS, TABLES

BEFORE = '        text("status", "status",'
NEW_LINE = '        integer("screen_width_px", "screen.width", "Width of the screen.", unit="px", minimum=1),\n'

SCRIPT = """
import json
import sys
import pulseframes as pf
from support.documents import detail_body, search_body, SUMMARY
from pulseframes.endpoints import DETAIL, SEARCH
from pulseframes.flatten import parse_answers
from pulseframes.tables import SESSIONS
from pulseframes.tables.dictionary import entries

def widths(result):
    return result.frames["sessions"]["screen_width_px"].to_list()

bodies = [detail_body(id=number, screen={"width": width}) for number, width in enumerate([1280, 0, "wide"])]
details = parse_answers([*bodies, detail_body(id=3)], DETAIL)
search = parse_answers([search_body(SUMMARY | {"screen": {"width": 640, "height": 480}})], SEARCH)
lake = pf.Lake(sys.argv[1])
lake.write(pf.SessionFrames(**details.frames))
print(json.dumps({
    "empty": str(SESSIONS.empty().schema["screen_width_px"]),
    "flattened": [widths(details), widths(search)],
    "reasons": details.rejected.filter(table="sessions")["reason"].to_list(),
    "unknown": search.drift,
    "pandera": pf.frame_schema("sessions").columns["screen_width_px"].metadata,
    "dictionary": next(entry["json_path"] for entry in entries(SESSIONS) if entry["column"] == "screen_width_px"),
    "parquet": str(lake.sessions().collect_schema()["screen_width_px"]),
    "sql": lake.sql("select max(screen_width_px) from sessions").item(),
}))
"""


def test_a_new_column_needs_one_line(tmp_path: Path) -> None:
    """A copy of the package with one more line knows the column everywhere."""
    package = tmp_path / "pulseframes"
    shutil.copytree(Path(pulseframes.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    module = package / "tables" / "sessions.py"
    declarations = module.read_text(encoding="utf-8")
    assert declarations.count(BEFORE) == 1
    module.write_text(declarations.replace(BEFORE, NEW_LINE + BEFORE), encoding="utf-8")

    code = f"import sys; sys.path[:0] = {[str(tmp_path), str(Path(__file__).parents[1])]!r}\n{SCRIPT}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lake")], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert json.loads(done.stdout) == {
        "empty": "Int64",
        "flattened": [[1280, None], [640]],
        "reasons": [
            "screen_width_px: expected an integer, got a string",
            "screen_width_px: 0 is less than 1",
        ],
        "unknown": ["sessions[].screen.height"],
        "pandera": {"unit": "px", "privacy": "none"},
        "dictionary": "screen.width",
        "parquet": "Int64",
        "sql": 1280,
    }


def test_a_column_is_in_the_answers_of_its_tables_endpoints_unless_it_names_its_own() -> None:
    assert SESSIONS["country"].endpoints == (SEARCH, DETAIL)
    assert SESSIONS["ip_city"].endpoints == (DETAIL,)
    assert SESSIONS["page_view_count"].endpoints == (SEARCH,)
    assert TABLES["errors"]["title"].endpoints == (DETAIL,)
    assert LAKE_TABLES["design"]["weight"].endpoints == ()


def test_a_column_that_is_derived_from_a_list_names_one_of_the_lists() -> None:
    lists = {table.list_key for table in TABLES.values() if table.list_key}
    derived = {column.length_of for table in TABLES.values() for column in table.columns if column.length_of}
    assert derived == {"pageViews"} <= lists
