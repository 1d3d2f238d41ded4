"""What is installed: a light import, and lock files that name no host."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent

HEAVY = ("polars", "pyarrow", "pandera", "pandas", "requests", "urllib3", "typer", "rich")


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import pulseframes") & set(HEAVY)


def test_help_loads_neither_polars_nor_pandera() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--help']\nfrom pulseframes.cli import main\ntry: main()\nexcept SystemExit: pass"
    )
    assert not loaded_after(code) & {"polars", "pyarrow", "pandera", "requests"}


def test_pandera_is_loaded_for_a_schema_and_not_to_check_valid_rows() -> None:
    assert "pandera" not in loaded_after("import pulseframes as pf; pf.session_details([])")
    assert "pandera" in loaded_after("import pulseframes as pf; pf.frame_schema('sessions')")


def test_the_lock_files_name_no_host_and_pin_everything_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {re.split(r"[<>=\[ ]", name)[0] for name in project["project"]["dependencies"]}
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text
        assert "index" not in text
        pins = re.findall(r"^([\w.-]+)==[^ ]+ (?:; .*)?\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^\S", text, re.MULTILINE))
        assert wanted <= set(pins)
