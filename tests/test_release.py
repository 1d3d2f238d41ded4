"""The files that a release is made with: they agree with the project, and build the same archives everywhere."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import pulseframes as pf

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: Where conda-forge's name is another than PyPI's.
CONDA_NAMES = {"pandera[polars]": "pandera-polars", "duckdb": "python-duckdb"}


def build(source: Path, target: Path) -> dict[str, str]:
    """Build an sdist and a wheel; return their hashes."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("dist")
    return folder, build(ROOT, folder)


def test_the_sdist_builds_the_same_sdist_and_wheel_again(dist: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, hashes = dist
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        # Python 3.11 has filters since 3.11.4, and 3.12 warns of an archive that is unpacked without one.
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # type: ignore[arg-type]  # a filter
    (unpacked,) = tmp_path.iterdir()
    assert build(unpacked, tmp_path / "again") == hashes


def test_the_wheel_holds_the_whole_package_and_nothing_else(dist: tuple[Path, dict[str, str]]) -> None:
    with zipfile.ZipFile(next(dist[0].glob("*.whl"))) as archive:
        names = archive.namelist()
    assert "pulseframes/py.typed" in names
    shipped = {name for name in names if name.startswith("pulseframes/") and name.endswith((".py", ".pyi"))}
    package = (path for path in (ROOT / "pulseframes").rglob("*.py*") if path.suffix != ".pyc")
    assert shipped == {str(path.relative_to(ROOT)) for path in package}
    assert {name.split("/")[0] for name in names} == {"pulseframes", f"pulseframes-{pf.__version__}.dist-info"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_its_actions_and_grants_each_job_only_what_it_needs(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert len(re.findall(r"uses: [\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", text, re.MULTILINE)) == text.count("uses:")
    parsed = yaml.safe_load(text)
    assert parsed["permissions"] == {}
    granted = {name: job["permissions"] for name, job in parsed["jobs"].items()}
    assert granted == {"build": {"contents": "read"}, "publish": {"id-token": "write"}}
    assert "secrets." not in text


def test_the_conda_recipe_has_the_version_and_the_dependencies_of_the_project() -> None:
    recipe: dict[str, Any] = yaml.safe_load((ROOT / ".ci" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    context, requirements = recipe["context"], recipe["requirements"]
    assert context["version"] == pf.__version__
    assert f">={context['python_min']}" == PROJECT["requires-python"]
    assert requirements["run"][1:] == [_conda(dependency) for dependency in PROJECT["dependencies"]]
    optional = {_conda(line) for extra in PROJECT["optional-dependencies"].values() for line in extra}
    assert set(requirements["run_constraints"]) <= optional
    (script,) = recipe["build"]["python"]["entry_points"]
    assert script == f"pulseframes = {PROJECT['scripts']['pulseframes']}"


def _conda(dependency: str) -> str:
    name, _, bounds = dependency.partition(">=")
    return f"{CONDA_NAMES.get(name, name)} >={bounds}"
