"""The public interface as plain data, and which changes to it break callers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pulseframes as pf

SNAPSHOT = Path(__file__).parent / "public_api.json"

#: A parameter's kind and whether it has a default; parameters are in their order.
Parameters: TypeAlias = dict[str, list[Any]]
#: For each public name: what it is, its parameters, its members.
Interface: TypeAlias = dict[str, dict[str, Any]]

_BY_POSITION = ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL")
_BY_NAME = ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY", "VAR_KEYWORD")


def interface() -> Interface:
    """Return the public interface as it is now."""
    described = {name: _described(getattr(pf, name)) for name in pf.__all__ if name != "__version__"}
    return described | {f"charts.{name}": _described(getattr(pf.charts, name)) for name in pf.charts.__all__}


def breaks(before: Interface, now: Interface) -> list[str]:
    """Return a sentence for each change that breaks a caller; what was added breaks nobody."""
    return [sentence for name, old in before.items() for sentence in _breaks(name, old, now.get(name))]


def _breaks(name: str, old: dict[str, Any], new: dict[str, Any] | None) -> Iterator[str]:
    if new is None:
        yield f"{name} is gone."
        return
    if old["kind"] != new["kind"]:
        yield f"{name} was a {old['kind']} and is a {new['kind']}."
    yield from _breaks_of_call(name, old["parameters"], new["parameters"])
    for member, parameters in old.get("members", {}).items():
        if member not in new.get("members", {}):
            yield f"{name}.{member} is gone."
        elif parameters is not None:
            yield from _breaks_of_call(f"{name}.{member}", parameters, new["members"][member])


def _breaks_of_call(name: str, old: Parameters | None, new: Parameters | None) -> Iterator[str]:
    if old is None or new is None:
        if old != new:
            yield f"{name} can no longer be called, or only now."
        return
    places = {parameter: place for place, parameter in enumerate(new)}
    for place, (parameter, (kind, has_default)) in enumerate(old.items()):
        if parameter not in new:
            yield f"{name}: the parameter {parameter} is gone."
            continue
        new_kind, still_has_default = new[parameter]
        if has_default and not still_has_default:
            yield f"{name}: the parameter {parameter} has no default any more."
        if kind in _BY_POSITION and (new_kind not in _BY_POSITION or places[parameter] != place):
            yield f"{name}: the parameter {parameter} has lost its position."
        if kind in _BY_NAME and new_kind not in _BY_NAME:
            yield f"{name}: the parameter {parameter} cannot be given by name any more."
    for parameter, (kind, has_default) in new.items():
        if parameter not in old and not has_default and not kind.startswith("VAR_"):
            yield f"{name}: the new parameter {parameter} has no default."


def _described(thing: Any) -> dict[str, Any]:
    if inspect.isclass(thing):
        members = {name: _parameters(member) for name, member in sorted(_members(thing).items())}
        return {"kind": "class", "parameters": _parameters(thing), "members": members}
    return {"kind": "function" if callable(thing) else "module", "parameters": _parameters(thing)}


def _members(cls: type) -> dict[str, Any]:
    ours = [base for base in cls.__mro__ if base.__module__.startswith("pulseframes")]
    names = {name for base in ours for name in (*vars(base), *vars(base).get("__annotations__", {}))}
    return {name: inspect.getattr_static(cls, name, None) for name in names if not name.startswith("_")}


def _parameters(thing: Any) -> Parameters | None:
    function = getattr(thing, "__func__", thing)
    if not callable(function):
        return None
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C: an exception without an __init__ of its own
        return None
    return {p.name: [p.kind.name, p.default is not p.empty] for p in parameters}


def read() -> Interface:
    """Return the interface that callers rely on."""
    snapshot: Interface = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return snapshot


if __name__ == "__main__":
    for sentence in breaks(read(), interface()) if SNAPSHOT.exists() else []:
        print("This breaks callers, and needs a word in the CHANGELOG:", sentence)  # noqa: T201
    rows = [f"{json.dumps(name)}: {json.dumps(described)}" for name, described in sorted(interface().items())]
    SNAPSHOT.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
