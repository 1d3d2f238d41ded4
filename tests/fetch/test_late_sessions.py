"""A session has the chances that it really had: those of the draws that could select it, whatever changes later."""

from __future__ import annotations

import math
from collections import Counter
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from support.played_draws import PlayedLake, as_stored, summary

import pulseframes as pf
from pulseframes.sampling.rates import RateWindow

Rows = list[dict[str, Any]]


def of_two_syncs() -> tuple[dict[int, str], Rows, Rows]:
    """Return the kinds of sessions, and what two syncs find: of a first day's end, and of a later time with many more sessions."""
    kinds, first, second, ids = dict[int, str](), Rows(), Rows(), count(1)
    for number in range(120):
        session_id, start, views = next(ids), number / 6, 1 + number * number % 7
        kind = kinds[session_id] = ("ended", "ended", "goes on", "comes late", "grows")[number % 5]
        if kind == "goes on":
            first.append(summary(session_id, start, views, 23.9, ended=False))
        elif kind != "comes late":
            first.append(summary(session_id, start, views, start))
        has_grown = kind in ("goes on", "grows")
        second.append(summary(session_id, start, views * (1 + has_grown), 30 if has_grown else start))
    for number in range(600):
        session_id, start = next(ids), 24 + number / 6
        kinds[session_id] = "starts later"
        second.append(summary(session_id, start, 1 + number * number % 7, start))
    return kinds, first, second


@pytest.mark.parametrize("kind", ["uniform", "pageviews"])
def test_late_sessions_are_drawn_as_often_as_is_said(kind: Any, tmp_path: Path) -> None:
    """With the rate of the first draw for all that started in its time, 0.4 of them were drawn of 10 said."""
    kinds, first, second = of_two_syncs()
    seeds, said, drawn, squares = 40, Counter[str](), Counter[str](), Counter[str]()
    one, two = as_stored(tmp_path / "lake", [(24, first), (140, second)])
    for seed in range(seeds):
        lake = PlayedLake(pf.Design(kind, seed))
        lake.buy(one, 30, (0, 24))
        lake.buy(two, 15, (0, 130))
        chances = lake.chances()
        assert len(lake.drawn) == 45
        for session_id, chance in chances.items():
            said[kinds[session_id]] += chance / seeds
            squares[kinds[session_id]] += chance * (1 - chance) / seeds
        for session_id in lake.drawn["session_id"]:
            drawn[kinds[session_id]] += 1 / seeds
    for name, expected in said.items():
        assert abs(drawn[name] - expected) < 4 * math.sqrt(squares[name] / seeds), name
    assert said["goes on"] < 2
    assert said["comes late"] < 2


#: Of each session: when it starts; its page views; the step in which the lake learns of it; that in which it has ended; that after
#: which it has twice the page views.
SESSIONS_OF_A_SITE = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)),
    min_size=4,
    max_size=25,
)
STEPS = st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=2, max_size=4)


@settings(max_examples=25, deadline=None)
@given(SESSIONS_OF_A_SITE, STEPS, st.sampled_from(["uniform", "pageviews"]), st.integers(0, 99))
def test_a_session_has_the_highest_chance_of_the_draws_that_could_select_it(
    site: list[tuple[int, int, int, int, int]], steps: list[tuple[int, bool]], kind: Any, seed: int
) -> None:
    lake, expected, drawn_by = PlayedLake(pf.Design(kind, seed)), dict[int, float](), dict[int, float]()
    history = [
        (
            50 + step,
            [
                summary(
                    number,
                    start,
                    views * (1 + (step > grows)),
                    49.5 + min(step, ends) + (step > grows) / 4,
                    ended=step >= ends,
                )
                for number, (start, views, learnt, ends, grows) in enumerate(site)
                if learnt <= step
            ],
        )
        for step in range(len(steps))
    ]
    with TemporaryDirectory() as folder:
        stored = as_stored(Path(folder) / "lake", history)
    for step, (rows, (details, slides)) in enumerate(zip(stored, steps, strict=True)):
        window = (10.0 * step if slides else 0.0, 20.0 + 10 * step)
        before = {*lake.drawn["session_id"]}
        lake.buy(rows, details, window)
        now = {*lake.drawn["session_id"]}
        assert before <= now
        if now == before:
            continue
        rates = lake.designs().rate_windows[-1].rates
        for number, (start, views, learnt, ends, grows) in enumerate(site):
            if learnt <= step >= ends and window[0] <= start < window[1]:
                settled = views * (1 + (max(learnt, ends) > grows))
                chance = min(1.0, (1 if kind == "uniform" else settled) * rates[""])
                expected[number] = max(expected.get(number, 0.0), chance)
        assert now <= {*expected}
        chances = lake.chances()
        assert {number: chances[number] for number in expected} == pytest.approx(expected)
        assert all(chances[number] >= chance - 1e-9 for number, chance in drawn_by.items())
        drawn_by = dict(lake.drawn.select("session_id", "inclusion_probability").iter_rows())


def test_details_of_one_design_do_not_change_the_sizes_of_another(tmp_path: Path) -> None:
    """Both draw by the same random numbers: a size that details have raised would be that of a session with a small one."""
    [rows] = as_stored(tmp_path / "lake", [(50, [summary(number, 0, 2, 1) for number in range(40)])])
    lake = PlayedLake(pf.Design("uniform"))
    lake.listed = dict.fromkeys(range(40), 9)
    lake.buy(rows, 10, (0, 20))
    lake.design_used = pf.Design("pageviews")
    lake.buy(rows, 10, (0, 20))
    assert len(lake.drawn.filter(design="pageviews")) == 20
    assert lake.drawn["page_view_count"].unique().to_list() == [2]
    assert [*lake.chances().values()] == pytest.approx([0.5] * 40)


def test_rates_of_a_lake_that_did_not_record_when_they_were_drawn_hold_for_all_of_their_window(tmp_path: Path) -> None:
    _, first, second = of_two_syncs()
    one, two = as_stored(tmp_path / "lake", [(24, first), (140, second)])
    lake = PlayedLake(pf.Design("uniform"))
    lake.buy(one, 30, (0, 24))
    [drawn] = lake.designs().rate_windows
    assert drawn.as_of is not None
    lake.designs().rate_windows = [RateWindow(drawn.window, drawn.rates)]
    lake.rows = two
    assert set(lake.chances().values()) == {drawn.rates[""]}
