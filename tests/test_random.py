"""The sampler's permanent random numbers: published samples rest on them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, strategies as st

from pulseframes._random import PermanentRandom

#: Fixed for ever. A change here changes every sample that anybody has drawn.
VECTOR = [
    (0, "details", 0, 0.3749349806461504),
    (0, "details", 1, 0.3576192150896741),
    (0, "details", 1234567890, 0.5933000317414504),
    (0, "details", 2326153017553092389, 0.26924056203168245),
    (0, "details", 9223372036854775807, 0.9591080166351849),
    (0, "stratum", 0, 0.11839045285728622),
    (0, "stratum", 1, 0.9473208588709728),
    (0, "stratum", 1234567890, 0.24534099044390578),
    (0, "stratum", 2326153017553092389, 0.6562232131840408),
    (0, "stratum", 9223372036854775807, 0.9317609230042984),
    (1, "details", 0, 0.5657743911041139),
    (1, "details", 1, 0.5527557857170682),
    (1, "details", 1234567890, 0.6223623097415748),
    (1, "details", 2326153017553092389, 0.5207278434380174),
    (1, "details", 9223372036854775807, 0.2122049217748142),
    (1, "stratum", 0, 0.22646140874505105),
    (1, "stratum", 1, 0.32582800782899635),
    (1, "stratum", 1234567890, 0.9722144655086535),
    (1, "stratum", 2326153017553092389, 0.054921380878639736),
    (1, "stratum", 9223372036854775807, 0.023198335577282125),
    (20261101, "details", 0, 0.24915145930568738),
    (20261101, "details", 1, 0.1318462603092747),
    (20261101, "details", 1234567890, 0.17827581750120214),
    (20261101, "details", 2326153017553092389, 0.6130370505347286),
    (20261101, "details", 9223372036854775807, 0.7404865418647256),
    (20261101, "stratum", 0, 0.09241231430859775),
    (20261101, "stratum", 1, 0.10389297847741563),
    (20261101, "stratum", 1234567890, 0.9263053646115131),
    (20261101, "stratum", 2326153017553092389, 0.7723518413186053),
    (20261101, "stratum", 9223372036854775807, 0.3708903005277351),
]


@pytest.mark.parametrize(("seed", "purpose", "session_id", "value"), VECTOR)
def test_the_numbers_never_change(seed: int, purpose: str, session_id: int, value: float) -> None:
    assert PermanentRandom(seed, purpose).uniform(session_id) == value
    assert PermanentRandom(seed, purpose).uniforms(pl.Series([session_id], dtype=pl.Int64)).to_list() == [value]


@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 2**63 - 1), min_size=1))
def test_a_series_of_ids_gives_the_number_of_each(seed: int, ids: list[int]) -> None:
    numbers = PermanentRandom(seed, "details")
    assert numbers.uniforms(pl.Series(ids, dtype=pl.Int64)).to_list() == [numbers.uniform(one) for one in ids]
