"""A process that publishes, which tests kill: each task is done in a child, which can be killed at once and costs no imports.

A task is one line of JSON: ``lake``, and the other ``arguments`` of ``publish()``. The answer is the child's id, then how it ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pulseframes as pf


@contextmanager
def running() -> Iterator[subprocess.Popen[str]]:
    """Start the process, and wait until it is ready."""
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert answer(process) == "ready"
            yield process
        finally:
            process.kill()


def give(process: subprocess.Popen[str], lake: str, **arguments: Any) -> int:
    """Give it a task, and return the child's id."""
    assert process.stdin is not None
    process.stdin.write(json.dumps({"lake": lake, "arguments": arguments}) + "\n")
    process.stdin.flush()
    return int(answer(process))


def answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def _tell(told: object) -> None:
    print(json.dumps(told), flush=True)  # noqa: T201  the test reads it


if __name__ == "__main__":
    import_module("pulseframes.publishing.publish")._ROWS = 1  # a commit for each day
    for name in ("deltalake", "pyiceberg.catalog.sql", "pyiceberg.io.pyarrow", "pulseframes.publishing.iceberg"):
        import_module(name)
    _tell("ready")
    for line in sys.stdin:
        task = json.loads(line)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            _tell(os.getpid())
            pf.publish(task["lake"], **task["arguments"])
            os._exit(0)
        _tell(os.waitpid(child, 0)[1])
