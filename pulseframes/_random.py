"""Permanent random numbers (Ohlsson 1998): they depend on a seed, a purpose and a session id, and on nothing else.

Every published sample rests on this formula, so it never changes: ``tests/test_random.py`` holds it to fixed values.
"""

from __future__ import annotations

from random import Random
from typing import Final

import polars as pl

_WRAP: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB

#: Part of the formula.
_OFFSET: Final = 1 << 44


class PermanentRandom:
    """The permanent random numbers for one purpose.

    Parameters
    ----------
    seed
        The sample's seed.
    purpose
        What the numbers are for; two purposes have independent numbers.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        self._add = Random(int.from_bytes(purpose.encode(), "big") << 64 | (seed & _WRAP)).getrandbits(64)

    def uniform(self, number: int) -> float:
        """Return a number in [0, 1) for one id, with splitmix64."""
        z = ((number + _OFFSET) * _STEP + self._add) & _WRAP
        z = ((z ^ (z >> 30)) * _FIRST) & _WRAP
        z = ((z ^ (z >> 27)) * _SECOND) & _WRAP
        return float((z ^ (z >> 31)) >> 11) * 2.0**-53

    def uniforms(self, numbers: pl.Series) -> pl.Series:
        """Return what `uniform` does, for each id of an Int64 series."""
        z = (numbers.reinterpret(signed=False) + _OFFSET) * _STEP + self._add
        z = (z ^ (z // (1 << 30))) * _FIRST
        z = (z ^ (z // (1 << 27))) * _SECOND
        return ((z ^ (z // (1 << 31))) // (1 << 11)).cast(pl.Float64) * 2.0**-53
