"""The public interface changes with notice only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import pulseframes as pf
from contracts import public_api


def test_no_change_breaks_a_caller() -> None:
    assert public_api.breaks(public_api.read(), public_api.interface()) == []


def test_the_snapshot_of_the_interface_is_complete() -> None:
    added = public_api.interface().keys() - public_api.read().keys()
    assert not added, "run `make contracts`, so that the new names are kept from now on"


def before(a: int, b: int = 0, *, c: int = 0) -> None: ...


def reordered(b: int, a: int = 0, *, c: int = 0) -> None: ...
def without_c(a: int, b: int = 0) -> None: ...
def without_a_default(a: int, b: int, *, c: int = 0) -> None: ...
def by_name_only(a: int, *, b: int = 0, c: int = 0) -> None: ...
def with_a_new_duty(a: int, b: int = 0, *, c: int = 0, d: int) -> None: ...
def with_an_option(a: int, b: int = 0, *, c: int = 1, d: int = 0) -> None: ...
def with_one_more(a: int, b: int = 0, c: int = 0, **others: int) -> None: ...


@pytest.mark.parametrize("after", [reordered, without_c, without_a_default, by_name_only, with_a_new_duty])
def test_a_changed_signature_is_reported(after: Callable[..., None]) -> None:
    described = [{"f": public_api._described(function)} for function in (before, after)]
    assert public_api.breaks(*described)


@pytest.mark.parametrize("after", [before, with_an_option, with_one_more])
def test_an_addition_breaks_nobody(after: Callable[..., None]) -> None:
    described = [{"f": public_api._described(function)} for function in (before, after)]
    assert public_api.breaks(*described) == []


def test_a_name_or_a_member_that_is_gone_is_reported() -> None:
    interface = public_api.interface()
    without_lake = {name: described for name, described in interface.items() if name != "Lake"}
    members = {name: member for name, member in interface["Lake"]["members"].items() if name != "sql"}
    without_sql = interface | {"Lake": interface["Lake"] | {"members": members}}
    assert public_api.breaks(interface, without_lake) == ["Lake is gone."]
    assert public_api.breaks(interface, without_sql) == ["Lake.sql is gone."]


def test_no_module_at_the_root_hides_a_public_name() -> None:
    root = Path(pf.__file__).parent
    modules = {path.stem for path in root.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules & set(pf.__all__) == {"charts"}  # public as a module
