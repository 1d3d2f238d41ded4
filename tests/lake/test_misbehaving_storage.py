"""A file system that fails at any step: an operation raises LakeError and leaves the lake as it was, or does all of its work."""

from __future__ import annotations

import errno
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings, strategies as st

import pulseframes as pf
from lake.test_lake import START, detail_of, session_rows

#: What a lake does with files, by way of Python.
CALLS = [(os, name) for name in ("scandir", "listdir", "open", "mkdir", "replace", "unlink", "rmdir", "fsync")]
#: ENOENT is the one error that says something: there is no such file.
ERRORS = [errno.ESTALE, errno.EIO, errno.EACCES, errno.EMFILE, errno.ENOSPC, errno.ENOTDIR, errno.EROFS]

Rows: TypeAlias = dict[str, list[tuple[Any, ...]]]


@contextmanager
def failing(lake: pf.Lake, failures: dict[int, int]) -> Iterator[None]:
    """Let the n-th step in a lake fail."""
    steps = count()

    def wrapped(really: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            inside = isinstance(args[0], int) or lake.location in os.fspath(args[0])
            number = failures.get(next(steps)) if inside else None
            if number is not None:
                raise OSError(number, os.strerror(number), str(args[0]))
            return really(*args, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for module, name in [*CALLS, (io, "open")]:
            patch.setattr(module, name, wrapped(getattr(module, name)))
        yield


def contents(lake: pf.Lake) -> Rows:
    scans = {name: getattr(lake, name)() for name in ("sessions", "page_views", "errors")}
    return {name: sorted(scan.collect().rows(), key=repr) for name, scan in scans.items()}


def moved_and_more(lake: pf.Lake) -> None:
    """Move a session to another day, which takes its page views, and change and add others."""
    later = {"session_start": START + timedelta(days=1), "session_updated": START + timedelta(days=2)}
    lake.write(session_rows({"session_id": 1} | later, {"session_id": 2} | later, {"session_id": 9}), fetched_at=START)


def forget_jane(lake: pf.Lake) -> None:
    pf.forget(lake, "jane@example.com", settings=pf.Settings(home=":memory:"))


OPERATIONS = {"write": moved_and_more, "forget": forget_jane}

schedules = st.dictionaries(st.integers(0, 50), st.sampled_from(ERRORS), min_size=1, max_size=3)


def filled(path: Path) -> pf.Lake:
    lake = pf.Lake(path)
    jane = {"session_id": 1, "user_identifier": "jane@example.com"}
    lake.write(detail_of(jane, ["/a", "/b"], ["x"]), fetched_at=START)
    later = {"session_id": 3, "session_start": START + timedelta(days=4)}
    lake.write(session_rows({"session_id": 2}, later), fetched_at=START)
    return lake


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_write_is_done_or_raises_and_is_not(operation: Callable[[pf.Lake], None], tmp_path: Path) -> None:
    before = contents(filled(tmp_path / "before"))
    shutil.copytree(tmp_path / "before", tmp_path / "whole")
    operation(pf.Lake(tmp_path / "whole"))
    whole = contents(pf.Lake(tmp_path / "whole"))
    assert whole != before

    @settings(max_examples=20)
    @given(failures=schedules)
    def attempt(failures: dict[int, int]) -> None:
        lake = pf.Lake(tmp_path / secrets.token_hex(8))
        shutil.copytree(tmp_path / "before", lake.location)
        is_done = True
        with failing(lake, failures):
            try:
                operation(lake)
            except pf.LakeError:
                is_done = False
        with lake.locked():
            pass  # the next writer finishes or undoes what was begun
        after = contents(lake)
        assert after == whole if is_done else after in (before, whole)
        assert not [*Path(lake.location).rglob("*.part")]

    attempt()


def test_a_reader_has_all_rows_or_a_lake_error(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    before = contents(lake)

    @settings(max_examples=30)
    @given(failures=schedules)
    def attempt(failures: dict[int, int]) -> None:
        with failing(lake, failures), suppress(pf.LakeError):
            assert contents(lake) == before

    attempt()


def test_a_day_that_cannot_be_listed_for_a_moment_is_not_empty(tmp_path: Path) -> None:
    lake = filled(tmp_path / "lake")
    before = contents(lake)
    really = os.scandir

    def stale(path: Any = ".") -> Any:
        if str(path).endswith("date=2026-11-01"):
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return really(path)

    uses: list[Callable[[], object]] = [
        lambda: lake.sessions().collect(),
        lambda: lake.sql("FROM sessions"),
        lambda: lake.write(session_rows({"session_id": 3})),
        lambda: forget_jane(lake),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", stale)
        for use in uses:
            with pytest.raises(pf.LakeError, match="Stale file handle. Check the path"):
                use()
    assert contents(lake) == before
