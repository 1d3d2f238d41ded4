"""The check of speeds compares ratios rightly, and the table says what the figures say. Nothing is timed."""

from __future__ import annotations

from typing import Any

import pytest
from table import ahead, markdown
from targets import MOSTS, RATIOS, Ratio, figure_of, lasting, ratio_of, verdicts
from workloads import WORKLOADS

RATIO = Ratio("details", "pulseframes", ("DuckDB", "polars"))


def results(ours: list[float], theirs: list[float], polars: list[float] | None = None) -> dict[str, Any]:
    """Make the results of a run, in which CPU time is twice the time."""
    seconds = {"pulseframes": ours, "DuckDB": theirs, "polars": polars or [9.0]}
    ways = {
        name: {"seconds": values, "cpu": [2 * value for value in values], "units": 10, "does": "x", "rows": [1, 2, 3]}
        for name, values in seconds.items()
    }
    return {
        "machine": {"system": "Linux", "architecture": "x86_64", "cores": 2, "memory_gb": 8},
        "versions": {"Python": "3.11"},
        "workloads": {"details": {"what": "some details", "ways": ways}},
    }


def test_a_ratio_is_the_median_over_rounds_that_ran_in_turn() -> None:
    # In the last round the machine was busy: both took ten times as long.
    assert ratio_of(results([1, 1, 10], [2, 2, 20]), RATIO) == 0.5
    assert ratio_of(results([1, 1, 1], [2, 4]), RATIO) == pytest.approx(1 / 3)  # other numbers of rounds


def test_the_check_takes_the_fastest_rounds_for_time_since_other_programs_only_lengthen_them() -> None:
    (by_time, by_cpu) = verdicts(results([1, 1, 1], [2, 2, 2]), results([9, 1, 8], [2, 8, 9]), [RATIO])
    assert (by_time.clock, by_time.now) == ("seconds", 0.5)
    assert (by_cpu.clock, by_cpu.now) == ("cpu", pytest.approx(8 / 9))


def test_of_several_others_the_fastest_is_the_measure() -> None:
    assert ratio_of(results([1.0], [2.0], polars=[0.5]), RATIO) == 2


def test_a_way_that_was_not_run_or_stopped_has_no_ratio() -> None:
    assert ratio_of({}, RATIO) is None
    assert ratio_of(results([], [2.0]), RATIO) is None
    assert verdicts(results([], [2.0]), results([1.0], [2.0]), [RATIO]) == []


def test_a_machine_that_is_slower_as_a_whole_is_no_regression() -> None:
    found = verdicts(results([1.0], [2.0]), results([1.7], [3.4]), [RATIO])
    assert {verdict.clock for verdict in found} == {"seconds", "cpu"}
    assert not any(verdict.regressed() for verdict in found)


@pytest.mark.parametrize(("now", "slower"), [(1.25, set()), (1.4, {"cpu"}), (1.6, {"cpu", "seconds"})])
def test_cpu_time_has_less_tolerance_than_time(now: float, slower: set[str]) -> None:
    found = verdicts(results([1.0], [2.0]), results([now], [2.0]), [RATIO])
    assert {verdict.clock for verdict in found if verdict.regressed()} == slower


def test_only_what_is_slower_in_every_attempt_lasts() -> None:
    fast, slow = (verdicts(results([1.0], [2.0]), results([now], [2.0]), [RATIO]) for now in (1.0, 3.0))
    assert lasting([slow]) == slow
    assert lasting([slow, slow, slow]) == slow
    assert lasting([slow, slow, fast]) == []
    assert lasting([fast]) == []
    assert "3.00 times as much" in str(lasting([slow])[0])


def test_a_ratio_that_is_not_guarded_is_not_checked() -> None:
    ratio = Ratio("details", "pulseframes", ("DuckDB",), guarded=())
    assert verdicts(results([1.0], [2.0]), results([9.0], [2.0]), [ratio]) == []


def test_targets_and_ratios_name_workloads() -> None:
    assert {target.workload for target in (*RATIOS, *MOSTS)} <= WORKLOADS.keys() | {"concurrency"}


def test_the_table_has_each_way_and_says_which_targets_are_missed_and_who_is_ahead() -> None:
    text = markdown(results([1.0], [2.0]))
    assert (
        "| details | pulseframes, against DuckDB | 2 times as fast | 2 times as fast | 2.5 times as fast | missed |"
        in text
    )
    assert "| DuckDB | 2.000 s | 4.000 s | 2.00 | 1 + 2 + 3 | x |" in text
    assert "met |" in markdown(results([1.0], [2.5]))
    assert ahead(results([1.0], [0.5])).endswith("- details: DuckDB is 2.00 times as fast (x).")
    assert ahead(results([1.0], [2.0])) == ""


def test_a_figure_for_each_unit_is_cpu_time() -> None:
    (most,) = (most for most in MOSTS if most.figure == "cpu_ms_each")
    way = {"seconds": [9.0], "cpu": [0.45], "units": 45}
    assert figure_of({"workloads": {most.workload: {"ways": {most.way: way}}}}, most) == pytest.approx(10)
