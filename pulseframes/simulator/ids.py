"""Big ids that can be turned back into the small numbers they stand for."""

from __future__ import annotations

from typing import Final

from pulseframes.simulator.draws import Draws

#: Ids lie in [2**61, 2**62): far above 2**53, where a float would change them.
_BASE: Final = 1 << 61
#: More than half the bits, so that folding twice changes nothing.
_FOLD: Final = 31
#: Room for negative numbers.
_OFFSET: Final = 1 << 44


class Ids:
    """One kind of id.

    Parameters
    ----------
    seed
        The population's seed.
    kind
        What the ids are for; the ids of two kinds do not look alike.
    """

    def __init__(self, seed: int, kind: str) -> None:
        rng = Draws(seed, f"id of {kind}").random(0)
        self._factor = int(rng.random() * _BASE) | 1
        self._shift = int(rng.random() * _BASE)
        self._inverse = pow(self._factor, -1, _BASE)

    def of(self, number: int) -> int:
        """Return the id of a number."""
        mixed = ((number + _OFFSET) * self._factor + self._shift) % _BASE
        # Multiplied, folded and multiplied again, so that neighbours look unrelated; each step can be undone.
        return _BASE + (mixed ^ mixed >> _FOLD) * self._factor % _BASE

    def number(self, identity: int) -> int:
        """Return the number behind an id; nearly every made-up id gives a number that is far out of range."""
        folded = (identity - _BASE) * self._inverse % _BASE
        return ((folded ^ folded >> _FOLD) - self._shift) * self._inverse % _BASE - _OFFSET
