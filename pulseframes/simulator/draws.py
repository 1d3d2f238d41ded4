"""Random draws that depend on nothing but a seed, a purpose and a number, on every machine and version."""

from __future__ import annotations

import math
from random import Random
from statistics import NormalDist
from typing import Final

import polars as pl

_WRAP: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB

_NORMAL: Final = NormalDist()

#: Added to every number, so that negative ones (visitors from before the history) can be drawn for too.
_OFFSET: Final = 1 << 44


class Draws:
    """The draws for one purpose.

    Parameters
    ----------
    seed
        The population's seed.
    purpose
        What is drawn; two purposes have nothing to do with each other.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        self._add = Random(int.from_bytes(purpose.encode(), "big") << 64 | (seed & _WRAP)).getrandbits(64)

    def uniform(self, number: int) -> float:
        """Draw from [0, 1) for one number, with splitmix64."""
        z = ((number + _OFFSET) * _STEP + self._add) & _WRAP
        z = ((z ^ (z >> 30)) * _FIRST) & _WRAP
        z = ((z ^ (z >> 27)) * _SECOND) & _WRAP
        return float((z ^ (z >> 31)) >> 11) * 2.0**-53

    def uniforms(self, numbers: pl.Series) -> pl.Series:
        """Draw as `uniform` does, for each of many Int64 numbers at once."""
        z = (numbers.reinterpret(signed=False) + _OFFSET) * _STEP + self._add
        z = (z ^ (z // (1 << 30))) * _FIRST
        z = (z ^ (z // (1 << 27))) * _SECOND
        return ((z ^ (z // (1 << 31))) // (1 << 11)).cast(pl.Float64) * 2.0**-53

    def random(self, number: int) -> Random:
        """Make a generator of many draws for one number.

        Only its ``random()`` should be used: the other methods may change between versions of Python.
        """
        return Random(self._add << 64 | (number + _OFFSET))


def whole(rng: Random, below: int) -> int:
    """Draw a whole number from 0 to `below` - 1."""
    return int(rng.random() * below)


def lognormal(rng: Random, median: float, spread: float) -> float:
    """Draw from a log-normal distribution; `spread` is the standard deviation of the logarithm."""
    # The inverse of the distribution has no value at 0, which is as likely as any other draw.
    return median * math.exp(spread * _NORMAL.inv_cdf(rng.random() or 0.5))
