"""Values of a wrong type: each is refused by its argument's name, before a call is spent."""

from __future__ import annotations

import inspect
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from charts.test_charts import FRAMES
from conftest import NOW, Clock, client_of, set_environment

import pulseframes as pf
from pulseframes.simulator import Simulator

WEEK = ("2026-11-09", "2026-11-16")
#: Values that few arguments take.
WRONG: list[Any] = [5, -1.5, object(), [], [object()], "", b"x"]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(sessions=300, now=NOW, daily_limit=None) as running:
        yield running


@pytest.fixture(scope="module")
def made(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a sample."""
    folder = tmp_path_factory.mktemp("made")
    with client_of(simulator, changes={"home": folder / "home"}, clock=Clock()) as client:
        pf.sync(folder / "lake", *WEEK, details=30, design="pageviews", client=client)
    return folder


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: Path, simulator: Simulator) -> None:
    for folder in ("lake", "home"):
        shutil.copytree(made / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    set_environment(monkeypatch, simulator)


def good_arguments() -> dict[str, dict[str, Any]]:
    """Return valid arguments of each public function and class that a user calls; a chart's frame as a function that makes it."""
    lake, source = {"lake": "lake"}, {"source": "lake"}
    sessions = pf.Lake("lake").sessions().drop("date").collect()
    window = {"date_from": WEEK[0], "date_to": WEEK[1]}
    halves = {"segments": ["country = 'NZ'", "country <> 'NZ'"]}
    return {
        "search_sessions": window,
        "session_details": {"ids": 5},
        "sync": lake | window,
        "plan": lake | window,
        "estimate": source | {"measures": "count()"},
        "plan_precision": source,
        "choose_details": {"sessions": sessions, "calls": 5},
        "compare": source | {"measures": "count()"} | halves,
        **dict.fromkeys(("features", "page_speed", "apdex", "traffic", "landings", "paths"), source),
        **dict.fromkeys(("satisfaction", "error_impact"), source),
        "page_template": {},
        **{f"scan_{table}": {} for table in ("sessions", "page_views", "errors")},
        "cost": {"query": pf.scan_sessions(date_from="7d"), "probe": False},
        "quota": {},
        "report": lake,
        "forget": {"lake": None, "user": "nobody"},
        "export_raw": {"destination": "raw", "settings": pf.Settings(home="home")},
        "retain": {"lake": None, "days": 300},
        "publish": lake | {"destination": "published", "format": "delta"},
        "certificate": {"result": sessions},
        "frame_schema": {"name": "sessions"},
        "Lake": {"path": "lake"},
        "PulseClient": {},
        "Settings": {},
        "Credentials": {"api_key": "a", "client_id": "b", "client_secret": "c"},
        "Design": {},
        "PrivacyPolicy": {},
        **{f"charts.{name}": {"frame": frame} for name, frame in FRAMES.items()},
    }


def named(name: str) -> Callable[..., Any]:
    thing: Any = pf
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing  # type: ignore[no-any-return]  # a function or a class


def is_called_by_users(name: str) -> bool:
    thing = getattr(pf, name)
    return inspect.isfunction(thing) or name in {
        *("Lake", "PulseClient", "Settings", "Credentials", "Design", "PrivacyPolicy"),
    }


def test_every_public_function_is_tried() -> None:
    public = {name for name in pf.__all__ if is_called_by_users(name)} | {
        f"charts.{name}" for name in pf.charts.__all__
    }
    assert public == {*good_arguments()}


def right_values(name: str, argument: str) -> list[Any]:
    """Return those of the wrong values that this argument does take."""
    if argument == "ids":
        return [5, []]  # a session, and none
    if name in {"search_sessions", "sync", "plan"} and argument in {"skip", "limit", "details"}:
        return [5]
    return []


def complaint(function: Callable[..., Any], arguments: dict[str, Any]) -> Exception | None:
    """Call a function, and return what it raises of the kinds that it may."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(**arguments)
    except (pf.PulseError, TypeError, ValueError) as problem:
        return problem
    return None


@pytest.mark.parametrize(
    "name", [*filter(is_called_by_users, pf.__all__), *(f"charts.{name}" for name in pf.charts.__all__)]
)
def test_a_value_of_a_wrong_type_is_refused_by_name_before_a_call_is_spent(name: str, simulator: Simulator) -> None:
    function, good = named(name), good_arguments()[name]
    if name.startswith("charts."):
        good["frame"] = good["frame"]()
    before = len(simulator.requests)
    for argument in inspect.signature(function).parameters:
        for value in WRONG:
            if value in right_values(name, argument):
                continue
            problem = complaint(function, good | {argument: value})
            is_named = argument in str(problem) or getattr(problem, "argument", None) == argument
            assert problem is None or is_named, f"{name}({argument}={value!r}): {problem}"
    assert len(simulator.requests) == before


@pytest.mark.parametrize(("name", "meant"), [("serch_sessions", "search_sessions"), ("Desing", "Design")])
def test_a_misspelt_name_is_corrected(name: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'. Did you mean '{meant}'?"):
        getattr(pf, name)
