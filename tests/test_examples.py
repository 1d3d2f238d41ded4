"""The examples in the docstrings run, against a simulator and a lake."""

from __future__ import annotations

import doctest
import inspect
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from conftest import NOW, set_environment
from generate import API, DLT, SIMULATOR

import pulseframes as pf
from pulseframes import dlt, simulator
from pulseframes.simulator import Simulator


def _documented() -> Iterator[tuple[str, object]]:
    """Each public function and class, and each public member of our own classes."""
    names = [(name, getattr(pf, name)) for name in pf.__all__ if name != "__version__"]
    names += [(f"charts.{name}", getattr(pf.charts, name)) for name in pf.charts.__all__]
    names += [(f"simulator.{name}", getattr(simulator, name)) for name in simulator.__all__]
    names += [(f"dlt.{name}", getattr(dlt, name)) for name in dlt.__all__]
    for name, thing in names:
        yield name, thing
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
                    yield f"{name}.{member}", getattr(thing, member)


DOCUMENTED = dict(_documented())
EXAMPLES = {
    name: example
    for name, thing in DOCUMENTED.items()
    if (example := doctest.DocTestParser().get_doctest(inspect.getdoc(thing) or "", {}, name, None, None)).examples
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder that has a lake, and the environment of a simulator."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch, Simulator(sessions=2_000, now=NOW, daily_limit=None) as simulator:
        set_environment(patch, simulator)
        patch.setenv("PULSEFRAMES_DAILY_LIMIT", "10000")
        patch.setenv("PULSEFRAMES_HOME", str(folder / "home"))
        pf.sync(folder / "lake", "2026-11-09", "2026-11-16", details=60, design="pageviews")
        yield folder, {name: value for name, value in os.environ.items() if name.startswith("PULSEFRAMES_")}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(name: str, world: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, environment = world
    monkeypatch.chdir(folder)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    example = EXAMPLES[name]
    example.globs = {"pf": pf, "pl": pl, "datetime": datetime, "UTC": UTC, "Simulator": Simulator}
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


def test_each_name_and_member_of_the_reference_has_an_example() -> None:
    pages = [*API.values(), {f"charts.{name}": () for name in pf.charts.__all__}]
    pages.append({f"simulator.{name}": members for name, members in SIMULATOR.items()})
    pages.append({f"dlt.{name}": members for name, members in DLT.items()})
    named = [
        name
        for page in pages
        for item, members in page.items()
        for name in (item, *(f"{item}.{member}" for member in members))
    ]
    assert [name for name in named if name not in EXAMPLES] == []
