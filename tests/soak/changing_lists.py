"""Reads lists that change while they are read, in 20,000 histories: ``python -m soak.changing_lists [histories]``."""

from __future__ import annotations

import sys

from fetch.test_list_reader import ReadingMachine
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

if __name__ == "__main__":
    histories = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    run_state_machine_as_test(
        ReadingMachine, settings=settings(max_examples=histories, stateful_step_count=14, deadline=None, database=None)
    )
    sys.stdout.write(f"{histories:,} histories: what was said to be complete was complete\n")
